"""A group of functions run on random inputs: what the student returned, beside what is right. No verdict.

All forwards come first, then the finite differences, then the backwards, so that a backward that never ends takes
nothing from its forward. Every call has fresh arrays, every backward a fresh forward and so a fresh cache.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minrnn.grading.courses import cases, sampling
from minrnn.grading.courses.cases import Case
from minrnn.grading.courses.layout import LETTERS, Layout, to_student
from minrnn.grading.courses.profile import Function, Profile
from minrnn.grading.judging import calls
from minrnn.grading.judging.calls import Answer, Session
from minrnn.grading.judging.finite import SINGLE_STEP, STEP, canonical_outputs, own_gradients
from minrnn.grading.judging.outputs import agrees
from minrnn.grading.reference import Array
from minrnn.grading.sandbox import Child


@dataclass
class Unit:
    """A forward with its backward, or one function alone; `skipped` are names that are not to be called."""

    profile: Profile
    functions: Sequence[Function]
    skipped: frozenset[str] = frozenset()

    @property
    def first(self) -> Function:
        """The forward, or the only function."""
        return self.functions[0]

    @property
    def backward(self) -> Function | None:
        """The backward, if there is one."""
        return self.functions[1] if len(self.functions) > 1 else None

    @property
    def accumulates(self) -> bool:
        """Whether a second backward is to be added to the first."""
        made = self.profile.classes.get(self.first.owner)
        return made is not None and made.accumulates

    def setting(self, changes: Mapping[str, Any] | None = None) -> tuple[Layout, list[str], dict[str, Any]]:
        """The layout, the canonical inputs that are given, and the constants; `changes` as of `case`."""
        sizes, constants = {**self.profile.sizes, **self.first.sizes}, dict(self.first.constants)
        for name, value in (changes or {}).items():
            (sizes if name in LETTERS else constants)[name] = value
        carried = [part.name for tensor in self.profile.given(self.first) for part in tensor.parts]
        return cases.layout_of(self.first.family, self.first.gates, sizes), carried, constants

    def case(self, seed: int, changes: Mapping[str, Any] | None = None) -> Case:
        """Random inputs of this unit; `changes` are sizes to be tried, such as {"N": 1}, and constants by name."""
        layout, carried, constants = self.setting(changes)
        if self.first.family == sampling.FAMILY:
            gap = sampling.DRAWN if self.first.role == "sample" else sampling.CHOSEN
            return cases.told(layout, self.first.family, sampling.peaked(layout, carried, constants, seed, gap))
        upstream = [p.name for t in self.backward.given() for p in t.parts if p.name[0] == "d"] if self.backward else []
        return cases.make(layout, self.first.family, carried, upstream, seed, self.profile.scale, constants)


@dataclass
class Trial:
    """One case: the answers of the student's functions, and the gradients of the own forward if they were taken.

    `twice` are the attributes after a second backward, where they should have been added up.
    """

    case: Case
    session: Session
    answers: dict[str, Answer] = field(default_factory=dict)
    own: dict[str, Array] | None = None
    twice: dict[str, Any] = field(default_factory=dict)

    def right(self, function: Function) -> dict[str, Any]:
        """The right tensors of a function, in the layout of the course."""
        values = self.case.right()
        return {tensor.name: to_student(tensor, values, self.case.layout) for tensor in function.answered()}

    def single(self, function: Function) -> bool:
        """Whether a function computes in float32, as far as what it returns shows."""
        answer = self.answers.get(function.name)
        tensors = answer.tensors.values() if answer else ()
        return any(isinstance(tensor, np.ndarray) and tensor.dtype == np.float32 for tensor in tensors)

    def own_right(self, function: Function) -> dict[str, Any]:
        """Gradients that are right for the own forward, as far as they were taken."""
        if self.own is None:
            return {}
        values = {f"d{name}": gradient for name, gradient in self.own.items()}
        found = {}
        for tensor in function.answered():
            if all(part.name in values for part in tensor.parts):
                found[tensor.name] = to_student(tensor, values, self.case.layout)
        return found

    def agrees(self, function: Function, names: Sequence[str] | None = None) -> bool:
        """Whether the function returned what is right (in any shape)."""
        answer = self.answers.get(function.name)
        if answer is None or not answer.ok:
            return False
        right = self.right(function)
        return all(agrees(answer.tensors.get(name), right[name]) for name in (names or right))


def run(child: Child, unit: Unit, seeds: Sequence[int], differences: bool = True) -> list[Trial]:
    """Call the functions of a unit once for every seed.

    Finite differences are taken on every seed on which the forward is wrong and, with `differences`, on the first.
    """
    trials = []
    for k, seed in enumerate(seeds):
        case = unit.case(seed, unit.first.turn(k))
        trials.append(Trial(case, Session(child, unit.profile, case.layout)))
    if unit.first.name not in unit.skipped:
        for trial in trials:
            trial.answers[unit.first.name] = trial.session.call(unit.first, trial.case.values())
    gradients = gradient_names(unit)
    if gradients and unit.skipped.isdisjoint(f.name for f in unit.functions):
        for k, trial in enumerate(trials):
            if trial.answers[unit.first.name].ok and (
                (differences and k == 0) or not trial.agrees(unit.first, outputs_of(unit.first))
            ):
                step = SINGLE_STEP if trial.single(unit.first) else STEP
                trial.own = own_gradients(child, unit.profile, unit.first, trial.case, gradients, step)
    if unit.backward and unit.backward.name not in unit.skipped:
        forwards = [trial.answers.get(unit.first.name) for trial in trials]
        ran = all(forward and forward.ok for forward in forwards)  # on one seed and not on another is a failure
        for trial in trials:
            if ran:
                trial.answers[unit.backward.name] = backward(trial, unit.first, unit.backward)
                if trial is trials[0] and unit.accumulates:
                    trial.twice = backward(trial, unit.first, unit.backward, again=True).tensors
            elif unit.first.cache():
                trial.session.prescribe(unit.first, trial.case.right())
                trial.answers[unit.backward.name] = trial.session.call(unit.backward, trial.case.values())
    return trials


def backward(trial: Trial, first: Function, function: Function, again: bool = False) -> Answer:
    """Call the backward on what the forward of this trial left; outputs that it asks for are the student's own."""
    own = canonical_outputs(first, trial.answers[first.name].tensors, trial.case)
    return trial.session.call(function, trial.case.values() | own, again)


def gradient_names(unit: Unit) -> list[str]:
    """Canonical inputs whose gradients the unit returns and the forward is given."""
    last = unit.backward or unit.first
    wanted = {p.name[1:] for tensor in last.answered() for p in tensor.parts if p.name.startswith("d")}
    given = {p.name for tensor in unit.profile.given(unit.first) for p in tensor.parts}
    return sorted(wanted & given)


def outputs_of(function: Function) -> list[str]:
    """Names of the returned tensors that are no gradients."""
    return [tensor.name for tensor in function.answered() if not calls.is_gradient(tensor)]
