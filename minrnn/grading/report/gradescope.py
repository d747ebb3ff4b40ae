"""The results.json of Gradescope: one test per function. Not the autograder's zip, which calls this."""

import hashlib
import json
from typing import Any

from minrnn.grading.outcome.result import FunctionResult, Grade
from minrnn.grading.report.words import headline, message, preface, prepared, reason, remarks


def render(grade: Grade, *, hints: int = 2) -> str:
    """Return the content of results.json.

    Traits and advisories are tests without a score, so the total is given as `score`, which overrides the sum.
    """
    grade = prepared(grade)
    document = {
        "score": grade.score,
        "execution_time": grade.run.get("seconds") or 0.0,
        "output": "\n".join([headline(grade), *preface(grade)]),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "extra_data": {
            "result_sha256": hashlib.sha256(grade.to_json().encode()).hexdigest(),
            "seeds": grade.run.get("seeds") or [],
        },
        "tests": _tests(grade, hints),
    }
    return json.dumps(document, allow_nan=False, indent=1) + "\n"


def _tests(grade: Grade, hints: int) -> list[dict[str, Any]]:
    groups = list(dict.fromkeys(function.group for function in grade.functions))
    within = dict.fromkeys(groups, 0)
    tests = []
    for function in grade.functions:
        within[function.group] += 1
        number = f"{groups.index(function.group) + 1}.{within[function.group]}"
        tests += [_test(function, number, hints), *_remarks(function, hints)]
    return tests


def _test(function: FunctionResult, number: str, hints: int) -> dict[str, Any]:
    return {
        "name": function.name,
        "number": number,
        "score": function.score,
        "max_score": function.max_score,
        "status": "passed" if function.full else "failed",
        "output": message(function, hints),
        "tags": [] if function.status == "correct" else [reason(function, hints)],
        "visibility": "visible",
    }


def _remarks(function: FunctionResult, hints: int) -> list[dict[str, Any]]:
    return [
        {
            "name": f"{function.name}: {note.code}",
            "status": "passed",
            "output": note.message,
            "tags": [note.code],
            "visibility": "visible",
        }
        for note in remarks(function, hints)
    ]
