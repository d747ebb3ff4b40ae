"""Normalisation: what each switch does, and the order they act in."""

import importlib.util
import sys
import unicodedata
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minrnn.text import normalize, normalize_blocks


def test_nothing_happens_unasked():
    text = "E\u0301 Å ß İ\r\n"
    assert normalize(text) == text


def test_nfc_composes_and_lowercase_lowers():
    assert normalize("E\u0301", nfc=True) == "É"
    assert normalize("E\u0301", lowercase=True) == "e\u0301"
    assert normalize("E\u0301", lowercase=True, nfc=True) == "é"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_nfc_holds_after_lower_casing(text):
    result = normalize(text, lowercase=True, nfc=True)
    assert unicodedata.is_normalized("NFC", result)
    assert result == unicodedata.normalize("NFC", text.lower())


def test_ascii_comes_before_lower_case_and_composes_first():
    pytest.importorskip("anyascii")
    assert normalize("É № 你\n", ascii=True) == "E No Ni\n"
    assert normalize("É № 你\n", ascii=True, lowercase=True) == "e no ni\n"
    assert normalize(unicodedata.normalize("NFD", "한글"), ascii=True) == normalize("한글", ascii=True)


def test_a_missing_package_is_named_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "anyascii", None)
    with pytest.raises(ImportError, match=r"anyascii; install it with: python -m pip install 'minrnn\[ascii\]'"):
        normalize("é", ascii=True)
    assert normalize("É", lowercase=True) == "é"  # needs no package


# Blocks.

# Letters that ask for their neighbours: sigma and what it looks past, marks that compose, Hangul, singletons.
touchy = st.sampled_from(
    "ΣΣΣσΑaZ9ʰ'.:·\u00ad\u0301\u0345\u0327\u0338İéEe<=Å각ᆫกำাে가がか\u3099字😀№ \n\r\t\xa0\u2000\u2028\u3000_-"
)
has_anyascii = importlib.util.find_spec("anyascii") is not None
switches = st.fixed_dictionaries(
    {"lowercase": st.booleans(), "nfc": st.booleans(), "ascii": st.booleans() if has_anyascii else st.just(False)}
)


def as_one_piece(text, lowercase, nfc, ascii):
    if ascii:
        text = importlib.import_module("anyascii").anyascii(unicodedata.normalize("NFC", text))
    text = text.lower() if lowercase else text
    return unicodedata.normalize("NFC", text) if nfc else text


@settings(max_examples=2000)
@given(st.lists(st.text(touchy | st.characters(exclude_categories=["Cs"]), max_size=5), max_size=12), switches)
def test_no_cut_into_blocks_changes_the_text(blocks, asked):
    assert "".join(normalize_blocks(blocks, **asked)) == as_one_piece("".join(blocks), **asked)


def test_cuts_before_white_space_and_in_words_are_harmless_for_every_character():
    """All characters there are, beside every kind of border."""
    spaces = [c for c in map(chr, range(0x110000)) if c.isspace()]
    assert len(spaces) >= 25
    for space in spaces:
        for left, right in (("ΑΣ", "Α"), ("Α", "Σ"), ("ΑΣ'", ".Α"), ("ᄀ", "ᅡ"), ("e", "\u0301"), ("か", "\u3099")):
            asked = {"lowercase": True, "nfc": True}
            pair = [left, space + right]
            assert "".join(normalize(part, **asked) for part in pair) == normalize("".join(pair), **asked)
    assigned = [c for c in map(chr, range(0x110000)) if unicodedata.category(c) not in ("Cn", "Co", "Cs") and c != "\n"]
    for first in range(0, len(assigned), 5000):
        every = assigned[first : first + 5000]
        for change in (str.lower, partial(unicodedata.normalize, "NFC")):
            for left, right in (("{}Σa", "aΣ"), ("aΣ9", "9{}Σ"), ("{}a", "Z{}"), ("aΣ", " {}Σ"), ("{}", " {}a")):
                lefts, rights = ("\n".join(side.replace("{}", c) for c in every) for side in (left, right))
                whole = change("\n".join((left + right).replace("{}", c) for c in every))
                parts = zip(change(lefts).split("\n"), change(rights).split("\n"), strict=True)
                assert "\n".join(map("".join, parts)) == whole


def test_pieces_are_passed_on_as_soon_as_there_is_a_border():
    blocks = iter(["ΟΔΟΣ ΟΔΟ", "Σ", " x", "abc", "de\u0301"])
    pieces = normalize_blocks(blocks, lowercase=True, nfc=True)
    assert next(pieces) == "οδος" and next(blocks) == "Σ"
    assert list(pieces) == [" οδο", " xab", "cd", "é"]
