"""The n-gram yardstick: equal to the textbook definition, and to known losses on public texts."""

import time
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minrnn.text import SOURCES, TextError, Vocabulary, split_rows, split_tail, stdlib_text, witten_bell
from minrnn.text.stdlib_text import MODULES


def textbook(train, held_out, vocab_size, max_order):
    """Equation (1) with dictionaries, one character at a time."""
    counts = defaultdict(Counter)
    for row in train:
        for t, x in enumerate(row):
            for order in range(min(t, max_order) + 1):
                counts[tuple(row[t - order : t])][x] += 1

    def p(x, context):
        shorter = 1 / vocab_size if not context else p(x, context[1:])
        followers = counts.get(context)
        if not followers:
            return 1 / vocab_size if not context else shorter
        total, distinct = sum(followers.values()), len(followers)
        below = 1 / vocab_size if not context else shorter
        return (followers[x] + distinct * below) / (total + distinct)

    return [
        -np.mean([np.log(p(x, tuple(row[max(t - n, 0) : t]))) for row in held_out for t, x in enumerate(row)])
        for n in range(max_order + 1)
    ]


@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 40), st.integers(1, 3), st.integers(1, 9))
def test_equal_to_the_textbook(seed, rows, length, held_rows, held_length):
    rng = np.random.default_rng(seed)
    train, held_out = rng.integers(0, 3, (rows, length)), rng.integers(0, 4, (held_rows, held_length))
    expected = textbook(train.tolist(), held_out.tolist(), 5, 4)
    assert witten_bell(train, held_out, 5, 4) == pytest.approx(expected, rel=1e-12)


def test_contexts_do_not_cross_the_start_of_a_row():
    train = np.array([[0, 1, 0, 1], [2, 3, 2, 3]])
    held_out = np.array([[1, 0], [3, 2]])  # one row after the other, 1 is followed by 2, and 0 by 3
    separate = witten_bell(train, held_out, 4, 2)
    assert not np.allclose(separate[1:], witten_bell(train.ravel(), held_out, 4, 2)[1:])
    assert not np.allclose(separate[1:], witten_bell(train, held_out.ravel(), 4, 2)[1:])


def test_probabilities_sum_to_one():
    rng = np.random.default_rng(0)
    train = rng.integers(0, 5, 200)
    for context in ([], [0], [3, 1], [6, 2, 2]):
        for order in range(4):
            # The loss of [*context, x] differs from that of another x by the last character only.
            nats = [(len(context) + 1) * witten_bell(train, np.array([*context, x]), 7, order)[order] for x in range(7)]
            rest = len(context) * witten_bell(train, np.array(context), 7, order)[order] if context else 0.0
            assert np.exp(rest - np.array(nats)).sum() == pytest.approx(1, abs=1e-12)


def test_ids_of_a_small_type_do_not_overflow():
    rng = np.random.default_rng(1)
    train, held_out = rng.integers(0, 256, 5000), rng.integers(0, 256, 500)
    small = witten_bell(train.astype(np.uint8), held_out.astype(np.uint8), 256)
    assert np.array_equal(small, witten_bell(train, held_out, 256))


def test_a_known_source_is_approached_from_above():
    source = SOURCES["markov-3"]
    vocabulary = Vocabulary("abcd")
    train = vocabulary.encode(source.generate(300_000, 1)[0])
    text, costs = source.generate(50_000, 2)
    nats = witten_bell(train, vocabulary.encode(text), 4)
    assert 0 < nats[3] - costs.mean() < 0.002
    assert nats.argmin() == 3
    assert nats[2] - nats[3] > 0.2


def test_nothing_held_out_is_an_error():
    with pytest.raises(TextError, match="no held-out character"):
        witten_bell(np.arange(4), np.empty((1, 0), int), 4)


# Nats per character with 0 to 6 characters of context.
KNOWN = {
    "tinyshakespeare rows": (3.3114, 2.4625, 1.9421, 1.5945, 1.4662, 1.4778, 1.5501),
    "tinyshakespeare tail": (3.3473, 2.4858, 2.0492, 1.7738, 1.6688, 1.6981, 1.7792),
    "nietzsche tail": (3.0597, 2.4541, 1.9830, 1.6256, 1.4909, 1.5083, 1.5888),
    "nietzsche lower": (2.9995, 2.4146, 1.9623, 1.5990, 1.4563, 1.4665, 1.5429),
    "timemachine tail": (3.0774, 2.4236, 1.9729, 1.6770, 1.5888, 1.6327, 1.7160),
    "andersen tail": (3.0424, 2.3820, 1.8954, 1.5571, 1.4011, 1.3649, 1.3923),
}


def known_case(name, public_corpus):
    corpus, kind = name.split()
    text = public_corpus(f"{corpus}.txt")
    if kind == "lower":
        text = text.lower()
    if corpus == "andersen":
        text = text[5000:]
    vocabulary = Vocabulary.from_text(text)
    ids = vocabulary.encode(text)
    if kind == "lower":  # the fast.ai lesson cuts by lines
        return ids[:493_746], ids[493_746:], len(vocabulary)
    if kind == "rows":
        split = split_rows(ids, batch_size=50, seq_length=50, val_frac=0.05)
    else:
        split = split_tail(ids, batch_size=50, seq_length=50, val_frac=0.2 if corpus == "nietzsche" else 0.1)
    return split.train_ids, split.val_ids, len(vocabulary)


@pytest.mark.parametrize("name", KNOWN)
def test_known_losses_of_public_texts(name, public_corpus):
    train, held_out, vocab_size = known_case(name, public_corpus)
    start = time.perf_counter()
    nats = witten_bell(train, held_out, vocab_size)
    assert time.perf_counter() - start < 8
    assert nats.round(4).tolist() == list(KNOWN[name])


def test_known_losses_of_the_standard_library():
    text, modules, sha256 = stdlib_text()
    if modules != MODULES:
        pytest.skip("this Python ships without some sources")
    ids = Vocabulary.from_text(text[:1_000_000]).encode(text[:1_000_000])
    nats = witten_bell(ids[:900_000], ids[900_000:], int(ids.max()) + 1)
    assert nats.argmin() in (3, 4)
    assert 1.4 < nats.min() < 1.8 < nats[2] < 2.1
    if sha256.startswith("207b68d2"):  # Python 3.11.7
        assert nats.round(4).tolist() == [3.1536, 2.4113, 1.8653, 1.6287, 1.6279, 1.6869, 1.7539]
