"""The results.json of PrairieLearn's external graders: points per function, a score from 0 to 1."""

import json
from typing import Any

from minrnn.grading.outcome.result import FunctionResult, Grade
from minrnn.grading.report.words import headline, message, preface, prepared, remarks


def render(grade: Grade, *, hints: int = 2) -> str:
    """Return the content of results.json.

    A submission in which no function was found, or where the grader had a problem, is not gradable: the student keeps
    the attempt. Every test has points, since the platform shows none if one test has not; remarks have 0 of 0.
    """
    grade = prepared(grade)
    gradable = bool(grade.submission.get("functions_found")) and not grade.errors
    tests = [test for function in grade.functions for test in (_test(function, hints), *_remarks(function, hints))]
    document = {
        "gradable": gradable,
        "score": grade.score / grade.max_score if gradable and grade.max_score else 0.0,
        "message": headline(grade),
        "output": "\n".join(preface(grade)),
        "format_errors": [] if gradable else preface(grade) or ["No function of the assignment was found."],
        "images": [],
        "tests": tests,
    }
    return json.dumps(document, allow_nan=False, indent=1) + "\n"


def _test(function: FunctionResult, hints: int) -> dict[str, Any]:
    return {
        "name": function.name,
        "description": function.group,
        "points": function.score,
        "max_points": function.max_score,
        "message": message(function, hints),
        "output": "",
        "images": [],
    }


def _remarks(function: FunctionResult, hints: int) -> list[dict[str, Any]]:
    return [
        {
            "name": f"{function.name}: {note.code}",
            "description": "costs no points",
            "points": 0,
            "max_points": 0,
            "message": note.message,
            "output": "",
            "images": [],
        }
        for note in remarks(function, hints)
    ]
