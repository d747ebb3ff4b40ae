"""`minrnn gradcheck`: every backward pass against central differences of its own forward pass, in float64.

Every kernel alone, each entry of each gradient; then whole two-layer networks along random directions. Nothing is zero:
biases, initial states and the upstreams of all outputs, final states included, are random. T, B, D, H and V differ.

What this is not: the only check. It cannot see a wrong forward pass with its exact derivative; see minrnn.gradcheck.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from minrnn import backend
from minrnn import kernels as k
from minrnn.backend import Backend
from minrnn.cli.options import add_device, print_json
from minrnn.config import ConfigError
from minrnn.gradcheck import Report, check_directions, check_gradients
from minrnn.model import CELLS, CharRNN
from minrnn.runs import load_parameters

T, B, D, H, V = 4, 3, 5, 2, 6
CELL_NAMES = {"rnn": ("tanh", "relu"), "lstm": ("",), "gru": ("",), "gru-before": ("",)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The seed, the device, and JSON in place of tables."""
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of all random arrays (default: 0)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    """Print one table for each check; 1 if any gradient is wrong."""
    if args.seed < 0:
        raise ConfigError(f"--seed {args.seed} must be at least 0")
    begin = time.perf_counter()
    reports = []
    for name, report in checks(np.random.default_rng(args.seed), backend.get(args.device)):
        reports.append((name, report))
        if not args.json:
            print(f"{name}\n{report}\n", flush=True)
    wrong = [name for name, report in reports if not report.ok]
    if args.json:
        print_json({"ok": not wrong, "checks": [_as_json(*entry) for entry in reports]})
    else:
        gradients = sum(len(report.rows) for _, report in reports)
        verdict = f"WRONG: {'; '.join(wrong)}" if wrong else "all agree"
        worst = max(report.max_error for _, report in reports)
        seconds = time.perf_counter() - begin
        print(f"{gradients} gradients in {len(reports)} checks, {seconds:.1f} s: {verdict}; largest error {worst:.1e}")
    return 1 if wrong else 0


def checks(rng: np.random.Generator, bk: Backend) -> Iterator[tuple[str, Report]]:
    """Every check in turn: its name and what it found on that device."""
    yield from _pointwise(rng, bk)
    for cell in CELL_NAMES:
        yield from _recurrent(cell, rng, bk)
    for cell, kinds in CELL_NAMES.items():
        for kind in kinds:
            for embedding_size in (0, 3):
                yield _network(cell, kind or "tanh", embedding_size, rng, bk)


def _check(
    bk: Backend, forward: Callable[..., Any], backward: Callable[..., Any], *args: Any, **options: Any
) -> Report:
    """check_gradients, which knows the host alone, of functions of arrays on a device."""

    def on_device(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> tuple[Any, ...]:
            results = function(*(bk.from_host(a) if isinstance(a, np.ndarray) else a for a in args))
            return tuple(bk.to_host(r) if isinstance(r, bk.xp.ndarray) else r for r in results)

        return call

    return check_gradients(on_device(forward), on_device(backward), *args, **options)


def _pointwise(rng: np.random.Generator, bk: Backend) -> Iterator[tuple[str, Report]]:
    """The kernels without a recurrence."""
    x, W, b = rng.standard_normal((T, B, D)), rng.standard_normal((D, H)), rng.standard_normal(H)
    names = ["x", "W", "b"]
    check = partial(_check, bk, rng=rng)
    yield "linear, dense input", check(k.linear_forward, k.linear_backward, [x, W, b], names=names)
    ids = rng.integers(0, D, (T, B))
    yield "linear, ids", check(k.linear_forward, k.linear_backward, [ids, W, b], names=names)
    for name in ("sigmoid", "tanh", "relu"):
        yield name, check(getattr(k, f"{name}_forward"), getattr(k, f"{name}_backward"), [x], names=["x"])
    dropout = partial(k.dropout_forward, p=0.4)
    yield (
        "dropout, one mask",
        check(lambda x: dropout(x, rng=np.random.default_rng(1)), _first(k.dropout_backward), [x], names=["x"]),
    )
    logits, targets = rng.standard_normal((T, B, V)), rng.integers(0, V, (T, B))
    for name, mask in (("", None), (" with mask", (rng.random((T, B)) < 0.7) * rng.uniform(0.5, 2.0, (T, B)))):
        weights = None if mask is None else bk.from_host(mask)
        loss = partial(k.softmax_cross_entropy_forward, targets=bk.from_host(targets), mask=weights)
        report = check(loss, _first(k.softmax_cross_entropy_backward), [logits], names=["logits"])
        yield f"softmax cross-entropy{name}", report


def _first(backward: Callable[..., Any]) -> Callable[..., Any]:
    """`backward`, cut down to the gradient of the first argument: the others are bound."""
    return lambda *upstreams_and_cache: backward(*upstreams_and_cache)[:1]


def _recurrent(cell: str, rng: np.random.Generator, bk: Backend) -> Iterator[tuple[str, Report]]:
    """The sequence pair and the step pair of a cell, with dense input and with ids."""
    spec, GH = CELLS[cell], CELLS[cell].gates * H
    shapes = {"Wx": (D, GH), "Wh": (H, GH), "b": (GH,), "bhn": (H,)}
    params = [rng.standard_normal(shapes[name]) / np.sqrt(shapes[name][0]) for name in spec.params]
    state = [rng.standard_normal((B, H)) for _ in spec.state]
    names = ["x", *(f"{name}0" for name in spec.state), *spec.params]
    step_backward = getattr(k, f"{cell.replace('-', '_')}_step_backward")
    for kind in CELL_NAMES[cell]:
        if kind == "relu":  # a unit that is dead has no gradient to check
            params[spec.params.index("b")] += 1.0
        option = {"nonlinearity": kind} if kind else {}
        for forward, backward, lead, form in (
            (spec.forward, spec.backward, (T, B), "sequence"),
            (spec.step_forward, step_backward, (B,), "step"),
        ):
            for x, described in ((rng.standard_normal((*lead, D)), "dense input"), (rng.integers(0, D, lead), "ids")):
                args = [x, *state, *params]
                report = _check(bk, partial(forward, **option), backward, args, names=names, rng=rng)
                yield f"{' '.join(filter(None, (cell, kind)))}, {form}, {described}", report


def _network(
    cell: str, nonlinearity: str, embedding_size: int, rng: np.random.Generator, bk: Backend
) -> tuple[str, Report]:
    """Two layers with dropout, the final state with an upstream of its own, all parameters and the initial state."""
    model = CharRNN(
        V,
        hidden_size=4,
        cell=cell,
        nonlinearity=nonlinearity,
        embedding_size=embedding_size,
        dropout=0.3,
        dtype="float64",
        device=bk.name,
    )
    params = {name: rng.standard_normal(shape) * 0.5 for name, shape in model.params.shapes.items()}
    if nonlinearity == "relu":  # as above: behind dead units gradients are too small to measure
        for layer in range(2):
            params[f"rnn.{layer}.b"] += 1.0
    x, targets = (bk.from_host(ids) for ids in rng.integers(0, V, (2, T, B)))
    names = [f"{name}0 of layer {layer}" for layer in range(2) for name in CELLS[cell].state]
    state, dstate = ([rng.standard_normal((B, 4)) for _ in names] for _ in range(2))
    params |= dict(zip(names, state, strict=True))
    dloss = float(rng.uniform(0.5, 2.0))

    def by_layer(arrays: list[np.ndarray]) -> tuple[tuple[Any, ...], ...]:
        on_device, n = [bk.from_host(a) for a in arrays], len(arrays) // 2
        return tuple(on_device[:n]), tuple(on_device[n:])

    def forward() -> tuple[Any, ...]:
        load_parameters(model, params)
        return model.forward(x, targets, by_layer(state), rng=np.random.default_rng(1))  # the same masks every time

    def objective() -> float:
        loss, final, _ = forward()
        pairs = zip(_flatten(final), dstate, strict=True)
        return dloss * float(loss) + sum(float(np.sum(bk.to_host(a) * d)) for a, d in pairs)

    *_, cache = forward()
    dstate0 = model.backward(cache, dloss, by_layer(dstate))
    gradients = {name: bk.to_host(gradient) for name, gradient in model.grads.items()}
    gradients |= {name: bk.to_host(d) for name, d in zip(names, _flatten(dstate0), strict=True)}
    kind = f"{nonlinearity} rnn" if cell == "rnn" else cell
    start = "embedding" if embedding_size else "one-hot"
    return f"network of two {kind} layers, {start}, dropout", check_directions(objective, params, gradients, rng=rng)


def _flatten(state: tuple[tuple[Any, ...], ...]) -> list[Any]:
    return [array for layer in state for array in layer]


def _as_json(name: str, report: Report) -> dict[str, Any]:
    rows = [dataclasses.asdict(row) for row in report.rows]
    return {"check": name, "ok": report.ok, "max_error": report.max_error, "gradients": rows}
