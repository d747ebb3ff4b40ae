"""Finds the slips that give exactly a student's numbers: the right program runs once, a slip only from its line on."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from minrnn.grading.diagnosis.compare import WRONG, agree, error
from minrnn.grading.diagnosis.forensics import Observation
from minrnn.grading.reference import Arrays, Family
from minrnn.grading.slips.families import Written, written
from minrnn.grading.slips.generate import Change, Shapes, Slip, changes, named
from minrnn.grading.slips.program import Caches, Probe, Program, Values, environment

NUMBERS = (np.ndarray, float, int, np.number)


@dataclass
class _Start:
    """What the right program has computed: at its end; before a loop and after its first iteration, by its line."""

    end: Values
    before: dict[int, Values]
    once: dict[int, Values]


def explaining(family: Family, seeds: Sequence[Observation], tolerance: float) -> list[Slip]:
    """The slips that give every tensor on every seed, those of the forward only where a forward is seen."""
    seen = seeds[0]
    form = written(family.name, seen.inputs)
    if form is None or not all(np.size(seen.student[n]) == np.size(seen.expected[n]) for n in seen.tensors()):
        return []
    shown = [any(n in names for n in seen.tensors()) for names in (family.outputs, family.gradients)]
    found = []
    with np.errstate(all="ignore"):
        for k, program in enumerate(form.programs):
            start = _started(program, form, seen)
            tensors = _tensors(form, seen)
            if not tensors.keys() <= start.end.keys():
                continue  # it has the forward alone
            wrong = {name for name, own in tensors.items() if error(own, start.end[name]) > WRONG}
            probe = Probe(tensors, program.rows)
            for change in _changes(program, _shapes(start.end)):
                first = program.lines[change.patch[0][0]]
                if shown[first.backward] and wrong <= _reached(program, change):
                    values = _attempt(program, change, start, probe)
                    if values is not None and _agrees(family, form, values, seen, tolerance):
                        found.append(named(change, family.name, program, k))
        return [slip for slip in found if all(_fits(family, form, slip, other, tolerance) for other in seeds[1:])]


def values_of(family: Family, slip: Slip, seen: Observation) -> Arrays:
    """What the changed program returns, by canonical name."""
    form = written(family.name, seen.inputs)
    assert form is not None
    program = form.programs[slip.program]
    with np.errstate(all="ignore"):
        return _outputs(form, program.run(environment(program, form.bound(seen.inputs, seen.upstream)), slip.patch))


def follows(family: Family, slip: Slip, seen: Observation) -> bool:
    """Whether the program of a slip goes on to a backward, so that its gradients follow from it."""
    form = written(family.name, seen.inputs)
    return form is not None and form.programs[slip.program].middle < len(form.programs[slip.program].lines)


def _started(program: Program, form: Written, seen: Observation) -> _Start:
    values = environment(program, form.bound(seen.inputs, seen.upstream))
    before: dict[int, Values] = {}
    once: dict[int, Values] = {}
    k = 0
    for head, behind in program.loops.items():
        program.run(values, begin=k, end=head)
        before[head] = _copied(program, values)
        for _ in program.steps(values, begin=head, end=behind):
            if head not in once:
                once[head] = _copied(program, values)
        k = behind
    return _Start(program.run(values, begin=k), before, once)


def _copied(program: Program, values: Values) -> Values:
    """The values with own copies of the arrays that the lines write into."""
    arrays = {name: values[name].copy() for name in program.filled if name in values}
    return values | arrays | {"caches": Caches(values["caches"])}


def _shapes(values: Values) -> Shapes:
    counter = "t_new" in values  # of an update; in a loop t is an index
    return tuple((n, np.shape(v)) for n, v in values.items() if isinstance(v, NUMBERS) and (n != "t" or counter))


@cache
def _changes(program: Program, shapes: Shapes) -> tuple[Change, ...]:
    return tuple(changes(program, shapes))


def _reached(program: Program, change: Change) -> set[str]:
    places = {k for k, _ in change.patch}
    if change.edit.kind in ("target", "interleaved"):  # other names are assigned than in the right line
        stores = " ".join(part.split(" = ")[0] for _, text in change.patch for part in text.split("; "))
        places |= {k for k, line in enumerate(program.lines) if line.target in re.findall(r"\w+", stores)}
    return set().union(*(program.reach[k] for k in places))


def _tensors(form: Written, seen: Observation) -> dict[str, Any]:
    """The student's tensors by the names in the program."""
    tensors: dict[str, Any] = {}
    for name in seen.tensors():
        parts = form.outputs[name]
        value = np.reshape(np.asarray(seen.student[name], dtype=np.float64), np.shape(seen.expected[name]))
        blocks = np.split(value, len(parts), axis=-1) if len(parts) > 1 else [value]
        tensors |= dict(zip(parts, blocks, strict=True))
    return tensors


def _attempt(program: Program, change: Change, start: _Start, probe: Probe) -> Values | None:
    """The numbers of a change, None as soon as one is not the student's."""
    places = [k for k, _ in change.patch]
    begin = min(places)
    head = next((head for head, behind in program.loops.items() if begin < behind), None)
    if head is None:
        known = start.end
    elif begin <= head:
        known = start.before[head]
    else:
        known = start.before[head] | _assigned(program, start.once[head], head, begin)
    values = environment(program, _copied(program, known))
    stored = any("[" in program.lines[k].store for k in places)
    try:
        for _ in program.steps(values, change.patch, begin, None, None if stored else probe):
            pass
        for name in probe.tensors:
            probe.whole(name, values)
    except Exception:  # a slip may make what does not run
        return None
    return values


def _assigned(program: Program, once: Values, head: int, begin: int) -> Values:
    """What the first iteration has assigned before a line."""
    done = program.lines[head + 1 : begin]
    names = {line.target for line in done}
    if any(line.text.startswith("recall") for line in done):
        names |= set(program.kept)
    return {name: once[name] for name in names if name in once}


def _outputs(form: Written, values: Values) -> Arrays:
    """What a program has computed, by canonical name."""
    found: Arrays = {}
    for name, parts in form.outputs.items():
        if all(part in values for part in parts):  # a program may have the forward alone
            blocks = [np.asarray(values[part]) for part in parts]
            found[name] = np.concatenate(blocks, axis=-1) if len(blocks) > 1 else blocks[0]
    return found


def _agrees(family: Family, form: Written, values: Values, seen: Observation, tolerance: float) -> bool:
    try:
        found = _outputs(form, values)
    except ValueError:  # blocks of different shapes
        return False
    return all(n in found and agree(family, n, found[n], seen.student[n], tolerance) for n in seen.tensors())


def _fits(family: Family, form: Written, slip: Slip, seen: Observation, tolerance: float) -> bool:
    program = form.programs[slip.program]
    try:
        values = program.run(environment(program, form.bound(seen.inputs, seen.upstream)), slip.patch)
    except Exception:  # see above
        return False
    return _agrees(family, form, values, seen, tolerance)
