"""Central differences of a student's own forward: the gradients that a right backward of that forward has.

Every element of every input is moved, both ways; all calls go to the child as one batch where the arguments say it all.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minrnn.grading.courses.cases import Case
from minrnn.grading.courses.layout import Pieces, assemble, to_canonical, to_student
from minrnn.grading.courses.profile import Function, Profile
from minrnn.grading.judging import calls
from minrnn.grading.judging.calls import Session
from minrnn.grading.judging.outputs import fitted
from minrnn.grading.reference import Array
from minrnn.grading.sandbox import Child

STEP, SINGLE_STEP = 6e-6, 5e-3  # of a forward in float64 and in float32

Move = tuple[str, int, float]  # of a canonical input the element k, upward or downward by so much


def canonical_outputs(
    function: Function, tensors: Mapping[str, Any], case: Case, last: Collection[str] = ()
) -> dict[str, Array]:
    """What the student returned, by canonical names; tensors of another shape are left out.

    Where two tensors stand for the same, such as the gradients of two biases, those named in `last` count.
    """
    pieces: Pieces = {}
    for tensor in sorted(function.answered(), key=lambda tensor: tensor.name in last):
        value = fitted(tensors.get(tensor.name), tensor.shape(case.layout))
        if value is not None:
            pieces |= to_canonical(tensor, value, case.layout)
    return assemble(pieces, case.layout)


def own_gradients(
    child: Child, profile: Profile, function: Function, case: Case, names: Collection[str], step: float = STEP
) -> dict[str, Array] | None:
    """Gradients of Σ output · upstream by central differences; None where the forward fails or returns something else.

    names: of the canonical inputs. step: how far an element is moved, times its size where that is more than 1. A loss
    without an upstream counts once.
    """
    gradients = {name: np.zeros(np.shape(case.inputs[name])) for name in names}
    moves = [(name, k, sign * step) for name in names for k in range(gradients[name].size) for sign in (1, -1)]
    for (name, k, by), value in zip(moves, _objectives(child, profile, function, case, moves), strict=False):
        if value is None:
            return None
        size = max(1.0, abs(float(case.inputs[name].flat[k])))
        gradients[name].flat[k] += value / (2 * by * size)
    return gradients


def _moved(array: Array, k: int, by: float) -> Array:
    moved = np.array(array, dtype=np.float64)
    moved.flat[k] += by * max(1.0, abs(moved.flat[k]))
    return moved


def _objectives(
    child: Child, profile: Profile, function: Function, case: Case, moves: Sequence[Move]
) -> Iterator[float | None]:
    weights = _weights(function, case)
    for tensors in _answers(child, profile, function, case, moves):
        values = {name: fitted(tensors.get(name), np.shape(weight)) for name, weight in weights.items()}
        if not weights or any(value is None for value in values.values()):
            yield None
            return
        yield float(sum(np.sum(values[name] * weight) for name, weight in weights.items()))


def _weights(function: Function, case: Case) -> dict[str, Array]:
    """What each returned tensor is multiplied with: the upstream in its layout."""
    upstream = case.upstream or {"dloss": np.asarray(1.0)}
    found = {}
    for tensor in function.answered():
        parts = tuple(dataclasses.replace(part, name=f"d{part.name}") for part in tensor.parts)
        if all(part.name in upstream for part in parts):
            found[tensor.name] = to_student(dataclasses.replace(tensor, parts=parts), upstream, case.layout)
    return found


def _answers(
    child: Child, profile: Profile, function: Function, case: Case, moves: Sequence[Move]
) -> Iterator[Mapping[str, Any]]:
    """The returned tensors for each move, by name."""
    values = case.values()
    if function.owner or function.globals or function.objects():
        for name, k, by in moves:
            moved = values | {name: _moved(case.inputs[name], k, by)}
            yield Session(child, profile, case.layout).call(function, moved).tensors
        return
    session = Session(child, profile, case.layout)
    base = session.arguments(function, values)
    arguments = []
    for name, k, by in moves:
        moved = values | {name: _moved(case.inputs[name], k, by)}
        arguments.append(session.arguments(function, moved, base=base, changed=name))
    for reply in child.call_many(function.name, arguments, keep=calls.kept(function.returns)):
        yield dict(calls.taken(function.returns, reply.value)) if reply.ok else {}
