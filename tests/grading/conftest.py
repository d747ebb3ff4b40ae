"""What the tests of the grader share: the modules of the corpus of submissions, which lie in a folder of their own."""

import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "corpus"


def corpus_module(name):
    """Import a module of the corpus by its name, as the modules there import each other."""
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="session")
def corpus():
    """The generator of submissions."""
    return corpus_module("corpus")


@pytest.fixture(scope="session")
def styles():
    """The ways of handing in."""
    return corpus_module("styles")


@pytest.fixture(scope="session")
def independent():
    """Runs programs without the grader."""
    return corpus_module("independent")


@pytest.fixture(scope="session")
def courses():
    """The courses by profile."""
    return corpus_module("other_courses").COURSES


@pytest.fixture(scope="session")
def measure():
    """Grades submissions and compares with what is known of them."""
    return corpus_module("measure")
