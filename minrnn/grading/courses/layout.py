"""Where a course keeps its numbers: from the canonical arrays of a family to the tensors of a student, and back.

A course's tensor is described by one line, and the line is all that this module knows of the course:

    x: N T D                    the canonical x with its axes in this order
    prev_h: N H = h_prev        another name for it
    Wh: H' H                    an axis that occurs twice has a prime where it is the output: this is Wh transposed
    b: H 1                      an axis of size 1
    Wx: D 4H                    fused gates, in the order that the function states
    Wf: H' (H+D) = Wh.f + Wx.f  the block of gate f of two arrays, one beside the other
    Wz: (H+D) H' = -Wh.z - Wx.z the same with the other sign
    hs: (1+T) N H = h0 + h      one array that begins with another
    out: (T N) V = y            axes as one
    inputs: [T] = ids           a Python list along the first axis
    dW: H' D = dWx / N          divided by sizes

What this is not: a list of courses (courses.profiles) or the canonical mathematics (grading.reference).
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray
Atoms = tuple[str, ...]  # letters of axes: "N", "H'", and "G" for the gates

SIZES = {"N": 3, "T": 4, "D": 5, "H": 7, "V": 11, "M": 6, "K": 2, "L": 3, "P": 1}
LETTERS = frozenset(SIZES)

_ATOM = re.compile(r"([34])?([A-Z])(')?|1")
_PART = re.compile(r"([+-]?)\s*([A-Za-z_]\w*)(?:\.([a-z]))?")


class LayoutError(ValueError):
    """A line that does not describe a tensor, or an array that does not have the described shape."""


@dataclass(frozen=True)
class Part:
    """A canonical array, or its block of one gate, with a sign."""

    name: str
    gate: str = ""
    sign: int = 1


@dataclass(frozen=True)
class Tensor:
    """One array of a student, as its line says.

    Attributes:
        name: in the course's terms.
        axes: for each axis the letters of every summand; more than one where parts stand beside each other.
        parts: what it is made of; one, or one for each summand.
        is_list: a Python list along the first axis.
        divisor: letters of the sizes that it is divided by.
    """

    name: str
    axes: tuple[tuple[Atoms, ...], ...]
    parts: tuple[Part, ...]
    is_list: bool = False
    divisor: Atoms = ()

    def shape(self, layout: "Layout") -> tuple[int, ...]:
        """The shape that a right array has."""
        return tuple(sum(layout.size(summand) for summand in axis) for axis in self.axes)


@dataclass(frozen=True)
class Layout:
    """What the letters mean for one function and one set of inputs.

    Attributes:
        axes: canonical name -> letters of its axes; adjacent "G", "H'" are one axis of the canonical array.
        gates: letters of the canonical blocks, in their order.
        order: the same letters in the course's order.
        sizes: letter -> size.
    """

    axes: Mapping[str, Atoms]
    gates: str
    order: str
    sizes: Mapping[str, int]

    def size(self, atoms: Atoms) -> int:
        """The product of the sizes of some letters."""
        return math.prod(len(self.gates) if a == "G" else self.sizes[a.rstrip("'")] for a in atoms)

    def canonical_shape(self, name: str) -> tuple[int, ...]:
        """The shape of a canonical array, gates fused with the axis after them."""
        return tuple(self.size(group) for group in _groups(self.axes[name]))


def parse(line: str) -> Tensor:
    """The tensor that a line describes. Raises LayoutError that says what is not understood."""
    name, colon, rest = (piece.strip() for piece in line.partition(":"))
    if not colon or not name.isidentifier():
        raise LayoutError(f"{line!r} does not begin with a name and a colon: write such as 'x: N T D'")
    shape, _, source = (piece.strip() for piece in rest.partition("="))
    source, _, divisor = (piece.strip() for piece in source.partition("/"))
    is_list = shape.startswith("[")
    axes = tuple(_axis(token, line) for token in _tokens(shape.replace("[", "").replace("]", ""), line))
    parts = tuple(_parts(source or name, line))
    beside = [axis for axis in axes if len(axis) > 1]
    if len(beside) > 1 or (len(parts) > 1) != bool(beside) or (beside and len(beside[0]) != len(parts)):
        raise LayoutError(f"{line!r} has {len(parts)} parts: give one axis as many summands, such as (H+D)")
    letters = tuple(divisor.split())
    if not LETTERS.issuperset(letters):
        raise LayoutError(f"{line!r} is divided by {divisor!r}: use the letters {' '.join(sorted(LETTERS))}")
    return Tensor(name, axes, parts, is_list, letters)


def _tokens(shape: str, line: str) -> list[str]:
    if shape == "scalar":
        return []
    tokens = re.findall(r"\([^()]*\)|[^\s()]+", shape)
    if not tokens or "".join(tokens).replace(" ", "") != shape.replace(" ", ""):
        raise LayoutError(f"{line!r} has no axes: name them by letters, or write 'scalar'")
    return tokens


def _axis(token: str, line: str) -> tuple[Atoms, ...]:
    summands = token.strip("()").split("+")
    return tuple(tuple(a for word in summand.split() for a in _atoms(word, line)) for summand in summands)


def _atoms(word: str, line: str) -> Atoms:
    match = _ATOM.fullmatch(word)
    if not match or (match[2] and match[2] not in LETTERS):
        raise LayoutError(f"{line!r}: {word!r} is no axis; axes are 1, 4H, 3H and {' '.join(sorted(LETTERS))}")
    if word == "1":
        return ()
    return ("G", "H'") if match[1] else (match[2] + (match[3] or ""),)


def _parts(source: str, line: str) -> Iterable[Part]:
    position = 0
    text = source.strip()
    while position < len(text):
        match = _PART.match(text, position)
        if not match or (position and not match[1]):
            raise LayoutError(f"{line!r}: {text[position:]!r} is not a canonical name, such as h_prev or Wx.f")
        yield Part(match[2], match[3] or "", -1 if match[1] == "-" else 1)
        position = match.end() + len(text[match.end() :]) - len(text[match.end() :].lstrip())


def to_student(tensor: Tensor, values: Mapping[str, Any], layout: Layout) -> Any:
    """A fresh array, list or number of the course, made of the canonical values by name."""
    pieces = []
    for k, part in enumerate(tensor.parts):
        atoms, target = _letters(part, layout), _target(tensor, k)
        source = _block(part, np.asarray(values[part.name]), layout)
        present = _matched([a for axis in target for a in axis], atoms, layout, tensor)
        absent = [a for a in atoms if a not in present]
        moved = source.transpose([atoms.index(a) for a in (*absent, *present)])
        piece = moved.reshape([layout.size(axis) for axis in target])
        pieces.append(-piece if part.sign < 0 else piece)
    beside = next((k for k, axis in enumerate(tensor.axes) if len(axis) > 1), 0)
    array = np.concatenate(pieces, axis=beside) if len(pieces) > 1 else np.array(pieces[0], order="C")
    if tensor.divisor:
        array = array / layout.size(tensor.divisor)
    if tensor.is_list:
        return [item.copy() if item.ndim else item.item() for item in array]
    return array if array.ndim else array[()]


def _target(tensor: Tensor, k: int) -> list[Atoms]:
    return [axis[k] if len(axis) > 1 else axis[0] for axis in tensor.axes]


def _groups(atoms: Atoms) -> list[Atoms]:
    """The axes of a canonical array: gates and units are one, K and L are one."""
    groups: list[Atoms] = []
    for a in atoms:
        if groups and (groups[-1][-1], a) in (("G", "H'"), ("K", "L")):
            groups[-1] = (*groups[-1], a)
        else:
            groups.append((a,))
    return groups


def _letters(part: Part, layout: Layout) -> list[str]:
    """The letters of a canonical array, or of its block of one gate."""
    if part.name not in layout.axes:
        raise LayoutError(f"there is no canonical {part.name!r} here, only {', '.join(sorted(layout.axes))}")
    atoms = list(layout.axes[part.name])
    if not part.gate:
        return atoms
    if "G" not in atoms:
        raise LayoutError(f"{part.name} has no gates, so there is no {part.name}.{part.gate}")
    if part.gate not in layout.gates:
        raise LayoutError(f"{part.name}.{part.gate}: the gates are {' '.join(layout.gates)}")
    return [a for a in atoms if a != "G"]


def _block(part: Part, array: Array, layout: Layout) -> Array:
    """The part with one axis for each of its letters; gates in the order of the course."""
    atoms = layout.axes[part.name]
    apart = array.reshape([layout.size((a,)) for a in atoms])
    if "G" not in atoms:
        return apart
    blocks = layout.gates.index(part.gate) if part.gate else [layout.gates.index(g) for g in layout.order]
    return apart.take(blocks, axis=atoms.index("G"))


def check(tensor: Tensor, layout: Layout) -> None:
    """Raise LayoutError where a line does not fit the canonical arrays that it names."""
    for k, part in enumerate(tensor.parts):
        _matched([a for axis in _target(tensor, k) for a in axis], _letters(part, layout), layout, tensor)


def _matched(wanted: Sequence[str], atoms: Sequence[str], layout: Layout, tensor: Tensor) -> list[str]:
    """The course's letters as canonical ones: H may stand for H' alone; what is left out must have size 1."""
    found = []
    for letter in wanted:
        other = letter.rstrip("'") if letter.endswith("'") else letter + "'"
        known = letter if letter in atoms else other
        if known not in atoms:
            raise LayoutError(f"{tensor.name} has an axis {letter}, its source has {' '.join(atoms) or 'none'}")
        found.append(known)
    missing = [a for a in atoms if a not in found]
    if layout.size(tuple(missing)) != 1 or len(set(found)) < len(found):
        raise LayoutError(f"{tensor.name} has the axes {' '.join(wanted)}, its source {' '.join(atoms)}")
    return found


Pieces = dict[tuple[str, str], Array]  # (canonical name, gate or "") -> array with the canonical axes


def to_canonical(tensor: Tensor, value: Any, layout: Layout) -> Pieces:
    """The canonical parts that a tensor of the course holds. Raises LayoutError if it has another shape."""
    array = np.asarray(value)
    if array.shape != tensor.shape(layout):
        raise LayoutError(f"{tensor.name} has shape {array.shape}, not {tensor.shape(layout)}")
    beside = next((k for k, axis in enumerate(tensor.axes) if len(axis) > 1), 0)
    if len(tensor.parts) > 1:
        ends = np.cumsum([layout.size(summand) for summand in tensor.axes[beside]])[:-1]
        pieces = np.split(array, ends, axis=beside)
    else:
        pieces = [array]
    if tensor.divisor:
        pieces = [piece * layout.size(tensor.divisor) for piece in pieces]
    return {
        (part.name, part.gate): _restored(tensor, k, part, piece, layout)
        for k, (part, piece) in enumerate(zip(tensor.parts, pieces, strict=True))
    }


def _restored(tensor: Tensor, k: int, part: Part, piece: Array, layout: Layout) -> Array:
    atoms = _letters(part, layout)
    present = _matched([a for axis in _target(tensor, k) for a in axis], atoms, layout, tensor)
    absent = [a for a in atoms if a not in present]
    apart = piece.reshape([layout.size((a,)) for a in (*absent, *present)])
    moved = apart.transpose([[*absent, *present].index(a) for a in atoms])
    if "G" in atoms:
        moved = moved.take([layout.order.index(g) for g in layout.gates], axis=atoms.index("G"))
    fused = moved.reshape([layout.size(group) for group in _groups(tuple(atoms))])
    return -fused if part.sign < 0 else fused


def assemble(pieces: Mapping[tuple[str, str], Array], layout: Layout) -> dict[str, Array]:
    """Canonical arrays out of their parts; an array of which a gate is missing is left out."""
    whole = {name: array for (name, gate), array in pieces.items() if not gate}
    for name in {name for name, gate in pieces if gate} - whole.keys():
        blocks = [pieces.get((name, gate)) for gate in layout.gates]
        if all(block is not None for block in blocks):
            whole[name] = np.concatenate([block for block in blocks if block is not None], axis=-1)
    return whole
