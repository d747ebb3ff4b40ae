"""Text and values from strangers, made harmless for every report. No escaping: that is for each format.

Names, messages and printed text come from students' programs. What a terminal would obey, what would turn the order of
the letters round, and what UTF-8 or XML 1.0 cannot hold is taken out; newlines and tabs stay.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

# C0 but for tab and newline, DEL and C1, bidirectional overrides and isolates, lone surrogates, non-characters.
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_ESCAPES = re.compile("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)")


def plain(text: str) -> str:
    """Return the text without terminal sequences and without characters that are not to be seen."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNWANTED.sub("", _ESCAPES.sub("", lines))


def one_line(text: str) -> str:
    """Return the plain text with every run of white space as one blank."""
    return " ".join(plain(text).split())


def listed(words: Iterable[str]) -> str:
    """Return words as they are read aloud, each once: "", "a", "a and b", "a, b and c"."""
    *first, last = [*dict.fromkeys(words)] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def clean(value: Any) -> Any:
    """Return the value as JSON can hold it: Python's own types, None for NaN and infinity, plain text."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {plain(str(key)): clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    if value is None or isinstance(value, bool | int):
        return value
    raise TypeError(f"a result holds numbers, text, lists and dicts, not {type(value).__name__}: convert it first")
