"""The list of features: every test and every path that it names exists, and every row names something or is open.

Not tested here: that the tests show what the list says they show.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "scripts/reproduce/features.md").read_text(encoding="utf-8")
TESTS = sorted(set(re.findall(r"(tests/[\w/]+\.py)::(\w+)", TEXT)))  # without what stands in brackets
PATHS = sorted(set(re.findall(r"(?:scripts|tests)/[\w/.-]*\w", TEXT)))
ROWS = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| feature of")]


def test_the_list_is_found():
    assert len(TESTS) > 50 and len(PATHS) > 20 and len(ROWS) > 100


@pytest.mark.parametrize(("file", "name"), TESTS)
def test_named_test_exists(file, name):
    module = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in module.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("path", PATHS)
def test_named_path_exists(path):
    assert (ROOT / path).is_file()


def test_every_row_names_what_shows_it_or_says_why_it_is_open():
    for row in ROWS:
        _, feature, shown, _ = row.split("|")
        assert feature.strip() and re.search(r"`(tests/.*::|scripts/|minrnn )|open: \w", shown), row
