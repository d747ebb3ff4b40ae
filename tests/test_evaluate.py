"""Evaluation against sums written out, and the n-gram rows against counting with dictionaries."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from minrnn import CharRNN
from minrnn.evaluate import Evaluation, baseline, baseline_table, evaluate, per_character
from minrnn.text import Split, Streams, TextError, split_rows, split_tail, streams

V = 6


def make_model(cell="lstm", dropout=0.0, dtype="float64"):
    model = CharRNN(V, hidden_size=5, cell=cell, dropout=dropout, dtype=dtype)
    model.params.flat[...] = np.random.default_rng(3).standard_normal(model.params.flat.shape)
    return model


@pytest.fixture
def text(rng):
    """Three streams of 11 columns."""
    return streams(rng.integers(0, V, 3 * 11 + 2).astype(np.uint8), 3)


def nats_of_row(model, x, y):
    """−log p of every target of one row, read one character at a time."""
    state, nats = None, []
    for a, b in zip(x, y, strict=True):
        _, state, cache = model.forward(np.array([[a]]), np.array([[b]]), state)
        nats.append(-math.log(cache.loss.p[0, 0, b]))
    return nats


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("seq_length", [1, 4, 11, 50])
def test_loss_is_the_plain_mean_over_all_positions_with_carried_state(text, cell, seq_length, assert_close):
    model = make_model(cell)
    expected = [nats_of_row(model, x, y) for x, y in zip(text.x, text.y, strict=True)]
    found = evaluate(model, text, seq_length)
    assert found.characters == 33
    assert found.nats_per_char == pytest.approx(np.mean(expected), rel=1e-12)
    assert_close(per_character(model, text, seq_length), expected, 1e-12)


def test_uneven_last_chunk_counts_by_its_positions():
    # All but the last column predict badly: a mean of chunk means would weigh that column like the four before it.
    model = make_model()
    model.params.flat[...] = 0.0
    model.params["decoder.b"][0] = 5.0
    text = Streams(np.zeros((2, 5), int), np.array([[1, 1, 1, 1, 0]] * 2))
    z = math.log(math.exp(5) + V - 1)
    assert evaluate(model, text, 4).nats_per_char == pytest.approx((4 * z + z - 5) / 5, rel=1e-14)


def test_every_stream_starts_from_zero_and_the_order_of_streams_is_free(text):
    model = make_model()
    turned = Streams(text.x[::-1], text.y[::-1])
    np.testing.assert_allclose(per_character(model, turned, 4), per_character(model, text, 4)[::-1], rtol=1e-13)
    assert evaluate(model, text, 4) == evaluate(model, text, 4)  # nothing is left over from the first time


def test_dropout_is_never_active(text):
    assert evaluate(make_model(dropout=0.7), text, 4) == evaluate(make_model(), text, 4)


def test_parameters_and_gradients_are_untouched(text):
    model = make_model()
    model.grads.flat[...] = 7.0
    before = model.params.flat.copy()
    evaluate(model, text, 4)
    np.testing.assert_array_equal(model.params.flat, before)
    assert (model.grads.flat == 7.0).all()


def test_sum_is_kept_in_float64(rng):
    model = make_model(dtype="float32")
    text = streams(rng.integers(0, V, 20_001), 4)
    exact = per_character(model, text, 100).mean()
    assert evaluate(model, text, 100).nats_per_char == pytest.approx(exact, rel=1e-13)


def test_nothing_to_predict_is_an_error():
    with pytest.raises(TextError, match="nothing to predict"):
        evaluate(make_model(), streams(np.array([1]), 1), 4)


def test_units():
    found = Evaluation(2.0, 10)
    assert found.bits_per_char == pytest.approx(2.8853900817779268, rel=1e-15)
    assert found.perplexity == pytest.approx(7.38905609893065, rel=1e-15)
    assert Evaluation(710.0, 1).perplexity == math.inf
    assert math.isnan(Evaluation(math.nan, 1).perplexity)


# --- the n-gram rows


def counted(train_rows, held_rows, order):
    """Witten-Bell with dictionaries; each held-out row is scored from its second character on."""
    followers = defaultdict(Counter)
    for row in train_rows:
        for t, x in enumerate(row):
            for n in range(min(order, t) + 1):
                followers[tuple(row[t - n : t])][x] += 1

    def p(x, context):
        shorter = p(x, context[1:]) if context else 1 / V
        seen = followers.get(context)
        if not seen:
            return shorter
        return (seen[x] + len(seen) * shorter) / (sum(seen.values()) + len(seen))

    nats = [-math.log(p(row[t], tuple(row[max(0, t - order) : t]))) for row in held_rows for t in range(1, len(row))]
    return sum(nats) / len(nats)


@pytest.mark.parametrize("split", [split_tail, split_rows])
def test_ngram_rows_score_the_targets_of_the_network_and_no_others(rng, split):
    # A random walk, so that context matters.
    ids = np.cumsum(rng.integers(-1, 2, 400)) % V
    parts = split(ids, batch_size=4, seq_length=5, val_frac=0.3)
    rows = [[*x.tolist(), int(y[-1])] for x, y in zip(parts.val.x, parts.val.y, strict=True)]
    expected = [counted(parts.train_ids.tolist(), rows, order) for order in range(4)]
    found = baseline(parts, V, max_order=3)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert len(baseline(parts, V)) == 7
    everything = [counted(parts.train_ids.tolist(), parts.val_ids.tolist(), order) for order in range(4)]
    assert np.abs(np.array(everything) - expected).max() > 1e-4  # the difference is not below what the test can see


def test_ngram_rows_of_another_text(rng):
    ids = np.cumsum(rng.integers(-1, 2, 400)) % V
    parts = split_tail(ids, batch_size=4, seq_length=5, val_frac=0.3)
    other = streams(rng.integers(0, V, 41), 2)
    rows = [[*x.tolist(), int(y[-1])] for x, y in zip(other.x, other.y, strict=True)]
    expected = [counted(parts.train_ids.tolist(), rows, order) for order in range(3)]
    np.testing.assert_allclose(baseline(parts, V, other, max_order=2), expected, rtol=1e-12)


def test_ngram_rows_without_held_out_text_are_an_error(rng):
    parts: Split = split_tail(rng.integers(0, V, 100), batch_size=2, seq_length=5, val_frac=0.0)
    with pytest.raises(TextError, match="held out"):
        baseline(parts, V)


def test_table_names_what_is_beaten():
    rows = np.array([3.0, 2.0, 1.5, 1.8])
    lines = baseline_table(1.9, rows, "tail split").splitlines()
    assert lines[0].startswith("tail split")
    assert ["beaten" in line for line in lines[1:5]] == [True, True, False, False]
    assert "1.9000" in lines[5]
    assert "2.7411" in lines[5]  # bits
    assert lines[6] == "the network beats context 0, 1; the best n-gram, context 2, is 0.4000 nats ahead"
    assert "beats every n-gram; the best one, context 2, by 0.2500" in baseline_table(1.25, rows, "x").splitlines()[-1]
    assert "network" not in baseline_table(None, rows, "x")
    assert "beaten" not in baseline_table(None, rows, "x")
