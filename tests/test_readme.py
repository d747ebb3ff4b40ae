"""What the README shows of `minrnn grade` is what the command prints; the courses that it names are those there are."""

import contextlib
import io
import re
from pathlib import Path

import pytest

import minrnn
from minrnn.cli.main import main
from minrnn.grading.courses import profile

ROOT = Path(minrnn.__file__).parents[1]
README = ROOT / "README.md"
pytestmark = pytest.mark.skipif(not README.is_file(), reason="not run from a checkout")


def section(title):
    return README.read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_report_is_the_one_that_the_commands_give(tmp_path, monkeypatch):
    shown = re.search(r"```console\n(.*?)```", section("Grading"), re.DOTALL)[1]
    edit, command, report = re.fullmatch(r"\$ sed (.*?) > hw\.py\n\$ minrnn (.*?)\n(.*)", shown, re.DOTALL).groups()
    old, new, source = re.fullmatch(r"'s/(.*?)/(.*?)/' (\S+)", edit).groups()
    assert "." not in old + new and "*" not in old + new, "the text is what sed would look for"
    monkeypatch.chdir(tmp_path)
    Path("hw.py").write_text((ROOT / source).read_text().replace(old, new))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(command.split()) == 1
    assert printed.getvalue() == report


def test_all_courses_are_named():
    assert set(re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)*)`", section("Grading"))) >= set(profile.builtin())
