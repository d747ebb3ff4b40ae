"""Long short-term memory: the forward pass, and backpropagation through time written out by hand.

For t = 0 … T−1, with (h[0], c[0]) = (h0, c0) the initial state:

    (1)  a_t    = x_t Wx                                  (B,4H)  for all t in one product, blocks in the order i f o g
    (2)  a_t   += h[t] Wh + b                             (B,4H)
    (3)  i, f, o = σ(a_t[i]), σ(a_t[f]), σ(a_t[o])        (B,H) each: input, forget and output gate
         g       = tanh(a_t[g])                           (B,H)       the candidate
    (4)  c[t+1] = f ∘ c[t] + i ∘ g                        (B,H)
    (5)  tanh_c = tanh(c[t+1])                            (B,H)
    (6)  h[t+1] = o ∘ tanh_c                              (B,H)   the output of step t

Backward, for t = T−1 … 0. Two gradients flow through time, dh (of h[t+1]) and dc (of c[t+1]); they start from dhT and
dcT, the upstreams of the final state. Every equation below is the reverse of the one whose number it bears:

         dh    += dh_out[t]                               h[t+1] is an output and the state of step t+1
    (6)  do     = dh ∘ tanh_c
    (5)  dc    += dh ∘ o ∘ (1 − tanh_c²)
    (4)  di = dc ∘ g     df = dc ∘ c[t]     dg = dc ∘ i     and on to step t−1:  dc ← dc ∘ f
    (3)  da_t   = [di ∘ i(1−i),  df ∘ f(1−f),  do ∘ o(1−o),  dg ∘ (1−g²)]
    (2)  dh     = da_t Whᵀ      on to step t−1            dWh = Σ_t h[t]ᵀ da_t      t = 0 counts: it brings in h0
                                                          db  = Σ_t Σ_b da_t
    (1)  dx_t   = da_t Wxᵀ                                dWx = Σ_t x_tᵀ da_t

after t = 0, dh and dc are the gradients of h0 and c0.

Sources: Hochreiter & Schmidhuber 1997; forget gate: Gers, Schmidhuber & Cummins 2000. The semantics are those of
PyTorch's nn.LSTM (no peepholes) with one bias in place of two; its blocks come in the order i f g o. Keras: i f c o.

What this is not: it has no stateful flag, no reset and no layers. State goes in and comes out.

h and c have T+1 rows, row 0 being the initial state, so no line asks whether t is 0, and dWh is one product over all t
that cannot forget h0.
"""

from typing import Any, NamedTuple

from minrnn import backend
from minrnn.backend import Array, Body
from minrnn.kernels.linear import LinearCache, linear_backward, linear_forward
from minrnn.kernels.shapes import expect, steps_batch_width


class LSTMStep(NamedTuple):
    """Views of the buffers at one step t; `ifo` stands for three gates in one."""

    da: Array  # (B,4H)  the gradient of a_t as the products want it, in the memory of a_t
    a_ifo: Array  # (3,B,H)  blocks i f o of a_t; in the backward of its gradient
    a_g: Array  # (B,H)
    ifo: Array  # (3,B,H)
    i: Array  # (B,H)
    f: Array  # (B,H)
    o: Array  # (B,H)
    g: Array  # (B,H)
    h_prev: Array  # (B,H)  h[t]
    c_prev: Array  # (B,H)  c[t]
    h: Array  # (B,H)  h[t+1]
    c: Array  # (B,H)  c[t+1]
    tanh_c: Array  # (B,H)


class LSTMWorkspace(NamedTuple):
    """Every buffer of one layer for T steps of a batch of B; made by lstm_workspace."""

    h: Array  # (T+1,B,H)  row 0 is h0
    c: Array  # (T+1,B,H)  row 0 is c0
    gates: Array  # (T,4,B,H)  activated; contiguous blocks, twice as fast as columns of (B,4H)
    tanh_c: Array  # (T,B,H)
    a: Array  # (T,B,4H)  x Wx of all steps in the forward; the gradient of a in the backward
    steps: list[LSTMStep]
    v: Array  # (B,4H)  h[t] Wh of the current step
    v_ifo: Array  # (3,B,H)
    v_g: Array  # (B,H)
    dh: Array  # (B,H)  the gradient that flows from step to step
    dc: Array  # (B,H)
    p: Array  # (3,B,H)  di ∘ i, df ∘ f, do ∘ o of the current step
    scratch: Array  # (3,B,H)
    WhT: Array  # (4H,H)  contiguous: faster than Wh.T in T products
    dx: Array | None  # (T,B,D), or None where it is not wanted


class LSTMCache(NamedTuple):
    """What lstm_backward needs, open to the reader: histories of states and gates, arguments not copied."""

    h: Array  # (T+1,B,H)  row 0 is h0
    c: Array  # (T+1,B,H)  row 0 is c0
    gates: Array  # (T,4,B,H)  activated: i f o g
    tanh_c: Array  # (T,B,H)
    Wh: Array  # (H,4H)
    b: Array  # (4H,)
    input: LinearCache  # of equation (1): x, Wx
    ws: LSTMWorkspace


def lstm_workspace(T: int, B: int, Wx: Array, Wh: Array, needs_dx: bool = True) -> LSTMWorkspace:
    """Buffers for `ws=`, for T steps of a batch of B, on the device and in the dtype of Wx (D,4H) and Wh (H,4H).

    `needs_dx` is False where the input is ids, which have no gradient. Memory: about T·B·(11H + D) numbers.
    """
    bk = backend.of(Wx, Wh)
    D, H = Wx.shape[0], Wh.shape[0]
    with bk.scope():

        def empty(*shape: int) -> Array:
            return bk.xp.empty(shape, Wh.dtype)

        def blocks(a: Array) -> Array:  # (B,4H) seen as (4,B,H)
            return a.reshape(-1, 4, H).transpose(1, 0, 2)

        h, c, tanh_c = empty(T + 1, B, H), empty(T + 1, B, H), empty(T, B, H)
        gates, a, v = empty(T, 4, B, H), empty(T, B, 4 * H), empty(B, 4 * H)
        steps = []
        for t in range(T):
            a_t, (i, f, o, g) = blocks(a[t]), gates[t]
            states = h[t], c[t], h[t + 1], c[t + 1], tanh_c[t]
            steps.append(LSTMStep(a[t], a_t[:3], a_t[3], gates[t, :3], i, f, o, g, *states))
        dh, dc, p, scratch, WhT = empty(B, H), empty(B, H), empty(3, B, H), empty(3, B, H), empty(4 * H, H)
        dx = empty(T, B, D) if needs_dx else None
        of_v = v, blocks(v)[:3], blocks(v)[3]
        return LSTMWorkspace(h, c, gates, tanh_c, a, steps, *of_v, dh, dc, p, scratch, WhT, dx)


def lstm_bodies(xp: Any) -> tuple[Body, ...]:
    """The pointwise parts of one step, for Backend.fused: each is one kernel on a GPU, plain ufuncs on NumPy."""

    # fmt: off
    def sigmoids(a: Array, v: Array, b: Array, s: Array) -> None:
        xp.add(v, b, out=s)                    # (2)  a + h[t] Wh + b                                   (3,B,H)
        xp.add(a, s, out=s)
        xp.negative(s, out=s)                  # (3)  i f o = σ(a) = 1 / (1 + e^-a)                     (3,B,H)
        xp.exp(s, out=s)
        xp.add(s, 1.0, out=s)
        xp.divide(1.0, s, out=s)

    def state(a: Array, v: Array, b: Array, i: Array, f: Array, o: Array, g: Array,
              c_prev: Array, c: Array, tanh_c: Array, h: Array) -> None:
        xp.add(v, b, out=g)                    # (2)  a + h[t] Wh + b                                   (B,H)
        xp.add(a, g, out=g)
        xp.tanh(g, out=g)                      # (3)  g = tanh(a)                                       (B,H)
        xp.multiply(i, g, out=tanh_c)          # (4)  c = f c_prev + i g; tanh_c holds i g for one line (B,H)
        xp.multiply(f, c_prev, out=c)
        xp.add(c, tanh_c, out=c)
        xp.tanh(c, out=tanh_c)                 # (5)  tanh_c = tanh(c)                                  (B,H)
        xp.multiply(o, tanh_c, out=h)          # (6)  h = o tanh_c                                      (B,H)

    def state_backward(dh_out: Array, i: Array, f: Array, o: Array, g: Array, h: Array, c_prev: Array, tanh_c: Array,
                       dh: Array, dc: Array, p_i: Array, p_f: Array, p_o: Array, s: Array, da_g: Array) -> None:
        # p = dgate gate, which (3) wants and the states have made already: do o = dh tanh_c o = dh h
        xp.add(dh, dh_out, out=dh)             # h[t+1] is an output and the state of step t+1          (B,H)
        xp.multiply(dh, h, out=p_o)            # reverses (6): do o = dh h                              (B,H)
        xp.multiply(dh, o, out=s)              # reverses (5): dc += dh o (1 − tanh_c²)                 (B,H)
        xp.add(dc, s, out=dc)                  #                   = dh o − do o tanh_c
        xp.multiply(p_o, tanh_c, out=s)
        xp.subtract(dc, s, out=dc)
        xp.multiply(dc, i, out=s)              # reverses (4): dg = dc i                                (B,H)
        xp.multiply(s, g, out=p_i)             # reverses (4): di i = dc g i = dg g                     (B,H)
        xp.multiply(dc, f, out=dc)             # reverses (4): what flows on to c[t]                    (B,H)
        xp.multiply(dc, c_prev, out=p_f)       # reverses (4): df f = dc c[t] f                         (B,H)
        xp.multiply(p_i, g, out=da_g)          # reverses (3): da_g = dg (1 − g²) = dg − di i g         (B,H)
        xp.subtract(s, da_g, out=da_g)

    def sigmoids_backward(p: Array, sigmoids: Array, s: Array, da: Array) -> None:
        xp.multiply(p, sigmoids, out=s)        # reverses (3): da = d σ (1 − σ) = p − p σ for i f o     (3,B,H)
        xp.subtract(p, s, out=da)
    # fmt: on

    return sigmoids, state, state_backward, sigmoids_backward


def lstm_forward(
    x: Array, h0: Array, c0: Array, Wx: Array, Wh: Array, b: Array, ws: LSTMWorkspace | None = None
) -> tuple[Array, Array, Array, LSTMCache]:
    """Run an LSTM over a sequence.

    x (T,B,D), or integer ids (T,B) for one-hot inputs of width D; h0, c0 (B,H); Wx (D,4H), Wh (H,4H), b (4H,) with
    blocks i f o g. Returns h (T,B,H), the final state hT, cT (B,H) as copies, and the cache.

    With `ws=lstm_workspace(T, B, Wx, Wh)` nothing large is allocated; h and the cache are then views of the workspace,
    good until its next use. Raises ValueError for shapes that do not fit, IndexError for ids outside 0 … D-1.
    """
    T, B, D = steps_batch_width(x, Wx)
    H = Wh.shape[0]
    for name, W, shape, meaning in (
        ("Wx", Wx, (D, 4 * H), "(D, 4H)"),
        ("Wh", Wh, (H, 4 * H), "(H, 4H)"),
        ("b", b, (4 * H,), "(4H,)"),
        ("h0", h0, (B, H), "(B, H)"),
        ("c0", c0, (B, H), "(B, H)"),
    ):
        expect(name, W, shape, meaning)
    bk = backend.of(Wh, Wx, b, x, h0, c0)
    sigmoids, state, *_ = bk.fused(lstm_bodies)
    if ws is None:
        ws = lstm_workspace(T, B, Wx, Wh, needs_dx=False)  # so that every backward makes a dx of its own
    expect("ws.a", ws.a, (T, B, 4 * H), "(T, B, 4H)")
    with bk.scope():
        ws.h[0], ws.c[0] = h0, c0
        _, input_cache = linear_forward(x, Wx, out=ws.a, dx=ws.dx)  # (1)                  (T,B,4H)
        blocks_of_b = b.reshape(4, 1, H)
        b_ifo, b_g = blocks_of_b[:3], blocks_of_b[3]
        with bk.extremes_are_fine():  # e^-a may overflow to infinity: 1 / (1 + ∞) = 0 is the right σ
            for s in ws.steps:
                bk.matmul(s.h_prev, Wh, out=ws.v)  # (2)                                           (B,4H)
                sigmoids(s.a_ifo, ws.v_ifo, b_ifo, s.ifo)  # (2) (3) for i f o
                state(s.a_g, ws.v_g, b_g, s.i, s.f, s.o, s.g, s.c_prev, s.c, s.tanh_c, s.h)  # the rest, to (6)
        cache = LSTMCache(ws.h, ws.c, ws.gates, ws.tanh_c, Wh, b, input_cache, ws)
        return ws.h[1:], ws.h[T].copy(), ws.c[T].copy(), cache


def lstm_backward(
    dh: Array | None,
    dhT: Array | None,
    dcT: Array | None,
    cache: LSTMCache,
    out: tuple[Array, Array, Array] | None = None,
) -> tuple[Array | None, Array, Array, Array, Array, Array]:
    """Backpropagation through time for lstm_forward.

    dh (T,B,H) is the gradient of every output h, from the loss alone: what comes back through time is added here. dhT
    and dcT (B,H) are the gradients of the final state. Any of the three may be None, which means zeros.

    Returns dx (T,B,D) (None for ids), dh0, dc0 (B,H), dWx (D,4H), dWh (H,4H), db (4H,). `out = (dWx, dWh, db)` names
    where the parameter gradients are written; they are overwritten, not added to. The cache survives. With a workspace
    of the caller's, dx is a view of it.
    """
    Wh, input_cache, ws = cache.Wh, cache.input, cache.ws
    T, B, H = cache.tanh_c.shape
    bk = backend.of(Wh)
    xp = bk.xp
    *_, state_backward, sigmoids_backward = bk.fused(lstm_bodies)
    with bk.scope():
        if dh is None:
            dh = xp.zeros((T, B, H), Wh.dtype)
        expect("dh", dh, (T, B, H), "(T, B, H)")
        for name, running, upstream in (("dhT", ws.dh, dhT), ("dcT", ws.dc, dcT)):
            if upstream is None:
                running.fill(0.0)
            else:
                expect(name, upstream, (B, H), "(B, H)")
                running[...] = upstream
        if out is None:
            out = xp.empty_like(input_cache.W), xp.empty_like(Wh), xp.empty_like(cache.b)
        dWx, dWh, db = out
        bk.transpose(Wh, out=ws.WhT)

        flowing = ws.dh, ws.dc, *ws.p, ws.scratch[0]
        for dh_out, s in zip(dh[::-1], reversed(ws.steps), strict=True):
            saved = s.i, s.f, s.o, s.g, s.h, s.c_prev, s.tanh_c
            state_backward(dh_out, *saved, *flowing, s.a_g)  # reverses (6) (5) (4), (3) for g
            sigmoids_backward(ws.p, s.ifo, ws.scratch, s.a_ifo)  # reverses (3) for i f o
            # s.a_ifo and s.a_g, just written, are the blocks of s.da
            bk.matmul(s.da, ws.WhT, out=ws.dh)  # reverses (2): dh for step t−1                        (B,H)

        da = ws.a.reshape(T * B, 4 * H)
        bk.matmul(cache.h[:-1].reshape(T * B, H).T, da, out=dWh)  # reverses (2), into Wh            (H,4H)
        xp.sum(da, axis=0, out=db)  # reverses (2), into b                                         (4H,)
        dx, _, _ = linear_backward(ws.a, input_cache, out=(dWx, None))  # reverses (1)
        return dx, ws.dh.copy(), ws.dc.copy(), dWx, dWh, db


def lstm_step_forward(
    x: Array, h_prev: Array, c_prev: Array, Wx: Array, Wh: Array, b: Array
) -> tuple[Array, Array, LSTMCache]:
    """One step: a sequence of length 1. x (B,D) or ids (B,); h_prev, c_prev (B,H). Returns h, c (B,H) and the cache."""
    _, h, c, cache = lstm_forward(x[None], h_prev, c_prev, Wx, Wh, b)
    return h, c, cache


def lstm_step_backward(
    dh: Array | None, dc: Array | None, cache: LSTMCache
) -> tuple[Array | None, Array, Array, Array, Array, Array]:
    """Reverse of lstm_step_forward; dh and dc (B,H) are the whole gradients of h and c, from the loss and from later.

    Returns dx (B,D) (None for ids), dh_prev, dc_prev (B,H), dWx, dWh, db.
    """
    dx, dh_prev, dc_prev, dWx, dWh, db = lstm_backward(None, dh, dc, cache)
    return None if dx is None else dx[0], dh_prev, dc_prev, dWx, dWh, db
