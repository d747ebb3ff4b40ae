"""Repairs of faults that are the environment's, not the mathematics': Python 2, old NumPy, imports that lead nowhere.

What it is: `mend` makes a text that Python can parse out of one that it cannot, in the largest pieces possible;
`ladder` yields a parsed source after one repair more each time, for whoever runs it to stop at the first that works;
`fault_of` tells an exception that says something about versions from one that says something about the work.
What it is not: a judge. Nothing is run here, and no repair touches a formula: a `/` becomes `//` only in a size.
Every repair keeps every line where it was.
"""

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

from minrnn.grading.loading.python2 import RENAMED, modernise
from minrnn.grading.loading.scan import Edit, Positions, apply, blank, pieces, pieces_at_any_cost
from minrnn.grading.loading.sizes import divisions_of_sizes
from minrnn.grading.outcome.result import Note, Raised

# Names that NumPy had: what to write for them. Those of Python's own types are the same object.
REMOVED = {
    **{name: name for name in ("bool", "int", "float", "complex", "object", "str")},
    **{"long": "int", "unicode": "str"},
    **{"float_": "np.float64", "complex_": "np.complex128", "unicode_": "np.str_", "string_": "np.bytes_"},
    **{"Inf": "np.inf", "Infinity": "np.inf", "infty": "np.inf", "PINF": "np.inf", "NINF": "(-np.inf)"},
    **{"NaN": "np.nan", "NAN": "np.nan", "product": "np.prod", "cumproduct": "np.cumprod", "in1d": "np.isin"},
    **{"alltrue": "np.all", "sometrue": "np.any", "row_stack": "np.vstack", "mat": "np.asmatrix"},
}
_DEFINED = re.compile(r"^(?:async +def|def|class) +(\w+)", re.MULTILINE)


@dataclass
class Mended:
    """A text that parses, the notes of what was repaired, and by name what could not be read.

    `errors` has every part that could not be read, named or not; lines count in the text as it was.
    """

    text: str
    tree: ast.Module
    repairs: list[Note] = field(default_factory=list)
    broken: dict[str, Raised] = field(default_factory=dict)
    errors: list[Raised] = field(default_factory=list)


def parse(text: str) -> ast.Module:
    """Return the syntax tree of a text that compiles; whatever stops that, deep nesting too, is a SyntaxError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an escape such as \d in a text is no business of ours
        try:
            tree = ast.parse(text)
            compile(tree, "<submission>", "exec", dont_inherit=True)  # refuses what the grammar alone allows
            return tree
        except (ValueError, RecursionError, MemoryError) as error:
            raise SyntaxError(f"cannot be parsed: {type(error).__name__}") from error


def mend(text: str) -> Mended:
    """Return the text as Python 3 can parse it: as it is, else from Python 2, else what remains of its pieces."""
    try:
        return Mended(text, parse(text))
    except SyntaxError:
        pass
    modern, changes = modernise(text)
    try:
        return Mended(modern, parse(modern), [_python2(changes)])
    except SyntaxError:
        pass
    mended = Mended("", ast.Module([], []))
    changed: list[str] = []
    mended.text = "".join(_readable(piece, mended, changed) for piece in _numbered(pieces(text)))
    mended.tree = ast.parse(mended.text)  # compiled it was piece by piece; together it need not, see __future__
    if changed:
        mended.repairs.append(_python2(changed))
    return mended


@dataclass
class _Piece:
    text: str
    line: int  # of its first line, from 1


def _numbered(texts: list[str], line: int = 1) -> list[_Piece]:
    numbered = []
    for text in texts:
        numbered.append(_Piece(text, line))
        line += text.count("\n")
    return numbered


def _readable(piece: _Piece, mended: Mended, changed: list[str]) -> str:
    """The piece if it parses, or repaired, or those of its statements that do; blank lines for the rest."""
    modern, changes = modernise(piece.text)
    for candidate, notes in ((piece.text, []), (modern, changes)):
        try:
            parse(candidate)
        except SyntaxError as error:
            fault = error
        else:
            changed += [_shifted(note, piece.line - 1) for note in notes]
            return candidate
    inner = pieces_at_any_cost(piece.text)
    if len(inner) > 1:
        return "".join(_readable(part, mended, changed) for part in _numbered(inner, piece.line))
    text = re.sub(r" \(detected at line \d+\)", "", fault.msg)  # it counts from the start of the piece
    raised = Raised(type(fault).__name__, piece.line - 1 + (fault.lineno or 1), text)
    mended.errors.append(raised)
    for name in _DEFINED.findall(piece.text):
        mended.broken[name] = raised
    return blank(piece.text)


def _shifted(change: str, lines: int) -> str:
    return re.sub(r"\(line (\d+)\)$", lambda match: f"(line {int(match[1]) + lines})", change)


def _python2(changes: list[str]) -> Note:
    return Note("python2-syntax", f"Python 2 was repaired: {shortened(changes) or 'indentation'}.")


def shortened(items: list[str]) -> str:
    """Return the first five of a list, and how many more there are."""
    shown = items[:5]
    more = [f"{len(items) - 5} more"] if len(items) > 5 else []
    return ", ".join(shown + more)


def ladder(source: str) -> Iterator[tuple[str, Note | None]]:
    """Yield (source, None), then the source after each further repair that changes it, with the note of that rung.

    Repairs add up: Python 2, division of sizes, names that NumPy removed, imports that nothing uses.
    """
    yield source, None
    for rung in (_modern, _whole_sizes, _numpy_names, _without_unused_imports):
        try:
            repaired, note = rung(source)
        except SyntaxError:
            continue
        if note is not None:
            source = repaired
            yield source, note


def _modern(source: str) -> tuple[str, Note | None]:
    modern, changes = modernise(source)
    return modern, _python2(changes) if changes else None


def _whole_sizes(source: str) -> tuple[str, Note | None]:
    edits, lines = divisions_of_sizes(parse(source), source)
    places = ", ".join(map(str, lines))
    note = Note("python2-division", f"/ gives a float where a size or an index is needed (line {places}): // was put.")
    return apply(source, edits), note if edits else None


def _numpy_names(source: str) -> tuple[str, Note | None]:
    tree, where = parse(source), Positions(source)
    aliases = _numpy_aliases(tree)
    edits, found = [], []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            new = REMOVED.get(node.attr)
            if new is not None:
                edits.append(Edit(*where.span(node), new.replace("np.", f"{node.value.id}.")))
                found.append(f"{node.value.id}.{node.attr} (line {node.lineno})")
        elif _is_list_index(node):
            start, end = where.span(node.args[1])  # type: ignore[attr-defined]
            edits += [Edit(start, start + 1, "("), Edit(end - 1, end, ",)" if source[end - 2] != "," else ")")]
            found.append(f"a list of indices in add.at (line {node.lineno})")  # type: ignore[attr-defined]
    note = Note("removed-numpy-api", f"Removed from NumPy: {shortened(found)}.")
    return apply(source, edits), note if found else None


def _numpy_aliases(tree: ast.AST) -> set[str]:
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.Import))
    return {alias.asname or alias.name for node in imports for alias in node.names if alias.name == "numpy"}


def _is_list_index(node: ast.AST) -> bool:
    """`add.at(a, [i, j], …)` with arrays i, j: the list was taken for a tuple once. A list of numbers is an index."""
    if not (isinstance(node, ast.Call) and len(node.args) > 1 and isinstance(node.args[1], ast.List)):
        return False
    elements = node.args[1].elts
    return ast.unparse(node.func).endswith("add.at") and not all(isinstance(part, ast.Constant) for part in elements)


def _without_unused_imports(source: str) -> tuple[str, Note | None]:
    """Top-level imports whose names occur nowhere else; `import *` and `__future__` stay."""
    tree, where = parse(source), Positions(source)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    edits, found = [], []
    for node in tree.body:
        if not isinstance(node, ast.Import | ast.ImportFrom) or getattr(node, "module", "") == "__future__":
            continue
        bound = [(alias.asname or alias.name).split(".")[0] for alias in node.names]
        if "*" in bound or used & set(bound):
            continue
        start, end = where.span(node)
        edits.append(Edit(start, end, "pass" + blank(source[start:end])))
        found.append(f"{ast.unparse(node)} (line {node.lineno})")
    note = Note("missing-module", f"Unused imports were left out: {shortened(found)}.")
    return apply(source, edits), note if found else None


_FAULTS = (
    ("python2-division", "TypeError", r"'(numpy\.)?float\d*' object cannot be interpreted as an integer"),
    ("python2-division", "TypeError", r"expected a sequence of integers or a single integer, got '?\d+\.\d"),
    ("python2-division", "TypeError", r"slice indices must be integers"),
    ("python2-syntax", "NameError", rf"name '({'|'.join(RENAMED)})'"),
    ("python2-syntax", "AttributeError", r"'dict' object has no attribute '(iter\w+|has_key)'"),
    (
        "python2-syntax",
        "TypeError",
        r"unsupported operand .* for (%|>>): '(NoneType|builtin_function_or_method)'",
    ),
    ("removed-numpy-api", "AttributeError", r"module 'numpy' has no attribute"),
    ("removed-numpy-api", "AttributeError", r"`np\.\w+` was removed"),
    ("ragged-array", "ValueError", r"inhomogeneous shape"),
    ("missing-module", "ModuleNotFoundError", r"No module named"),
    ("missing-module", "ImportError", r"."),
)


def fault_of(kind: str, text: str) -> str | None:
    """Return the code of the environment's fault that an exception (its type and text) shows, None if it shows none.

    What a mistake in the work may raise as well, such as an index that is a float, is none; the ladder finds those.
    """
    return next((code for code, type_, pattern in _FAULTS if kind == type_ and re.search(pattern, text)), None)
