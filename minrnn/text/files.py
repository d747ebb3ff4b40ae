"""Text files: bytes in, characters out, nothing guessed.

What it is: strict UTF-8. A byte-order mark at the start of a file is dropped; every other byte counts, line ends
included: a file with CRLF keeps its '\\r' characters, so that two people with the same bytes see the same losses.
What it is not: an encoding detector. Other encodings are refused with the place where they fail.
"""

import codecs
import os
from collections.abc import Sequence
from pathlib import Path

from minrnn.text.errors import TextError

PathLike = str | os.PathLike[str]


def read_text(paths: PathLike | Sequence[PathLike]) -> str:
    """Return the text of one file, or of several in the given order with nothing between them.

    Raises:
        TextError: a file is missing, a folder, unreadable, empty or not UTF-8; the message names it.
    """
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    if not paths:
        raise TextError("no text file was named; name at least one")
    return "".join(_read(Path(path)) for path in paths)


def _read(path: Path) -> str:
    if path.is_dir():
        raise TextError(f"{path} is a folder; name the text files in it")
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise TextError(f"{path} does not exist; check the name and the folder") from error
    except OSError as error:
        raise TextError(f"{path} cannot be read: {error.strerror or error}") from error
    start = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
    if len(data) == start:
        raise TextError(f"{path} is empty; a text needs at least one character")
    try:
        return data[start:].decode("utf-8")
    except UnicodeDecodeError as error:
        offset = start + error.start
        line = data.count(b"\n", 0, offset) + 1
        raise TextError(
            f"{path} is not UTF-8: byte 0x{data[offset]:02X} at offset {offset} (line {line}); "
            f"convert it first, for example with: iconv -f ENCODING -t UTF-8 {path}"
        ) from error
