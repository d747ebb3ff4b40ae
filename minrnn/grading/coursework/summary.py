"""What a class did: the CSV file, counts per status and per bug, quantiles of the score. No grading and no picture."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minrnn.grading.coursework.classroom import Graded, Matched
from minrnn.grading.outcome.codes import CODES
from minrnn.grading.outcome.plain import clean, one_line
from minrnn.grading.report import table
from minrnn.grading.report.words import marks

SCHEMA = "minrnn.class/1"
QUANTILES = {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "max": 1.0}
SHOWN = 15  # bugs in the text


def to_csv(graded: Sequence[Graded], matched: Matched, functions: Sequence[str] = ()) -> str:
    """Return a line per submission, in the order of the class, then one per student without a submission.

    functions: those that have columns; by default all that occur.
    """
    seen = dict.fromkeys(function.name for item in graded for function in item.grade.functions)
    columns = table.header(list(functions) or list(seen))
    order = {entry.id: number for number, entry in enumerate(matched.entries)}
    lines = [table.line(columns)]
    for item in sorted(graded, key=lambda item: order[item.entry.id]):
        cells = table.row(item.grade, columns, id=item.entry.id, name=item.entry.name)
        if item.grade.errors:
            cells[columns.index("status")] = "error"
        lines.append(table.line(cells))
    for student in matched.missing:
        given = {"id": student.id, "name": student.name, "status": "missing"}
        lines.append(table.line([given.get(column, "") for column in columns]))
    return "".join(lines)


def summary(graded: Sequence[Graded], matched: Matched, skipped: Sequence[str] = ()) -> dict[str, Any]:
    """Return the content of summary.json; submissions that could not be graded count in `errors` alone."""
    right = [item for item in graded if not item.grade.errors]
    functions: dict[str, Counter[str]] = {}
    for item in right:
        for function in item.grade.functions:
            functions.setdefault(function.name, Counter())[function.status] += 1
    bugs = _bugs(right)
    codes: dict[str, set[str]] = {}
    for bug in bugs:
        codes.setdefault(bug["code"], set()).update(bug["ids"])
    document = {
        "schema": SCHEMA,
        "submissions": len(matched.entries),
        "graded": len(right),
        "reused": sum(item.reused for item in graded),
        "full": sum(item.grade.full and not item.grade.errors for item in right),
        "profiles": dict(Counter(item.grade.course.get("profile") or "" for item in right)),
        "statuses": dict(sum(functions.values(), Counter())),
        "functions": {name: dict(counts) for name, counts in functions.items()},
        "bugs": bugs,
        "codes": {code: len(ids) for code, ids in sorted(codes.items(), key=lambda pair: (-len(pair[1]), pair[0]))},
        "percent": _quantiles([item.grade.percent for item in right]),
        "score": _quantiles([item.grade.score for item in right]),
        "errors": {item.entry.id: item.grade.errors for item in graded if item.grade.errors},
        "missing": [student.id for student in matched.missing],
        "unmatched": list(matched.unmatched),
        "unclear": list(matched.unclear),
        "skipped": list(skipped),
    }
    cleaned: dict[str, Any] = clean(document)
    return cleaned


def _bugs(graded: Sequence[Graded]) -> list[dict[str, Any]]:
    """How often each function had each cause and in whose work, the most frequent first."""
    who: dict[tuple[str, str], list[str]] = {}
    for item in graded:
        for function in item.grade.functions:
            if function.blocked_by:  # the cause is counted where it lies
                continue
            for code in dict.fromkeys(cause.code for cause in function.diagnosis):
                who.setdefault((function.name, code), []).append(item.entry.id)
    ordered = sorted(who.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    return [{"function": f, "code": code, "count": len(ids), "ids": sorted(ids)} for (f, code), ids in ordered]


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    found = {name: float(np.quantile(values, q)) for name, q in QUANTILES.items()}
    return {**found, "mean": float(np.mean(values))}


def to_text(document: Mapping[str, Any]) -> str:
    """Return a summary for people."""
    lines = [
        f"{document['graded']} of {document['submissions']} submissions graded, {document['full']} with full marks"
        + (f", {document['reused']} results reused" if document["reused"] else "")
    ]
    percent = document["percent"]
    if percent:
        spread = ", ".join(f"{name} {marks(percent[name])}" for name in (*QUANTILES, "mean"))
        lines.append(f"per cent: {spread}")
    if document["functions"]:
        width = max(map(len, document["functions"]))
        lines += ["", "functions"]
        for name, counts in document["functions"].items():
            ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
            lines.append(f"  {name:{width}}  " + ", ".join(f"{count} {status}" for status, count in ordered))
    bugs = document["bugs"][:SHOWN]
    if bugs:
        width = max(len(bug["function"]) for bug in bugs)
        lines += ["", "most frequent findings"]
        for bug in bugs:
            what = CODES[bug["code"]].what if bug["code"] in CODES else ""
            lines.append(f"  {bug['count']:>4}  {bug['function']:{width}}  {bug['code']}: {one_line(what)}")
    lines += _listed("could not be graded", [f"{id}: {'; '.join(texts)}" for id, texts in document["errors"].items()])
    lines += _listed("students without a submission", document["missing"])
    lines += _listed("submissions of nobody on the roster", document["unmatched"])
    lines += _listed("not graded, because it is unclear whose they are", document["unclear"])
    lines += _listed("passed over", document["skipped"])
    return "\n".join(lines) + "\n"


def _listed(title: str, items: Sequence[str]) -> list[str]:
    return ["", title, *(f"  {one_line(item)}" for item in items)] if items else []
