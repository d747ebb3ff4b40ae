"""The simple recurrent network (Elman 1990) with tanh or relu, and its backpropagation through time.

For t = 0 … T−1, with h[0] = h0 the initial state:

    (1)  a_t    = x_t Wx                                  (B,H)   for all t in one product
    (2)  a_t   += h[t] Wh + b                             (B,H)
    (3)  h[t+1] = tanh(a_t)   or   max(a_t, 0)            (B,H)   the output of step t

Backward, for t = T−1 … 0. The gradient dh (of h[t+1]) flows through time; it starts from dhT, the upstream of the final
state. Every equation is the reverse of the one whose number it bears:

         dh    += dh_out[t]                               h[t+1] is an output and the state of step t+1
    (3)  da_t   = dh ∘ (1 − h[t+1]²)   or   dh ∘ [h[t+1] > 0]
    (2)  dh     = da_t Whᵀ      on to step t−1            dWh = Σ_t h[t]ᵀ da_t      t = 0 counts: it brings in h0
                                                          db  = Σ_t Σ_b da_t
    (1)  dx_t   = da_t Wxᵀ                                dWx = Σ_t x_tᵀ da_t

after t = 0, dh is the gradient of h0.

The semantics are those of PyTorch's nn.RNN with one bias in place of two.

What this is not: it has no stateful flag, no reset and no layers. State goes in and comes out. h has T+1 rows, row 0
being the initial state, so no line asks whether t is 0.
"""

from typing import Any, NamedTuple

from minrnn import backend
from minrnn.backend import Array, Body
from minrnn.kernels.linear import LinearCache, linear_backward, linear_forward
from minrnn.kernels.shapes import expect, steps_batch_width


class RNNStep(NamedTuple):
    """Views of the buffers at one step t."""

    a: Array  # (B,H)  a_t; in the backward its gradient
    h_prev: Array  # (B,H)  h[t]
    h: Array  # (B,H)  h[t+1]


class RNNWorkspace(NamedTuple):
    """Every buffer of one layer for T steps of a batch of B; made by rnn_workspace."""

    h: Array  # (T+1,B,H)  row 0 is h0
    a: Array  # (T,B,H)  x Wx of all steps in the forward; the gradient of a in the backward
    steps: list[RNNStep]
    v: Array  # (B,H)  h[t] Wh of the current step
    dh: Array  # (B,H)  the gradient that flows from step to step
    WhT: Array  # (H,H)  contiguous: faster than Wh.T in T products
    dx: Array | None  # (T,B,D), or None where it is not wanted


class RNNCache(NamedTuple):
    """What rnn_backward needs, open to the reader: the history of states; arguments not copied."""

    h: Array  # (T+1,B,H)  row 0 is h0
    Wh: Array  # (H,H)
    b: Array  # (H,)
    nonlinearity: str
    input: LinearCache  # of equation (1): x, Wx
    ws: RNNWorkspace


def rnn_workspace(T: int, B: int, Wx: Array, Wh: Array, needs_dx: bool = True) -> RNNWorkspace:
    """Buffers for `ws=`, for T steps of a batch of B, on the device and in the dtype of Wx (D,H) and Wh (H,H).

    `needs_dx` is False where the input is ids, which have no gradient. Memory: about T·B·(2H + D) numbers.
    """
    bk = backend.of(Wx, Wh)
    D, H = Wx.shape[0], Wh.shape[0]
    with bk.scope():

        def empty(*shape: int) -> Array:
            return bk.xp.empty(shape, Wh.dtype)

        h, a = empty(T + 1, B, H), empty(T, B, H)
        steps = [RNNStep(a[t], h[t], h[t + 1]) for t in range(T)]
        dx = empty(T, B, D) if needs_dx else None
        return RNNWorkspace(h, a, steps, empty(B, H), empty(B, H), empty(H, H), dx)


# fmt: off
def tanh_bodies(xp: Any) -> tuple[Body, Body]:
    """The pointwise parts of one step with tanh, for Backend.fused: each is one kernel on a GPU."""

    def forward(a: Array, v: Array, b: Array, h: Array) -> None:
        xp.add(v, b, out=h)              # (2)  a += h[t] Wh + b                                  (B,H)
        xp.add(a, h, out=h)
        xp.tanh(h, out=h)                # (3)  h[t+1] = tanh(a)                                  (B,H)

    def backward(dh_out: Array, h: Array, dh: Array, da: Array) -> None:
        xp.add(dh, dh_out, out=dh)       # h[t+1] is an output and the state of step t+1          (B,H)
        xp.multiply(h, h, out=da)        # reverses (3): da = dh (1 − h²)                         (B,H)
        xp.subtract(1.0, da, out=da)
        xp.multiply(da, dh, out=da)

    return forward, backward


def relu_bodies(xp: Any) -> tuple[Body, Body]:
    """The pointwise parts of one step with relu."""

    def forward(a: Array, v: Array, b: Array, h: Array) -> None:
        xp.add(v, b, out=h)              # (2)  a += h[t] Wh + b                                  (B,H)
        xp.add(a, h, out=h)
        xp.maximum(h, 0.0, out=h)        # (3)  h[t+1] = max(a, 0)                                (B,H)

    def backward(dh_out: Array, h: Array, dh: Array, da: Array) -> None:
        xp.add(dh, dh_out, out=dh)       # h[t+1] is an output and the state of step t+1          (B,H)
        xp.sign(h, out=da)               # reverses (3): da = dh [h > 0], and 0 at the kink       (B,H)
        xp.multiply(da, dh, out=da)

    return forward, backward
# fmt: on


_BODIES = {"tanh": tanh_bodies, "relu": relu_bodies}


def rnn_forward(
    x: Array,
    h0: Array,
    Wx: Array,
    Wh: Array,
    b: Array,
    nonlinearity: str = "tanh",
    ws: RNNWorkspace | None = None,
) -> tuple[Array, Array, RNNCache]:
    """Run a simple RNN over a sequence.

    x (T,B,D), or integer ids (T,B) for one-hot inputs of width D; h0 (B,H); Wx (D,H), Wh (H,H), b (H,); nonlinearity
    "tanh" or "relu". Returns h (T,B,H), the final state hT (B,H) as a copy, and the cache.

    With `ws=rnn_workspace(T, B, Wx, Wh)` nothing large is allocated; h and the cache are then views of the workspace,
    good until its next use. Raises ValueError for shapes that do not fit and for another nonlinearity, IndexError for
    ids outside 0 … D-1.
    """
    T, B, D = steps_batch_width(x, Wx)
    H = Wh.shape[0]
    for name, W, shape, meaning in (
        ("Wx", Wx, (D, H), "(D, H)"),
        ("Wh", Wh, (H, H), "(H, H)"),
        ("b", b, (H,), "(H,)"),
        ("h0", h0, (B, H), "(B, H)"),
    ):
        expect(name, W, shape, meaning)
    if nonlinearity not in _BODIES:
        raise ValueError(f"nonlinearity {nonlinearity!r} is unknown: use 'tanh' or 'relu'")
    bk = backend.of(Wh, Wx, b, x, h0)
    forward, _ = bk.fused(_BODIES[nonlinearity])
    if ws is None:
        ws = rnn_workspace(T, B, Wx, Wh, needs_dx=False)  # so that every backward makes a dx of its own
    expect("ws.a", ws.a, (T, B, H), "(T, B, H)")
    with bk.scope():
        ws.h[0] = h0
        _, input_cache = linear_forward(x, Wx, out=ws.a, dx=ws.dx)  # (1)                      (T,B,H)

        for s in ws.steps:
            bk.matmul(s.h_prev, Wh, out=ws.v)  # (2)                                               (B,H)
            forward(s.a, ws.v, b, s.h)  # (2) (3)
        return ws.h[1:], ws.h[T].copy(), RNNCache(ws.h, Wh, b, nonlinearity, input_cache, ws)


def rnn_backward(
    dh: Array | None,
    dhT: Array | None,
    cache: RNNCache,
    out: tuple[Array, Array, Array] | None = None,
) -> tuple[Array | None, Array, Array, Array, Array]:
    """Backpropagation through time for rnn_forward.

    dh (T,B,H) is the gradient of every output h, from the loss alone: what comes back through time is added here. dhT
    (B,H) is the gradient of the final state. Either may be None, which means zeros.

    Returns dx (T,B,D) (None for ids), dh0 (B,H), dWx (D,H), dWh (H,H), db (H,). `out = (dWx, dWh, db)` names where the
    parameter gradients are written; they are overwritten, not added to. The cache survives.
    """
    Wh, input_cache, ws = cache.Wh, cache.input, cache.ws
    T, B, H = ws.a.shape
    bk = backend.of(Wh)
    xp = bk.xp
    _, backward = bk.fused(_BODIES[cache.nonlinearity])
    with bk.scope():
        if dh is None:
            dh = xp.zeros((T, B, H), Wh.dtype)
        expect("dh", dh, (T, B, H), "(T, B, H)")
        if dhT is None:
            ws.dh.fill(0.0)
        else:
            expect("dhT", dhT, (B, H), "(B, H)")
            ws.dh[...] = dhT
        if out is None:
            out = xp.empty_like(input_cache.W), xp.empty_like(Wh), xp.empty_like(cache.b)
        dWx, dWh, db = out
        bk.transpose(Wh, out=ws.WhT)

        for dh_out, s in zip(dh[::-1], reversed(ws.steps), strict=True):
            backward(dh_out, s.h, ws.dh, s.a)  # reverses (3)                                          (B,H)
            bk.matmul(s.a, ws.WhT, out=ws.dh)  # reverses (2), into h[t]                               (B,H)

        da = ws.a.reshape(T * B, H)
        bk.matmul(cache.h[:-1].reshape(T * B, H).T, da, out=dWh)  # reverses (2), into Wh      (H,H)
        xp.sum(da, axis=0, out=db)  # reverses (2), into b                                     (H,)
        dx, _, _ = linear_backward(ws.a, input_cache, out=(dWx, None))  # reverses (1)
        return dx, ws.dh.copy(), dWx, dWh, db


def rnn_step_forward(
    x: Array, h_prev: Array, Wx: Array, Wh: Array, b: Array, nonlinearity: str = "tanh"
) -> tuple[Array, RNNCache]:
    """One step: a sequence of length 1. x (B,D) or ids (B,); h_prev (B,H). Returns h (B,H) and the cache."""
    _, h, cache = rnn_forward(x[None], h_prev, Wx, Wh, b, nonlinearity)
    return h, cache


def rnn_step_backward(dh: Array | None, cache: RNNCache) -> tuple[Array | None, Array, Array, Array, Array]:
    """Reverse of rnn_step_forward; dh (B,H) is the whole gradient of h, from the loss and from later steps.

    Returns dx (B,D) (None for ids), dh_prev (B,H), dWx, dWh, db.
    """
    dx, dh_prev, dWx, dWh, db = rnn_backward(None, dh, cache)
    return None if dx is None else dx[0], dh_prev, dWx, dWh, db
