"""The slips of a sum or difference: a sign, a term left out or taken twice, a bracket. The rest is in edits.py."""

import ast
from collections.abc import Iterator, Sequence
from functools import reduce

Found = tuple[str, str, ast.expr]  # kind, what is said to stand there, the new node


def operation(left: ast.expr, op: ast.operator, right: ast.expr) -> ast.BinOp:
    """A new node."""
    return ast.BinOp(left, op, right)


def terms_of(node: ast.expr) -> list[ast.expr]:
    """The summands of a chain of `+`."""
    chain = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add)
    return [*terms_of(node.left), node.right] if chain else [node]  # type: ignore[attr-defined]


def sum_(terms: Sequence[ast.expr]) -> ast.expr:
    """The sum of these."""
    return reduce(lambda a, b: operation(a, ast.Add(), b), terms)


def few_terms(node: ast.BinOp) -> Iterator[Found]:
    """A sum of three or more that keeps one term: each is assigned and not added."""
    terms = terms_of(node)
    for k, kept in enumerate(terms) if len(terms) > 2 else ():
        yield "term left out", " + ".join(ast.unparse(t) for t in [*terms[:k], *terms[k + 1 :]]), kept


def of_sum(node: ast.BinOp) -> Iterator[Found]:
    """What may stand in the place of a sum or difference."""
    left, right, op = node.left, node.right, node.op
    text = ast.unparse
    minus = isinstance(op, ast.Sub)
    constant = isinstance(left, ast.Constant)
    other = ast.Add() if minus else ast.Sub()
    yield ("complement" if constant else "sign"), "", operation(left, other, right)
    if minus:
        yield ("complement" if constant else "sign"), "", operation(right, ast.Sub(), left)
    if constant:
        yield "complement", "", right
        yield "complement", "", operation(left, ast.Sub(), operation(right, ast.Pow(), ast.Constant(2)))
        yield "complement", "", ast.UnaryOp(ast.USub(), right)
        yield "complement", "", operation(ast.Constant(2), op, right)
        if isinstance(right, ast.BinOp) and isinstance(right.op, ast.Pow):
            yield "bracket", "", operation(operation(left, op, right.left), ast.Pow(), right.right)
            root = operation(left, ast.Sub(), right)
            yield "power", "", ast.Call(ast.Name("sqrt"), [root], [])
            yield "complement", "", operation(right.left, ast.Mult(), operation(left, ast.Sub(), right.left))
            for unit in ("tanh", "sigmoid"):
                inner = ast.Call(ast.Name(unit), [right.left], [])
                yield "function", "", operation(left, ast.Sub(), operation(inner, ast.Pow(), right.right))
    else:
        yield "term left out", text(right), left
        yield "term left out", text(left), (ast.UnaryOp(ast.USub(), right) if minus else right)
        if minus:
            yield "term left out", text(left), right
        if minus and isinstance(right, ast.Call):  # p - one_hot, where only the entry of the target is turned
            turned = operation(ast.Constant(1), ast.Sub(), operation(ast.Constant(2), ast.Mult(), left))
            yield "sign", "", operation(left, ast.Add(), operation(right, ast.Mult(), turned))
        yield "term doubled", "", operation(operation(left, op, right), op, right)
        yield "term doubled", "", operation(operation(left, ast.Add(), left), op, right)
        yield "sign", "", ast.UnaryOp(ast.USub(), node)
        if not minus:
            yield "sign", "", operation(right, ast.Sub(), left)
            yield "term replaced", text(right), operation(left, op, left)
            yield "term replaced", text(left), operation(right, op, right)
        yield from _with_brackets(node)
    if isinstance(left, ast.BinOp) and isinstance(right, ast.BinOp) and type(left.op) is type(right.op):
        yield (
            "exchange",
            "",
            operation(operation(right.left, left.op, left.right), op, operation(left.left, right.op, right.right)),
        )


def _with_brackets(node: ast.BinOp) -> Iterator[Found]:
    left, right, op = node.left, node.right, node.op
    if isinstance(right, ast.BinOp) and isinstance(right.op, ast.Mult):
        yield "bracket", "", operation(operation(left, op, right.left), ast.Mult(), right.right)
        yield "bracket", "", operation(operation(left, op, right.right), ast.Mult(), right.left)
    if isinstance(left, ast.BinOp) and isinstance(left.op, ast.Mult):
        yield "bracket", "", operation(left.left, ast.Mult(), operation(left.right, op, right))
        yield "bracket", "", operation(left.right, ast.Mult(), operation(left.left, op, right))
