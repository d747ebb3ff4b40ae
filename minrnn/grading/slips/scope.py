"""What may stand in the place of a name of a program: names of the same shape that have a value there. No slips."""

import re
from collections import defaultdict
from dataclasses import dataclass

from minrnn.grading.slips.edits import Edit
from minrnn.grading.slips.program import Patch, Program

Shapes = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Change:
    """A slip without a name: the lines that it changes, and how."""

    patch: Patch
    edit: Edit


def like_of(shapes: Shapes) -> dict[str, list[str]]:
    """Each name with those of the same shape."""
    by_shape: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for name, shape in shapes:
        by_shape[shape].append(name)
    return {name: [other for other in by_shape[shape] if other != name] for name, shape in shapes}


def known_at(program: Program, k: int, like: dict[str, list[str]]) -> dict[str, list[str]]:
    """The names that have a value before line k, or one of the step before."""
    line = program.lines[k]
    later = {other.target for other in program.lines[k:]} - {other.target for other in program.lines[:k]}
    carried = {name for name in later if name.endswith("carry")}
    forward = {name for name in later if line.backward} & set(program.kept)
    lost = later - carried - forward - {line.target}
    if line.target in later:
        lost.add(line.target)
    sums = {name for name in like if re.match(r"D(W|b)", name)}
    history = {name for name in like if name[0].isupper() or name.startswith(("rows", "G"))} - sums
    lost |= set() if line.target in sums else sums
    return {
        name: [o for o in others if o not in lost and (o in history) == (name in history)]
        for name, others in like.items()
        if name not in lost
    }
