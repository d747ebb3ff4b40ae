"""The answer of a combinator template grader of Moodle's CodeRunner: a fraction and a table of the functions."""

import html
import json

from minrnn.grading.outcome.result import Grade
from minrnn.grading.report.words import headline, marks, message, preface, prepared

HEADER = ["iscorrect", "Function", "Points", "Verdict"]


def render(grade: Grade, *, hints: int = 2) -> str:
    """Return the JSON object. The cells are text, which CodeRunner escapes; the prologue is HTML, escaped here."""
    grade = prepared(grade)
    rows = [
        [int(f.full), f.name, f"{marks(f.score)} / {marks(f.max_score)}", message(f, hints)] for f in grade.functions
    ]
    prologue = "".join(f"<p>{html.escape(line)}</p>" for line in [headline(grade), *preface(grade)])
    document = {
        "fraction": grade.score / grade.max_score if grade.max_score else 0.0,
        "prologuehtml": prologue,
        "testresults": [HEADER, *rows],
        "columnformats": ["%s"] * (len(HEADER) - 1),  # the special column iscorrect has none
        "epiloguehtml": "",
    }
    return json.dumps(document, allow_nan=False) + "\n"
