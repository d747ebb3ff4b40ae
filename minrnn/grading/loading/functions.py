"""What the text of one function says: its arguments, whether it was written, and where it computes what it returns.

What it is: a reading of the text. The line of a returned name is the last one that binds or changes it.
What it is not: a search for mistakes; one may stand in an earlier line, which that one reads.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from minrnn.grading.loading.names import reads_of
from minrnn.grading.loading.stubs import Function, is_stub


@dataclass
class FunctionInfo:
    """A function or method of a submission.

    Attributes:
        name: in the submission.
        arguments: their names, those with stars too.
        line: of the definition, in the source.
        stub: whether it is a gap still to be filled.
        docstring: "" where there is none.
        reads: names that it takes from outside itself.
        uses: those of them that the submission defines: the functions that it calls, above all.
        free_names: those of them that nothing defines.
        returned: (name, line) of the values of the last `return`; "" for what is no name.
        lines: the last line that binds or changes each name; of `self.dW` and `gradients["dW"]`, that of dW.
    """

    name: str
    arguments: list[str]
    line: int
    stub: bool
    docstring: str
    reads: list[str] = field(default_factory=list)
    uses: list[str] = field(default_factory=list)
    free_names: list[str] = field(default_factory=list)
    returned: list[tuple[str, int]] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)


def describe(name: str, node: Function | ast.Lambda, lines: Sequence[str]) -> FunctionInfo:
    """Return what can be said of a definition alone; `lines` are those of the text that it was parsed from."""
    info = FunctionInfo(name, _arguments(node.args), node.lineno, False, "", reads_of(node))
    if not isinstance(node, ast.Lambda):
        info.stub = is_stub(node, lines)
        info.docstring = ast.get_docstring(node) or ""
        info.returned, info.lines = _returned(node), _lines(node)
    return info


def _arguments(arguments: ast.arguments) -> list[str]:
    names = [argument.arg for argument in [*arguments.posonlyargs, *arguments.args]]
    names += [f"*{arguments.vararg.arg}"] if arguments.vararg else []
    names += [argument.arg for argument in arguments.kwonlyargs]
    return names + ([f"**{arguments.kwarg.arg}"] if arguments.kwarg else [])


def _returned(node: Function) -> list[tuple[str, int]]:
    returns = [inner for inner in _own(node) if isinstance(inner, ast.Return) and inner.value is not None]
    if not returns:
        return []
    value = max(returns, key=lambda inner: inner.lineno).value
    parts = value.elts if isinstance(value, ast.Tuple | ast.List) else [value]
    return [(part.id if isinstance(part, ast.Name) else "", part.lineno) for part in parts if part is not None]


def _lines(node: Function) -> dict[str, int]:
    lines: dict[str, int] = {}
    for inner in _own(node):
        for name, line in _bound(inner):
            lines[name] = max(line, lines.get(name, 0))
    return lines


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a body without those of functions inside it."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, Function | ast.ClassDef | ast.Lambda):
            yield from _own(child)


def _bound(node: ast.AST) -> Iterator[tuple[str, int]]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _names(target)
    elif isinstance(node, ast.AugAssign | ast.AnnAssign | ast.NamedExpr):
        yield from _names(node.target)
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str) and not isinstance(value, ast.Name):
                yield key.value, value.lineno
    elif isinstance(node, ast.Call) and node.args:  # np.add.at(dW, …), np.matmul(…, out=dW)
        if ast.unparse(node.func).endswith((".at", "copyto")):
            yield from _names(node.args[0])
        for keyword in node.keywords:
            if keyword.arg == "out":
                yield from _names(keyword.value)


def _names(target: ast.expr) -> Iterator[tuple[str, int]]:
    if isinstance(target, ast.Tuple | ast.List):
        for part in target.elts:
            yield from _names(part)
    elif isinstance(target, ast.Name):
        yield target.id, target.lineno
    elif isinstance(target, ast.Starred):
        yield from _names(target.value)
    elif isinstance(target, ast.Attribute):
        yield target.attr, target.lineno
    elif isinstance(target, ast.Subscript):
        key = target.slice
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield key.value, target.lineno
        else:
            yield from _names(target.value)
