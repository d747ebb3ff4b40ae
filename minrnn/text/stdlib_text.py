"""The text that needs no download: the sources of Python's own standard library.

What it is: about 1.6 million characters of Python, present wherever Python is, gathered in a fixed order from
25 modules that every version from 3.9 on has. This is what `minrnn train` learns when no file is named.
What it is not: the same text everywhere. It changes with every release of Python, so a loss on it means
something only beside the version of Python; the digest tells two texts apart.
"""

import hashlib
import re
import sysconfig
from pathlib import Path
from typing import NamedTuple

from minrnn.text.errors import TextError

MODULES = (
    *("argparse", "ast", "calendar", "configparser", "difflib", "doctest", "imaplib", "inspect", "optparse"),
    *("pdb", "pickle", "pickletools", "pydoc", "random", "shutil", "smtplib", "statistics", "subprocess"),
    *("tarfile", "tempfile", "textwrap", "threading", "tokenize", "typing", "uuid"),
)


class StdlibText(NamedTuple):
    """The text, the modules it was made of, in order, and the SHA-256 of its UTF-8 bytes."""

    text: str
    modules: tuple[str, ...]
    sha256: str


def stdlib_text(folder: Path | None = None) -> StdlibText:
    """Gather `MODULES` from `folder`, by default the standard library of the running Python.

    Line ends become newlines and every character but newline, tab and printable ASCII becomes '?', so that at
    most 97 characters occur. A module whose source is missing is left out.

    Raises:
        TextError: there is no source at all, as in a Python that ships compiled files only.
    """
    folder = folder or Path(sysconfig.get_paths()["stdlib"])
    found = [name for name in MODULES if (folder / f"{name}.py").is_file()]
    if not found:
        raise TextError(f"{folder} holds no Python sources to learn from; name a text file instead")
    source = "".join((folder / f"{name}.py").read_text(encoding="utf-8") for name in found)
    text = re.sub(r"[^\n\t -~]", "?", source)
    return StdlibText(text, tuple(found), hashlib.sha256(text.encode()).hexdigest())
