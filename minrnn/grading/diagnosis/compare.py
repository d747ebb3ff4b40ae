"""When two tensors are the same, and in which part of them they are not. No reasons: those are the diagnosis.

The measure is ‖a − b‖ / max(‖a‖, ‖b‖) over a tensor or a cell of it: a gate block, a time step. An entry of its own has
no error, for a tiny one would decide.
"""

from typing import Any

import numpy as np

from minrnn.grading.reference import Array, Family

WRONG = 1e-6  # above it a tensor or a cell is wrong: right code stays below 2e-7, the weakest variant is at 8e-3
MATCH = 1e-9  # below it a variant is the one, if the student computes in float64
FLOOR = 1e-12  # differences of this size are none
NOISE = 1e-9  # a cell is not wrong by less than this part of its tensor: central differences are not better

Cell = tuple[str, str, int]  # tensor, gate or "", time step or −1


def error(a: Any, b: Any) -> float:
    """Relative difference of two tensors; inf for another shape or NaN elsewhere. Axes of length 1 do not count."""
    a, b = np.squeeze(np.asarray(a, dtype=np.float64)), np.squeeze(np.asarray(b, dtype=np.float64))
    if a.shape != b.shape:
        return float("inf")
    finite = np.isfinite(a)
    if not finite.all() or not np.isfinite(b).all():
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(b[finite]).all():
            return float("inf")
        a, b = a[finite], b[finite]
    difference = float(np.linalg.norm(a - b))
    return 0.0 if difference <= FLOOR else difference / max(float(np.linalg.norm(a)), float(np.linalg.norm(b)))


def same_shape(a: Any, b: Any) -> bool:
    """Whether the shapes agree exactly."""
    return np.shape(a) == np.shape(b)


def cells(family: Family, name: str, value: Any) -> dict[Cell, Array]:
    """The parts of a tensor that have an error of their own: gate blocks of a weight, time steps of a sequence."""
    value = np.asarray(value)
    gates = family.gates
    if gates and name in ("dWx", "dWh", "db") and value.ndim and value.shape[-1] % len(gates) == 0:
        blocks = np.split(value, len(gates), axis=-1)
        return {(name, gate, -1): block for gate, block in zip(gates, blocks, strict=True)}
    if value.ndim == 3 and name[0] != "W":
        return {(name, "", t): row for t, row in enumerate(value)}
    return {(name, "", -1): value}


def wrong_cells(family: Family, name: str, student: Any, expected: Any, tolerance: float = WRONG) -> list[Cell]:
    """The cells of a tensor in which it is wrong; all of them if it has another shape."""
    student, expected = np.asarray(student), np.asarray(expected)
    right = cells(family, name, expected)
    if student.size != expected.size or np.squeeze(student).shape != np.squeeze(expected).shape:
        return list(right)
    found = cells(family, name, student.reshape(expected.shape))
    least = NOISE * float(np.linalg.norm(expected)) if np.isfinite(expected).all() else 0.0
    return [cell for cell in right if _differs(found[cell], right[cell], tolerance, least)]


def _differs(found: Array, right: Array, tolerance: float, least: float) -> bool:
    relative = error(found, right)
    size = max(float(np.linalg.norm(found)), float(np.linalg.norm(right)))
    return relative > tolerance and relative * size > least


def agree(family: Family, name: str, student: Any, expected: Any, tolerance: float = WRONG) -> bool:
    """Whether a tensor is the same as a whole and in every cell, up to axes of length 1."""
    return error(student, expected) <= tolerance and not wrong_cells(family, name, student, expected)
