"""The part of a parsed file that is safe to execute for its definitions: imports, functions, classes, constants.

What it is: a selection by syntax tree. What trains, reads data or draws at the top level is left out, blank lines in
its place, so that a line number is one of the file handed in. Each definition is described as far as text tells.
What it is not: a guard against malice, for a class body or a default value may still do anything; the sandbox is.
"""

import ast
import builtins
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from minrnn.grading.loading.functions import FunctionInfo, describe
from minrnn.grading.loading.imports import imported
from minrnn.grading.loading.names import bound, names_when_defined, reads_of, stored
from minrnn.grading.loading.scan import Edit, Positions, apply
from minrnn.grading.loading.stubs import Function, all_arguments
from minrnn.grading.outcome.result import Note, Raised

PURE = {"int", "float", "bool", "str", "tuple", "list", "dict", "set", "len", "range", "min", "max", "abs", "sum"}
PURE_BY_NAME = {"namedtuple", "vectorize", "partial"}  # they do not call the function that they are given
PURE_OF_MODULES = {"sqrt", "log", "exp", "finfo", "array", "float32", "float64", "int32", "int64"} | PURE_BY_NAME
_SIMPLE = (
    *(ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.Starred, ast.Name, ast.Attribute, ast.Lambda, ast.Call),
    *(ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Subscript, ast.Slice),
)
STARS = {"numpy": set(np.__all__), "math": set(dir(math)), "builtins": set(dir(builtins))}

# Says what becomes of an import: the statement that takes its place, and the notes; None leaves it out.
Resolve = Callable[[ast.Import | ast.ImportFrom], tuple[Sequence[ast.Import | ast.ImportFrom], Sequence[Note]]]


@dataclass
class Extract:
    """The source to execute and what is in it. `dropped` has the modules by the names that lost their import."""

    source: str
    functions: dict[str, FunctionInfo] = field(default_factory=dict)
    classes: dict[str, dict[str, FunctionInfo]] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    imports: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    broken: dict[str, Raised] = field(default_factory=dict)


def extract(text: str, tree: ast.Module, resolve: Resolve, stars: Callable[[str], set[str] | None]) -> Extract:
    """Return the definitions of a file as source to execute.

    Args:
        text: the file, which parses to `tree`.
        resolve: see `Resolve`.
        stars: the names that `from module import *` brings, None where that is not known.
    """
    work = _Selection(text, resolve, stars)
    for node in tree.body:
        work.take(node)
    return work.finish(tree)


class _Selection:
    """Keeps or drops one top-level statement after the other, knowing the names that are defined so far."""

    def __init__(self, text: str, resolve: Resolve, stars: Callable[[str], set[str] | None]) -> None:
        self.text, self.where, self.resolve, self.stars = text, Positions(text), resolve, stars
        self.result = Extract("")
        self.kept: list[Edit] = []  # where in the text, and what stands there
        self.definitions: dict[str, Function | ast.ClassDef | ast.Lambda] = {}
        self.twice: dict[str, None] = {}
        self.defined = set(dir(builtins)) | {"__name__", "__file__"}
        self.all_known = True  # False after an `import *` of a module that cannot be looked into
        self.dropped: list[ast.stmt] = []

    def take(self, node: ast.stmt) -> None:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            pass  # must stand at the start, which cells and pieces do not; and Python 3 has what old files ask for
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self._import(node)
        elif isinstance(node, Function | ast.ClassDef):
            self._definition(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and self._is_simple_assignment(node):
            self._keep(node)
            self.defined.update(stored(node))
            self._other_name(node)
        elif isinstance(node, ast.Try | ast.If) and self._is_choice(node):
            self._keep(node)
            self.defined.update(stored(node))
            for inner in ast.walk(node):
                if isinstance(inner, Function):
                    self.definitions[inner.name] = inner
                    self.defined.add(inner.name)
                elif isinstance(inner, ast.Import | ast.ImportFrom):
                    self.defined.update(bound(inner))
        else:
            self.dropped.append(node)

    def _keep(self, node: ast.stmt, edits: Iterable[Edit] = ()) -> None:
        start, end = self.where.span(node)
        if isinstance(node, Function | ast.ClassDef) and node.decorator_list:
            start = self.text.rindex("@", 0, self.where.span(node.decorator_list[0])[0])
        inside = [Edit(edit.start - start, edit.end - start, edit.text) for edit in edits]
        self.kept.append(Edit(start, end, apply(self.text[start:end], inside)))

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        statements, notes = self.resolve(node)
        self.result.notes += notes
        for statement in statements:
            names = bound(statement)
            if names == ["*"]:
                brought = self.stars(statement.module or "") if isinstance(statement, ast.ImportFrom) else None
                self.all_known &= brought is not None
                names = sorted(brought or ())
            self.defined.update(names)
        kept = {name for statement in statements for name in bound(statement)}
        module = getattr(node, "module", None) or ""
        for alias in node.names:
            name = alias.asname or alias.name.split(".")[0]
            if name not in kept:
                self.result.dropped[name] = module or alias.name
        if statements:
            start, end = self.where.span(node)
            written = "; ".join(map(ast.unparse, statements))
            self._keep(node, [Edit(start, end, written + "\n" * self.text.count("\n", start, end))])

    def _definition(self, node: Function | ast.ClassDef) -> None:
        edits = self._unresolved(node)
        missing = self._missing(names_when_defined(node))
        if missing:
            self.result.broken[node.name] = Raised("NameError", node.lineno, f"name '{missing[0]}' is not defined")
            return
        if node.name in self.definitions:
            self.twice[node.name] = None
        self.definitions[node.name] = node
        self.defined.add(node.name)
        self._keep(node, edits)

    def _other_name(self, node: ast.Assign | ast.AnnAssign) -> None:
        """`f = lambda x: …` and `f = g` define a function too."""
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if isinstance(target, ast.Name):
            value = self.definitions.get(node.value.id) if isinstance(node.value, ast.Name) else node.value
            if isinstance(value, Function | ast.ClassDef | ast.Lambda):
                self.definitions[target.id] = value

    def _missing(self, names: Collection[str]) -> list[str]:
        return [name for name in names if name not in self.defined] if self.all_known else []

    def _unresolved(self, node: Function | ast.ClassDef) -> list[Edit]:
        """Take annotations and decorators that name what is not there out of the tree, and say how out of the text."""
        edits = []
        own = node.body if isinstance(node, ast.ClassDef) else []
        methods = [inner for inner in own if isinstance(inner, Function)]
        in_class = {method.name for method in methods} | {name for inner in own for name in stored(inner)}
        for inner in [node, *methods]:
            for decorator in list(inner.decorator_list):
                if set(self._missing(reads_of(decorator))) - in_class:
                    start, end = self.where.span(decorator)
                    edits.append(self._blank(self.text.rindex("@", 0, start), end))
                    inner.decorator_list.remove(decorator)
            if isinstance(inner, ast.ClassDef):
                continue
            for argument in all_arguments(inner):
                if argument.annotation and self._missing(reads_of(argument.annotation)):
                    start, end = self.where.span(argument)
                    edits.append(self._blank(start + len(argument.arg), end, joined=True))
                    argument.annotation = None
            if inner.returns and self._missing(reads_of(inner.returns)):
                start, end = self.where.span(inner.returns)
                edits.append(self._blank(self.text.rindex("->", 0, start), end, joined=True))
                inner.returns = None
        return edits

    def _blank(self, start: int, end: int, joined: bool = False) -> Edit:
        """Blanks and the same lines; `joined` where the statement goes on after them."""
        lines = self.text[start:end].split("\n")
        return Edit(start, end, ("\\\n" if joined else "\n").join(" " * len(line) for line in lines))

    def _is_simple_assignment(self, node: ast.Assign | ast.AnnAssign) -> bool:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        parts = [part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])]
        annotated = isinstance(node, ast.AnnAssign) and bool(self._missing(reads_of(node.annotation)))
        named = all(isinstance(part, ast.Name) for part in parts) and not annotated
        return named and node.value is not None and self._is_simple(node.value)

    def _is_simple(self, value: ast.expr) -> bool:
        """A value made of constants, names defined above and harmless calls; the body of a lambda is not looked at."""
        if not isinstance(value, _SIMPLE):
            return False
        if isinstance(value, ast.Lambda):
            return not self._missing([name for d in value.args.defaults for name in reads_of(d)])
        if isinstance(value, ast.Name):
            return value.id in self.defined or not self.all_known
        if isinstance(value, ast.Call) and not self._is_pure(value.func):
            return False
        keywords = [keyword.value for keyword in value.keywords] if isinstance(value, ast.Call) else []
        children = [child for child in ast.iter_child_nodes(value) if isinstance(child, ast.expr)]
        return all(self._is_simple(child) for child in [*children, *keywords])

    def _is_pure(self, function: ast.expr) -> bool:
        if isinstance(function, ast.Attribute):
            return isinstance(function.value, ast.Name) and function.attr in PURE_OF_MODULES
        return isinstance(function, ast.Name) and function.id in PURE | PURE_BY_NAME

    def _is_choice(self, node: ast.Try | ast.If) -> bool:
        """`try: import …`, `if version: …`: nothing but imports, definitions and constants in every branch."""
        if isinstance(node, ast.If):
            if not self._is_simple(node.test) or "__name__" in reads_of(node.test):
                return False
            inner = [*node.body, *node.orelse]
        else:
            handled = [inner for handler in node.handlers for inner in handler.body]
            inner = [*node.body, *handled, *node.orelse, *node.finalbody]
        return all(self._is_harmless(part, guarded=isinstance(node, ast.Try)) for part in inner)

    def _is_harmless(self, node: ast.stmt, guarded: bool) -> bool:
        if isinstance(node, ast.Import | ast.ImportFrom):
            return (guarded or bool(self.resolve(node)[0])) and getattr(node, "level", 0) == 0
        if isinstance(node, ast.Assign | ast.AnnAssign):
            return self._is_simple_assignment(node)
        if isinstance(node, ast.Try | ast.If):
            return self._is_choice(node)
        if isinstance(node, ast.Expr):
            printed = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "print"
            return isinstance(node.value, ast.Name) or (printed and not self._missing(reads_of(node)))
        return isinstance(node, Function | ast.Pass)

    def finish(self, tree: ast.Module) -> Extract:
        """Write the source and describe the definitions, now that all names are known."""
        result = self.result
        result.source = _only(self.text, self.kept)
        result.imports = imported(tree)
        lines = self.text.split("\n")
        for name, node in self.definitions.items():
            if isinstance(node, ast.ClassDef):
                methods = [inner for inner in node.body if isinstance(inner, Function)]
                result.classes[name] = {inner.name: self._describe(inner.name, inner, lines) for inner in methods}
            else:
                result.functions[name] = self._describe(name, node, lines)
        for name in self.twice:
            result.notes.append(Note("defined-twice", f"{name} is defined more than once; the last one was graded."))
        if any(self._trains(node) for node in self.dropped):
            result.notes.append(Note("trains-at-import", "The file computes when it is imported; that was left out."))
        return result

    def _describe(self, name: str, node: Function | ast.Lambda, lines: Sequence[str]) -> FunctionInfo:
        info = describe(name, node, lines)
        info.uses = [read for read in info.reads if read in self.definitions]
        info.free_names = self._missing(info.reads)
        return info

    def _trains(self, node: ast.stmt) -> bool:
        """A loop that calls a function of the file, one without end, or a call of what is named like training."""
        if isinstance(node, ast.If) and "__name__" in reads_of(node.test):
            return False
        called = {name for name in reads_of(node) if name in self.definitions}
        loops = isinstance(node, ast.While) or (isinstance(node, ast.For) and bool(called))
        return loops or any(name.startswith(("train", "fit", "model", "main")) for name in called)


def _only(text: str, kept: Sequence[Edit]) -> str:
    """The kept pieces, each on its line, and nothing else; several on one line are joined by `;`."""
    written: list[str] = []
    position = 0
    for start, end, piece in sorted(kept):
        lines = text.count("\n", position, start)
        same_line = bool(written) and lines == 0
        written += ["\n" * lines, "; " if same_line else "", piece]
        position = end
    return "".join([*written, "\n" * text.count("\n", position)])
