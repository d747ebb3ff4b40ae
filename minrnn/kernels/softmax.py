"""Softmax, log-softmax and the cross-entropy of a sequence of characters.

For every position n of N = T·B with logits z_n (V,) and target y_n:

    (1) m_n  = max_v z_nv                                 (N,1)   taken out so that e^z cannot overflow
    (2) e    = exp(z − m)        s_n = Σ_v e_nv           (N,V), (N,1)
    (3) p    = e / s                                      (N,V)   the softmax
    (4) nll_n = log s_n + m_n − z_n,y                     (N,)    −log p_n,y, in nats; never log of (3)
    (5) loss = Σ_n w_n nll_n                              ()      w = mask / Σ mask, or 1/N without a mask

Backward, for the upstream dloss (a number):

    (5) dnll = dloss w
    (4)…(1)  dz_n = dnll_n (p_n − onehot(y_n))            (N,V)

The mean runs over the positions that the mask keeps, as in PyTorch's cross_entropy with ignore_index; a mask that keeps
none gives NaN, as there. A loss summed over time and averaged over the batch (char-rnn) is T times this one.
"""

from typing import Any, NamedTuple

from minrnn import backend
from minrnn.backend import Array, Body
from minrnn.kernels.shapes import expect


class SoftmaxCrossEntropyCache(NamedTuple):
    """What the backward needs, open to the reader."""

    p: Array  # (T,B,V)  softmax of the logits
    nll: Array  # (T,B)  nats of every position, masked or not
    weight: Array | float  # (T,B), or the number 1/(T·B)
    at_target: Array  # (N,)  where z_n,y of every position is in the flat logits
    dlogits: Array | None  # where the gradient goes: given by a caller that owns a workspace


class SoftmaxWorkspace(NamedTuple):
    """Buffers for (T,B,V) logits; made by softmax_workspace."""

    p: Array  # (T,B,V)
    dlogits: Array  # (T,B,V)


def softmax_workspace(T: int, B: int, V: int, like: Array) -> SoftmaxWorkspace:
    """Buffers for `ws=`, on the device and in the dtype of the array `like`. Memory: 2·T·B·V numbers."""
    bk = backend.of(like)
    with bk.scope():
        return SoftmaxWorkspace(*(bk.xp.empty((T, B, V), like.dtype) for _ in range(2)))


# fmt: off
def softmax_bodies(xp: Any) -> tuple[Body, ...]:
    """The pointwise parts, for Backend.fused: each is one kernel on a GPU."""

    def exponentials(z: Array, m: Array, e: Array) -> None:
        xp.subtract(z, m, out=e)         # (1)  z − m                                             (T,B,V)
        xp.exp(e, out=e)                 # (2)  e                                                 (T,B,V)

    def losses(s: Array, m: Array, z_y: Array, nll: Array) -> None:
        xp.log(s, out=nll)               # (4)  log s + m − z_y                                   (T,B,1)
        xp.add(nll, m, out=nll)
        xp.subtract(nll, z_y, out=nll)

    return exponentials, losses
# fmt: on


def softmax(z: Array) -> Array:
    """Probabilities over the last axis of z (..., V), by (1) to (3)."""
    bk = backend.of(z)
    xp = bk.xp
    with bk.scope():
        e = xp.exp(z - z.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)


def log_softmax(z: Array) -> Array:
    """Log-probabilities, in nats, over the last axis of z (..., V). Unlike log(softmax(z)) it never reaches −inf."""
    bk = backend.of(z)
    xp = bk.xp
    with bk.scope():
        shifted = z - z.max(axis=-1, keepdims=True)
        return shifted - xp.log(xp.exp(shifted).sum(axis=-1, keepdims=True))


def softmax_cross_entropy_forward(
    logits: Array, targets: Array, mask: Array | None = None, ws: SoftmaxWorkspace | None = None
) -> tuple[Array, SoftmaxCrossEntropyCache]:
    """Mean cross-entropy, in nats per character.

    logits (T,B,V); targets (T,B) integer ids in 0 … V-1; mask (T,B) of weights ≥ 0 (0 leaves a position out), or None.
    Returns the loss, a number of the dtype of the logits (on a GPU it stays on the device), and the cache. With
    `ws=softmax_workspace(T, B, V, logits)` nothing large is allocated. Raises ValueError for shapes that do not fit,
    IndexError for a target outside 0 … V-1.
    """
    *lead, V = logits.shape
    expect("targets", targets, tuple(lead), "(T, B)")
    bk = backend.of(logits, targets)
    xp = bk.xp
    exponentials, losses = bk.fused(softmax_bodies)
    bk.check_ids(targets, V)
    with bk.scope():
        p = xp.empty(logits.shape, logits.dtype) if ws is None else ws.p
        expect("ws.p", p, logits.shape, "(T, B, V)")
        m = logits.max(axis=-1, keepdims=True)  # (1)                                          (T,B,1)
        exponentials(logits, m, p)  # (1) (2)                                                  (T,B,V)
        s = p.sum(axis=-1, keepdims=True)  # (2)                                               (T,B,1)
        xp.divide(p, s, out=p)  # (3)                                                          (T,B,V)
        at_target = xp.arange(0, targets.size * V, V) + targets.reshape(-1).astype(int)  # one in each row   (N,)
        z_y = xp.take(logits.reshape(-1), at_target).reshape(s.shape)  #                                     (T,B,1)
        nll = xp.empty(s.shape, s.dtype)
        losses(s, m, z_y, nll)  # (4)                                                          (T,B,1)
        nll = nll[..., 0]  #                                                                   (T,B)
        if mask is None:
            weight: Array | float = 1.0 / max(targets.size, 1)
            loss = nll.mean()  # (5)                                                           ()
        else:
            expect("mask", mask, tuple(lead), "(T, B)")
            mask = xp.asarray(mask, dtype=logits.dtype)
            weight = mask / mask.sum()
            loss = (nll * weight).sum()  # (5)                                                 ()
        return loss, SoftmaxCrossEntropyCache(p, nll, weight, at_target, None if ws is None else ws.dlogits)


def softmax_cross_entropy_backward(
    dloss: Array | float | None, cache: SoftmaxCrossEntropyCache
) -> tuple[Array, None, None]:
    """Gradient of the logits (T,B,V) for the upstream `dloss` of the mean (None means zero); None for ids and mask."""
    p, _, weight, at_target, dlogits = cache
    bk = backend.of(p)
    xp = bk.xp
    with bk.scope():
        dz = xp.empty(p.shape, p.dtype) if dlogits is None else dlogits  # C-contiguous, so flat is a view
        dnll = (0.0 if dloss is None else dloss) * weight  # reverses (5)                      (T,B) or ()
        w = float(dnll) if isinstance(dnll, float) else xp.asarray(dnll, dtype=p.dtype)[..., None]  # number or (T,B,1)
        xp.multiply(p, w, out=dz)  # reverses (4)…(1): dnll p                                  (T,B,V)
        flat = dz.reshape(-1)
        flat[at_target] -= w if isinstance(w, float) else w.reshape(-1)  # … − dnll onehot(y)              (N,)
    return dz, None, None
