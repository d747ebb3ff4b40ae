"""The affine map and the row look-up: gradients, one-hot equivalence, repeated ids, layouts, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minrnn.gradcheck import check_gradients
from minrnn.kernels import linear_backward, linear_forward

sizes = st.integers(1, 7)
seeds = st.integers(0, 2**32 - 1)
leads = st.lists(sizes, max_size=3).map(tuple)


@settings(max_examples=40)
@given(lead=leads, D=sizes, M=sizes, seed=seeds)
def test_forward_is_the_sum_over_the_inputs(assert_close, lead, D, M, seed):
    rng = np.random.default_rng(seed)
    x, W, b = rng.standard_normal((*lead, D)), rng.standard_normal((D, M)), rng.standard_normal(M)
    y, _ = linear_forward(x, W, b)
    assert_close(y, sum(x[..., d, None] * W[d] for d in range(D)) + b, 1e-13, "y")


@settings(max_examples=40)
@given(lead=leads, D=sizes, M=sizes, bias=st.booleans(), seed=seeds)
def test_every_gradient_agrees_with_differences(lead, D, M, bias, seed):
    rng = np.random.default_rng(seed)
    args = [rng.standard_normal((*lead, D)), rng.standard_normal((D, M)), rng.standard_normal(M) if bias else None]
    report = check_gradients(linear_forward, linear_backward, args, names=("x", "W", "b"), rng=rng)
    assert len(report.rows) == 2 + bias
    assert report.ok and report.max_error <= 1e-7, f"\n{report}"


@settings(max_examples=40)
@given(lead=leads, D=sizes, M=sizes, bias=st.booleans(), seed=seeds)
def test_every_gradient_agrees_with_differences_for_ids(lead, D, M, bias, seed):
    rng = np.random.default_rng(seed)
    args = [rng.integers(0, D, lead), rng.standard_normal((D, M)), rng.standard_normal(M) if bias else None]
    report = check_gradients(linear_forward, linear_backward, args, names=("x", "W", "b"), rng=rng)
    assert len(report.rows) == 1 + bias
    assert report.ok and report.max_error <= 1e-7, f"\n{report}"


@settings(max_examples=40)
@given(lead=leads, D=sizes, M=sizes, bias=st.booleans(), seed=seeds)
def test_ids_are_one_hot_rows(assert_close, lead, D, M, bias, seed):
    rng = np.random.default_rng(seed)
    ids, W, b = rng.integers(0, D, lead), rng.standard_normal((D, M)), rng.standard_normal(M) if bias else None
    dy = rng.standard_normal((*lead, M))
    y, cache = linear_forward(ids, W, b)
    y_dense, dense_cache = linear_forward(np.eye(D)[ids], W, b)
    np.testing.assert_array_equal(y, y_dense)
    dx, dW, db = linear_backward(dy, cache)
    _, dW_dense, db_dense = linear_backward(dy, dense_cache)
    assert dx is None
    assert_close(dW, dW_dense, 1e-13, "dW")
    assert (db is None and db_dense is None) if b is None else np.array_equal(db, db_dense)


def test_repeated_ids_add_up(rng):
    """`dW[ids] += dy` would count a repeated id once."""
    ids, dy = np.array([2, 0, 2, 2]), rng.standard_normal((4, 3))
    _, cache = linear_forward(ids, rng.standard_normal((5, 3)))
    _, dW, _ = linear_backward(dy, cache)
    np.testing.assert_allclose(dW[2], dy[0] + dy[2] + dy[3], rtol=1e-15)
    np.testing.assert_array_equal(dW[0], dy[1])
    assert np.all(dW[[1, 3, 4]] == 0.0)


def test_without_bias_ids_are_an_embedding(rng):
    ids, E = rng.integers(0, 6, (4, 3)), rng.standard_normal((6, 2))
    y, cache = linear_forward(ids, E)
    np.testing.assert_array_equal(y, E[ids])
    assert not np.shares_memory(y, E)
    dx, _, db = linear_backward(rng.standard_normal((4, 3, 2)), cache)
    assert dx is None and db is None


@pytest.mark.parametrize("ids", [False, True], ids=["dense", "ids"])
def test_none_upstream_means_zeros(rng, ids):
    x = rng.integers(0, 5, (4, 3)) if ids else rng.standard_normal((4, 3, 5))
    _, cache = linear_forward(x, rng.standard_normal((5, 2)), rng.standard_normal(2))
    for gradient in linear_backward(None, cache)[ids:]:
        assert np.all(gradient == 0.0)


@pytest.mark.parametrize("ids", [False, True], ids=["dense", "ids"])
def test_out_is_overwritten_and_nothing_else_is(rng, ids):
    x = rng.integers(0, 5, (4, 3)) if ids else rng.standard_normal((4, 3, 5))
    W, b, dy = rng.standard_normal((5, 2)), rng.standard_normal(2), rng.standard_normal((4, 3, 2))
    y, cache = linear_forward(x, W, b)
    expected = linear_backward(dy, cache)
    for array in (x, W, b, dy):
        array.setflags(write=False)

    place, dx_place = np.full((4, 3, 2), np.nan), np.full((4, 3, 5), np.nan)
    found, cache = linear_forward(x, W, b, out=place, dx=dx_place)
    assert found is place
    np.testing.assert_array_equal(place, y)
    flat = np.full(12, np.nan)
    out = flat[:10].reshape(5, 2), flat[10:]
    dx, dW, db = linear_backward(dy, cache, out=out)
    assert dW is out[0] and db is out[1]
    assert dx is (None if ids else dx_place)
    for gradient, reference in zip((dx, dW, db), expected, strict=True):
        np.testing.assert_array_equal(gradient, reference)


def test_backward_twice_gives_arrays_of_its_own(rng):
    _, cache = linear_forward(rng.standard_normal((4, 5)), rng.standard_normal((5, 2)), rng.standard_normal(2))
    dy = rng.standard_normal((4, 2))
    first = linear_backward(dy, cache)
    before = [g.copy() for g in first]
    second = linear_backward(2.0 * dy, cache)
    for g, copy, h in zip(first, before, second, strict=True):
        np.testing.assert_array_equal(g, copy)
        np.testing.assert_allclose(h, 2.0 * g, rtol=1e-15)
        assert not np.shares_memory(g, h)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda d: d.__name__)
def test_the_dtype_is_that_of_the_weights(rng, dtype):
    W, b = rng.standard_normal((5, 2)).astype(dtype), rng.standard_normal(2).astype(dtype)
    for x in (rng.integers(0, 5, 4), rng.standard_normal((4, 5)), rng.standard_normal((4, 5)).astype(np.float32)):
        y, cache = linear_forward(x, W, b)
        gradients = linear_backward(rng.standard_normal((4, 2)), cache)
        assert {a.dtype for a in (y, *gradients) if a is not None} == {np.dtype(dtype)}


def test_inputs_and_upstreams_may_have_any_layout(rng, assert_close):
    x, W, b = rng.standard_normal((8, 10)), rng.standard_normal((5, 2)), rng.standard_normal(4)
    dy = rng.standard_normal((2, 4))
    y, cache = linear_forward(x[::2, ::2], np.asfortranarray(W), b[::2])
    y_plain, plain_cache = linear_forward(x[::2, ::2].copy(), W, b[::2].copy())
    assert_close(y, y_plain, 1e-14, "y")
    for g, reference in zip(linear_backward(dy.T, cache), linear_backward(dy.T.copy(), plain_cache), strict=True):
        assert_close(g, reference, 1e-14)


def test_places_that_cannot_be_seen_as_flat_are_refused(rng):
    """A flat view of them would be a copy: the result would go there and be lost."""
    x, W = rng.standard_normal((4, 3, 5)), rng.standard_normal((5, 2))
    with pytest.raises(ValueError, match="contiguous"):
        linear_forward(x, W, out=np.empty((3, 4, 2)).transpose(1, 0, 2))
    _, cache = linear_forward(x, W, dx=np.empty((3, 4, 5)).transpose(1, 0, 2))
    with pytest.raises(ValueError, match="contiguous"):
        linear_backward(np.ones((4, 3, 2)), cache)


def test_wrong_shapes_are_named(rng):
    x, W, b = rng.standard_normal((4, 3, 5)), rng.standard_normal((5, 2)), rng.standard_normal(2)
    with pytest.raises(ValueError, match=r"^x\b"):
        linear_forward(x[..., :4], W, b)
    for wrong in (np.zeros(1), np.zeros(3), np.zeros((1, 2))):
        with pytest.raises(ValueError, match=r"^b\b"):
            linear_forward(x, W, wrong)
    _, cache = linear_forward(x, W, b)
    for wrong in (np.zeros((4, 3, 1)), np.zeros((12, 2)), np.zeros((1, 3, 2)), np.zeros(2)):
        with pytest.raises(ValueError, match=r"^dy\b"):
            linear_backward(wrong, cache)


@pytest.mark.parametrize("bad", [-1, 5, 1000])
def test_ids_outside_the_rows_are_refused(bad):
    with pytest.raises(IndexError, match=str(bad)):
        linear_forward(np.array([0, 4, bad]), np.zeros((5, 2)))
