"""Exactly solvable sources: known texts, true costs, closed forms."""

import hashlib
import math
import re
from collections import Counter, defaultdict

import numpy as np
import pytest

from minrnn.text import SOURCES
from minrnn.text.sources import dyck_rate, markov_rate, markov_table

BIT = math.log(2)
# name: first 40 characters, mean cost of all 100,000 in nats, first 12 digits of the SHA-256; seed 1.
KNOWN = {
    "reber": ("BTXSEBTSSXSEBTSXXVPXVPSEBPTTVVEBTSSSSSSS", 0.519784, "a50eb4ddb0ab"),
    "embedded-reber": ("BTBPVPXTVVETEBTBTXXVPXVPSETEBPBTSXSEPEBT", 0.404507, "d9346cbe8d38"),
    "even-process": ("0111100011110011011001101111001111000000", 0.461775, "13f1fa265d5c"),
    "golden-mean": ("1010111101011101101110110101110101111111", 0.461775, "e33292a47961"),
    "dyck-2": ("[]([]()[()][]())((()()()()[]))[]()\n\n[][]", 0.890847, "8c5b3c692adf"),
    "dyck-2-deep": ("[]([]()[()[]()](((()()()[]))[]()))[][]\n\n", 0.944725, "0ba18332cb60"),
    "anbn": ("aabb\naaaaaaaaabbbbbbbbb\naaaaaaabbbbbbb\na", 0.229229, "0697257c8caa"),
    "copy": ("abbaa#abbaa\nabbaa#abbaa\nbabaa#babaa\nbabb", 0.288827, "b6784097750a"),
    "markov-1": ("adbbdbdbaadbdabdadbaabdbbcabcabbbcaadbda", 1.117674, "1e3bc5e1322c"),
    "markov-2": ("addbccddbacbdacbcddbacbcaaaabacbccdadcda", 0.960261, "db8360d72a1f"),
    "markov-3": ("acbacadcbacadbcbbddaabbaaaaabacadcccbdcb", 0.735904, "eb2aa7ca610b"),
}
RATES = {  # nats, from the formulas in bits
    "reber": 6 / 8 * BIT,
    "embedded-reber": 7 / 12 * BIT,
    "even-process": 2 / 3 * BIT,
    "golden-mean": 2 / 3 * BIT,
    "dyck-2": 9 / 7 * BIT,
    "dyck-2-deep": 15 / 11 * BIT,
    "anbn": 0.227456,
    "copy": 5 / 12 * BIT,
    "markov-1": 1.118719,
    "markov-2": 0.958715,
    "markov-3": 0.735507,
}


def test_the_tables_cover_every_source():
    assert set(KNOWN) == set(RATES) == set(SOURCES)
    assert all(name == source.name and source.description for name, source in SOURCES.items())


@pytest.mark.parametrize("name", SOURCES)
def test_seed_1_gives_the_known_text_and_cost(name):
    text, costs = SOURCES[name].generate(100_000, 1)
    begins, optimum, sha256 = KNOWN[name]
    assert text[:40] == begins
    assert hashlib.sha256(text.encode()).hexdigest()[:12] == sha256
    assert costs.shape == (100_000,)
    assert costs.mean() == pytest.approx(optimum, abs=6e-7)


@pytest.mark.parametrize("name", SOURCES)
def test_the_entropy_rate_is_the_expected_cost(name):
    source = SOURCES[name]
    assert source.entropy_rate == pytest.approx(RATES[name], abs=6e-7)
    means = [source.generate(40_000, seed)[1].mean() for seed in range(2, 8)]
    error = np.std(means, ddof=1) / math.sqrt(len(means))
    assert abs(np.mean(means) - source.entropy_rate) < 5 * error + 1e-3


@pytest.mark.parametrize("name", SOURCES)
def test_a_shorter_text_is_the_beginning_of_a_longer_one(name):
    text, costs = SOURCES[name].generate(1000, 5)
    start, first = SOURCES[name].generate(137, 5)
    assert text.startswith(start)
    assert np.array_equal(costs[:137], first)
    assert SOURCES[name].generate(1000, 6)[0] != text


# Where the source starts anew: there, the past no longer matters.
RESET = {"reber": "(?<=E)", "embedded-reber": "(?<=[TP]E)", "even-process": "(?<=0)", "golden-mean": "(?<=1)"}


def contexts_of(name, text):
    """For every character, the part of its past that decides its distribution."""
    if name.startswith("markov-"):
        order = int(name[-1])
        padded = "a" * order + text
        return [padded[i : i + order] for i in range(len(text))]
    strings = re.split(RESET.get(name, "(?<=\n)"), text)
    return [string[:i] for string in strings for i in range(len(string))]


@pytest.mark.parametrize("name", SOURCES)
def test_a_cost_belongs_to_its_own_character(name):
    """exp(-cost) is how often the character follows its context; a cost that is a place off is caught here."""
    text, costs = SOURCES[name].generate(100_000, 3)
    follows, stated = defaultdict(Counter), defaultdict(set)
    for context, character, cost in zip(contexts_of(name, text), text, costs, strict=True):
        follows[context][character] += 1
        stated[context, character].add(float(cost))
    checked = 0
    for context, counts in follows.items():
        total = sum(counts.values())
        for character, count in counts.items():
            (cost,) = stated[context, character]
            p = math.exp(-cost)
            assert abs(count / total - p) < 5 * math.sqrt(p * (1 - p) / total) + 1 / total, (context, character)
            checked += total > 1000
    assert checked >= 3


def test_embedded_reber_strings_repeat_their_outer_letter():
    text, _ = SOURCES["embedded-reber"].generate(50_000, 4)
    strings = re.split(RESET["embedded-reber"], text)[:-1]
    assert len(strings) > 3000
    assert all(re.fullmatch(r"B([TP])B(T|P)[TSXPV]+E\1E", string) for string in strings)
    assert {string[1] for string in strings} == {"T", "P"}


def test_anbn_and_copy_and_dyck_are_well_formed():
    for line in SOURCES["anbn"].generate(20_000, 4)[0].split("\n")[:-1]:
        assert line
        assert line == "a" * (len(line) // 2) + "b" * (len(line) // 2)
    for line in SOURCES["copy"].generate(20_000, 4)[0].split("\n")[:-1]:
        assert len(line) == 11
        assert line[:5] == line[6:]
    for name, depth in (("dyck-2", 3), ("dyck-2-deep", 5)):
        deepest = 0
        for line in SOURCES[name].generate(20_000, 4)[0].split("\n")[:-1]:
            open_brackets = []
            for c in line:
                if c in "([":
                    open_brackets.append(c)
                else:
                    assert open_brackets.pop() + c in ("()", "[]")
                deepest = max(deepest, len(open_brackets))
            assert not open_brackets
        assert deepest == depth


def test_the_markov_table_is_the_frozen_one():
    table = markov_table(3, 4, 0.3)
    assert table.shape == (64, 4)
    assert table[0] == pytest.approx([0.306849, 0.419436, 0.129484, 0.144231], abs=5e-7)


@pytest.mark.parametrize(
    ("order", "size", "alpha", "nats"), [(1, 4, 1.0, 1.118719), (2, 4, 0.5, 0.958715), (3, 8, 0.2, 1.069650)]
)
def test_the_markov_rate_weighs_contexts_by_their_stationary_share(order, size, alpha, nats):
    assert markov_rate(order=order, size=size, alpha=alpha) == pytest.approx(nats, abs=5e-7)
    # The same from powers of the transition matrix.
    table = markov_table(order, size, alpha)
    share = np.full(len(table), 1 / len(table))
    for _ in range(2000):
        new = np.zeros_like(share)
        for context in range(len(table)):
            for symbol in range(size):
                new[(context * size + symbol) % len(table)] += share[context] * table[context, symbol]
        if np.abs(new - share).max() < 1e-13:
            break
        share = new
    assert -share @ (table * np.log(table)).sum(axis=1) == pytest.approx(nats, abs=5e-7)


@pytest.mark.parametrize(
    ("kinds", "depth", "p", "bits"),
    [(2, 3, 0.5, 9 / 7), (2, 5, 0.5, 15 / 11), (2, 10, 0.5, 10 / 7), (1, 5, 0.5, 10 / 11), (2, 4, 0.4, 1.306624)],
)
def test_the_dyck_rate_counts_the_forced_steps(kinds, depth, p, bits):
    assert dyck_rate(kinds=kinds, depth=depth, p=p) / BIT == pytest.approx(bits, abs=6e-7)
