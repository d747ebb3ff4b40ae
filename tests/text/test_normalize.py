"""Normalisation: what each switch does, and the order they act in."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minrnn.text import normalize


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
