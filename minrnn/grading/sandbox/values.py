"""What the child says of values: arrays made plain, arguments compared with what was sent, exceptions in three parts.

The child gets this file as source, beside `runner.py`. Nothing here decides whether a value is right.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .protocol import Handle, Tree

SUBMISSION = "submission.py"  # the file name that the code of a submission carries
TEXT_LIMIT = 2048


def plain(array: np.ndarray) -> np.ndarray:
    """A contiguous copy in the nearest dtype that the protocol carries, free of any subclass."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    code = {
        "b": "?",
        "f": "f4" if size <= 4 else "f8",
        "i": "i4" if size <= 4 else "i8",
        "u": "i4" if size <= 2 else "i8",
    }[kind]
    return np.array(array, dtype=code, order="C", subok=False)


def changes(before: Tree, after: Any, path: str = "") -> list[str]:
    """Paths of the parts of the arguments that differ from what was sent, such as "0" or "1.Wax"."""
    if isinstance(before, Handle):
        return []
    if type(before) is not type(after):
        return [path]
    if isinstance(before, np.ndarray):
        same = (before.shape, before.dtype) == (after.shape, after.dtype) and before.tobytes() == after.tobytes()
        return [] if same else [path]
    if isinstance(before, list | tuple | dict):
        parts: Iterator[tuple[Any, Any]] = iter(before.items() if isinstance(before, dict) else enumerate(before))
        if len(before) != len(after) or (isinstance(before, dict) and before.keys() != after.keys()):
            return [path]
        return [c for key, part in parts for c in changes(part, after[key], f"{path}.{key}" if path else str(key))]
    return [] if repr(before) == repr(after) else [path]


def raised(error: BaseException) -> list[Any]:
    """[type, line of the submission, text] of an exception, whose own methods are not to be trusted."""
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == SUBMISSION else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == SUBMISSION:
            line = trace.tb_lineno
        trace = trace.tb_next
    try:
        text = str(error)
    except BaseException:
        text = "(the text of the exception cannot be made)"
    return [kind_of(error), line, cut(text)]


def kind_of(value: Any) -> str:
    """The name of the type of a value, for messages."""
    name = cut(str(type(value).__name__))
    return f"{name} of dtype {value.dtype}" if type(value) is np.ndarray else name


def cut(text: str) -> str:
    """The text, bounded, without halves of surrogate pairs."""
    return text[:TEXT_LIMIT].encode("utf-8", "replace").decode("utf-8")
