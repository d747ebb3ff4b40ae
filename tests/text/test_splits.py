"""Splits: nothing leaks, nothing wraps, nothing is lost but what is counted."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minrnn.text import SPLITS, TextError, beginnings, largest_batch, split_rows, split_tail, streams

settings = {
    "batch_size": st.integers(1, 7),
    "seq_length": st.integers(1, 7),
    "val_frac": st.sampled_from([0.0, 0.05, 0.1, 0.3, 0.5, 0.9]),
}


def test_streams_are_shifted_views_that_do_not_wrap():
    ids = np.arange(30, dtype=np.uint8)
    parts = streams(ids, 2)
    assert parts.x.tolist() == [list(range(14)), list(range(14, 28))]
    assert parts.y.tolist() == [list(range(1, 15)), list(range(15, 29))]
    assert parts.x.base is ids
    assert parts.y.base is ids
    assert streams(ids, 29).x.shape == (29, 1)
    assert streams(ids, 30).x.shape == (30, 0)


def test_char_rnn_counts_on_tiny_shakespeare():
    ids = np.zeros(1_115_394, dtype=np.uint8)
    split = split_rows(ids, batch_size=50, seq_length=50, val_frac=0.05)
    assert split.train.x.shape == (50, 423 * 50)
    assert split.val.x.shape == (50, 23 * 50)
    assert split.dropped == 393  # char-rnn drops one more and wraps the last target instead


def test_nanogpt_counts_on_tiny_shakespeare():
    split = split_tail(np.zeros(1_115_394, dtype=np.uint8), batch_size=50, seq_length=50, val_frac=0.1)
    assert (split.train_ids.shape, split.val_ids.shape) == ((1, 1_003_854), (1, 111_540))


@given(st.sampled_from(sorted(SPLITS)), st.integers(2, 400), st.fixed_dictionaries(settings))
def test_parts_are_disjoint_and_complete(name, n, chosen):
    ids = np.arange(n)
    try:
        split = SPLITS[name](ids, **chosen)
    except TextError:
        assume(False)
    batch_size, seq_length = chosen["batch_size"], chosen["seq_length"]
    parts = [split.train] if split.val is None else [split.train, split.val]
    assert split.name == name
    assert (split.val is None) == (chosen["val_frac"] == 0)
    for part in parts:
        assert part.x.shape == part.y.shape
        assert part.x.shape[0] == batch_size
        assert np.array_equal(part.y, part.x + 1)  # the target is the next character of the text, never another one
        assert np.shares_memory(part.x, ids)
    assert split.train.x.shape[1] >= seq_length
    assert split.val is None or split.val.x.shape[1] >= 1
    # No held-out character is predicted in training, and none is predicted twice.
    targets = np.concatenate([part.y.ravel() for part in parts])
    assert len(set(targets.tolist())) == targets.size
    used = set(targets.tolist()) | set(np.concatenate([part.x.ravel() for part in parts]).tolist())
    assert split.dropped == n - len(used)
    # The plain texts do not overlap, and they hold the streams.
    train, val = set(split.train_ids.ravel().tolist()), set(split.val_ids.ravel().tolist())
    assert not train & val
    assert set(split.train.x.ravel().tolist()) <= train
    if split.val is not None:
        assert set(split.val.x.ravel().tolist()) <= val


@given(st.integers(2, 400), st.fixed_dictionaries(settings))
def test_tail_holds_out_the_end_of_the_text(n, chosen):
    try:
        split = split_tail(np.arange(n), **chosen)
    except TextError:
        assume(False)
    assert np.array_equal(np.concatenate([split.train_ids[0], split.val_ids[0]]), np.arange(n))
    assert split.train.y.max() < split.train_ids.shape[1]
    # Less than one character for each stream is left over in each part.
    assert split.dropped < chosen["batch_size"] * (1 if split.val is None else 2)


@given(st.integers(2, 400), st.fixed_dictionaries(settings))
def test_rows_holds_out_the_end_of_every_stream(n, chosen):
    try:
        split = split_rows(np.arange(n), **chosen)
    except TextError:
        assume(False)
    whole = np.concatenate([split.train_ids, split.val_ids], axis=1)
    assert np.array_equal(whole.ravel(), np.arange(whole.size))
    assert split.train_ids.shape[1] % chosen["seq_length"] == split.val_ids.shape[1] % chosen["seq_length"] == 0
    assert split.dropped < chosen["batch_size"] * chosen["seq_length"]


def test_the_share_of_the_held_out_part_is_not_spoilt_by_rounding():
    for n, val_frac, train in [(20, 0.9, 2), (20, 0.1, 18), (10, 0.3, 7), (1000, 0.7, 300), (7, 0.5, 3)]:
        split = split_tail(np.arange(n), batch_size=1, seq_length=1, val_frac=val_frac)
        assert split.train_ids.size == train
    split = split_rows(np.arange(101), batch_size=1, seq_length=10, val_frac=0.9)
    assert (split.train.x.shape, split.val.x.shape) == ((1, 10), (1, 90))


@given(st.sampled_from(sorted(SPLITS)), st.integers(0, 300), st.fixed_dictionaries(settings))
def test_largest_batch_is_exactly_what_the_split_accepts(name, n, chosen):
    ids = np.arange(n)

    def accepted(size):
        try:
            SPLITS[name](ids, **{**chosen, "batch_size": size})
        except TextError:
            return False
        return True

    fitting = [size for size in range(1, chosen["batch_size"] + 1) if accepted(size)]
    if fitting:
        assert largest_batch(name, n, **chosen) == max(fitting)
        assert fitting == list(range(1, max(fitting) + 1))
    else:
        with pytest.raises(TextError, match="too few"):
            largest_batch(name, n, **chosen)


@given(st.sampled_from(sorted(SPLITS)), st.integers(0, 300), st.fixed_dictionaries(settings))
def test_the_stated_minimum_is_the_minimum(name, n, chosen):
    try:
        SPLITS[name](np.arange(n), **chosen)
        assume(False)
    except TextError as error:
        needed = int(str(error).split("need ")[1].split(";")[0].replace(",", ""))
    assert needed > n
    SPLITS[name](np.arange(needed), **chosen)
    with pytest.raises(TextError):
        SPLITS[name](np.arange(needed - 1), **chosen)


def test_a_small_text_shrinks_the_batch():
    assert largest_batch("tail", 200, batch_size=50, seq_length=50, val_frac=0.1) == 3
    assert largest_batch("rows", 200, batch_size=50, seq_length=50, val_frac=0.1) == 1
    with pytest.raises(TextError, match=r"200 .* rows split .* need 5,001; use batch_size=1 or a smaller seq_length"):
        split_rows(np.arange(200), batch_size=50, seq_length=50, val_frac=0.1)
    for n in (0, 1, 2, 55):
        with pytest.raises(TextError, match="use a longer text or a smaller seq_length"):
            largest_batch("tail", n, batch_size=50, seq_length=50, val_frac=0.1)


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"seq_length": 0}, {"val_frac": 1.0}, {"val_frac": -0.1}, {"val_frac": float("nan")}]
)
def test_settings_out_of_range_are_no_text_errors(wrong):
    chosen = {"batch_size": 2, "seq_length": 3, "val_frac": 0.1} | wrong
    for call in (
        lambda: split_tail(np.arange(99), **chosen),
        lambda: split_rows(np.arange(99), **chosen),
        lambda: largest_batch("tail", 99, **chosen),
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))) as caught:
            call()
        assert not isinstance(caught.value, TextError)
    with pytest.raises(ValueError, match="tail, rows"):
        largest_batch("columns", 99, batch_size=2, seq_length=3, val_frac=0.1)


@pytest.mark.parametrize("val_frac", [0.02, 0.1, 0.5])
def test_largest_batch_leaves_every_stream_something_to_validate(val_frac):
    for n in range(10, 300):
        sizes = {"seq_length": 1, "val_frac": val_frac}
        try:
            batch_size = largest_batch("tail", n, batch_size=60, **sizes)
        except TextError:
            continue
        val = split_tail(np.arange(n), batch_size=batch_size, **sizes).val
        assert val.y.shape[0] == batch_size and val.y.shape[1] >= 1


@pytest.mark.parametrize(("characters", "columns"), [(0, 7), (1, 1), (3, 1), (5, 1), (6, 2), (20, 6), (21, 7), (99, 7)])
def test_beginnings_are_the_first_columns_of_every_stream_within_the_limit(characters, columns):
    whole = streams(np.arange(22), 3)
    part = beginnings(whole, characters)
    assert np.array_equal(part.x, whole.x[:, :columns]) and np.array_equal(part.y, whole.y[:, :columns])
    assert np.shares_memory(part.x, whole.x)
