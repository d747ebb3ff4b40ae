"""The result of one graded submission: the schema minrnn.grade/1 as dataclasses. Not a judge, and not a report.

Everything a report says is a projection of a `Grade`. Inside it strings may still be what a student's program printed
and numbers may be NaN; `Grade.to_dict` is the one place where both are cleaned, so what is written is always plain
text and valid JSON.
"""

import dataclasses
import importlib.metadata
import json
import math
import os
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minrnn.grading.outcome.plain import clean

SCHEMA = "minrnn.grade/1"
STATUSES = (
    "correct",
    "wrong",
    "wrong-shape",
    "not-implemented",
    "not-found",
    "crashed",
    "timeout",
    "environment",
    "no-answer",
)
OUTPUT_STATUSES = ("correct", "wrong", "wrong-shape", "not-implemented", "non-finite", "not-compared")
CERTAINTIES = ("exact", "ambiguous", "residual", "static", "unknown")

POLICIES = {
    "shape": ("lenient", "half", "strict"),
    "own-forward": ("credit", "strict"),
    "environment": ("repaired", "zero"),
    "mutation": ("advisory", "graded"),
    "dtype": ("advisory", "graded"),
    "stability": ("advisory", "graded"),
    "edge-shapes": ("advisory", "graded"),
    "partial": ("per-output", "all-or-nothing"),
}
DEFAULT_POLICIES = {name: values[0] for name, values in POLICIES.items()}
TRAITS = {
    "mutation": {"mutates-upstream", "mutates-input", "cache-consumed", "cache-overwritten"},
    "dtype": {"float32-upcast"},
    "stability": {"softmax-not-shifted", "softmax-global-shift"},
    "edge-shapes": {"edge-shape-failure"},
}
SHAPE_CREDIT = {"lenient": 1.0, "half": 0.5, "strict": 0.0}


@dataclass(frozen=True)
class Note:
    """A remark that costs nothing by itself: a trait, an advisory, a repair."""

    code: str
    message: str


@dataclass(frozen=True)
class Raised:
    """What the student's code raised. `line` counts in the source that ran, None where it is not known.

    `place` is that line in words, "cell 5, line 3" of a notebook; None where there is none.
    """

    type: str
    line: int | None
    text: str
    place: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """One cause: its code, one sentence, the tensor it shows in, and how sure that is (one of CERTAINTIES).

    `evidence` may have `blocks`, `time_steps`, `relation`, `seeds_agreeing` and `details`; never an expected value.
    """

    code: str
    message: str
    tensor: str | None = None
    certainty: str = "unknown"
    also_matches: Sequence[str] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Output:
    """One returned tensor: status (one of OUTPUT_STATUSES), largest relative error to the reference and to own FD.

    `place` says where the function computes it, None where the text does not tell.
    """

    name: str
    status: str
    max_rel_error: float | None = None
    fd_rel_error: float | None = None
    shape: Sequence[int] | None = None
    expected_shape: Sequence[int] | None = None
    dtype: str | None = None
    place: str | None = None


@dataclass
class Isolated:
    """The verdict of the second run, with the step replaced by a right one."""

    status: str
    score: float
    note: str = ""


@dataclass
class FunctionResult:
    """One function of the profile. `blocked_by` names the stub or failing function that it calls."""

    name: str
    group: str
    status: str
    score: float = 0.0
    max_score: float = 0.0
    outputs: list[Output] = field(default_factory=list)
    diagnosis: list[Diagnosis] = field(default_factory=list)
    traits: list[Note] = field(default_factory=list)
    advisories: list[Note] = field(default_factory=list)
    isolated: Isolated | None = None
    exception: Raised | None = None
    blocked_by: str | None = None
    seconds: float = 0.0
    stdout_tail: str = ""

    def points(self, policies: Mapping[str, str] = DEFAULT_POLICIES) -> float:
        """Return what the verdict is worth, 0 … max_score; missing policies have their default.

        The share of the outputs that are right (all of them under `partial=per-output`, else none or all), or the
        isolated run where that is worth more. A trait that is graded counts as one more output, a wrong one.
        """
        rules = {**DEFAULT_POLICIES, **policies}
        earned = self._share(rules) * self.max_score
        if self.isolated:
            earned = max(earned, self.isolated.score)
        return min(max(earned, 0.0), self.max_score)

    def _share(self, rules: Mapping[str, str]) -> float:
        if self.status in ("not-found", "crashed", "timeout", "no-answer"):
            return 0.0
        if self.status == "environment" and rules["environment"] == "zero":
            return 0.0
        codes = {note.code for note in [*self.traits, *self.advisories]}
        if "follows-own-forward" in codes and rules["own-forward"] == "strict":
            return 0.0
        if self.status == "correct":
            credits = [1.0] * max(len(self.outputs), 1)
        else:
            credits = [self._credit(output, rules) for output in self.outputs if output.status != "not-compared"]
        credits += [0.0 for rule, traits in TRAITS.items() if rules[rule] == "graded" and codes & traits]
        if rules["partial"] == "all-or-nothing":
            return min(credits, default=0.0)
        return math.fsum(credits) / len(credits) if credits else 0.0

    @staticmethod
    def _credit(output: Output, rules: Mapping[str, str]) -> float:
        if output.status == "wrong-shape":
            return SHAPE_CREDIT[rules["shape"]]
        return float(output.status == "correct")

    @property
    def full(self) -> bool:
        """True where nothing is lost: all points; where there are none, right values or no such function."""
        if self.max_score > 0:
            return self.score >= self.max_score
        return self.status == "not-found" or self._share(DEFAULT_POLICIES) == 1.0


def installed_version() -> str:
    """Return the version of minrnn that is installed, "unknown" where it runs from a folder that is not."""
    try:
        return importlib.metadata.version("minrnn")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


@dataclass
class Grade:
    """The whole result. `course`, `submission`, `run`, `environment` and `sandbox` are the objects of the schema.

    `errors` are problems of the grader: where there are any, the mark is not final.
    """

    course: dict[str, Any] = field(default_factory=dict)
    submission: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    functions: list[FunctionResult] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=dict)
    sandbox: dict[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    minrnn_version: str = field(default_factory=installed_version)

    @property
    def score(self) -> float:
        """Points of all functions together."""
        return math.fsum(function.score for function in self.functions)

    @property
    def max_score(self) -> float:
        """Points that could be had."""
        return math.fsum(function.max_score for function in self.functions)

    @property
    def percent(self) -> float:
        """Share of the points in per cent; 0 where there are no points to be had."""
        return 100 * self.score / self.max_score if self.max_score else 0.0

    @property
    def full(self) -> bool:
        """True if there are functions and none of them lost anything."""
        return bool(self.functions) and all(function.full for function in self.functions)

    def to_dict(self) -> dict[str, Any]:
        """Return the native document: plain Python values, no control characters, None for NaN and infinity."""
        fields = {name: getattr(self, name) for name in ("course", "submission", "run")}
        totals = {
            "score": self.score,
            "max_score": self.max_score,
            "percent": self.percent,
            "by_status": dict(Counter(function.status for function in self.functions)),
        }
        return clean(
            {
                "schema": SCHEMA,
                "minrnn_version": self.minrnn_version,
                **fields,
                "functions": [dataclasses.asdict(function) for function in self.functions],
                "totals": totals,
                "environment": self.environment,
                "sandbox": self.sandbox,
                "errors": self.errors,
            }
        )

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Grade":
        """Return the grade that a native document describes; fields that this version does not know are left out.

        Raises:
            ValueError: the document has another schema.
        """
        schema = document.get("schema")
        if schema != SCHEMA:
            raise ValueError(f"the result has schema {schema!r}, this version reads {SCHEMA!r}: grade it again")
        known = _known(cls, document)
        known["functions"] = [_function(function) for function in document.get("functions", [])]
        return cls(**known)

    def to_json(self, indent: int | None = 1) -> str:
        """Return the native document as JSON without NaN; indent None is a single line."""
        return json.dumps(self.to_dict(), allow_nan=False, ensure_ascii=False, indent=indent)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the native document as UTF-8, whole or not at all: whoever reads the path never sees half a file."""
        write_atomic(path, self.to_json() + "\n")


def write_atomic(path: str | os.PathLike[str], text: str) -> None:
    """Write text as UTF-8 to a new file beside `path` and put that in its place."""
    target = Path(path)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def _known(cls: type, document: Mapping[str, Any]) -> dict[str, Any]:
    names = {item.name for item in dataclasses.fields(cls)}
    return {key: value for key, value in document.items() if key in names}


def _function(document: Mapping[str, Any]) -> FunctionResult:
    known = _known(FunctionResult, document)
    parts = {"outputs": Output, "diagnosis": Diagnosis, "traits": Note, "advisories": Note}
    for name, cls in parts.items():
        known[name] = [cls(**_known(cls, part)) for part in known.get(name, [])]
    for name, single in {"isolated": Isolated, "exception": Raised}.items():
        part = known.get(name)
        known[name] = single(**_known(single, part)) if part else None
    return FunctionResult(**known)
