"""Asks for the cause of what is wrong, and tells it in the terms of the course.

The diagnosis knows canonical arrays only; this module hands it the student's in that form, and gives each canonical
name in the answer the name that the course has for it. It finds no cause itself.
"""

import dataclasses
import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from minrnn.grading.courses.layout import to_student
from minrnn.grading.courses.profile import Function
from minrnn.grading.diagnosis.diagnose import Observation, diagnose
from minrnn.grading.judging.finite import canonical_outputs
from minrnn.grading.judging.outputs import agrees
from minrnn.grading.judging.trials import Trial, Unit, outputs_of
from minrnn.grading.outcome.codes import CODES
from minrnn.grading.outcome.plain import listed
from minrnn.grading.outcome.result import Diagnosis, FunctionResult, Output
from minrnn.grading.reference import FAMILIES


def of(unit: Unit, function: Function, result: FunctionResult, trials: Sequence[Trial]) -> list[Diagnosis]:
    """The causes of a wrong result, most certain first."""
    wrong = {output.name for output in result.outputs if output.status not in ("correct", "wrong-shape")}
    short = [cause for output in result.outputs if (cause := _too_short(output, function))]
    if short:  # what is wrong beside it is so because of it
        return short
    plain = [cause for output in result.outputs if (cause := _plain_cause(output, function, trials))]
    if function.role == "backward":
        plain = _perhaps_of_the_cache(plain)
    explained = {str(cause.tensor) for cause in plain}
    rest = wrong - explained
    return [*(_inferred(unit, function, rest, explained, trials) if rest else ()), *plain]


def _plain_cause(output: Output, function: Function, trials: Sequence[Trial]) -> Diagnosis | None:
    """The cause of one tensor that shows without any mathematics: nothing, another shape, another tensor."""
    if output.status == "correct":
        return None
    if output.status == "wrong-shape":
        return _reshaped(output, function, len(trials))
    if output.status == "not-implemented":
        return _missing(output.name, function)
    return _turned(output.name, function, trials) or _another(output.name, function, trials)


def _inferred(
    unit: Unit, function: Function, wrong: Collection[str], explained: set[str], trials: Sequence[Trial]
) -> list[Diagnosis]:
    """The causes that the diagnosis finds for the outputs in `wrong`, in the names of the course.

    Those in `explained` are not shown to it, so that it finds the cause of the others.
    """
    known = names_of(unit, wrong)
    names = {name: listed(holders) for name, holders in known.items()}
    aside = {p.name for tensor in function.answered() if tensor.name in explained for p in tensor.parts}
    seen = [observation(unit, function, trial, wrong) for trial in trials]
    for one in seen:
        one.student.update(dict.fromkeys(aside & one.student.keys()))
    forward = []
    if function is unit.backward and not all(t.agrees(unit.first, outputs_of(unit.first)) for t in trials):
        forward = [observation(unit, unit.first, trial) for trial in trials]
    found = diagnose(function.family, seen, forward, names) or [_unknown(name) for name in sorted(wrong)]
    return [dataclasses.replace(cause, tensor=known.get(str(cause.tensor), [cause.tensor])[0]) for cause in found]


def _too_short(output: Output, function: Function) -> Diagnosis | None:
    """The cause of a tensor that has a time step less than it should have."""
    tensor = next(tensor for tensor in function.answered() if tensor.name == output.name)
    own, right = list(output.shape or ()), list(output.expected_shape or ())
    other = [k for k, (n, m) in enumerate(zip(own, right, strict=False)) if n != m]
    written = not FAMILIES[function.family].gradients  # a text may end where it likes
    if written or len(own) != len(right) or len(other) != 1 or tensor.axes[other[0]] != (("T",),):
        return None
    n, steps = own[other[0]], right[other[0]]
    if n != steps - 1:
        return None
    message = f"{output.name} has {n} time steps; it should have {steps}: the loop leaves one out."
    return Diagnosis("time-loop-skips-step", message, output.name, "static")


def _parts(name: str, function: Function) -> set[str]:
    """The canonical names of a returned tensor."""
    return {part.name for tensor in function.answered() if tensor.name == name for part in tensor.parts}


def _reshaped(output: Output, function: Function, seeds: int) -> Diagnosis:
    """Right values in another shape."""
    bias = any(part.startswith("db") for part in _parts(output.name, function))
    own, right = tuple(output.shape or ()), tuple(output.expected_shape or ())
    message = f"{output.name} has the right values in the shape {own}; it should be {right}."
    code = "bias-gradient-keeps-dims" if bias else "wrong-flatten"
    evidence = {"relation": "shape", "seeds_agreeing": seeds}
    return Diagnosis(code, message, output.name, "exact", (), evidence)


def _missing(name: str, function: Function) -> Diagnosis:
    """A tensor that is None."""
    if _parts(name, function) & {"dh0", "dc0"}:
        text = "is None; it should be the gradient that the backward of step 0 returns for the previous state"
        return Diagnosis("initial-state-gradient-not-set", f"{name} {text}.", name, "static")
    return Diagnosis("not-implemented-stub", f"{name} is None: nothing is computed for it.", name, "static")


def _another(name: str, function: Function, trials: Sequence[Trial]) -> Diagnosis | None:
    """The cause of a tensor that is exactly another one which the function should return or was given.

    Tensors of single gates are left to the diagnosis: there it is a gate that is wrong.
    """
    known = (*function.given(), *function.answered()) if FAMILIES[function.family].outputs else ()
    whole = {tensor.name: tensor for tensor in known if not any(part.gate for part in tensor.parts)}
    if name not in whole:
        return None
    candidates = {other: tensor for other, tensor in whole.items() if other != name}
    for trial in trials:
        value, values = trial.answers[function.name].tensors.get(name), trial.case.values() | trial.case.right()
        if not isinstance(value, np.ndarray) or value.ndim < 2:
            return None
        candidates = {
            other: tensor
            for other, tensor in candidates.items()
            if all(part.name in values for part in tensor.parts)
            and agrees(value, to_student(tensor, values, trial.case.layout))
        }
    if len(candidates) != 1 or not trials:
        return None
    (other,) = candidates
    message = f"{name} holds what belongs to {other}."
    evidence = {"holds": other, "seeds_agreeing": len(trials)}
    return Diagnosis("wrong-variable-returned", message, name, "exact", (), evidence)


def _perhaps_of_the_cache(causes: Sequence[Diagnosis]) -> list[Diagnosis]:
    """Two gradients in each other's place are returned so, or made of two cached arrays in each other's place."""
    held = {cause.tensor: cause.evidence.get("holds") for cause in causes}
    found = []
    for cause in causes:
        other = held[cause.tensor]
        if other is not None and held.get(other) == cause.tensor:
            message = (
                f"{cause.tensor} and {other} are exchanged: either they are returned in the wrong order, or the arrays "
                f"that they are made of are taken out of the cache in the wrong order."
            )
            also = ("cache-order-mismatch",)
            cause = dataclasses.replace(cause, certainty="ambiguous", also_matches=also, message=message)  # noqa: PLW2901
        found.append(cause)
    return found


def _turned(name: str, function: Function, trials: Sequence[Trial]) -> Diagnosis | None:
    """The cause of a tensor of three axes that is right but for their order, in its shape or only in memory."""
    orders = set(itertools.permutations(range(3))) - {(0, 1, 2)}
    flat = set(orders)
    shapes = ""
    for trial in trials:
        value, right = trial.answers[function.name].tensors.get(name), np.asarray(trial.right(function)[name])
        if not isinstance(value, np.ndarray) or right.ndim != 3:
            return None
        orders = {order for order in orders if agrees(value, right.transpose(order))}
        flat = {order for order in flat if agrees(value, right.transpose(order).reshape(right.shape))}
        shapes = f"{value.shape}, not {right.shape}"
    if not orders and flat:
        message = (
            f"{CODES['wrong-flatten'].what} {name} has the right numbers in other places: use transpose, not reshape."
        )
        return Diagnosis("wrong-flatten", message, name, "exact", (), {"seeds_agreeing": len(trials)})
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


def observation(unit: Unit, function: Function, trial: Trial, wrong: Collection[str] = ()) -> Observation:
    """What one case shows of a function, in canonical names.

    What is expected of a gradient where the forward is wrong is the one of the own forward, if it is known.
    """
    family = trial.case.family
    student = student_values(function, trial, wrong)
    if family.outputs:
        student = {n: value for n, value in student.items() if n in (*family.outputs, *family.gradients)}
    values = trial.case.right()
    if {"h", "y"} <= student.keys() and not agrees(student["h"], values["h"]):
        del student["y"]  # a prediction goes wrong with the state that it is made of
    expected = {name: values[name] for name in student}
    follows = trial.own and not trial.agrees(unit.first, outputs_of(unit.first))
    for name, gradient in (trial.own or {}).items() if follows else ():
        if f"d{name}" in expected and not agrees(student[f"d{name}"], expected[f"d{name}"]):
            expected[f"d{name}"] = gradient
    return Observation(trial.case.inputs, trial.case.merged, student, expected, trial.single(function))


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
