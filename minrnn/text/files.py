"""Text files: bytes in, characters out, nothing guessed.

What it is: strict UTF-8, read in blocks, once and from front to back, so that a pipe serves as well as a file and the
length is no matter of memory. A byte-order mark at the start of a file is dropped; every other byte counts, line ends
included: a file with CRLF keeps its '\\r' characters, so that two people with the same bytes see the same losses.
What it is not: an encoding detector. Other encodings are refused with the place where they fail.
"""

import codecs
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from minrnn.text.errors import TextError

PathLike = str | os.PathLike[str]
Advance = Callable[[int, int], None]  # is told the number of bytes done and in all, or 0 for unknown

BLOCK = 1 << 20  # bytes read at a time


def read_text(paths: PathLike | Sequence[PathLike]) -> str:
    """Return the text of one file, or of several in the given order with nothing between them.

    Raises:
        TextError: a file is missing, a folder, unreadable, empty or not UTF-8; the message names it.
    """
    return "".join(read_blocks(paths))


def read_blocks(
    paths: PathLike | Sequence[PathLike], advance: Advance | None = None, *, size: int = BLOCK
) -> Iterator[str]:
    """Yield the text of `read_text` piece by piece: at most `size` bytes at a time are read and kept.

    `advance` is called after every piece with the number of bytes read so far and the sum of the sizes of the files,
    or 0 where one of them has none, as a pipe.

    Raises:
        TextError: as `read_text`, when the reading comes to the place.
    """
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    if not paths:
        raise TextError("no text file was named; name at least one")
    total = sum(map(os.path.getsize, paths)) if all(map(os.path.isfile, paths)) else 0
    before = 0  # bytes of the files that are done
    for path in paths:
        end = 0
        for text, end in _decode(Path(path), size):
            if advance:
                advance(before + end, total)
            yield text
        before += end


def _decode(path: Path, size: int) -> Iterator[tuple[str, int]]:
    """Yield (piece of the text, bytes decoded so far). A character that a block cuts in two waits for the next one."""
    if path.is_dir():
        raise TextError(f"{path} is a folder; name the text files in it")
    try:
        with open(path, "rb") as file:
            data = file.read(len(codecs.BOM_UTF8))
            rest = data.removeprefix(codecs.BOM_UTF8)
            start = offset = len(data) - len(rest)  # of the first byte of `rest`
            line = 1
            while data:
                data = file.read(size)
                rest += data
                try:
                    text, used = codecs.utf_8_decode(rest, "strict", not data)
                except UnicodeDecodeError as error:
                    line += rest.count(b"\n", 0, error.start)
                    raise TextError(
                        f"{path} is not UTF-8: byte 0x{rest[error.start]:02X} at offset {offset + error.start} "
                        f"(line {line}); convert it first, for example with: iconv -f ENCODING -t UTF-8 {path}"
                    ) from error
                offset, line, rest = offset + used, line + rest.count(b"\n", 0, used), rest[used:]
                if text:
                    yield text, offset
            if offset == start:
                raise TextError(f"{path} is empty; a text needs at least one character")
    except FileNotFoundError as error:
        raise TextError(f"{path} does not exist; check the name and the folder") from error
    except OSError as error:
        raise TextError(f"{path} cannot be read: {error.strerror or error}") from error
