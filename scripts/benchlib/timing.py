"""Clocks and meters for the child processes: times of a step, peak memory, SGEMM rate, memory bandwidth."""

import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

MAIN_MEMORY = 512_000_000  # bytes: more than a cache holds


def time_steps(step: Callable[[], Any], *, warmup: int = 3, least: int = 5, seconds: float = 1.0) -> dict[str, Any]:
    """Call `step` a few times unmeasured, then at least `least` times and for at least `seconds`.

    Returns the median and the least in ms, the number of steps, and the peak memory of the process so far.
    """
    for _ in range(warmup):
        step()
    times: list[float] = []
    while len(times) < least or sum(times) < seconds:
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    ms = {"ms": 1e3 * statistics.median(times), "least_ms": 1e3 * min(times)}
    return ms | {"steps": len(times), "peak_mb": peak_memory() / 1e6}


def peak_memory(children: int = 0) -> int:
    """The largest resident size of this process so far, in bytes, and of `children` processes of about one size.

    They must have ended. What they share with this process counts more than once.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    own, others = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (own + children * others) * unit


def sgemm_gflops(n: int = 1024, repeats: int = 30) -> float:
    """GFLOP/s of NumPy's float32 product of two (n,n) matrices: the median of `repeats`."""
    import numpy as np  # noqa: PLC0415 (the other engines use this file without NumPy)

    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((n, n), dtype=np.float32) for _ in range(2))
    out = np.empty((n, n), np.float32)
    measured = time_steps(lambda: np.matmul(a, b, out=out), least=repeats, seconds=0.0)
    return 2 * n**3 / measured["ms"] / 1e6


def bandwidth(size: int) -> dict[str, float]:
    """GB/s of reading memory, and of reading `size` bytes that stay in whatever cache holds them."""
    return {"memory_gbs": read_bandwidth(MAIN_MEMORY), "cached_gbs": read_bandwidth(size)}


def read_bandwidth(size: int) -> float:
    """GB/s at which all threads read `size` bytes over and over: from memory, or from a cache that holds them.

    Measured by the BLAS product of a matrix (N,1024) and a vector: it loads every entry of the matrix once, does little
    else, and is what a step at batch 1 is made of. The fastest pass counts: this is a limit.
    """
    import numpy as np  # noqa: PLC0415

    matrix = np.ones((max(1, size // 4096), 1024), np.float32)
    vector, out = np.ones(1024, np.float32), np.empty(len(matrix), np.float32)
    repeats = max(1, 20_000_000 // matrix.nbytes)  # long enough for the clock

    def read() -> None:
        for _ in range(repeats):
            np.matmul(matrix, vector, out=out)

    return repeats * matrix.nbytes / time_steps(read, least=9, seconds=0.3)["least_ms"] / 1e6
