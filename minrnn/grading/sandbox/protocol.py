"""The frames between the grader and the child that runs a submission: trees of numbers, text and arrays as plain bytes.

Used by both sides; the child gets this file as source, so it stands on NumPy and the standard library alone. A frame is
a fixed head (magic, type, request id, two lengths), a JSON header and the raw little-endian bytes of the arrays. It is
no general serialiser: what is not in the list of `Tree` is refused, and nothing that arrives is ever executed or
unpickled. Whatever breaks a rule is `Malformed`, whoever sent it.
"""

import json
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

MAGIC = b"MRG1"
HEAD = struct.Struct("<4sBIIQ")  # magic, type, request id, header bytes, payload bytes
DTYPES = {code: np.dtype(f"<{code}") for code in ("f8", "f4", "i8", "i4", "b1")}
MAX_DIMS = 4
MAX_DEPTH = 24
EXIT_MEMORY = 77  # the exit of a child that is too short of memory to answer


class Malformed(ValueError):
    """A frame, or a tree to be sent, that breaks a rule of the protocol."""


class Type(IntEnum):
    """What a frame is: requests of the grader first, answers of the child after."""

    LOAD = 1
    CALL = 2
    BATCH = 3
    GET = 4
    SET = 5
    PUT = 6
    GLOBALS = 7
    REPLACE = 8
    ANSWER = 9  # to a CALLBACK: the tree that the replaced function returns
    REFUSAL = 10  # to a CALLBACK: the replaced function raises
    READY = 32
    REPLY = 33
    REPLIES = 34  # to a BATCH
    CALLBACK = 35  # a replaced function was called


@dataclass(frozen=True)
class Rules:
    """The largest frame of a type: number of arrays, payload bytes, header bytes."""

    arrays: int
    payload: int
    header: int


SINGLE = Rules(arrays=64, payload=8 << 20, header=2 << 20)
MANY = Rules(arrays=4096, payload=64 << 20, header=4 << 20)


def rules(kind: int) -> Rules:
    """The limits of frames of one type: batches may be larger."""
    return MANY if kind in (Type.BATCH, Type.REPLIES) else SINGLE


@dataclass(frozen=True)
class Handle:
    """A name for an object that stays on the other side: a cache, an instance of a class.

    `kind` is the type's name, for messages. Ids that begin with "p" belong to the grader: the child sees an opaque
    token in their place and can only hand it back (see `Child.replace`).
    """

    id: str
    kind: str = field(default="", compare=False)


Tree = Any  # None, bool, int, float, str, array, Handle; lists, tuples and dicts with str keys of trees


@dataclass(frozen=True)
class Frame:
    """A frame as read: type, request id, the JSON header without tree and arrays, the tree."""

    type: int
    id: int
    header: dict[str, Any]
    tree: Tree


def encode(kind: int, id: int, header: dict[str, Any], tree: Tree = None) -> bytes:
    """The bytes of one frame. Raises Malformed for what the protocol cannot carry, or not at this size."""
    arrays: list[np.ndarray] = []
    described = _describe(tree, arrays, 0)
    shapes = [{"dtype": f"{a.dtype.kind}{a.dtype.itemsize}", "shape": list(a.shape)} for a in arrays]
    text = json.dumps({**header, "tree": described, "arrays": shapes}).encode("ascii")
    payload = b"".join(a.tobytes() for a in arrays)
    _check_sizes(rules(kind), len(arrays), len(payload), len(text))
    return HEAD.pack(MAGIC, kind, id, len(text), len(payload)) + text + payload


def read(take: Callable[[int], bytes]) -> Frame:
    """The next frame. `take(n)` gives exactly n bytes or raises; arrays are fresh, writable and contiguous.

    Raises Malformed before anything is allocated for a length that the rules forbid.
    """
    magic, kind, id, header_bytes, payload_bytes = HEAD.unpack(take(HEAD.size))
    if magic != MAGIC:
        raise Malformed(f"a frame begins with {MAGIC!r}, not with {magic!r}")
    if kind not in set(Type):
        raise Malformed(f"there is no frame of type {kind}")
    _check_sizes(rules(kind), 0, payload_bytes, header_bytes)
    header = _parse(take(header_bytes))
    described, specs = header.pop("tree"), header.pop("arrays")
    if len(specs) > rules(kind).arrays:
        raise Malformed(f"{len(specs)} arrays in a frame; at most {rules(kind).arrays} are allowed")
    arrays = _arrays(specs, take(payload_bytes))
    tree = _restore(described, arrays, 0)
    if arrays:
        raise Malformed(f"{len(arrays)} arrays of the frame are not in its tree")
    return Frame(kind, id, header, tree)


def _check_sizes(allowed: Rules, arrays: int, payload: int, header: int) -> None:
    for what, size, most in (
        ("arrays", arrays, allowed.arrays),
        ("bytes of arrays", payload, allowed.payload),
        ("bytes of header", header, allowed.header),
    ):
        if size > most:
            raise Malformed(f"{size} {what} in a frame; at most {most} are allowed")


def _describe(tree: Tree, arrays: list[np.ndarray], depth: int) -> Any:
    """The tree as JSON: lists are lists, the rest has a one-letter tag; arrays are moved to the list."""
    if depth > MAX_DEPTH:
        raise Malformed(f"a tree is nested deeper than {MAX_DEPTH}")
    if tree is None or type(tree) in (bool, float, str):
        return tree
    if type(tree) is int:
        return _integer(tree)
    if isinstance(tree, Handle):
        return {"h": [tree.id, tree.kind]}
    if isinstance(tree, np.ndarray):
        arrays.append(_portable(tree))
        return {"a": len(arrays) - 1}
    if type(tree) is list:
        return [_describe(item, arrays, depth + 1) for item in tree]
    if type(tree) is tuple:
        return {"t": [_describe(item, arrays, depth + 1) for item in tree]}
    if type(tree) is dict and all(type(key) is str for key in tree):
        return {"d": {key: _describe(item, arrays, depth + 1) for key, item in tree.items()}}
    raise Malformed(f"a {type(tree).__name__} cannot be sent")


def _portable(array: np.ndarray) -> np.ndarray:
    code = f"{array.dtype.kind}{array.dtype.itemsize}"
    if code not in DTYPES:
        raise Malformed(f"an array of dtype {array.dtype} cannot be sent; allowed are {', '.join(DTYPES)}")
    if array.ndim > MAX_DIMS:
        raise Malformed(f"an array of {array.ndim} dimensions cannot be sent; at most {MAX_DIMS} are allowed")
    _check_shape(array.shape)
    return np.asarray(array, dtype=DTYPES[code], order="C")


def _parse(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the header is not JSON: {error}") from error
    if not isinstance(header, dict) or "tree" not in header or not isinstance(header.get("arrays"), list):
        raise Malformed("the header is not an object with a tree and a list of arrays")
    return header


def _arrays(specs: list[Any], payload: bytes) -> dict[int, np.ndarray]:
    """The arrays of a payload by their index; their sizes must fill it exactly."""
    found = {}
    start = 0
    for k, spec in enumerate(specs):
        dtype, shape = _checked_spec(spec)
        size = math.prod(shape) * dtype.itemsize
        raw = payload[start : start + size]
        if len(raw) != size:
            raise Malformed(f"array {k} of shape {shape} reaches beyond the payload")
        if dtype == np.bool_ and raw.strip(b"\0\1"):
            raise Malformed(f"array {k} is boolean but has bytes other than 0 and 1")
        found[k] = np.frombuffer(raw, dtype).reshape(shape).copy()
        start += size
    if start != len(payload):
        raise Malformed(f"the arrays take {start} bytes, the payload has {len(payload)}")
    return found


def _checked_spec(spec: Any) -> tuple[np.dtype, tuple[int, ...]]:
    if not isinstance(spec, dict) or spec.keys() != {"dtype", "shape"}:
        raise Malformed("an array is not described by dtype and shape")
    code, shape = spec["dtype"], spec["shape"]
    if not isinstance(code, str) or code not in DTYPES:
        raise Malformed(f"the dtype of an array is not one of {', '.join(DTYPES)}")
    if not isinstance(shape, list) or len(shape) > MAX_DIMS or any(type(n) is not int or n < 0 for n in shape):
        raise Malformed(f"the shape of an array is not a list of at most {MAX_DIMS} sizes")
    _check_shape(shape)
    return DTYPES[code], tuple(shape)


def _check_shape(shape: Sequence[int]) -> None:
    """Refuses what is larger than any frame, also where a size of 0 makes it empty: NumPy has no such array."""
    if math.prod(size or 1 for size in shape) > MANY.payload:
        raise Malformed("the shape of an array is larger than any frame")


def _restore(described: Any, arrays: dict[int, np.ndarray], depth: int) -> Tree:
    """The inverse of `_describe`; takes each array out of `arrays` as it is placed."""
    if depth > MAX_DEPTH:
        raise Malformed(f"a tree is nested deeper than {MAX_DEPTH}")
    if described is None or type(described) in (bool, float):
        return described
    if type(described) is int:
        return _integer(described)
    if isinstance(described, str):
        return _text(described)
    if isinstance(described, list):
        return [_restore(item, arrays, depth + 1) for item in described]
    if isinstance(described, dict) and len(described) == 1:
        ((tag, content),) = described.items()
        if tag == "t" and isinstance(content, list):
            return tuple(_restore(item, arrays, depth + 1) for item in content)
        if tag == "d" and isinstance(content, dict):
            return {_text(key): _restore(item, arrays, depth + 1) for key, item in content.items()}
        if tag == "a" and type(content) is int and content in arrays:
            return arrays.pop(content)
        if tag == "h" and isinstance(content, list) and [type(part) for part in content] == [str, str]:
            return Handle(_text(content[0]), _text(content[1]))
    raise Malformed("an object of the header is no part of a tree")


def _integer(number: int) -> int:
    if not fits(number):
        raise Malformed("an integer has more than 64 bits")
    return number


def fits(number: int) -> bool:
    """Whether an integer has a place in a frame: in 64 bits, beyond which NumPy has objects."""
    return -(1 << 63) <= number < 1 << 63


def _text(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Malformed("a string has half of a surrogate pair") from error
    return text
