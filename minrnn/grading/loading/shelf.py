"""The files of a submission as modules that can import each other.

What it is: what becomes of each import of a file: kept, turned to a sibling, or left out with a note.
What it is not: a reader of files, and nothing runs here.
"""

import ast
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from minrnn.grading.loading.extract import STARS, Extract, extract
from minrnn.grading.loading.imports import SHIMS, is_forbidden, is_here, sibling
from minrnn.grading.loading.repair import Mended
from minrnn.grading.outcome.result import Note


@dataclass
class SourceFile:
    """One file of the submission, parsed."""

    path: PurePosixPath
    mended: Mended
    notes: list[Note]
    skipped: list[dict[str, Any]] = field(default_factory=list)
    cells: list[tuple[int, int]] = field(default_factory=list)

    @property
    def dotted(self) -> str:
        """Its name as a module, folders and all."""
        return ".".join(self.path.with_suffix("").parts)

    @property
    def names(self) -> list[str]:
        """What it defines at its top level."""
        return [node.name for node in self.mended.tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]


class Shelf:
    """The Python files of a submission as modules: `modules` has those that were asked for, under the asked name."""

    def __init__(self, files: Sequence[SourceFile], allow: Collection[str]) -> None:
        self.files = {file.dotted: file for file in sorted(files, key=lambda file: file.path.suffix.lower() == ".py")}
        self.paths = {dotted: dotted for dotted in self.files}
        self.allow = allow
        self.modules: dict[str, str] = {}
        self.taken: dict[str, Extract] = {}

    def extract(self, file: SourceFile) -> Extract:
        """The definitions of a file; what it imports from its siblings is put into `modules`."""
        others = {dotted: path for dotted, path in self.paths.items() if self.files[dotted] is not file}
        return extract(file.mended.text, file.mended.tree, lambda node: self._resolve(node, others), self._stars)

    def module(self, name: str, dotted: str) -> Extract:
        """A sibling's definitions, as a module of that name."""
        if name not in self.modules:
            self.modules[name] = ""  # siblings may import each other
            self.taken[name] = self.extract(self.files[dotted])
            self.modules[name] = self.taken[name].source
        return self.taken.get(name, Extract(""))

    def _stars(self, module: str) -> set[str] | None:
        if module in self.modules:
            work = self.taken.get(module, Extract(""))
            return {*work.functions, *work.classes}
        return STARS.get(module)

    def _resolve(
        self, node: ast.Import | ast.ImportFrom, others: dict[str, str]
    ) -> tuple[list[ast.Import | ast.ImportFrom], list[Note]]:
        kept: list[ast.Import | ast.ImportFrom] = []
        notes = []
        if isinstance(node, ast.Import):
            for alias in node.names:
                if self._found(alias.name, others):
                    kept.append(ast.Import([alias]))
                else:
                    notes.append(_missing(alias.name))
            return kept, notes
        module = node.module or ""
        if module == "scipy" and {alias.name for alias in node.names} == {"special"}:
            return [ast.Import([ast.alias("scipy.special", alias.asname or "special")]) for alias in node.names], []
        if module and self._found(module, others, relative=node.level > 0):
            return [ast.ImportFrom(module, node.names, 0)], []
        for alias in node.names:
            inner = f"{module}.{alias.name}" if module else alias.name
            if sibling(inner, others) is not None:
                self.module(inner, sibling(inner, others) or "")
                kept.append(ast.Import([ast.alias(inner, alias.asname or alias.name)]))
        return kept, [] if kept else [_missing("." * node.level + module)]

    def _found(self, module: str, others: dict[str, str], relative: bool = False) -> bool:
        beside = sibling(module, others)
        if beside is not None:
            self.module(module, beside)
            return True
        if module in SHIMS:
            self.modules[module] = SHIMS[module]
        return not relative and is_here(module, self.allow)


def _missing(module: str) -> Note:
    if is_forbidden(module):
        return Note("forbidden-import", f"{module} has ready-made gradients; its import was left out.")
    return Note("missing-module", f"{module} is not here; its import was left out.")
