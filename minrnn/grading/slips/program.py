"""Runs the programs of equations.py, with or without a slip, and stops as soon as a number is not the student's.

A program is a list of lines with a loop around some of them in its forward, and another one in its backward. Lines are
compiled once for the process.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from types import CodeType
from typing import Any

import numpy as np

from minrnn.grading.reference.units import sigmoid

Values = dict[str, Any]
Patch = tuple[tuple[int, str], ...]  # lines by their number, with what stands there instead


@dataclass(frozen=True)
class Line:
    """One line: `deep` inside of a loop, `own` if slips of it belong to this program."""

    text: str
    deep: bool
    backward: bool
    own: bool = True

    @cached_property
    def target(self) -> str:
        """The name that is assigned, "" where there is none."""
        found = re.match(r"(\w+)(\[.*?\])? = ", self.text)
        return found[1] if found else ""

    @property
    def store(self) -> str:
        """What stands before the equals sign."""
        return self.text.split(" = ")[0]

    @property
    def expression(self) -> str:
        """What stands after it."""
        return self.text.partition(" = ")[2]


@dataclass(frozen=True)
class Program:
    """Lines, those of the forward first; `middle` is the number of the first line of the backward.

    `kept` are the names that the backward of a step reads from the cache.
    """

    lines: tuple[Line, ...]
    kept: tuple[str, ...] = ()
    middle: int = 0

    @cached_property
    def loops(self) -> dict[int, int]:
        """The loops: number of the line with `for`, and of the first line behind."""
        heads = [k for k, line in enumerate(self.lines) if line.text.startswith("for ")]
        return {
            k: next((j for j in range(k + 1, len(self.lines)) if not self.lines[j].deep), len(self.lines))
            for k in heads
        }

    @cached_property
    def rows(self) -> dict[str, str]:
        """The histories, by the name whose value becomes their row t."""
        found = (re.fullmatch(r"(\w+)\[t\] = (\w+)", line.text) for line in self.lines)
        return {match[2]: match[1] for match in found if match}

    @cached_property
    def filled(self) -> tuple[str, ...]:
        """The arrays that are written row by row."""
        return tuple({line.target for line in self.lines if "[" in line.store and line.target != "caches"})

    @cached_property
    def reach(self) -> tuple[frozenset[str], ...]:
        """For each line the names whose values depend on it."""
        reads = [set(re.findall(r"\b[A-Za-z_]\w*", line.expression or line.text)) for line in self.lines]
        reads = [set(self.kept) if line.target == "caches" else r for r, line in zip(reads, self.lines, strict=True)]
        found = [{line.target} for line in self.lines]
        size = 0
        while size < sum(map(len, found)):
            size = sum(map(len, found))
            later: dict[str, set[str]] = {}
            for names, reached in zip(reads, found, strict=True):
                for name in names:
                    later.setdefault(name, set()).update(reached)
            for k, line in enumerate(self.lines):
                found[k] |= later.get(line.target, set())
                if line.text.startswith(("for", "caches", "recall")):
                    found[k] |= set().union(*found[k:])
        return tuple(map(frozenset, found))

    def run(self, values: Values, patch: Patch = (), begin: int = 0, end: int | None = None) -> Values:
        """Execute lines in place of what `values` holds."""
        for _ in self.steps(values, patch, begin, end):
            pass
        return values

    def steps(
        self, values: Values, patch: Patch = (), begin: int = 0, end: int | None = None, seen: "Probe | None" = None
    ) -> Iterator[int]:
        """Execute lines, and yield the number of a loop's first line after each of its iterations.

        A `begin` inside of a loop is for its first iteration. Raises DiffersError where `seen` shows other numbers.
        """
        texts = [line.text for line in self.lines]
        for k, text in patch:
            texts[k] = text
        stop, k = len(texts) if end is None else end, begin
        while k < stop:
            head = next((h for h, last in self.loops.items() if h <= k < last), None)
            if head is None:
                exec(_compiled(texts[k]), values)
                if seen is not None and k >= max(self.loops.values(), default=0):
                    seen.whole(self.lines[k].target, values)
                k += 1
                continue
            first, k = max(k, head + 1), self.loops[head]
            for t in eval(_compiled(texts[head][4:-1].partition(" in ")[2], "eval"), values):
                values["t"] = t
                for j in range(first, k):
                    exec(_compiled(texts[j]), values)
                    if seen is not None and "[" not in self.lines[j].text:
                        seen.row(self.lines[j].target, values, t)
                first = head + 1
                yield head


@cache
def _compiled(text: str, mode: str = "exec") -> CodeType:
    return compile(text, "<equation>", mode)


class DiffersError(Exception):
    """A number is not the student's."""


class Probe:
    """Two numbers of each tensor of the student, or of each of its rows, to be held against a program's."""

    def __init__(self, tensors: Mapping[str, np.ndarray], rows: Mapping[str, str]) -> None:
        self.tensors = tensors
        self.rows = {name: history for name, history in rows.items() if history in tensors}
        self.size = {name: 1e-5 * float(np.max(np.abs(value), initial=1e-9)) for name, value in tensors.items()}

    def row(self, name: str, values: Values, t: int) -> None:
        """Compare a value that becomes a row of a history."""
        history = self.rows.get(name)
        if history is not None:
            self._compare(np.asarray(values[name]), self.tensors[history][t], self.size[history])

    def whole(self, name: str, values: Values) -> None:
        """Compare a tensor."""
        if name in self.tensors:
            self._compare(np.asarray(values[name]), self.tensors[name], self.size[name])

    @staticmethod
    def _compare(found: np.ndarray, own: np.ndarray, size: float) -> None:
        if found.size != own.size:
            raise DiffersError
        for k in (0, -1) if own.size else ():
            a, b = found.flat[k], own.flat[k]
            if not abs(a - b) <= size and not (np.isnan(a) and np.isnan(b)):
                raise DiffersError


def _pick(p: np.ndarray, index: np.ndarray) -> np.ndarray:
    """The entries p[..., index] of the last axis."""
    return np.take_along_axis(p, np.asarray(index)[..., None], axis=-1)[..., 0]


def _one_hot(index: np.ndarray, size: int) -> np.ndarray:
    return np.eye(size)[np.asarray(index)]


def _interleaved(*blocks: np.ndarray) -> list[np.ndarray]:
    """The blocks that are read where unit by unit the gates stand side by side."""
    whole = np.concatenate(blocks, axis=-1)
    return [whole[..., k :: len(blocks)] for k in range(len(blocks))]


NUMERIC: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in ("tanh", "exp", "log", "sqrt", "where", "abs", "outer")},
    "clip_to": np.clip,
    "interleaved": _interleaved,
    "zeros": np.zeros_like,
    "relu": lambda a: np.maximum(a, 0.0),
    "sigmoid": sigmoid,
    "pick": _pick,
    "one_hot": _one_hot,
    "padded": lambda first, rows: np.concatenate([[first], rows]),
}


class Caches(dict[int, Values]):
    """What the steps kept; a negative index counts from the end, as that of a list."""

    def __missing__(self, t: int) -> Values:
        if not -len(self) <= t < 0:
            raise IndexError(t)
        return self[t + len(self)]


def environment(program: Program, known: Mapping[str, Any]) -> Values:
    """What the lines see: functions, what is known already, and the caches of a loop."""
    values: Values = {**NUMERIC, "caches": Caches(), **known}
    values["values"] = lambda: {name: values[name] for name in program.kept if name in values}
    values["recall"] = values.update
    return values
