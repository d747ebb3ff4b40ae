"""Gated recurrent unit, the reset-after form, and its backpropagation through time.

For t = 0 … T−1, with h[0] = h0 the initial state:

    (1)  a_t    = x_t Wx                                  (B,3H)  for all t in one product, blocks in the order r z n
    (2)  v_t    = h[t] Wh                                 (B,3H)  blocks r z n;   q = v_t[n] + bhn   (B,H)
    (3)  r, z   = σ(a_t + v_t + b), blocks r and z        (B,H) each: reset and update gate
    (4)  n      = tanh(a_t[n] + b[n] + r ∘ q)             (B,H)       the candidate: reset AFTER the product
    (5)  h[t+1] = (1 − z) ∘ n + z ∘ h[t]                  (B,H)       the output of step t: z keeps the old state

Backward, for t = T−1 … 0. The gradient dh (of h[t+1]) flows through time; it starts from dhT, the upstream of the final
state. Every equation is the reverse of the one whose number it bears:

         dh    += dh_out[t]                               h[t+1] is an output and the state of step t+1
    (5)  dn = dh ∘ (1 − z)      dz = dh ∘ (h[t] − n)      and directly on to step t−1:  keep = dh ∘ z
    (4)  da_n   = dn ∘ (1 − n²)     dr = da_n ∘ q     dq = da_n ∘ r
    (3)  da_r   = dr ∘ r(1−r)       da_z = dz ∘ z(1−z)       db = Σ_t Σ_b [da_r da_z da_n]
    (2)  dv_t   = [da_r da_z dq]    dh = keep + dv_t Whᵀ     dWh = Σ_t h[t]ᵀ dv_t     dbhn = Σ_t Σ_b dq
    (1)  da_t   = [da_r da_z da_n]  dx_t = da_t Wxᵀ          dWx = Σ_t x_tᵀ da_t

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
    """Views of the buffers at one step t; `rz` stands for two gates in one."""

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


class GRUWorkspace(NamedTuple):
    """Every buffer of one layer for T steps of a batch of B; made by gru_workspace."""

    h: Array  # (T+1,B,H)  row 0 is h0
    gates: Array  # (T,3,B,H)  activated; contiguous blocks, twice as fast as columns of (B,3H)
    q: Array  # (T,B,H)
    a: Array  # (T,B,3H)  x Wx of all steps in the forward; the gradient of a in the backward
    dv: Array  # (T,B,3H)  gradient of v: the recurrent side
    steps: list[GRUStep]
    v: Array  # (B,3H)  h[t] Wh of the current step
    v_rz: Array  # (2,B,H)
    v_n: Array  # (B,H)
    dh: Array  # (B,H)  the gradient that flows from step to step: through Wh
    keep: Array  # (B,H)  and past it
    p: Array  # (2,B,H)  dr ∘ r, dz ∘ z of the current step
    dn: Array  # (B,H)
    scratch: Array  # (2,B,H)
    WhT: Array  # (3H,H)  contiguous: faster than Wh.T in T products
    dx: Array | None  # (T,B,D), or None where it is not wanted


class GRUCache(NamedTuple):
    """What gru_backward needs, open to the reader: histories of states and gates; arguments not copied."""

    h: Array  # (T+1,B,H)  row 0 is h0
    gates: Array  # (T,3,B,H)  activated: r z n
    q: Array  # (T,B,H)  v[n] + bhn
    Wh: Array  # (H,3H)
    b: Array  # (3H,)
    bhn: Array  # (H,)
    input: LinearCache  # of equation (1): x, Wx
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

        h, q, gates = empty(T + 1, B, H), empty(T, B, H), empty(T, 3, B, H)
        a, dv = empty(T, B, 3 * H), empty(T, B, 3 * H)
        steps = []
        for t in range(T):
            a_t, dv_t, (r, z, n) = blocks(a[t]), blocks(dv[t]), gates[t]
            states = q[t], h[t], h[t + 1]
            steps.append(GRUStep(a_t[:2], a_t[2], gates[t, :2], r, z, n, *states, dv[t], dv_t[:2], dv_t[2]))
        v, dh, keep, dn = empty(B, 3 * H), empty(B, H), empty(B, H), empty(B, H)
        p, scratch = empty(2, B, H), empty(2, B, H)
        of_v = v, blocks(v)[:2], blocks(v)[2]
        dx = empty(T, B, D) if needs_dx else None
        return GRUWorkspace(h, gates, q, a, dv, steps, *of_v, dh, keep, p, dn, scratch, empty(3 * H, H), dx)


def gru_bodies(xp: Any) -> tuple[Body, ...]:
    """The pointwise parts of one step, for Backend.fused: each is one kernel on a GPU, plain ufuncs on NumPy."""

    # fmt: off
    def sigmoids(a: Array, v: Array, b: Array, s: Array) -> None:
        xp.add(v, b, out=s)                    # (3)  r z = σ(a + v + b) = 1 / (1 + e^-(a + v + b))     (2,B,H)
        xp.add(a, s, out=s)
        xp.negative(s, out=s)
        xp.exp(s, out=s)
        xp.add(s, 1.0, out=s)
        xp.divide(1.0, s, out=s)

    def state(a: Array, v: Array, b: Array, bhn: Array, r: Array, z: Array, n: Array, q: Array, h_prev: Array,
              h: Array) -> None:
        xp.add(v, bhn, out=q)                  # (2)  q = v[n] + bhn                                    (B,H)
        xp.multiply(r, q, out=n)               # (4)  n = tanh(a + b + r q)                             (B,H)
        xp.add(n, b, out=n)
        xp.add(a, n, out=n)
        xp.tanh(n, out=n)
        xp.subtract(h_prev, n, out=h)          # (5)  h = n + z (h_prev − n) = (1 − z) n + z h_prev     (B,H)
        xp.multiply(h, z, out=h)
        xp.add(h, n, out=h)

    def state_backward(dh_out: Array, r: Array, z: Array, n: Array, q: Array, h_prev: Array, dh: Array, keep: Array,
                       p_r: Array, p_z: Array, dn: Array, s: Array, da_n: Array, dq: Array) -> None:
        # p = dgate gate, which (3) wants and other lines have made already
        xp.add(dh, keep, out=dh)               # the two ways back from step t+1                        (B,H)
        xp.add(dh, dh_out, out=dh)             # h[t+1] is an output and the state of step t+1          (B,H)
        xp.multiply(dh, z, out=keep)           # reverses (5): what flows on to h[t] past Wh            (B,H)
        xp.subtract(dh, keep, out=dn)          # reverses (5): dn = dh (1 − z) = dh − keep              (B,H)
        xp.subtract(h_prev, n, out=p_z)        # reverses (5): dz z = dh (h[t] − n) z = (h[t] − n) keep (B,H)
        xp.multiply(p_z, keep, out=p_z)
        xp.multiply(n, n, out=s)               # reverses (4): da_n = dn (1 − n²)                       (B,H)
        xp.subtract(1.0, s, out=s)
        xp.multiply(dn, s, out=da_n)
        xp.multiply(da_n, r, out=dq)           # reverses (4): dq = da_n r                              (B,H)
        xp.multiply(dq, q, out=p_r)            # reverses (4): dr r = da_n q r = dq q                   (B,H)

    def sigmoids_backward(p: Array, rz: Array, s: Array, da: Array, dv: Array) -> None:
        xp.multiply(p, rz, out=s)              # reverses (3): da = d σ (1 − σ) = p − p σ for r z       (2,B,H)
        xp.subtract(p, s, out=da)
        xp.subtract(p, s, out=dv)              # both sides of the sum a + v receive it                 (2,B,H)
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
        ("b", b, (3 * H,), "(3H,)"),
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
        _, input_cache = linear_forward(x, Wx, out=ws.a, dx=ws.dx)  # (1)                  (T,B,3H)
        blocks_of_b = b.reshape(3, 1, H)
        b_rz, b_n = blocks_of_b[:2], blocks_of_b[2]
        with bk.extremes_are_fine():  # e^-a may overflow to infinity: 1 / (1 + ∞) = 0 is the right σ
            for s in ws.steps:
                bk.matmul(s.h_prev, Wh, out=ws.v)  # (2)                                           (B,3H)
                sigmoids(s.a_rz, ws.v_rz, b_rz, s.rz)  # (3)
                state(s.a_n, ws.v_n, b_n, bhn, s.r, s.z, s.n, s.q, s.h_prev, s.h)  # (2) (4) (5)
        cache = GRUCache(ws.h, ws.gates, ws.q, Wh, b, bhn, input_cache, ws)
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
            out = xp.empty_like(input_cache.W), xp.empty_like(Wh), xp.empty_like(cache.b), xp.empty_like(cache.bhn)
        dWx, dWh, db, dbhn = out
        bk.transpose(Wh, out=ws.WhT)

        flowing = ws.dh, ws.keep, *ws.p, ws.dn, ws.scratch[0]
        for dh_out, s in zip(dh[::-1], reversed(ws.steps), strict=True):
            saved = s.r, s.z, s.n, s.q, s.h_prev
            state_backward(dh_out, *saved, *flowing, s.a_n, s.dq)  # reverses (5) (4)
            sigmoids_backward(ws.p, s.rz, ws.scratch, s.a_rz, s.dv_rz)  # reverses (3)
            bk.matmul(s.dv, ws.WhT, out=ws.dh)  # reverses (2), into h[t]                              (B,H)

        dv = ws.dv.reshape(T * B, 3 * H)
        bk.matmul(cache.h[:-1].reshape(T * B, H).T, dv, out=dWh)  # reverses (2), into Wh      (H,3H)
        xp.sum(dv[:, 2 * H :], axis=0, out=dbhn)  # reverses (2), into bhn                     (H,)
        xp.sum(ws.a.reshape(T * B, 3 * H), axis=0, out=db)  # reverses (3) (4), into b             (3H,)
        dx, _, _ = linear_backward(ws.a, input_cache, out=(dWx, None))  # reverses (1)
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
