"""What the tests of the grader share: right submissions that are spoilt and graded, and the modules of the corpus."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from minrnn.grading.courses import profile
from minrnn.grading.judging import judge
from minrnn.grading.loading import submission
from minrnn.grading.sandbox import Limits

FOLDER = Path(__file__).parent / "corpus"
RIGHT = Path(__file__).parent / "right"
SEEDS = [11, 12, 13]
QUICK = Limits(wall_s=60, cpu_s=60)


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


@pytest.fixture(scope="session")
def grade():
    """grade(path, profile, groups) -> results by function, of the groups that are named or of all."""

    def run(path, name="cs231n-a3", groups=(), **options):
        course = profile.read(name)
        if groups:
            course = replace(course, functions=tuple(f for f in course.functions if f.group in groups))
        wanted = {function.owner or function.name for function in course.functions}
        work = submission.load(path, wanted=wanted, allow=course.modules)
        options = {"limits": QUICK, "sandbox": "none", "seeds": SEEDS, **options}
        result = judge.grade(work, course, **options)
        assert result.errors == []
        assert [f.name for f in result.functions] == [f.name for f in course.functions]
        result.to_dict()
        return {function.name: function for function in result.functions}

    return run


@pytest.fixture
def spoilt(tmp_path, grade):
    """spoilt((old, new), …, course=…, groups=…) -> results of a right submission with these changes."""

    def run(*changes, course="cs231n-a3", groups=(), **options):
        text = (RIGHT / f"{course.replace('-', '_')}.py").read_text()
        for old, new in changes:
            assert text.count(old) == 1, f"{old!r} must occur once"
            text = text.replace(old, new)
        (tmp_path / "submission.py").write_text(text)
        return grade(tmp_path / "submission.py", course, groups, **options)

    return run
