"""The native result as JSON: the whole record. Hints do not cap it, since it is for the instructor and for programs."""

from minrnn.grading.outcome.result import Grade


def render(grade: Grade, *, hints: int = 2) -> str:
    """Return the native document, indented."""
    return grade.to_json() + "\n"


def render_line(grade: Grade, *, hints: int = 2) -> str:
    """Return the native document on a single line (JSON Lines)."""
    return grade.to_json(indent=None) + "\n"
