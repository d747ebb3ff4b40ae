"""The code of a Jupyter notebook as one text. Its outputs are never looked at, and nothing runs.

What it is: nbformat 4 and 3, the code cells in order, without magics and shell lines; each cell is mended alone, so
that one that does not parse costs no other.
What it is not: a reader of what the cells did; what was printed in them proves nothing.
"""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from minrnn.grading.loading.archive import Unreadable
from minrnn.grading.loading.decode import code_lines
from minrnn.grading.loading.repair import Mended, mend, parse
from minrnn.grading.loading.scan import logical_lines
from minrnn.grading.outcome.result import Note, Raised

_MAGIC = re.compile(r"%|!|\?|[\w, \t]+=\s*(?:!|%\w)")
_CELL_MAGIC = re.compile(r"\s*%%(\w+)")
MAX_CELLS = 2000
PYTHON_MAGICS = {"time", "capture"}  # the rest of such a cell is run as it is


@dataclass
class Notebook:
    """The text of all code cells, what could not be read, and the line at which each cell starts.

    `skipped` has {index, error} of cells that were left out in part or whole; `starts` has (line, index of the cell).
    """

    mended: Mended
    skipped: list[dict[str, Any]] = field(default_factory=list)
    starts: list[tuple[int, int]] = field(default_factory=list)


def read(text: str, name: str) -> Notebook:
    """Return the code of a notebook.

    Raises:
        Unreadable: the text is no JSON, or no notebook.
    """
    notebook = Notebook(Mended("", ast.Module([], [])))
    whole = notebook.mended
    repairs: list[Note] = []
    texts: list[str] = []
    line = 1
    for index, source in _code_cells(text, name):
        cell = mend(_without_magics(source))
        notebook.starts.append((line, index))
        for error in cell.errors:
            notebook.skipped.append({"index": index, "error": f"{error.type}: {error.text} (line {error.line})"})
        whole.errors += [_moved(error, line - 1) for error in cell.errors]
        whole.broken |= {key: _moved(error, line - 1) for key, error in cell.broken.items()}
        repairs += [Note(note.code, f"Cell {index}: {note.message}") for note in cell.repairs]
        texts.append(cell.text)
        line += cell.text.count("\n") + 1
    whole.text, whole.repairs = "\n".join(texts), repairs
    whole.tree = ast.parse(whole.text)
    return notebook


def _moved(error: Raised, lines: int) -> Raised:
    return Raised(error.type, (error.line or 1) + lines, error.text)


def _code_cells(text: str, name: str) -> Iterator[tuple[int, str]]:
    """Yield (index among all cells, source) of the code cells."""
    advice = "save the notebook again and hand in that file"
    try:
        document = json.loads(text)
        if "cells" in document:
            cells = document["cells"]
        else:
            cells = [cell for sheet in document["worksheets"] for cell in sheet["cells"]]
        if len(cells) > MAX_CELLS:
            raise Unreadable(f"{name} has more than {MAX_CELLS} cells: hand in the notebook with the functions alone")
        for index, cell in enumerate(cells):
            source = cell.get("source", cell.get("input", ""))
            if cell["cell_type"] == "code":
                yield index, code_lines("".join(source).replace("\r\n", "\n"), f"cell {index} of {name}")
    except Unreadable:
        raise
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{name} is no JSON ({error}): {advice}") from error
    except (TypeError, KeyError, AttributeError) as error:
        raise Unreadable(f"{name} is no notebook, its cells are not where they belong: {advice}") from error


def _without_magics(source: str) -> str:
    """The cell with `pass` for what is meant for the notebook. A cell that parses as it is has none."""
    try:
        parse(source)
        return source
    except SyntaxError:
        pass
    magic = _CELL_MAGIC.match(source)
    if magic and magic[1] not in PYTHON_MAGICS:
        return ""
    lines = ("".join(token.text for token in line) for line in logical_lines(source))
    return "".join(map(_python, lines))


def _python(line: str) -> str:
    """The line, or `pass` and as many line ends where it is a magic, a shell command or a question for help."""
    code = line.partition("#")[0].strip()
    if _MAGIC.match(code) or code.endswith("?"):
        indent = line[: len(line) - len(line.lstrip(" \t"))]
        return indent + "pass" + "\n" * line.count("\n")
    return line
