"""What a wrong variant and a family of functions are: a named deviation, and the right mathematics it deviates from.

A `Bug` names one mistake. The reference code of a family asks it, at the line that the mistake changes, whether it is
the one: `if bug.backward("missing-time-carry"): …`. So every wrong variant stands beside the right line, and the right
answer is the same code with `NONE`.

What this is not: a list of the mistakes. Which bugs a family has is said in minrnn.grading.variants.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

Array = np.ndarray
Arrays = dict[str, Any]  # arrays by canonical name, and the few numbers that go with them


@dataclass(frozen=True)
class Bug:
    """One mistake, and with `a + b` two of them at once.

    Attributes:
        code: what is wrong, a code of the grading reference.
        where: in what: a tensor ("dWx"), gates by their letters ("f", "ifo"), a state, an end of the loop, or "".
        detail: what else tells this variant from others of its code, such as {"order": "ifgo"}.
        side: "forward" if the outputs are wrong, "backward" if only the gradients are.
        also: further bugs that are present at the same time.
    """

    code: str
    where: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict, hash=False)
    side: str = "backward"
    also: tuple["Bug", ...] = ()

    def __iter__(self) -> Iterator["Bug"]:
        yield self
        for other in self.also:
            yield from other

    def __add__(self, other: "Bug") -> "Bug":
        if not other.code:
            return self
        if not self.code:
            return other
        return Bug(self.code, self.where, self.detail, self.side, (*self.also, other))

    def __str__(self) -> str:
        detail = " ".join(f"{k}={v}" for k, v in self.detail.items())
        own = " ".join(part for part in (self.code, self.where, detail) if part)
        return " + ".join([own, *map(str, self.also)])

    @cached_property
    def _by_code(self) -> dict[tuple[str, str], list["Bug"]]:
        """All bugs by code and side: a cell asks a hundred questions in each step."""
        table: dict[tuple[str, str], list[Bug]] = {}
        for bug in self:
            table.setdefault((bug.code, bug.side), []).append(bug)
        return table

    def find(self, code: str, side: str = "backward", where: str | None = None) -> "Bug | None":
        """The mistake `code` itself (there, if a place is given), for its detail; None if it is not present."""
        for bug in self._by_code.get((code, side), ()):
            if where is None or bug.where == where:
                return bug
        return None

    def holding(self, code: str, detail: str) -> "Bug | None":
        """The mistake `code` of the backward that has this detail; None if it is not present."""
        return next((bug for bug in self._by_code.get((code, "backward"), ()) if detail in bug.detail), None)

    def forward(self, code: str, where: str | None = None) -> bool:
        """Whether the forward pass has the mistake `code` (there, if a place is given)."""
        return self.find(code, "forward", where) is not None

    def backward(self, code: str, where: str | None = None) -> bool:
        """Whether the backward pass has the mistake `code` (there, if a place is given)."""
        return self.find(code, "backward", where) is not None

    def on(self, code: str, letter: str, side: str = "backward") -> "Bug | None":
        """The mistake `code` if it concerns the gate `letter`: one of the letters of its place, which is no tensor."""
        for bug in self._by_code.get((code, side), ()):
            if letter in bug.where and not bug.where.startswith("d"):
                return bug
        return None


NONE = Bug("")

Forward = Callable[[Arrays, Bug], Arrays]
Backward = Callable[[Arrays, Arrays, Bug], Arrays]


@dataclass(frozen=True)
class Family:
    """Functions that compute the same thing, in the canonical layout: time-major, row vectors, fused gate blocks.

    Attributes:
        name: such as "lstm_sequence".
        inputs: names of the arguments; those in `optional` may be left out.
        outputs: names of what the forward returns. The upstream of output y is called dy.
        gradients: names of what the backward returns; empty if there is none.
        gates: the letters of the blocks of Wx, Wh and b, in their order; empty without blocks.
        run: (inputs, bug) -> outputs.
        reverse: (inputs, upstream, bug) -> gradients; it runs its own forward, with the same bug.
        deltas: (inputs, upstream) -> (da of every step, name -> vectors that a step could have used), for forensics.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    gradients: tuple[str, ...]
    run: Forward
    reverse: Backward | None = None
    optional: tuple[str, ...] = ()
    gates: str = ""
    deltas: Callable[[Arrays, Arrays], tuple[list[Array], dict[str, Array]]] | None = None

    def forward(self, inputs: Arrays, bug: Bug = NONE) -> Arrays:
        """Outputs by name, in float64, of the right forward or of a wrong variant."""
        return self.run(inputs, bug)

    def backward(self, inputs: Arrays, upstream: Arrays, bug: Bug = NONE) -> Arrays:
        """Gradients by name, in float64, of the right backward or of a wrong variant."""
        if self.reverse is None:
            raise ValueError(f"{self.name} has no backward pass")
        return self.reverse(inputs, upstream, bug)
