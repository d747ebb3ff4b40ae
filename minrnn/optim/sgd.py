"""Stochastic gradient descent with momentum: torch.optim.SGD. Not Torch7's, whose dampening defaults to μ.

    b ← g at t = 1, later μ b + (1 − τ) g          (1)
    θ ← θ − η b,  Nesterov: θ ← θ − η (g + μ b)    (2)

The rate multiplies b when it is used, not when it is collected: once η changes, this differs from the
velocity form v ← μ v − η g of Keras.
"""

from typing import Any

from minrnn.backend import Array, Backend, Body
from minrnn.optim.optimizer import Optimizer
from minrnn.optim.pointwise import average, descend
from minrnn.optim.validate import fraction, not_negative


def _sgd(xp: Any) -> tuple[Body, ...]:
    def plain(p: Array, g: Array, u: Array, lr: float) -> None:
        descend(xp, p, g, lr, u)  # (2) with b = g

    def momentum(p: Array, g: Array, u: Array, b: Array, lr: float, past: float, new: float) -> None:
        average(xp, b, g, past, new, u)  # (1)
        descend(xp, p, b, lr, u)  # (2)

    def nesterov(p: Array, g: Array, u: Array, b: Array, lr: float, past: float, new: float) -> None:
        average(xp, b, g, past, new, u)  # (1)
        xp.multiply(b, past, out=u)  # (2)
        xp.add(u, g, out=u)
        descend(xp, p, u, lr, u)

    return plain, momentum, nesterov


class SGD(Optimizer):
    """Stochastic gradient descent, on request with momentum.

    Args:
        lr: η, the default rate.
        momentum: μ >= 0; 0 keeps no buffer b.
        dampening: τ in [0, 1); the first step takes b = g whatever τ is.
        nesterov: look ahead along b; needs momentum > 0 and dampening 0.
        weight_decay: λ of the L2 term.

    Raises:
        ValueError: an option outside its range.
    """

    def __init__(
        self,
        lr: float = 1e-3,
        *,
        momentum: float = 0.0,
        dampening: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ):
        self.momentum = not_negative("momentum", momentum)
        self.dampening = fraction("dampening", dampening)
        self.nesterov = nesterov
        if nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError(
                f"nesterov needs momentum > 0 and dampening 0, got momentum {momentum}, dampening {dampening}"
            )
        super().__init__(lr, weight_decay, {"b": 0.0} if self.momentum else {})

    def _rule(self, bk: Backend, t: int, lr: float) -> Body:
        plain, momentum, nesterov = bk.fused(_sgd)
        new = 1.0 if t == 1 else 1.0 - self.dampening

        def update(p: Array, g: Array, u: Array, b: Array = None) -> None:
            if b is None:
                plain(p, g, u, lr)
            elif self.nesterov:
                nesterov(p, g, u, b, lr, self.momentum, new)
            else:
                momentum(p, g, u, b, lr, self.momentum, new)

        return update
