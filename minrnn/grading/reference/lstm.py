"""One step of an LSTM and its reverse, right and wrong. Not a loop over time: that is sequence.py.

    i, f, o = σ(a) of their blocks      g = tanh(a[g])      c = f ∘ c_prev + i ∘ g      h = o ∘ tanh(c)

The letter c stands for the tanh of the cell where a mistake concerns a nonlinearity.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from minrnn.grading.reference.bug import Array, Bug
from minrnn.grading.reference.units import (
    KINDS,
    UNBRACKETED,
    Delta,
    Weights,
    kind_of,
    preactivation,
    reverse_affine,
    slope,
    split,
    through,
)

GATES = "ifog"


@dataclass
class LSTMTrace:
    """What the backward of a step reads: `a`, `s` and `kinds` by the letter of the gate, c for the cell."""

    x: Array
    h_prev: Array
    c_prev: Array
    h: Array
    c: Array
    a: dict[str, Array]  # pre-activations
    s: dict[str, Array]  # what the gates returned; s["c"] is tanh(c)
    kinds: dict[str, str]
    order: str  # of the blocks, as the forward read them


class LSTM:
    """The cell for sequence.py."""

    states: ClassVar = ("h", "c")
    gates: ClassVar = GATES
    weights: ClassVar = ("Wx", "Wh", "b")

    @staticmethod
    def forward(x: Array, states: tuple[Array, ...], w: Weights, bug: Bug) -> tuple[tuple[Array, ...], LSTMTrace]:
        """(h, c) of this step and its trace."""
        h_prev, c_prev = states
        order = GATES
        swapped = bug.find("gate-order-swapped", "forward", "")
        if swapped:
            order = swapped.detail["order"]
        blocks = split(preactivation(x, h_prev, w, bug), order)
        a = {k: blocks[_read_from(k, bug)] for k in GATES}
        kinds = {k: kind_of(k, "tanh" if k in "gc" else "sigmoid", bug) for k in "ifogc"}
        if bug.forward("cell-tanh-missing", "c"):
            kinds["c"] = "identity"
        s = {k: KINDS[kinds[k]](a[k]) for k in GATES}
        used = {k: _used_for(k, s, bug) for k in GATES}
        cell = np.zeros_like(c_prev) if bug.forward("initial-state-ignored", "c_prev") else c_prev
        if bug.forward("wrong-previous-state", "f"):
            cell = h_prev
        unused = bug.find("state-not-carried", "forward", "c_prev")
        if unused:
            cell = np.zeros_like(c_prev) if unused.detail else np.ones_like(c_prev)
        c = used["f"] * cell + (-1 if bug.forward("sign-flipped", "i") else 1) * used["i"] * used["g"]
        shown = c_prev if bug.forward("wrong-previous-state", "o") else c
        a["c"], s["c"] = shown, KINDS[kinds["c"]](shown)
        h = used["o"] * s["c"]
        return (h, c), LSTMTrace(x, h_prev, c_prev, h, c, a, s, kinds, order)

    @staticmethod
    def backward(d: tuple[Array, ...], carry: tuple[Array, ...], tr: LSTMTrace, w: Weights, bug: Bug) -> Delta:
        """Reverse for the gradients d of (h, c); `carry` is the part of d that came from step t+1."""
        dh, dc_next = d
        dh_of = {k: dh - carry[0] if bug.backward("missing-hidden-carry", k) else dh for k in "oc"}
        fused = tr  # what the slopes are taken from, where they are taken of all blocks at once
        tr = _unpacked(tr, bug)
        if not bug.backward("gate-order-swapped", "unpacked"):
            fused = tr
        s = tr.s
        dc, from_h = _cell_gradient(dh_of["c"], dc_next, tr, bug)
        raw = _gate_gradients(dh_of["o"], dc, dc_next, from_h, tr, bug)
        da = {}
        for k in GATES:
            source = bug.find("gate-copy-paste", where=k)
            from_gate = source.detail.get("slope", k) if source else k
            unit = (k, tr.kinds[from_gate], fused.s[from_gate], tr.a[from_gate], raw[k], bug)
            da[k] = through(*unit)
            once = bug.find("derivative-precedence", where=k)
            if once and "on" in once.detail:
                part = (from_h if once.detail["on"] == "dh" else dc_next) * _factors(tr)[k]
                da[k] = (raw[k] - part) + part * slope(*unit)
        right = dict(da)
        for k in GATES:
            source = bug.find("gate-copy-paste", where=k)
            if source and "whole" in source.detail:
                da[k] = right[source.detail["whole"]]
        swapped = bug.find("gate-order-swapped", where="")
        order = swapped.detail["order"] if swapped else tr.order
        stack = [np.concatenate([blocks[k] for k in order], axis=1) for blocks in (da, raw, s)]
        dx, dh_prev, shares = reverse_affine(
            tr.x, tr.h_prev, w, stack[0], stack[0], stack[1], stack[2], bug, gates=order
        )
        return Delta(dx, (dh_prev, _previous_cell_gradient(dc, dc_next, from_h, s, bug)), shares, stack[0])


def _read_from(gate: str, bug: Bug) -> str:
    """The block that the forward reads for a gate."""
    source = bug.find("gate-copy-paste", "forward", gate)
    return str(source.detail.get("whole", gate)) if source else gate


def _used_for(gate: str, s: dict[str, Array], bug: Bug) -> Array:
    """What the forward multiplies with for a gate; the backward that belongs to it still has the gate itself."""
    if bug.forward("gate-not-applied", gate):
        return np.ones_like(s[gate])
    other = bug.find("gate-copy-paste", "forward", gate)
    if other and "value" in other.detail:
        return s[other.detail["value"]]
    return 1 - s[other.detail["rest of"]] if other and "rest of" in other.detail else s[gate]


def _unpacked(tr: LSTMTrace, bug: Bug) -> LSTMTrace:
    """The trace as the backward unpacks it."""
    unpacked = bug.find("gate-order-swapped", where="unpacked")
    if unpacked:
        gates = {k: tr.s[j] for k, j in zip(unpacked.detail["order"], GATES, strict=True)}
        return replace(tr, s={**tr.s, **gates})
    wrong = bug.find("cache-order-mismatch")
    if wrong is None or wrong.where == "steps":
        return tr
    if wrong.where == "c_prev c":
        return replace(tr, c_prev=tr.c, c=tr.c_prev, s={**tr.s, "c": KINDS[tr.kinds["c"]](tr.c_prev)})
    a, b = tuple(wrong.where)
    return replace(tr, s={**tr.s, a: tr.s[b], b: tr.s[a]})


def _factors(tr: LSTMTrace) -> dict[str, Array]:
    """What the incoming gradient of each gate is multiplied with."""
    return {"i": tr.s["g"], "f": tr.c_prev, "o": tr.s["c"], "g": tr.s["i"]}


def _cell_gradient(dh: Array, dc_next: Array, tr: LSTMTrace, bug: Bug) -> tuple[Array, Array]:
    """dc, the whole gradient of c, and its part that comes from h."""
    s = tr.s
    inner = slope("c", tr.kinds["c"], s["c"], tr.a["c"], dh, bug)
    if bug.backward("wrong-previous-state", "tanh(c_prev)"):
        inner = 1 - np.tanh(tr.c_prev) ** 2
    if bug.backward("wrong-activation-derivative", "dc"):
        inner = 1 - tr.h * tr.h
    if bug.backward("tanh-applied-twice", "dc"):
        inner = 1 - np.tanh(tr.h) ** 2
    gate = bug.find("gate-copy-paste", where="c")
    if gate and "slope" in gate.detail:
        inner = 1 - s[gate.detail["slope"]] ** 2
    output = s["o"]
    if bug.backward("cell-path-without-output-gate"):
        output = np.ones_like(output)
    if gate and "operand" in gate.detail:
        output = s[gate.detail["operand"]]
    from_h = dh * output * inner
    if bug.backward("sign-flipped", "dc_next"):
        dc_next = -dc_next
    bare = bug.find("derivative-precedence", where="c")
    if bare and "form" in bare.detail:
        from_h = UNBRACKETED[bare.detail["form"]](s["c"], dh * output)
    if bare and not bare.detail:
        return (dc_next + dh * output) * inner, from_h
    if bug.backward("derivative-precedence", "dc"):
        return (dc_next + dh) * output * inner, from_h
    lost = bug.find("cell-gradient-incomplete", where="dc")
    if lost:
        return (from_h if lost.detail["lost"] == "dc" else dc_next), from_h
    return dc_next + from_h, from_h


def _gate_gradients(dh: Array, dc: Array, dc_next: Array, from_h: Array, tr: LSTMTrace, bug: Bug) -> dict[str, Array]:
    """The gradients of what the gates returned: di = dc ∘ g, df = dc ∘ c_prev, do = dh ∘ tanh(c), dg = dc ∘ i."""
    s = tr.s
    factors = _factors(tr)
    previous = bug.find("wrong-previous-state", where="f")
    if previous:
        factors["f"] = {"c": tr.c, "h_prev": tr.h_prev, "h": tr.h, "tanh(c)": s["c"]}[previous.detail["vector"]]
    if bug.backward("initial-state-ignored", "c_prev"):
        factors["f"] = np.zeros_like(tr.c_prev)
    output = bug.find("wrong-previous-state", where="o")
    if output:
        factors["o"] = {"tanh(c_prev)": np.tanh(tr.c_prev), "h": tr.h, "tanh(h)": np.tanh(tr.h)}[
            output.detail["vector"]
        ]
    if bug.backward("cell-tanh-missing", "o"):
        factors["o"] = tr.c
    if bug.backward("tanh-applied-twice", "do"):
        factors["o"] = np.tanh(s["c"])
    raw = {}
    for k in GATES:
        factor = factors[k]
        source = bug.find("gate-copy-paste", where=k)
        if source and "operand" in source.detail:
            factor = s[source.detail["operand"]]
        incoming = dh if k == "o" else dc
        if bug.backward("upstream-ignored", k):
            incoming = np.ones_like(dc)
        part = bug.on("cell-gradient-incomplete", k)
        if part:
            incoming = from_h if part.detail["lost"] == "dc" else dc_next
        if source and "incoming" in source.detail:
            incoming = {"dh": dh, "dc": dc, "dc_next": dc_next}[source.detail["incoming"]]
        if bug.backward("gate-not-applied", k):
            factor = np.ones_like(factor)
        raw[k] = incoming * factor
        once = bug.find("cell-gradient-incomplete", where=f"d{k}")
        if once:  # the factor multiplies one of the two summands of dc only
            raw[k] = dc_next * factor + from_h if once.detail["factor on"] == "dc" else dc_next + from_h * factor
    return raw


def _previous_cell_gradient(dc: Array, dc_next: Array, from_h: Array, s: dict[str, Array], bug: Bug) -> Array:
    """dc_prev = dc ∘ f."""
    wrong = bug.find("cell-gradient-incomplete", where="dc_prev")
    if wrong is None:
        return dc * s["f"]
    return {
        "dc_next f": dc_next * s["f"],
        "from_h f": from_h * s["f"],
        "dc_next f + from_h": dc_next * s["f"] + from_h,
        "dc_next + from_h f": dc_next + from_h * s["f"],
    }[wrong.detail["value"]]
