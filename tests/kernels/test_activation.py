"""sigmoid, tanh, relu: values, derivatives in terms of the output, extremes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minrnn import kernels
from minrnn.gradcheck import check_gradients

PAIRS = {
    "sigmoid": (kernels.sigmoid_forward, kernels.sigmoid_backward, lambda v: 1.0 / (1.0 + math.exp(-v))),
    "tanh": (kernels.tanh_forward, kernels.tanh_backward, math.tanh),
    "relu": (kernels.relu_forward, kernels.relu_backward, lambda v: max(v, 0.0)),
}
each_pair = pytest.mark.parametrize("name", PAIRS)
shapes = st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple)


@each_pair
def test_values_entry_by_entry(name, rng):
    forward, _, reference = PAIRS[name]
    x = 3.0 * rng.standard_normal((4, 5))
    y, _ = forward(x)
    np.testing.assert_allclose(y, [[reference(v) for v in row] for row in x], rtol=0, atol=4e-16)


@each_pair
@settings(max_examples=20)
@given(shape=shapes, seed=st.integers(0, 2**32 - 1))
def test_gradient_agrees_with_differences(name, shape, seed):
    forward, backward, _ = PAIRS[name]
    rng = np.random.default_rng(seed)
    report = check_gradients(forward, backward, [2.0 * rng.standard_normal(shape)], names=["x"], rng=rng)
    assert len(report.rows) == 1
    assert report.ok and report.max_error <= 1e-7, f"\n{report}"


def test_relu_has_no_gradient_at_its_kink():
    y, cache = kernels.relu_forward(np.array([-1.0, 0.0, -0.0, 1.0]))
    (dx,) = kernels.relu_backward(np.ones(4), cache)
    np.testing.assert_array_equal(y, [0.0, 0.0, 0.0, 1.0])
    np.testing.assert_array_equal(dx, [0.0, 0.0, 0.0, 1.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda d: d.__name__)
def test_sigmoid_at_the_extremes_is_silent_and_exact(dtype):
    x = np.array([-1e3, -100.0, 0.0, 100.0, 1e3], dtype)
    with np.errstate(all="raise"):
        y, cache = kernels.sigmoid_forward(x)
        (dx,) = kernels.sigmoid_backward(np.ones_like(x), cache)
    np.testing.assert_array_equal(y, [0.0, 0.0, 0.5, 1.0, 1.0])
    np.testing.assert_array_equal(dx, [0.0, 0.0, 0.25, 0.0, 0.0])


def test_sigmoid_is_symmetric(rng):
    x = 5.0 * rng.standard_normal(100)
    np.testing.assert_allclose(kernels.sigmoid_forward(-x)[0], 1.0 - kernels.sigmoid_forward(x)[0], rtol=0, atol=2e-16)


@each_pair
def test_none_upstream_means_zeros(name, rng):
    forward, backward, _ = PAIRS[name]
    _, cache = forward(rng.standard_normal((3, 4)))
    (dx,) = backward(None, cache)
    np.testing.assert_array_equal(dx, np.zeros((3, 4)))


@each_pair
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda d: d.__name__)
def test_dtype_is_kept_and_nothing_is_written(name, rng, dtype):
    forward, backward, _ = PAIRS[name]
    x, dy = rng.standard_normal((3, 4)).astype(dtype), rng.standard_normal((3, 4)).astype(dtype)
    for a in (x, dy):
        a.setflags(write=False)
    y, cache = forward(x)
    (dx,) = backward(dy, cache)
    (again,) = backward(dy, cache)
    np.testing.assert_array_equal(dx, again)
    assert y.dtype == dx.dtype == backward(None, cache)[0].dtype == dtype
    for a, b in [(y, x), (dx, dy), (dx, y), (dx, again)]:
        assert not np.shares_memory(a, b)


@each_pair
def test_wrong_shape_of_the_upstream_is_named(name, rng):
    forward, backward, _ = PAIRS[name]
    _, cache = forward(rng.standard_normal((3, 4)))
    for wrong in [(1, 4), (4,), (3, 1), (4, 3)]:
        with pytest.raises(ValueError, match=r"^dy\b"):
            backward(np.ones(wrong), cache)
