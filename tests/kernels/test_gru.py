"""The GRU against its equations, one gate at a time, and what sets it apart: reset after the product, z keeps."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from minrnn import kernels

sizes = st.integers(1, 7)
seeds = st.integers(0, 2**32 - 1)


def logistic(a):
    return 1.0 / (1.0 + np.exp(-a))


def gate_by_gate(x, h, Wx, Wh, b, bhn):
    """One matrix, one bias and one line for every gate, one sequence after the other; blocks r z n."""
    Wxr, Wxz, Wxn = np.split(Wx, 3, axis=1)
    Whr, Whz, Whn = np.split(Wh, 3, axis=1)
    br, bz, bn = np.split(b, 3)
    T, B, _ = x.shape
    outputs, h = np.empty((T, *h.shape)), h.copy()
    for k in range(B):
        for t in range(T):
            r = logistic(x[t, k] @ Wxr + h[k] @ Whr + br)
            z = logistic(x[t, k] @ Wxz + h[k] @ Whz + bz)
            n = np.tanh(x[t, k] @ Wxn + bn + r * (h[k] @ Whn + bhn))
            h[k] = (1.0 - z) * n + z * h[k]
            outputs[t, k] = h[k]
    return outputs, h


@settings(max_examples=25)
@given(T=sizes, B=sizes, D=sizes, H=sizes, seed=seeds)
def test_forward_is_the_equations_gate_by_gate(assert_close, T, B, D, H, seed):
    normal = np.random.default_rng(seed).standard_normal
    args = [normal(s) for s in [(T, B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (H,)]]
    *found, _ = kernels.gru_forward(*args)
    for name, value, expected in zip(("h", "hT"), found, gate_by_gate(*args), strict=True):
        assert_close(value, expected, 1e-12, name)


def test_a_gate_driven_to_its_limit_does_what_its_name_says(rng):
    """Biases of ±1000 open or shut a gate whatever comes in; the block order r z n shows."""
    B, D, H = 2, 3, 4
    x, h0 = rng.standard_normal((1, B, D)), rng.standard_normal((B, H))
    Wx, Wh = rng.standard_normal((D, 3 * H)), rng.standard_normal((H, 3 * H))
    bn, bhn = rng.standard_normal(H), rng.standard_normal(H)

    def run(r, z):
        b = np.concatenate([np.full(H, 1000.0 * r), np.full(H, 1000.0 * z), bn])
        return kernels.gru_forward(x, h0, Wx, Wh, b, bhn)[1]

    a = x[0] @ Wx[:, 2 * H :] + bn
    np.testing.assert_allclose(run(1, 1), h0, rtol=1e-13)  # z = 1 keeps the old state
    np.testing.assert_allclose(run(-1, -1), np.tanh(a), rtol=1e-13)  # r = 0 silences bhn too: reset after the product
    np.testing.assert_allclose(run(1, -1), np.tanh(a + h0 @ Wh[:, 2 * H :] + bhn), rtol=1e-13)


def test_cached_gates_are_in_the_promised_order(rng):
    """r z n, activated; q with its bias."""
    T, B, D, H = 1, 2, 3, 4
    x, bhn = rng.standard_normal((T, B, D)), rng.standard_normal(H)
    Wx, b = 0.1 * rng.standard_normal((D, 3 * H)), np.repeat([-1.0, 2.0, -2.0], H)
    *_, cache = kernels.gru_forward(x, np.zeros((B, H)), Wx, np.zeros((H, 3 * H)), b, bhn)
    a = (x[0] @ Wx + b).reshape(B, 3, H).transpose(1, 0, 2)
    r, z = 1.0 / (1.0 + np.exp(-a[:2]))
    np.testing.assert_allclose(cache.gates[0], [r, z, np.tanh(a[2] + r * bhn)], rtol=1e-13)
    np.testing.assert_array_equal(cache.q[0], np.broadcast_to(bhn, (B, H)))


def test_gradient_passes_a_closed_update_gate_unchanged(rng):
    """z = 1: the state is carried through 50 steps, and so is its gradient."""
    T, B, D, H = 50, 2, 3, 4
    x, h0, dhT = rng.standard_normal((T, B, D)), rng.standard_normal((B, H)), rng.standard_normal((B, H))
    b = np.concatenate([np.zeros(H), np.full(H, 1000.0), rng.standard_normal(H)])
    Wx, Wh, bhn = np.zeros((D, 3 * H)), np.zeros((H, 3 * H)), rng.standard_normal(H)
    _, hT, cache = kernels.gru_forward(x, h0, Wx, Wh, b, bhn)
    np.testing.assert_allclose(hT, h0, rtol=1e-13)
    _, dh0, *_ = kernels.gru_backward(None, dhT, cache)
    np.testing.assert_array_equal(dh0, dhT)


def test_bhn_has_a_gradient_of_its_own(rng):
    """In block n the input side and the recurrent side receive different gradients: dbhn is r times that of b."""
    B, D, H = 1, 3, 4
    x, h0 = rng.standard_normal((1, B, D)), rng.standard_normal((B, H))
    Wx, Wh = rng.standard_normal((D, 3 * H)), rng.standard_normal((H, 3 * H))
    b, bhn = rng.standard_normal(3 * H), rng.standard_normal(H)
    *_, cache = kernels.gru_forward(x, h0, Wx, Wh, b, bhn)
    *_, db, dbhn = kernels.gru_backward(None, rng.standard_normal((B, H)), cache)
    r = logistic(x[0] @ Wx[:, :H] + h0 @ Wh[:, :H] + b[:H])[0]
    np.testing.assert_allclose(dbhn, db[2 * H :] * r, rtol=1e-12)
    assert np.all(np.abs(dbhn) < np.abs(db[2 * H :]))


def test_huge_pre_activations_raise_no_warning(rng):
    T, B, D, H = 3, 2, 3, 4
    x, state = 1e4 * rng.standard_normal((T, B, D)), rng.standard_normal((B, H))
    params = [rng.standard_normal(s) for s in [(D, 3 * H), (H, 3 * H), (3 * H,), (H,)]]
    with np.errstate(all="raise"):
        *outputs, cache = kernels.gru_forward(x, state, *params)
        gradients = kernels.gru_backward(np.ones((T, B, H)), None, cache)
    assert all(np.all(np.isfinite(a)) for a in [*outputs, *gradients])
