"""The GRU of char-rnn against its equations, and what sets it apart: reset before the product, z weighs the candidate.

Everything here also holds the kernel to itself alone: it needs no other file of the folder.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minrnn.gradcheck import check_gradients
from minrnn.kernels.gru import gru_forward
from minrnn.kernels.gru_before import (
    gru_before_backward,
    gru_before_forward,
    gru_before_step_backward,
    gru_before_step_forward,
    gru_before_workspace,
)

sizes = st.integers(1, 7)
seeds = st.integers(0, 2**32 - 1)
NAMES = ["x", "h0", "Wx", "Wh", "b"]


def logistic(a):
    return 1.0 / (1.0 + np.exp(-a))


def draw(rng, T, B, D, H, ids=False):
    args = [rng.standard_normal(s) for s in [(T, B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,)]]
    if ids:
        args[0] = rng.integers(0, D, (T, B))
    return args


def gate_by_gate(x, h, Wx, Wh, b):
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
            n = np.tanh(x[t, k] @ Wxn + (r * h[k]) @ Whn + bn)
            h[k] = (1.0 - z) * h[k] + z * n
            outputs[t, k] = h[k]
    return outputs, h


@settings(max_examples=25)
@given(T=sizes, B=sizes, D=sizes, H=sizes, seed=seeds)
def test_forward_is_the_equations_gate_by_gate(assert_close, T, B, D, H, seed):
    args = draw(np.random.default_rng(seed), T, B, D, H)
    *found, _ = gru_before_forward(*args)
    for name, value, expected in zip(("h", "hT"), found, gate_by_gate(*args), strict=True):
        assert_close(value, expected, 1e-12, name)


@pytest.mark.parametrize("ids", [False, True], ids=["dense", "ids"])
def test_every_gradient_agrees_with_differences(rng, ids):
    report = check_gradients(gru_before_forward, gru_before_backward, draw(rng, 4, 3, 5, 4, ids), names=NAMES, rng=rng)
    assert report.ok and len(report.rows) == (4 if ids else 5), report


def test_step_gradients_agree_with_differences(rng):
    x, *rest = draw(rng, 1, 3, 5, 4)
    report = check_gradients(gru_before_step_forward, gru_before_step_backward, [x[0], *rest], names=NAMES, rng=rng)
    assert report.ok, report


def test_numbers_of_an_independent_program(assert_close):
    """Inputs 0.5 sin(k + 0.7 j); there z keeps the old state, so block z of the parameters changes its sign."""
    T, B, D, H = 5, 2, 3, 4

    def fill(k, *shape):
        return 0.5 * np.sin(k + 0.7 * np.arange(np.prod(shape))).reshape(shape)

    sign = np.repeat([1.0, -1.0, 1.0], H)
    x, h0 = fill(5, T, B, D), fill(6, B, H)
    Wx, Wh, b = fill(1, 3 * H, D).T * sign, fill(2, 3 * H, H).T * sign, (fill(3, 3 * H) + fill(4, 3 * H)) * sign
    dh, dhT = fill(8, T, B, H), fill(9, B, H)
    h, hT, cache = gru_before_forward(x, h0, Wx, Wh, b)
    dx, dh0, *rest = gru_before_backward(dh, dhT, cache)
    found = [np.sum(h * dh) + np.sum(hT * dhT), h.sum(), *map(np.linalg.norm, (dx, *rest, dh0))]
    expected = [0.4327466237, -7.7179959278, 0.3169356337, 0.2213616080, 0.3147078346, 0.4525026900, 1.1700374328]
    np.testing.assert_allclose(found, expected, rtol=0, atol=6e-11)


def test_a_gate_driven_to_its_limit_does_what_its_name_says(rng):
    """Biases of ±1000 open or shut a gate whatever comes in; the block order r z n shows."""
    x, h0, Wx, Wh, b = draw(rng, 1, 2, 3, 4)

    def run(r, z):
        return gru_before_forward(x, h0, Wx, Wh, np.concatenate([np.full(4, r), np.full(4, z), b[8:]]))[1]

    a = x[0] @ Wx[:, 8:] + b[8:]
    np.testing.assert_allclose(run(1e3, -1e3), h0, rtol=1e-13)  # z = 0 keeps the old state
    np.testing.assert_allclose(run(-1e3, 1e3), np.tanh(a), rtol=1e-13)  # r = 0 silences the old state
    np.testing.assert_allclose(run(1e3, 1e3), np.tanh(a + h0 @ Wh[:, 8:]), rtol=1e-13)


def test_it_is_another_model_than_the_reset_after_form(rng):
    """With the same weights, z turned round, the two agree where r is 1 everywhere, and nowhere else."""
    x, h0, Wx, Wh, b = draw(rng, 3, 2, 3, 4)
    sign, zeros = np.repeat([1.0, -1.0, 1.0], 4), np.zeros(4)
    before = gru_before_forward(x, h0, Wx * sign, Wh * sign, b * sign)[0]
    assert np.abs(before - gru_forward(x, h0, Wx, Wh, b, zeros)[0]).max() > 1e-2
    b[:4] = 1e3
    before = gru_before_forward(x, h0, Wx * sign, Wh * sign, b * sign)[0]
    np.testing.assert_allclose(before, gru_forward(x, h0, Wx, Wh, b, zeros)[0], rtol=1e-12)


def test_initial_state_reaches_dWh_and_block_n_sees_it_through_the_reset_gate(rng, assert_close):
    """With T = 1 the only term of dWh is that of h0; in block n it is that of r ∘ h0."""
    args = draw(rng, 1, 1, 3, 4)
    *_, cache = gru_before_forward(*args)
    *_, dWh, db = gru_before_backward(None, rng.standard_normal((1, 4)), cache)
    h0, r = args[1][0], cache.gates[0, 0, 0]
    assert r.min() < 0.9 and np.any(dWh)
    assert_close(dWh, np.hstack([np.outer(h0, db[:8]), np.outer(r * h0, db[8:])]), 1e-13, "dWh")


def test_cached_gates_are_in_the_promised_order(rng):
    """r z n, activated; s is r ∘ h[t]."""
    x, h0, Wx, _, _ = draw(rng, 1, 2, 3, 4)
    b = np.repeat([-1.0, 2.0, -2.0], 4)
    *_, cache = gru_before_forward(x, h0, 0.1 * Wx, np.zeros((4, 12)), b)
    a = (x[0] @ (0.1 * Wx) + b).reshape(2, 3, 4).transpose(1, 0, 2)
    r, z = logistic(a[:2])
    np.testing.assert_allclose(cache.gates[0], [r, z, np.tanh(a[2])], rtol=1e-13)
    np.testing.assert_allclose(cache.s[0], r * h0, rtol=1e-13)


def test_gradient_passes_a_closed_update_gate_unchanged(rng):
    """z = 0: the state is carried through 50 steps, and so is its gradient."""
    x, h0, *_ = draw(rng, 50, 2, 3, 4)
    b = np.concatenate([np.zeros(4), np.full(4, -1000.0), rng.standard_normal(4)])
    _, hT, cache = gru_before_forward(x, h0, np.zeros((3, 12)), np.zeros((4, 12)), b)
    np.testing.assert_allclose(hT, h0, rtol=1e-13)
    dhT = rng.standard_normal((2, 4))
    _, dh0, *_ = gru_before_backward(None, dhT, cache)
    np.testing.assert_array_equal(dh0, dhT)


def test_two_chunks_chain_to_the_whole_sequence(rng, assert_close):
    x, h0, *params = draw(rng, 7, 3, 5, 4)
    dh, dhT = rng.standard_normal((7, 3, 4)), rng.standard_normal((3, 4))
    h, hT, cache = gru_before_forward(x, h0, *params)
    dx, *whole = gru_before_backward(dh, dhT, cache)
    first, middle, cache_1 = gru_before_forward(x[:3], h0, *params)
    second, end, cache_2 = gru_before_forward(x[3:], middle, *params)
    dx_2, dmiddle, *rest_2 = gru_before_backward(dh[3:], dhT, cache_2)
    dx_1, dh0, *rest_1 = gru_before_backward(dh[:3], dmiddle, cache_1)
    chained = [dh0, *(a + b for a, b in zip(rest_1, rest_2, strict=True))]
    for found, expected in zip(
        [np.vstack([first, second]), end, np.vstack([dx_1, dx_2]), *chained], [h, hT, dx, *whole], strict=True
    ):
        assert_close(found, expected, 1e-12)


def test_a_workspace_changes_no_bit_and_the_backward_may_be_called_twice(rng):
    args = draw(rng, 4, 3, 5, 4)
    dh, dhT = rng.standard_normal((4, 3, 4)), rng.standard_normal((3, 4))
    h, hT, cache = gru_before_forward(*args)
    expected = [h, hT, *gru_before_backward(dh, dhT, cache), *gru_before_backward(dh, dhT, cache)]
    ws = gru_before_workspace(4, 3, args[2], args[3])
    for _ in range(2):
        h, hT, cache = gru_before_forward(*args, ws=ws)
        out = tuple(np.full_like(a, np.nan) for a in args[2:])
        once = [h, hT, *map(np.copy, gru_before_backward(dh, dhT, cache))]
        twice = gru_before_backward(dh, dhT, cache, out=out)
        for found, value in zip([*once, *twice], expected, strict=True):
            np.testing.assert_array_equal(found, value)
        for place, value in zip(out, expected[-3:], strict=True):
            np.testing.assert_array_equal(place, value)


def test_no_upstream_means_zeros(rng):
    *_, cache = gru_before_forward(*draw(rng, 2, 3, 5, 4))
    assert not any(np.any(gradient) for gradient in gru_before_backward(None, None, cache))


def test_float32_stays_float32(rng, assert_close):
    args = draw(rng, 6, 3, 5, 4)
    h, hT, cache = gru_before_forward(*(a.astype(np.float32) for a in args))
    gradients = gru_before_backward(np.ones_like(h), None, cache)
    assert {a.dtype for a in (h, hT, *gradients)} == {np.dtype(np.float32)}
    assert_close(h, gru_before_forward(*args)[0], 1e-5)


def test_huge_pre_activations_raise_no_warning(rng):
    x, *rest = draw(rng, 3, 2, 3, 4)
    with np.errstate(all="raise"):
        *outputs, cache = gru_before_forward(1e4 * x, *rest)
        gradients = gru_before_backward(np.ones((3, 2, 4)), None, cache)
    assert all(np.all(np.isfinite(a)) for a in [*outputs, *gradients])


@pytest.mark.parametrize(
    ("place", "shape", "message"),
    [(1, (1, 4), "h0 has shape"), (2, (5, 8), "Wx has shape"), (3, (4, 8), "Wh has shape"), (4, (8,), "b has shape")],
)
def test_wrong_shapes_are_named(rng, place, shape, message):
    args = draw(rng, 2, 3, 5, 4)
    args[place] = np.zeros(shape)
    with pytest.raises(ValueError, match=message):
        gru_before_forward(*args)
