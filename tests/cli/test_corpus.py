"""`minrnn corpus`: the right text in the right place, and nothing overwritten by accident."""

import pytest

from minrnn.cli import corpus as command
from minrnn.text import CORPORA, corpus_text


def test_list_names_every_corpus(call):
    lines = call("corpus", "list").out.splitlines()
    assert [line.split()[0] for line in lines] == list(CORPORA)
    assert all(corpus.description in line for line, corpus in zip(lines, CORPORA.values(), strict=True))


def test_write_to_stdout_is_the_text_and_nothing_else(call):
    result = call("corpus", "write", "embedded-reber", "-n", 300, "--seed", 3)
    assert (result.code, result.err) == (0, "")
    assert result.out == corpus_text("embedded-reber", 300, 3)
    assert call("corpus", "write", "embedded-reber", "-n", 300).out == corpus_text("embedded-reber", 300, 1)
    assert result.out != corpus_text("embedded-reber", 300, 1)


def test_write_to_a_file(call, tmp_path):
    result = call("corpus", "write", "dyck-2", "-n", 50, "-o", tmp_path / "d.txt")
    assert (result.code, result.out) == (0, "")
    assert (tmp_path / "d.txt").read_bytes().decode() == corpus_text("dyck-2", 50)
    assert [entry.name for entry in tmp_path.iterdir()] == ["d.txt"]


def test_existing_file_is_kept_unless_forced(call, refused, tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("precious")
    refused(2, "--force", "corpus", "write", "anbn", "-n", 50, "-o", file)
    assert file.read_text() == "precious"
    assert call("corpus", "write", "anbn", "-n", 50, "-o", file, "--force").code == 0
    assert file.read_text() == corpus_text("anbn", 50)


def test_failure_while_writing_leaves_the_old_file_and_no_other(call, tmp_path, monkeypatch):
    file = tmp_path / "mine.txt"
    file.write_text("precious")

    def fail(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command.os, "replace", fail)
    result = call("corpus", "write", "anbn", "-n", 50, "-o", file, "--force")
    assert result.code == 3
    assert "No space left" in result.err
    assert file.read_text() == "precious"
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("code", "words", "flags"),
    [
        (3, "embedded-reber", ["embeded-reber"]),
        (2, "-n 0", ["anbn", "-n", "0"]),
        (2, "--seed -1", ["anbn", "--seed", "-1"]),
        (2, "--seed | stdlib", ["stdlib", "--seed", "2"]),
        (3, "missing", ["anbn", "-n", "5", "-o", "missing/a.txt"]),
    ],
)
def test_refusals(refused, tmp_path, monkeypatch, code, words, flags):
    monkeypatch.chdir(tmp_path)
    refused(code, words, "corpus", "write", *flags)


def test_action_is_required(call):
    assert call("corpus").code == 2
