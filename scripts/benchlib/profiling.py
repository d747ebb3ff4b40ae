"""Where the time of one training step goes: product by product, pass by pass, in a single process.

What this is not: a sampling profiler. The doors of the backend (products, pointwise bodies, row look-ups) and the parts
of the step are timed from outside; the clock adds about 0.2 µs to each call.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from benchlib.configurations import CLIP_NORM, LEARNING_RATE, Configuration
from benchlib.with_minrnn import make_model
from minrnn.optim import Adam, clip_grad_norm

STEPS = 20


def profile(configuration: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Rows (what, calls a step, ms a step) for one configuration, the whole step first; the last row is the rest."""
    c = Configuration(**configuration)
    model, optimizer = make_model(c), Adam(LEARNING_RATE)
    backend = model.backend
    seconds: defaultdict[str, float] = defaultdict(float)
    calls: defaultdict[str, int] = defaultdict(int)
    inside = 0

    def timed(function: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal inside
            inside += 1
            begin = time.perf_counter()
            result = function(*args, **options)
            if inside == 1:  # what a timed function calls is part of it
                seconds[name(*args)] += time.perf_counter() - begin
                calls[name(*args)] += 1
            inside -= 1
            return result

        return call

    def product(a: Any, b: Any, *_: Any) -> str:
        return f"product ({a.shape[0]},{a.shape[1]}) x ({b.shape[0]},{b.shape[1]})"

    def fused(make: Callable[..., Any]) -> tuple[Callable[..., Any], ...]:
        kernel = make.__name__.removesuffix("_bodies").strip("_")
        if make not in bodies:
            bodies[make] = tuple(timed(f, lambda *_, n=f"{kernel}: {f.__name__}": n) for f in plain(make))
        return bodies[make]

    bodies: dict[Any, tuple[Callable[..., Any], ...]] = {}
    plain = backend.fused
    doors = {
        "matmul": timed(backend.matmul, product),
        "take_rows": timed(backend.take_rows, lambda *_: "rows of the table looked up"),
        "sum_rows": timed(backend.sum_rows, lambda *_: "rows of the table's gradient summed"),
        "fused": fused,
    }
    ids = np.random.default_rng(0).integers(c.vocab_size, size=(2, c.seq_length, c.batch_size))
    state = None

    def step() -> None:
        nonlocal state
        _, state = model.gradient(*ids, state)
        timed(clip_grad_norm, lambda *_: "clipping")(model.grads.flat, CLIP_NORM)
        timed(optimizer.step, lambda *_: "Adam")(model.params.flat, model.grads.flat)

    vars(backend).update(doors)
    try:
        for _ in range(3):
            step()
        seconds.clear()
        calls.clear()
        begin = time.perf_counter()
        for _ in range(STEPS):
            step()
        whole = time.perf_counter() - begin
    finally:
        for name in doors:
            delattr(backend, name)
    rows = [(name, calls[name] / STEPS, 1e3 * t / STEPS) for name, t in sorted(seconds.items(), key=lambda e: -e[1])]
    rest = 1e3 * whole / STEPS - sum(ms for _, _, ms in rows)
    return [
        ("the whole step", 1.0, 1e3 * whole / STEPS),
        *rows,
        ("softmax, sums, copies and the loop itself", 1.0, rest),
    ]
