"""Gated recurrent unit, the reset-before form of char-rnn, and its backpropagation through time.

For t = 0 … T−1, with h[0] = h0 the initial state:

    (1)  a_t    = x_t Wx + b                              (B,3H)  for all t in one product, blocks in the order r z n
    (2)  v_t    = h[t] Wh[r z]                            (B,2H)  the first two blocks of Wh
    (3)  r, z   = σ(a_t[r] + v_t[r]), σ(a_t[z] + v_t[z])  (B,H) each: reset and update gate
    (4)  s      = r ∘ h[t]      w = s Wh[n]               (B,H) each: reset BEFORE the product
    (5)  n      = tanh(a_t[n] + w)                        (B,H)   the candidate
    (6)  h[t+1] = (1 − z) ∘ h[t] + z ∘ n                  (B,H)   the output of step t: z weighs the candidate

Backward, for t = T−1 … 0. The gradient dh (of h[t+1]) flows through time; it starts from dhT, the upstream of the final
state. Every equation is the reverse of the one whose number it bears:

         dh    += dh_out[t]                               h[t+1] is an output and the state of step t+1
    (6)  dn = dh ∘ z      dz = dh ∘ (n − h[t])            and directly on to step t−1:  keep  = dh ∘ (1 − z)
    (5)  da_n   = dn ∘ (1 − n²)
    (4)  ds     = da_n Wh[n]ᵀ     dr = ds ∘ h[t]          through the reset gate:       keep += ds ∘ r
                                                          dWh[n]   = Σ_t sᵀ da_n
    (3)  da_r   = dr ∘ r(1−r)     da_z = dz ∘ z(1−z)
    (2)  dh     = keep + [da_r da_z] Wh[r z]ᵀ             dWh[r z] = Σ_t h[t]ᵀ [da_r da_z]
    (1)  dx_t   = da_t Wxᵀ        dWx = Σ_t x_tᵀ da_t     db  = Σ_t Σ_b da_t

after t = 0, dh is the gradient of h0. Block n of Wh is multiplied with s, not with h: that is why the two products of a
step cannot be one, and why its gradient needs the history of s.

Source: Cho et al. 2014 as in karpathy/char-rnn, with one bias in place of two. Deep Learning from Scratch 2, Chainer's
StatelessGRU and d2l compute the same up to the order of the blocks and the meaning of z: where z keeps the old state,
negate block z of Wx, Wh and b. What gru.py computes, with the reset after the product, is another model with the same
shapes: no conversion exists.

What this is not: it has no stateful flag, no reset and no layers. State goes in and comes out. h has T+1 rows, row 0
being the initial state, so no line asks whether t is 0.
"""

from typing import Any, NamedTuple

from minrnn import backend
from minrnn.backend import Array, Body
from minrnn.kernels.linear import LinearCache, linear_backward, linear_forward
from minrnn.kernels.shapes import expect, steps_batch_width


class GRUBeforeStep(NamedTuple):
    """Views of the buffers at one step t; `rz` stands for two gates in one."""

    a_rz: Array  # (2,B,H)  blocks r z of a_t; in the backward of its gradient
    a_n: Array  # (B,H)
    rz: Array  # (2,B,H)
    r: Array  # (B,H)
    z: Array  # (B,H)
    n: Array  # (B,H)
    s: Array  # (B,H)
    h_prev: Array  # (B,H)  h[t]
    h: Array  # (B,H)  h[t+1]
    dv: Array  # (B,2H)
    dv_rz: Array  # (2,B,H)  the same memory
    dw: Array  # (B,H)


class GRUBeforeWorkspace(NamedTuple):
    """Every buffer of one layer for T steps of a batch of B; made by gru_before_workspace."""

    h: Array  # (T+1,B,H)  row 0 is h0
    gates: Array  # (T,3,B,H)  activated
    s: Array  # (T,B,H)
    a: Array  # (T,B,3H)  x Wx + b of all steps in the forward; the gradient of a in the backward
    dv: Array  # (T,B,2H)  gradient of v, and of w: what a received, with the blocks apart as the products want them
    dw: Array  # (T,B,H)
    steps: list[GRUBeforeStep]
    v: Array  # (B,2H)  h[t] Wh[r z] of the current step
    v_rz: Array  # (2,B,H)  the same memory
    w: Array  # (B,H)  s Wh[n] of the current step; in the backward ds
    dh: Array  # (B,H)  the gradient that flows from step to step: through Wh[r z]
    keep: Array  # (B,H)  and past it
    p: Array  # (2,B,H)  dr ∘ r, dz ∘ z of the current step
    dn: Array  # (B,H)
    scratch: Array  # (2,B,H)
    Wrz: Array  # (H,2H)  the blocks of Wh, contiguous; in the backward also those of its gradient
    Wn: Array  # (H,H)
    WrzT: Array  # (2H,H)
    WnT: Array  # (H,H)
    dx: Array | None  # (T,B,D), or None where it is not wanted


class GRUBeforeCache(NamedTuple):
    """What gru_before_backward needs, open to the reader: histories of states and gates; arguments not copied."""

    h: Array  # (T+1,B,H)  row 0 is h0
    gates: Array  # (T,3,B,H)  activated: r z n
    s: Array  # (T,B,H)  r ∘ h[t]
    Wh: Array  # (H,3H)
    input: LinearCache  # of equation (1): x, Wx, b
    ws: GRUBeforeWorkspace


def gru_before_workspace(T: int, B: int, Wx: Array, Wh: Array, needs_dx: bool = True) -> GRUBeforeWorkspace:
    """Buffers for `ws=`, for T steps of a batch of B, on the device and in the dtype of Wx (D,3H) and Wh (H,3H).

    `needs_dx` is False where the input is ids, which have no gradient. Memory: about T·B·(11H + D) numbers.
    """
    bk = backend.of(Wx, Wh)
    D, H = Wx.shape[0], Wh.shape[0]
    with bk.scope():

        def empty(*shape: int) -> Array:
            return bk.xp.empty(shape, Wh.dtype)

        def blocks(a: Array) -> Array:  # (B,G·H) seen as (G,B,H)
            return a.reshape(-1, a.shape[1] // H, H).transpose(1, 0, 2)

        h, s, gates = empty(T + 1, B, H), empty(T, B, H), empty(T, 3, B, H)
        a, dv, dw = empty(T, B, 3 * H), empty(T, B, 2 * H), empty(T, B, H)
        steps = []
        for t in range(T):
            a_t, (r, z, n) = blocks(a[t]), gates[t]
            states = s[t], h[t], h[t + 1]
            steps.append(GRUBeforeStep(a_t[:2], a_t[2], gates[t, :2], r, z, n, *states, dv[t], blocks(dv[t]), dw[t]))
        v, w, dh, keep, dn = empty(B, 2 * H), empty(B, H), empty(B, H), empty(B, H), empty(B, H)
        p, scratch = empty(2, B, H), empty(2, B, H)
        parts = empty(H, 2 * H), empty(H, H), empty(2 * H, H), empty(H, H)
        dx = empty(T, B, D) if needs_dx else None
        return GRUBeforeWorkspace(h, gates, s, a, dv, dw, steps, v, blocks(v), w, dh, keep, p, dn, scratch, *parts, dx)


def gru_before_bodies(xp: Any) -> tuple[Body, ...]:
    """The pointwise parts of one step, for Backend.fused: each is one kernel on a GPU, plain ufuncs on NumPy."""

    # fmt: off
    def sigmoids(a: Array, v: Array, rz: Array) -> None:
        xp.add(a, v, out=rz)                   # (3)  r z = σ(a + v) = 1 / (1 + e^-(a + v))             (2,B,H)
        xp.negative(rz, out=rz)
        xp.exp(rz, out=rz)
        xp.add(rz, 1.0, out=rz)
        xp.divide(1.0, rz, out=rz)

    def state(a: Array, w: Array, z: Array, n: Array, h_prev: Array, h: Array) -> None:
        xp.add(a, w, out=n)                    # (5)  n = tanh(a + w)                                   (B,H)
        xp.tanh(n, out=n)
        xp.subtract(n, h_prev, out=h)          # (6)  h = h_prev + z (n − h_prev)                       (B,H)
        xp.multiply(h, z, out=h)
        xp.add(h, h_prev, out=h)

    def state_backward(dh_out: Array, z: Array, n: Array, h_prev: Array, dh: Array, keep: Array, p_z: Array, dn: Array,
                       u: Array, da_n: Array, dw: Array) -> None:
        # p = dgate gate, which (3) wants and other lines have made already
        xp.add(dh, keep, out=dh)               # the two ways back from step t+1                        (B,H)
        xp.add(dh, dh_out, out=dh)             # h[t+1] is an output and the state of step t+1          (B,H)
        xp.multiply(dh, z, out=dn)             # reverses (6): dn = dh z                                (B,H)
        xp.subtract(dh, dn, out=keep)          # reverses (6): what flows on past both: dh (1 − z)      (B,H)
        xp.subtract(n, h_prev, out=p_z)        # reverses (6): dz z = dh (n − h[t]) z = (n − h[t]) dn   (B,H)
        xp.multiply(p_z, dn, out=p_z)
        xp.multiply(n, n, out=u)               # reverses (5): da_n = dn (1 − n²)                       (B,H)
        xp.subtract(1.0, u, out=u)
        xp.multiply(dn, u, out=da_n)
        xp.multiply(dn, u, out=dw)             # both sides of the sum a + w receive it                 (B,H)

    def reset_backward(ds: Array, r: Array, s: Array, keep: Array, p_r: Array, u: Array) -> None:
        xp.multiply(ds, s, out=p_r)            # reverses (4): dr r = ds h[t] r = ds s                  (B,H)
        xp.multiply(ds, r, out=u)              # reverses (4): into h[t], past the gate                 (B,H)
        xp.add(keep, u, out=keep)

    def sigmoids_backward(p: Array, rz: Array, u: Array, da: Array, dv: Array) -> None:
        xp.multiply(p, rz, out=u)              # reverses (3): da = d σ (1 − σ) = p − p σ for r z       (2,B,H)
        xp.subtract(p, u, out=da)
        xp.subtract(p, u, out=dv)              # both sides of the sum a + v receive it                 (2,B,H)
    # fmt: on

    return sigmoids, state, state_backward, reset_backward, sigmoids_backward


def gru_before_forward(
    x: Array, h0: Array, Wx: Array, Wh: Array, b: Array, ws: GRUBeforeWorkspace | None = None
) -> tuple[Array, Array, GRUBeforeCache]:
    """Run a GRU whose reset comes before the product over a sequence.

    x (T,B,D), or integer ids (T,B) for one-hot inputs of width D; h0 (B,H); Wx (D,3H), Wh (H,3H), b (3H,) with blocks
    r z n. Returns h (T,B,H), the final state hT (B,H) as a copy, and the cache.

    With `ws=gru_before_workspace(T, B, Wx, Wh)` nothing large is allocated; h and the cache are then views of the
    workspace, good until its next use. Raises ValueError for shapes that do not fit, IndexError for ids outside
    0 … D-1.
    """
    T, B, D = steps_batch_width(x, Wx)
    H = Wh.shape[0]
    for name, W, shape, meaning in (
        ("Wx", Wx, (D, 3 * H), "(D, 3H)"),
        ("Wh", Wh, (H, 3 * H), "(H, 3H)"),
        ("h0", h0, (B, H), "(B, H)"),
    ):
        expect(name, W, shape, meaning)
    bk = backend.of(Wh, Wx, b, x, h0)
    sigmoids, state, *_ = bk.fused(gru_before_bodies)
    if ws is None:
        ws = gru_before_workspace(T, B, Wx, Wh, needs_dx=False)  # so that every backward makes a dx of its own
    expect("ws.a", ws.a, (T, B, 3 * H), "(T, B, 3H)")
    with bk.scope():
        ws.h[0] = h0
        ws.Wrz[...], ws.Wn[...] = Wh[:, : 2 * H], Wh[:, 2 * H :]
        _, input_cache = linear_forward(x, Wx, b, out=ws.a, dx=ws.dx)  # (1)                   (T,B,3H)

        with bk.extremes_are_fine():  # e^-a may overflow to infinity: 1 / (1 + ∞) = 0 is the right σ
            for t in ws.steps:
                bk.matmul(t.h_prev, ws.Wrz, out=ws.v)  # (2)                                   (B,2H)
                sigmoids(t.a_rz, ws.v_rz, t.rz)  # (3)
                bk.xp.multiply(t.r, t.h_prev, out=t.s)  # (4)  s = r h[t]                      (B,H)
                bk.matmul(t.s, ws.Wn, out=ws.w)  # (4)  w = s Wh[n]                            (B,H)
                state(t.a_n, ws.w, t.z, t.n, t.h_prev, t.h)  # (5) (6)
        return ws.h[1:], ws.h[T].copy(), GRUBeforeCache(ws.h, ws.gates, ws.s, Wh, input_cache, ws)


def gru_before_backward(
    dh: Array | None,
    dhT: Array | None,
    cache: GRUBeforeCache,
    out: tuple[Array, Array, Array] | None = None,
) -> tuple[Array | None, Array, Array, Array, Array]:
    """Backpropagation through time for gru_before_forward.

    dh (T,B,H) is the gradient of every output h, from the loss alone: what comes back through time is added here. dhT
    (B,H) is the gradient of the final state. Either may be None, which means zeros.

    Returns dx (T,B,D) (None for ids), dh0 (B,H), dWx (D,3H), dWh (H,3H), db (3H,). `out = (dWx, dWh, db)` names where
    the parameter gradients are written; they are overwritten, not added to. The cache survives.
    """
    Wh, input_cache, ws = cache.Wh, cache.input, cache.ws
    T, B, H = cache.s.shape
    bk = backend.of(Wh)
    xp = bk.xp
    _, _, state_backward, reset_backward, sigmoids_backward = bk.fused(gru_before_bodies)
    with bk.scope():
        if dh is None:
            dh = xp.zeros((T, B, H), Wh.dtype)
        expect("dh", dh, (T, B, H), "(T, B, H)")
        ws.keep.fill(0.0)
        if dhT is None:
            ws.dh.fill(0.0)
        else:
            expect("dhT", dhT, (B, H), "(B, H)")
            ws.dh[...] = dhT
        if out is None:
            out = xp.empty_like(input_cache.W), xp.empty_like(Wh), xp.empty_like(input_cache.b)
        dWx, dWh, db = out
        ws.WrzT[...], ws.WnT[...] = Wh[:, : 2 * H].T, Wh[:, 2 * H :].T

        (p_r, p_z), u = ws.p, ws.scratch[0]
        flowing = ws.dh, ws.keep, p_z, ws.dn, u
        for dh_out, t in zip(dh[::-1], reversed(ws.steps), strict=True):
            state_backward(dh_out, t.z, t.n, t.h_prev, *flowing, t.a_n, t.dw)  # reverses (6) (5)
            bk.matmul(t.dw, ws.WnT, out=ws.w)  # reverses (4), into s                                  (B,H)
            reset_backward(ws.w, t.r, t.s, ws.keep, p_r, u)  # reverses (4)
            sigmoids_backward(ws.p, t.rz, ws.scratch, t.a_rz, t.dv_rz)  # reverses (3)
            bk.matmul(t.dv, ws.WrzT, out=ws.dh)  # reverses (2), into h[t]                             (B,H)

        h, s = cache.h[:-1].reshape(T * B, H), cache.s.reshape(T * B, H)
        dWh[:, : 2 * H] = bk.matmul(h.T, ws.dv.reshape(T * B, 2 * H), out=ws.Wrz)  # reverses (2)  (H,2H)
        dWh[:, 2 * H :] = bk.matmul(s.T, ws.dw.reshape(T * B, H), out=ws.Wn)  # reverses (4)   (H,H)
        dx, _, _ = linear_backward(ws.a, input_cache, out=(dWx, db))  # reverses (1)
        return dx, ws.dh + ws.keep, dWx, dWh, db


def gru_before_step_forward(x: Array, h_prev: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, GRUBeforeCache]:
    """One step: a sequence of length 1. x (B,D) or ids (B,); h_prev (B,H). Returns h (B,H) and the cache."""
    _, h, cache = gru_before_forward(x[None], h_prev, Wx, Wh, b)
    return h, cache


def gru_before_step_backward(
    dh: Array | None, cache: GRUBeforeCache
) -> tuple[Array | None, Array, Array, Array, Array]:
    """Reverse of gru_before_step_forward; dh (B,H) is the whole gradient of h, from the loss and from later steps.

    Returns dx (B,D) (None for ids), dh_prev (B,H), dWx, dWh, db.
    """
    dx, dh_prev, dWx, dWh, db = gru_before_backward(None, dh, cache)
    return None if dx is None else dx[0], dh_prev, dWx, dWh, db
