"""Gated recurrent unit, the reset-after form, and its backpropagation through time.

For t = 0 … T−1, with h[0] = h0 the initial state:

    (1)  a_t    = x_t Wx + b                              (B,3H)  for all t in one product, blocks in the order r z n
    (2)  v_t    = h[t] Wh                                 (B,3H)  blocks r z n;   q = v_t[n] + bhn   (B,H)
    (3)  r, z   = σ(a_t[r] + v_t[r]), σ(a_t[z] + v_t[z])  (B,H) each: reset and update gate
    (4)  n      = tanh(a_t[n] + r ∘ q)                    (B,H)       the candidate: reset AFTER the product
    (5)  h[t+1] = (1 − z) ∘ n + z ∘ h[t]                  (B,H)       the output of step t: z keeps the old state

Backward, for t = T−1 … 0. The gradient dh (of h[t+1]) flows through time; it starts from dhT, the upstream of the final
state. Every equation is the reverse of the one whose number it bears:

         dh    += dh_out[t]                               h[t+1] is an output and the state of step t+1
    (5)  dn = dh ∘ (1 − z)      dz = dh ∘ (h[t] − n)      and directly on to step t−1:  keep = dh ∘ z
    (4)  da_n   = dn ∘ (1 − n²)     dr = da_n ∘ q     dq = da_n ∘ r
    (3)  da_r   = dr ∘ r(1−r)       da_z = dz ∘ z(1−z)
    (2)  dv_t   = [da_r da_z dq]    dh = keep + dv_t Whᵀ     dWh = Σ_t h[t]ᵀ dv_t     dbhn = Σ_t Σ_b dq
    (1)  da_t   = [da_r da_z da_n]  dx_t = da_t Wxᵀ          dWx = Σ_t x_tᵀ da_t      db   = Σ_t Σ_b da_t

after t = 0, dh is the gradient of h0. The input and the recurrent side receive different gradients in block n: that is
why bhn is a bias of its own.

Source: Cho et al. 2014 in the form of PyTorch's nn.GRU and cuDNN, whose b_ih and b_hh sum into b except in block n of
b_hh, which is bhn. The form with the reset before the product, tanh(x Wxn + (r ∘ h) Whn), has the same weights and is
another model: a checkpoint of one loads into the other without an error and computes something else.

What this is not: it has no stateful flag, no reset and no layers. State goes in and comes out. h has T+1 rows, row 0
being the initial state, so no line asks whether t is 0.
"""

from functools import partial
from typing import Any, NamedTuple

from minrnn import backend
from minrnn.backend import Array, Body
from minrnn.kernels.linear import LinearCache, linear_backward, linear_forward
from minrnn.kernels.shapes import expect, steps_batch_width


class GRUStep(NamedTuple):
    """Views of the buffers at one step t, for the rows of one part; `rz` stands for two gates in one."""

    a_rz: Array  # (2,B,H)  blocks r z of a_t; in the backward of its gradient
    a_n: Array  # (B,H)
    rz: Array  # (2,B,H)
    r: Array  # (B,H)
    z: Array  # (B,H)
    n: Array  # (B,H)
    q: Array  # (B,H)
    h_prev: Array  # (B,H)  h[t]
    h: Array  # (B,H)  h[t+1]
    dv: Array  # (B,3H)
    dv_rz: Array  # (2,B,H)
    dq: Array  # (B,H)  block n of dv


class GRUPart(NamedTuple):
    """Rows of the batch that one thread takes through the sequence, with scratch of its own; often all rows."""

    rows: slice
    steps: list[GRUStep]
    v: Array  # (B,3H)  h[t] Wh of the current step
    v_rz: Array  # (2,B,H)
    v_n: Array  # (B,H)
    dh: Array  # (B,H)  the gradient that flows from step to step: through Wh
    keep: Array  # (B,H)  and past it
    d: Array  # (3,B,H)  gradients of the gates of the current step: dr dz dn
    scratch: Array  # (2,B,H)


class GRUWorkspace(NamedTuple):
    """Every buffer of one layer for T steps of a batch of B; made by gru_workspace."""

    h: Array  # (T+1,B,H)  row 0 is h0
    gates: Array  # (T,3,B,H)  activated; contiguous blocks, twice as fast as columns of (B,3H)
    q: Array  # (T,B,H)
    a: Array  # (T,B,3H)  x Wx + b of all steps in the forward; the gradient of a in the backward
    dv: Array  # (T,B,3H)  gradient of v: the recurrent side
    dx: Array | None  # (T,B,D), or None where it is not wanted
    dh: Array  # (B,H)
    keep: Array  # (B,H)
    WhT: Array  # (3H,H)  contiguous: faster than Wh.T in T products
    parts: list[GRUPart]


class GRUCache(NamedTuple):
    """What gru_backward needs, open to the reader: histories of states and gates; arguments not copied."""

    h: Array  # (T+1,B,H)  row 0 is h0
    gates: Array  # (T,3,B,H)  activated: r z n
    q: Array  # (T,B,H)  v[n] + bhn
    Wh: Array  # (H,3H)
    bhn: Array  # (H,)
    input: LinearCache  # of equation (1): x, Wx, b
    ws: GRUWorkspace


def gru_workspace(T: int, B: int, Wx: Array, Wh: Array, needs_dx: bool = True) -> GRUWorkspace:
    """Buffers for `ws=`, for T steps of a batch of B, on the device and in the dtype of Wx (D,3H) and Wh (H,3H).

    `needs_dx` is False where the input is ids, which have no gradient. Memory: about T·B·(11H + D) numbers.
    """
    bk = backend.of(Wx, Wh)
    D, H = Wx.shape[0], Wh.shape[0]
    with bk.scope():

        def empty(*shape: int) -> Array:
            return bk.xp.empty(shape, Wh.dtype)

        def blocks(a: Array) -> Array:  # (B,3H) seen as (3,B,H)
            return a.reshape(-1, 3, H).transpose(1, 0, 2)

        h, q, gates, a = empty(T + 1, B, H), empty(T, B, H), empty(T, 3, B, H), empty(T, B, 3 * H)
        dv, dh, keep = empty(T, B, 3 * H), empty(B, H), empty(B, H)

        def part(rows: slice) -> GRUPart:
            size = rows.stop - rows.start
            steps = []
            for t in range(T):
                a_t, g_t, dv_t = blocks(a[t, rows]), gates[t, :, rows], blocks(dv[t, rows])
                states = q[t, rows], h[t, rows], h[t + 1, rows]
                steps.append(GRUStep._make([a_t[:2], a_t[2], g_t[:2], *g_t, *states, dv[t, rows], dv_t[:2], dv_t[2]]))
            v, d, scratch = empty(size, 3 * H), empty(3, size, H), empty(2, size, H)
            return GRUPart(rows, steps, v, blocks(v)[:2], blocks(v)[2], dh[rows], keep[rows], d, scratch)

        parts = [part(rows) for rows in bk.parts(B, 2.0 * T * B * H * 3 * H)]  # by the operations of (2)
        dx = empty(T, B, D) if needs_dx else None
        return GRUWorkspace(h, gates, q, a, dv, dx, dh, keep, empty(3 * H, H), parts)


def gru_bodies(xp: Any) -> tuple[Body, ...]:
    """The pointwise parts of one step, for Backend.fused: each is one kernel on a GPU, plain ufuncs on NumPy."""

    # fmt: off
    def sigmoids(a: Array, v: Array, s: Array) -> None:
        xp.add(a, v, out=s)                    # (3)  r z = σ(a + v) = 1 / (1 + e^-(a + v))             (2,B,H)
        xp.negative(s, out=s)
        xp.exp(s, out=s)
        xp.add(s, 1.0, out=s)
        xp.divide(1.0, s, out=s)

    def state(a: Array, v: Array, bhn: Array, r: Array, z: Array, n: Array, q: Array, h_prev: Array,
              h: Array) -> None:
        xp.add(v, bhn, out=q)                  # (2)  q = v[n] + bhn                                    (B,H)
        xp.multiply(r, q, out=n)               # (4)  n = tanh(a + r q)                                 (B,H)
        xp.add(a, n, out=n)
        xp.tanh(n, out=n)
        xp.subtract(h_prev, n, out=h)          # (5)  h = n + z (h_prev − n) = (1 − z) n + z h_prev     (B,H)
        xp.multiply(h, z, out=h)
        xp.add(h, n, out=h)

    def state_backward(dh_out: Array, r: Array, z: Array, n: Array, q: Array, h_prev: Array, dh: Array, keep: Array,
                       dr: Array, dz: Array, dn: Array, s: Array, da_n: Array, dq: Array) -> None:
        xp.add(dh, keep, out=dh)               # the two ways back from step t+1                        (B,H)
        xp.add(dh, dh_out, out=dh)             # h[t+1] is an output and the state of step t+1          (B,H)
        xp.subtract(1.0, z, out=dn)            # reverses (5): dn = dh (1 − z)                          (B,H)
        xp.multiply(dn, dh, out=dn)
        xp.subtract(h_prev, n, out=dz)         # reverses (5): dz = dh (h[t] − n)                       (B,H)
        xp.multiply(dz, dh, out=dz)
        xp.multiply(dh, z, out=keep)           # reverses (5): what flows on to h[t] past Wh            (B,H)
        xp.multiply(n, n, out=s)               # reverses (4): da_n = dn (1 − n²)                       (B,H)
        xp.subtract(1.0, s, out=s)
        xp.multiply(dn, s, out=dn)
        xp.multiply(dn, 1.0, out=da_n)
        xp.multiply(dn, q, out=dr)             # reverses (4): dr = da_n q                              (B,H)
        xp.multiply(dn, r, out=dq)             # reverses (4): dq = da_n r                              (B,H)

    def sigmoids_backward(d: Array, rz: Array, s: Array, da: Array, dv: Array) -> None:
        xp.subtract(1.0, rz, out=s)            # reverses (3): da = d σ (1 − σ) for r z                 (2,B,H)
        xp.multiply(s, rz, out=s)
        xp.multiply(d, s, out=da)
        xp.multiply(d, s, out=dv)              # both sides of the sum a + v receive it                 (2,B,H)
    # fmt: on

    return sigmoids, state, state_backward, sigmoids_backward


def gru_forward(
    x: Array, h0: Array, Wx: Array, Wh: Array, b: Array, bhn: Array, ws: GRUWorkspace | None = None
) -> tuple[Array, Array, GRUCache]:
    """Run a GRU over a sequence.

    x (T,B,D), or integer ids (T,B) for one-hot inputs of width D; h0 (B,H); Wx (D,3H), Wh (H,3H), b (3H,) with blocks
    r z n; bhn (H,). Returns h (T,B,H), the final state hT (B,H) as a copy, and the cache.

    With `ws=gru_workspace(T, B, Wx, Wh)` nothing large is allocated; h and the cache are then views of the workspace,
    good until its next use. Raises ValueError for shapes that do not fit, IndexError for ids outside 0 … D-1.
    """
    T, B, D = steps_batch_width(x, Wx)
    H = Wh.shape[0]
    for name, W, shape, meaning in (
        ("Wx", Wx, (D, 3 * H), "(D, 3H)"),
        ("Wh", Wh, (H, 3 * H), "(H, 3H)"),
        ("bhn", bhn, (H,), "(H,)"),
        ("h0", h0, (B, H), "(B, H)"),
    ):
        expect(name, W, shape, meaning)
    bk = backend.of(Wh, Wx, b, bhn, x, h0)
    sigmoids, state, *_ = bk.fused(gru_bodies)
    if ws is None:
        ws = gru_workspace(T, B, Wx, Wh, needs_dx=False)  # so that every backward makes a dx of its own
    expect("ws.a", ws.a, (T, B, 3 * H), "(T, B, 3H)")
    with bk.scope():
        ws.h[0] = h0
        _, input_cache = linear_forward(x, Wx, b, out=ws.a, dx=ws.dx)  # (1)               (T,B,3H)

        def steps(part: GRUPart) -> None:
            for s in part.steps:
                bk.matmul(s.h_prev, Wh, out=part.v)  # (2)                                             (B,3H)
                sigmoids(s.a_rz, part.v_rz, s.rz)  # (3)
                state(s.a_n, part.v_n, bhn, s.r, s.z, s.n, s.q, s.h_prev, s.h)  # (2) (4) (5)

        with bk.extremes_are_fine():  # e^-a may overflow to infinity: 1 / (1 + ∞) = 0 is the right σ
            bk.run([partial(steps, part) for part in ws.parts])
        cache = GRUCache(ws.h, ws.gates, ws.q, Wh, bhn, input_cache, ws)
        return ws.h[1:], ws.h[T].copy(), cache


def gru_backward(
    dh: Array | None,
    dhT: Array | None,
    cache: GRUCache,
    out: tuple[Array, Array, Array, Array] | None = None,
) -> tuple[Array | None, Array, Array, Array, Array, Array]:
    """Backpropagation through time for gru_forward.

    dh (T,B,H) is the gradient of every output h, from the loss alone: what comes back through time is added here. dhT
    (B,H) is the gradient of the final state. Either may be None, which means zeros.

    Returns dx (T,B,D) (None for ids), dh0 (B,H), dWx (D,3H), dWh (H,3H), db (3H,), dbhn (H,).
    `out = (dWx, dWh, db, dbhn)` names where the parameter gradients are written; they are overwritten, not added to.
    The cache survives.
    """
    Wh, input_cache, ws = cache.Wh, cache.input, cache.ws
    T, B, H = cache.q.shape
    bk = backend.of(Wh)
    xp = bk.xp
    *_, state_backward, sigmoids_backward = bk.fused(gru_bodies)
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
            W, b = input_cache.W, input_cache.b
            out = xp.empty_like(W), xp.empty_like(Wh), xp.empty_like(b), xp.empty_like(cache.bhn)
        dWx, dWh, db, dbhn = out
        ws.WhT[...] = Wh.T

        def steps_backward(part: GRUPart) -> None:
            d_rz, d, scratch = part.d[:2], tuple(part.d), part.scratch[0]
            for dh_out, s in zip(dh[::-1, part.rows], reversed(part.steps), strict=True):
                saved = s.r, s.z, s.n, s.q, s.h_prev
                state_backward(dh_out, *saved, part.dh, part.keep, *d, scratch, s.a_n, s.dq)  # reverses (5) (4)
                sigmoids_backward(d_rz, s.rz, part.scratch, s.a_rz, s.dv_rz)  # reverses (3)
                bk.matmul(s.dv, ws.WhT, out=part.dh)  # reverses (2), into h[t]                        (B,H)

        bk.run([partial(steps_backward, part) for part in ws.parts])
        dv = ws.dv.reshape(T * B, 3 * H)
        bk.matmul(cache.h[:-1].reshape(T * B, H).T, dv, out=dWh)  # reverses (2), into Wh      (H,3H)
        xp.sum(dv[:, 2 * H :], axis=0, out=dbhn)  # reverses (2), into bhn                     (H,)
        dx, _, _ = linear_backward(ws.a, input_cache, out=(dWx, db))  # reverses (1)
        return dx, ws.dh + ws.keep, dWx, dWh, db, dbhn


def gru_step_forward(x: Array, h_prev: Array, Wx: Array, Wh: Array, b: Array, bhn: Array) -> tuple[Array, GRUCache]:
    """One step: a sequence of length 1. x (B,D) or ids (B,); h_prev (B,H). Returns h (B,H) and the cache."""
    _, h, cache = gru_forward(x[None], h_prev, Wx, Wh, b, bhn)
    return h, cache


def gru_step_backward(dh: Array | None, cache: GRUCache) -> tuple[Array | None, Array, Array, Array, Array, Array]:
    """Reverse of gru_step_forward; dh (B,H) is the whole gradient of h, from the loss and from later steps.

    Returns dx (B,D) (None for ids), dh_prev (B,H), dWx, dWh, db, dbhn.
    """
    dx, dh_prev, dWx, dWh, db, dbhn = gru_backward(None, dh, cache)
    return None if dx is None else dx[0], dh_prev, dWx, dWh, db, dbhn
