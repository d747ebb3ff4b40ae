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

from typing import Any, NamedTuple

from minrnn import backend
from minrnn.backend import Array, Body
from minrnn.kernels.linear import LinearCache, linear_backward, linear_forward
from minrnn.kernels.shapes import expect, steps_batch_width


class GRUStep(NamedTuple):
    """Views of the buffers at one step t; gates are column blocks of (B,3H), [r z] together are `sigmoids`."""

    sigmoids: Array  # (B,2H)  [r z]: a_t, then activated in place
    r: Array  # (B,H)
    z: Array  # (B,H)
    n: Array  # (B,H)  likewise
    q: Array  # (B,H)
    h_prev: Array  # (B,H)  h[t]
    h: Array  # (B,H)  h[t+1]
    da_sigmoids: Array  # (B,2H)
    dr: Array  # (B,H)  then in place da_r
    dz: Array  # (B,H)  then in place da_z
    dn: Array  # (B,H)  then in place da_n
    dv: Array  # (B,3H)
    dv_sigmoids: Array  # (B,2H)  a copy of da_r da_z
    dq: Array  # (B,H)


class GRUWorkspace(NamedTuple):
    """Every buffer of one layer for T steps of a batch of B; made by gru_workspace."""

    h: Array  # (T+1,B,H)  row 0 is h0
    gates: Array  # (T,B,3H)
    q: Array  # (T,B,H)
    da: Array  # (T,B,3H)  gradient of a: the input side
    dv: Array  # (T,B,3H)  gradient of v: the recurrent side
    dx: Array | None  # (T,B,D), or None where it is not wanted
    recurrent: Array  # (B,3H)  h[t] Wh of the current step
    recurrent_sigmoids: Array  # (B,2H)  its blocks r z
    recurrent_n: Array  # (B,H)  its block n
    dh: Array  # (B,H)  the gradient that flows from step to step: through Wh
    keep: Array  # (B,H)  and past it
    scratch: Array  # (B,H)
    scratch2: Array  # (B,2H)
    steps: list[GRUStep]


class GRUCache(NamedTuple):
    """What gru_backward needs, open to the reader: histories of states and gates; arguments not copied."""

    h: Array  # (T+1,B,H)  row 0 is h0
    gates: Array  # (T,B,3H)  activated: [r z n]
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

        def blocks(a: Array) -> list[Array]:  # [r z], r, z, n: column views of a (B,3H) block
            return [a[:, : 2 * H], *(a[:, k * H : (k + 1) * H] for k in range(3))]

        h, q = empty(T + 1, B, H), empty(T, B, H)
        gates, da, dv, recurrent = empty(T, B, 3 * H), empty(T, B, 3 * H), empty(T, B, 3 * H), empty(B, 3 * H)
        steps = [
            GRUStep._make([*blocks(gates[t]), q[t], h[t], h[t + 1], *blocks(da[t]), dv[t], dv2, dq])
            for t, (dv2, _, _, dq) in enumerate(map(blocks, dv))
        ]
        dx = empty(T, B, D) if needs_dx else None
        running = [empty(B, H), empty(B, H), empty(B, H), empty(B, 2 * H)]  # dh, keep, scratch, scratch2
        v2, _, _, vn = blocks(recurrent)
        return GRUWorkspace._make([h, gates, q, da, dv, dx, recurrent, v2, vn, *running, steps])


def gru_bodies(xp: Any) -> tuple[Body, ...]:
    """The pointwise parts of one step, for Backend.fused: each is one kernel on a GPU, plain ufuncs on NumPy."""

    # fmt: off
    def gates(s: Array, v: Array) -> None:
        xp.add(s, v, out=s)                    # (3)  r z = σ(a + v) = ½ tanh(½(a + v)) + ½             (B,2H)
        xp.multiply(s, 0.5, out=s)
        xp.tanh(s, out=s)
        xp.multiply(s, 0.5, out=s)
        xp.add(s, 0.5, out=s)

    def state(n: Array, v: Array, bhn: Array, r: Array, z: Array, h_prev: Array,
              q: Array, h: Array) -> None:
        xp.add(v, bhn, out=q)                  # (2)  q = v[n] + bhn                                    (B,H)
        xp.multiply(r, q, out=h)               # (4)  n = tanh(a + r q); h holds r q for one line       (B,H)
        xp.add(n, h, out=n)
        xp.tanh(n, out=n)
        xp.subtract(h_prev, n, out=h)          # (5)  h = n + z (h_prev − n) = (1 − z) n + z h_prev     (B,H)
        xp.multiply(h, z, out=h)
        xp.add(h, n, out=h)

    def state_backward(dh_out: Array, r: Array, z: Array, n: Array, q: Array, h_prev: Array,
                       dh: Array, keep: Array, dr: Array, dz: Array, dn: Array, dq: Array, s: Array) -> None:
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
        xp.multiply(dn, q, out=dr)             # reverses (4): dr = da_n q                              (B,H)
        xp.multiply(dn, r, out=dq)             # reverses (4): dq = da_n r                              (B,H)

    def gates_backward(d: Array, sigmoids: Array, dv: Array, s: Array) -> None:
        xp.subtract(1.0, sigmoids, out=s)      # reverses (3): da = d σ (1 − σ), blocks r z             (B,2H)
        xp.multiply(s, sigmoids, out=s)
        xp.multiply(d, s, out=d)
        xp.multiply(d, 1.0, out=dv)            # both sides of the sum a + v receive it                 (B,2H)
    # fmt: on

    return gates, state, state_backward, gates_backward


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
    gates, state, *_ = bk.fused(gru_bodies)
    if ws is None:
        ws = gru_workspace(T, B, Wx, Wh, needs_dx=False)  # so that every backward makes a dx of its own
    expect("ws.gates", ws.gates, (T, B, 3 * H), "(T, B, 3H)")
    with bk.scope():
        ws.h[0] = h0
        _, input_cache = linear_forward(x, Wx, b, out=ws.gates, dx=ws.dx)  # (1)               (T,B,3H)
        for s in ws.steps:
            bk.matmul(s.h_prev, Wh, out=ws.recurrent)  # (2)                                   (B,3H)
            gates(s.sigmoids, ws.recurrent_sigmoids)  # (3)
            state(s.n, ws.recurrent_n, bhn, s.r, s.z, s.h_prev, s.q, s.h)  # (2) (4) (5)
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
    *_, state_backward, gates_backward = bk.fused(gru_bodies)
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
        for dh_out, s in zip(dh[::-1], reversed(ws.steps), strict=True):
            saved = s.r, s.z, s.n, s.q, s.h_prev
            state_backward(  # reverses (5) (4)
                dh_out, *saved, ws.dh, ws.keep, s.dr, s.dz, s.dn, s.dq, ws.scratch
            )
            gates_backward(s.da_sigmoids, s.sigmoids, s.dv_sigmoids, ws.scratch2)  # reverses (3)
            bk.matmul(s.dv, Wh.T, out=ws.dh)  # reverses (2), into h[t]                        (B,H)
        dv = ws.dv.reshape(T * B, 3 * H)
        bk.matmul(cache.h[:-1].reshape(T * B, H).T, dv, out=dWh)  # reverses (2), into Wh      (H,3H)
        xp.sum(dv[:, 2 * H :], axis=0, out=dbhn)  # reverses (2), into bhn                     (H,)
        dx, _, _ = linear_backward(ws.da, input_cache, out=(dWx, db))  # reverses (1)
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
