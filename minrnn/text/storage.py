"""Storage: a text and its ids in temporary files, so that their length is no matter of memory.

What it is: `Spool` keeps a text for a second reading, because a pipe cannot be read twice and a file may change in
between; `map_ids` writes ids into a file and maps it, so that the system fetches the pages that are looked at; and
`release` lets these go again. The files have no names: they are gone with the process, however it ends.
What it is not: a cache. The next process encodes its text anew.
"""

import hashlib
import io
import mmap
import tempfile
from collections.abc import Iterable, Iterator

import numpy as np

from minrnn.text.errors import TextError
from minrnn.text.files import BLOCK, Advance

# Looked at between two releases. Linux maps 64 KiB around each, newer ones all that was written in one go.
PLACES = 256


class Spool:
    """A text that goes by once and can be read again. Use it in a with statement, which removes its file.

    Raises:
        TextError: there is no temporary folder, or no room in it, here or in `keep`.
    """

    def __init__(self) -> None:
        self._file = _temporary_file()
        self._digest = hashlib.sha256()

    def keep(self, blocks: Iterable[str]) -> Iterator[str]:
        """Pass `blocks` on, and remember them."""
        for text in blocks:
            data = text.encode("utf-8")
            self._digest.update(data)
            _write(self._file, data)
            yield text

    @property
    def sha256(self) -> str:
        """Of the UTF-8 bytes of the text so far."""
        return self._digest.hexdigest()

    def blocks(self, advance: Advance | None = None) -> Iterator[str]:
        """Yield the text again. `advance` is called with the numbers of bytes done and in all."""
        total = self._file.tell()
        self._file.seek(0)
        text = io.TextIOWrapper(io.BufferedReader(self._file), "utf-8", newline="\n")  # every '\r' stays
        while block := text.read(BLOCK):
            if advance:
                advance(self._file.tell(), total)
            yield block

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def map_ids(blocks: Iterable[np.ndarray], dtype: np.dtype) -> np.ndarray:
    """Return the ids of all `blocks`, of type dtype, as one read-only array (N,) that is mapped and not in memory.

    Raises:
        TextError: there is no temporary folder, or no room in it.
    """
    with _temporary_file() as file:
        for ids in blocks:
            _write(file, ids.astype(dtype, copy=False).data)
        if not file.tell():  # an empty file cannot be mapped
            return np.empty(0, dtype)
        return np.memmap(file, dtype, mode="r").view(np.ndarray)


def release(ids: np.ndarray, places: int, number: int) -> None:
    """Let go of the pages of mapped `ids`, once in a while; to be called with every batch.

    A page that was looked at counts as memory of the process until then; it stays in the cache of the system, where
    the next look finds it. `number` counts batches that look at `places` places each. An array in memory is untouched.
    """
    if number % max(PLACES // places, 1):
        return
    owner: object = ids
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(owner, "madvise"):  # not on Windows
        owner.madvise(mmap.MADV_DONTNEED)


def _temporary_file() -> io.FileIO:
    try:
        return tempfile.TemporaryFile(buffering=0)  # never has a name, or loses it at once
    except OSError as error:
        raise TextError(
            f"no temporary file can be made for the encoded text: {error.strerror or error}; name a folder with the "
            "environment variable TMPDIR"
        ) from error


def _write(file: io.FileIO, data: bytes | memoryview) -> None:
    rest = memoryview(data).cast("B")
    try:
        while rest:
            rest = rest[file.write(rest) :]  # a nearly full disk takes a part
    except OSError as error:
        raise TextError(
            f"the encoded text does not fit into the temporary folder {tempfile.gettempdir()}: "
            f"{error.strerror or error}; make room there, or name another folder with the environment variable TMPDIR"
        ) from error
