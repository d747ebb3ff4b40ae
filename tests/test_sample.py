"""Sampling against the model's own forward pass and NumPy's own Generator.choice."""

import itertools
import warnings

import numpy as np
import pytest

from minrnn import CharRNN
from minrnn.sample import Sampler, draw, probabilities, sample_rng, sample_text, sample_texts
from minrnn.text import TextError, Vocabulary

V = 7
KINDS = [("lstm", "tanh"), ("gru", "tanh"), ("gru-before", "tanh"), ("rnn", "tanh"), ("rnn", "relu")]


def make_model(cell="lstm", nonlinearity="tanh", embedding_size=0, vocab_size=V, dtype="float64", **options):
    """A small network without a zero anywhere, and with a bias in its taste."""
    model = CharRNN(
        vocab_size,
        hidden_size=5,
        cell=cell,
        nonlinearity=nonlinearity,
        embedding_size=embedding_size,
        dtype=dtype,
        **options,
    )
    model.params.flat[...] = np.random.default_rng(3).standard_normal(model.params.flat.shape) * 0.6
    return model


def forward_logits(model, ids):
    """The logits after the last of `ids`, from one forward over the whole sequence. (V,)"""
    x = np.array(ids)[:, None]
    model.forward(x, np.zeros_like(x))
    return model.workspace(len(ids), 1).logits[-1, 0].copy()


# --- the step path


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("embedding_size", [0, 4])
@pytest.mark.parametrize(("cell", "nonlinearity"), KINDS)
def test_step_path_equals_sequence_path(cell, nonlinearity, embedding_size, layers, assert_close):
    model = make_model(cell, nonlinearity, embedding_size, num_layers=layers)
    sampler, ids = Sampler(model), [3, 0, 6, 6, 1, 2, 5, 0]
    state = sampler.zero_state
    for end, id in enumerate(ids, 1):
        logits, state = sampler.feed(id, state)
        assert_close(logits, forward_logits(model, ids[:end]), 1e-12)
    _, final, _ = model.forward(np.array(ids)[:, None], np.array(ids)[:, None])
    for found, expected in zip(itertools.chain(*state), itertools.chain(*final), strict=True):
        assert_close(found, expected, 1e-12)


def test_feed_leaves_the_state_it_is_given_alone():
    sampler = Sampler(make_model())
    _, state = sampler.feed(1, sampler.zero_state)
    copies = [[array.copy() for array in layer] for layer in state]
    first, _ = sampler.feed(2, state)
    second, _ = sampler.feed(2, state)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(np.array(copies), np.array(state))
    assert all(not array.any() for layer in sampler.zero_state for array in layer)


@pytest.mark.parametrize("embedding_size", [0, 4])
def test_sampler_keeps_its_own_weights(embedding_size):
    model = make_model(embedding_size=embedding_size)
    sampler = Sampler(model)
    before, _ = sampler.feed(1, sampler.zero_state)
    model.params.flat[...] = 0
    after, _ = sampler.feed(1, sampler.zero_state)
    np.testing.assert_array_equal(before, after)


def test_logits_are_float64_whatever_the_model():
    sampler = Sampler(make_model(dtype="float32"))
    logits, _ = sampler.feed(1, sampler.zero_state)
    assert logits.dtype == np.float64


@pytest.mark.parametrize("id", [-1, V])
def test_id_outside_the_vocabulary_is_refused_not_wrapped(id):
    sampler = Sampler(make_model())
    with pytest.raises(IndexError, match=str(id)):
        sampler.feed(id, sampler.zero_state)


# --- whole samples


@pytest.mark.parametrize(("cell", "nonlinearity"), KINDS)
def test_greedy_is_argmax_of_forward_over_everything_so_far(cell, nonlinearity):
    model = make_model(cell, nonlinearity)
    found = list(Sampler(model).generate([2, 4], 40, temperature=0, rng=np.random.default_rng(0)))
    expected = [2, 4]
    for _ in range(40):
        expected.append(int(np.argmax(forward_logits(model, expected))))
    assert found == expected[2:]


@pytest.mark.parametrize(("temperature", "top_k", "top_p"), [(1.0, None, 1.0), (0.6, None, 1.0), (1.7, 5, 0.8)])
def test_sample_is_what_numpy_choice_draws_from_forward(temperature, top_k, top_p):
    model = make_model()
    rng, reference = np.random.default_rng(5), np.random.default_rng(5)
    choice = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    found = list(Sampler(model).generate([2, 4], 60, rng=rng, **choice))
    ids = [2, 4]
    for _ in range(60):
        p = probabilities(forward_logits(model, ids), **choice)
        ids.append(int(reference.choice(V, p=p)))
    assert found == ids[2:]
    assert len(set(found)) > 2
    assert rng.random() == reference.random(), "more or fewer than one number a character was drawn"


def test_empty_prime_draws_its_first_character_evenly_and_counts_it():
    model = make_model()
    reference = np.random.default_rng(5)
    found = list(Sampler(model).generate([], 30, temperature=0.5, top_k=2, rng=np.random.default_rng(5)))
    ids = [int(reference.choice(V, p=np.full(V, 1 / V)))]
    while len(ids) < 30:
        p = probabilities(forward_logits(model, ids), temperature=0.5, top_k=2)
        ids.append(int(reference.choice(V, p=p)))
    assert found == ids
    sampler = Sampler(model)
    firsts = [next(sampler.generate([], 1, top_k=1, rng=sample_rng(0, k))) for k in range(2100)]
    assert np.abs(np.bincount(firsts, minlength=V) - 300).max() < 60  # 3.7 standard deviations


def test_drawn_frequencies_are_the_probabilities_of_forward():
    model, temperature, draws = make_model(), 0.7, 4000
    z = forward_logits(model, [3, 1]) / temperature
    p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    sampler = Sampler(model)
    rng = np.random.default_rng(11)
    ids = [next(sampler.generate([3, 1], 1, temperature=temperature, rng=rng)) for _ in range(draws)]
    count = np.bincount(ids, minlength=V)
    assert np.sum((count - draws * p) ** 2 / (draws * p)) < 16.8  # chi-square, 6 degrees of freedom: the 1 % point


@pytest.mark.parametrize("prime", [[], [2, 4]])
def test_shorter_sample_is_the_beginning_of_a_longer_one(prime):
    sampler = Sampler(make_model())
    long = list(sampler.generate(prime, 25, rng=np.random.default_rng(7)))
    for n in range(25):
        assert list(sampler.generate(prime, n, rng=np.random.default_rng(7))) == long[:n]


def test_n_zero_yields_nothing_and_wrong_settings_raise_before_the_first_character():
    sampler, rng = Sampler(make_model()), np.random.default_rng(0)
    assert list(sampler.generate([1], 0, rng=rng)) == []
    assert list(sampler.generate([], 0, rng=rng)) == []
    for wrong in (
        {"temperature": -0.1},
        {"temperature": np.nan},
        {"temperature": np.inf},
        {"top_k": 0},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"top_p": np.nan},
    ):
        (name,) = wrong
        with pytest.raises(ValueError, match=name):
            sampler.generate([1], 5, rng=rng, **wrong)
    with pytest.raises(ValueError, match="n = -1"):
        sampler.generate([1], -1, rng=rng)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_network_that_has_diverged_is_an_error_not_an_id(bad):
    model = make_model()
    model.params["decoder.b"][3] = bad
    for temperature in (0.0, 1.0):
        with pytest.raises(FloatingPointError, match="not finite"):
            list(Sampler(model).generate([1], 3, temperature=temperature, rng=np.random.default_rng(0)))


@pytest.mark.parametrize("choice", [{}, {"temperature": 0.0}, {"top_k": 1}, {"temperature": 3.0, "top_p": 0.9}])
@pytest.mark.parametrize("prime", [[], [1]])
def test_forbidden_id_is_never_drawn_though_it_is_the_most_probable(prime, choice):
    model = make_model()
    model.params["decoder.b"][V - 1] += 20
    sampler = Sampler(model)
    rngs = [sample_rng(1, k) for k in range(40)]
    ids = [id for rng in rngs for id in sampler.generate(prime, 5, never=V - 1, rng=rng, **choice)]
    assert V - 1 not in ids
    free = [id for rng in rngs for id in sampler.generate(prime, 5, rng=rng, **choice)]
    assert V - 1 in free


@pytest.mark.parametrize("wrong", [-1, V])
def test_prime_outside_the_vocabulary_is_refused_at_once(wrong):
    with pytest.raises(IndexError, match=str(wrong)):
        Sampler(make_model()).generate([1, wrong], 5, rng=np.random.default_rng(0))


def test_texts_of_one_sampler_do_not_disturb_each_other():
    sampler = Sampler(make_model(num_layers=2))
    expected = [list(sampler.generate([k], 20, rng=sample_rng(k))) for k in range(2)]
    both = [sampler.generate([k], 20, rng=sample_rng(k)) for k in range(2)]
    found = [[], []]
    for _ in range(20):
        for k in range(2):
            found[k].append(next(both[k]))
            sampler.feed(3, sampler.zero_state)
    assert found == expected


def test_overflow_is_no_concern_and_the_caller_keeps_his_own_rules():
    model = make_model()
    model.params.flat[...] *= 2000  # e^-a is infinite or 0
    with warnings.catch_warnings(), np.errstate(all="warn", over="raise"):
        warnings.simplefilter("error")
        rules = np.geterr()
        for _ in Sampler(model).generate([2, 4], 30, temperature=1e-300, rng=np.random.default_rng(0)):
            assert np.geterr() == rules, "what holds inside of the generator has reached its caller"
        Sampler(model).feed(1, model.zero_state(1))
        assert np.geterr() == rules


@pytest.mark.parametrize("batch", [1, 3])
def test_the_same_bits_at_every_run(batch):
    sampler = Sampler(make_model(dtype="float32", vocab_size=300))

    def run():
        return list(sampler.generate_batch([2, 4], 200, rngs=[sample_rng(0, k) for k in range(batch)]))

    assert run() == run()


# --- batches


@pytest.mark.parametrize("prime", [[], [2, 4]])
@pytest.mark.parametrize(
    "choice", [{}, {"temperature": 0.0}, {"temperature": 1.7, "top_k": 5}, {"top_p": 0.8}, {"never": 3}]
)
@pytest.mark.parametrize("embedding_size", [0, 4])
@pytest.mark.parametrize(("cell", "nonlinearity"), KINDS)
def test_each_text_of_a_batch_is_the_one_drawn_alone(cell, nonlinearity, embedding_size, choice, prime):
    sampler = Sampler(make_model(cell, nonlinearity, embedding_size, num_layers=2))
    rngs, alone = [[sample_rng(8, k) for k in range(5)] for _ in range(2)]
    together = list(sampler.generate_batch(prime, 30, rngs=rngs, **choice))
    expected = [list(sampler.generate(prime, 30, rng=rng, **choice)) for rng in alone]
    assert [list(text) for text in zip(*together, strict=True)] == expected
    assert [rng.random() for rng in rngs] == [rng.random() for rng in alone]
    assert all(type(id) is int for ids in together for id in ids)


def test_probabilities_of_a_batch_are_those_of_its_columns(rng):
    for _ in range(100):
        logits = rng.integers(-3, 4, (9, 4)) + rng.choice([0.0, 0.25], (9, 4))  # with ties
        choice = {
            "temperature": rng.uniform(0.3, 3),
            "top_k": int(rng.integers(0, 12)) or None,
            "top_p": float(rng.choice([1.0, rng.uniform(0.05, 0.999)])),
        }
        columns = [probabilities(column, **choice) for column in logits.T]
        np.testing.assert_allclose(probabilities(logits, **choice), np.transpose(columns), rtol=1e-14)


def test_one_text_of_a_batch_that_is_not_finite_is_an_error():
    model = make_model()
    model.params["rnn.0.Wx"][2] = np.nan
    rngs = [sample_rng(0, k) for k in range(6)]
    firsts = [next(Sampler(model).generate([], 1, rng=sample_rng(0, k))) for k in range(6)]
    assert firsts.count(2) == 1
    with pytest.raises(FloatingPointError, match="not finite"):
        list(Sampler(model).generate_batch([], 2, rngs=rngs))


def test_batch_without_generators_is_refused():
    with pytest.raises(ValueError, match="rngs is empty"):
        Sampler(make_model()).generate_batch([1], 5, rngs=[])


# --- the distribution


def reference_probabilities(logits, temperature, top_k, top_p):
    """The definition in words, character by character."""
    z = [v / temperature for v in logits]
    order = sorted(range(len(z)), key=lambda v: (-z[v], v))[: top_k or len(z)]
    weight = [np.exp(z[v] - z[order[0]]) for v in order]
    total, reached, kept = sum(weight), 0.0, {}
    for v, w in zip(order, weight, strict=True):
        kept[v] = w
        reached += w / total
        if reached >= top_p and top_p < 1:
            break
    return np.array([kept.get(v, 0.0) for v in range(len(z))]) / sum(kept.values())


def test_probabilities_follow_the_definition(rng):
    for _ in range(300):
        logits = rng.integers(-3, 4, 9) + rng.choice([0.0, 0.25], 9)  # with ties
        temperature, top_k = rng.uniform(0.3, 3), int(rng.integers(0, 12)) or None
        top_p = float(rng.choice([1.0, rng.uniform(0.05, 0.999)]))
        found = probabilities(logits, temperature=temperature, top_k=top_k, top_p=top_p)
        np.testing.assert_allclose(found, reference_probabilities(logits, temperature, top_k, top_p), atol=1e-14)


def test_top_k_keeps_exactly_k_and_of_ties_the_lowest_ids():
    p = probabilities(np.array([1.0, 3.0, 2.0, 2.0, 2.0]), top_k=3)
    assert list(np.flatnonzero(p)) == [1, 2, 3]
    assert list(np.flatnonzero(probabilities(np.zeros(5), top_k=2))) == [0, 1]
    np.testing.assert_array_equal(probabilities(np.arange(4.0), top_k=9), probabilities(np.arange(4.0)))


def test_top_p_keeps_the_smallest_prefix_that_reaches_p():
    even = np.zeros(4)  # sums 0.25 0.5 0.75 1, exactly
    for top_p, kept in ((1e-9, 1), (0.25, 1), (0.26, 2), (0.5, 2), (0.75, 3), (0.76, 4), (1.0, 4)):
        assert list(np.flatnonzero(probabilities(even, top_p=top_p))) == list(range(kept)), top_p
    uneven = np.log([0.1, 0.6, 0.3])
    assert list(np.flatnonzero(probabilities(uneven, top_p=0.61))) == [1, 2]
    np.testing.assert_allclose(probabilities(uneven, top_p=0.61), [0, 2 / 3, 1 / 3])


def test_top_p_is_measured_on_what_top_k_left():
    even = np.zeros(10)
    assert np.count_nonzero(probabilities(even, top_k=4, top_p=0.5)) == 2  # the other order would keep 4


def test_top_p_is_measured_after_the_temperature():
    logits = np.log([0.8, 0.1, 0.1])
    assert np.count_nonzero(probabilities(logits, top_p=0.7)) == 1
    assert np.count_nonzero(probabilities(logits, temperature=50.0, top_p=0.7)) == 3


@pytest.mark.parametrize("temperature", [1e-3, 1e-300, 5e-324])
def test_temperature_towards_zero_becomes_argmax_without_nan_or_warning(temperature):
    logits = np.array([1.0, 5.0, 4.9, -700.0, 2.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(probabilities(logits, temperature=temperature), [0, 1, 0, 0, 0], atol=1e-40)


def test_huge_logits_do_not_overflow():
    np.testing.assert_allclose(probabilities(np.array([1e4, 1e4, -1e4])), [0.5, 0.5, 0])


def test_greedy_takes_the_lowest_of_equal_logits():
    model = make_model()
    model.params.flat[...] = 0.0  # all logits alike
    model.params["decoder.b"][[2, 5]] = 1.0
    assert list(Sampler(model).generate([1], 3, temperature=0, rng=np.random.default_rng(0))) == [2, 2, 2]


def test_draw_is_numpy_choice_bit_for_bit(rng):
    ours, theirs = np.random.default_rng(9), np.random.default_rng(9)
    for _ in range(2000):
        p = rng.dirichlet(np.full(6, 0.3))
        assert draw(p, ours) == theirs.choice(6, p=p)


@pytest.mark.parametrize(("u", "expected"), [(0.0, 1), (0.5, 3), (np.nextafter(1, 0), 3)])
def test_character_of_probability_zero_is_never_drawn(u, expected):
    class Fixed:
        def random(self):
            return u

    assert draw(np.array([0.0, 0.5, 0.0, 0.5, 0.0]), Fixed()) == expected


# --- text


VOCABULARY = Vocabulary("abcdefg")


def test_same_seed_same_text_and_samples_of_a_seed_are_independent():
    model = make_model()

    def text(seed, number):
        return "".join(sample_text(model, VOCABULARY, "ab", n=50, rng=sample_rng(seed, number)))

    series = [text(0, 0), text(0, 1), text(0, 2), text(1, 0), text(2, 0)]
    assert len(set(series)) == len(series)
    assert text(0, 2) == series[2], "a sample must not need those before it"
    assert len(series[0]) == 50


def test_prime_is_read_but_not_returned():
    model = make_model()
    long = "".join(sample_text(model, VOCABULARY, "abc", n=20, temperature=0, rng=sample_rng(0)))
    assert "".join(sample_text(model, VOCABULARY, "abc" + long[:5], n=15, temperature=0, rng=sample_rng(0))) == long[5:]


@pytest.mark.parametrize(
    ("written", "stop", "expected"),
    [
        ("aaabcd", "aab", "aaab"),  # a failed beginning must not hide the match that overlaps it
        ("bcabca", "ca", "bca"),
        ("abcdef", "g", "abcdef"),
        ("abcabc", "c", "abc"),
        ("cbacba", "bc", "cbacba"),
    ],
)
def test_stop_ends_right_after_its_last_character(monkeypatch, written, stop, expected):
    ids = VOCABULARY.encode(written).tolist()
    monkeypatch.setattr(Sampler, "generate", lambda *args, **options: iter(ids))
    assert "".join(sample_text(make_model(), VOCABULARY, "ab", stop=stop, rng=sample_rng(0))) == expected


def test_stop_string_is_not_found_in_the_prime(monkeypatch):
    monkeypatch.setattr(Sampler, "generate", lambda *args, **options: iter(VOCABULARY.encode("cde")))
    assert "".join(sample_text(make_model(), VOCABULARY, "ab", stop="bc", rng=sample_rng(0))) == "cde"


@pytest.mark.parametrize("stop", ["", "xa", "a\n"])
def test_stop_string_that_can_never_come_is_an_error(stop):
    with pytest.raises(TextError, match="stop string"):
        sample_text(make_model(), VOCABULARY, stop=stop, rng=sample_rng(0))


def test_unknown_characters_of_a_prime_raise_at_once_or_are_treated_as_asked(monkeypatch):
    model = make_model(vocab_size=8)
    vocabulary = Vocabulary("abcdefg", unknown="<unk>")
    with pytest.raises(TextError, match="'x'"):
        sample_text(model, vocabulary, "axb", rng=sample_rng(0))
    primes = []
    monkeypatch.setattr(
        Sampler, "generate", lambda self, prime, n, **options: primes.append(prime.tolist()) or iter(())
    )
    for unknown in ("skip", "replace"):
        sample_text(model, vocabulary, "axb", unknown=unknown, rng=sample_rng(0))
    assert primes == [[0, 1], [0, 7, 1]]


def test_unknown_symbol_is_never_written():
    model = make_model(vocab_size=8)
    model.params["decoder.b"][7] += 20
    vocabulary = Vocabulary("abcdefg", unknown="<unk>")
    for number, prime in enumerate(["", "a"] * 10):
        text = "".join(sample_text(model, vocabulary, prime, n=20, rng=sample_rng(0, number)))
        assert len(text) == 20
        assert set(text) <= set("abcdefg")


@pytest.mark.parametrize("stop", [None, "a", "bc"])
def test_texts_of_a_batch_end_each_by_itself(stop):
    model, options = make_model(), {"n": 40, "temperature": 1.3, "top_k": 6, "stop": stop}
    rngs = [sample_rng(0, k) for k in range(4)]
    steps = list(sample_texts(model, VOCABULARY, "ab", rngs=rngs, **options))
    alone = ["".join(sample_text(model, VOCABULARY, "ab", rng=sample_rng(0, k), **options)) for k in range(4)]
    assert ["".join(text) for text in zip(*steps, strict=True)] == alone
    assert len(steps) == max(map(len, alone)), "it goes on after the last text has ended"
    if stop:
        assert len({len(text) for text in alone}) > 1, "one length for all tests nothing"
    with pytest.raises(TextError, match="stop string"):
        sample_texts(model, VOCABULARY, stop="xa", rngs=rngs)


def test_unknown_symbol_is_not_written_in_a_batch_either():
    model = make_model(vocab_size=8)
    model.params["decoder.b"][7] += 20
    vocabulary = Vocabulary("abcdefg", unknown="<unk>")
    steps = sample_texts(model, vocabulary, "ax", unknown="replace", n=20, rngs=[sample_rng(0, k) for k in range(3)])
    assert set(itertools.chain(*steps)) <= set("abcdefg")
