"""Bytes of a source file as text: which encoding, which line ends, which indentation.

What it is: what Python itself does (BOM, `coding:` line, UTF-8), with Latin-1 where that fails, so that an accent in
a comment costs nobody the grade.
What it is not: a parser; see `minrnn.grading.loading.repair`.
"""

import codecs
import io
import tokenize

from minrnn.grading.loading.archive import Unreadable
from minrnn.grading.outcome.result import Note

MAX_LINE = 20_000  # characters; nobody writes such lines, and some of what reads them is slow on long ones


def decode(content: bytes, name: str) -> tuple[str, list[Note]]:
    r"""Return the characters of a file, with `\n` as line end, and a note where the encoding had to be guessed.

    Raises:
        Unreadable: the file is binary.
    """
    notes: list[Note] = []
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        encoding = "utf-16" if utf16 else tokenize.detect_encoding(io.BytesIO(content).readline)[0]
        text = content.decode(encoding)
    except (SyntaxError, LookupError, UnicodeError):
        text = content.decode("latin-1")
        notes.append(Note("encoding", f"{name} is not UTF-8 and was read as Latin-1."))
    if "\0" in text:
        raise Unreadable(f"{name} is not text: hand in the Python file or the notebook itself")
    return text.replace("\r\n", "\n").replace("\r", "\n"), notes


def code_lines(text: str, name: str) -> str:
    """Return the text with the tabs that indent its lines as blanks, up to columns that are multiples of 8.

    Raises:
        Unreadable: a line is longer than MAX_LINE.
    """
    lines = text.split("\n")
    for k, line in enumerate(lines):
        if len(line) > MAX_LINE:
            raise Unreadable(f"line {k + 1} of {name} has {len(line)} characters: hand in the code without data")
        indent = len(line) - len(line.lstrip(" \t"))
        lines[k] = line[:indent].expandtabs(8) + line[indent:]
    return "\n".join(lines)
