"""Gradient checks: does this backward pass reverse that forward pass?

Three tools. `numerical_gradient` differentiates any function of one array. `check_gradients` compares every gradient
that a backward returns with central differences of its own forward; it works on any pair that follows the kernel
protocol, ours or a stranger's. `check_directions` checks a whole model along random directions, two evaluations each.

What this is not: a proof that the *forward* is right. A wrong forward with its exact derivative passes; only recorded
outputs of an independent implementation can show that.

The numbers behind the defaults (float64, LSTM with softmax loss): with eps = 1e-5 the central difference of a correct
backward agrees to about 1e-8 of the largest entry, planted bugs show as 1e-3 to 1. Rounding alone moves a difference by
up to about ε·max(1, Σ|terms of L|)/eps, so an elementwise *relative* error says nothing about tiny entries; both a
bound relative to the largest entry of the array and an elementwise bound with that floor must hold.
"""

import copy
import dataclasses
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
    kinks: int  # entries where the function has a kink (relu): any slope between those of the two sides is right
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
            verdict = "ok" if r.ok else f"WRONG at {list(r.worst)}" if r.worst else "WRONG"
            extra = f"  ({r.note})" if r.note else f"  ({r.kinks} at a kink)" if r.kinks else ""
            lines.append(f"{r.name:<14} {shape:<14} {r.error:9.1e} {r.largest:9.1e}  {verdict}{extra}")
        return "\n".join(lines)


def numerical_gradient(f: Callable[[np.ndarray], Any], x: Any, eps: float = EPS) -> np.ndarray:
    """Central differences (f(x + eps) − f(x − eps)) / 2 eps of the scalar function f, for every entry of the array x.

    Returns a float64 array of the shape of x. f is given copies, so it may write into them; x is never touched.
    """
    x = np.array(x, dtype=np.float64)
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        centre = x[index]
        x[index] = centre + eps
        above = float(f(x.copy()))
        x[index] = centre - eps
        below = float(f(x.copy()))
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
    backward must return None in their place, if anything). Fix other arguments without a gradient, such as a dropout
    rate, with functools.partial. The objective is Σ outputs · upstreams with upstreams drawn
    from the standard normal distribution by `rng`, for every output, so a final state counts too.

    Every call is given fresh copies, so functions that write into their arguments or consume their cache are judged by
    their mathematics. `names` are those of the arguments. A gradient of a wrong shape, one that is missing and one too
    many are wrong. Raises ValueError unless there is a name for every argument.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    args = [np.array(a, dtype=np.float64) if _is_real(a) else a for a in args]
    names = [f"argument {k}" for k in range(len(args))] if names is None else list(names)
    if len(names) != len(args):
        raise ValueError(f"{len(names)} names for {len(args)} arguments: give one name each")
    outputs = _outputs(forward, args)
    upstreams = [rng.standard_normal(np.shape(y)) if np.ndim(y) else float(rng.standard_normal()) for y in outputs]

    *_, cache = forward(*copy.deepcopy(args))
    found = backward(*copy.deepcopy(upstreams), cache)
    gradients = list(found) if isinstance(found, tuple | list) else [found]
    gradients += [None] * (len(args) - len(gradients))

    def objective() -> tuple[float, float]:  # and the size of what was added up, for the rounding
        terms = [np.multiply(y, u) for y, u in zip(_outputs(forward, args), upstreams, strict=True)]
        return sum(float(np.sum(t)) for t in terms), sum(float(np.sum(np.abs(t))) for t in terms)

    rows = []
    for name, argument, gradient in zip(names, args, gradients, strict=False):
        if _is_real(argument):
            rows.append(_row(f"d{name}", argument, gradient, objective, tolerance, eps))
        elif gradient is not None:
            rows.append(_wrong(f"d{name}", np.shape(gradient), "not a real argument: return None"))
    for k in range(len(args), len(gradients)):  # None is right for an optional argument that was left out
        if gradients[k] is not None:
            rows.append(_wrong(f"gradient {k}", np.shape(gradients[k]), "there is no such argument"))
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
            try:
                for sign in (1.0, -1.0):
                    for name, v, value in zip(group, vectors, values, strict=True):
                        params[name][...] = value + sign * eps / length * v
                    at.append(float(loss()))
            finally:
                for name, value in zip(group, values, strict=True):
                    params[name][...] = value
            numeric[k] = (at[0] - at[1]) / (2 * eps)
        floor = np.full(directions, ROUNDING * max(1.0, abs(at[0])) / eps)
        label, shape = (f"d{group[0]}", params[group[0]].shape) if group in groups[:-1] else ("all", (directions,))
        row = _compare(label, shape, analytic, numeric, floor, 0, tolerance)
        rows.append(dataclasses.replace(row, worst=()))  # a direction is no place in the array
    return Report(tuple(rows))


def _is_real(a: Any) -> bool:
    return isinstance(a, float | np.floating) or (isinstance(a, np.ndarray) and a.dtype.kind == "f")


def _outputs(forward: Callable[..., Any], args: Sequence[Any]) -> list[Any]:
    *outputs, _ = forward(*copy.deepcopy(args))
    return outputs


def _wrong(name: str, shape: tuple[int, ...], note: str) -> Row:
    return Row(name, shape, float("inf"), 0.0, (), 0, False, note)


def _row(
    name: str,
    argument: np.ndarray,
    gradient: Any,
    objective: Callable[[], tuple[float, float]],
    tolerance: float,
    eps: float,
) -> Row:
    if gradient is None:
        return _wrong(name, argument.shape, "missing")
    if np.shape(gradient) != argument.shape:
        return _wrong(name, argument.shape, f"has shape {np.shape(gradient)}, its argument {argument.shape}")
    analytic = np.asarray(gradient, dtype=np.float64)
    centre, size = objective()

    def slopes(index: tuple[int, ...], step: float) -> tuple[float, float]:  # to the left and to the right
        value = argument[index]
        argument[index] = value + step
        above, _ = objective()
        argument[index] = value - step
        below, _ = objective()
        argument[index] = value
        return (centre - below) / step, (above - centre) / step

    sides = np.empty((*argument.shape, 2))
    for index in np.ndindex(argument.shape):
        sides[index] = slopes(index, eps)
    numeric, bend = sides.mean(axis=-1), np.abs(sides[..., 1] - sides[..., 0])
    floor = np.full(argument.shape, ROUNDING * max(1.0, size) / eps)
    kinks = 0
    for where in np.argwhere(bend > 1e-3 * np.max(np.abs(numeric), initial=0.0) + 100 * floor):
        index = tuple(where)
        left, right = slopes(index, eps / 10)
        floor[index] *= 10
        if abs(right - left) < 0.3 * bend[index]:  # only a curve, or a kink farther away than the smaller step
            numeric[index] = (left + right) / 2
        else:
            numeric[index] = np.clip(analytic[index], min(left, right), max(left, right))
            kinks += 1
    return _compare(name, argument.shape, analytic, numeric, floor, kinks, tolerance)


def _compare(
    name: str,
    shape: tuple[int, ...],
    analytic: np.ndarray,
    numeric: np.ndarray,
    floor: np.ndarray,
    kinks: int,
    tolerance: float,
) -> Row:
    difference = np.abs(analytic - numeric)
    largest = float(np.max(np.abs(numeric), initial=0.0))
    most, noise = float(np.max(difference, initial=0.0)), float(np.max(floor, initial=0.0))
    if most == 0.0:
        error = 0.0
    elif largest > noise:
        error = most / largest
    else:  # the true gradient is zero as far as differences can tell: then only rounding may remain
        error = 0.0 if most <= noise else float("inf")
    within = np.all(difference <= tolerance * np.abs(numeric) + floor)
    if difference.shape == shape and difference.size:
        worst = tuple(int(k) for k in np.unravel_index(int(np.argmax(difference)), shape))
    else:
        worst = ()
    finite = bool(np.all(np.isfinite(analytic)) and np.all(np.isfinite(numeric)))
    ok = finite and error <= tolerance and bool(within)
    note = "" if finite else "not finite"
    return Row(name, shape, error if finite else float("inf"), largest, worst, kinks, ok, note)
