"""y = x W + b: the affine map, and with integer x the look-up of rows.

    (1) y = x W + b                 x (N,D)  W (D,M)  b (M,)  y (N,M)

backward, for the upstream dy = ∂L/∂y:

    (1)  dx = dy Wᵀ                 (N,D)
         dW = xᵀ dy                 (D,M)
         db = Σ_n dy                (M,)

Integer x means one-hot rows: x W is then row x of W, and xᵀ dy adds row n of dy into row x[n] of dW. The one-hot matrix
is never built and never multiplied out. With b = None the same pair is an embedding.

What this is not: it knows nothing of time. Leading axes of x are flattened into N.
"""

from typing import NamedTuple

from minrnn import backend
from minrnn.backend import Array
from minrnn.kernels.shapes import expect, is_ids, rows


class LinearCache(NamedTuple):
    """What linear_backward needs: the arguments themselves (not copied) and a place for dx, or None."""

    x: Array  # (..., D), or integer ids (...)
    W: Array  # (D,M)
    b: Array | None  # (M,)
    dx: Array | None  # where dx goes: given by a caller that owns a workspace


def linear_forward(
    x: Array, W: Array, b: Array | None = None, out: Array | None = None, dx: Array | None = None
) -> tuple[Array, LinearCache]:
    """Affine map of the last axis of `x`, or a row of `W` for every id in `x`.

    x (..., D) floating, or (...) integer ids in 0 … D-1; W (D,M); b (M,) or None. Returns y (..., M) and the cache.
    `out` (..., M) is where y is written, `dx` (..., D) where linear_backward will write the gradient of x; without
    them both are new arrays. Raises ValueError for shapes that do not fit, IndexError for an id outside 0 … D-1.
    """
    D, M = W.shape
    if b is not None:
        expect("b", b, (M,), "(M,)")
    bk = backend.of(W, x)
    with bk.scope():
        lead = x.shape if is_ids(x) else x.shape[:-1]
        y = bk.xp.empty((*lead, M), W.dtype) if out is None else out
        flat = rows(y)  # (N,M)
        if is_ids(x):
            bk.check_ids(x, D)
            bk.take_rows(W, x.reshape(-1), out=flat)  # (1) x W for one-hot x                  (N,M)
        else:
            expect("x", x, (*lead, D), "(..., D)")
            x = bk.xp.ascontiguousarray(x, dtype=W.dtype)
            bk.matmul(x.reshape(-1, D), W, out=flat)  # (1) x W                                (N,M)
        if b is not None:
            bk.xp.add(flat, b, out=flat)  # (1) + b                                            (N,M)
    return y, LinearCache(x, W, b, dx)


def linear_backward(
    dy: Array | None, cache: LinearCache, out: tuple[Array, Array | None] | None = None
) -> tuple[Array | None, Array, Array | None]:
    """Gradients of x, W and b for the upstream `dy` (..., M); None means zeros.

    Returns dx (..., D) (None for ids), dW (D,M), db (M,) (None where b was). `out = (dW, db)` names where the parameter
    gradients are written; they are overwritten, not added to.
    """
    x, W, b, dx = cache
    D, M = W.shape
    bk = backend.of(W)
    xp = bk.xp
    lead = x.shape if is_ids(x) else x.shape[:-1]
    with bk.scope():
        if out is None:
            out = xp.empty_like(W), None if b is None else xp.empty_like(b)
        dW, db = out
        if dy is None:
            dy = xp.zeros((*lead, M), W.dtype)
        expect("dy", dy, (*lead, M), "(..., M)")
        dy = xp.ascontiguousarray(dy, dtype=W.dtype).reshape(-1, M)  # (N,M)
        if b is not None:
            xp.sum(dy, axis=0, out=db)  # reverses (1): + b                                    (M,)
        if is_ids(x):
            bk.sum_rows(dy, x.reshape(-1), out=dW)  # reverses (1): the row look-up            (D,M)
            return None, dW, db
        bk.matmul(x.reshape(-1, D).T, dy, out=dW)  # reverses (1): x W, into W                 (D,M)
        if dx is None:
            dx = xp.empty(x.shape, W.dtype)
        bk.matmul(dy, W.T, out=rows(dx))  # reverses (1): x W, into x                 (N,D)
    return dx, dW, db
