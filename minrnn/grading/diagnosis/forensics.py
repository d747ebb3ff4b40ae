"""What can be said of a wrong tensor when no known mistake gives its numbers: a relation to the right one, or a place.

The relation holds exactly and on every seed, or it is not named: a constant ratio, a transpose, exchanged gate blocks,
a reversed time axis, one state vector in the place of another. Otherwise: which blocks and time steps are wrong.

What this is not: a guess. A cause is not concluded from a place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import numpy as np

from minrnn.grading.diagnosis.compare import MATCH, agree, error, same_shape, wrong_cells
from minrnn.grading.reference import Array, Arrays, Family

EXAMPLES, STEPS = "the number of examples", "the number of steps"
EXACT = 1e-7  # a relation: above the noise of float32-free code and of differences that agree, far below chance


@dataclass(frozen=True)
class Observation:
    """One call of a student's function, in canonical names and layout.

    student: what it returned by name, None for what it did not compute; expected: what is right for it. single: whether
    it computes in float32.
    """

    inputs: Arrays
    upstream: Arrays
    student: Arrays
    expected: Arrays
    single: bool = False

    def tensors(self) -> list[str]:
        """Names of what can be compared."""
        return [name for name, value in self.student.items() if value is not None and name in self.expected]


@dataclass(frozen=True)
class Finding:
    """A relation of some tensors to the right ones, or only their place; `code` is unknown-cause for a place."""

    code: str
    relation: str
    tensors: tuple[str, ...]
    blocks: tuple[str, ...] = ()
    time_steps: tuple[int, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


def examine(family: Family, seeds: Sequence[Observation], wrong: Sequence[str]) -> list[Finding]:
    """Findings about the tensors in `wrong`, relations first. Tensors with the same relation are one finding."""
    named: dict[tuple[str, str], list[str]] = {}
    places: list[str] = []
    for tensor in wrong:
        relation = _common([_relation(family, seen, tensor) for seen in seeds])
        if relation:
            named.setdefault(relation, []).append(tensor)
        else:
            places.append(tensor)
    found = [Finding(code, text, tuple(tensors)) for (code, text), tensors in named.items()]
    return found + ([place(family, seeds, places)] if places else [])


def place(family: Family, seeds: Sequence[Observation], tensors: Sequence[str]) -> Finding:
    """Where these tensors are wrong on any seed: blocks, time steps, rows, and whether they are zero there."""
    blocks, steps = set(), set()
    all_blocks, all_steps = set(), set()
    for seen in seeds:
        for name in tensors:
            wrong = wrong_cells(family, name, seen.student[name], seen.expected[name])
            every = wrong_cells(
                family, name, np.full_like(seen.expected[name], np.inf, dtype=float), seen.expected[name]
            )
            blocks |= {gate for _, gate, _ in wrong if gate}
            steps |= {t for _, _, t in wrong if t >= 0}
            all_blocks |= {gate for _, gate, _ in every if gate}
            all_steps |= {t for _, _, t in every if t >= 0}
    zero = [n for n in tensors if all(not np.any(seen.student[n]) for seen in seeds)]
    details: dict[str, Any] = {"zero": zero} if zero else {}
    ranks = {n: rank for n in tensors if (rank := _rank(seeds, n)) is not None}
    if ranks:
        details["rank"] = ranks
    return Finding(
        "unknown-cause",
        "zero" if zero and len(zero) == len(tensors) else "",
        tuple(tensors),
        tuple(g for g in family.gates if g in blocks) if blocks != all_blocks else (),
        tuple(sorted(steps)) if steps != all_steps else (),
        details,
    )


def _common(relations: list[tuple[str, str] | None]) -> tuple[str, str] | None:
    """The relation that holds on every seed."""
    return relations[0] if relations and all(r == relations[0] for r in relations) else None


def _relation(family: Family, seen: Observation, tensor: str) -> tuple[str, str] | None:
    """(code, words) of the relation of a tensor to the right one, or None."""
    found, right = np.asarray(seen.student[tensor], dtype=np.float64), np.asarray(seen.expected[tensor])
    if not np.isfinite(found).all():
        return None
    if found.ndim == 0 and right.ndim == 1 and error(found, right.sum()) < EXACT:
        return "bias-gradient-scalar", "all entries of the right answer added up to one number"
    if not same_shape(np.squeeze(found), np.squeeze(right)):
        if found.ndim == 2 and found.shape == right.shape[::-1] and error(found.T, right) < EXACT:
            return "missing-transpose", "the transpose of the right answer"
        if found.size == right.size and error(found.ravel(), right.ravel()) < EXACT:
            return "wrong-flatten", "the values of the right answer in another shape"
        return None
    found = found.reshape(right.shape)
    return (
        _ratio(family, seen, tensor, found, right)
        or _rearranged(family, tensor, found, right)
        or _culprit(family, seen, tensor)
    )


def _ratio(family: Family, seen: Observation, tensor: str, found: Array, right: Array) -> tuple[str, str] | None:
    """A constant factor over the whole tensor."""
    square = float(np.sum(right * right))
    factor = float(np.sum(found * right)) / square if square else 0.0
    if factor == 0.0 or not agree(family, tensor, found, factor * right, EXACT):
        return None
    if abs(factor + 1) < EXACT:
        return "sign-flipped", "the right answer times -1"
    for name, size in _sizes(seen).items():
        if size > 1 and abs(factor * size - 1) < EXACT:
            return "mean-instead-of-sum", f"the right answer divided by {name}"
        if size > 1 and abs(factor / size - 1) < EXACT:
            return "sum-instead-of-mean", f"the right answer times {name}"
    return "constant-factor", f"the right answer times {factor:.3g}"


def _sizes(seen: Observation) -> dict[str, int]:
    """N, T and N·T where the inputs show them."""
    x = seen.inputs.get("x", seen.inputs.get("ids"))
    shape = () if x is None else np.shape(x)
    if len(shape) == 3 or ("ids" in seen.inputs and len(shape) == 2):
        N, T = shape[1], shape[0]
        return {EXAMPLES: N, STEPS: T, f"{EXAMPLES} and {STEPS}": N * T}
    return {EXAMPLES: shape[0]} if len(shape) == 2 else {STEPS: shape[0]} if len(shape) == 1 else {}


def _rearranged(family: Family, tensor: str, found: Array, right: Array) -> tuple[str, str] | None:
    """The right values in other places: transposed, reversed in time, gate blocks exchanged, all steps the same."""
    if found.ndim == 2 and found.shape[0] == found.shape[1] and error(found.T, right) < EXACT:
        return "missing-transpose", "the transpose of the right answer"
    if found.ndim == 3 and agree(family, tensor, found[::-1], right, EXACT):
        return "time-loop-wrong-direction", "the right answer with its time steps in reverse"
    if found.ndim == 3 and len(found) > 1 and error(found, np.broadcast_to(right.sum(axis=0), right.shape)) < EXACT:
        return "input-gradient-accumulated", "every step holds the sum over all steps of the right answer"
    G = len(family.gates)
    if G > 1 and tensor in ("dWx", "dWh", "db"):
        blocks, own = np.split(right, G, axis=-1), np.split(found, G, axis=-1)
        for order in permutations(range(G)):
            if all(error(own[k], blocks[j]) < EXACT for k, j in enumerate(order)):
                return "gate-order-swapped", "the right answer with the blocks of the gates in the order " + "".join(
                    family.gates[j] for j in order
                )
    return None


def _culprit(family: Family, seen: Observation, tensor: str) -> tuple[str, str] | None:
    """The state vector that stood in the place of the previous one at a single step, solved from the residual of dWh.

    With da of step t, dWh has the share h_prevᵀ da; another vector v there leaves the residual (v − h_prev)ᵀ da, which
    has at most the rank N. Least squares gives v, and v is looked for among the vectors that the function knows.
    """
    if tensor != "dWh" or family.deltas is None:
        return None
    residual = (
        np.asarray(seen.student[tensor], dtype=np.float64).reshape(seen.expected[tensor].shape) - seen.expected[tensor]
    )
    steps, vectors = family.deltas(seen.inputs, seen.upstream)
    h = [seen.inputs.get("h0", seen.inputs.get("h_prev")), *(vectors.get(f"h[{t}]") for t in range(len(steps) - 1))]
    for t, da in enumerate(steps):
        if h[t] is None or da.shape[0] >= da.shape[1]:
            continue
        if not np.isfinite(residual).all():
            return None
        solved, *_ = np.linalg.lstsq(da.T, residual.T, rcond=None)  # (N,H): v − h_prev
        if error(da.T @ solved, residual.T) > EXACT:
            continue
        for name, vector in {**vectors, "zeros": np.zeros_like(solved)}.items():
            if np.shape(vector) == solved.shape and error(solved + h[t], vector) < 1e-6:
                return "wrong-previous-state", f"{name} was used for the state before step {t}"
    return None


def _rank(seeds: Sequence[Observation], tensor: str) -> int | None:
    """The rank of what is wrong in a weight gradient, if it is low on every seed."""
    ranks = []
    for seen in seeds:
        found, right = np.asarray(seen.student[tensor], dtype=np.float64), np.asarray(seen.expected[tensor])
        if right.ndim != 2 or found.shape != right.shape or not np.isfinite(found - right).all():
            return None
        ranks.append(int(np.linalg.matrix_rank(found - right, tol=MATCH * float(np.linalg.norm(right)))))
    full = min(np.shape(seeds[0].expected[tensor]))
    return max(ranks) if ranks and 0 < max(ranks) < full else None
