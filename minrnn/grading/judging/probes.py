"""Further calls of a function that is right: what it does at edge sizes, twice, in float32, for huge scores.

What they find are traits and advisories, never errors: courses' own code fails some of them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minrnn.grading.courses.profile import Function
from minrnn.grading.judging import outputs
from minrnn.grading.judging.calls import Answer, Session
from minrnn.grading.judging.trials import Trial, Unit, backward
from minrnn.grading.judging.verdict import note
from minrnn.grading.outcome.result import Note
from minrnn.grading.sandbox import Child

EDGES = ("N", "T", "H")
HUGE = 1e3


def edge_sizes(child: Child, unit: Unit, seed: int) -> dict[str, list[Note]]:
    """For each function the sizes at which it fails, with one example, one step, one unit."""
    failed: dict[str, list[str]] = {}
    for letter in EDGES:
        if not _occurs(unit, letter) or unit.first.sizes.get(letter) == 1:
            continue
        case = unit.case(seed, {letter: 1})
        trial = Trial(case, Session(child, unit.profile, case.layout))
        trial.answers[unit.first.name] = trial.session.call(unit.first, case.values())
        if unit.backward and unit.backward.name not in unit.skipped and trial.answers[unit.first.name].ok:
            trial.answers[unit.backward.name] = backward(trial, unit.first, unit.backward)
        for function in unit.functions:
            if function.name in trial.answers and not trial.agrees(function):
                failed.setdefault(function.name, []).append(f"{letter} = 1")
    return {
        name: [Note("edge-shape-failure", f"{note('edge-shape-failure').message} Here: {', '.join(sizes)}.")]
        for name, sizes in failed.items()
    }


def _occurs(unit: Unit, letter: str) -> bool:
    atoms = {a for tensor in unit.first.given() for axis in tensor.axes for summand in axis for a in summand}
    return letter in {a.rstrip("'") for a in atoms}


def second_backward(trial: Trial, function: Function) -> list[Note]:
    """What becomes of a cache that is used again."""
    first = trial.answers[function.name]
    again = trial.session.call(function, trial.case.values())
    if not again.ok:
        return [note("cache-consumed")]
    return [] if same(first, again) else [note("cache-overwritten")]


def same(a: Answer, b: Answer) -> bool:
    """Whether two answers hold the same numbers, NaN included."""
    if a.tensors.keys() != b.tensors.keys():
        return False
    return all(_equal(a.tensors[name], b.tensors[name]) for name in a.tensors)


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return type(a) is type(b) and bool(np.all(a == b))


def deterministic(child: Child, unit: Unit, trial: Trial) -> bool:
    """Whether the forward gives the same for the same arguments, as far as a second call comes to its end."""
    again = Session(child, unit.profile, trial.case.layout).call(unit.first, trial.case.values())
    return not again.ok or same(trial.answers[unit.first.name], again)


def single_precision(child: Child, unit: Unit, trial: Trial) -> list[Note]:
    """Whether inputs in float32 give results in float64."""
    values = {
        name: value.astype(np.float32) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
        for name, value in trial.case.values().items()
    }
    answer = Session(child, unit.profile, trial.case.layout).call(unit.first, values)
    wide = [t for t in answer.tensors.values() if isinstance(t, np.ndarray) and t.dtype == np.float64 and t.ndim]
    return [note("float32-upcast")] if answer.ok and wide else []


def huge_scores(child: Child, unit: Unit, trial: Trial) -> list[Note]:
    """Whether a softmax stands scores of 1000."""
    if unit.first.family != "softmax_loss":
        return []
    scores = trial.case.inputs["x"]
    one_low = scores.copy()
    one_low[0, 0] -= HUGE
    for code, x in (("softmax-not-shifted", scores + HUGE), ("softmax-global-shift", one_low)):
        answer = Session(child, unit.profile, trial.case.layout).call(unit.first, trial.case.values() | {"x": x})
        right = trial.right(unit.first)  # a softmax does not change where all scores of a row move together
        if answer.ok and not all(outputs.agrees(answer.tensors[name], right[name]) for name in right):
            return [note(code)]
    return []


def all_of(child: Child, unit: Unit, trials: Sequence[Trial], seed: int) -> dict[str, list[Note]]:
    """The traits of the functions of a unit that was found right, by name."""
    found = edge_sizes(child, unit, seed)
    first = found.setdefault(unit.first.name, [])
    first += single_precision(child, unit, trials[0])
    first += huge_scores(child, unit, trials[0])
    if unit.backward and unit.backward.name in trials[0].answers and not unit.backward.owner:
        found.setdefault(unit.backward.name, []).extend(second_backward(trials[0], unit.backward))
    return found
