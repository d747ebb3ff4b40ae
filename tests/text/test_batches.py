"""Batches: every seam, both orders, and a position that is only two integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minrnn.text import (
    FixedLength,
    JitteredLength,
    StreamBatches,
    Streams,
    TextError,
    UniformLength,
    WindowBatches,
    split_rows,
    streams,
)

lengths = st.one_of(
    st.builds(FixedLength, st.integers(1, 9)),
    st.builds(lambda low, more: UniformLength(low, low + more), st.integers(1, 6), st.integers(0, 6)),
    st.builds(JitteredLength, st.integers(1, 12)),
)


def epoch_of(batches, epoch):
    return [batches.get(epoch, index) for index in range(batches.num_batches(epoch))]


def check_form(batch, batch_size):
    for array in (batch.x, batch.y):
        assert array.dtype == np.intp
        assert array.flags.c_contiguous
        assert array.shape[1] == batch_size
    assert np.array_equal(batch.y, batch.x + 1)  # the ids of these texts count up


# ---- streams


def test_golden_example_of_consecutive_batches():
    """30 numbers, B = 2, T = 6, rows of 15 as d2l cuts them: the published batches."""
    rows = np.arange(30).reshape(2, 15)
    batches = StreamBatches(Streams(rows[:, :-1], rows[:, 1:]), FixedLength(6))
    first, second = epoch_of(batches, 0)
    assert first.x.T.tolist() == [[0, 1, 2, 3, 4, 5], [15, 16, 17, 18, 19, 20]]
    assert first.y.T.tolist() == [[1, 2, 3, 4, 5, 6], [16, 17, 18, 19, 20, 21]]
    assert second.x.T.tolist() == [[6, 7, 8, 9, 10, 11], [21, 22, 23, 24, 25, 26]]
    assert second.y.T.tolist() == [[7, 8, 9, 10, 11, 12], [22, 23, 24, 25, 26, 27]]


@given(st.integers(2, 300), st.integers(1, 5), lengths, st.booleans(), st.integers(0, 3))
def test_every_stream_is_seen_once_and_in_order(n, batch_size, rule, drop_last, epoch):
    parts = streams(np.arange(n), batch_size)
    if parts.x.size == 0:
        with pytest.raises(TextError, match="no character to predict"):
            StreamBatches(parts, rule)
        return
    columns = parts.x.shape[1]
    batches = StreamBatches(parts, rule, drop_last=drop_last, seed=3)
    seen = epoch_of(batches, epoch)
    for batch in seen:
        check_form(batch, batch_size)
    whole = np.concatenate([batch.x for batch in seen]).T  # row b of each batch continues row b of the one before
    assert np.array_equal(whole, parts.x[:, : whole.shape[1]])
    left = columns - whole.shape[1]
    if not drop_last:
        assert left == 0
    elif isinstance(rule, FixedLength):
        assert left == (columns % rule.seq_length if columns >= rule.seq_length else 0)
        assert len(seen) == max(columns // rule.seq_length, 1)
    elif isinstance(rule, UniformLength):
        assert left < rule.longest
        if len(seen) > 1:
            assert all(rule.shortest <= len(batch.x) <= rule.longest for batch in seen)


def test_fixed_chunks_have_one_shape_unless_the_last_is_asked_for():
    parts = streams(np.arange(48), 2)  # 23 columns
    assert [len(b.x) for b in epoch_of(StreamBatches(parts, FixedLength(5)), 0)] == [5, 5, 5, 5]
    assert [len(b.x) for b in epoch_of(StreamBatches(parts, FixedLength(5), drop_last=False), 0)] == [5, 5, 5, 5, 3]
    assert [len(b.x) for b in epoch_of(StreamBatches(parts, FixedLength(23)), 0)] == [23]
    assert [len(b.x) for b in epoch_of(StreamBatches(parts, FixedLength(24)), 0)] == [23]  # the only one is kept


def test_the_state_is_fresh_when_the_policy_says_so():
    parts = streams(np.arange(48), 2)
    flags = {
        reset: [[b.fresh for b in epoch_of(StreamBatches(parts, FixedLength(10), reset=reset), e)] for e in range(3)]
        for reset in ("epoch", "never")
    }
    assert flags["epoch"] == [[True, False]] * 3
    assert flags["never"] == [[True, False], [False, False], [False, False]]
    with pytest.raises(ValueError, match="'epoch' or 'never'"):
        StreamBatches(parts, FixedLength(10), reset="chunk")


def test_random_lengths_are_drawn_anew_in_every_epoch_and_for_every_seed():
    parts = streams(np.arange(4001), 2)

    def cuts(seed, epoch):
        batches = StreamBatches(parts, UniformLength(10, 40), seed=seed)
        return [len(b.x) for b in epoch_of(batches, epoch)]

    assert cuts(1, 0) == cuts(1, 0)
    different = [cuts(1, 0), cuts(1, 1), cuts(2, 0), cuts([1, 2], 0), cuts([2, 1], 0)]
    assert len({tuple(c[:20]) for c in different}) == 5
    assert all(10 <= length <= 40 for c in different for length in c)
    # About 2000 / 25 chunks, and every position can be a cut.
    assert np.mean([len(cuts(1, e)) for e in range(50)]) == pytest.approx(2000 / 25, abs=2)


def test_char_rnn_batches_of_a_row_split():
    split = split_rows(np.arange(10_001), batch_size=4, seq_length=25, val_frac=0.05)
    train = epoch_of(StreamBatches(split.train, FixedLength(25)), 0)
    val = epoch_of(StreamBatches(split.val, FixedLength(25)), 0)
    assert (len(train), len(val)) == (95, 5)
    assert val[0].x[0].tolist() == (train[-1].x[-1] + 1).tolist()  # each row's validation follows its training
    assert train[0].x[0].tolist() == [0, 2500, 5000, 7500]


# ---- windows


def test_golden_example_of_random_batches():
    """30 numbers, B = 2, T = 6: the four windows at multiples of 6, in some order, two batches."""
    batches = WindowBatches(np.arange(30), 2, 6, random_offset=False)
    seen = epoch_of(batches, 0)
    assert len(seen) == 2
    windows = sorted(window for batch in seen for window in batch.x.T.tolist())
    assert windows == [list(range(k, k + 6)) for k in (0, 6, 12, 18)]


def test_counts_of_the_published_random_batches():
    assert WindowBatches(np.zeros(10_000), 32, 35, random_offset=False).num_batches(0) == 8  # 285 windows
    assert WindowBatches(np.zeros(20_000), 32, 35, random_offset=False).num_batches(0) == 17  # 571 windows


@given(
    st.integers(1, 3),
    st.integers(2, 90),
    st.integers(1, 5),
    st.integers(1, 7),
    st.booleans(),
    st.integers(0, 3),
    st.integers(0, 2**70),
)
def test_windows_do_not_overlap_or_cross_rows(rows, length, batch_size, seq_length, random_offset, epoch, seed):
    ids = np.arange(rows)[:, None] * 1000 + np.arange(length)
    try:
        batches = WindowBatches(ids, batch_size, seq_length, seed=seed, random_offset=random_offset)
    except TextError:
        assert -(-batch_size // rows) * seq_length + 1 > length
        return
    seen = epoch_of(batches, epoch)
    assert seen
    for batch in seen:
        check_form(batch, batch_size)
        assert batch.x.shape == (seq_length, batch_size)
        assert batch.fresh
        assert np.array_equal(batch.x, batch.x[0] + np.arange(seq_length)[:, None])  # consecutive, within one row
        assert np.all(batch.y % 1000 < length)
    starts = np.concatenate([batch.x[0] for batch in seen])
    assert len(np.unique(starts)) == len(starts)
    offset = starts % 1000 % seq_length
    assert len(np.unique(offset)) == 1  # one offset for all rows, so no character is in two windows
    assert random_offset or offset[0] == 0
    # Nothing is left out but the incomplete last batch.
    whole = rows * ((length - 1 - offset[0]) // seq_length)
    assert len(starts) == whole - whole % batch_size


def test_offsets_cover_one_window_length_evenly():
    batches = WindowBatches(np.arange(1000), 3, 7)
    offsets = np.array([batches.get(epoch, 0).x[0, 0] % 7 for epoch in range(1400)])
    assert np.abs(np.bincount(offsets, minlength=7) - 200).max() < 5 * np.sqrt(200)


def test_the_offset_leaves_a_batch_in_a_short_text():
    """Ten windows of 4 fit only at the first spots; an offset of 3 would leave nine."""
    for spare in range(5):
        batches = WindowBatches(np.arange(41 + spare), 10, 4)
        assert batches.max_offset == min(spare, 3)
        assert all(batches.num_batches(epoch) >= 1 for epoch in range(50))
    with pytest.raises(TextError, match=r"40 characters in each of 1 rows are too few .* need 41"):
        WindowBatches(np.arange(40), 10, 4)


def test_windows_are_shuffled_anew_in_every_epoch():
    batches = WindowBatches(np.arange(5001), 10, 5, random_offset=False)
    orders = [np.concatenate([b.x[0] for b in epoch_of(batches, epoch)]).tolist() for epoch in range(3)]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2]) == list(range(0, 5000, 5))
    assert orders[0] != sorted(orders[0])
    assert orders[0] != orders[1] != orders[2] != orders[0]
    # A window is as likely in one place as in another: the correlation of place and text is that of chance.
    assert abs(np.corrcoef(orders[0], np.arange(1000))[0, 1]) < 0.15


@pytest.mark.parametrize("count", [200, 255, 256, 257, 65_536, 70_000])
def test_order_is_the_permutation_of_the_seed_in_the_smallest_type(count):
    """Four bytes a window, and the numbers that `permutation` would have drawn in eight."""
    batches = WindowBatches(np.zeros(count * 2 + 1, np.uint8), 1, 2, seed=4, random_offset=False)
    rng = np.random.default_rng(np.random.SeedSequence(4, spawn_key=(2,)))
    assert rng.integers(1) == 0
    order = batches._windows(2).order
    assert np.array_equal(order, rng.permutation(count))
    assert order.dtype == np.min_scalar_type(count)


def test_counting_batches_needs_no_order():
    """An epoch of 10^12 windows can be counted, in no time and no memory."""
    batches = WindowBatches(np.broadcast_to(np.uint8(0), (2, 10**13)), 5, 10, random_offset=False)
    assert batches.num_batches(0) == batches.num_batches(7) == 2 * (10**12 - 1) // 5


# ---- both


IDS = np.arange(900, dtype=np.uint16)
BOTH = {
    "streams": lambda seed=5: StreamBatches(streams(IDS, 3), UniformLength(4, 11), seed=seed, drop_last=False),
    "windows": lambda seed=5: WindowBatches(IDS, 3, 7, seed=seed),
}


@pytest.mark.parametrize("make", BOTH.values(), ids=BOTH)
def test_a_resumed_run_sees_what_the_interrupted_one_would_have(make):
    straight = make()
    plan = [(epoch, index) for epoch in range(3) for index in range(straight.num_batches(epoch))]
    expected = {place: straight.get(*place) for place in plan}
    shuffled = np.random.default_rng(0).permutation(len(plan))
    again = make()
    for place in (plan[k] for k in shuffled):  # any order, the same object
        x, y, fresh = again.get(*place)
        assert np.array_equal(x, expected[place].x)
        assert np.array_equal(y, expected[place].y)
        assert fresh == expected[place].fresh
    x, _, _ = make().get(2, 3)  # straight into the third epoch with a new object
    assert np.array_equal(x, expected[2, 3].x)
    assert not all(
        a.x.shape == b.x.shape and np.array_equal(a.x, b.x)
        for a, b in zip(epoch_of(make(), 0), epoch_of(make(seed=6), 0), strict=False)
    )


@pytest.mark.parametrize("make", BOTH.values(), ids=BOTH)
def test_the_first_epoch_does_not_repeat_the_plain_stream_of_its_seed(make):
    """Initialisation may use default_rng(seed); entropy [seed, 0] would give data order the same numbers."""
    drawn = []

    class Spy(np.random.SeedSequence):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            drawn.append(tuple(self.generate_state(4)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np.random, "SeedSequence", Spy)
        batches = make()
        for epoch in range(3):
            batches.num_batches(epoch)
    plain = {tuple(np.random.SeedSequence(s).generate_state(4)) for s in (5, [5, 0], [5, 1], [5, 2])}
    assert len(set(drawn)) == 3
    assert not plain & set(drawn)


@pytest.mark.parametrize("make", BOTH.values(), ids=BOTH)
def test_no_index_outside_the_epoch(make):
    batches = make()
    for index in (-1, batches.num_batches(0)):
        with pytest.raises(IndexError, match="not in this epoch"):
            batches.get(0, index)


@pytest.mark.parametrize("make", BOTH.values(), ids=BOTH)
def test_batches_are_copies_of_a_text_that_stays_unchanged(make):
    batches = make()
    batches.get(0, 0).x[:] = 0
    assert batches.get(0, 0).x.any()


def test_window_settings_are_checked():
    for batch_size, seq_length in ((0, 3), (3, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            WindowBatches(np.arange(99), batch_size, seq_length)
