"""Named corpora: the list, the generated ones, and downloads without a network."""

import hashlib
import logging
import sys
import types

import pytest

from minrnn.text import CORPORA, SOURCES, TextError, corpus_text, stdlib_text
from minrnn.text.corpora import DEFAULT_LENGTH, download

TEXT = "Come, night.\r\n"
SHA256 = hashlib.sha256(TEXT.encode()).hexdigest()


@pytest.fixture
def fake_pooch(monkeypatch, tmp_path):
    """A stand-in for pooch: `calls` records the requests, `result` is a path to return or an error to raise."""
    fake = types.ModuleType("pooch")
    fake.calls = []
    fake.result = tmp_path / "cached.txt"
    fake.result.write_bytes(TEXT.encode())
    fake.get_logger = lambda: logging.getLogger("fake pooch")
    fake.os_cache = lambda name: tmp_path / name

    def retrieve(url, known_hash, fname, path):
        fake.calls.append((url, known_hash, fname, path))
        if isinstance(fake.result, Exception):
            raise fake.result
        return str(fake.result)

    fake.retrieve = retrieve
    monkeypatch.setitem(sys.modules, "pooch", fake)
    return fake


def test_the_list_names_every_kind():
    assert {corpus.kind for corpus in CORPORA.values()} == {"generated", "built-in", "download"}
    assert set(SOURCES) < set(CORPORA)
    for name, corpus in CORPORA.items():
        assert corpus.name == name
        assert corpus.size
        assert corpus.description


def test_generated_corpora_are_those_of_the_sources():
    assert corpus_text("anbn", 500, seed=7) == SOURCES["anbn"].generate(500, 7)[0]
    assert corpus_text("anbn") == SOURCES["anbn"].generate(DEFAULT_LENGTH, 1)[0]


def test_the_standard_library_can_be_cut():
    assert corpus_text("stdlib") == stdlib_text().text
    assert corpus_text("stdlib", 99) == stdlib_text().text[:99]


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(TextError, match="no corpus named 'tinyshakespear'; did you mean 'tinyshakespeare'"):
        corpus_text("tinyshakespear")
    with pytest.raises(TextError, match=r"choose from .*anbn"):
        corpus_text("xyzzy")
    with pytest.raises(ValueError, match="n=0 must be at least 1"):
        corpus_text("anbn", 0)


@pytest.mark.parametrize("name", [c.name for c in CORPORA.values() if c.kind == "download"])
def test_downloads_ask_for_a_checksum_and_keep_the_file_in_the_cache(name, fake_pooch, tmp_path):
    assert corpus_text(name) == TEXT  # bytes unchanged, line ends included
    assert corpus_text(name, 4) == "Come"
    url, known_hash, fname, path = fake_pooch.calls[0]
    assert url.startswith("http")
    algorithm, digest = known_hash.split(":")
    assert (algorithm, len(bytes.fromhex(digest))) == ("sha256", 32)
    assert (fname, path) == (f"{name}.txt", tmp_path / "minrnn")


def test_no_network_and_a_changed_file_are_told_apart(fake_pooch):
    fake_pooch.result = ConnectionError("no route")
    with pytest.raises(TextError, match=r"could not be downloaded from https?://\S+ \(no route\)"):
        corpus_text("timemachine")
    fake_pooch.result = ValueError("hash does not match")
    with pytest.raises(TextError, match="is not the timemachine of SHA-256 8424dbd9532a"):
        corpus_text("timemachine")


def test_a_missing_package_is_named_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"pooch; install it with: python -m pip install 'minrnn\[data\]'"):
        corpus_text("tinyshakespeare")


def test_with_the_real_pooch_a_good_file_is_kept_and_a_wrong_one_refused(monkeypatch, tmp_path):
    pooch = pytest.importorskip("pooch")
    sent = []

    def send(url, output_file, pooch_instance):
        sent.append(url)
        with open(output_file, "w", newline="") as file:
            file.write(TEXT)

    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / name)
    monkeypatch.setattr(pooch.core, "choose_downloader", lambda url, progressbar=False: send)
    for _ in range(2):  # the second time from the cache
        path = download("night", "https://example.org/night.txt", SHA256)
        assert path.read_bytes() == TEXT.encode()
    assert sent == ["https://example.org/night.txt"]
    with pytest.raises(TextError, match="it was cut short or has changed"):
        download("day", "https://example.org/day.txt", "0" * 64)
    assert not (tmp_path / "minrnn" / "day.txt").exists()


@pytest.mark.parametrize("name", ["tinyshakespeare", "timemachine"])
def test_the_checksum_is_that_of_the_known_text(name, public_corpus):
    text = public_corpus(f"{name}.txt")
    *_, sha256 = CORPORA[name].read.args
    assert hashlib.sha256(text.encode()).hexdigest() == sha256
    assert CORPORA[name].size == f"{len(text):,}"
