"""The programs of every family: steps, the loops around them in several ways of writing, and what they take and return.

No slip is made here, and no number: edits.py and program.py do that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from minrnn.grading.reference import Arrays
from minrnn.grading.slips import around, equations
from minrnn.grading.slips.program import Line, Program


@dataclass(frozen=True)
class Written:
    """A family as programs that compute the same.

    Attributes:
        programs: the first has the slips of the steps, the others those of their own loops.
        outputs: canonical name -> names in the program, side by side along the last axis.
        gates: letters of the blocks of the weights.
    """

    programs: tuple[Program, ...]
    outputs: Mapping[str, tuple[str, ...]]
    gates: str = ""
    states: str = ""

    def bound(self, inputs: Mapping[str, Any], upstream: Mapping[str, Any]) -> Arrays:
        """The inputs by the names of the programs."""
        if not self.states:
            return around.bound(inputs, upstream)
        found: Arrays = {}
        for name, value in inputs.items():
            found |= _blocks(name, value, self.gates) if name in ("Wx", "Wh", "b") else {name: value}
        x = np.asarray(inputs["x"])
        found |= {"N": x.shape[-2], "T": len(x) if x.ndim == 3 else 1}
        if x.ndim == 2:
            zeros = np.zeros(np.shape(inputs["h_prev"]))
            return found | {"dh": upstream.get("dh", zeros), "dc_next": upstream.get("dc", zeros)}
        h0 = np.asarray(inputs["h0"], dtype=np.float64)
        rows = np.zeros((len(x), *h0.shape))
        found |= {"X": x, "h0": h0, "c0": inputs.get("c0", np.zeros_like(h0)), "rows": rows}
        if "Wy" in inputs:
            found["rows_y"] = np.zeros((len(x), len(h0), np.shape(inputs["Wy"])[1]))
        return found | {"dH": upstream.get("dh", rows), "dC": upstream.get("dc", rows)}


def _blocks(name: str, value: Any, gates: str) -> Arrays:
    """The blocks of the gates."""
    if not gates:
        return {name: value}
    return {
        f"{name}_{k}": block for k, block in zip(gates, np.split(np.asarray(value), len(gates), axis=-1), strict=True)
    }


def lines(text: str, deep: bool = False, backward: bool = False, own: bool = True) -> list[Line]:
    """The lines of a text, those for several gates written out."""
    found = []
    for raw in text.splitlines():
        if not raw.strip():
            continue
        mine = own and not raw.endswith("!")
        line, _, gates = raw.rstrip("! ").partition(" | ")
        for gate in gates.strip() or "K":
            found.append(Line(_of_gate(line, gate).strip(), deep or raw.startswith(" "), backward, mine))
    return found


def _of_gate(line: str, gate: str) -> str:
    return line.replace("_K", f"_{gate}")


def _program(forward: list[Line], backward: list[Line], kept: tuple[str, ...] = ()) -> Program:
    return Program((*forward, *backward), kept, len(forward))


def written(family: str, inputs: Mapping[str, Any]) -> Written | None:
    """The programs of a family in the form that these inputs ask for, None if it has none."""
    return _written(family, "Wy" in inputs, bool(inputs.get("epsilon_inside", family == "adagrad")))


@cache
def _written(family: str, predicted: bool, inside: bool) -> Written | None:
    if family in around.AROUND:
        text, outputs, kept = around.AROUND[family]
        forward, _, backward = around.with_epsilon(text, inside).partition("---")
        program = _program(lines(forward), lines(backward, backward=True), kept)
        return Written((program,), {name: (own,) for name, own in outputs.items()})
    kind, what, *form = [*family.split("_"), ""]
    cell = "_".join(part for part in (kind, *form) if part)
    if cell not in equations.CELLS:
        return None
    return _step(cell, predicted) if what == "step" else _sequence(cell, predicted)


def _weights(cell: str, prefix: str) -> dict[str, tuple[str, ...]]:
    gates = equations.CELLS[cell][2]
    found = {f"d{w}": tuple(f"{prefix}{w}_{k}" for k in gates) or (f"{prefix}{w}",) for w in ("Wx", "Wh", "b")}
    return found | ({"dbhn": (f"{prefix}bhn",)} if cell == "gru_after" else {})


def _step(cell: str, predicted: bool) -> Written:
    forward, backward, gates, states = equations.CELLS[cell]
    text = forward + (equations.PREDICTION if predicted else "")
    program = _program(lines(text), lines(backward, backward=True))
    names = [*states, *(["y"] if predicted else []), "dx", *(f"d{s}_prev" for s in states)]
    others = _other_sigmoids(program) if gates else ()
    return Written((program, *others), {n: (n,) for n in names} | _weights(cell, "d"), gates, states)


def _other_sigmoids(program: Program) -> tuple[Program, ...]:
    """The same program with the sigmoid written in other ways; only the slips of that line are new."""
    found = []
    for text in equations.OTHER_SIGMOIDS:
        changed = (replace(n, text=text) if n.target == "sigmoid" else replace(n, own=False) for n in program.lines)
        found.append(replace(program, lines=tuple(changed)))
    return tuple(found)


def _sequence(cell: str, predicted: bool) -> Written:
    forward, backward, gates, states = equations.CELLS[cell]
    text = forward + (equations.PREDICTION if predicted else "")
    step = lines(text, deep=True)
    back = lines(backward, deep=True, backward=True)
    kept = ("x", *(f"{s}_prev" for s in states), *(line.target for line in step if line.target != "sigmoid"))
    sums = [name for names in _weights(cell, "").values() for name in names]
    first = _loop(step, states, predicted)
    plain = _program(first, _loop_back(back, states, sums), kept)
    silent = [replace(line, own=False) for line in first]
    quiet = [replace(line, own=False) for line in back]
    pushed = _program(silent, _loop_pushing(quiet, states, sums), kept)
    histories = {"dx": "dX"} | {s: s.upper() for s in (*states, *(["y"] if predicted else []))}
    outputs = {name: (own,) for name, own in (histories | {f"d{s}0": f"d{s}0" for s in states}).items()}
    padded = _program(_loop_in_histories(step, states), [])
    others = _other_sigmoids(plain) if gates else ()
    return Written((plain, pushed, *others, padded), {**outputs, **_weights(cell, "D")}, gates, states)


def _loop(step: list[Line], states: str, predicted: bool) -> list[Line]:
    """The forward loop around a step."""
    stored = [*states, *(["y"] if predicted else [])]
    before = [f"{s} = {s}0" for s in states] + [
        f"{s.upper()} = rows{'_y' if s == 'y' else ''}.copy() !" for s in stored
    ]
    opening = ["for t in range(T):", " x = X[t]", *(f" {s}_prev = {s}" for s in states)]
    closing = [
        *(f" {s.upper()}[t] = {s}" for s in stored),
        " caches[t] = values() !",
        *(f" {s} = {s.upper()}[t]" for s in states),
    ]
    return [*lines("\n".join([*before, *opening])), *step, *lines("\n".join(closing))]


def _loop_in_histories(step: list[Line], states: str) -> list[Line]:
    """The forward loop that reads and writes histories whose first row is the initial state."""
    before = [f"P{s} = padded({s}0, rows) !" for s in states]
    opening = ["for t in range(T): !", " x = X[t] !", *(f" {s}_prev = P{s}[t]" for s in states)]
    closing = [f" P{s}[t + 1] = {s}" for s in states]
    after = [f"{s.upper()} = P{s}[1:]" for s in states]
    quiet = [replace(line, own=False) for line in step if line.target not in ("y", "ey", "zy")]
    return [*lines("\n".join([*before, *opening])), *quiet, *lines("\n".join([*closing, *after]))]


def _loop_back(step: list[Line], states: str, sums: list[str]) -> list[Line]:
    """The backward loop that carries the gradients of the states in variables."""
    before = ["dX = zeros(X) !", *_zeros(sums), *(f"d{s}_carry = zeros({s}0)" for s in states)]
    opening = ["for t in reversed(range(T)):", " recall(caches[t])"]
    opening += [f" {_incoming(s)} = d{s.upper()}[t] + d{s}_carry" for s in states]
    closing = [" dX[t] = dx", *(f" D{w} = D{w} + d{w}" for w in sums), *(f" d{s}_carry = d{s}_prev" for s in states)]
    after = [f"d{s}0 = d{s}_carry" for s in states]
    first = lines("\n".join([*before, *opening]), backward=True)
    return [*first, *step, *lines("\n".join(closing), backward=True), *lines("\n".join(after), backward=True)]


def _loop_pushing(step: list[Line], states: str, sums: list[str]) -> list[Line]:
    """The backward loop that adds what a step returns to the upstream gradient of the step before."""
    before = ["dX = zeros(X) !", *_zeros(sums), *(f"G{s} = d{s.upper()}.copy() !" for s in states)]
    opening = [
        "for t in reversed(range(T)): !",
        " recall(caches[t]) !",
        *(f" {_incoming(s)} = G{s}[t] !" for s in states),
    ]
    closing = [" dX[t] = dx !", *(f" D{w} = D{w} + d{w} !" for w in sums)]
    closing += [f" G{s}[t - 1] = G{s}[t - 1] + d{s}_prev * (t > 0)" for s in states]
    after = [f"d{s}0 = d{s}_prev !" for s in states]
    first = lines("\n".join([*before, *opening]), backward=True)
    return [*first, *step, *lines("\n".join(closing), backward=True), *lines("\n".join(after), backward=True)]


def _zeros(sums: list[str]) -> list[str]:
    return [f"D{w} = zeros({w}) !" for w in sums]


def _incoming(state: str) -> str:
    return "dc_next" if state == "c" else f"d{state}"
