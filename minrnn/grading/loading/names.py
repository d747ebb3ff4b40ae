"""Which names a piece of Python reads from outside itself, and which it defines.

What it is: Python's own scoping, through `symtable`, for one definition at a time.
What it is not: a test of whether the names exist; and names in strings, `eval` and `globals()` are not seen.
"""

import ast
import symtable


def reads_of(node: ast.AST) -> list[str]:
    """Return the names that an expression or statement reads and does not define; for a function, those of its body."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return sorted(_global_reads(_child(_table(node), getattr(node, "name", "lambda"))))
    table = _table(node)
    own = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    return sorted(own | {name for child in table.get_children() for name in _global_reads(child)})


def names_when_defined(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> list[str]:
    """Return the names that executing the definition reads: default values, decorators, bases, a class's body."""
    table = _table(node)
    own = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    if isinstance(node, ast.ClassDef):
        body = _child(table, node.name)
        own |= {s.get_name() for s in body.get_symbols() if s.is_referenced() and s.is_global()}
    return sorted(own)


def stored(node: ast.AST) -> set[str]:
    """Return the names that are assigned anywhere in the node."""
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)}


def bound(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Return the names that an import defines."""
    plain = isinstance(node, ast.Import)
    return [alias.asname or (alias.name.split(".")[0] if plain else alias.name) for alias in node.names]


def _table(node: ast.AST) -> symtable.SymbolTable:
    return symtable.symtable(ast.unparse(node), "<submission>", "exec")


def _child(table: symtable.SymbolTable, name: str) -> symtable.SymbolTable:
    return next(child for child in reversed(table.get_children()) if child.get_name() == name)


def _global_reads(table: symtable.SymbolTable) -> set[str]:
    own = {s.get_name() for s in table.get_symbols() if s.is_referenced() and s.is_global() and not s.is_assigned()}
    return own.union(*map(_global_reads, table.get_children()))
