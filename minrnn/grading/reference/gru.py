"""One step of a GRU in its two forms and its reverse, right and wrong. Not a loop over time: that is sequence.py.

    r, z = σ(a of their blocks)
    after:   n = tanh(x Wxn + b[n] + r ∘ (h_prev Whn + bhn))       the reset gate after the product
    before:  n = tanh(x Wxn + b[n] + (r ∘ h_prev) Whn)             the reset gate before it
    h = (1 − k) ∘ n + k ∘ h_prev      k, what is kept, is z or 1 − z

Which one k is differs between courses: `keep_is_z` of the cell.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minrnn.grading.reference.bug import Array, Bug
from minrnn.grading.reference.units import (
    KINDS,
    Delta,
    Weights,
    kind_of,
    preactivation,
    reverse_affine,
    split,
    through,
)

GATES = "rzn"


@dataclass
class GRUTrace:
    """What the backward of a step reads: `a` and `s` by the letter of the gate."""

    x: Array
    h_prev: Array
    h: Array
    a: dict[str, Array]
    s: dict[str, Array]
    kinds: dict[str, str]
    order: str
    q: Array  # what the reset gate was multiplied with: h_prev Whn + bhn, or h_prev
    keep: Array  # what the old state was multiplied with
    after: bool


@dataclass(frozen=True)
class GRU:
    """The cell for sequence.py, in one of the two forms."""

    after: bool
    keep_is_z: bool
    states: ClassVar = ("h",)
    gates: ClassVar = GATES

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return ("Wx", "Wh", "b", "bhn") if self.after else ("Wx", "Wh", "b")

    def forward(self, x: Array, states: tuple[Array, ...], w: Weights, bug: Bug) -> tuple[tuple[Array, ...], GRUTrace]:
        """(h,) of this step and its trace."""
        (h_prev,) = states
        swapped = bug.find("gate-order-swapped", "forward", "")
        order = swapped.detail["order"] if swapped else GATES
        after = self.after != bug.forward("gru-reset-placement", "n")
        from_x = split(preactivation(x, np.zeros_like(h_prev), w, bug), order)
        silent = w._replace(b=np.zeros_like(w.b))
        from_h = split(preactivation(np.zeros_like(x), h_prev, silent, bug), order)
        a = {k: from_x[_read_from(k, bug)] + from_h[_read_from(k, bug)] for k in "rz"}
        kinds = {k: kind_of(k, "tanh" if k == "n" else "sigmoid", bug) for k in GATES}
        s = {k: KINDS[kinds[k]](a[k]) for k in "rz"}
        reset = np.ones_like(s["r"]) if bug.forward("gate-not-applied", "r") else s["r"]
        bhn = np.zeros_like(h_prev[0]) if w.bhn is None or bug.forward("bias-missing", "bhn") else w.bhn
        n = _read_from("n", bug)
        if after:
            q = from_h[n] + bhn
            a["n"] = from_x[n] + reset * q
            if bug.forward("gru-reset-placement", "bhn"):
                a["n"] = from_x[n] + s["r"] * from_h[n] + bhn
            if bug.forward("gru-reset-placement", "x"):
                a["n"] = s["r"] * (from_x[n] + q)
        else:
            q = h_prev
            gated = reset * h_prev
            a["n"] = from_x[n] + split(preactivation(np.zeros_like(x), gated, silent, bug), order)[n] + bhn
        s["n"] = KINDS[kinds["n"]](a["n"])
        keep = s["z"] if self.keep_is_z != bug.forward("gru-interpolation-flipped") else 1 - s["z"]
        alone = bug.find("gate-not-applied", "forward", "z")
        shares = {"n": 1 - keep, "h_prev": keep}
        if alone:
            shares[alone.detail["of"]] = np.ones_like(keep)
        h = shares["n"] * s["n"] + shares["h_prev"] * h_prev
        return (h,), GRUTrace(x, h_prev, h, a, s, kinds, order, q, keep, after)

    def backward(self, d: tuple[Array, ...], carry: tuple[Array, ...], tr: GRUTrace, w: Weights, bug: Bug) -> Delta:
        """Reverse for the gradient d of h; `carry` is the part of d that came from step t+1."""
        (dh,) = d
        s = tr.s
        keep_is_z = self.keep_is_z != bug.forward("gru-interpolation-flipped")
        flipped = bug.find("gru-interpolation-flipped")
        dn = dh * (tr.keep if flipped and "n" in flipped.where else 1 - tr.keep)
        kept = dh * (1 - tr.keep if flipped and "k" in flipped.where else tr.keep)
        dkeep = dh * _mixing_difference(tr, bug)
        raw = {"n": dn, "z": dkeep if keep_is_z else -dkeep}
        if bug.backward("gate-not-applied", "n"):
            raw["n"] = dh
        if bug.backward("gate-not-applied", "z"):
            raw["z"] = dh
        if bug.backward("gate-not-applied", "k"):
            kept = dh

        def activated(k: str) -> Array:
            source = bug.find("gate-copy-paste", where=k)
            j = source.detail["slope"] if source and "slope" in source.detail else k
            return through(k, tr.kinds[j], s[j], tr.a[j], raw[k], bug)

        da = {"n": activated("n"), "z": activated("z")}
        Wn = split(w.Wh, tr.order)["n"]
        dgated = da["n"] if tr.after else da["n"] @ (Wn if bug.backward("missing-transpose", "n") else Wn.T)
        factor = tr.q
        operand = bug.find("wrong-previous-state", where="r")
        if operand:
            factor = {
                "h_prev": tr.h_prev,
                "h": tr.h,
                "n": s["n"],
                "q without bias": tr.q - (w.bhn if w.bhn is not None else 0),
            }[operand.detail["vector"]]
        raw["r"] = dgated * factor
        da["r"] = activated("r")
        for k in GATES:
            source = bug.find("gate-copy-paste", where=k)
            if source and "whole" in source.detail:
                da[k] = {**da}[source.detail["whole"]]
        return self._assemble(da, raw, dgated, kept, tr, w, bug)

    def _assemble(
        self,
        da: dict[str, Array],
        raw: dict[str, Array],
        dgated: Array,
        kept: Array,
        tr: GRUTrace,
        w: Weights,
        bug: Bug,
    ) -> Delta:
        """The gradients of the arguments from those of the pre-activations."""
        swapped = bug.find("gate-order-swapped", where="")
        order = swapped.detail["order"] if swapped else tr.order
        lost = bug.find("gru-gradient-incomplete", where="dh_prev")
        paths = "".join(k for k in "krzn" if not lost or k not in lost.detail["lost"])
        reset = np.ones_like(tr.s["r"]) if bug.backward("gate-not-applied", "r") else tr.s["r"]
        dq = da["n"] * reset
        recurrent = {"r": da["r"], "z": da["z"], "n": dq if tr.after else np.zeros_like(dq)}
        stack = [np.concatenate([blocks[k] for k in order], axis=1) for blocks in (da, recurrent, raw, tr.s)]
        if bug.backward("gate-not-applied", "dWh"):  # the same stack for x and for h: da_n in place of dq
            stack[1] = stack[0]
        dx, dh_prev, shares = reverse_affine(
            tr.x, tr.h_prev, w, stack[0], stack[1], stack[2], stack[3], bug, gates=order
        )
        if lost:
            kept_paths = {k: recurrent[k] if k in paths else np.zeros_like(dq) for k in GATES}
            dh_prev = np.concatenate([kept_paths[k] for k in order], axis=1) @ w.Wh.T
        if tr.after and bug.backward("gate-not-applied", "dWhn"):
            H = tr.h_prev.shape[1]
            at = order.index("n") * H
            shares["dWh"] = shares["dWh"].copy()
            shares["dWh"][:, at : at + H] = tr.h_prev.T @ da["n"]
        if not tr.after:
            gated = tr.h_prev if bug.backward("gate-not-applied", "dWhn") else tr.h_prev * tr.s["r"]
            H = gated.shape[1]
            at = order.index("n") * H
            shares["dWh"] = shares["dWh"].copy()
            shares["dWh"][:, at : at + H] = gated.T @ da["n"]
            dh_prev = dh_prev + (dgated * reset if "n" in paths else 0)
        if self.after:
            shares["dbhn"] = (da["n"] if bug.backward("gate-not-applied", "dbhn") else dq).sum(axis=0)
        if "k" in paths:
            dh_prev = dh_prev + kept
        return Delta(dx, (dh_prev,), shares, stack[0])


def _read_from(gate: str, bug: Bug) -> str:
    """The block that the forward reads for a gate."""
    source = bug.find("gate-copy-paste", "forward", gate)
    return str(source.detail.get("whole", gate)) if source else gate


def _mixing_difference(tr: GRUTrace, bug: Bug) -> Array:
    """The derivative of h by what is kept: h_prev − n."""
    lost = bug.find("gru-gradient-incomplete", where="z")
    if lost:
        return tr.h_prev if lost.detail["lost"] == "n" else -tr.s["n"]
    return (tr.h if bug.backward("wrong-previous-state", "z") else tr.h_prev) - tr.s["n"]
