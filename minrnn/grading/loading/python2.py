"""Python 2 made Python 3, as far as homework needs it, with every line left where it was.

What it is: print statements, `except E, e`, `raise E, text`, backquotes, `<>`, long numbers, and the few names that
were renamed. It works on tokens, since the Python parser refuses such text.
What it is not: a translator of programs. `/` keeps its meaning here; see `minrnn.grading.loading.repair` for sizes.
"""

from collections.abc import Iterator, Sequence

from minrnn.grading.loading.scan import Edit, Token, apply, logical_lines

RENAMED = {"xrange": "range", "unichr": "chr", "unicode": "str", "raw_input": "input", "basestring": "str"}
METHODS = {"iteritems": "items", "itervalues": "values", "iterkeys": "keys"}


def modernise(text: str) -> tuple[str, list[str]]:
    """Return the text for Python 3 and what was changed, such as "print statement (line 3)"; [] if nothing was."""
    edits: list[Edit] = []
    changes: list[str] = []
    line_number = 1
    for line in logical_lines(text):
        words = [token for token in line if token.kind not in ("space", "comment")]
        while words and words[-1].kind == "newline":
            words.pop()
        for statement in _statements([token for token in words if token.kind != "newline"]):
            for change, edit in _changes(statement):
                edits.append(edit)
                changes.append(f"{change} (line {line_number})")
        line_number += sum(token.text.count("\n") for token in line)
    return apply(text, edits), list(dict.fromkeys(changes))


def _statements(line: Sequence[Token]) -> Iterator[list[Token]]:
    """Split a logical line at `;`, and after the `:` that opens a block on the same line."""
    statement: list[Token] = []
    for token in line:
        ends = token.depth == 0 and token.text in (";", ":") and not any(t.text == "lambda" for t in statement)
        if token.text != ";" or token.depth:
            statement.append(token)
        if ends:
            yield statement
            statement = []
    yield statement


def _changes(statement: list[Token]) -> Iterator[tuple[str, Edit]]:
    if not statement:
        return
    first = statement[0].text
    if first == "print" and statement[0].kind == "name":
        yield from _print(statement)
    elif first == "except":
        yield from _except(statement)
    elif first == "raise":
        yield from _raise(statement)
    yield from _names(statement)


def _print(statement: list[Token]) -> Iterator[tuple[str, Edit]]:
    """`print a, b` as a call. A print that is one call in brackets already, or a name like any other, is left."""
    word, rest = statement[0], statement[1:]
    if not rest:
        yield "print statement", Edit(word.end, word.end, "()")
        return
    if _is_call(rest) or (rest[0].kind == "op" and rest[0].text not in ("(", "[", "{", "-", "+", "~", "`", ">>")):
        return
    opening, closing, start = "(", ")", rest[0].start
    if rest[0].text == ">>":
        comma = next((token for token in rest if token.text == "," and token.depth == rest[0].depth), None)
        goes_to = [token for token in rest[1:] if comma is None or token.start < comma.start]
        opening = f"(file={''.join(_spaced(goes_to))}"
        if comma is None or comma is rest[-1]:
            yield "print statement", Edit(word.end, rest[-1].end, opening + ")")
            return
        opening, closing, start = "(", f", {opening[1:]})", rest[rest.index(comma) + 1].start
    if rest[-1].text == ",":
        yield "print statement", Edit(rest[-1].start, rest[-1].end, ', end=" "' + closing)
    else:
        yield "print statement", Edit(rest[-1].end, rest[-1].end, closing)
    yield "print statement", Edit(word.end, start, opening)


def _is_call(rest: list[Token]) -> bool:
    """Whether what follows `print` is one pair of brackets and nothing after it."""
    if rest[0].text != "(":
        return False
    closing = next((token for token in rest[1:] if token.text == ")" and token.depth == rest[0].depth), None)
    return closing is None or closing is rest[-1]


def _spaced(parts: list[Token]) -> Iterator[str]:
    for k, token in enumerate(parts):
        yield token.text
        if k + 1 < len(parts) and parts[k + 1].start > token.end:
            yield " "


def _except(statement: list[Token]) -> Iterator[tuple[str, Edit]]:
    comma = next((token for token in statement if token.text == "," and token.depth == 0), None)
    if comma is not None:
        yield "except with a comma", Edit(comma.start, comma.end, " as")


def _raise(statement: list[Token]) -> Iterator[tuple[str, Edit]]:
    comma = next((token for token in statement if token.text == "," and token.depth == 0), None)
    if comma is not None and comma is not statement[-1]:
        after = statement[statement.index(comma) + 1]
        yield "raise with a comma", Edit(comma.start, after.start, "(")
        yield "raise with a comma", Edit(statement[-1].end, statement[-1].end, ")")


def _names(statement: list[Token]) -> Iterator[tuple[str, Edit]]:
    quotes = [token for token in statement if token.text == "`"]
    for k, token in enumerate(quotes[: len(quotes) // 2 * 2]):
        yield "backquotes", Edit(token.start, token.end, ")" if k % 2 else "repr(")
    for before, token in zip([None, *statement], statement, strict=False):
        attribute = before is not None and before.text == "."
        if token.kind == "name" and token.text in (METHODS if attribute else RENAMED):
            new = METHODS[token.text] if attribute else RENAMED[token.text]
            yield token.text, Edit(token.start, token.end, new)
        elif token.text == "<>":
            yield "<>", Edit(token.start, token.end, "!=")
        elif token.kind == "number" and token.text[:-1].isdecimal() and token.text[-1] in "lL":
            yield "long number", Edit(token.start, token.end, token.text[:-1])
