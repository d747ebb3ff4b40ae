"""The report for a terminal. No terminal sequence but its own colours, and those only where they are wanted."""

import os
import sys
import textwrap

from minrnn.grading.outcome.result import FunctionResult, Grade
from minrnn.grading.report.words import details_and_remarks, headline, marks, preface, prepared, title, verdict

WIDTH = 100
GREEN, YELLOW, RED, BOLD, RESET = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[1m", "\x1b[0m"
COLOURS = {"correct": GREEN, "wrong-shape": YELLOW, "environment": YELLOW, "not-implemented": YELLOW}


def render(grade: Grade, *, hints: int = 2, colour: bool | None = None) -> str:
    """Return the report as text. colour None: if stdout is a terminal and NO_COLOR is not set."""
    if colour is None:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    grade = prepared(grade)
    lines = [_paint(title(grade), BOLD, colour), _paint(headline(grade), BOLD, colour), *preface(grade), ""]
    width = max((len(function.name) for function in grade.functions), default=0)
    for function in grade.functions:
        lines += [_verdict(function, width, colour), *explained(function, hints)]
    return "\n".join(lines).rstrip() + "\n"


def explained(function: FunctionResult, hints: int) -> list[str]:
    """Return what is said of a function below its verdict, line by line, and what it printed."""
    lines = []
    for label, text in details_and_remarks(function, hints):
        margin = f"    {label:8}"
        lines += textwrap.wrap(text, WIDTH, initial_indent=margin, subsequent_indent=" " * 12, break_on_hyphens=False)
    if hints and function.stdout_tail.strip():
        lines += ["    printed", *(f"            {line}" for line in function.stdout_tail.strip().split("\n"))]
    return lines


def _verdict(function: FunctionResult, width: int, colour: bool) -> str:
    score = f"{marks(function.score)}/{marks(function.max_score)}"
    words = _paint(verdict(function), COLOURS.get(function.status, RED), colour)
    return f"  {function.name:{width}}  {score:>9}  {words}"


def _paint(text: str, style: str, colour: bool) -> str:
    return f"{style}{text}{RESET}" if colour else text
