"""Reports: every format is a projection of one native result. Nothing here judges, and nothing writes files."""

from collections.abc import Callable

from minrnn.grading.report import (
    autolab,
    classroom_github,
    coderunner,
    coursera,
    gradescope,
    html,
    junit,
    markdown,
    native,
    nbgrader,
    otter,
    prairielearn,
    table,
    text,
)

# name: render(grade, *, hints) -> str, or bytes where the format is an archive
FORMATS: dict[str, Callable[..., str | bytes]] = {
    "text": text.render,
    "native": native.render,
    "jsonl": native.render_line,
    "markdown": markdown.render,
    "html": html.render,
    "csv": table.render,
    "gradescope": gradescope.render,
    "prairielearn": prairielearn.render,
    "classroom": classroom_github.render,
    "junit": junit.render,
    "autolab": autolab.render,
    "coursera": coursera.render,
    "coderunner": coderunner.render,
    "nbgrader": nbgrader.render,
    "otter": otter.render,
}
