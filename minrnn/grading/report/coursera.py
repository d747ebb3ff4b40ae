"""The feedback.json of Coursera's custom graders: a fraction and a text."""

import json

from minrnn.grading.outcome.result import Grade
from minrnn.grading.report import text


def render(grade: Grade, *, hints: int = 2) -> str:
    """Return the content of feedback.json; the fraction is a number from 0 to 1, never a bool."""
    fraction = grade.score / grade.max_score if grade.max_score else 0.0
    feedback = text.render(grade, hints=hints, colour=False)
    return json.dumps({"fractionalScore": fraction, "feedback": feedback}, allow_nan=False) + "\n"
