"""A small lexer that survives what the Python parser refuses: Python 2, notebooks' magics, half-written files.

What it is: tokens with their bracket depth, top-level pieces of a text, and edits that keep every line where it was.
What it is not: a parser. It knows strings, comments, brackets and line ends; all else it takes as it comes.
"""

import ast
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
      (?P<comment>\#[^\n]*)
    | (?P<string>[rRbBuUfF]{0,3}
        (?: '''(?:\\.|[^\\])*?(?:'''|\\?\Z) | \"\"\"(?:\\.|[^\\])*?(?:\"\"\"|\\?\Z)
          | '(?:\\.|[^\\\n'])*'? | "(?:\\.|[^\\\n"])*"? ))
    | (?P<name>[^\W\d]\w*)
    | (?P<number>\.?\d[\w.]*)
    | (?P<space>[ \t\f]+|\\\n)
    | (?P<newline>\n)
    | (?P<op><>|>>=|<<=|\*\*=|//=|>>|<<|\*\*|//|->|[-+*/%&|^@=!<>:]=|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_STATEMENT_AT_START = re.compile(r"^(?:(?:async +def|def|class) +\w|@\w|import |from \.*\w|\w+ *=(?!=))", re.MULTILINE)
_CONTINUES = {"else", "elif", "except", "finally"}


class Token(NamedTuple):
    """A piece of the text: kind, its characters, where it starts, and how many brackets are open before it."""

    kind: str  # comment, string, name, number, space, newline (ends a logical line if depth is 0), op
    text: str
    start: int
    depth: int

    @property
    def end(self) -> int:
        """Position after the last character."""
        return self.start + len(self.text)


class Edit(NamedTuple):
    """Put `text` in the place of the characters from `start` to `end`."""

    start: int
    end: int
    text: str


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of the text, white space too."""
    depth = 0
    for match in _TOKEN.finditer(text):
        kind, found = match.lastgroup or "op", match.group()
        if kind == "op" and found in ")]}":
            depth = max(depth - 1, 0)
        yield Token(kind, found, match.start(), depth)
        if kind == "op" and found in "([{":
            depth += 1


def logical_lines(text: str) -> Iterator[list[Token]]:
    """Yield the tokens of one logical line after the other, each with the newline that ends it."""
    line: list[Token] = []
    for token in tokens(text):
        line.append(token)
        if token.kind == "newline" and token.depth == 0:
            yield line
            line = []
    if line:
        yield line


def pieces(text: str) -> list[str]:
    """Cut a text at its top-level statements; joined they are the text. Decorators stay with what they decorate."""
    starts, decorated = [0], False
    for line in logical_lines(text):
        first = line[0]
        if first.kind in ("space", "newline", "comment") or first.text in _CONTINUES:
            continue
        if not decorated:
            starts.append(first.start)
        decorated = first.text == "@"
    return _cut(text, starts)


def pieces_at_any_cost(text: str) -> list[str]:
    """Cut a text at every line that starts like a statement, in strings and brackets too: they may never have ended."""
    starts = [match.start() for match in _STATEMENT_AT_START.finditer(text)]
    return _cut(text, [0, *starts])


def _cut(text: str, starts: Iterable[int]) -> list[str]:
    cuts = sorted({*starts, len(text)})
    return [text[a:b] for a, b in itertools.pairwise(cuts)]


def blank(text: str) -> str:
    """Return as many empty lines as the text has."""
    return "\n" * text.count("\n")


def apply(text: str, edits: Iterable[Edit]) -> str:
    """Return the text with the edits made; of two that overlap the one that starts first."""
    done, position = [], 0
    for edit in sorted(edits):
        if edit.start >= position:
            done += [text[position : edit.start], edit.text]
            position = edit.end
    return "".join([*done, text[position:]])


class Positions:
    """Where the nodes of a syntax tree are in the text: `ast` counts lines and bytes, a string has characters."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line) + 1)

    def at(self, line: int, column: int) -> int:
        """Position of a line (from 1) and a column in bytes."""
        text = self.lines[line - 1]
        return self.starts[line - 1] + (column if text.isascii() else len(text.encode()[:column].decode()))

    def span(self, node: ast.expr | ast.stmt | ast.arg) -> tuple[int, int]:
        """First position of the node and the one after it."""
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
        return self.at(node.lineno, node.col_offset), self.at(end_line, end_column)
