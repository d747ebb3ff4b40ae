"""The report for a student as Markdown (GitHub's). What students wrote is escaped, so that it cannot become markup."""

import re

from minrnn.grading.outcome.result import FunctionResult, Grade
from minrnn.grading.report.words import details_and_remarks, headline, marks, preface, prepared, title, verdict

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#!|~&$])")


def render(grade: Grade, *, hints: int = 2) -> str:
    """Return the report as Markdown."""
    grade = prepared(grade)
    lines = [f"# {escape(title(grade))}", "", f"**{escape(headline(grade))}**", ""]
    lines += [item for line in preface(grade) for item in (escape(line), "")]
    if grade.functions:
        lines += ["| function | points | verdict |", "|---|---|---|"]
        lines += [
            f"| {escape(f.name)} | {marks(f.score)} / {marks(f.max_score)} | {escape(verdict(f))} |"
            for f in grade.functions
        ]
    for function in grade.functions:
        lines += _section(function, hints)
    return "\n".join(lines).rstrip() + "\n"


def _section(function: FunctionResult, hints: int) -> list[str]:
    items = [f"- *{label}*: {escape(text)}" for label, text in details_and_remarks(function, hints)]
    printed = function.stdout_tail.strip() if hints else ""
    if printed:
        longest = max((len(run) for run in re.findall("`+", printed)), default=0)
        fence = "`" * max(3, longest + 1)
        items += ["", "Printed:", "", fence, printed, fence]
    return ["", f"## {escape(function.name)}", "", *items] if items else []


def escape(text: str) -> str:
    """Return the text with a backslash before every character that could be markup in it."""
    return _SPECIAL.sub(r"\\\1", text)
