"""Why a function is wrong: the named mistake that gives exactly the student's numbers, or what can be said without one.

One variant must explain all tensors on all seeds, the right ones too; if none does, one slip of the equations; then two
variants at a time; then single tensors; then forensics. Several that give the same numbers are ambiguous, and all are
named. Not a judge: nothing is diagnosed that is right.
"""

from collections.abc import Mapping, Sequence

from minrnn.grading.diagnosis import forensics
from minrnn.grading.diagnosis.case import UNNAMED, Case
from minrnn.grading.diagnosis.compare import WRONG, agree, error
from minrnn.grading.diagnosis.forensics import Finding, Observation
from minrnn.grading.diagnosis.messages import sentence
from minrnn.grading.outcome.plain import listed
from minrnn.grading.outcome.result import Diagnosis
from minrnn.grading.reference import FAMILIES, NONE, Bug, Family
from minrnn.grading.slips import search
from minrnn.grading.slips.generate import Slip
from minrnn.grading.variants import ALSO

OTHERS = 3  # explanations that are told beside the first, where several give the same numbers

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
    base = _base(FAMILIES[family], seeds, wrong, identify(family, own_forward))
    case = Case(FAMILIES[family], seeds, wrong, base)
    causes = case.singles() or case.slips() or case.pairs()
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
    if not wrong:
        return []
    case = Case(FAMILIES[family], seeds, wrong, NONE)
    return [bug for (bug,) in case.singles() or case.slips()]


def _base(family: Family, seeds: Sequence[Observation], wrong: Sequence[str], found: Sequence[Bug]) -> Bug:
    """The mistake of the forward that the backward stands on: of slips only one from which all follows."""
    for bug in found:
        if not isinstance(bug, Slip):
            return bug
        if search.follows(family, bug, seeds[0]) and Case(family, seeds, wrong, bug).explains(bug):
            return bug
    return NONE


def _wrong_tensors(family: Family, seeds: Sequence[Observation]) -> list[str]:
    found = [n for s in seeds for n in s.tensors() if not agree(family, n, s.student[n], s.expected[n])]
    return list(dict.fromkeys(found))


def _told(case: Case, causes: Sequence[tuple[Bug, ...]], names: Mapping[str, str]) -> list[Diagnosis]:
    """Diagnoses of the first explanation; the codes of the others are those that match too."""
    chosen = causes[0]
    found = []
    for k, bug in enumerate(chosen):
        others = {code for cause in causes if k < len(cause) for code in _codes(list(cause[k])[-1])}
        own = list(bug)[-1]  # of a variant on a wrong forward, its own part
        also = tuple(sorted(others - {own.code}))
        told = [sentence(list(cause[k])[-1], names) for cause in causes if len(cause) == len(chosen) == 1]
        found.append(_diagnosis(case, own, also, told, names))
    return list({(d.code, d.tensor, d.message): d for d in found}.values())


def _codes(bug: Bug) -> set[str]:
    """The code of a mistake, and other fair names of it."""
    if isinstance(bug, Slip):
        return {bug.code, *bug.others}
    places = [bug.where, *(f"{key}={value}" for key, value in bug.detail.items())]
    return {bug.code}.union(*(ALSO.get((bug.code, place), ()) for place in places))


def _diagnosis(case: Case, bug: Bug, also: tuple[str, ...], told: Sequence[str], names: Mapping[str, str]) -> Diagnosis:
    """One mistake as a diagnosis; `also` are the codes of others that give the same numbers, `told` all sentences."""
    seen = case.seeds[0]
    alone = not case.right.code or isinstance(bug, Slip)
    values, right = case.first(bug if alone else case.right + bug), case.first(case.right)
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
    certainty = "unknown" if bug.code == UNNAMED else "ambiguous" if also or others else "exact"
    return Diagnosis(bug.code, message, tensor, certainty, also, evidence)


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
