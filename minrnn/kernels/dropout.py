"""Inverted dropout: the kept entries are scaled up while training, so that nothing changes when the net is used.

    (1) m ~ Bernoulli(1 − p) / (1 − p)       independent for every entry
    (2) y = x m
                                             dx = dy m

Source: Srivastava et al. 2014, in the inverted form of PyTorch's nn.Dropout. Evaluation is p = 0, the identity.

What this is not: a layer with a training flag. Whoever calls it decides p and owns the random stream `rng`.
"""

from __future__ import annotations  # naming numpy.random.Generator would import numpy.random: 13 ms

from typing import Any, NamedTuple

import numpy

from minrnn import backend
from minrnn.backend import Array, Body
from minrnn.kernels.shapes import expect


class DropoutCache(NamedTuple):
    """The input, for its shape, and the scaled mask m of that shape, or None where p = 0."""

    x: Array
    m: Array | None


def dropout_bodies(xp: Any) -> tuple[Body]:
    """The pointwise part, for Backend.fused: one kernel on a GPU."""

    def drop(x: Array, m: Array, y: Array, kept: float) -> None:
        xp.divide(m, kept, out=m)  # (1)
        xp.multiply(x, m, out=y)  # (2)

    return (drop,)


def dropout_forward(x: Array, p: float, rng: numpy.random.Generator | None) -> tuple[Array, DropoutCache]:
    """Zero each entry of x (any shape) with probability p in [0, 1) and divide the others by 1 − p.

    `rng` is a host generator on every device, so that a GPU run drops what a CPU run drops. With p = 0 nothing is drawn
    and x itself is returned: runs with "dropout 0" and without dropout stay bit-identical. Raises ValueError for p
    outside [0, 1) and for p > 0 without a generator.
    """
    if not 0.0 <= p < 1.0:
        raise ValueError(f"dropout p = {p} must lie in [0, 1)")
    if p == 0.0:
        return x, DropoutCache(x, None)
    if rng is None:
        raise ValueError(f"dropout p = {p} needs a random generator: pass rng=numpy.random.default_rng(seed)")
    bk = backend.of(x)
    keep = rng.random(x.shape, dtype=numpy.float32) >= p
    with bk.scope():
        m = bk.from_host(keep, x.dtype)  # (1)
        y = bk.xp.empty_like(x)
        (drop,) = bk.fused(dropout_bodies)
        drop(x, m, y, 1.0 - p)  # (1) (2)
        return y, DropoutCache(x, m)


def dropout_backward(dy: Array | None, cache: DropoutCache) -> tuple[Array, None, None]:
    """Gradient of x for the upstream dy of the shape of y (None means zeros), and None for p and rng."""
    x, m = cache
    bk = backend.of(x)
    with bk.scope():
        if dy is None:
            return bk.xp.zeros_like(x), None, None
        expect("dy", dy, x.shape, "the shape of y")
        return (dy if m is None else dy * m), None, None  # reverses (2)
