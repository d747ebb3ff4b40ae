"""Clipping by global norm and by value, against PyTorch's results (tests/fixtures/clip.json) and at the edges."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from minrnn.backend import BackendError
from minrnn.optim import clip_grad_norm, clip_grad_value, grad_norm

FILE = Path(__file__).parent.parent / "fixtures" / "clip.json"
TORCH = json.loads(FILE.read_text(encoding="utf-8"))
NORM_CASES = {case["name"]: case for case in TORCH["norm"]}
VALUE_CASES = {case["name"]: case for case in TORCH["value"]}


def arrays(nested):
    return [np.array(x) for x in nested]


@pytest.mark.parametrize("name", NORM_CASES)
def test_norm_clipping_follows_pytorch(name):
    case = NORM_CASES[name]
    grads = arrays(case["grads"])
    norm = clip_grad_norm(grads, case["max_norm"])
    assert norm == pytest.approx(case["norm"], rel=1e-12)
    for mine, torchs in zip(grads, case["clipped"], strict=True):
        np.testing.assert_allclose(mine, torchs, rtol=1e-12, atol=1e-13)


def test_fixture_has_both_sides_of_the_threshold():
    changed = {name: case["grads"] != case["clipped"] for name, case in NORM_CASES.items()}
    assert changed["far_above"] and changed["just_below_and_scaled"] and changed["equal"]
    assert not changed["far_below"] and not changed["just_below_and_kept"]
    assert any(case["grads"] != case["clipped"] for case in VALUE_CASES.values())


@pytest.mark.parametrize("name", VALUE_CASES)
def test_value_clipping_follows_pytorch(name):
    case = VALUE_CASES[name]
    grads = arrays(case["grads"])
    assert clip_grad_value(grads, case["limit"]) is None
    for mine, torchs in zip(grads, case["clipped"], strict=True):
        assert np.array_equal(mine, torchs)


@pytest.mark.parametrize("collect", [list, tuple, lambda x: dict(zip("abc", x, strict=True)), np.concatenate])
def test_collections_and_one_flat_vector_are_clipped_alike(collect):
    rng = np.random.default_rng(1)
    grads = collect([rng.standard_normal(n) for n in (3, 5, 2)])
    before = np.random.default_rng(1).standard_normal(10)
    norm = clip_grad_norm(grads, 0.5)
    assert norm == pytest.approx(np.linalg.norm(before), rel=1e-14)
    parts = grads.values() if isinstance(grads, dict) else grads
    after = grads if isinstance(grads, np.ndarray) else np.concatenate(list(parts))
    np.testing.assert_allclose(after, before * 0.5 / (np.linalg.norm(before) + 1e-6), rtol=1e-13)


def test_norm_is_global_and_direction_stays():
    grads = [np.array([3.0]), np.array([4.0])]  # each below the limit, together above
    assert clip_grad_norm(grads, 4.5) == pytest.approx(5.0)
    np.testing.assert_allclose([grads[0][0], grads[1][0]], np.array([3.0, 4.0]) * 4.5 / 5.000001, rtol=1e-14)


def test_norm_before_clipping_is_returned_every_time():
    g = np.array([30.0, 40.0])
    assert clip_grad_norm(g, 1.0) == pytest.approx(50.0)
    assert clip_grad_norm(g, 1.0) == pytest.approx(1.0, abs=1e-6)


def test_gradient_below_the_limit_keeps_every_bit():
    g = np.random.default_rng(2).standard_normal(1000).astype(np.float32)
    before = g.copy()
    clip_grad_norm(g, 1e3)
    assert np.array_equal(g, before)
    assert clip_grad_norm(g, math.inf) == pytest.approx(np.linalg.norm(before), rel=1e-6)  # infinity measures only
    assert np.array_equal(g, before)


def test_zero_gradient_stays_zero():
    g = np.zeros(4)
    assert clip_grad_norm(g, 1.0) == 0.0
    assert not g.any()


def test_views_of_one_vector_are_clipped_in_place():
    flat = np.arange(1.0, 7.0)
    clip_grad_norm({"W": flat[:4].reshape(2, 2), "b": flat[4:]}, 1.0)
    np.testing.assert_allclose(flat, np.arange(1.0, 7.0) / (math.sqrt(91) + 1e-6), rtol=1e-14)
    clip_grad_value({"W": flat[:4].reshape(2, 2), "b": flat[4:]}, 0.3)
    assert flat.max() == 0.3 and flat[0] == pytest.approx(1 / math.sqrt(91))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_norm_has_the_dtype_of_the_gradient_and_no_axes(dtype):
    g = np.full(10, 3, dtype)
    norm = clip_grad_norm(g, 1.0)
    assert norm.shape == () and norm.dtype == dtype and g.dtype == dtype


def test_float32_norm_of_a_long_vector_is_accurate():
    g = np.random.default_rng(3).standard_normal(4_000_001, np.float32)
    exact = math.sqrt(np.sum(np.square(g, dtype=np.float64)))
    assert grad_norm(g) == pytest.approx(exact, rel=5e-7)  # one product over all entries is off by 1e-5


def test_norm_only_reads():
    g = np.array([3.0, 4.0])
    g.setflags(write=False)
    assert grad_norm(g) == 5.0
    assert grad_norm([g, g]) == pytest.approx(math.sqrt(50))


def test_infinite_norm_zeroes_the_finite_entries_as_in_pytorch():
    g = np.array([1.0, math.inf, -2.0])
    with np.errstate(invalid="ignore"):
        assert clip_grad_norm(g, 1.0) == math.inf
    assert g[0] == 0 and math.isnan(g[1]) and g[2] == 0


def test_nan_is_not_hidden():
    grads = [np.array([1.0, 2.0]), np.array([math.nan])]
    assert math.isnan(clip_grad_norm(grads, 1.0))
    assert np.isnan(grads[0]).all() and np.isnan(grads[1]).all()
    g = np.array([math.nan, 5.0, -math.inf])
    clip_grad_value(g, 1.0)
    assert math.isnan(g[0]) and g[1] == 1.0 and g[2] == -1.0


def test_value_clipping_is_per_entry_and_symmetric():
    g = np.array([[0.5, -0.5], [7.0, -7.0]], np.float32)
    clip_grad_value(g, np.float64(1.0))
    assert g.dtype == np.float32
    assert np.array_equal(g, np.array([[0.5, -0.5], [1.0, -1.0]], np.float32))


@pytest.mark.parametrize("limit", [0, -1.0, math.nan, None, "5"])
def test_limits_that_are_no_limits_are_refused(limit):
    g = np.ones(3)
    with pytest.raises(ValueError, match="max_norm must be a number > 0"):
        clip_grad_norm(g, limit)
    with pytest.raises(ValueError, match="limit must be a number > 0"):
        clip_grad_value(g, limit)
    assert (g == 1).all()


def test_nothing_to_clip_is_an_error():
    with pytest.raises(ValueError, match="no gradients"):
        clip_grad_norm({}, 1.0)
    with pytest.raises(ValueError, match="no gradients"):
        clip_grad_value([], 1.0)
    with pytest.raises(BackendError, match="got float"):
        clip_grad_norm([1.0], 1.0)


def test_another_norm_decides_how_far_gradients_shrink():
    grads = np.array([3.0, 4.0])
    assert clip_grad_norm(grads, 5.5, np.array(11.0 - 1e-6)) == 11.0 - 1e-6
    np.testing.assert_allclose(grads, [1.5, 2.0], rtol=1e-12)
