"""Corpora by name: what `minrnn corpus list` lists and `minrnn corpus write` writes.

What it is: one table of three kinds of text. "generated" ones come from `sources`, any length and seed; the
"built-in" one is gathered from the running Python; "download" ones are fetched once with pooch, checked and
kept in its cache.
What it is not: a place for texts. None is part of the package.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from minrnn.text.errors import TextError
from minrnn.text.extras import import_extra
from minrnn.text.files import read_text
from minrnn.text.sources import SOURCES
from minrnn.text.stdlib_text import stdlib_text


@dataclass(frozen=True)
class Corpus:
    """A named text. `read(n, seed)` returns its first n characters; only a generated one heeds the seed."""

    name: str
    kind: str
    size: str
    description: str
    read: Callable[[int | None, int], str]


DEFAULT_LENGTH = 100_000  # of a generated text


def corpus_text(name: str, n: int | None = None, seed: int = 1) -> str:
    """Return the text of a corpus, or its first n characters; a generated one has 100,000 unless n is given.

    Raises:
        TextError: there is no corpus of this name, or it cannot be downloaded or read.
        ImportError: a download without the package pooch.
    """
    if name not in CORPORA:
        near = difflib.get_close_matches(name, CORPORA, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(CORPORA)}"
        raise TextError(f"there is no corpus named {name!r}; {hint}")
    if n is not None and n < 1:
        raise ValueError(f"n={n} must be at least 1")
    return CORPORA[name].read(n, seed)


def download(name: str, url: str, sha256: str) -> Path:
    """Return the path of the file behind `url` in pooch's cache, fetched if it is not there.

    Raises:
        TextError: it cannot be fetched, or is not the file that the checksum names.
        ImportError: the package pooch is not installed.
    """
    pooch = import_extra("pooch", "data", f"downloading {name}")
    pooch.get_logger().setLevel("WARNING")  # a library is silent; what is worth saying, its caller says
    try:
        return Path(
            pooch.retrieve(url, known_hash=f"sha256:{sha256}", fname=f"{name}.txt", path=pooch.os_cache("minrnn"))
        )
    except OSError as error:
        raise TextError(f"{name} could not be downloaded from {url} ({error}); name a local file instead") from error
    except ValueError as error:
        raise TextError(
            f"what {url} sends is not the {name} of SHA-256 {sha256[:12]}…: it was cut short or has changed; "
            "try again or name a local file instead"
        ) from error


def _generated(name: str, n: int | None, seed: int) -> str:
    return SOURCES[name].generate(DEFAULT_LENGTH if n is None else n, seed)[0]


def _built_in(n: int | None, seed: int) -> str:
    return stdlib_text().text[:n]


def _downloaded(name: str, url: str, sha256: str, n: int | None, seed: int) -> str:
    return read_text(download(name, url, sha256))[:n]


_DOWNLOADS = (
    (
        "tinyshakespeare",
        "1,115,394",
        "40,000 lines of Shakespeare's plays, the customary benchmark (char-rnn)",
        "https://raw.githubusercontent.com/karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e"
        "/data/tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ),
    (
        "nietzsche",
        "600,893",
        "F. Nietzsche, Beyond Good and Evil and Human, All Too Human, in English (fast.ai, Keras)",
        "https://s3.amazonaws.com/text-datasets/nietzsche.txt",
        "23cf69874ab69d3d256099ab530ea4be24d47d9675b673bcc67cbcd6298ec647",
    ),
    (
        "timemachine",
        "178,979",
        "H. G. Wells, The Time Machine (Dive into Deep Learning)",
        "http://d2l-data.s3-accelerate.amazonaws.com/timemachine.txt",
        "8424dbd9532ac81f7e5f0b6add90e6952baea29158309d7d1bf3884f4e12c516",
    ),
)

CORPORA = {
    corpus.name: corpus
    for corpus in (
        *(Corpus(s.name, "generated", "any", s.description, partial(_generated, s.name)) for s in SOURCES.values()),
        Corpus("stdlib", "built-in", "about 1,600,000", "sources of Python's standard library", _built_in),
        *(
            Corpus(name, "download", size, text, partial(_downloaded, name, url, sha256))
            for name, size, text, url, sha256 in _DOWNLOADS
        ),
    )
}
