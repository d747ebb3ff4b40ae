"""Softmax, log-softmax and cross-entropy: values entry by entry, masks, extremes, gradients."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minrnn.gradcheck import check_gradients
from minrnn.kernels import (
    log_softmax,
    softmax,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
    softmax_workspace,
)

sizes = st.integers(1, 7)
seeds = st.integers(0, 2**32 - 1)
MASKS = ["none", "bool", "int", "weights"]


def draw(rng, T, B, V, mask="none"):
    logits, targets = 2.0 * rng.standard_normal((T, B, V)), rng.integers(0, V, (T, B))
    kept = rng.random((T, B)) < 0.6
    kept[0, 0] = True
    masks = {"none": None, "bool": kept, "int": kept.astype(int), "weights": kept * rng.uniform(0.1, 3.0, (T, B))}
    return logits, targets, masks[mask]


def one_by_one(logits, targets, mask):
    """−log p of every target by the definition, then the mean weighted by the mask."""
    total = weights = 0.0
    for t, b in np.ndindex(targets.shape):
        w = 1.0 if mask is None else float(mask[t, b])
        z = logits[t, b]
        total += w * -math.log(math.exp(z[targets[t, b]]) / sum(math.exp(v) for v in z))
        weights += w
    return total / weights


@pytest.mark.parametrize("kind", MASKS)
@settings(max_examples=20)
@given(T=sizes, B=sizes, V=sizes, seed=seeds)
def test_loss_is_the_weighted_mean_of_minus_log_p(kind, T, B, V, seed):
    logits, targets, mask = draw(np.random.default_rng(seed), T, B, V, kind)
    loss, cache = softmax_cross_entropy_forward(logits, targets, mask)
    assert loss.shape == ()
    assert loss == pytest.approx(one_by_one(logits, targets, mask), rel=1e-12, abs=1e-14)
    np.testing.assert_allclose(cache.p, np.exp(logits) / np.exp(logits).sum(-1, keepdims=True), rtol=1e-13)
    np.testing.assert_allclose(cache.nll, -np.log(np.take_along_axis(cache.p, targets[..., None], -1))[..., 0], 1e-12)


@pytest.mark.parametrize("kind", MASKS)
@settings(max_examples=30)
@given(T=sizes, B=sizes, V=sizes, seed=seeds)
def test_gradient_agrees_with_differences(kind, T, B, V, seed):
    rng = np.random.default_rng(seed)
    logits, targets, mask = draw(rng, T, B, V, kind)
    report = check_gradients(
        lambda z: softmax_cross_entropy_forward(z, targets, mask),
        lambda dloss, cache: softmax_cross_entropy_backward(dloss, cache)[0],
        [logits],
        names=["logits"],
        rng=rng,
    )
    assert report.ok and report.max_error <= 1e-7, f"\n{report}"


def test_one_gradient_for_each_argument(rng):
    _, cache = softmax_cross_entropy_forward(*draw(rng, 3, 2, 4, "int"))
    assert softmax_cross_entropy_backward(1.0, cache)[1:] == (None, None)


def test_gradient_is_p_minus_one_hot_over_the_number_of_positions(rng):
    logits, targets, _ = draw(rng, 3, 2, 4)
    _, cache = softmax_cross_entropy_forward(logits, targets)
    dlogits, _, _ = softmax_cross_entropy_backward(1.0, cache)
    np.testing.assert_allclose(dlogits, (softmax(logits) - np.eye(4)[targets]) / 6, rtol=1e-13, atol=1e-16)
    np.testing.assert_allclose(softmax_cross_entropy_backward(-2.5, cache)[0], -2.5 * dlogits, rtol=1e-13)


def test_masked_positions_count_neither_in_the_sum_nor_in_the_mean(rng):
    """A sequence with padding scores and learns like the sequence without it, whatever the padding holds."""
    logits, targets, _ = draw(rng, 5, 1, 4)
    mask = np.array([1, 1, 0, 1, 0])[:, None]
    kept = mask[:, 0] == 1
    logits[~kept] *= 1e4
    loss, cache = softmax_cross_entropy_forward(logits, targets, mask)
    short, short_cache = softmax_cross_entropy_forward(logits[kept], targets[kept])
    assert loss == pytest.approx(short, rel=1e-14)
    dlogits, short_dlogits = (softmax_cross_entropy_backward(1.0, c)[0] for c in (cache, short_cache))
    assert np.all(dlogits[~kept] == 0.0)
    np.testing.assert_allclose(dlogits[kept], short_dlogits, rtol=1e-14)


def test_mask_of_ones_is_no_mask_and_its_scale_does_not_matter(rng):
    logits, targets, _ = draw(rng, 3, 2, 4)
    plain, _ = softmax_cross_entropy_forward(logits, targets)
    for mask in (np.ones((3, 2)), np.full((3, 2), 7.0)):
        assert softmax_cross_entropy_forward(logits, targets, mask)[0] == pytest.approx(plain, rel=1e-14)


def test_mask_that_keeps_nothing_gives_nan(rng):
    logits, targets, _ = draw(rng, 3, 2, 4)
    with np.errstate(invalid="ignore"):
        loss, _ = softmax_cross_entropy_forward(logits, targets, np.zeros((3, 2), bool))
    assert np.isnan(loss)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda d: d.__name__)
def test_huge_logits_stay_finite(rng, dtype):
    """±10000: e^z overflows unless the largest logit is taken out, and log(p) is −inf unless it is taken apart."""
    logits = (1e4 * rng.choice([-1.0, 1.0], (4, 3, 5))).astype(dtype)
    logits[..., 0], logits[..., 1] = 1e4, -1e4
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss, cache = softmax_cross_entropy_forward(logits, np.ones((4, 3), int))
        dlogits, *_ = softmax_cross_entropy_backward(1.0, cache)
        assert np.all(np.isfinite(log_softmax(logits)))
        assert np.all(np.isfinite(softmax(logits)))
    assert np.isfinite(loss) and np.all(np.isfinite(dlogits))
    assert loss == pytest.approx(2e4, rel=1e-3)


def test_adding_a_constant_to_all_logits_changes_nothing(rng):
    logits, targets, _ = draw(rng, 3, 2, 4)
    shifted = logits + 512.0 * rng.integers(-3, 4, (3, 2, 1))
    assert softmax_cross_entropy_forward(shifted, targets)[0] == pytest.approx(
        softmax_cross_entropy_forward(logits, targets)[0], rel=1e-11
    )
    np.testing.assert_allclose(softmax(shifted), softmax(logits), rtol=1e-11)
    np.testing.assert_allclose(log_softmax(shifted), log_softmax(logits), rtol=0, atol=1e-11)


@pytest.mark.parametrize("V", [1, 2, 65])
def test_equal_logits_cost_ln_V(rng, V):
    loss, _ = softmax_cross_entropy_forward(np.full((4, 3, V), 3.0), rng.integers(0, V, (4, 3)))
    assert loss == pytest.approx(math.log(V), rel=1e-14, abs=1e-15)


def test_softmax_and_log_softmax_run_over_the_last_axis(rng):
    z = rng.standard_normal((4, 3, 5))
    np.testing.assert_allclose(softmax(z).sum(axis=-1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(np.exp(log_softmax(z)), softmax(z), rtol=1e-13)
    np.testing.assert_allclose(softmax(z[0, 0]), np.exp(z[0, 0]) / np.exp(z[0, 0]).sum(), rtol=1e-13)


def test_none_upstream_means_zeros(rng):
    _, cache = softmax_cross_entropy_forward(*draw(rng, 3, 2, 4, "weights"))
    np.testing.assert_array_equal(softmax_cross_entropy_backward(None, cache)[0], np.zeros((3, 2, 4)))


@pytest.mark.parametrize("kind", MASKS)
def test_nothing_of_the_callers_is_written_and_backward_repeats(rng, kind):
    logits, targets, mask = draw(rng, 3, 2, 4, kind)
    for a in (logits, targets, mask):
        if a is not None:
            a.setflags(write=False)
    _, cache = softmax_cross_entropy_forward(logits, targets, mask)
    first, _, _ = softmax_cross_entropy_backward(1.5, cache)
    before = first.copy()
    second, _, _ = softmax_cross_entropy_backward(1.5, cache)
    np.testing.assert_array_equal(second, first)
    softmax_cross_entropy_backward(7.0, cache)
    np.testing.assert_array_equal(first, before)
    assert not np.shares_memory(first, second)
    assert not np.shares_memory(first, cache.p)


@pytest.mark.parametrize("kind", MASKS)
def test_dirty_workspace_changes_nothing_and_holds_the_gradient(rng, kind):
    logits, targets, mask = draw(rng, 3, 2, 4, kind)
    expected_loss, expected_cache = softmax_cross_entropy_forward(logits, targets, mask)
    expected, *_ = softmax_cross_entropy_backward(1.5, expected_cache)
    ws = softmax_workspace(3, 2, 4, logits)
    for buffer in ws:
        buffer.fill(np.nan)
    for _ in range(2):
        loss, cache = softmax_cross_entropy_forward(logits, targets, mask, ws=ws)
        dlogits, *_ = softmax_cross_entropy_backward(1.5, cache)
        assert loss == expected_loss
        np.testing.assert_array_equal(dlogits, expected)
        assert dlogits is ws.dlogits


@pytest.mark.parametrize("kind", MASKS)
def test_float32_stays_float32_and_is_accurate(rng, kind):
    logits, targets, mask = draw(rng, 5, 4, 9, kind)
    single = logits.astype(np.float32)
    loss, cache = softmax_cross_entropy_forward(single, targets, mask)
    exact, exact_cache = softmax_cross_entropy_forward(single.astype(np.float64), targets, mask)
    assert loss.dtype == np.float32 and exact.dtype == np.float64
    assert loss == pytest.approx(exact, rel=1e-6)
    for dloss in (1.0, np.float64(1.0), loss):
        dlogits, *_ = softmax_cross_entropy_backward(dloss, cache)
        assert dlogits.dtype == np.float32
    dlogits, *_ = softmax_cross_entropy_backward(1.0, cache)
    reference, *_ = softmax_cross_entropy_backward(1.0, exact_cache)
    np.testing.assert_allclose(dlogits, reference, rtol=0, atol=1e-6 * np.abs(reference).max())
    assert softmax(single).dtype == log_softmax(single).dtype == np.float32


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.int64], ids=lambda d: d.__name__)
def test_targets_of_any_integer_type(rng, dtype):
    """With V = 200 the flat position of a target does not fit 8 bits."""
    logits, targets, _ = draw(rng, 6, 5, 200)
    loss, cache = softmax_cross_entropy_forward(logits, targets.astype(dtype))
    expected, expected_cache = softmax_cross_entropy_forward(logits, targets)
    assert loss == expected
    np.testing.assert_array_equal(
        softmax_cross_entropy_backward(1.0, cache)[0], softmax_cross_entropy_backward(1.0, expected_cache)[0]
    )


@pytest.mark.parametrize("axes", [(1, 0, 2), (2, 1, 0), (0, 2, 1)], ids=str)
def test_logits_targets_and_mask_may_have_any_layout(rng, axes):
    """Batch-major logits seen as time-major, for one: a flat view of such an array is a copy, and writes are lost."""
    logits, targets, mask = draw(rng, 5, 4, 6, "weights")
    seen = np.ascontiguousarray(logits.transpose(axes)).transpose(np.argsort(axes))
    np.testing.assert_array_equal(seen, logits)
    assert not seen.flags.c_contiguous
    loss, cache = softmax_cross_entropy_forward(seen, np.asfortranarray(targets), np.asfortranarray(mask))
    expected, expected_cache = softmax_cross_entropy_forward(logits, targets, mask)
    assert loss == pytest.approx(expected, rel=1e-14)
    np.testing.assert_allclose(
        softmax_cross_entropy_backward(1.0, cache)[0],
        softmax_cross_entropy_backward(1.0, expected_cache)[0],
        rtol=1e-13,
        atol=1e-16,
    )


def test_wrong_shapes_are_named(rng):
    logits, targets, mask = draw(rng, 3, 2, 4, "int")
    for wrong in [(2, 3), (3, 1), (2,), (6,), (3, 2, 1)]:
        with pytest.raises(ValueError, match=r"^targets\b"):
            softmax_cross_entropy_forward(logits, np.zeros(wrong, int))
        with pytest.raises(ValueError, match=r"^mask\b"):
            softmax_cross_entropy_forward(logits, targets, np.ones(wrong))
    with pytest.raises(ValueError, match=r"^ws\b"):
        softmax_cross_entropy_forward(logits, targets, mask, ws=softmax_workspace(3, 3, 4, logits))


@pytest.mark.parametrize("bad", [-1, 4, 100])
def test_targets_outside_the_vocabulary_are_refused(rng, bad):
    logits, targets, _ = draw(rng, 3, 2, 4)
    targets[2, 1] = bad
    with pytest.raises(IndexError, match=str(bad)):
        softmax_cross_entropy_forward(logits, targets)
