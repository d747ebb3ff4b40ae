"""The parent's side: one measurement, one process; engines take turns.

What this is not: a pool. Never do two measurements run at the same time.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parent.parent
MISSING = 3  # exit code of a child whose library cannot be imported
THREADS = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NPROC",  # XLA
    "MINRNN_THREADS",
)

Round = dict[str, Any]  # what one child measured


class MissingLibrary(Exception):
    """The interpreter lacks what the engine needs; the message says what."""


class MeasurementFailed(Exception):
    """A child ended with an error, which it has printed."""


@dataclass(frozen=True)
class Engine:
    """A competitor: the module of benchlib that runs it, the interpreter for that, its variants (the best counts)."""

    name: str
    module: str
    python: str
    variants: tuple[str, ...]


def available_cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def call(python: str, module: str, function: str, threads: int, **arguments: Any) -> Round:
    """Call benchlib.`module`.`function` in a new process of the interpreter `python` and return its result.

    Raises MissingLibrary where an import fails, MeasurementFailed for any other error.
    """
    environment = os.environ | dict.fromkeys(THREADS, str(threads))
    environment["PYTHONPATH"] = os.pathsep.join([str(SCRIPTS), str(SCRIPTS.parent)])
    task = {"module": module, "function": function, "threads": threads, "arguments": arguments}
    command = [python, "-m", "benchlib.worker", json.dumps(task)]
    try:
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    except OSError as e:
        raise MissingLibrary(f"cannot start {python} ({e.strerror}): name another interpreter") from e
    if done.returncode == MISSING:
        raise MissingLibrary(done.stdout.strip())
    if done.returncode:
        raise MeasurementFailed(f"{module}.{function} failed in {python} with exit code {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def take_turns(
    engines: Sequence[Engine], rounds: int, measure: Callable[[Engine, str], Round]
) -> dict[str, tuple[str, list[Round]]]:
    """Measure A B C A B C …, and return for each engine its best variant (if it has several) and that one's rounds.

    The first round measures every variant and says on stderr what it found; the others the fastest one there.
    """
    variants = {engine.name: list(engine.variants) for engine in engines}
    seen: dict[str, list[Round]] = {}
    for number in range(rounds):
        for engine in engines:
            tried = {variant: measure(engine, variant) for variant in variants[engine.name]}
            best = min(tried, key=lambda variant: tried[variant]["ms"])
            variants[engine.name] = [best]
            if number == 0:
                print(
                    f"  {engine.name}: " + ", ".join(f"{v} {r['ms']:.4g} ms" for v, r in tried.items()), file=sys.stderr
                )
            seen.setdefault(engine.name, []).append(tried[best])
    return {e.name: (variants[e.name][0] if len(e.variants) > 1 else "", seen[e.name]) for e in engines}
