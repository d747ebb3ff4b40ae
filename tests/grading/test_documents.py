"""The page for instructors: its files and commands give the outputs that it shows, and it leaves out no choice."""

import argparse
import difflib
import re
import shlex
import subprocess
import sys
from importlib import resources

import pytest

from minrnn.cli import grade
from minrnn.cli.main import main
from minrnn.grading.courses import profile
from minrnn.grading.outcome.result import POLICIES
from minrnn.grading.reference import FAMILIES
from minrnn.grading.report import FORMATS
from minrnn.grading.report.words import CERTAINTY, VERDICTS

TEXT = resources.files("minrnn").joinpath("grading/instructors.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SLOW = "--make-gradescope"  # sets an environment up; its own tests do that
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def steps():
    """What a reader does, in order: ("file", name, text) or ("command", line, the output shown or None)."""
    for language, name, body in BLOCK.findall(TEXT):
        if name:
            yield "file", name, body
        elif language == "console":
            for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
                line, _, output = part.partition("\n")
                yield "command", line, output


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return tmp_path


@pytest.fixture
def run(capsys):
    """run(line): what a command line prints to stdout."""

    def command(line):
        name, *arguments = shlex.split(line)
        if name == "minrnn":
            main(arguments)
            return capsys.readouterr().out
        if name == "python":
            name = sys.executable
            return subprocess.run([name, *arguments], capture_output=True, text=True, check=True, timeout=60).stdout
        return subprocess.run(line, shell=True, capture_output=True, text=True, check=True, timeout=60).stdout

    return command


def test_the_page_shows_what_a_reader_gets(place, run):
    compared = 0
    for kind, what, text in steps():
        if kind == "file":
            (place / what).write_text(text, encoding="utf-8")
        elif SLOW not in what:
            found = run(what)
            lines = [line.rstrip() for line in found.splitlines()]
            shown = [line.rstrip() for line in text.splitlines()]
            assert lines == shown, f"$ {what}\n" + "\n".join(difflib.unified_diff(shown, lines, "page", "real", n=1))
            compared += bool(shown)
    assert compared >= 6
    made = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    assert {"grades.csv", "results/ada.json", "results/summary.json", "elsewhere/ada_hw2.json"} <= made


def options():
    """Every option of `minrnn grade`, by its long name."""
    parser = argparse.ArgumentParser()
    grade.add_arguments(parser)
    return {text for action in parser._actions for text in action.option_strings if text.startswith("--")}


def test_every_option_on_the_page_exists():
    assert len(set(FLAG.findall(TEXT))) > 15
    assert set(FLAG.findall(TEXT)) <= options()


def test_every_option_is_on_the_page():
    assert options() - set(FLAG.findall(TEXT)) == {"--help"}


def first_cells(header):
    """The words in backquotes in the first column of the table with that header."""
    table = re.search(rf"^\| {re.escape(header)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    return [re.findall(r"`([^`]+)`", row.split(" | ")[0]) for row in table[1].splitlines()]


def test_policies_are_those_that_exist_with_their_values_in_order():
    rows = re.findall(r"^\| ((?:`[\w-]+`(?:, )?)+) \| ((?:`[\w-]+`(?:, )?)+) \|", TEXT, re.MULTILINE)
    told = {
        name: tuple(re.findall(r"`([^`]+)`", values))
        for names, values in rows
        for name in re.findall(r"`([^`]+)`", names)
    }
    assert told == POLICIES


def test_formats_are_those_that_exist():
    assert sorted(name for row in first_cells("`--format`") for name in row) == sorted(FORMATS)


def test_families_exist_and_so_do_their_tensors():
    named = [name for row in first_cells("family") for name in row]
    assert len(named) == 12 and set(named) <= set(FAMILIES)


def test_profiles_are_those_that_come_with_the_package():
    listed = re.search(r"These come with minrnn: (.*?)\.", TEXT, re.DOTALL)[1]
    assert [name.strip() for name in listed.split(",")] == profile.builtin()


def test_verdicts_and_certainties_are_in_the_words_of_the_reports():
    words = " ".join([*VERDICTS.values(), *CERTAINTY.values()])
    told = re.search(r"## 5\. .*?(?=^## 6)", TEXT, re.MULTILINE | re.DOTALL)[0]
    emphasised = [" ".join(word.split()) for word in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", told)]
    assert len(emphasised) >= 8
    assert [word for word in emphasised if word not in words] == []


def test_links_lead_somewhere():
    page = resources.files("minrnn").joinpath("grading")
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert links and [link for link in links if not page.joinpath(link).exists()] == []
