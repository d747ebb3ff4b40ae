"""Ways of handing in one program: files, notebooks, zips, prints, old Python, old NumPy, code that trains on import.

Each turns the source of a program into a file below a folder. None of them changes what a function computes.
"""

import ast
import itertools
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

TRAINING = """

data = open("input.txt", "r").read()
chars = sorted(set(data))
smooth_loss, n = 0.0, 0
while True:
    smooth_loss = 0.999 * smooth_loss + 0.001 * len(chars)
    n += 1
"""
MAIN = """
from data_utils import load_everything

if __name__ == "__main__":
    load_everything()
"""


def in_functions(source: str, statement: str) -> str:
    """Put a statement at the begin of every function; {name} in it is the function's name."""
    lines = source.splitlines()
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    for node in sorted(functions, key=lambda node: -node.lineno):
        first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
        lines.insert(first.lineno - 1, " " * first.col_offset + statement.format(name=node.name))
    return "\n".join(lines) + "\n"


def file(folder: Path, text: str | bytes, name: str = "submission.py") -> Path:
    """Write one file."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def plain(source: str, folder: Path) -> Path:
    """One file, as it is."""
    return file(folder, source)


def prints(source: str, folder: Path) -> Path:
    """Every function says that it was called."""
    return file(folder, in_functions(source, 'print("now in {name}")'))


def windows(source: str, folder: Path) -> Path:
    """Byte-order mark, tabs, carriage returns."""
    lines = [re.sub(r"^( {4})+", lambda m: "\t" * (len(m[0]) // 4), line) for line in source.splitlines()]
    return file(folder, b"\xef\xbb\xbf" + "\r\n".join(lines).encode())


def latin(source: str, folder: Path) -> Path:
    """A comment in latin-1 and no line that says so."""
    return file(folder, ("# résolu à la main, vérifié à moitié\n" + source).encode("latin-1"))


def training(source: str, folder: Path) -> Path:
    """The file reads data and trains for ever when it is imported, and imports what is not there."""
    return file(folder, MAIN + source + TRAINING)


def python2(source: str, folder: Path) -> Path:
    """Print statements and xrange."""
    text = in_functions(source, 'print("now in {name}")')
    text = re.sub(r"\bprint\((.*)\)$", r"print \1", text, flags=re.MULTILINE)
    return file(folder, re.sub(r"(?<![\w.])range\((?!.*\)\[::-1\])", "xrange(", text))


def division(source: str, folder: Path) -> Path:
    """Python 2, where / of two integers is an integer."""
    return python2(source.replace("//", "/"), folder)


def old_numpy(source: str, folder: Path) -> Path:
    """A name that NumPy has removed."""
    return file(folder, in_functions(source, "dtype_used = np.float"))


def _chunks(source: str) -> list[str]:
    """The source cut before every top-level definition."""
    lines = source.splitlines(keepends=True)
    cuts = [node.lineno - 1 for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    bounds = [0, *cuts, len(lines)]
    return ["".join(lines[a:b]) for a, b in itertools.pairwise(bounds) if a < b]


def _cells(source: str) -> list[str]:
    scratch = ["def half_an_idea(x:\n    return x +", "for epoch in range(10 ** 9):\n    pass"]
    head = "%matplotlib inline\n%load_ext autoreload\n"
    return [head + "import matplotlib.pyplot as plt", *_chunks(source), *scratch, "!ls data\nmodel?"]


def notebook(source: str, folder: Path) -> Path:
    """A notebook of today, with a cell that does not parse, one that never ends, and outputs of other days."""
    cells = [{"cell_type": "markdown", "metadata": {}, "source": "## My answers"}]
    output = {"output_type": "stream", "name": "stdout", "text": ["relative error: 0.0\n"]}
    for k, text in enumerate(_cells(source)):
        code = text.splitlines(keepends=True) if k % 2 else text
        cells.append({"cell_type": "code", "execution_count": k, "metadata": {}, "outputs": [output], "source": code})
    book = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 2}
    return file(folder, json.dumps(book), "submission.ipynb")


def notebook3(source: str, folder: Path) -> Path:
    """A notebook of the old form."""
    cells = [{"cell_type": "code", "language": "python", "input": text, "outputs": []} for text in _cells(source)]
    book = {"metadata": {"name": ""}, "nbformat": 3, "nbformat_minor": 0, "worksheets": [{"cells": cells}]}
    return file(folder, json.dumps(book), "submission.ipynb")


def zipped(source: str, folder: Path) -> Path:
    """A zip with the answers beside other files."""
    path = folder / "submission.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("assignment/README.txt", "Please be kind.")
        archive.writestr("assignment/layers/__init__.py", "")
        archive.writestr("assignment/layers/answers.py", source)
        archive.writestr("assignment/layers/optim.py", "def my_update(w, dw):\n    return w - 0.1 * dw\n")
    return path


STYLES: dict[str, Callable[[str, Path], Path]] = {
    "plain": plain,
    "notebook": notebook,
    "prints": prints,
    "windows": windows,
    "training": training,
    "python2": python2,
    "zipped": zipped,
    "latin": latin,
    "notebook3": notebook3,
    "old_numpy": old_numpy,
    "division": division,
}
REPAIRED = ("python2", "division", "old_numpy")  # right only after a repair that the grader names


def applies(style: str, source: str) -> bool:
    """Whether a program can look like that: Python 2 has no @ and no starred targets."""
    if style in ("python2", "division"):
        new = [" @ ", ", *", "(*", "logaddexp"]
        return not any(mark in source for mark in new) and (style == "python2" or "//" in source)
    return True
