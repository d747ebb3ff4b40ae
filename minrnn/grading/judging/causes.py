"""Asks for the cause of what is wrong, and tells it in the terms of the course.

The diagnosis knows canonical arrays only; this module hands it the student's in that form, and gives each canonical
name in the answer the name that the course has for it. It finds no cause itself.
"""

import dataclasses
import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from minrnn.grading.courses.profile import Function
from minrnn.grading.diagnosis.diagnose import Observation, diagnose
from minrnn.grading.diagnosis.messages import listed
from minrnn.grading.judging.finite import canonical_outputs
from minrnn.grading.judging.outputs import agrees
from minrnn.grading.judging.trials import Trial, Unit, outputs_of
from minrnn.grading.outcome.codes import CODES
from minrnn.grading.outcome.result import Diagnosis, FunctionResult


def of(unit: Unit, function: Function, result: FunctionResult, trials: Sequence[Trial]) -> list[Diagnosis]:
    """The causes of a wrong result, most certain first."""
    wrong = {output.name for output in result.outputs if output.status != "correct"}
    names = {name: listed(holders) for name, holders in names_of(unit, wrong).items()}
    seen = [observation(function, trial, wrong) for trial in trials]
    forward = []
    if function is unit.backward and not all(t.agrees(unit.first, outputs_of(unit.first)) for t in trials):
        forward = [observation(unit.first, trial) for trial in trials]
    turned = [cause for name in sorted(wrong) if (cause := _turned(name, function, trials))]
    found = turned or diagnose(function.family, seen, forward, names) or [_unknown(name) for name in sorted(wrong)]
    known = names_of(unit, wrong)
    return [dataclasses.replace(cause, tensor=known.get(str(cause.tensor), [cause.tensor])[0]) for cause in found]


def _turned(name: str, function: Function, trials: Sequence[Trial]) -> Diagnosis | None:
    """The cause of a tensor of three axes that is right but for their order."""
    orders = set(itertools.permutations(range(3))) - {(0, 1, 2)}
    shapes = ""
    for trial in trials:
        value, right = trial.answers[function.name].tensors.get(name), trial.right(function)[name]
        if not isinstance(value, np.ndarray) or np.ndim(right) != 3:
            return None
        orders = {order for order in orders if agrees(value, right.transpose(order))}
        shapes = f"{value.shape}, not {right.shape}"
    if not orders:
        return None
    message = f"{CODES['layout-transposed'].what} {name} has the shape {shapes}."
    return Diagnosis("layout-transposed", message, name, "exact", (), {"seeds_agreeing": len(trials)})


def _unknown(tensor: str) -> Diagnosis:
    """What is said of a tensor that the diagnosis does not see."""
    return Diagnosis("unknown-cause", f"{tensor} is wrong; cause unknown.", tensor)


def names_of(unit: Unit, wrong: Collection[str]) -> dict[str, list[str]]:
    """The course's names of each canonical array; of several that hold parts of it, those that are wrong."""
    holders: dict[str, list[str]] = {}
    for function in unit.functions:
        for tensor in (*function.given(), *function.answered()):
            for part in tensor.parts:
                holders.setdefault(part.name, []).append(tensor.name)
    found = {name: list(dict.fromkeys(all_of_it)) for name, all_of_it in holders.items()}
    return {name: [n for n in all_of_it if n in wrong] or all_of_it for name, all_of_it in found.items()}


def observation(function: Function, trial: Trial, wrong: Collection[str] = ()) -> Observation:
    """What one case shows of a function, in canonical names.

    What is expected of a gradient that is not that of the definition is the one of the own forward, if it is known.
    """
    family = trial.case.family
    student = student_values(function, trial, wrong)
    if family.outputs:
        student = {n: value for n, value in student.items() if n in (*family.outputs, *family.gradients)}
    values = trial.case.right()
    if "y" in student and not agrees(student.get("h"), values["h"]):
        del student["y"]  # a prediction goes wrong with the state that it is made of
    expected = {name: values[name] for name in student}
    for name, gradient in (trial.own or {}).items():
        if f"d{name}" in expected and not agrees(student[f"d{name}"], expected[f"d{name}"]):
            expected[f"d{name}"] = gradient
    return Observation(trial.case.inputs, trial.case.merged, student, expected)


def student_values(function: Function, trial: Trial, wrong: Collection[str]) -> dict[str, Any]:
    """Everything that a function returned by canonical names; None for a tensor that is missing.

    A tensor of another shape is passed on as it is where it stands for one whole canonical array.
    """
    tensors: Mapping[str, Any] = trial.answers[function.name].tensors
    found: dict[str, Any] = {part.name: None for tensor in function.answered() for part in tensor.parts}
    found |= canonical_outputs(function, tensors, trial.case, last=wrong)
    for tensor in function.answered():
        value = tensors.get(tensor.name)
        whole = len(tensor.parts) == 1 and not tensor.parts[0].gate
        if whole and isinstance(value, np.ndarray) and value.shape != tensor.shape(trial.case.layout):
            found[tensor.parts[0].name] = value
    return found
