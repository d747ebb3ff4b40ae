"""Gradient checks: does this backward pass reverse that forward pass?

Three tools. `numerical_gradient` differentiates any function of one array. `check_gradients` compares every gradient
that a backward returns with central differences of its own forward; it works on any pair that follows the kernel
protocol, ours or a stranger's. `check_directions` checks a whole model along random directions, two evaluations each.

What this is not: a proof that the *forward* is right. A wrong forward with its exact derivative passes; only recorded
outputs of an independent implementation can show that.

The numbers behind the defaults (float64, LSTM with softmax loss): with eps = 1e-5 the central difference of a correct
backward agrees to about 1e-8 of the largest entry, planted bugs show as 1e-3 to 1. Rounding alone moves a difference by
up to about ε·max(1, |L|)/eps, so an elementwise *relative* error says nothing about tiny entries; both a bound relative
to the largest entry of the array and an elementwise bound with that floor must hold.
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

EPS = 1e-5
TOLERANCE = 1e-6
ROUNDING = 10 * float(np.finfo(np.float64).eps)  # correct code was seen to use at most a tenth of it


@dataclass(frozen=True)
class Row:
    """The verdict on one gradient."""

    name: str
    shape: tuple[int, ...]
    error: float  # max|analytic − numeric| / max|numeric|
    largest: float  # max|numeric|
    worst: tuple[int, ...]  # index of the largest difference
    skipped: int  # entries left out because the function has a kink there (relu)
    ok: bool
    note: str = ""


@dataclass(frozen=True)
class Report:
    """One row for each gradient; `print(report)` shows them as a table."""

    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """Whether every row passed."""
        return all(row.ok for row in self.rows)

    @property
    def max_error(self) -> float:
        """The largest relative error of any row (0 without rows)."""
        return max((row.error for row in self.rows), default=0.0)

    def __str__(self) -> str:
        lines = [f"{'gradient':<14} {'shape':<14} {'error':>9} {'largest':>9}  verdict"]
        for r in self.rows:
            shape = "×".join(map(str, r.shape)) or "number"
            verdict = "ok" if r.ok else f"WRONG at {list(r.worst)}"
            extra = f"  ({r.note})" if r.note else f"  ({r.skipped} at a kink left out)" if r.skipped else ""
            lines.append(f"{r.name:<14} {shape:<14} {r.error:9.1e} {r.largest:9.1e}  {verdict}{extra}")
        return "\n".join(lines)


def numerical_gradient(f: Callable[[np.ndarray], Any], x: Any, eps: float = EPS) -> np.ndarray:
    """Central differences (f(x + eps) − f(x − eps)) / 2 eps of the scalar function f, for every entry of the array x.

    Returns a float64 array of the shape of x. f is given a private copy, so x is never touched.
    """
    x = np.array(x, dtype=np.float64)
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        centre = x[index]
        x[index] = centre + eps
        above = float(f(x))
        x[index] = centre - eps
        below = float(f(x))
        x[index] = centre
        gradient[index] = (above - below) / (2 * eps)
    return gradient


def check_gradients(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    args: Sequence[Any],
    *,
    names: Iterable[str] | None = None,
    rng: np.random.Generator | None = None,
    tolerance: float = TOLERANCE,
    eps: float = EPS,
) -> Report:
    """Check `backward` against central differences of `forward`, for every floating argument.

    forward(*args) returns (*outputs, cache); backward(*upstreams, cache) returns one gradient for each argument, in
    their order. Floating arrays and numbers are cast to float64; integers, None and anything else have no gradient (the
    backward must return None in their place, if anything). The objective is Σ outputs · upstreams with upstreams drawn
    from the standard normal distribution by `rng`, for every output, so a final state counts too.

    Every call is given fresh copies, so functions that write into their arguments or consume their cache are judged by
    their mathematics. `names` are those of the arguments. A gradient of a wrong shape, or that is missing, is wrong.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    args = [np.array(a, dtype=np.float64) if _is_real(a) else a for a in args]
    names = [f"argument {k}" for k in range(len(args))] if names is None else list(names)
    outputs = _outputs(forward, args)
    upstreams = [rng.standard_normal(np.shape(y)) if np.ndim(y) else float(rng.standard_normal()) for y in outputs]

    *_, cache = forward(*copy.deepcopy(args))
    found = backward(*copy.deepcopy(upstreams), cache)
    gradients = list(found) if isinstance(found, tuple | list) else [found]
    gradients += [None] * (len(args) - len(gradients))

    def objective() -> float:
        return sum(float(np.sum(y * u)) for y, u in zip(_outputs(forward, args), upstreams, strict=True))

    rows = []
    for name, argument, gradient in zip(names, args, gradients, strict=False):
        if _is_real(argument):
            rows.append(_row(f"d{name}", argument, gradient, objective, tolerance, eps))
        elif gradient is not None:
            rows.append(Row(f"d{name}", np.shape(gradient), 0.0, 0.0, (), 0, False, "not a real argument: return None"))
    return Report(tuple(rows))


def check_directions(
    loss: Callable[[], float],
    params: Mapping[str, np.ndarray],
    gradients: Mapping[str, np.ndarray],
    *,
    directions: int = 3,
    rng: np.random.Generator | None = None,
    tolerance: float = TOLERANCE,
    eps: float = EPS,
) -> Report:
    """Check the gradients of a whole model along random directions: for each parameter alone, then for all together.

    `loss()` evaluates the objective at the current `params`, which are moved in place and put back; `gradients` holds
    what the backward pass returned, under the same names. An error of relative size δ in one array shows up as about δ
    along a direction in that array; several directions make a lucky cancellation improbable. Use float64.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    groups = [[name] for name in params] + [list(params)]
    rows = []
    for group in groups:
        numeric, analytic = np.empty(directions), np.empty(directions)
        for k in range(directions):
            vectors = [rng.standard_normal(params[name].shape) for name in group]
            length = np.sqrt(sum(float(np.sum(v * v)) for v in vectors))
            analytic[k] = sum(float(np.sum(gradients[n] * v)) for n, v in zip(group, vectors, strict=True)) / length
            values = [params[name].copy() for name in group]
            at = []
            for sign in (1.0, -1.0):
                for name, v, value in zip(group, vectors, values, strict=True):
                    params[name][...] = value + sign * eps / length * v
                at.append(float(loss()))
            for name, value in zip(group, values, strict=True):
                params[name][...] = value
            numeric[k] = (at[0] - at[1]) / (2 * eps)
        floor = ROUNDING * max(1.0, abs(at[0])) / eps
        label = f"d{group[0]}" if len(group) == 1 else "all"
        skipped = np.zeros(directions, dtype=bool)
        rows.append(_compare(label, params[group[0]].shape, analytic, numeric, skipped, floor, tolerance))
    return Report(tuple(rows))


def _is_real(a: Any) -> bool:
    return isinstance(a, float | np.floating) or (isinstance(a, np.ndarray) and a.dtype.kind == "f")


def _outputs(forward: Callable[..., Any], args: Sequence[Any]) -> list[Any]:
    *outputs, _ = forward(*copy.deepcopy(args))
    return outputs


def _row(
    name: str, argument: np.ndarray, gradient: Any, objective: Callable[[], float], tolerance: float, eps: float
) -> Row:
    if gradient is None or np.shape(gradient) != argument.shape:
        note = "missing" if gradient is None else f"has shape {np.shape(gradient)}, its argument {argument.shape}"
        return Row(name, argument.shape, float("inf"), 0.0, (), 0, False, note)
    analytic = np.asarray(gradient, dtype=np.float64)
    centre = objective()
    numeric, bend = np.empty_like(argument), np.empty_like(argument)
    for index in np.ndindex(argument.shape):
        value = argument[index]
        argument[index] = value + eps
        above = objective()
        argument[index] = value - eps
        below = objective()
        argument[index] = value
        numeric[index] = (above - below) / (2 * eps)
        bend[index] = abs(above - 2 * centre + below) / eps  # O(eps) where smooth, O(1) across a kink
    skipped = bend > 1e-3 * np.max(np.abs(numeric), initial=0.0) + 100 * ROUNDING * max(1.0, abs(centre)) / eps
    floor = ROUNDING * max(1.0, abs(centre)) / eps
    return _compare(name, argument.shape, analytic, numeric, skipped, floor, tolerance)


def _compare(
    name: str,
    shape: tuple[int, ...],
    analytic: np.ndarray,
    numeric: np.ndarray,
    skipped: np.ndarray,
    floor: float,
    tolerance: float,
) -> Row:
    difference = np.where(skipped, 0.0, np.abs(analytic - numeric))
    largest = float(np.max(np.abs(numeric), initial=0.0))
    most = float(np.max(difference, initial=0.0))
    if most == 0.0:
        error = 0.0
    elif largest > floor:
        error = most / largest
    else:  # the true gradient is zero as far as differences can tell: then only rounding may remain
        error = 0.0 if most <= floor else float("inf")
    within = np.all(difference <= tolerance * np.abs(numeric) + floor)
    worst = (
        tuple(int(k) for k in np.unravel_index(int(np.argmax(difference)), shape)) if difference.shape == shape else ()
    )
    finite = bool(np.all(np.isfinite(analytic)) and np.all(np.isfinite(numeric)))
    ok = finite and error <= tolerance and bool(within)
    note = "" if finite else "not finite"
    return Row(name, shape, error if finite else float("inf"), largest, worst, int(np.sum(skipped)), ok, note)
