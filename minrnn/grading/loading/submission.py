"""A submission taken apart without being run: the source to execute, what it defines, and what was repaired.

What it is: the way from a path to a `Submission`: bytes, text, syntax tree, definitions. Of several files the one that
defines most of what is asked for is the submission; the others can be imported from it.
What it is not: a judge, and not the place where code runs; `source` and `modules` are for a sandbox.
"""

import keyword
import os
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from minrnn.grading.loading import archive, notebook
from minrnn.grading.loading.archive import Unreadable
from minrnn.grading.loading.decode import code_lines, decode
from minrnn.grading.loading.functions import FunctionInfo
from minrnn.grading.loading.imports import is_forbidden
from minrnn.grading.loading.repair import mend, shortened
from minrnn.grading.loading.shelf import Shelf, SourceFile
from minrnn.grading.outcome.result import Note, Raised

__all__ = ["FunctionInfo", "Submission", "Unreadable", "load"]


@dataclass
class Submission:
    """What a grader knows of a submission before anything of it has run.

    Attributes:
        name: file or folder name, without its path.
        sha256: of the file, or of the names and contents of a folder.
        kind: `py`, `ipynb`, `dir` or `zip`.
        source: what to execute, with the lines where they were in the file (for a notebook, in all code cells).
        functions: by name.
        classes: methods by name, by the name of the class.
        repairs: what was repaired so that the text could be parsed.
        cells_skipped: {index, error} of cells of a notebook that could not be read, in part or whole.
        notes: what else there is to say: `syntax-error`, `missing-module`, `forbidden-import`, `defined-twice` …
        modules: source of what `source` imports and is not a library, by module name.
        forbidden: modules with ready-made gradients that are imported anywhere.
        broken: by name, definitions that are in the file and not in `source`, and why.
        imports: every module that is imported anywhere.
        dropped: modules by the names that lost their import; a function that reads such a name lacks the module.
        cells: (first line in `source`, index) of every code cell of a notebook.
    """

    name: str
    sha256: str
    kind: str
    source: str
    functions: dict[str, FunctionInfo] = field(default_factory=dict)
    classes: dict[str, dict[str, FunctionInfo]] = field(default_factory=dict)
    repairs: list[Note] = field(default_factory=list)
    cells_skipped: list[dict[str, Any]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    modules: dict[str, str] = field(default_factory=dict)
    forbidden: list[str] = field(default_factory=list)
    broken: dict[str, Raised] = field(default_factory=dict)
    imports: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    cells: list[tuple[int, int]] = field(default_factory=list)

    def place(self, line: int) -> str:
        """Return where a line of `source` is for the student: "line 12", or "cell 5, line 3" of a notebook."""
        starts = [start for start in self.cells if start[0] <= line]
        return f"cell {starts[-1][1]}, line {line - starts[-1][0] + 1}" if starts else f"line {line}"

    def find(self, name: str) -> FunctionInfo | None:
        """Return what is known of a function, or of a method "Class.name"."""
        owner, _, method = name.rpartition(".")
        return (self.classes.get(owner, {}) if owner else self.functions).get(method)

    def computed_at(self, name: str, output: str, position: int | None) -> str | None:
        """Return the place where a function computes what it returns at a position, or an attribute or key; or None."""
        info = self.find(name)
        if info is None:
            return None
        here = position is not None and position < len(info.returned)
        own, line = info.returned[position or 0] if here else (output, 0)
        line = info.lines.get(own, line)
        return self.place(line) if line else None


def load(
    path: str | os.PathLike[str], *, wanted: Collection[str] = (), allow: Collection[str] = (), whole: bool = False
) -> Submission:
    """Return the submission at a path: a .py or .ipynb file, a folder or a zip of such.

    Args:
        path: no link.
        wanted: names of the functions and classes that are asked for; they decide which file is the submission.
        allow: modules, beyond NumPy and the standard library, that whoever runs `source` provides: their imports stay.
        whole: `source` is the whole file, with all that it does when it is imported.

    Raises:
        Unreadable: there is nothing to be read; see `minrnn.grading.loading.archive.read`.
    """
    files = archive.read(path)
    name = Path(path).absolute().name
    notes = [Note("file-skipped", f"Left out: {what}.") for what in files.skipped]
    try:
        parsed = _all_parsed(name, files, notes)
        main = max(parsed, key=lambda file: _rank(file, set(wanted)))
        submission = _assembled(name, files, main, parsed, notes, set(wanted), allow)
        return replace(submission, source=main.mended.text) if whole else submission
    except (RecursionError, MemoryError) as error:
        raise Unreadable(f"{name} is nested too deeply to be read: write it in simpler statements") from error


def _all_parsed(name: str, files: archive.Files, notes: list[Note]) -> list[SourceFile]:
    """The files that can be read; what cannot is noted, unless nothing else is there."""
    parsed: list[SourceFile] = []
    fault: Unreadable | None = None
    for member, content in sorted(files.members.items()):
        try:
            parsed.append(_parsed(PurePosixPath(member), content))
        except Unreadable as error:
            fault = fault or error
            notes.append(Note("file-skipped", f"Left out: {error}."))
    if not parsed:
        raise fault or Unreadable(f"{name} has no .py or .ipynb file: hand in the file with the functions")
    return parsed


def _rank(file: SourceFile, wanted: set[str]) -> tuple[int, int, int, int]:
    """The more of the wanted names, or of any, the better; then the shorter path, a notebook last."""
    names = set(file.names)
    depth = len(file.path.parts)
    return len(names & wanted) if wanted else len(names), len(names), -depth, file.path.suffix.lower() == ".py"


def _parsed(path: PurePosixPath, content: bytes) -> SourceFile:
    text, notes = decode(content, path.name)
    if path.suffix.lower() == ".ipynb":
        book = notebook.read(text, path.name)
        return SourceFile(path, book.mended, notes, book.skipped, book.starts)
    return SourceFile(path, mend(code_lines(text, path.name)), notes)


def _assembled(
    name: str,
    files: archive.Files,
    main: SourceFile,
    parsed: Sequence[SourceFile],
    notes: list[Note],
    wanted: set[str],
    allow: Collection[str],
) -> Submission:
    shelf = Shelf(parsed, allow)
    work = shelf.extract(main)
    submission = Submission(
        name,
        files.sha256,
        files.kind,
        work.source,
        work.functions,
        work.classes,
        main.mended.repairs,
        main.skipped,
        [*notes, *main.notes, *work.notes],
        shelf.modules,
        broken=main.mended.broken | work.broken,
        imports=work.imports,
        dropped=work.dropped,
        cells=main.cells,
    )
    for error in main.mended.errors:
        where = submission.place(error.line or 1)
        submission.notes.append(Note("syntax-error", f"Not valid Python, {where}: {error.text}."))
    for file in parsed:
        if file is not main:
            _add(shelf, file, submission, wanted)
            twice = sorted(wanted & set(file.names) & set(main.names))
            if twice:
                text = f"{file.path} has {shortened(twice)} too; what was graded is {main.path}."
                submission.notes.append(Note("defined-twice", text))
    submission.imports = list(dict.fromkeys(submission.imports))
    submission.forbidden = [module for module in submission.imports if is_forbidden(module)]
    for known in {*submission.functions, *submission.classes}:
        submission.broken.pop(known, None)
    return submission


def _add(shelf: Shelf, file: SourceFile, submission: Submission, wanted: set[str]) -> None:
    """Make the definitions of another file, if asked for and not in the submission yet, part of it by an import."""
    names = [name for name in file.names if not wanted or name in wanted]
    here = {*submission.functions, *submission.classes}
    new = list(dict.fromkeys(name for name in names if name not in here))
    if shelf.files[file.dotted] is not file:
        return
    submission.broken |= {name: why for name, why in file.mended.broken.items() if name in wanted - here}
    if not new:
        return
    module = file.dotted if _importable(file.dotted) else f"_file_{len(shelf.modules)}"
    work = shelf.module(module, file.dotted)
    new = [name for name in new if name in work.functions or name in work.classes]
    submission.functions |= {name: _elsewhere(work.functions[name]) for name in new if name in work.functions}
    submission.classes |= {
        name: {method: _elsewhere(info) for method, info in work.classes[name].items()}
        for name in new
        if name in work.classes
    }
    submission.repairs += file.mended.repairs
    submission.imports += work.imports
    submission.dropped = work.dropped | submission.dropped
    if new:
        imported = f"    from {module} import {', '.join(new)}\n"
        submission.source += f"\ntry:\n{imported}except Exception:\n    pass\n"


def _elsewhere(info: FunctionInfo) -> FunctionInfo:
    """A function of another file: its lines are not those of the submission."""
    return replace(info, returned=[], lines={})


def _importable(module: str) -> bool:
    """Whether `from module import …` is Python and finds no library of that name."""
    parts = module.split(".")
    plain = all(part.isidentifier() and not keyword.iskeyword(part) for part in parts)
    return plain and parts[0] not in sys.stdlib_module_names | {"numpy"}
