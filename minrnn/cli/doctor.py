"""`minrnn doctor`: what the machine and the installation are, and whether they compute correctly and how fast."""

import argparse
import os
import platform
import time
from importlib import metadata
from typing import Any

import numpy as np

from minrnn import CharRNN, __version__, backend
from minrnn import kernels as k
from minrnn.backend import Backend
from minrnn.cli.options import print_json
from minrnn.gradcheck import check_gradients

PACKAGES = ("safetensors", "tqdm", "tomli-w", "matplotlib", "anyascii", "pooch")
THREAD_VARIABLES = (
    "MINRNN_THREADS",
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """JSON in place of text."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Report; a missing extra or GPU is a finding, not a failure."""
    found = examine()
    if args.json:
        print_json(found)
    else:
        for name, value in found.items():
            print(f"{name:<13} {_words(value)}")
    return 0


def examine() -> dict[str, Any]:
    """Every finding by name; takes about half a second, and a few more with a GPU."""
    built = np.show_config(mode="dicts")
    blas = built.get("Build Dependencies", {}).get("blas", {})
    return {
        "minrnn": __version__,
        "python": f"{platform.python_version()} {platform.python_implementation()} on {platform.platform()}",
        "numpy": np.__version__,
        "blas": {key: blas[key] for key in ("name", "version", "openblas configuration") if key in blas},
        "simd": built.get("SIMD Extensions", {}).get("found", []),
        "threads": {name: os.environ.get(name, "not set") for name in THREAD_VARIABLES},
        "cpus": {"present": os.cpu_count(), "usable": _usable_cpus()},
        "memory_gib": _memory(),
        "packages": {name: _version(name) for name in PACKAGES},
        "gpu": _gpu(),
        "sgemm_gflops": round(_sgemm(), 1),
        "gradients": _gradients(),
    }


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return " · ".join(f"{key} {entry}" for key, entry in value.items())
    return ", ".join(value) if isinstance(value, list) else str(value)


def _usable_cpus() -> int | None:
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity else os.cpu_count()


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):  # not on every system
        return None


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _gpu() -> str:
    try:
        bk = backend.get("cupy")
    except backend.BackendError as error:
        return str(error)
    name = bk.xp.cuda.runtime.getDeviceProperties(0)["name"].decode()
    return f"{name}, CuPy {bk.xp.__version__}, {_graphs(bk)}"


def _graphs(bk: Backend) -> str:
    """What becomes of the training step of a small network."""
    from minrnn.graphs import Captured  # noqa: PLC0415 (a GPU alone has them)

    engine = Captured(CharRNN(5, hidden_size=8, device=bk.name))
    ids = bk.from_host(np.zeros((20, 4), np.intp))
    for _ in range(2):
        engine.gradient(ids, ids)
    return engine.note


def _sgemm(size: int = 512, seconds: float = 0.3) -> float:
    """10⁹ operations a second of the best of several float32 products of two (size, size) matrices."""
    bk = backend.get("numpy")
    a, out = np.ones((size, size), np.float32), np.empty((size, size), np.float32)
    best, end = float("inf"), time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        bk.matmul(a, a, out=out)
        best = min(best, time.perf_counter() - begin)
    return 2 * size**3 / best / 1e9


def _gradients() -> str:
    """One small LSTM checked: enough to see a broken BLAS."""
    rng = np.random.default_rng(0)
    shapes = ((4, 3, 5), (3, 2), (3, 2), (5, 8), (2, 8), (8,))  # x, h0, c0, Wx, Wh, b
    report = check_gradients(k.lstm_forward, k.lstm_backward, [rng.standard_normal(shape) for shape in shapes])
    return f"{'agree' if report.ok else 'WRONG'}, largest error {report.max_error:.1e}; all: minrnn gradcheck"
