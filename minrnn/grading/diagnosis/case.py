"""The search for what explains one function: single mistakes, slips of its equations, pairs of mistakes. No words.

Every variant of the family is evaluated on the same inputs, and each tensor is compared by itself.
"""

from collections.abc import Sequence

import numpy as np

from minrnn.grading.diagnosis.compare import MATCH, WRONG, Cell, agree, cells, error, wrong_cells
from minrnn.grading.diagnosis.forensics import Observation
from minrnn.grading.reference import Arrays, Bug, Family
from minrnn.grading.slips import search
from minrnn.grading.slips.generate import Slip
from minrnn.grading.variants import variants_for

PAIRS = 1000  # pairs of variants that are tried, the most promising first
AFTER = 150  # … and after one that explains everything, for others that do
UNNAMED = "unknown-cause"  # the code of a slip that no code names


class Case:
    """The search for the variants that explain one function."""

    def __init__(self, family: Family, seeds: Sequence[Observation], wrong: Sequence[str], base: Bug):
        self.family, self.seeds, self.wrong = family, seeds, list(wrong)
        self.tolerance = _tolerance(seeds, wrong)
        tensors = {name for seen in seeds for name in seen.tensors()}
        self.forward = any(_is_output(family, name) for name in tensors)
        self.backward = any(name in family.gradients for name in tensors)
        self.right = base
        variants = [base] if isinstance(base, Slip) else variants_for(family.name, base)
        self.candidates = [bug for bug in variants if self._can_show(bug)]
        self._values: dict[Bug, Arrays] = {}

    def _can_show(self, bug: Bug) -> bool:
        """Whether a mistake of this side can be the cause: a backward alone cannot show one of the forward."""
        shown = self.backward if bug.side == "backward" else self.forward
        return shown or bool(self.right.code)

    def values(self, bug: Bug, seen: Observation) -> Arrays:
        """What the variant returns, by name."""
        if isinstance(bug, Slip):
            return search.values_of(self.family, bug, seen)
        with np.errstate(all="ignore"):
            found = self.family.forward(seen.inputs, bug) if self.forward else {}
            if self.backward:
                found = found | self.family.backward(seen.inputs, seen.upstream, bug)
        return found

    def first(self, bug: Bug) -> Arrays:
        """What the variant returns on the first seed, computed once."""
        key = bug
        if key not in self._values:
            self._values[key] = self.values(bug, self.seeds[0])
        return self._values[key]

    def explains(self, bug: Bug) -> bool:
        """Whether the variant gives the student's numbers: every tensor on every seed."""
        if not self._agrees(self.first(bug), self.seeds[0]):
            return False
        return all(self._agrees(self.values(bug, seen), seen) for seen in self.seeds[1:])

    def _agrees(self, values: Arrays, seen: Observation) -> bool:
        ordered = [*self.wrong, *(n for n in seen.tensors() if n not in self.wrong)]
        return all(
            n in values and agree(self.family, n, values[n], seen.student[n], self.tolerance)
            for n in ordered
            if n in seen.tensors()
        )

    def singles(self) -> list[tuple[Bug, ...]]:
        """Every variant that explains everything alone."""
        return _named([bug for bug in self.candidates if self.explains(bug)])

    def slips(self) -> list[tuple[Bug, ...]]:
        """Every slip of the equations that explains everything."""
        if self.right.code:
            return []
        return _named(search.explaining(self.family, self.seeds, self.tolerance))

    def pairs(self) -> list[tuple[Bug, ...]]:
        """Every pair of variants, of the most promising ones, that explains everything."""
        found: list[tuple[Bug, ...]] = []
        last = PAIRS
        for k, (a, b) in enumerate(self._promising()):
            if k >= last:
                break
            both = a + b if not self.right.code else _joined(self.right, a, b)
            try:
                explained = self.explains(both)
            except (ValueError, IndexError):  # two that exclude each other, such as two exchanges of tensors
                continue
            if explained:
                found.append((a, b))
                last = min(last, k + AFTER)
        return found

    def _promising(self) -> list[tuple[Bug, Bug]]:
        """Pairs that touch just the cells that are wrong, those first which alone give some of the student's cells."""
        seen = self.seeds[0]
        student = _cells_of(self.family, seen, seen.student)
        wrong = {
            c
            for n in self.wrong
            if n in seen.tensors()
            for c in wrong_cells(self.family, n, seen.student[n], seen.expected[n])
        }
        touched, hits = {}, {}
        for bug in self.candidates:
            values = self.first(bug)
            touched[bug] = {c for n in seen.tensors() for c in wrong_cells(self.family, n, values[n], seen.expected[n])}
            if touched[bug] and touched[bug] <= wrong:
                own = _cells_of(self.family, seen, values)
                hits[bug] = sum(error(own[c], student[c]) <= self.tolerance for c in wrong if c in own and c in student)
        ranked = sorted(hits, key=lambda bug: -hits[bug])
        pairs = [(a, b) for k, a in enumerate(ranked) for b in ranked[k + 1 :] if touched[a] | touched[b] == wrong]
        pairs.sort(key=lambda pair: -(max(hits[pair[0]], hits[pair[1]]) * 1000 + hits[pair[0]] + hits[pair[1]]))
        return pairs[:PAIRS]

    def one_by_one(self) -> tuple[list[list[Bug]], list[str]]:
        """For each wrong tensor the variants that touch only it and give it; and the tensors that have none."""
        explained, rest = [], []
        for tensor in self.wrong:
            local = [bug for bug in self.candidates if self._is_local(bug, tensor)]
            found = [bug for bug in local if self._gives(bug, tensor)]
            explained.append(found)
            if not found:
                rest.append(tensor)
        return [bugs for bugs in explained if bugs], rest

    def _is_local(self, bug: Bug, tensor: str) -> bool:
        right, values = self.first(self.right), self.first(bug)
        return all(error(values[n], right[n]) <= MATCH for n in self.seeds[0].tensors() if n != tensor)

    def _gives(self, bug: Bug, tensor: str) -> bool:
        with_it = [seen for seen in self.seeds if tensor in seen.tensors()]
        return all(
            agree(self.family, tensor, self.values(bug, seen)[tensor], seen.student[tensor], self.tolerance)
            for seen in with_it
        )


def _named(found: Sequence[Bug]) -> list[tuple[Bug, ...]]:
    """Single mistakes: those that have a name, if one has."""
    named = [bug for bug in found if bug.code != UNNAMED]
    return [(bug,) for bug in named or found]


def _joined(base: Bug, a: Bug, b: Bug) -> Bug:
    """Two variants on one wrong forward: its mistake once, and theirs."""
    parts = [bug for bug in (*a, *b) if bug is not base and bug.code != base.code]
    whole = base
    for part in parts:
        whole = whole + Bug(part.code, part.where, part.detail, part.side)
    return whole


def _is_output(family: Family, name: str) -> bool:
    return name in family.outputs or not family.outputs


def _tolerance(seeds: Sequence[Observation], wrong: Sequence[str]) -> float:
    """Float64 unless what is right shows the noise of float32, or something is of that type."""
    right = [(seen.student[n], seen.expected[n]) for seen in seeds for n in seen.tensors() if n not in wrong]
    noise = max((error(a, b) for a, b in right), default=0.0)
    return WRONG if any(seen.single for seen in seeds) or noise > MATCH else MATCH


def _cells_of(family: Family, seen: Observation, values: Arrays) -> dict[Cell, np.ndarray]:
    found: dict[Cell, np.ndarray] = {}
    for name in seen.tensors():
        if np.squeeze(values[name]).shape == np.squeeze(seen.expected[name]).shape:
            found |= cells(family, name, np.reshape(values[name], np.shape(seen.expected[name])))
        else:
            found[(name, "", -1)] = np.asarray(values[name])
    return found
