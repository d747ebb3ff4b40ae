"""The rules of the race: both competitors train by the same clock, which stands still while they are evaluated."""

import sys
import time
from collections.abc import Callable
from typing import Any


def run(
    train_step: Callable[[], Any], evaluate: Callable[[], float], *, seconds: int, every: int
) -> list[dict[str, float]]:
    """Train for `seconds`, and evaluate whenever `every` further seconds of training are over.

    A step counts whole, with the making of its batch; the one that crosses a mark is finished first. Returns a point
    for each mark: `minute` (the mark), `trained_s` (what the clock showed), `steps`, `val_loss`.
    """
    points, trained, steps = [], 0.0, 0
    for mark in range(every, seconds + 1, every):
        while trained < mark:
            begin = time.perf_counter()
            train_step()
            trained += time.perf_counter() - begin
            steps += 1
        points.append({"minute": mark / 60, "trained_s": trained, "steps": steps, "val_loss": evaluate()})
        print(f"  {mark / 60:5.2f} min  step {steps:6d}  {points[-1]['val_loss']:.4f}", file=sys.stderr, flush=True)
    return points
