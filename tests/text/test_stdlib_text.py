"""The standard library as a text: order, characters, digest, missing files."""

import hashlib
import platform

import pytest

from minrnn.text import TextError, stdlib_text
from minrnn.text.stdlib_text import MODULES


def test_modules_are_gathered_in_order_and_made_printable(tmp_path):
    (tmp_path / "uuid.py").write_bytes(b"u = 1\r\nv = '\xc3\xa9'\r")
    (tmp_path / "ast.py").write_bytes(b"\ta\x00~\x7f\n")
    (tmp_path / "other.py").write_bytes(b"not a part of the recipe\n")
    text, modules, sha256 = stdlib_text(tmp_path)
    assert text == "\ta?~?\nu = 1\nv = '?'\n"
    assert modules == ("ast", "uuid")
    assert sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_a_python_without_sources_is_an_error(tmp_path):
    with pytest.raises(TextError, match="holds no Python sources"):
        stdlib_text(tmp_path)


def test_the_recipe_has_25_modules_in_the_order_of_their_names():
    assert len(MODULES) == len(set(MODULES)) == 25
    assert list(MODULES) == sorted(MODULES)


def test_the_running_python_has_a_text_of_the_expected_size():
    text, modules, _ = stdlib_text()
    if modules != MODULES:
        pytest.skip("this Python ships without some sources")
    assert 1_400_000 < len(text) < 2_200_000
    assert set(text) <= {"\n", "\t", *map(chr, range(32, 127))}


@pytest.mark.skipif(platform.python_version() != "3.11.7", reason="the digest belongs to one release")
def test_the_text_of_one_release_has_its_known_digest():
    text, _, sha256 = stdlib_text()
    assert (len(text), sha256[:8]) == (1_659_519, "207b68d2")
