"""Adam (Kingma and Ba 2015), AMSGrad (Reddi, Kale and Kumar 2018) and AdamW (Loshchilov and Hutter 2019).

As torch.optim.Adam and AdamW define them. Not the "ε-hat" form of Torch7 and Keras, where the bias correction
also divides ε.

    m ← β₁ m + (1 − β₁) g                                          (1)
    v ← β₂ v + (1 − β₂) g²                                         (2)
    x ← max(x, v)   AMSGrad, before the correction; else x is v    (3)
    θ ← θ − η/(1 − β₁ᵗ) · m / (√x/√(1 − β₂ᵗ) + ε)                  (4)

Line (4) is computed with numerator and denominator multiplied by √(1 − β₂ᵗ), which saves a pass.
"""

import math
from typing import Any

from minrnn.backend import Array, Backend, Body
from minrnn.optim.optimizer import Optimizer
from minrnn.optim.pointwise import average, descend
from minrnn.optim.validate import fraction, not_negative


def _adam(xp: Any) -> tuple[Body, ...]:
    def average_moments(
        g: Array, u: Array, m: Array, v: Array, past1: float, new1: float, past2: float, new2: float
    ) -> None:
        average(xp, m, g, past1, new1, u)  # (1)
        xp.multiply(g, g, out=u)
        average(xp, v, u, past2, new2, u)  # (2)

    def keep_largest(x: Array, v: Array) -> None:
        xp.maximum(x, v, out=x)  # (3)

    def descend_normalised(p: Array, u: Array, m: Array, x: Array, step_size: float, eps: float) -> None:
        xp.sqrt(x, out=u)  # (4)
        xp.add(u, eps, out=u)
        xp.true_divide(m, u, out=u)
        descend(xp, p, u, step_size, u)

    return average_moments, keep_largest, descend_normalised


class Adam(Optimizer):
    """Adam, or with amsgrad=True AMSGrad. Weight decay is L2; for the decoupled kind take AdamW.

    Args:
        lr: η, the default rate.
        betas: (β₁, β₂), each in [0, 1).
        eps: ε >= 0.
        weight_decay: λ of the L2 term.
        amsgrad: divide by the largest v so far.

    Raises:
        ValueError: an option outside its range.
    """

    def __init__(
        self,
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ):
        beta1, beta2 = betas
        self.betas = fraction("betas[0]", beta1), fraction("betas[1]", beta2)
        self.eps = not_negative("eps", eps)
        self.amsgrad = amsgrad
        names = ("m", "v", "x") if amsgrad else ("m", "v")
        super().__init__(lr, weight_decay, dict.fromkeys(names, 0.0))

    def _rule(self, bk: Backend, t: int, lr: float) -> Body:
        average_moments, keep_largest, descend_normalised = bk.fused(_adam)
        beta1, beta2 = self.betas
        root = math.sqrt(1.0 - beta2**t)
        step_size = lr / (1.0 - beta1**t) * root
        eps = self.eps * root

        def update(p: Array, g: Array, u: Array, m: Array, v: Array, x: Array = None) -> None:
            average_moments(g, u, m, v, beta1, 1.0 - beta1, beta2, 1.0 - beta2)
            if self.amsgrad:
                keep_largest(x, v)
            descend_normalised(p, u, m, x if self.amsgrad else v, step_size, eps)

        return update


class AdamW(Adam):
    """Adam with decoupled weight decay: θ ← θ (1 − η λ) before the step, with the η of that step.

    Args:
        lr, betas, eps, amsgrad: as in Adam.
        weight_decay: λ, not scaled by the adaptive denominator; the shrinking follows the schedule.
    """

    decoupled = True

    def __init__(
        self,
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ):
        super().__init__(lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad)
