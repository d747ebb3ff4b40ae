"""A line of CSV per submission, for a class. Cells are made safe for spreadsheets, since names come from students."""

import csv
import io
from collections import Counter
from typing import Any

from minrnn.grading.outcome.plain import one_line
from minrnn.grading.outcome.result import FunctionResult, Grade
from minrnn.grading.report.words import prepared

COLUMNS = (
    *("id", "name", "path", "sha256", "profile", "status", "score", "max_score", "percent"),
    *("n_correct", "n_wrong", "n_wrong_shape", "n_not_implemented", "n_failed"),
    *("top_function", "top_code", "top_message", "repairs", "traits", "sandbox", "seconds", "error"),
)
COUNTED = ("correct", "wrong", "wrong-shape", "not-implemented")


def render(grade: Grade, *, hints: int = 2) -> str:
    """Return a header and the line of this submission."""
    columns = header([function.name for function in grade.functions])
    return line(columns) + line(row(grade, columns))


def header(functions: list[str]) -> list[str]:
    """Return the columns for a profile with these functions."""
    return [*COLUMNS, *(f"{kind}:{name}" for name in functions for kind in ("score", "status", "code"))]


def row(grade: Grade, columns: list[str], *, id: str = "", name: str = "") -> list[Any]:
    """Return the cells of one submission in the order of the columns; a column that it lacks is empty."""
    cells = {"id": id, "name": name, **_cells(prepared(grade))}
    return [cells.get(column, "") for column in columns]


def line(cells: list[Any]) -> str:
    """Return one line of CSV (RFC 4180, but with a bare newline at its end), every cell safe."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([safe(cell) for cell in cells])
    return text.getvalue()


def safe(cell: Any) -> Any:
    """Return text on one line that no spreadsheet takes for a formula; numbers as they are."""
    if not isinstance(cell, str):
        return cell
    text = one_line(cell)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")) else text


def _cells(grade: Grade) -> dict[str, Any]:
    top = next((function for function in grade.functions if not function.full), None)
    counts = Counter(function.status for function in grade.functions)
    active = [layer for layer, state in (grade.sandbox.get("layers") or {}).items() if state == "on"]
    traits = dict.fromkeys(note.code for function in grade.functions for note in function.traits)
    cells: dict[str, Any] = {
        "path": grade.submission.get("path") or "",
        "sha256": grade.submission.get("sha256") or "",
        "profile": grade.course.get("profile") or "",
        "status": top.status if top else "correct" if grade.functions else "not-found",
        "score": grade.score,
        "max_score": grade.max_score,
        "percent": grade.percent,
        **{f"n_{status.replace('-', '_')}": counts[status] for status in COUNTED},
        "n_failed": sum(not function.full and function.status not in COUNTED for function in grade.functions),
        "top_function": top.name if top else "",
        "top_code": _code(top) if top else "",
        "top_message": top.diagnosis[0].message if top and top.diagnosis else "",
        "repairs": " ".join(repair["code"] for repair in grade.submission.get("repairs") or []),
        "traits": " ".join(traits),
        "sandbox": " ".join([grade.sandbox.get("mode") or "", *sorted(active)]),
        "seconds": grade.run.get("seconds") or 0.0,
        "error": "; ".join(grade.errors),
    }
    for function in grade.functions:
        cells[f"score:{function.name}"] = function.score
        cells[f"status:{function.name}"] = function.status
        cells[f"code:{function.name}"] = _code(function)
    return cells


def _code(function: FunctionResult) -> str:
    return function.diagnosis[0].code if function.diagnosis else ""
