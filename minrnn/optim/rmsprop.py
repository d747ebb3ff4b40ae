"""RMSprop (Hinton 2012): torch.optim.RMSprop. Not Keras's or TensorFlow's, which have ε inside the root.

    v ← α v + (1 − α) g²                                (1)
    ḡ ← α ḡ + (1 − α) g                                 (2)  centered only
    u = g / (√v + ε),  centered: g / (√(v − ḡ²) + ε)    (3)
    b ← μ b + u,  without momentum: b = u               (4)
    θ ← θ − η b                                         (5)

With α = 0.95 this is the rule that char-rnn trains with. A nearly constant gradient makes v − ḡ² round to
zero or below, and the centered step huge or NaN; PyTorch does the same.
"""

from typing import Any

from minrnn.backend import Array, Backend, Body
from minrnn.optim.optimizer import Optimizer
from minrnn.optim.pointwise import average, descend
from minrnn.optim.validate import fraction, not_negative


def _rmsprop(xp: Any) -> tuple[Body, ...]:
    def normalise(g: Array, u: Array, v: Array, past: float, new: float, eps: float) -> None:
        xp.multiply(g, g, out=u)
        average(xp, v, u, past, new, u)  # (1)
        xp.sqrt(v, out=u)  # (3)
        xp.add(u, eps, out=u)
        xp.true_divide(g, u, out=u)

    def normalise_centered(g: Array, u: Array, v: Array, mean: Array, past: float, new: float, eps: float) -> None:
        xp.multiply(g, g, out=u)
        average(xp, v, u, past, new, u)  # (1)
        average(xp, mean, g, past, new, u)  # (2)
        xp.multiply(mean, mean, out=u)  # (3)
        xp.subtract(v, u, out=u)
        xp.sqrt(u, out=u)
        xp.add(u, eps, out=u)
        xp.true_divide(g, u, out=u)

    def follow(p: Array, u: Array, lr: float) -> None:
        descend(xp, p, u, lr, u)  # (5)

    def follow_with_momentum(p: Array, u: Array, b: Array, lr: float, momentum: float) -> None:
        xp.multiply(b, momentum, out=b)  # (4)
        xp.add(b, u, out=b)
        descend(xp, p, b, lr, u)  # (5)

    return normalise, normalise_centered, follow, follow_with_momentum


class RMSprop(Optimizer):
    """RMSprop, on request with momentum, or centered.

    Args:
        lr: η, the default rate.
        alpha: α in [0, 1), the weight of the past in the averages.
        eps: ε >= 0.
        weight_decay: λ of the L2 term.
        momentum: μ >= 0; 0 keeps no buffer b.
        centered: divide by the standard deviation of the gradient instead (Graves 2013).

    Raises:
        ValueError: an option outside its range.
    """

    def __init__(
        self,
        lr: float = 1e-2,
        *,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ):
        self.alpha = fraction("alpha", alpha)
        self.eps = not_negative("eps", eps)
        self.momentum = not_negative("momentum", momentum)
        self.centered = centered
        names = ["v", *(["mean"] if centered else []), *(["b"] if self.momentum else [])]
        super().__init__(lr, weight_decay, dict.fromkeys(names, 0.0))

    def _rule(self, bk: Backend, t: int, lr: float) -> Body:
        normalise, normalise_centered, follow, follow_with_momentum = bk.fused(_rmsprop)
        scalars = self.alpha, 1.0 - self.alpha, self.eps

        def update(p: Array, g: Array, u: Array, v: Array, *moments: Array) -> None:
            if self.centered:
                normalise_centered(g, u, v, moments[0], *scalars)
            else:
                normalise(g, u, v, *scalars)
            if self.momentum:
                follow_with_momentum(p, u, moments[-1], lr, self.momentum)
            else:
                follow(p, u, lr)

        return update
