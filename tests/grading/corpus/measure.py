"""Grades the corpus and counts: right ones that fail, wrong ones that are not found, causes named and named wrongly.

    python tests/grading/corpus/measure.py [--kind wrong] [--every N] [--only TEXT] [--log FILE]

A wrong submission is graded in the groups that its edit touches; a right one as a whole. A cause counts as named where
a diagnosis of the edited function holds a right code (among several where it says that it is ambiguous) and none claims
another cause; as named wrongly where one claims another. What says "unknown" is neither.
"""

import argparse
import dataclasses
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import corpus
import independent
import other_courses
import styles

from minrnn.grading.courses import profile
from minrnn.grading.judging import judge
from minrnn.grading.loading import submission
from minrnn.grading.outcome.result import CERTAINTIES, FunctionResult
from minrnn.grading.sandbox import Limits

LIMITS = Limits(wall_s=90, cpu_s=30)  # a loaded machine must not turn a right program into a slow one
CHANGED = 1e-6  # a wrong edit changes an answer by more; the tolerance of the grader


@dataclass
class Outcome:
    """What the grader said of one submission; every list is empty where all is well."""

    name: str
    right: bool
    failed: list[str] = field(default_factory=list)  # functions that are right and were not called so
    missed: list[str] = field(default_factory=list)  # functions that are wrong and were called right
    named: bool = False
    misnamed: list[str] = field(default_factory=list)
    certainty: str = ""
    placed: bool = True  # the tensor or gate that the list gives is in what was said
    codes: list[str] = field(default_factory=list)  # what the diagnosis of the edited function said
    wanted: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Truth:
    """What the independent check says of the templates, computed once each."""

    def __init__(self) -> None:
        self.known: dict[str, independent.Answers] = {}

    def answers(self, program: corpus.Submission, source: str) -> independent.Answers:
        course = other_courses.COURSES[program.template.profile](1)
        return course.answers(independent.load(source))

    def of(self, program: corpus.Submission) -> independent.Answers:
        key = f"{program.template.profile}/{program.template.name}"
        if key not in self.known:
            self.known[key] = self.answers(program, program.template.source)
        return self.known[key]

    def stubs(self, program: corpus.Submission) -> set[str]:
        """The functions of the template that are not done."""
        return {
            name
            for name, answer in self.of(program).items()
            if isinstance(answer, Exception) or any(value is None for value in answer.values())
        }

    def touched(self, program: corpus.Submission) -> set[str]:
        """The functions that compute something else than the template's."""
        right = self.of(program)
        found = self.answers(program, program.source)
        return {name for name in right if independent.difference(found[name], right[name]) > CHANGED}


def grade(program: corpus.Submission, truth: Truth) -> Outcome:
    """Grade one submission and compare with what is known of it."""
    outcome = Outcome(program.name, program.edit is None)
    stubs, right = truth.stubs(program), truth.of(program)
    touched = truth.touched(program) | set(program.edit.functions) if program.edit else set()
    course = profile.read(program.template.profile)
    if touched:
        groups = {function.group for function in course.functions if function.name in touched}
        steps = {function.step for function in course.functions if function.group in groups}
        groups |= {function.group for function in course.functions if function.name in steps}
        kept = [function for function in course.functions if function.group in groups]
        course = dataclasses.replace(course, functions=type(course.functions)(kept))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        wanted = [function.name for function in course.functions]
        loaded = submission.load(program.write(Path(folder)), wanted=wanted, allow=list(course.modules))
        results = {result.name: result for result in judge.grade(loaded, course, limits=LIMITS).functions}
    outcome.seconds = round(time.monotonic() - began, 2)
    passes = ("correct", "environment") if program.style in styles.REPAIRED else ("correct",)
    for name, result in results.items():
        if name in right and name not in touched and name not in stubs and result.status not in passes:
            outcome.failed.append(f"{name}: {result.status}")
        if name in stubs and result.status != "not-implemented":
            outcome.failed.append(f"{name} is a stub: {result.status}")
    if program.edit:
        _causes(outcome, [results[name] for name in program.edit.functions], program.edit)
    return outcome


def _causes(outcome: Outcome, results: Iterable[FunctionResult], edit: corpus.Edit) -> None:
    """What was said of the functions that are wrong."""
    outcome.wanted = list(edit.codes)
    names = set(edit.codes) - {corpus.UNNAMED}
    all_named, text = [], ""
    for result in results:
        if result.status in ("correct", "environment"):
            outcome.missed.append(f"{result.name}: {result.status}")
        named = False
        for cause in result.diagnosis:
            said = {cause.code, *cause.also_matches}
            outcome.codes.append(f"{cause.code} ({cause.certainty}) @{cause.tensor} {sorted(cause.also_matches) or ''}")
            text += f" {cause.tensor} {dict(cause.evidence)} {cause.message}"
            if said & names:
                named = True
            elif cause.certainty != "unknown" and cause.code != corpus.UNNAMED:
                outcome.misnamed.append(f"{result.name}: {cause.code} ({cause.certainty})")
        all_named.append(named)
        outcome.certainty = result.diagnosis[0].certainty if result.diagnosis else "none"
    outcome.named = all(all_named) and not outcome.misnamed
    outcome.placed = not edit.where or edit.where in re.findall(r"\w+", text)


def summary(outcomes: list[Outcome]) -> str:
    """The rates, in lines."""
    right = [o for o in outcomes if o.right]
    wrong = [o for o in outcomes if not o.right]
    lines = [
        f"{len(outcomes)} submissions in {sum(o.seconds for o in outcomes):.0f} s",
        f"right ones that fail       {sum(bool(o.failed) for o in right)} of {len(right)}",
        f"wrong ones not found       {sum(bool(o.missed) for o in wrong)} of {len(wrong)}",
        f"right functions blamed     {sum(bool(o.failed) for o in wrong)} of {len(wrong)} wrong submissions",
        f"cause named                {_share(o.named for o in wrong)}",
        *(f"  {certainty:24} {sum(o.named and o.certainty == certainty for o in wrong)}" for certainty in CERTAINTIES),
        f"place given where named    {_share(o.placed for o in wrong if o.named)}",
        f"cause named wrongly        {_share(bool(o.misnamed) for o in wrong)}",
    ]
    return "\n".join(lines)


def _share(found: Iterable[bool]) -> str:
    found = list(found)
    return f"{sum(found)} of {len(found)} ({100 * sum(found) / max(1, len(found)):.1f} %)"


def measure(programs: Iterable[corpus.Submission], show: bool = False, log: Path | None = None) -> list[Outcome]:
    """Grade submissions one after another; `log` gets each outcome as it comes, a line of JSON."""
    truth, outcomes = Truth(), []
    for program in programs:
        outcomes.append(outcome := grade(program, truth))
        if log:
            with log.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(dataclasses.asdict(outcome)) + "\n")
        if show and (outcome.failed or outcome.missed or not (outcome.right or outcome.named)):
            print(f"{outcome.name}: {describe(outcome)}", flush=True)
    return outcomes


def describe(outcome: Outcome) -> str:
    """What is not as it should be, in one line."""
    parts = [("failed", outcome.failed), ("missed", outcome.missed), ("misnamed", outcome.misnamed)]
    text = "; ".join(f"{label} {', '.join(values)}" for label, values in parts if values)
    return f"{text or 'not named'}; wanted {'|'.join(outcome.wanted)}, said {', '.join(outcome.codes) or 'nothing'}"


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="grade each N-th submission only")
    parser.add_argument("--only", default="", help="those whose name has this text")
    parser.add_argument("--skip", type=int, default=0, help="leave out so many at the begin")
    parser.add_argument("--kind", choices=("right", "wrong", "both"), default="both")
    parser.add_argument("--log", type=Path, help="append the outcomes to this file, one JSON object a line")
    options = parser.parse_args()
    kinds = {"right": corpus.right, "wrong": corpus.wrong, "both": corpus.submissions}
    programs = [program for program in kinds[options.kind]() if options.only in program.name]
    outcomes = measure(programs[options.skip :: options.every], show=True, log=options.log)
    print(summary(outcomes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
