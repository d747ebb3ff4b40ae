"""The list of wrong edits is in order, and the script that applies them tells a noticed one from a survivor.

Applying the list itself takes minutes and is done by `python scripts/mutants.py`, not here.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def mutants(monkeypatch):
    """The script as a module of its own."""
    spec = importlib.util.spec_from_file_location("mutants", ROOT / "scripts" / "mutants.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "mutants", module)
    spec.loader.exec_module(module)
    return module


def test_every_edit_still_fits_the_source(mutants):
    edits = mutants.read_list(mutants.LIST.read_text(encoding="utf-8"))
    for edit in edits:
        edit.apply((ROOT / edit.file).read_text(encoding="utf-8"))
        for path in edit.tests:
            assert (ROOT / path).exists(), f"{edit} is to be noticed by {path}, which does not exist"
    assert len(set(edits)) == len(edits) >= 60


@pytest.mark.parametrize(
    "text",
    [
        "a.py :: 1 :: 2",
        "[tests]\na.py :: 1",
        "[tests]\na.py :: 1 :: 2 :: 3",
        "[tests]\na.py :: 1 :: ",
        "[]\na.py :: 1 :: 2",
    ],
    ids=["no tests", "no new text", "too many parts", "empty new text", "empty tests"],
)
def test_malformed_line_is_named(mutants, text):
    with pytest.raises(mutants.ListError, match=f"line {len(text.splitlines())}:"):
        mutants.read_list(text)


def test_slices_and_comments_are_read_as_they_are(mutants):
    (edit,) = mutants.read_list("# words :: of :: advice\n\n[tests/a.py tests/b]\nm.py :: x[::-1]  # twice :: x\n")
    assert edit == mutants.Mutant("m.py", "x[::-1]  # twice", "x", ("tests/a.py", "tests/b"))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("z = 3", "z = 4", "occurs 0 times"),
        ("x = 1", "x = 2", "occurs 2 times"),
        ("y = 2", "y = 2", "changes nothing"),
        ("y = 2", "y = = 2", "not Python"),
    ],
)
def test_edit_that_cannot_be_judged_is_refused(mutants, old, new, reason):
    with pytest.raises(mutants.ListError, match=reason):
        mutants.Mutant("m.py", old, new, ("tests",)).apply("x = 1\nx = 1\ny = 2\n")


@pytest.fixture
def project(mutants, monkeypatch, tmp_path):
    """A project of one line with one test; run(edit) applies the edit with the script and returns its exit code."""
    files = {
        "minrnn/__init__.py": "VALUE = 1\nUNTESTED = 1\n",
        "tests/test_value.py": "from minrnn import VALUE\n\ndef test_value():\n    assert VALUE == 1\n",
        "conftest.py": "from hypothesis import settings\n\nsettings.register_profile('mutants')\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    monkeypatch.setattr(mutants, "LIST", tmp_path / "list.txt")
    monkeypatch.setattr(sys, "argv", ["mutants.py"])

    def run(edit):
        (tmp_path / "list.txt").write_text(f"[tests]\n{edit}\n")
        code = mutants.main()
        assert {name: (tmp_path / name).read_text() for name in files} == files, "the project itself was edited"
        return code

    return run


def test_noticed_edit(project, capsys):
    assert project("minrnn/__init__.py :: VALUE = 1 :: VALUE = 2") == 0
    assert "test_value.py::test_value" in capsys.readouterr().out


def test_survivor_is_reported(project, capsys):
    assert project("minrnn/__init__.py :: UNTESTED = 1 :: UNTESTED = 2") == 1
    assert "not noticed: minrnn/__init__.py: UNTESTED = 1" in capsys.readouterr().out


def test_edit_that_only_breaks_the_import_does_not_count(project, capsys):
    """Any test would notice that much: it says nothing about the suite."""
    assert project("minrnn/__init__.py :: UNTESTED = 1 :: UNTESTED = 1 / 0") == 1
    assert "BROKEN" in capsys.readouterr().out


def test_unmodified_project_must_pass_first(project, capsys, tmp_path):
    (tmp_path / "tests" / "test_red.py").write_text("def test_red():\n    assert False\n")
    assert project("minrnn/__init__.py :: VALUE = 1 :: VALUE = 2") == 2
    assert "must pass first" in capsys.readouterr().err
