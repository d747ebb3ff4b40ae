"""Vocabulary: a bijection, fast, exact about what it does not know."""

import json
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minrnn.text import TextError, Vocabulary, count_characters
from minrnn.text.vocabulary import BLOCK

characters = st.characters(exclude_categories=["Cs"])
texts = st.text(characters, min_size=1)


@given(texts)
def test_decode_reverses_encode(text):
    vocabulary = Vocabulary.from_text(text)
    ids = vocabulary.encode(text)
    assert ids.shape == (len(text),)
    assert vocabulary.decode(ids) == text


@given(texts)
def test_ids_follow_code_points_and_each_is_used(text):
    vocabulary = Vocabulary.from_text(text)
    assert list(vocabulary.symbols) == sorted(set(text), key=ord)
    assert len(vocabulary) == len(set(text))
    assert sorted(set(vocabulary.encode(text).tolist())) == list(range(len(vocabulary)))


@given(texts, texts)
def test_encode_agrees_with_a_dictionary(text, other):
    vocabulary = Vocabulary.from_text(text, unknown="<unk>")
    index = {character: i for i, character in enumerate(vocabulary.characters)}
    unknown = len(index)
    assert vocabulary.unknown_id == unknown == len(vocabulary) - 1
    assert vocabulary.encode(other, "replace").tolist() == [index.get(c, unknown) for c in other]
    assert vocabulary.encode(other, "skip").tolist() == [index[c] for c in other if c in index]


@given(texts, st.none() | st.just("<unk>"))
def test_json_round_trip(text, unknown):
    vocabulary = Vocabulary.from_text(text, unknown=unknown)
    again = Vocabulary.from_json(vocabulary.to_json())
    assert again == vocabulary
    assert hash(again) == hash(vocabulary)
    assert again.encode(text).tolist() == vocabulary.encode(text).tolist()
    assert vocabulary.to_json().isascii()


def test_blocks_join_without_a_seam():
    text = "".join(chr(97 + i % 26) for i in range(3 * BLOCK + 5))
    text = text[: 2 * BLOCK] + "é" + text[2 * BLOCK :]
    vocabulary = Vocabulary.from_text(text)
    assert vocabulary.decode(vocabulary.encode(text)) == text
    with pytest.raises(TextError, match=f"'é' .* at index {2 * BLOCK} "):
        Vocabulary.from_text("abcdefghijklmnopqrstuvwxyz").encode(text)


@pytest.mark.parametrize(
    ("size", "unknown", "dtype"),
    [
        (255, None, np.uint8),
        (256, None, np.uint16),  # one value is kept free for what is not in the vocabulary
        (255, "<unk>", np.uint8),
        (256, "<unk>", np.uint16),
        (65_535, None, np.uint16),
        (65_536, None, np.uint32),
        (100_000, None, np.uint32),
    ],
)
def test_the_last_id_fits_its_type(size, unknown, dtype):
    text = "".join(chr(i) for i in range(0x10000, 0x10000 + size))
    vocabulary = Vocabulary.from_text(text, unknown=unknown)
    ids = vocabulary.encode(text + ("a" if unknown else ""), "replace" if unknown else "error")
    assert ids.dtype == dtype
    assert ids.tolist() == list(range(size + (unknown is not None)))


def test_min_freq_and_max_size_keep_the_most_frequent():
    text = "cccbbaaade"
    assert Vocabulary.from_text(text, min_freq=2, unknown="?").characters == "abc"
    assert Vocabulary.from_text(text, min_freq=3, unknown="?").characters == "ac"
    assert Vocabulary.from_text(text, max_size=2, unknown="?").characters == "ac"
    assert Vocabulary.from_text(text, max_size=4, unknown="?").characters == "abcd"  # d and e tie: smaller code point
    assert Vocabulary.from_text("ba" * 3 + "z" * 9, max_size=2, unknown="?").characters == "az"
    assert Vocabulary.from_text(text, max_size=5).characters == "abcde"  # nothing left out: no unknown symbol needed
    kept = Vocabulary.from_text(text, min_freq=2, max_size=1, unknown="?")
    assert (kept.symbols, kept.encode(text, "replace").tolist()) == (("a", "?"), [1] * 5 + [0] * 3 + [1] * 2)


def test_leaving_characters_out_needs_an_unknown_symbol():
    with pytest.raises(ValueError, match=r"min_freq=2 .* leave out 2 of 5 characters.*unknown='<unk>'"):
        Vocabulary.from_text("cccbbaaade", min_freq=2)
    with pytest.raises(ValueError, match="at least 1"):
        Vocabulary.from_text("abc", min_freq=0)
    with pytest.raises(ValueError, match="at least 1"):
        Vocabulary.from_text("abc", max_size=0)
    with pytest.raises(TextError, match="at least one character"):
        Vocabulary.from_text("abc", min_freq=2, unknown="<unk>")


def test_the_unknown_symbol_never_collides_with_a_character():
    vocabulary = Vocabulary("<unk>", unknown="<unk>")  # five characters and the symbol
    assert len(vocabulary) == 6
    assert vocabulary.encode("<unk>").tolist() == [vocabulary.characters.index(c) for c in "<unk>"]
    assert vocabulary.decode([vocabulary.unknown_id, 0]) == "<unk><"
    for unknown in ("u", ""):
        with pytest.raises(ValueError, match="must not be empty or a character"):
            Vocabulary("<unk>", unknown=unknown)


def test_an_unknown_character_is_named_with_place_and_fix():
    vocabulary = Vocabulary("abc")
    with pytest.raises(TextError) as caught:
        vocabulary.encode("abcébaü")
    assert str(caught.value) == (
        "'é' (U+00E9) at index 3 is not in the vocabulary of 3 characters (also missing: 'ü'); "
        "leave such characters out with unknown='skip'"
    )
    with pytest.raises(TextError, match=r"U\+1F600.*or read them as '<unk>' with unknown='replace'"):
        Vocabulary("abc", unknown="<unk>").encode("😀")
    with pytest.raises(TextError, match=r"\(also missing: 'e' 'f' 'g' 'h' 'i' and 2 more\)"):
        vocabulary.encode("dkjihgfe")
    with pytest.raises(TextError, match=r"'\\x00' \(U\+0000\) at index 0"):
        vocabulary.encode("\0")


def test_a_character_beyond_the_table_is_unknown_too():
    vocabulary = Vocabulary("ab")
    wrapped = chr(ord("a") + len(vocabulary._table))  # would be found as "a" if the table were read in circles
    for far in ("c", "d", "é", "字", "\U0010ffff", wrapped):
        assert vocabulary.encode(f"a{far}b", "skip").tolist() == [0, 1]


def test_unknown_policies_are_checked():
    with pytest.raises(ValueError, match="no unknown symbol"):
        Vocabulary("ab").encode("ab", "replace")
    with pytest.raises(ValueError, match="'error', 'skip' or 'replace'"):
        Vocabulary("ab").encode("ab", "ignore")


def test_a_lone_surrogate_is_an_error_with_its_place():
    text = "a" * (BLOCK + 2) + "\ud800"
    for call in (Vocabulary.from_text, Vocabulary("a").encode, Vocabulary):
        with pytest.raises(TextError, match=r"U\+D800 at index"):
            call(text)
    with pytest.raises(TextError, match=f"index {BLOCK + 2} "):
        Vocabulary("a", unknown="<unk>").encode(text, "replace")


def test_decode_refuses_what_is_no_id():
    vocabulary = Vocabulary("ab")
    assert vocabulary.decode([]) == ""
    assert vocabulary.decode(np.array([[0, 1], [1, 0]])) == "abba"
    for ids in ([2], [0, -1], np.array([255], np.uint8)):
        with pytest.raises(ValueError, match="outside the vocabulary, 0 to 1"):
            vocabulary.decode(ids)
    with pytest.raises(ValueError, match="integers"):
        vocabulary.decode([0.0, 1.0])


def test_an_empty_text_has_no_vocabulary_but_an_empty_encoding():
    with pytest.raises(TextError, match="at least one character"):
        Vocabulary.from_text("")
    assert Vocabulary("ab").encode("").tolist() == []


def test_vocabularies_differ_by_characters_and_unknown_symbol():
    assert Vocabulary("ba") == Vocabulary("ab")
    assert Vocabulary("ab") != Vocabulary("abc")
    assert Vocabulary("ab") != Vocabulary("ab", unknown="<unk>")
    assert Vocabulary("ab") != "ab"


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "{",
        "[]",
        "null",
        json.dumps({"characters": "ab"}),
        json.dumps({"characters": ["a", "b"], "unknown": None}),
        json.dumps({"characters": "ba", "unknown": None}),
        json.dumps({"characters": "aab", "unknown": None}),
        json.dumps({"characters": "", "unknown": "<unk>"}),
        json.dumps({"characters": "ab", "unknown": "a"}),
        json.dumps({"characters": "ab", "unknown": 3}),
        json.dumps({"characters": "ab\ud800", "unknown": None}),
    ],
)
def test_a_damaged_vocabulary_is_refused(stored):
    with pytest.raises(TextError, match="the stored vocabulary is damaged"):
        Vocabulary.from_json(stored)


def test_encode_is_a_table_look_up_not_a_python_loop():
    text = "to be, or not to be: that is the question\n" * 50_000  # 2.1 M characters: about 5 ms; a loop takes 100
    vocabulary = Vocabulary.from_text(text)
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    start = time.perf_counter()
    vocabulary.encode(text)
    elapsed = time.perf_counter() - start
    sys.setprofile(None)
    assert calls < len(text) / 100  # some for each block, none for each character
    assert elapsed < 0.5


# Blocks.


@given(st.lists(st.text(st.sampled_from("abcé字😀"), max_size=4), min_size=1, max_size=6), st.data())
def test_no_cut_into_blocks_changes_ids_or_errors(blocks, data):
    text = "".join(blocks)
    vocabulary = Vocabulary("a" + data.draw(st.text(st.sampled_from("bcé字😀"))), unknown="<unk>")

    def outcome(encode, *arguments):
        try:
            ids = encode(*arguments)
            return [int(i) for part in ids for i in np.atleast_1d(part)]
        except TextError as error:
            return str(error)

    for unknown in ("error", "skip", "replace"):
        expected = outcome(vocabulary.encode, text, unknown)
        assert outcome(lambda u: list(vocabulary.encode_blocks(blocks, u)), unknown) == expected
    assert np.array_equal(count_characters(blocks), count_characters([text]))


def test_what_is_missing_is_named_from_all_blocks_and_placed_in_the_whole_text():
    with pytest.raises(TextError, match=r"^'ü' \(U\+00FC\) at index 4 is not .* \(also missing: 'é' 'ö'\)"):
        list(Vocabulary("abc").encode_blocks(["ab", "caüéü", "b", "öü"]))
    with pytest.raises(TextError, match=r"U\+D800 at index 5 "):
        list(Vocabulary("abc").encode_blocks(["ab", "c", "ab\ud800"]))


def test_counts_are_of_code_points_and_make_the_same_vocabulary():
    counts = count_characters(["abé", "", "b😀b"])
    assert counts.sum() == 6
    assert {chr(c): int(counts[c]) for c in np.flatnonzero(counts)} == {"a": 1, "b": 3, "é": 1, "😀": 1}
    assert Vocabulary.from_counts(counts) == Vocabulary.from_text("abéb😀b")
    limits = {"min_freq": 2, "max_size": 3, "unknown": "<unk>"}
    assert Vocabulary.from_counts(counts, **limits) == Vocabulary("b", unknown="<unk>")


@pytest.mark.parametrize("size", [255, 256, 65_535, 65_536])
def test_id_type_is_that_of_the_ids_also_where_there_are_none(size):
    vocabulary = Vocabulary("".join(map(chr, range(0x10000, 0x10000 + size))))
    assert vocabulary.encode("").dtype == vocabulary.encode("\U00010000").dtype == vocabulary.id_type
    assert vocabulary.id_type == {255: np.uint8, 256: np.uint16, 65_535: np.uint16, 65_536: np.uint32}[size]
