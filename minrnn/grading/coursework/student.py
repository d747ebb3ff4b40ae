"""What students ask for while they work: verdicts and hints, and a table of their gradients. Not marks.

Neither shows a number that comes from the reference: the errors in the table are against central differences of the
student's own forward pass.
"""

from dataclasses import replace

from minrnn.grading.outcome.plain import one_line
from minrnn.grading.outcome.result import FunctionResult, Grade
from minrnn.grading.report.text import explained
from minrnn.grading.report.words import preface, prepared, title, verdict


def practice(grade: Grade, *, hints: int = 2) -> str:
    """Return the verdict on each function and the hints to it."""
    grade = prepared(grade)
    lines = [title(grade), *preface(grade), ""]
    width = max((len(function.name) for function in grade.functions), default=0)
    for function in map(_without_numbers, grade.functions):
        lines += [f"  {function.name:{width}}  {verdict(function)}", *explained(function, hints)]
    right = sum(function.full for function in grade.functions)
    lines += ["", f"{right} of {len(grade.functions)} functions right"]
    return "\n".join(lines) + "\n"


def _without_numbers(function: FunctionResult) -> FunctionResult:
    outputs = [replace(output, max_rel_error=None, fd_rel_error=None) for output in function.outputs]
    isolated = replace(function.isolated, score=0.0) if function.isolated else None
    return replace(function, outputs=outputs, isolated=isolated)


def gradient_table(grade: Grade) -> str:
    """Return a line for each returned tensor that was held against differences of the student's own forward."""
    rows = [("function", "gradient", "shape", "error", "verdict")]
    for function in prepared(grade).functions:
        for output in function.outputs:
            if output.fd_rel_error is not None:
                shape = "×".join(map(str, output.shape or ())) or "number"
                rows.append((function.name, one_line(output.name), shape, f"{output.fd_rel_error:.1e}", output.status))
    if len(rows) == 1:
        return "no gradient could be compared with differences of its forward\n"
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    lines = (
        "  ".join([*(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)), row[4]]) for row in rows
    )
    return "gradients against central differences of your own forward\n" + "".join(f"{line}\n" for line in lines)
