"""Why a function is wrong: the named mistake that gives exactly the student's numbers, or what can be said without one.

Every variant of the family is evaluated on the same inputs, and each tensor is compared by itself. One variant must
explain all tensors on all seeds, the right ones too; if none does, two at a time; then single tensors; then forensics.
Several that give the same numbers are ambiguous, and all are named. Not a judge: nothing is diagnosed that is right.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from minrnn.grading.diagnosis import forensics
from minrnn.grading.diagnosis.compare import MATCH, WRONG, Cell, agree, cells, error, wrong_cells
from minrnn.grading.diagnosis.forensics import Finding, Observation
from minrnn.grading.diagnosis.messages import sentence
from minrnn.grading.outcome.plain import listed
from minrnn.grading.outcome.result import Diagnosis
from minrnn.grading.reference import FAMILIES, NONE, Arrays, Bug, Family
from minrnn.grading.variants import variants_for

PAIRS = 1000  # pairs of variants that are tried, the most promising first
OTHERS = 3  # explanations that are told beside the first, where several give the same numbers
AFTER = 150  # … and after one that explains everything, for others that do

__all__ = ["Observation", "diagnose", "identify"]


def diagnose(
    family: str,
    seeds: Sequence[Observation],
    own_forward: Sequence[Observation] = (),
    names: Mapping[str, str] | None = None,
) -> list[Diagnosis]:
    """The causes of what is wrong in `seeds`, most certain first; empty if nothing is.

    seeds: calls of one function on at least two different inputs. own_forward: for a backward whose forward is wrong,
    what that forward returned for the same inputs; the variants are then built on its mistake. names: what the student
    calls the canonical tensors, for the sentences.
    """
    names = names or {}
    wrong = _wrong_tensors(FAMILIES[family], seeds)
    if not wrong:
        return []
    base = next(iter(identify(family, own_forward)), NONE)
    case = _Case(FAMILIES[family], seeds, wrong, base)
    causes = case.singles() or case.pairs()
    if base.code and (base,) in causes:  # the mistake of the forward explains all: no second one is needed
        causes = [(base,)]
    if causes:
        return _told(case, causes, names)
    by_tensor, rest = case.one_by_one()
    if rest and len({bugs[0].code for bugs in by_tensor}) > 1:  # one cause behind all, and it is none of these
        by_tensor, rest = [], wrong
    found = [cause for bugs in by_tensor for cause in _told(case, [(bug,) for bug in bugs], names)]
    return [
        *found,
        *(_relation_told(f, names, len(seeds)) for f in forensics.examine(case.family, seeds, rest)),
    ]


def identify(family: str, seeds: Sequence[Observation]) -> list[Bug]:
    """The single mistakes that give exactly these numbers on every seed; empty if there is none or nothing is wrong."""
    wrong = _wrong_tensors(FAMILIES[family], seeds)
    return [bug for (bug,) in _Case(FAMILIES[family], seeds, wrong, NONE).singles()] if wrong else []


def _wrong_tensors(family: Family, seeds: Sequence[Observation]) -> list[str]:
    found = [n for s in seeds for n in s.tensors() if not agree(family, n, s.student[n], s.expected[n])]
    return list(dict.fromkeys(found))


class _Case:
    """The search for the variants that explain one function."""

    def __init__(self, family: Family, seeds: Sequence[Observation], wrong: Sequence[str], base: Bug):
        self.family, self.seeds, self.wrong = family, seeds, list(wrong)
        self.tolerance = _tolerance(seeds, wrong)
        tensors = {name for seen in seeds for name in seen.tensors()}
        self.forward = any(_is_output(family, name) for name in tensors)
        self.backward = any(name in family.gradients for name in tensors)
        self.right = base
        self.candidates = [bug for bug in variants_for(family.name, base) if self._can_show(bug)]
        self._values: dict[Bug, Arrays] = {}

    def _can_show(self, bug: Bug) -> bool:
        """Whether a mistake of this side can be the cause: a backward alone cannot show one of the forward."""
        shown = self.backward if bug.side == "backward" else self.forward
        return shown or bool(self.right.code)

    def values(self, bug: Bug, seen: Observation) -> Arrays:
        """What the variant returns, by name."""
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
        return [(bug,) for bug in self.candidates if self.explains(bug)]

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


def _told(case: _Case, causes: Sequence[tuple[Bug, ...]], names: Mapping[str, str]) -> list[Diagnosis]:
    """Diagnoses of the first explanation; the codes of the others are those that match too."""
    chosen = causes[0]
    found = []
    for k, bug in enumerate(chosen):
        others = {list(cause[k])[-1].code for cause in causes if k < len(cause)}
        own = list(bug)[-1]  # of a variant on a wrong forward, its own part
        also = tuple(sorted(others - {own.code}))
        told = [sentence(list(cause[k])[-1], names) for cause in causes if len(cause) == len(chosen) == 1]
        found.append(_diagnosis(case, own, also, told, names))
    return list({(d.code, d.tensor, d.message): d for d in found}.values())


def _diagnosis(
    case: _Case, bug: Bug, also: tuple[str, ...], told: Sequence[str], names: Mapping[str, str]
) -> Diagnosis:
    """One mistake as a diagnosis; `also` are the codes of others that give the same numbers, `told` all sentences."""
    seen = case.seeds[0]
    values, right = case.first(bug if not case.right.code else case.right + bug), case.first(case.right)
    shown = [n for n in case.wrong if n in values and error(values[n], right[n]) > WRONG] or case.wrong
    where = forensics.place(case.family, case.seeds, [n for n in shown if n in seen.tensors()])
    tensor = next((n for n in shown if n in bug.where.split()), shown[0])
    message = sentence(bug, names)
    if bug.side == "forward" and not case.forward:
        message = f"Follows from the forward pass: {message}"
    others = [text for text in dict.fromkeys(told) if text != sentence(bug, names)]
    message = " Or: ".join([message, *others[:OTHERS]])
    details = {key: str(value) for key, value in bug.detail.items() if key != "gates"}
    evidence = {
        "tensors": shown,
        "blocks": list(where.blocks),
        "time_steps": list(where.time_steps),
        "seeds_agreeing": len(case.seeds),
        "details": {"where": bug.where, **details} if bug.where else details,
    }
    return Diagnosis(bug.code, message, tensor, "ambiguous" if also or others else "exact", also, evidence)


def _relation_told(finding: Finding, names: Mapping[str, str], seeds: int) -> Diagnosis:
    """A finding of the forensics as a diagnosis."""
    tensors = listed(names.get(n, n) for n in finding.tensors)
    verb = "is" if len(finding.tensors) == 1 else "are"
    evidence = {
        "tensors": list(finding.tensors),
        "blocks": list(finding.blocks),
        "time_steps": list(finding.time_steps),
        "relation": finding.relation or None,
        "seeds_agreeing": seeds,
        "details": finding.details,
    }
    if finding.code != "unknown-cause":
        message = f"{tensors}: {finding.relation}."
        return Diagnosis(finding.code, message, finding.tensors[0], "residual", (), evidence)
    gates = "gate" if len(finding.blocks) == 1 else "the gates"
    places = [f"in {gates} {listed(finding.blocks)}"] if finding.blocks else []
    places += [f"at t = {listed(map(str, finding.time_steps))}"] if finding.time_steps else []
    how = "zero" if finding.relation == "zero" else " ".join(["wrong", *places])
    return Diagnosis(
        "unknown-cause", f"{tensors} {verb} {how}; cause unknown.", finding.tensors[0], "unknown", (), evidence
    )
