"""Chunk lengths: enough of them, within their bounds, from the stated distribution."""

import numpy as np
import pytest

from minrnn.text import FixedLength, JitteredLength, UniformLength

RULES = [FixedLength(7), FixedLength(1), UniformLength(10, 40), UniformLength(3, 3), JitteredLength(8)]


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("columns", [1, 2, 9, 10, 100, 1003])
def test_lengths_reach_past_the_last_column(rule, columns):
    for seed in range(20):
        lengths = rule(np.random.default_rng(seed), columns)
        assert lengths.min() >= 1
        assert lengths.sum() >= columns


def test_uniform_lengths_include_both_ends():
    lengths = UniformLength(10, 40)(np.random.default_rng(0), 1_000_000)
    values, counts = np.unique(lengths, return_counts=True)
    assert values.tolist() == list(range(10, 41))
    expected = len(lengths) / 31
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)
    assert lengths.mean() == pytest.approx(25, abs=0.15)


def test_jittered_lengths_follow_the_published_rule():
    lengths = JitteredLength(8)(np.random.default_rng(0), 1_000_000)
    assert lengths.min() == 5
    assert lengths.mean() == pytest.approx(8.37, abs=0.03)
    assert (lengths == 5).mean() == pytest.approx(0.36, abs=0.005)
    # Far from the shortest length the mixture shows: P(L > 70 + 15) would be too small without the long mode.
    long = JitteredLength(70)(np.random.default_rng(0), 5_000_000)
    assert (long < 50).mean() == pytest.approx(0.05, abs=0.003)
    assert long[long > 50].std() == pytest.approx(5, abs=0.1)
    assert np.median(long[long < 50]) == pytest.approx(35, abs=1)


def test_an_epoch_of_the_fast_ai_streams_has_about_920_updates():
    counts = [
        np.searchsorted(np.cumsum(JitteredLength(8)(np.random.default_rng(seed), 7713)), 7713) for seed in range(50)
    ]
    assert np.mean(counts) == pytest.approx(920, abs=8)


def test_impossible_lengths_are_refused():
    for make in (
        lambda: FixedLength(0),
        lambda: UniformLength(0, 3),
        lambda: UniformLength(4, 3),
        lambda: JitteredLength(0),
        lambda: JitteredLength(8, shortest=0),
        lambda: JitteredLength(8, spread=-1),
    ):
        with pytest.raises(ValueError, match="must be at least"):
            make()
