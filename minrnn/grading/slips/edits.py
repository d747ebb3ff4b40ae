"""Every single slip of one expression: another name, a factor left out, a sign, a bracket. No meaning, and no loops.

Each alternative is a whole new expression with what was there, what stands there now, and the kind of the slip.
"""

import ast
import copy
import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from minrnn.grading.slips.sums import Found, few_terms, of_sum, operation, sum_, terms_of

FUNCTIONS = ("tanh", "sigmoid", "relu", "exp", "sqrt", "log")
UNITS = ("tanh", "sigmoid", "relu")
Path = tuple[tuple[str, int | None], ...]


@dataclass(frozen=True)
class Edit:
    """One slip of an expression.

    Attributes:
        kind: such as "name" or "factor left out".
        right: what should stand there, or what was left out.
        wrong: what stands there.
        text: the whole expression with it.
    """

    kind: str
    right: str
    wrong: str
    text: str


@dataclass(frozen=True)
class Scope:
    """What may stand in the place of a name: `like` are the names of the same shape, `values` those of unit outputs."""

    like: Mapping[str, Collection[str]]
    values: Collection[str] = ()
    indices: Mapping[str, Collection[str]] = ()  # type: ignore[assignment]


def edits(text: str, scope: Scope) -> list[Edit]:
    """All slips of an expression, none twice."""
    tree = ast.parse(text, mode="eval").body
    found: dict[str, Edit] = {}
    same = ast.unparse(tree)
    for path, node, parents in _nodes(tree):
        for kind, said, new in _alternatives(node, parents, scope):
            whole = ast.unparse(_replaced(tree, path, new))
            if whole != same and whole not in found:
                wrong = said if kind.endswith("left out") else ast.unparse(new)
                found[whole] = Edit(kind, said or ast.unparse(node), wrong, whole)
    for edit in _of_the_whole(tree, same):
        found.setdefault(edit.text, edit)
    return list(found.values())


def _nodes(node: ast.AST, path: Path = (), parents: tuple[ast.AST, ...] = ()) -> Iterator[tuple[Path, Any, tuple]]:
    """Every expression inside, with its path and what is around it."""
    yield path, node, parents
    for field, value in ast.iter_fields(node):
        several = value if isinstance(value, list) else [value]
        for k, child in enumerate(several):
            if isinstance(child, ast.expr | ast.keyword):
                step = (field, k if isinstance(value, list) else None)
                yield from _nodes(child, (*path, step), (*parents, node))


def _replaced(tree: ast.expr, path: Path, new: ast.expr) -> ast.expr:
    """A copy of the tree with another node at a path."""
    if not path:
        return new
    field, k = path[0]
    node = copy.copy(tree)
    value = getattr(node, field)
    if k is None:
        setattr(node, field, _replaced(value, path[1:], new))
    else:
        setattr(node, field, [*value[:k], _replaced(value[k], path[1:], new), *value[k + 1 :]])
    return node


def names_in(text: str) -> list[str]:
    """The names of an expression, in order."""
    return [node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)]


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _alternatives(node: Any, parents: tuple, scope: Scope) -> Iterator[Found]:
    """What may stand in the place of a node."""
    if isinstance(node, ast.Name):
        yield from _of_name(node, parents, scope)
    elif isinstance(node, ast.BinOp):
        yield from _of_operation(node, scope)
    elif isinstance(node, ast.Call):
        yield from _of_call(node, scope)
    elif isinstance(node, ast.Attribute) and node.attr == "T":
        yield "transpose", "", node.value
    elif isinstance(node, ast.UnaryOp):
        yield "sign", "", node.operand
    elif isinstance(node, ast.Compare):
        yield from _of_comparison(node)
    elif isinstance(node, ast.Subscript):
        base = ast.unparse(node.value)
        for other in scope.indices.get(base, ()) if scope.indices else ():
            yield "index", "", ast.Subscript(node.value, _expression(other), ast.Load())


def _of_name(node: ast.Name, parents: tuple, scope: Scope) -> Iterator[Found]:
    parent = parents[-1] if parents else None
    if (isinstance(parent, ast.Call) and node is parent.func) or (
        isinstance(parent, ast.Subscript) and node is parent.slice
    ):
        return
    for other in scope.like.get(node.id, ()):
        yield "name", "", ast.Name(other)
    if node.id not in scope.like:
        return
    product = any(isinstance(p, ast.BinOp) and isinstance(p.op, ast.MatMult) for p in parents)
    if not product:
        yield "power", "", operation(node, ast.Pow(), ast.Constant(2))
    if product and node.id.startswith("Wh") and not isinstance(parent, ast.Attribute):
        yield "transpose", "", ast.Attribute(node, "T")
    if node.id in scope.values:
        for unit in ("tanh", "sigmoid"):
            yield "function", "", ast.Call(ast.Name(unit), [node], [])
        if not product and not (isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Sub)):
            yield "complement", "", operation(ast.Constant(1), ast.Sub(), node)


def _of_operation(node: ast.BinOp, scope: Scope) -> Iterator[Found]:
    left, right, op = node.left, node.right, node.op
    text = ast.unparse
    if isinstance(op, ast.Mult):
        yield "factor left out", text(right), left
        yield "factor left out", text(left), right
        if isinstance(left, ast.BinOp) and isinstance(left.op, ast.Mult):  # d * s * (1 - s)
            yield "factor left out", f"{text(left.right)} * {text(right)}", left.left
        yield "factor doubled", "", operation(operation(left, ast.Mult(), right), ast.Mult(), right)
        yield "factor doubled", "", operation(operation(left, ast.Mult(), left), ast.Mult(), right)
        yield "operator", "", operation(left, ast.Add(), right)
        yield "operator", "", operation(left, ast.Div(), right)
        for a, b in ((left, right), (right, left)):  # a bracket left out
            if isinstance(b, ast.BinOp) and isinstance(b.op, ast.Add | ast.Sub):
                yield "bracket", "", operation(operation(a, ast.Mult(), b.left), b.op, b.right)
                yield "bracket", "", operation(b.left, b.op, operation(b.right, ast.Mult(), a))
    elif isinstance(op, ast.Div):
        yield "factor left out", f"/ {text(right)}", left
        yield "operator", "", operation(left, ast.Mult(), right)
        if not isinstance(left, ast.Constant):
            yield "factor left out", text(left), operation(ast.Constant(1), ast.Div(), right)
    elif isinstance(op, ast.Pow):
        if isinstance(left, ast.Name):
            for other in scope.like.get(left.id, ()):
                yield "name in square", "", operation(left, ast.Mult(), ast.Name(other))
        yield "power", "", left
        yield "power", "", operation(left, ast.Pow(), ast.Constant(3))
        yield "power", "", operation(left, ast.Mult(), right)
    elif isinstance(op, ast.MatMult):
        yield "operator", "", operation(left, ast.Mult(), right)
    elif isinstance(op, ast.Add | ast.Sub):
        yield from of_sum(node)
        yield from few_terms(node)


def _of_call(node: ast.Call, scope: Scope) -> Iterator[Found]:
    if isinstance(node.func, ast.Attribute):
        yield from _of_reduction(node, node.func)
        return
    name = getattr(node.func, "id", "")
    if name not in FUNCTIONS or len(node.args) != 1:
        return
    (argument,) = node.args
    others = UNITS if name in UNITS else ("abs",) if name == "sqrt" else ()
    for other in others:
        if other != name:
            yield "function", "", ast.Call(ast.Name(other), [argument], [])
    yield "function left out", name, argument
    yield "function", "", ast.Call(node.func, [node], [])
    for inner in UNITS if name in UNITS else ():
        yield "function", "", ast.Call(node.func, [ast.Call(ast.Name(inner), [argument], [])], [])
    yield "argument", "", ast.Call(node.func, [ast.UnaryOp(ast.USub(), argument)], [])
    yield "argument", "", ast.UnaryOp(ast.USub(), node)
    if name in UNITS:
        yield "argument", "", operation(ast.Constant(1), ast.Sub(), node)
    terms = terms_of(argument)
    for size in range(1, len(terms)):  # a bracket that closes too early
        for inside in itertools.combinations(terms, size):
            outside = [term for term in terms if term not in inside]
            yield "bracket", "", sum_([ast.Call(node.func, [sum_(inside)], []), *outside])


def _of_reduction(node: ast.Call, method: ast.Attribute) -> Iterator[Found]:
    """A sum or a maximum: its axis, a mean in its place."""
    rest = [word for word in node.keywords if word.arg != "axis"]
    if method.attr == "sum":
        yield "mean", "", ast.Call(ast.Attribute(method.value, "mean"), node.args, node.keywords)
    own = [ast.unparse(word.value) for word in node.keywords if word.arg == "axis"]
    for axis in ("0", "1", "2", "(0, 1)", "None"):
        if own and axis not in own:
            keyword = ast.keyword("axis", _expression(axis))
            yield "axis", "", ast.Call(method, node.args, [keyword, *rest])


def _of_comparison(node: ast.Compare) -> Iterator[Found]:
    """`t > 0` and its neighbours; always and never."""
    (right,) = node.comparators
    for text in ("t > 0", "t > 1", "t >= 0", "t < 0", "t == 0", "t < T - 1", "t > 2"):
        if ast.unparse(node.left) == "t":
            yield "guard", "", _expression(text)
    if ast.unparse(node.left) != "t":
        yield "guard", "", ast.Compare(node.left, [ast.Lt()], [right])


def _of_the_whole(tree: ast.expr, text: str) -> Iterator[Edit]:
    """Slips of a line as a whole: its sign, a factor of a size."""
    if isinstance(tree, ast.Lambda | ast.Constant):
        return
    yield Edit("negated", text, f"-({text})", f"-({text})")
    for size in ("N", "T", "(N * T)"):
        yield Edit("divided", text, f"({text}) / {size}", f"({text}) / {size}")
    yield Edit("whole doubled", text, f"2 * ({text})", f"2 * ({text})")
    names = sorted({n.id for n in ast.walk(tree) if isinstance(n, ast.Name)})
    for k, a in enumerate(names):
        for b in names[k + 1 :]:
            swapped = copy.deepcopy(tree)
            for n in ast.walk(swapped):
                if isinstance(n, ast.Name) and n.id in (a, b):
                    n.id = b if n.id == a else a
            yield Edit("exchange", f"{a}, {b}", f"{b}, {a}", ast.unparse(swapped))
