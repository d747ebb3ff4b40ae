"""Inverted dropout: the mask, its scale, its random stream."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minrnn.gradcheck import check_gradients
from minrnn.kernels import dropout_backward, dropout_forward


@settings(max_examples=20)
@given(
    shape=st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple),
    p=st.sampled_from([0.0, 0.1, 0.5, 0.9]),
    seed=st.integers(0, 2**32 - 1),
)
def test_gradient_agrees_with_differences_for_a_fixed_mask(shape, p, seed):
    rng = np.random.default_rng(seed)
    report = check_gradients(
        lambda x: dropout_forward(x, p, np.random.default_rng(seed)),
        lambda dy, cache: dropout_backward(dy, cache)[0],
        [rng.standard_normal(shape)],
        names=["x"],
        rng=rng,
    )
    assert report.ok and report.max_error <= 1e-7, f"\n{report}"


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_entries_are_dropped_or_scaled_by_the_share_kept(rng, p):
    """Scaled by 1/(1 − p), not by 1/p and not left as they are; the two values differ except at ½."""
    x = rng.uniform(1.0, 2.0, (200, 100))
    y, _ = dropout_forward(x, p, rng)
    kept = y != 0.0
    np.testing.assert_allclose(y[kept], x[kept] / (1.0 - p), rtol=1e-15)
    sigma = np.sqrt(p * (1.0 - p) / x.size)
    assert abs(np.mean(~kept) - p) < 5 * sigma


def test_entries_are_dropped_independently(rng):
    """No mask shared along an axis: the rate of joint drops of neighbours is p² along each of them."""
    p, x = 0.3, np.ones((60, 60, 60))
    dropped = dropout_forward(x, p, rng)[0] == 0.0
    for axis in range(3):
        joint = np.mean(np.moveaxis(dropped, axis, 0)[1:] & np.moveaxis(dropped, axis, 0)[:-1])
        assert abs(joint - p**2) < 0.005


def test_backward_uses_the_mask_of_the_forward(rng):
    x, dy = rng.standard_normal((5, 6)), rng.standard_normal((5, 6))
    y, cache = dropout_forward(x, 0.5, rng)
    dx, dp, drng = dropout_backward(dy, cache)
    np.testing.assert_array_equal(dx, np.where(y == 0.0, 0.0, 2.0 * dy))
    assert dp is None and drng is None
    np.testing.assert_array_equal(dropout_backward(dy, cache)[0], dx)


def test_same_generator_state_gives_the_same_mask():
    x = np.ones((20, 30))
    first, second = (dropout_forward(x, 0.5, np.random.default_rng(7))[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    other, _ = dropout_forward(x, 0.5, np.random.default_rng(8))
    assert np.any(first != other)


def test_the_mask_does_not_depend_on_the_dtype():
    """A float32 run drops what a float64 run drops, and leaves the stream in the same state."""
    streams = np.random.default_rng(7), np.random.default_rng(7)
    double, _ = dropout_forward(np.ones((20, 30)), 0.5, streams[0])
    single, _ = dropout_forward(np.ones((20, 30), np.float32), 0.5, streams[1])
    np.testing.assert_array_equal(double, single)
    assert streams[0].bit_generator.state == streams[1].bit_generator.state


def test_consecutive_masks_differ():
    x, stream = np.ones((20, 30)), np.random.default_rng(7)
    assert np.any(dropout_forward(x, 0.5, stream)[0] != dropout_forward(x, 0.5, stream)[0])


def test_without_dropout_nothing_is_drawn_and_nothing_changes(rng):
    x, dy = rng.standard_normal((5, 6)), rng.standard_normal((5, 6))
    stream = np.random.default_rng(7)
    before = stream.bit_generator.state
    y, cache = dropout_forward(x, 0.0, stream)
    assert y is x
    assert stream.bit_generator.state == before
    assert dropout_backward(dy, cache)[0] is dy
    assert dropout_forward(x, 0.0, None)[0] is x


@pytest.mark.parametrize("p", [0.0, 0.5])
def test_none_upstream_means_zeros(rng, p):
    _, cache = dropout_forward(rng.standard_normal((5, 6)), p, rng)
    np.testing.assert_array_equal(dropout_backward(None, cache)[0], np.zeros((5, 6)))


def test_dtype_is_kept_and_nothing_is_written(rng):
    x, dy = rng.standard_normal((5, 6)).astype(np.float32), rng.standard_normal((5, 6)).astype(np.float32)
    for a in (x, dy):
        a.setflags(write=False)
    y, cache = dropout_forward(x, 0.3, rng)
    dx, *_ = dropout_backward(dy, cache)
    assert y.dtype == dx.dtype == dropout_backward(None, cache)[0].dtype == np.float32


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, float("nan")])
def test_probability_outside_its_range_is_refused(rng, p):
    with pytest.raises(ValueError, match=r"dropout p = .* \[0, 1\)"):
        dropout_forward(np.ones(3), p, rng)


def test_a_missing_generator_is_named():
    with pytest.raises(ValueError, match="random generator"):
        dropout_forward(np.ones(3), 0.5, None)


def test_wrong_shape_of_the_upstream_is_named(rng):
    for p in (0.0, 0.5):
        _, cache = dropout_forward(np.ones((3, 4)), p, rng)
        with pytest.raises(ValueError, match=r"^dy\b"):
            dropout_backward(np.ones((1, 4)), cache)
