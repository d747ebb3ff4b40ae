"""Steps of gpu_check that are right or wrong. Each returns what it found, with "ok"."""

import contextlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minrnn import CharRNN, __version__, backend
from minrnn.backend import Backend
from minrnn.cli import gradcheck
from minrnn.optim import Adam, Constant
from minrnn.text import FixedLength, StreamBatches, streams
from minrnn.train import Trainer

CELLS = ("lstm", "gru", "gru-before", "rnn")
Found = dict[str, Any]


class Subject(NamedTuple):
    """The device that is looked at. `dry` says that it is the stand-in for CuPy, whose times mean nothing."""

    bk: Backend
    dry: bool
    small: bool
    torch_python: str


def network(bk: Backend, cell: str = "lstm", dtype: str = "float32", hidden_size: int = 64) -> CharRNN:
    """A network of two layers over 65 characters."""
    return CharRNN(65, hidden_size=hidden_size, cell=cell, dtype=dtype, seed=1, device=bk.name)


def trainer(bk: Backend, cell: str = "lstm") -> Trainer:
    """The same network on its way through even random ids, 16 rows of chunks of 20."""
    ids = np.random.default_rng(0).integers(65, size=16 * 401).astype("uint8")
    batches = StreamBatches(streams(ids, 16), FixedLength(20))
    return Trainer(network(bk, cell), batches, Adam(2e-3), Constant(2e-3), clip_norm=5.0)


def environment(s: Subject) -> Found:
    """Versions and the name of the hardware."""
    found = {"minrnn": __version__, "python": platform.python_version(), "numpy": np.__version__}
    found |= {"device": s.bk.name, "library": s.bk.xp.__version__, "CUPY_TF32": os.environ.get("CUPY_TF32", "")}
    if not s.dry:
        runtime = s.bk.xp.cuda.runtime
        found["hardware"] = runtime.getDeviceProperties(s.bk.device.id)["name"].decode()
        found |= {"cuda": runtime.runtimeGetVersion(), "driver": runtime.driverGetVersion()}
    return found | {"ok": True}


def _gradient(bk: Backend, cell: str, dtype: str) -> np.ndarray:
    model, rng = network(bk, cell, dtype), np.random.default_rng(2)
    model.gradient(*(bk.from_host(ids) for ids in rng.integers(65, size=(2, 20, 16))))
    return bk.to_host(model.grads.flat).astype(np.float64)


def parity(s: Subject) -> Found:
    """Gradients beside NumPy's in float64: float32 within 10 times NumPy's own error (2 % with TF32), float64 1e-11."""
    host, found, ok = backend.get("numpy"), {}, True
    for cell in CELLS:
        exact, own = (_gradient(host, cell, dtype) for dtype in ("float64", "float32"))
        size = np.abs(exact).max()
        for dtype in ("float32", "float64"):
            error = float(np.abs(_gradient(s.bk, cell, dtype) - exact).max() / size)
            limit = 1e-11 if dtype == "float64" else 10 * float(np.abs(own - exact).max() / size)
            if dtype == "float32" and os.environ.get("CUPY_TF32") == "1":
                limit = 2e-2
            found[f"{cell} {dtype}"] = error
            ok = ok and error <= limit
    return found | {"ok": ok}


def gradients(s: Subject) -> Found:
    """`minrnn gradcheck` on the device, whole: every backward against differences."""
    reports = list(gradcheck.checks(np.random.default_rng(0), s.bk))
    wrong = [name for name, report in reports if not report.ok]
    return {"checks": len(reports), "wrong": ", ".join(wrong), "ok": not wrong}


def repeats(s: Subject) -> Found:
    """Two runs give the same bits."""
    runs = []
    for _ in range(2):
        t = trainer(s.bk)
        for _ in range(20):
            t.train_step()
        runs.append(s.bk.to_host(t.model.params.flat).tobytes())
    return {"updates": 20, "ok": runs[0] == runs[1]}


def one_kernel_a_body(s: Subject) -> Found:
    """No fused body fell back to CuPy's second tracer, which it does without a word."""
    for cell in CELLS:
        trainer(s.bk, cell).train_step()
    bodies = [body for bodies in s.bk._fused.values() for body in bodies]
    fallen = [body.__name__ for body in bodies if getattr(body, "new_fusion", None) is not None]
    return {"bodies": len(bodies), "fallen back": ", ".join(fallen), "ok": not fallen}


@contextlib.contextmanager
def waiting_forbidden(s: Subject) -> Iterator[None]:
    """Inside, what waits for the device raises."""
    if s.dry:
        with s.bk.xp.forbid("syncs"):
            yield
    else:
        import cupyx  # noqa: PLC0415 (only where there is a GPU)

        with cupyx.allow_synchronize(False):
            yield


def waits(s: Subject) -> Found:
    """An update waits for nothing."""
    t = trainer(s.bk)
    t.train_step()
    with waiting_forbidden(s):
        for _ in range(5):
            t.train_step()
    return {"updates": 5, "ok": True}


def memory(s: Subject) -> Found:
    """The memory pool does not grow over 100 updates (small: 20), the end of an epoch among them."""
    t, number = trainer(s.bk), 20 if s.small else 100
    for _ in range(number + 2):
        t.train_step()
    pool = s.bk.xp.get_default_memory_pool()
    with s.bk.scope():  # it speaks of the current device
        before = pool.total_bytes()
        for _ in range(number):
            t.train_step()
        after = pool.total_bytes()
    return {"updates": number, "before": before, "after": after, "ok": after == before > 0}


def memory_checker(s: Subject) -> Found:
    """compute-sanitizer finds nothing in the gradients of `parity`."""
    if s.dry or not shutil.which("compute-sanitizer"):
        return {"skipped": "no GPU" if s.dry else "compute-sanitizer is not installed", "ok": True}
    script = str(Path(__file__).parent.parent / "gpu_check")
    command = ["compute-sanitizer", "--tool", "memcheck", "--error-exitcode", "9"]
    done = subprocess.run(
        [*command, sys.executable, script, "--only", "parity", "--device", s.bk.name],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return {"last line": done.stdout.strip().splitlines()[-1:], "ok": done.returncode == 0}
