"""The LSTM against its equations, one gate at a time, and what only an LSTM has: two states and saturating gates."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from minrnn import kernels

sizes = st.integers(1, 7)
seeds = st.integers(0, 2**32 - 1)


def logistic(a):
    return 1.0 / (1.0 + np.exp(-a))


def gate_by_gate(x, h, c, Wx, Wh, b):
    """One matrix, one bias and one line for every gate, one sequence after the other; blocks i f o g."""
    Wxi, Wxf, Wxo, Wxg = np.split(Wx, 4, axis=1)
    Whi, Whf, Who, Whg = np.split(Wh, 4, axis=1)
    bi, bf, bo, bg = np.split(b, 4)
    T, B, _ = x.shape
    outputs, h, c = np.empty((T, *h.shape)), h.copy(), c.copy()
    for n in range(B):
        for t in range(T):
            i = logistic(x[t, n] @ Wxi + h[n] @ Whi + bi)
            f = logistic(x[t, n] @ Wxf + h[n] @ Whf + bf)
            o = logistic(x[t, n] @ Wxo + h[n] @ Who + bo)
            g = np.tanh(x[t, n] @ Wxg + h[n] @ Whg + bg)
            c[n] = f * c[n] + i * g
            h[n] = o * np.tanh(c[n])
            outputs[t, n] = h[n]
    return outputs, h, c


@settings(max_examples=25)
@given(T=sizes, B=sizes, D=sizes, H=sizes, seed=seeds)
def test_forward_is_the_equations_gate_by_gate(assert_close, T, B, D, H, seed):
    normal = np.random.default_rng(seed).standard_normal
    args = [normal(s) for s in [(T, B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)]]
    *found, cache = kernels.lstm_forward(*args)
    for name, value, expected in zip(("h", "hT", "cT"), found, gate_by_gate(*args), strict=True):
        assert_close(value, expected, 1e-12, name)
    np.testing.assert_array_equal(cache.c[0], args[2])
    np.testing.assert_array_equal(cache.c[-1], found[2])


def test_a_gate_driven_to_its_limit_does_what_its_name_says(rng):
    """Biases of ±1000 open or shut a gate whatever comes in; the block order i f o g shows."""
    B, D, H = 2, 3, 4
    x, h0, c0 = rng.standard_normal((1, B, D)), rng.standard_normal((B, H)), rng.standard_normal((B, H))
    Wx, Wh = rng.standard_normal((D, 4 * H)), rng.standard_normal((H, 4 * H))

    def run(i, f, o):
        b = np.repeat([1000.0 * i, 1000.0 * f, 1000.0 * o, 0.0], H)
        _, hT, cT, _ = kernels.lstm_forward(x, h0, c0, Wx, Wh, b)
        return hT, cT

    g = np.tanh(x[0] @ Wx[:, 3 * H :] + h0 @ Wh[:, 3 * H :])
    for i, f, o in [(-1, 1, 1), (1, -1, 1), (1, 1, -1), (-1, -1, 1)]:
        hT, cT = run(i, f, o)
        np.testing.assert_allclose(cT, (f > 0) * c0 + (i > 0) * g, rtol=1e-13, atol=1e-300)
        np.testing.assert_allclose(hT, (o > 0) * np.tanh(cT), rtol=1e-13, atol=1e-300)


def test_cached_gates_are_in_the_promised_order(rng):
    """i f o g, activated: whoever looks into gates (plots of open and shut ones) looks here."""
    T, B, D, H = 1, 2, 3, 4
    x, zeros = rng.standard_normal((T, B, D)), np.zeros((B, H))
    Wx, b = 0.1 * rng.standard_normal((D, 4 * H)), np.repeat([-1.0, 2.0, 3.0, -2.0], H)
    *_, cache = kernels.lstm_forward(x, zeros, zeros, Wx, np.zeros((H, 4 * H)), b)
    a = (x[0] @ Wx + b).reshape(B, 4, H).transpose(1, 0, 2)
    np.testing.assert_allclose(cache.gates[0], [*(1.0 / (1.0 + np.exp(-a[:3]))), np.tanh(a[3])], rtol=1e-13)


def test_cell_state_gradient_passes_an_open_forget_gate_unchanged(rng):
    """f = 1, i = 0, o = 0: c is carried through 50 steps, and so is dc. A factor f left out or doubled shows."""
    T, B, D, H = 50, 2, 3, 4
    x, zeros = rng.standard_normal((T, B, D)), np.zeros((B, H))
    b = np.repeat([-1000.0, 1000.0, -1000.0, 0.0], H)
    dcT, c0 = rng.standard_normal((B, H)), rng.standard_normal((B, H))
    _, _, cT, cache = kernels.lstm_forward(x, zeros, c0, np.zeros((D, 4 * H)), np.zeros((H, 4 * H)), b)
    np.testing.assert_array_equal(cT, c0)
    _, dh0, dc0, *_ = kernels.lstm_backward(None, None, dcT, cache)
    np.testing.assert_array_equal(dc0, dcT)
    np.testing.assert_array_equal(dh0, zeros)


def test_cell_state_gradient_shrinks_by_the_forget_gate_at_every_step(rng):
    """f = ½, i = 0, o = 0: after T steps dc0 is dcT / 2^T, exactly."""
    T, B, D, H = 6, 2, 3, 4
    b = np.repeat([-1000.0, 0.0, -1000.0, 0.0], H)
    x, zeros, dcT = rng.standard_normal((T, B, D)), np.zeros((B, H)), rng.standard_normal((B, H))
    *_, cache = kernels.lstm_forward(x, zeros, zeros, np.zeros((D, 4 * H)), np.zeros((H, 4 * H)), b)
    _, _, dc0, *_ = kernels.lstm_backward(None, None, dcT, cache)
    np.testing.assert_array_equal(dc0, dcT / 2**T)


def test_states_are_taken_in_the_order_h_c(rng):
    B, D, H = 2, 3, 4
    h0, c0 = rng.standard_normal((B, H)), rng.standard_normal((B, H))
    Wx, Wh, b = rng.standard_normal((D, 4 * H)), rng.standard_normal((H, 4 * H)), rng.standard_normal(4 * H)
    *_, cache = kernels.lstm_forward(rng.standard_normal((1, B, D)), h0, c0, Wx, Wh, b)
    np.testing.assert_array_equal(cache.h[0], h0)
    np.testing.assert_array_equal(cache.c[0], c0)


def test_huge_pre_activations_raise_no_warning(rng):
    T, B, D, H = 3, 2, 3, 4
    x, state = 1e4 * rng.standard_normal((T, B, D)), rng.standard_normal((B, H))
    Wx, Wh, b = rng.standard_normal((D, 4 * H)), rng.standard_normal((H, 4 * H)), rng.standard_normal(4 * H)
    with np.errstate(all="raise"):
        *outputs, cache = kernels.lstm_forward(x, state, state, Wx, Wh, b)
        gradients = kernels.lstm_backward(np.ones((T, B, H)), None, None, cache)
    assert all(np.all(np.isfinite(a)) for a in [*outputs, *gradients])
