"""sigmoid, tanh, relu, each with its derivative written in terms of the output.

    (1) y = σ(x) = 1 / (1 + e^-x) = ½ tanh(½x) + ½        dx = dy y (1 − y)
    (2) y = tanh x                                        dx = dy (1 − y²)
    (3) y = max(x, 0)                                     dx = dy [y > 0]         (0 at x = 0)

The derivative of σ and tanh takes the *activated* value y: feeding it x, or activating y once more, is the most common
slip in hand-written backward passes.

The tanh form of (1) never overflows, on any library, in any precision; its absolute error is at most one unit in the
last place of 1. What is not kept is the relative accuracy of the far tail: below x ≈ −38 (float64) it is exactly 0.
"""

from typing import NamedTuple

from minrnn import backend
from minrnn.backend import Array
from minrnn.kernels.shapes import expect


class ActivationCache(NamedTuple):
    """The activated value y, of the shape of x: all that the derivatives need."""

    y: Array


def sigmoid_forward(x: Array) -> tuple[Array, ActivationCache]:
    """Logistic function of every entry of x (any shape). Returns y of the same shape, and the cache."""
    bk = backend.of(x)
    with bk.scope():
        y = 0.5 * bk.xp.tanh(0.5 * x) + 0.5  # (1)
    return y, ActivationCache(y)


def sigmoid_backward(dy: Array | None, cache: ActivationCache) -> tuple[Array]:
    """Gradient of x for the upstream dy of the shape of y; None means zeros."""
    y = cache.y
    with backend.of(y).scope():
        return (_upstream(dy, y) * y * (1.0 - y),)  # reverses (1)


def tanh_forward(x: Array) -> tuple[Array, ActivationCache]:
    """Hyperbolic tangent of every entry of x (any shape). Returns y of the same shape, and the cache."""
    bk = backend.of(x)
    with bk.scope():
        y = bk.xp.tanh(x)  # (2)
    return y, ActivationCache(y)


def tanh_backward(dy: Array | None, cache: ActivationCache) -> tuple[Array]:
    """Gradient of x for the upstream dy of the shape of y; None means zeros."""
    y = cache.y
    with backend.of(y).scope():
        return (_upstream(dy, y) * (1.0 - y * y),)  # reverses (2)


def relu_forward(x: Array) -> tuple[Array, ActivationCache]:
    """max(x, 0) for every entry of x (any shape). Returns y of the same shape, and the cache."""
    bk = backend.of(x)
    with bk.scope():
        y = bk.xp.maximum(x, 0.0)  # (3)
    return y, ActivationCache(y)


def relu_backward(dy: Array | None, cache: ActivationCache) -> tuple[Array]:
    """Gradient of x for the upstream dy of the shape of y; None means zeros. 0 at the kink x = 0, as in PyTorch."""
    y = cache.y
    with backend.of(y).scope():
        return (_upstream(dy, y) * (y > 0.0),)  # reverses (3)


def _upstream(dy: Array | None, y: Array) -> Array:
    if dy is None:
        return backend.of(y).xp.zeros_like(y)
    expect("dy", dy, y.shape, "the shape of y")
    return dy
