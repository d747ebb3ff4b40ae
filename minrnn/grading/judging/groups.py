"""Grades one group of functions after the other: static findings, a run in a fresh child, causes, a second run.

What it is not: the grading of a whole submission (judge.py), or any of the steps that it puts in order.
"""

import contextlib
import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from minrnn.grading.courses.profile import Function, Profile
from minrnn.grading.judging import causes, draws, isolate, probes, trials, verdict
from minrnn.grading.judging.trials import Trial, Unit
from minrnn.grading.loading.imports import is_forbidden
from minrnn.grading.loading.repair import ladder
from minrnn.grading.loading.submission import Submission
from minrnn.grading.outcome.codes import CODES
from minrnn.grading.outcome.result import Diagnosis, FunctionResult, Isolated, Note
from minrnn.grading.sandbox import Child, Reply

RIGHT = ("correct", "wrong-shape")
FAILED = ("crashed", "environment", "timeout", "no-answer")
ABSENT = ("not-implemented", "not-found")


@dataclass
class Attempt:
    """A group run with one source: as it is, or after a repair."""

    source: str
    repair: Note | None
    results: list[FunctionResult]
    runs: list[Trial]

    def failures(self) -> int:
        """How many functions did not come to their end, or were not begun for that."""
        return sum(result.status in FAILED or bool(result.blocked_by) for result in self.results)


class Grader:
    """Grades the groups of one submission, in the order of the profile: a step comes before the loops that call it."""

    def __init__(
        self,
        submission: Submission,
        profile: Profile,
        seeds: Sequence[int],
        rules: Mapping[str, str],
        open_child: Callable[[], Child],
    ) -> None:
        self.submission, self.profile, self.seeds, self.rules = submission, profile, seeds, rules
        self.open_child = open_child
        self.modules = {**profile.modules, **submission.modules}
        self.repairs: list[Note] = []
        self.results: dict[str, FunctionResult] = {}
        self.updates: Child | None = None

    def group(self, functions: Sequence[Function]) -> None:
        """Grade one group; its results are added to `results`."""
        static = {f.name: result for f in functions if (result := self.static(f))}
        unit = Unit(self.profile, functions, frozenset(static))
        if len(static) == len(functions):
            self.results |= static
            return
        attempts = list(self.attempts(unit, static))
        best = min(attempts, key=Attempt.failures)
        if best.repair:
            self.needed_repair(best, attempts[0])
        lost = {
            result.name: culprit
            for function, result in zip(functions, best.results, strict=True)
            if result.status not in RIGHT and result.name not in static and (culprit := self.wrong_step(unit, function))
        }
        if lost:
            self.second_run(unit, best, lost)
        verdict_of_rest(unit, best)
        for function, result in zip(functions, best.results, strict=True):
            self.blocked(result)
            named = {cause.code for cause in result.diagnosis}
            result.advisories += [Note(r.code, r.text) for r in function.remarks if r.cause in named]
        self.results |= {result.name: result for result in best.results}

    def attempts(self, unit: Unit, static: Mapping[str, FunctionResult]) -> Iterator[Attempt]:
        """Run the group with the source as it is and, while something does not come to its end, after each repair."""
        for source, repair in ladder(self.submission.source):
            attempt = self.attempt(source, repair, unit, static)
            yield attempt
            if not attempt.failures():
                return

    def attempt(self, source: str, repair: Note | None, unit: Unit, static: Mapping[str, FunctionResult]) -> Attempt:
        """Run the group once."""
        with self.child(unit) as child:
            loaded = self.load(child, source, unit)
            if not loaded.ok:
                results = [
                    static.get(f.name) or verdict.fail(verdict.blank(f, "crashed"), loaded) for f in unit.functions
                ]
                return Attempt(source, repair, [self.reread(result) for result in results], [])
            runs = trials.run(child, unit, self.seeds)
            results = [static.get(f.name) or self.reread(verdict.judge(unit, f, runs)) for f in unit.functions]
            for result in results[1:]:
                if result.name not in static and result.name not in runs[0].answers:
                    result.blocked_by, result.diagnosis = unit.first.name, [blocked_by(unit.first.name)]
            self.observed(child, unit, runs, results)
            return Attempt(source, repair, results, runs)

    @contextlib.contextmanager
    def child(self, unit: Unit) -> Iterator[Child]:
        """A child of its own for a group; the optimizers, one after the other, share one as long as it lives."""
        if unit.first.role != "update":
            with self.open_child() as child:
                yield child
            return
        if self.updates is None or not self.updates.alive:
            self.close()
            self.updates = self.open_child()
        yield self.updates

    def close(self) -> None:
        """End what is left running."""
        if self.updates is not None:
            self.updates.close()

    def load(self, child: Child, source: str, unit: Unit) -> Reply:
        """Load the submission, and the course's own modules that have a class of which the unit gets an object."""
        needed = {made.module for function in unit.functions for made in self.profile.used(function) if made.module}
        return child.load("\n".join([source, *(f"import {name}" for name in sorted(needed))]), self.modules)

    def observed(self, child: Child, unit: Unit, runs: list[Trial], results: list[FunctionResult]) -> None:
        """What further calls show: a forward that is not the same twice, traits of what is right."""
        ran = [result for result in results if result.outputs]
        if results[0] in ran and not probes.deterministic(child, unit, runs[0]):
            wrong_after_all(results[0], found("nondeterministic"))
        elif unit.first.role == "sample" and results[0].status in RIGHT:
            failed, cause = draws.examine(child, unit, self.seeds[0])
            if failed:
                verdict.fail(results[0], failed)
            elif cause:
                wrong_after_all(results[0], cause)
        if results[0] in ran and all(result.status in RIGHT for result in ran):
            for name, notes in probes.all_of(child, unit, runs, self.seeds[0]).items():
                next(result for result in results if result.name == name).traits.extend(notes)

    def static(self, function: Function) -> FunctionResult | None:
        """What is known without running: the name is missing, its text cannot be read, or its body is a stub."""
        owner, _, method = function.name.rpartition(".")
        known: Mapping[str, Any] = self.submission.classes.get(owner, {}) if owner else self.submission.functions
        broken = self.submission.broken.get(owner or function.name)
        result = verdict.blank(function, "not-found")
        if function.optional and method not in known and not broken:
            result.max_score = 0.0
        if method in known and not known[method].stub:
            return None
        if method in known:
            result.status, result.diagnosis = "not-implemented", [found("not-implemented-stub")]
        elif broken:
            result.status, result.exception = "crashed", broken
            result.diagnosis = [found("syntax-error", f"Line {broken.line}: {broken.text}.")]
        else:
            others = set(known) - {f.name.rpartition(".")[2] for f in self.profile.functions}
            near = [name for name in difflib.get_close_matches(method, others, 1, 0.6) if distance(name, method) <= 2]
            result.diagnosis = [found("misspelt-name", f"There is {name!r} in its place.") for name in near]
        return result

    def reread(self, result: FunctionResult) -> FunctionResult:
        """A NameError that comes from an import which was dropped is no typing error."""
        raised = result.exception
        name = re.search(r"name '(\w+)' is not defined", raised.text) if raised else None
        module = self.submission.dropped.get(name[1]) if name else None
        if module:
            forbidden = is_forbidden(module) or module.split(".")[0] in self.profile.forbidden
            result.status = "crashed" if forbidden else "environment"
            code = "forbidden-import" if forbidden else "missing-module"
            result.diagnosis = [found(code, f"The module is {module}.")]
        return result

    def needed_repair(self, best: Attempt, first: Attempt) -> None:
        """Say of the functions that ran only after a repair that they needed it."""
        if best.repair and best.repair not in self.repairs:
            self.repairs.append(best.repair)
        for result, before in zip(best.results, first.results, strict=True):
            if before.status in FAILED and result.status not in FAILED and best.repair:
                result.advisories.append(best.repair)
                if result.status in RIGHT:
                    result.status = "environment"

    def wrong_step(self, unit: Unit, function: Function) -> FunctionResult | None:
        """The result of a step that a function may have suffered from: its own, or that of its forward."""
        steps = [self.results[f.step] for f in (function, unit.first) if f.step in self.results]
        return next((step for step in steps if step.status not in RIGHT and not repaired(step)), None)

    def second_run(self, unit: Unit, best: Attempt, lost: Mapping[str, FunctionResult]) -> None:
        """Run the group again with right steps: credit for the loop, and its own mistakes without those of the step.

        lost: names of what is to be graded again, each with the step that is not right.
        """
        with self.open_child() as child:
            self.load(child, best.source, unit)
            runs, remark = isolate.run(child, unit, self.seeds)
        if runs is None:
            for result in best.results:
                if result.name in lost:
                    result.isolated = Isolated("not-compared", 0.0, remark)
            return
        again = Attempt(best.source, None, [verdict.judge(unit, f, runs) for f in unit.functions], runs)
        verdict_of_rest(unit, again)
        for result, better in zip(best.results, again.results, strict=True):
            if result.name in lost:
                self.follow(result, better, lost[result.name], remark)

    def follow(self, result: FunctionResult, better: FunctionResult, step: FunctionResult, remark: str) -> None:
        """What the second run says of the first: what is the loop's own, and what follows from the step."""
        result.isolated = Isolated(better.status, better.points(self.rules), remark)
        result.diagnosis = list(better.diagnosis)
        if better.status in RIGHT:
            result.blocked_by = step.name
            if step.status in ABSENT:
                result.status = "not-implemented"
        if step.status in ABSENT:
            result.diagnosis.append(blocked_by(step.name))
        else:
            cause = step.diagnosis or [found("unknown-cause")]
            result.diagnosis += [
                replace(d, tensor=None, message=f"Follows from {step.name}: {d.message}") for d in cause
            ]

    def blocked(self, result: FunctionResult) -> None:
        """A function that fails because it calls one that is not written is not wrong itself."""
        owner, _, method = result.name.rpartition(".")
        known: Mapping[str, Any] = self.submission.classes.get(owner, {}) if owner else self.submission.functions
        uses = known[method].uses if method in known else []
        absent = [name for name in uses if name in self.results and self.results[name].status in ABSENT]
        if result.status in FAILED and absent:
            result.status, result.blocked_by = "not-implemented", absent[0]
            result.diagnosis = [blocked_by(absent[0])]


def verdict_of_rest(unit: Unit, attempt: Attempt) -> None:
    """Put the causes of what is wrong into the results that have none."""
    for function, result in zip(unit.functions, attempt.results, strict=True):
        if result.outputs and result.status != "correct" and not result.diagnosis:
            result.diagnosis = causes.of(unit, function, result, attempt.runs)


def wrong_after_all(result: FunctionResult, cause: Diagnosis) -> None:
    """Take back what was found right: further calls have shown that it is not."""
    result.status, result.diagnosis = "wrong", [cause]
    for output in result.outputs:
        output.status = "wrong"


def repaired(result: FunctionResult) -> bool:
    """Whether a function was right once its environment was repaired."""
    return result.status == "environment" and bool(result.outputs)


def found(code: str, more: str = "") -> Diagnosis:
    """A cause that was seen and not inferred."""
    return Diagnosis(code, f"{CODES[code].what} {more}".strip(), certainty="static")


def blocked_by(name: str) -> Diagnosis:
    """The cause of what could not be run because of another function."""
    return found("blocked-by-stub", f"Here: {name}.")


def distance(a: str, b: str) -> int:
    """How many single letters differ between two names: put in, left out or exchanged."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        new = [i]
        for j, y in enumerate(b, 1):
            new.append(min(row[j] + 1, new[-1] + 1, row[j - 1] + (x != y)))
        row = new
    return row[-1]
