"""The last lines that an Autolab autograder prints: the scores per problem, before them the feedback per output."""

import json
from typing import Any

from minrnn.grading.outcome.result import FunctionResult, Grade
from minrnn.grading.report.words import cases, prepared


def render(grade: Grade, *, hints: int = 2) -> str:
    """Return two lines of JSON. The problems are the functions: those of the course must have exactly these names."""
    grade = prepared(grade)
    feedback: dict[str, Any] = {"_presentation": "semantic", "stages": [function.name for function in grade.functions]}
    feedback.update((function.name, _outputs(function, hints)) for function in grade.functions)
    scores = {function.name: function.score for function in grade.functions}
    lines = [feedback, {"scores": scores, "scoreboard": [grade.score]}]
    return "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)


def _outputs(function: FunctionResult, hints: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for case in cases(function, hints):
        result[case.name] = {"passed": case.passed}
        if case.message:
            result[case.name]["hint"] = case.message
    return result
