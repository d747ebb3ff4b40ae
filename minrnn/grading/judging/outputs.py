"""One returned tensor beside the right one: a status, an error, shapes. No cause and no points.

Shapes are looked at before values, so that broadcasting hides nothing, and NaN is never right.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minrnn.grading.diagnosis.compare import WRONG, error
from minrnn.grading.outcome.result import Output

ORDER = ("correct", "wrong-shape", "not-compared", "not-implemented", "non-finite", "wrong")  # the later one counts


def compare(name: str, value: Any, right: Any, tolerance: float = WRONG) -> Output:
    """The verdict on one tensor. `value` is an array, None where there is none, or the name of a type that is none."""
    right = np.asarray(right)
    shape = list(right.shape)
    if value is None:
        return Output(name, "not-implemented", expected_shape=shape)
    if isinstance(value, str):
        return Output(name, "wrong", expected_shape=shape, dtype=value)
    array = np.asarray(value)
    output = Output(name, "wrong", shape=list(array.shape), expected_shape=shape, dtype=str(array.dtype))
    if not np.isfinite(array).all():
        output.status = "non-finite"
    elif same_but_for_ones(array.shape, right.shape):
        output.max_rel_error = error(array, right)
        if output.max_rel_error <= tolerance:
            output.status = "correct" if array.shape == right.shape else "wrong-shape"
    return output


def same_but_for_ones(a: Sequence[int], b: Sequence[int]) -> bool:
    """Whether two shapes differ by axes of size 1 only."""
    return [n for n in a if n != 1] == [n for n in b if n != 1]


def fitted(value: Any, shape: Sequence[int]) -> Any:
    """The value as a float64 array of that shape, None where it has another one or is no array."""
    if value is None or isinstance(value, str):
        return None
    array = np.asarray(value, dtype=np.float64)
    return array.reshape(shape) if same_but_for_ones(array.shape, shape) else None


def agrees(value: Any, right: Any) -> bool:
    """Whether a value is right, in any shape that differs by axes of size 1 only."""
    return compare("", value, right).status in ("correct", "wrong-shape")


def worst(verdicts: Sequence[Output]) -> Output:
    """The verdict on one tensor over several inputs: the worst status, and the largest errors."""
    found = max(verdicts, key=lambda output: (ORDER.index(output.status), output.max_rel_error or 0.0))
    for name in ("max_rel_error", "fd_rel_error"):
        known = [getattr(o, name) for o in verdicts if getattr(o, name) is not None]
        setattr(found, name, max(known, default=None))
    return found
