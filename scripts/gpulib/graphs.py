"""The step of gpu_check that looks at CUDA graphs: is a step replayed the step itself, and faster?"""

from typing import Any

import numpy as np

from gpulib.checks import CELLS, Found, Subject, network, waiting_forbidden
from minrnn.cublas import rounds_to_tf32
from minrnn.graphs import Captured, difference


def graphs(s: Subject) -> Found:
    """The largest difference of losses, gradients and states from the model's own; and the note. Nothing waits."""
    found: Found = {}
    limits, ok = {"float32": 2e-2 if rounds_to_tf32() else 1e-3, "float64": 1e-10}, True
    for cell in CELLS:
        for dtype, limit in limits.items():
            largest, note = _largest(s, cell, dtype)
            found[f"{cell} {dtype}"] = f"{largest:.1e}{', the same bits' if largest == 0.0 else ''}; {note}"
            ok = ok and note.startswith("CUDA graphs: ") and largest <= limit
    return found | {"ok": ok}


def _largest(s: Subject, cell: str, dtype: str) -> tuple[float, str]:
    plain, engine = network(s.bk, cell, dtype), Captured(network(s.bk, cell, dtype))
    rng, largest = np.random.default_rng(2), 0.0
    state: Any = None
    for _ in range(5):
        x, y = (s.bk.from_host(ids) for ids in rng.integers(65, size=(2, 20, 16)))
        results = []
        for model, own in ((engine, engine.model), (plain, plain)):
            loss, after = model.gradient(x, y, state)
            results.append([s.bk.to_host(a) for a in (loss, own.grads.flat, *(a for layer in after for a in layer))])
        largest = float(np.max([largest, *(difference(a, b) for a, b in zip(*results, strict=True))]))
        state = after
    with waiting_forbidden(s):
        for _ in range(3):
            _, state = engine.gradient(x, y, state)
    return largest, engine.note
