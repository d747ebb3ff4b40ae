"""Adagrad (Duchi, Hazan and Singer 2011): torch.optim.Adagrad. Not Keras's, which has ε inside the root.

    s ← s + g²                                  (1)
    θ ← θ − η/(1 + (t − 1) d) · g / (√s + ε)    (2)

The sum never forgets, so the steps of a parameter only get smaller.
"""

from typing import Any

from minrnn.backend import Array, Backend, Body
from minrnn.optim.optimizer import Optimizer
from minrnn.optim.pointwise import descend
from minrnn.optim.validate import not_negative


def _adagrad(xp: Any) -> tuple[Body, ...]:
    def adagrad(p: Array, g: Array, u: Array, s: Array, lr: float, eps: float) -> None:
        xp.multiply(g, g, out=u)  # (1)
        xp.add(s, u, out=s)
        xp.sqrt(s, out=u)  # (2)
        xp.add(u, eps, out=u)
        xp.true_divide(g, u, out=u)
        descend(xp, p, u, lr, u)

    return (adagrad,)


class Adagrad(Optimizer):
    """Adagrad, the adaptive gradient method.

    Args:
        lr: η, the default rate.
        lr_decay: d >= 0; step t uses η / (1 + (t − 1) d).
        weight_decay: λ of the L2 term.
        initial_accumulator: the value that every sum of squares starts from, >= 0.
        eps: ε >= 0.

    Raises:
        ValueError: an option outside its range.
    """

    def __init__(
        self,
        lr: float = 1e-2,
        *,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator: float = 0.0,
        eps: float = 1e-10,
    ):
        self.lr_decay = not_negative("lr_decay", lr_decay)
        self.eps = not_negative("eps", eps)
        super().__init__(lr, weight_decay, {"s": not_negative("initial_accumulator", initial_accumulator)})

    def _rule(self, bk: Backend, t: int, lr: float) -> Body:
        (adagrad,) = bk.fused(_adagrad)
        lr = lr / (1.0 + (t - 1) * self.lr_decay)
        return lambda p, g, u, s: adagrad(p, g, u, s, lr, self.eps)
