"""The report for a student as one HTML page: no script, no other file, nothing from the network."""

from html import escape

from minrnn.grading.outcome.result import FunctionResult, Grade
from minrnn.grading.report.words import details_and_remarks, headline, marks, preface, prepared, title, verdict

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 50rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; width: 100%; }
td, th { border-bottom: 1px solid #ccc; padding: .3rem .6rem; text-align: left; }
dl { display: grid; grid-template-columns: 5rem 1fr; gap: .2rem 1rem; }
dt { color: #666; } dd { margin: 0; }
pre { background: #f4f4f4; padding: .6rem; overflow-x: auto; }
.full { color: #176b2c; } .lost { color: #a3200d; }
"""
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<p><strong>{headline}</strong></p>
{body}
</body>
</html>
"""


def render(grade: Grade, *, hints: int = 2) -> str:
    """Return the report as a page."""
    grade = prepared(grade)
    body = [f"<p>{escape(line)}</p>" for line in preface(grade)]
    if grade.functions:
        rows = "\n".join(_row(function) for function in grade.functions)
        body.append(f"<table>\n<tr><th>function</th><th>points</th><th>verdict</th></tr>\n{rows}\n</table>")
    body += [_section(function, hints) for function in grade.functions]
    return PAGE.format(
        title=escape(title(grade)), headline=escape(headline(grade)), style=STYLE, body="\n".join(filter(None, body))
    )


def _row(function: FunctionResult) -> str:
    points = f"{marks(function.score)} / {marks(function.max_score)}"
    kind = "full" if function.full else "lost"
    return (
        f'<tr><td>{escape(function.name)}</td><td>{points}</td><td class="{kind}">{escape(verdict(function))}</td></tr>'
    )


def _section(function: FunctionResult, hints: int) -> str:
    items = "".join(
        f"<dt>{label}</dt><dd>{escape(text)}</dd>\n" for label, text in details_and_remarks(function, hints)
    )
    printed = function.stdout_tail.strip() if hints else ""
    content = (f"<dl>\n{items}</dl>\n" if items else "") + (f"<pre>{escape(printed)}</pre>\n" if printed else "")
    return f"<h2>{escape(function.name)}</h2>\n{content}" if content else ""
