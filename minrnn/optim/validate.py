"""Checks of hyper-parameters, made once where they enter. Not checks of arrays.

Every function returns a plain Python float or int. That is more than tidiness: a NumPy float64 scalar times
a float32 array is float64, a Python float leaves it float32.
"""

import math
from numbers import Integral, Real


def not_negative(name: str, value: float) -> float:
    """Return `value` as a float; raise ValueError unless it is a finite number >= 0."""
    if not _is_finite(value) or value < 0:
        raise ValueError(f"{name} must be a finite number >= 0, got {value!r}")
    return float(value)


def fraction(name: str, value: float) -> float:
    """Return `value` as a float; raise ValueError unless 0 <= value < 1."""
    if not _is_finite(value) or not 0 <= value < 1:
        raise ValueError(f"{name} must be a number in [0, 1), got {value!r}")
    return float(value)


def positive(name: str, value: float) -> float:
    """Return `value` as a float; raise ValueError unless it is > 0 (infinity allowed: no limit)."""
    if not _is_number(value) or not value > 0:
        raise ValueError(f"{name} must be a number > 0, got {value!r}; leave the clipping out to disable it")
    return float(value)


def count(name: str, value: int, least: int) -> int:
    """Return `value` as an int; raise ValueError unless it is a whole number >= least."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number >= {least}, got {value!r}")
    return int(value)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_finite(value: float) -> bool:
    return _is_number(value) and math.isfinite(value)
