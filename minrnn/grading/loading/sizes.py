"""Divisions whose result is used as a size or an index, where Python 2 gave a whole number and Python 3 a float.

What it is: which `/` of a syntax tree stand in a subscript, a range or the shape of an array, at once or through a
name, as `H` in `H = a.shape[1] / 4` and `a[:, :H]`.
What it is not: type inference. Only names and arithmetic are followed, no call and no subscript, so that a formula
such as `np.exp(y) / np.sum(np.exp(y))` is never touched.
"""

import ast
from collections.abc import Iterator

from minrnn.grading.loading.scan import Edit, Positions

# Calls all of whose arguments, or only the k-th, are sizes.
ALL = {"range", "xrange", "reshape", "randn", "rand", "resize"}
ONE = {"zeros": 0, "ones": 0, "empty": 0, "full": 0, "eye": 0, "identity": 0}
ONE |= {"split": 1, "array_split": 1, "hsplit": 1, "vsplit": 1, "tile": 1, "repeat": 1}


def divisions_of_sizes(tree: ast.Module, text: str) -> tuple[list[Edit], list[int]]:
    """Return the edits that make such divisions whole, and the lines they are in, sorted."""
    found: dict[int, ast.BinOp | ast.AugAssign] = {}
    scopes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for scope in scopes:
        for node in _in_scope(scope):
            found[id(node)] = node
    where = Positions(text)
    edits = [_edit(node, text, where) for node in found.values()]
    return edits, sorted({node.lineno for node in found.values()})


def _in_scope(scope: ast.AST) -> Iterator[ast.BinOp | ast.AugAssign]:
    names: set[str] = set()
    bound: dict[str, list[ast.expr]] = {}
    halved: dict[str, list[ast.AugAssign]] = {}
    for node in ast.walk(scope):
        for size in _sizes(node):
            yield from _divisions(size, names)
        for name, value in _bindings(node):
            bound.setdefault(name, []).append(value)
        if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Div) and isinstance(node.target, ast.Name):
            halved.setdefault(node.target.id, []).append(node)
    waiting = sorted(names)
    while waiting:
        name = waiting.pop()
        yield from halved.get(name, ())
        more: set[str] = set()
        for value in bound.get(name, ()):
            yield from _divisions(value, more)
        waiting += sorted(more - names)
        names |= more


def _sizes(node: ast.AST) -> list[ast.expr]:
    """The expressions at this node that must be whole numbers."""
    if isinstance(node, ast.Subscript):
        return [node.slice]
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        named = [keyword.value for keyword in node.keywords if keyword.arg in ("shape", "size", "newshape")]
        if name in ALL:
            return [*node.args, *named]
        return [*node.args[ONE[name] : ONE[name] + 1], *named] if name in ONE else named
    return []


def _divisions(size: ast.expr | None, names: set[str]) -> Iterator[ast.BinOp]:
    """The divisions in a size; names that it reads are added to `names`."""
    if isinstance(size, ast.Name):
        names.add(size.id)
    elif isinstance(size, ast.BinOp):
        if isinstance(size.op, ast.Div):
            yield size
        yield from _divisions(size.left, names)
        yield from _divisions(size.right, names)
    elif isinstance(size, ast.UnaryOp | ast.Starred):
        yield from _divisions(size.operand if isinstance(size, ast.UnaryOp) else size.value, names)
    elif isinstance(size, ast.Tuple | ast.List):
        for part in size.elts:
            yield from _divisions(part, names)
    elif isinstance(size, ast.Slice):
        for bound in (size.lower, size.upper, size.step):
            yield from _divisions(bound, names)


def _bindings(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """(name, value) of what this node assigns, also as one of several."""
    if not isinstance(node, ast.Assign):
        return
    for target in node.targets:
        if isinstance(target, ast.Name):
            yield target.id, node.value
        elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = zip(target.elts, node.value.elts, strict=False)
            yield from ((part.id, value) for part, value in pairs if isinstance(part, ast.Name))


def _edit(node: ast.BinOp | ast.AugAssign, text: str, where: Positions) -> Edit:
    """A second `/` after the one between the operands; comments there may have some of their own."""
    left = node.left if isinstance(node, ast.BinOp) else node.target
    place = where.span(left)[1]
    while text[place] != "/":
        place = text.index("\n", place) if text[place] == "#" else place + 1
    return Edit(place, place + 1, "//")
