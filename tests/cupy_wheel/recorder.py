"""For pytest -p: notes every distinct call that is made of the stand-in for CuPy, and what it returned.

A call is described by what CuPy may look at: names, shapes, strides and types of arrays, types of numbers. Calls that
the stand-in makes of itself do not count. Bodies are not looked into: they are traced, in inside/test_bodies.py.
"""

from typing import Any, NamedTuple

import fakecupy
import numpy as np
from fakecupy import functions
from fakecupy.array import ndarray


class Array(NamedTuple):
    """What stands for an array in the description of a call."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, value: Any) -> Any:
        """The description of an argument or a result; tuples, lists and slices are gone through."""
        if isinstance(value, ndarray):
            return cls(value.shape, value.strides, value.dtype.str)
        if isinstance(value, tuple | list):
            return type(value)(cls.of(part) for part in value)
        return value


class Call(NamedTuple):
    """A call of a function, of a method (`self` comes first) or of an attribute; and what came back."""

    kind: str
    name: str
    args: tuple[Any, ...]
    keywords: dict[str, Any]
    result: Any


calls: dict[str, Call] = {}
_depth = [0]


def _key(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return type(value).__name__
    if isinstance(value, np.ndarray):
        return f"host {value.dtype} {value.shape}"
    if isinstance(value, tuple | list) and not isinstance(value, Array):
        return f"{type(value).__name__}({', '.join(map(_key, value))})"
    return repr(value)


def noted(kind: str, name: str, function: Any) -> Any:
    """The function, which notes its calls."""

    def call(*args: Any, **keywords: Any) -> Any:
        if _depth[0] or fakecupy.state.body is not None:
            return function(*args, **keywords)
        before = tuple(map(Array.of, args)), {key: Array.of(value) for key, value in keywords.items()}
        _depth[0] += 1
        try:
            result = function(*args, **keywords)
        finally:
            _depth[0] -= 1
        key = f"{kind} {name} {_key(before[0])} {[(k, _key(v)) for k, v in before[1].items()]}"
        calls.setdefault(key, Call(kind, name, *before, Array.of(result)))
        return result

    return call


# Attributes other than .T give no array: test_calls.py asks for their names alone.
SILENT = {"__init__", "__array__", "__array_ufunc__", "__array_function__", "__reduce_ex__", "__repr__", "__str__"}

for _name in functions.__all__:
    setattr(fakecupy, _name, noted("function", _name, getattr(fakecupy, _name)))
for _name, _value in list(vars(ndarray).items()):
    if callable(_value) and _name not in SILENT:
        setattr(ndarray, _name, noted("method", _name, _value))
    elif isinstance(_value, property) and _name == "T":
        setattr(ndarray, _name, property(noted("attribute", _name, _value.fget)))
