"""One step at a time, for inference: the equations of lstm.py, gru.py and rnn.py in as few passes as possible.

A step for a single text is hardly arithmetic. It reads every weight once, and pays about half a microsecond for every
call of NumPy, however short the vector. So here

* x Wx + b of the first layer is a table with a row for each character;
* above it, where x and h lie one behind the other in memory, x Wx + h Wh is one product (not in a GRU, whose reset gate
  comes between the two);
* σ(a) ∘ y is y / (1 + e^-a), with the sign of a already in the weights;
* i ∘ g and f ∘ c, the two halves of an LSTM's new c, are one division of [g c].

Arrays stand upright, a vector (H,) for one text and a matrix (H,B) for B: the blocks of the gates are contiguous, and
the same lines serve both. Equations bear the numbers that they have in the file of their cell.

What this is not: a second definition of the cells. tests/kernels/test_stepper.py holds each of them to its forward.
There is no backward. A step checks no shape and enters no context: the caller enters Backend.scope, and
Backend.extremes_are_fine, for e^-a may overflow (y / ∞ = 0 is right). Products go to `dot` and not through
Backend.matmul, whose questions would take longer than many of these lines.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from minrnn import backend
from minrnn.backend import Array
from minrnn.kernels.shapes import expect


class Steps(NamedTuple):
    """A layer on its way through one text, or through B at once, in buffers of its own.

    `step(x)` takes a row of Stepper.inputs, upright: (G·H,) for one text, (G·H,B) or (G·H,1) for B. It overwrites the
    arrays of `state`, which may be read and written between steps.
    """

    step: Callable[[Array], None]
    state: tuple[Array, ...]  # (h,) or (h, c), each (H,) or (H,B)


class Stepper(NamedTuple):
    """A layer prepared for single steps: its weights copied and rearranged, once.

    `start(xh)` makes the buffers. The two parts of xh, (D+H,) for one text and (D+H,B) for B, are x and h: where each
    step finds its input and where it puts its output. D = 0 where the input is ids. The c of an LSTM begins at zero.
    """

    inputs: Array  # x Wx + b of every character, (V,G·H), where the input is ids; else b alone, (1,G·H)
    start: Callable[[Array], Steps]


def lstm_stepper(Wx: Array, Wh: Array, b: Array, *, ids: bool) -> Stepper:
    """Single steps of lstm_forward. Wx (D,4H), Wh (H,4H), b (4H,), blocks i f o g; `ids` says that the input is ids."""
    xp, H = backend.of(Wx, Wh, b).xp, Wh.shape[0]
    Wx, Wh, b = _signed(xp, [-1, -1, -1, 1], Wx, Wh, b)
    inputs, W = _joined(xp, Wx, Wh, b, ids)

    def start(xh: Array) -> Steps:
        empty = _buffers(xp, xh, W.shape[1])
        dot, add, exp, tanh, divide, one = xp.dot, xp.add, xp.exp, xp.tanh, xp.divide, xp.ones((), W.dtype)
        a, gc, igfc, tanh_c, h = empty(4 * H), empty(2 * H), empty(2 * H), empty(H), xh[-H:]
        d, d_if, d_o, a_g = a[: 3 * H], a[: 2 * H], a[2 * H : 3 * H], a[3 * H :]
        g, c, ig, fc = gc[:H], gc[H:], igfc[:H], igfc[H:]

        # fmt: off
        def step(x: Array) -> None:
            dot(W, xh, a)              # (2) (1)  a = x Wx + h Wh, but −a for i f o                    (4H,·)
            add(a, x, a)               # (1)      + b
            exp(d, d)                  # (3)      σ = 1 / d  with  d = 1 + e^-a  for i f o             (3H,·)
            add(d, one, d)
            tanh(a_g, g)               # (3)                                                           (H,·)
            divide(gc, d_if, igfc)     # (4)      i g and f c                                          (2H,·)
            add(ig, fc, c)
            tanh(c, tanh_c)            # (5)                                                           (H,·)
            divide(tanh_c, d_o, h)     # (6)                                                           (H,·)
        # fmt: on

        c.fill(0.0)
        return Steps(step, (h, c))

    return Stepper(inputs, start)


def gru_stepper(Wx: Array, Wh: Array, b: Array, bhn: Array, *, ids: bool) -> Stepper:
    """Single steps of gru_forward. Wx (D,3H), Wh (H,3H), b (3H,), blocks r z n; bhn (H,)."""
    xp, H = backend.of(Wx, Wh, b, bhn).xp, Wh.shape[0]
    expect("bhn", bhn, (H,), "(H,)")
    Wx, Wh, b = _signed(xp, [-1, -1, 1], Wx, Wh, b)
    inputs, Wx = (Wx + b, Wx[:0]) if ids else (b[None], Wx)
    WxT, WhT, bhn = xp.ascontiguousarray(Wx.T), xp.ascontiguousarray(Wh.T), bhn.copy()

    def start(xh: Array) -> Steps:
        empty = _buffers(xp, xh, WxT.shape[1] + H)
        dot, add, exp, tanh, one = xp.dot, xp.add, xp.exp, xp.tanh, xp.ones((), WhT.dtype)
        subtract, divide = xp.subtract, xp.divide
        a, v, n, zh, below, h = empty(3 * H), empty(3 * H), empty(H), empty(H), xh[:-H], xh[-H:]
        d, d_r, d_z, q = v[: 2 * H], v[:H], v[H : 2 * H], v[2 * H :]
        bias = bhn.reshape(H, *[1] * (xh.ndim - 1))

        # fmt: off
        def step(x: Array) -> None:
            if not ids:
                dot(WxT, below, a)     # (1)      a = x Wx + b, but −a for r z                         (3H,·)
                add(a, x, a)
                x = a
            dot(WhT, h, v)             # (2)      v = h Wh, but −v for r z                             (3H,·)
            add(q, bias, q)            # (2)      q = v[n] + bhn                                       (H,·)
            add(d, x[: 2 * H], d)      # (3)      σ = 1 / d  with  d = 1 + e^-(a + v)  for r z         (2H,·)
            exp(d, d)
            add(d, one, d)
            divide(q, d_r, n)          # (4)      n = tanh(a + r q)                                    (H,·)
            add(n, x[2 * H :], n)
            tanh(n, n)
            subtract(h, n, zh)         # (5)      h = n + z (h − n)                                    (H,·)
            divide(zh, d_z, zh)
            add(n, zh, h)
        # fmt: on

        return Steps(step, (h,))

    return Stepper(inputs, start)


def gru_before_stepper(Wx: Array, Wh: Array, b: Array, *, ids: bool) -> Stepper:
    """Single steps of gru_before_forward. Wx (D,3H), Wh (H,3H), b (3H,), blocks r z n."""
    xp, H = backend.of(Wx, Wh, b).xp, Wh.shape[0]
    Wx, Wh, b = _signed(xp, [-1, -1, 1], Wx, Wh, b)
    inputs, Wx = (Wx + b, Wx[:0]) if ids else (b[None], Wx)
    WxT, WrzT, WnT = (xp.ascontiguousarray(W.T) for W in (Wx, Wh[:, : 2 * H], Wh[:, 2 * H :]))

    def start(xh: Array) -> Steps:
        empty = _buffers(xp, xh, WxT.shape[1] + H)
        dot, add, exp, tanh, one = xp.dot, xp.add, xp.exp, xp.tanh, xp.ones((), WnT.dtype)
        subtract, divide = xp.subtract, xp.divide
        a, d, s, n, below, h = empty(3 * H), empty(2 * H), empty(H), empty(H), xh[:-H], xh[-H:]
        d_r, d_z = d[:H], d[H:]

        # fmt: off
        def step(x: Array) -> None:
            if not ids:
                dot(WxT, below, a)     # (1)      a = x Wx + b, but −a for r z                         (3H,·)
                add(a, x, a)
                x = a
            dot(WrzT, h, d)            # (2)      −v                                                   (2H,·)
            add(d, x[: 2 * H], d)      # (3)      σ = 1 / d  with  d = 1 + e^-(a + v)  for r z         (2H,·)
            exp(d, d)
            add(d, one, d)
            divide(h, d_r, s)          # (4)      s = r h,  w = s Wh[n]                                (H,·)
            dot(WnT, s, n)
            add(n, x[2 * H :], n)      # (5)      n = tanh(a + w)                                      (H,·)
            tanh(n, n)
            subtract(n, h, n)          # (6)      h = h + z (n − h)                                    (H,·)
            divide(n, d_z, n)
            add(h, n, h)
        # fmt: on

        return Steps(step, (h,))

    return Stepper(inputs, start)


def rnn_stepper(Wx: Array, Wh: Array, b: Array, *, ids: bool, nonlinearity: str = "tanh") -> Stepper:
    """Single steps of rnn_forward. Wx (D,H), Wh (H,H), b (H,); nonlinearity "tanh" or "relu"."""
    xp, H = backend.of(Wx, Wh, b).xp, Wh.shape[0]
    Wx, Wh, b = _signed(xp, [1], Wx, Wh, b)
    inputs, W = _joined(xp, Wx, Wh, b, ids)

    def relu(a: Array, out: Array) -> None:
        xp.maximum(a, 0.0, out=out)

    activate = {"tanh": xp.tanh, "relu": relu}[nonlinearity]

    def start(xh: Array) -> Steps:
        dot, add, a, h = xp.dot, xp.add, _buffers(xp, xh, W.shape[1])(H), xh[-H:]

        # fmt: off
        def step(x: Array) -> None:
            dot(W, xh, a)              # (2) (1)  a = x Wx + h Wh                                      (H,·)
            add(a, x, a)               # (1)      + b
            activate(a, h)             # (3)      h = tanh(a)  or  max(a, 0)                           (H,·)
        # fmt: on

        return Steps(step, (h,))

    return Stepper(inputs, start)


def _signed(xp: Any, signs: Sequence[int], Wx: Array, Wh: Array, b: Array) -> list[Array]:
    """Copies of the weights, with a sign for each block. Raises ValueError for shapes that do not fit."""
    H, D, G = Wh.shape[0], Wx.shape[0], len(signs)
    expect("Wx", Wx, (D, G * H), f"(D, {G}H)")
    expect("Wh", Wh, (H, G * H), f"(H, {G}H)")
    expect("b", b, (G * H,), f"({G}H,)")
    sign = xp.repeat(xp.asarray(signs, dtype=Wh.dtype), H)  # (G·H,)
    return [W * sign for W in (Wx, Wh, b)]


def _joined(xp: Any, Wx: Array, Wh: Array, b: Array, ids: bool) -> tuple[Array, Array]:
    """What a step is given, and the matrix (G·H,D+H) that it multiplies with [x h]: see Stepper."""
    if ids:
        return Wx + b, xp.ascontiguousarray(Wh.T)
    return b[None], xp.ascontiguousarray(xp.concatenate([Wx, Wh]).T)


def _buffers(xp: Any, xh: Array, rows: int) -> Callable[[int], Array]:
    """A maker of buffers for the texts of `xh`, which must have so many rows."""
    texts = xh.shape[1:]
    expect("xh", xh, (rows, *texts), "(D+H, …)")
    return lambda n: xp.empty((n, *texts), xh.dtype)
