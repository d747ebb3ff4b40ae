"""One step of a plain recurrent network, h = tanh(x Wx + h_prev Wh + b), and its reverse, right and wrong.

Its one unit has the letter h. Not a loop over time: that is sequence.py, the same for all cells.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from minrnn.grading.reference.bug import Array, Bug
from minrnn.grading.reference.units import KINDS, Delta, Weights, kind_of, preactivation, reverse_affine, slope, through


@dataclass
class RNNTrace:
    """What the backward of a step reads."""

    x: Array
    h_prev: Array
    a: Array
    h: Array
    kind: str


class RNN:
    """The cell for sequence.py."""

    states: ClassVar = ("h",)
    gates: ClassVar = "h"
    weights: ClassVar = ("Wx", "Wh", "b")

    @staticmethod
    def forward(x: Array, states: tuple[Array, ...], w: Weights, bug: Bug) -> tuple[tuple[Array, ...], RNNTrace]:
        """(h,) of this step and its trace."""
        (h_prev,) = states
        a = preactivation(x, h_prev, w, bug)
        kind = kind_of("h", "tanh", bug)
        h = KINDS[kind](a)
        wrong = bug.on("nonlinearity-missing", "h", "forward") or bug.on("nonlinearity-wrong", "h", "forward")
        if wrong:  # its slope may still be that of the right one, where forward and backward are one function
            kind = str(wrong.detail.get("slope", kind))
        return (h,), RNNTrace(x, h_prev, a, h, kind)

    @staticmethod
    def backward(d: tuple[Array, ...], carry: tuple[Array, ...], tr: RNNTrace, w: Weights, bug: Bug) -> Delta:
        """Reverse for the gradient d of h; `carry` is the part of d that came from step t+1."""
        (dh,) = d
        if bug.backward("cache-order-mismatch", "h_prev h"):
            tr = replace(tr, h_prev=tr.h, h=tr.h_prev)
        s = slope("h", tr.kind, tr.h, tr.a, dh, bug)
        da = through("h", tr.kind, tr.h, tr.a, dh, bug)
        if bug.backward("wrong-previous-state", "dh"):
            da = dh * (1 - tr.h_prev**2)
        if bug.backward("upstream-ignored", "da"):
            da = s
        if bug.backward("derivative-precedence", "carry"):
            da = (dh - carry[0]) + carry[0] * s
        if bug.backward("derivative-precedence", "upstream"):
            da = (dh - carry[0]) * s + carry[0]
        dx, dh_prev, shares = reverse_affine(tr.x, tr.h_prev, w, da, da, raw=dh, value=tr.h, bug=bug)
        returned = bug.find("wrong-variable-returned", where="step")
        if returned:
            dh_prev = {"dh": dh, "da": da}[returned.detail["value"]]
        return Delta(dx, (dh_prev,), shares, da)
