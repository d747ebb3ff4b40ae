"""The results of GitHub Classroom's runners, one per function. Feedback, not an exam: the tests lie with the student.

The reporter reads each result from a variable <RUNNER>_RESULTS; the lines here set those, for $GITHUB_ENV. Its table
shows max · passed/total, while Classroom adds up the scores of the tests: one runner per function keeps both together.
"""

import base64
import json
import re
from collections.abc import Iterable
from typing import Any

from minrnn.grading.outcome.result import FunctionResult, Grade
from minrnn.grading.report.words import FAILED_TO_RUN, Case, cases, preface, prepared


def render(grade: Grade, *, hints: int = 2) -> str:
    """Return one line RUNNER_RESULTS=base64 per function; a submission without functions is one runner in error."""
    grade = prepared(grade)
    results = [_result(function, hints, grade.submission.get("path") or "") for function in grade.functions]
    names = runners(function.name for function in grade.functions)
    if not results:
        case = Case("submission", False, 0.0, 0.0, "\n".join(preface(grade)))
        results, names = [_document("error", 0.0, [_test(case, "error", "", 0, 0.0)])], ["SUBMISSION"]
    return "".join(f"{name}_RESULTS={_encode(result)}\n" for name, result in zip(names, results, strict=True))


def runners(functions: Iterable[str]) -> list[str]:
    """Return the runner of each function: capitals and digits only, all different."""
    names: list[str] = []
    for function in functions:
        base = re.sub("[^A-Z0-9]", "", function.upper()) or "FUNCTION"
        name, number = base, 2
        while name in names:
            name, number = f"{base}X{number}", number + 1
        names.append(name)
    return names


def _result(function: FunctionResult, hints: int, filename: str) -> dict[str, Any]:
    status = "pass" if function.full else _failure(function)
    line = function.exception.line if function.exception else None
    parts = cases(function, hints)
    seconds = function.seconds / len(parts)
    tests = [_test(part, "pass" if part.passed else _failure(function), filename, line or 0, seconds) for part in parts]
    return _document(status, function.max_score, tests)


def _failure(function: FunctionResult) -> str:
    return "error" if function.status in (*FAILED_TO_RUN, "environment") else "fail"


def _document(status: str, max_score: float, tests: list[dict[str, Any]]) -> dict[str, Any]:
    return {"version": 1, "status": status, "max_score": max_score, "tests": tests}


def _test(case: Case, status: str, filename: str, line: int, seconds: float) -> dict[str, Any]:
    return {
        "name": case.name,
        "status": status,
        "score": case.points,
        "message": case.message,
        "test_code": "",
        "filename": filename,
        "line_no": line,
        "duration": seconds,
    }


def _encode(document: dict[str, Any]) -> str:
    return base64.b64encode(json.dumps(document, allow_nan=False).encode()).decode()
