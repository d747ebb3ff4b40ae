"""The value of an autograded cell of nbgrader: a bare Python float and nothing beside it.

nbgrader gives full marks for text that is not a float and none if anything appears on stderr, so nothing is said here.
"""

from minrnn.grading.outcome.result import Grade


def render(grade: Grade, *, hints: int = 2) -> str:
    """Return the total as the text of a float."""
    return repr(_bounded(grade.score, grade.max_score))


def points(grade: Grade, function: str) -> float:
    """Return the points of one function, to be the last value of its cell; 0 for a name that was not graded."""
    for result in grade.functions:
        if result.name == function:
            return _bounded(result.score, result.max_score)
    return 0.0


def _bounded(score: float, max_score: float) -> float:
    return min(max(float(score), 0.0), float(max_score))
