"""Submissions for the grader: honest right programs, written by hand, and the same programs with one wrong edit each.

A template is COURSE/NAME.txt, a complete right submission in the style of one student; COURSE/NAME.bugs lists its wrong
edits. `submissions()` yields every template in every way of handing it in (styles.py), and every edit in one of them.
Nothing here knows the grader, its reference or its library of wrong variants.

The list of edits, one a line, lines that begin with # left out:

    [place]                  the function (or Class.method) that is edited and is then wrong
    [place: f, g]            the same for a helper: f and g are then wrong
    codes @where :: old text :: new text

The old text occurs exactly once in the function. \\n stands for a new line. `codes` are the right names of the cause,
separated by |. Several are given where the same numbers follow from more than one mistake. `unknown-cause` among them
says that no code names this mistake exactly, so that an honest "unknown" is a right answer, though not a name. `where`
is the tensor or the gate that it concerns.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from styles import STYLES, applies  # beside this file: see tests/grading/conftest.py

FOLDER = Path(__file__).parent
UNNAMED = "unknown-cause"


@dataclass(frozen=True)
class Edit:
    """One wrong edit of a template."""

    place: str
    functions: tuple[str, ...]  # the functions that are wrong then
    codes: tuple[str, ...]
    where: str  # a tensor, a gate or ""
    old: str
    new: str
    line: int  # in the list

    def apply(self, source: str) -> str:
        """The source with this edit. Raises ValueError where the old text is not there exactly once."""
        start, end = span(source, self.place)
        lines = source.splitlines(keepends=True)
        body = "".join(lines[start:end])
        if body.count(self.old) != 1:
            raise ValueError(f"line {self.line}: {self.old!r} is {body.count(self.old)} times in {self.place}")
        return "".join(lines[:start]) + body.replace(self.old, self.new) + "".join(lines[end:])


@dataclass(frozen=True)
class Template:
    """One student's complete right submission."""

    profile: str
    name: str
    source: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True)
class Submission:
    """One program in one form; `edit` is None where it is right."""

    template: Template
    style: str
    edit: Edit | None = None

    @property
    def name(self) -> str:
        """Unique, and it says where to look."""
        edit = f":{self.edit.line}" if self.edit else ""
        return f"{self.template.profile}/{self.template.name}{edit} ({self.style})"

    @property
    def source(self) -> str:
        """The program before it is put in form."""
        return self.edit.apply(self.template.source) if self.edit else self.template.source

    def write(self, folder: Path) -> Path:
        """Write it into a folder, as it would be handed in."""
        return STYLES[self.style](self.source, folder)


def span(source: str, place: str) -> tuple[int, int]:
    """The first line of a function or Class.method, and the line behind its last."""
    body = ast.parse(source).body
    *classes, name = place.split(".")
    for wanted in [*classes, name]:
        found = [node for node in body if getattr(node, "name", None) == wanted]
        if len(found) != 1:
            raise ValueError(f"{place} is defined {len(found)} times")
        body = found[0].body
    return found[0].lineno - 1, found[0].end_lineno


def read_edits(text: str) -> tuple[Edit, ...]:
    """Parse a list of edits. Raises ValueError with the number of the line that is not in order."""
    edits: list[Edit] = []
    place, functions = "", ()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("["):
            place, _, names = line.strip("[] ").partition(":")
            functions = tuple(name.strip() for name in (names or place).split(","))
            continue
        parts = line.split(" :: ")
        if len(parts) != 3 or not place:
            raise ValueError(f"line {number}: not `codes @where :: old text :: new text` below a [place]: {line}")
        codes, _, where = parts[0].partition("@")
        old, new = (part.replace("\\n", "\n") for part in parts[1:])
        edits.append(Edit(place, functions, tuple(codes.strip().split("|")), where.strip(), old, new, number))
    return tuple(edits)


def templates() -> list[Template]:
    """All templates, by course and name."""
    found = []
    for path in sorted(FOLDER.glob("*/*.txt")):
        edits = read_edits(path.with_suffix(".bugs").read_text(encoding="utf-8"))
        found.append(Template(path.parent.name, path.stem, path.read_text(encoding="utf-8"), edits))
    return found


def right() -> Iterator[Submission]:
    """Every template in every style that it can be handed in."""
    for template in templates():
        for style in STYLES:
            if applies(style, template.source):
                yield Submission(template, style)


def wrong() -> Iterator[Submission]:
    """Every edit of every template, each in one style, the styles in turn."""
    for template in templates():
        styles = [style for style in STYLES if applies(style, template.source)]
        for k, edit in enumerate(template.edits):
            yield Submission(template, styles[k % len(styles)], edit)


def submissions() -> list[Submission]:
    """The whole corpus."""
    return [*right(), *wrong()]
