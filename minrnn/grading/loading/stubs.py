"""Which functions were never written: the forms in which courses hand out the gaps to be filled.

What it is: a static test, made before anything runs, since many a stub raises when it is called.
What it is not: a test of rightness. Whatever computes with its arguments is no stub, however wrong; where there is
doubt it is none, for a stub that is run comes out as None or wrong, but a solution called a stub would be lost.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

Function = ast.FunctionDef | ast.AsyncFunctionDef

_START = re.compile(r"(START CODE|CODE STARTS|START OF YOUR CODE|BEGIN YOUR CODE|BEGIN SOLUTION)", re.IGNORECASE)
_END = re.compile(r"(END CODE|CODE ENDS|END OF YOUR CODE|END YOUR CODE|END SOLUTION)", re.IGNORECASE)

# What keeps only the shape of its arguments, and what makes arrays and containers of nothing but sizes.
SHAPE_ATTRIBUTES = {"shape", "ndim", "size", "dtype"}
SHAPE_CALLS = {"len", "shape", "zeros_like", "ones_like", "empty_like", "isinstance", "type", "print"}
MAKERS = {"zeros", "ones", "empty", "full", "array", "range", "xrange", "dict", "list", "tuple", "int", "float"}
MAX_PASSES = 20  # over the bindings of a function; whose values take longer to follow is no stub
NOTHING, GIVEN, COMPUTED = range(3)  # sizes and constants; an argument passed on; arithmetic with arguments


def is_stub(function: Function, lines: Sequence[str]) -> bool:
    """Return whether a function is a gap still to be filled.

    Args:
        function: the definition.
        lines: the lines of the text it was parsed from, with the comments that mark the gap.
    """
    body = _without_docstring(function.body)
    if all(isinstance(node, ast.Pass) or _is_ellipsis(node) for node in body):
        return True
    return (
        _ends_in_not_implemented(body)
        or any(_uses_none(node) for node in _own_nodes(function))
        or _returns_nothing(function)
        or _gaps_are_empty(function, lines)
        or _returns_zeros(function)
    )


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0]
    text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return body[1:] if text else body


def _is_ellipsis(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...


@lru_cache(maxsize=4)
def _own_nodes(function: Function) -> tuple[ast.AST, ...]:
    """The nodes of the body without those of functions and classes inside it."""
    waiting: list[ast.AST] = list(function.body)
    nodes = []
    while waiting:
        node = waiting.pop()
        nodes.append(node)
        if not isinstance(node, Function | ast.ClassDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return tuple(nodes)


def _ends_in_not_implemented(body: list[ast.stmt]) -> bool:
    """`raise NotImplementedError` where every call comes by; one inside an `if` is a refusal of one case."""
    for node in body:
        if isinstance(node, ast.Return):
            return False
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            return isinstance(raised, ast.Name) and raised.id in ("NotImplementedError", "NotImplemented")
    return False


def _is_none(node: ast.AST | None) -> bool:
    if isinstance(node, ast.Tuple):
        return bool(node.elts) and all(map(_is_none, node.elts))
    return isinstance(node, ast.Constant) and node.value is None


def _uses_none(node: ast.AST) -> bool:
    """`range(None)`, `a, b = None`, `a += None`, `for a in None`: a TypeError for whoever runs it."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in ("range", "xrange") and any(map(_is_none, node.args))
    if isinstance(node, ast.Assign):
        unpacked = any(isinstance(target, ast.Tuple | ast.List) for target in node.targets)
        return unpacked and isinstance(node.value, ast.Constant) and node.value.value is None
    if isinstance(node, ast.For):
        return _is_none(node.iter)
    return isinstance(node, ast.AugAssign) and _is_none(node.value)


def _returned(function: Function) -> list[ast.expr]:
    """Every value that the function returns, the parts of a tuple alone; a bare return gives nothing."""
    values = [node.value for node in _own_nodes(function) if isinstance(node, ast.Return) and node.value is not None]
    return [part for value in values for part in (value.elts if isinstance(value, ast.Tuple) else [value])]


@lru_cache(maxsize=4)
def _bindings(function: Function) -> tuple[tuple[str, ast.expr | None], ...]:
    """(name, value) of what is bound or changed, in the order of the text; None where the value is not a plain one."""
    found: list[tuple[int, int, str, ast.expr | None]] = []
    for node in _own_nodes(function):
        if isinstance(node, ast.Assign):
            pairs = [pair for target in node.targets for pair in _pairs(target, node.value)]
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            pairs = [(node.target, node.value)]
        elif isinstance(node, ast.AugAssign | ast.For | ast.comprehension | ast.NamedExpr):
            pairs = _pairs(node.target, None)
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            pairs = _pairs(node.optional_vars, None)
        else:
            continue
        for target, value in pairs:
            name = _base(target)
            if name is not None:
                found.append((target.lineno, target.col_offset, name, value))
    return tuple((name, value) for _, _, name, value in sorted(found, key=lambda binding: binding[:2]))


def _pairs(target: ast.expr, value: ast.expr | None) -> list[tuple[ast.expr, ast.expr | None]]:
    """What each target gets, where `a, b = c, d` is written out; (target, None) where that cannot be said."""
    if not isinstance(target, ast.Tuple | ast.List):
        return [(target, value)]
    parts: list[ast.expr | None] = [None] * len(target.elts)
    if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(parts):
        parts = list(value.elts)
    return [pair for one, part in zip(target.elts, parts, strict=True) for pair in _pairs(one, part)]


def _base(target: ast.expr) -> str | None:
    """The name whose value is bound or changed: `h` for `h`, `h[t]` and `h.x`."""
    while isinstance(target, ast.Subscript | ast.Attribute | ast.Starred):
        target = target.value
    return target.id if isinstance(target, ast.Name) else None


def _returns_nothing(function: Function) -> bool:
    """There are names returned, and they are bound to None: always, or last and for every call.

    A literal None counts with them; alone it is a stub only where the body is nothing but the return.
    """
    parts = _returned(function)
    names = [part.id for part in parts if isinstance(part, ast.Name)]
    if not names:
        alone = all(isinstance(node, ast.Return | ast.Pass | ast.Assert) for node in _without_docstring(function.body))
        return bool(parts) and all(map(_is_none, parts)) and alone
    bindings = _bindings(function)
    last = dict(bindings)
    for_every_call = {id(value) for node in function.body if isinstance(node, ast.Assign) for value in ast.walk(node)}
    for name in names:
        always = all(_is_none(value) for bound, value in bindings if bound == name)
        if not (_is_none(last.get(name)) and (always or id(last[name]) in for_every_call)):
            return False
    return len(names) + sum(map(_is_none, parts)) == len(parts)


def _gaps_are_empty(function: Function, lines: Sequence[str]) -> bool:
    """Between the course's markers is nothing but `… = None`; where nothing is at all, a name returned is not bound."""
    gaps = list(_gaps(function, lines))
    numbers = {number for start, end in gaps for number in range(start, end)}
    inside = [node for node in _own_nodes(function) if isinstance(node, ast.stmt) and node.lineno in numbers]
    assigned = [node for node in inside if isinstance(node, ast.Assign)]
    if assigned:
        return all(_is_none(node.value) for node in assigned) and not any(isinstance(n, ast.Return) for n in inside)
    if not gaps or any(not isinstance(node, ast.Pass) for node in inside):
        return False
    bound = {name for name, _ in _bindings(function)} | {argument.arg for argument in all_arguments(function)}
    return any(isinstance(part, ast.Name) and part.id not in bound for part in _returned(function))


def _gaps(function: Function, lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """(line of the start marker, line of the end marker) of every gap in the function."""
    last = function.end_lineno or function.lineno
    start = None
    for number in range(function.lineno, min(last + 3, len(lines)) + 1):  # the end marker may be the last line
        line = lines[number - 1].partition("#")[2]
        if _START.search(line) and number <= last:
            start = number
        elif _END.search(line) and start is not None:
            yield start, number
            start = None


def all_arguments(function: Function) -> list[ast.arg]:
    """Return the arguments of a function, those with a star too."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return named + [extra for extra in (arguments.vararg, arguments.kwarg) if extra is not None]


def _returns_zeros(function: Function) -> bool:
    """What is returned is made of zeros, constants and shapes, with no arithmetic on the arguments.

    Either no line computes with an argument, or what is returned is bound to constants and occurs nowhere else.
    """
    parts = _returned(function)
    if not parts or not all_arguments(function):
        return False
    levels = {argument.arg: GIVEN for argument in all_arguments(function)}
    bindings = _bindings(function)
    for _ in range(MAX_PASSES):
        before = dict(levels)
        for name, value in bindings:
            levels[name] = max(levels.get(name, NOTHING), _level(value, levels) if value is not None else NOTHING)
        if levels == before:
            break
    else:
        return False
    unbound = [isinstance(part, ast.Name) and part.id not in levels for part in parts]  # a misspelt name, a global
    returned = [COMPUTED if not_here else _level(part, levels) for part, not_here in zip(parts, unbound, strict=True)]
    if NOTHING not in returned:
        return False
    nodes = (node for node in _own_nodes(function) if isinstance(node, ast.expr))
    if all(_level(node, levels) < COMPUTED for node in nodes) and not _has_unplain(function, levels):
        return True
    return all(level == NOTHING for level in returned) and _only_bound(function, parts)


def _has_unplain(function: Function, levels: dict[str, int]) -> bool:
    """A change or a loop over an argument: `a += x`, `for row in x`, `with x as y`; and functions inside, or yield."""
    for node in _own_nodes(function):
        if isinstance(node, ast.AugAssign) and _level(node.value, levels) > NOTHING:
            return True
        if isinstance(node, ast.For | ast.comprehension) and _level(node.iter, levels) > NOTHING:
            return True
        if isinstance(node, Function | ast.ClassDef | ast.Lambda | ast.With | ast.Yield | ast.YieldFrom | ast.Global):
            return True
    return False


def _only_bound(function: Function, parts: list[ast.expr]) -> bool:
    """Whether the returned names are bound to values made of nothing, and read by the return alone."""
    names = {part.id for part in parts if isinstance(part, ast.Name)}
    reads = [n for n in _own_nodes(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
    values = [value for name, value in _bindings(function) if name in names]
    plain = all(value is not None and _is_constant(value) for value in values)
    return plain and bool(names) and sum(n.id in names for n in reads) == sum(isinstance(p, ast.Name) for p in parts)


def _is_constant(value: ast.expr) -> bool:
    """A number, None, or a container with nothing in it."""
    empty = isinstance(value, ast.Dict | ast.List) and not list(ast.iter_child_nodes(value))[1:]
    return isinstance(value, ast.Constant) or empty


def _level(node: ast.AST, levels: dict[str, int]) -> int:
    """How far an expression depends on the values of the arguments: NOTHING, GIVEN or COMPUTED."""
    if isinstance(node, ast.Name):
        return levels.get(node.id, NOTHING)
    if isinstance(node, ast.Attribute):
        return NOTHING if node.attr in SHAPE_ATTRIBUTES else _level(node.value, levels)
    if isinstance(node, ast.Call):
        return _level_of_call(node, levels)
    inner = max((_level(child, levels) for child in ast.iter_child_nodes(node)), default=NOTHING)
    if isinstance(node, ast.BinOp | ast.UnaryOp | ast.Compare | ast.BoolOp | ast.Subscript):
        return COMPUTED if inner and not _is_look_up(node, levels) else inner
    return inner


def _is_look_up(node: ast.AST, levels: dict[str, int]) -> bool:
    """`x[:, t]`, `parameters["W"]`: a part of an argument at a place that depends on none."""
    return isinstance(node, ast.Subscript) and _level(node.slice, levels) == NOTHING


def _level_of_call(node: ast.Call, levels: dict[str, int]) -> int:
    method = isinstance(node.func, ast.Attribute)
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in SHAPE_CALLS:
        return NOTHING
    inputs = [*node.args, *(keyword.value for keyword in node.keywords), *([node.func] if method else [])]
    inner = max((_level(part, levels) for part in inputs), default=NOTHING)
    return COMPUTED if inner or name not in MAKERS else NOTHING
