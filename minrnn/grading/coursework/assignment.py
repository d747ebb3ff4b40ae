"""An assignment: everything but the submission that decides a mark, and the one way from a path to a `Grade`.

The command line, class mode and the autograder all grade through it, so they give the same marks. It can be pickled,
for it is sent to the processes that grade a class. No judging here, and no printing.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minrnn.grading.courses import profile
from minrnn.grading.courses.profile import Profile
from minrnn.grading.courses.table import ProfileError
from minrnn.grading.coursework import spec
from minrnn.grading.coursework.spec import Spec
from minrnn.grading.judging import judge
from minrnn.grading.loading import submission
from minrnn.grading.loading.submission import Submission
from minrnn.grading.outcome.result import DEFAULT_POLICIES, Grade
from minrnn.grading.report import FORMATS
from minrnn.grading.sandbox import Limits

RECORDS = ("native", "jsonl", "csv")  # formats for the instructor, in which nothing is hidden


class Undecided(ValueError):
    """The submission fits no profile, or several; the message lists the candidates."""


@dataclass(frozen=True)
class Assignment:
    """What is asked for and how it is marked.

    Attributes:
        profiles: the one that was named, or all among which each submission's own is looked for.
        spec: the instructor's settings.
        functions: those to be graded, by name; none are all.
        policies: those that differ from result.DEFAULT_POLICIES.
        limits: of each child.
        sandbox: as of sandbox.Child.
        secret: from which, with the submission, the random inputs follow.
        seed: the same inputs for all submissions, in place of the secret.
        detect: whether each submission's own profile is looked for.
        whole: whether a file is executed with all that it does on import; else for its definitions alone.
    """

    profiles: Sequence[Profile]
    spec: Spec = field(default_factory=Spec)
    functions: tuple[str, ...] = ()
    policies: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    sandbox: str = "auto"
    secret: bytes = b""
    seed: int | None = None
    detect: bool = False
    whole: bool = False

    @property
    def given(self) -> Profile | None:
        """The profile, if one was named."""
        return None if self.detect else self.profiles[0]

    def seeds(self, sha256: str) -> list[int]:
        """Return the seeds of a submission's inputs, which do not depend on when, where or beside whom it is graded."""
        if self.seed is None:
            return judge.seeds_for(sha256, self.secret)
        return [self.seed + k for k in range(judge.SEEDS)]

    def fingerprint(self) -> str:
        """Return a hash of all that decides marks, but for the seeds, which are in every result themselves."""
        settings = {
            "profiles": [[p.sha256, sorted(p.modules.items())] for p in self.profiles],
            "points": [[f.name, f.points] for p in self.profiles for f in p.functions],
            "spec": [self.spec.sha256, sorted(self.spec.modules.items())],
            "functions": self.functions,
            "policies": {**DEFAULT_POLICIES, **self.policies},
            "limits": dataclasses.asdict(self.limits),
            "sandbox": self.sandbox,
            "whole": self.whole,
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def grade(self, path: str | Path) -> Grade:
        """Grade what lies at a path.

        Raises:
            Unreadable: it cannot be read.
            Undecided: no profile was named and none fits alone.
            ProfileError: the settings do not fit the profile that was found.
            SandboxError: no child process can be started.
        """
        work = self.load(path)
        chosen, candidates = self._chosen(work)
        grade = judge.grade(
            work,
            self._reduced(chosen),
            policies=self.policies,
            seeds=self.seeds(work.sha256),
            limits=self.limits,
            sandbox=self.sandbox,
        )
        grade.course |= {
            "profile": chosen.name,
            "profile_source": "given" if self.given else "detected",
            "candidates": candidates,
            "spec_sha256": self.spec.sha256,
        }
        grade.run |= {"settings_sha256": self.fingerprint(), "hint_level": self.spec.hints}
        results = {result.name: result for result in grade.functions}
        grade.functions = [results[name] for name in self.names(chosen) if name in results]
        return grade

    def load(self, path: str | Path) -> Submission:
        """Read a submission; its aliases have the names of the profile."""
        wanted = {f.owner or f.name for p in self.profiles for f in p.functions} | set(self.spec.alias)
        modules = {name for p in self.profiles for name in p.modules}
        allow = {*self.spec.allow, *modules}
        return spec.renamed(submission.load(path, wanted=wanted, allow=allow, whole=self.whole), self.spec.alias)

    def names(self, chosen: Profile) -> list[str]:
        """Return the functions of a profile that are to be graded, in its order.

        Raises:
            ProfileError: one that was asked for is not in it.
        """
        names = [function.name for function in chosen.functions]
        for name in self.functions:
            if name not in names:
                raise ProfileError(f"profile {chosen.name} has no function {name!r}: it has {', '.join(names)}")
        return [name for name in names if not self.functions or name in self.functions]

    def render(self, grade: Grade, format: str, hints: int, **options: Any) -> str | bytes:
        """Return the report of a grade; formats that students see do not tell what is hidden.

        options: of that format, see minrnn.grading.report.
        """
        if format in RECORDS:
            return FORMATS[format](grade, hints=hints)
        report = FORMATS[format](spec.veiled(grade, self.spec.hidden), hints=hints, **options)
        if format == "gradescope" and self.spec.hidden:
            document: dict[str, Any] = json.loads(report)
            for test in document["tests"]:
                if test["name"] in self.spec.hidden:
                    test["visibility"] = "hidden"
            report = json.dumps(document, indent=1) + "\n"
        return report

    def _chosen(self, work: Submission) -> tuple[Profile, list[dict[str, Any]]]:
        if self.given:
            return self.given, []
        found = profile.detect(work, self.profiles)
        candidates = [{"profile": p.name, "score": round(score, 4)} for p, score in found if score > 0]
        try:
            chosen = profile.choose(found)
        except ProfileError as error:
            raise Undecided(f"{work.name}: {error}") from error
        return spec.applied(self.spec, chosen), candidates

    def _reduced(self, chosen: Profile) -> Profile:
        """The profile without the groups that nothing which is to be graded needs."""
        names = self.names(chosen)
        kept = [function for function in chosen.functions if function.name in names]
        steps = {function.step for function in kept}
        groups = {f.group for f in chosen.functions if f in kept or f.name in steps}
        return dataclasses.replace(chosen, functions=tuple(f for f in chosen.functions if f.group in groups))


def make(
    name: str = "",
    settings: Spec | None = None,
    *,
    policies: Mapping[str, str] | None = None,
    limits: Mapping[str, Any] | None = None,
    **others: Any,
) -> Assignment:
    """Return the assignment of a profile (a name, a path, or "" for that of the settings or of each submission).

    policies and limits go before those of the settings; the other arguments are fields of `Assignment`.

    Raises:
        ProfileError: a profile cannot be read, or the settings do not fit it.
    """
    settings = settings or Spec()
    name = name or settings.profile
    profiles = [spec.applied(settings, profile.read(name))] if name else [profile.read(n) for n in profile.builtin()]
    assignment = Assignment(
        profiles,
        settings,
        policies={**settings.policies, **(policies or {})},
        limits=dataclasses.replace(settings.limits, **(limits or {})),
        detect=not name,
        **others,
    )
    if assignment.given:
        assignment.names(assignment.given)
    return assignment
