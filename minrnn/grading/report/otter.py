"""Test files for otter-grader, one per function, that state the verdict reached before otter starts.

Otter runs its tests in the student's kernel, without isolation. So nothing is computed there: the files hold the
verdict as it is, and they are to be written anew for every submission. No expected value is in them.
"""

import io
import re
import zipfile

from minrnn.grading.outcome.result import FunctionResult, Grade
from minrnn.grading.report.words import Case, cases, prepared

HEAD = """from otter.test_files import test_case

OK_FORMAT = False

name = {name}
points = None
"""
CASE = """

@test_case(points={points!r}, name={title}, hidden=False, failure_message={message})
def test_{number}():
    assert {passed}, {message}
"""


def render(grade: Grade, *, hints: int = 2) -> bytes:
    """Return a zip of tests/NAME.py; partial credit comes from several cases in a file."""
    grade = prepared(grade)
    archive = io.BytesIO()
    used: set[str] = set()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
        for function in grade.functions:
            name = _file_name(function.name, used)
            # A fixed date: equal grades make equal bytes.
            files.writestr(zipfile.ZipInfo(f"tests/{name}.py", (1980, 1, 1, 0, 0, 0)), _source(name, function, hints))
    return archive.getvalue()


def _file_name(function: str, used: set[str]) -> str:
    base = re.sub("[^A-Za-z0-9_]", "_", function)
    name, number = base, 2
    while name.lower() in used:
        name, number = f"{base}_{number}", number + 1
    used.add(name.lower())
    return name


def _source(name: str, function: FunctionResult, hints: int) -> str:
    parts = [_case(number, case) for number, case in enumerate(cases(function, hints), 1)]
    return HEAD.format(name=ascii(name)) + "".join(parts)


def _case(number: int, case: Case) -> str:
    return CASE.format(
        number=number, points=case.max_points, title=ascii(case.name), message=ascii(case.message), passed=case.passed
    )
