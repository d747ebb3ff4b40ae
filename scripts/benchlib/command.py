"""Training and sampling speed of minrnn beside PyTorch and JAX, on this machine, with the same number of threads.

    scripts/bench                                   a table of training steps
    scripts/bench sampling                          a table of sampling, character by character
    scripts/bench profile --only 2x128              where the time of minrnn's training step goes
    scripts/bench --torch-python ~/torch/bin/python --jax-python ~/jax/bin/python

The engines take turns, A B C A B C, every time in a process of its own: set up, at least three steps unmeasured, then
at least five and at least one second. The times are medians; ratios are paired round by round. PyTorch and JAX are
needed to compare and for nothing else: a library that is missing leaves its column empty.

"roofline share" is the time that the step's matrix products would take at the SGEMM rate of 1024 × 1024 matrices,
measured right after the steps in the same process, divided by the time of the step. The limits of sampling are the time
of reading the weights once: at the speed of main memory, and at that of the cache that holds them after the last
character.

Run it with an interpreter that has NumPy, such as .venv/bin/python scripts/bench, on a machine that does nothing else.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchlib.configurations import SAMPLING, TRAINING, Configuration, step_flops, weight_bytes
from benchlib.processes import (
    Engine,
    MeasurementFailed,
    MissingLibrary,
    Round,
    available_cpus,
    call,
    take_turns,
)
from benchlib.tables import footer, layout, sampling_table, training_table

ENGINES = ("minrnn", "torch", "jax", "loops")


def parser() -> argparse.ArgumentParser:
    """The options."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", nargs="?", choices=("train", "sampling", "profile"), default="train")
    p.add_argument("--rounds", type=int, default=5, help="turns of every engine (default: 5)")
    p.add_argument("--threads", type=int, default=min(2, available_cpus()), help="threads and CPUs (default: 2)")
    p.add_argument("--only", metavar="TEXT", default="", help="configurations whose name holds it, such as 2x512")
    p.add_argument(
        "--engines",
        nargs="+",
        choices=ENGINES,
        default=ENGINES,
        help="loops is min-char-rnn's structure (default: all)",
    )
    p.add_argument("--json", metavar="FILE", type=Path, help="write every single measurement, as it goes on")
    p.add_argument("--torch-python", metavar="PATH", default=sys.executable, help="an interpreter that has PyTorch")
    p.add_argument("--jax-python", metavar="PATH", default=sys.executable, help="an interpreter that has JAX")
    return p


def chosen_engines(args: argparse.Namespace) -> list[Engine]:
    """The engines of `what`, in the order of their turns, as the options have them."""
    training = args.what == "train"
    engines = {"minrnn": [Engine("minrnn", "with_minrnn", sys.executable, ("",))]}
    if training:
        engines["torch"] = [Engine("torch", "with_torch", args.torch_python, ("one-hot", "embedding"))]
        engines["jax"] = [Engine("jax", "with_jax", args.jax_python, ("gather", "one-hot"))]
        engines["loops"] = [Engine(f"loops {c}", "with_loops", sys.executable, (c.lower(),)) for c in ("LSTM", "RNN")]
    else:
        modules = "nn.LSTM", "nn.LSTMCell"
        engines["torch"] = [Engine(f"torch {m}", "with_torch", args.torch_python, (m,)) for m in modules]
    return [engine for name in ENGINES if name in args.engines for engine in engines.get(name, [])]


def takes_part(engine: Engine, c: Configuration) -> bool:
    """Whether the engine has something to measure: the loops in one row only."""
    return c.loops or engine.module != "with_loops"


def find_libraries(engines: Sequence[Engine], threads: int) -> tuple[list[Engine], dict[str, str]]:
    """The engines whose library can be imported, and the versions of those; a line on stderr for each of the others."""
    present, versions = [], {}
    for engine in engines:
        try:
            versions |= call(engine.python, engine.module, "versions", threads)
            present.append(engine)
        except MissingLibrary as e:
            print(f"{engine.name} is left out: {e}", file=sys.stderr)
    return present, versions


def measure_row(c: Configuration, engines: Sequence[Engine], args: argparse.Namespace) -> dict[str, Any]:
    """All rounds of one configuration."""
    print(c.name, file=sys.stderr)
    row: dict[str, Any] = {"name": c.name, "characters": c.characters}
    if args.what == "train":
        function, row["flops"] = "train", step_flops(c)
    else:
        function, row["weight_bytes"] = "sample", weight_bytes(c)
        row["bandwidth"] = call(sys.executable, "timing", "bandwidth", args.threads, size=weight_bytes(c))

    def measure(engine: Engine, variant: str) -> Round:
        return call(engine.python, engine.module, function, args.threads, configuration=c.to_json(), variant=variant)

    found = take_turns([engine for engine in engines if takes_part(engine, c)], args.rounds, measure)
    row["engines"] = {name: {"variant": variant, "rounds": rounds} for name, (variant, rounds) in found.items()}
    return row


def print_profiles(configurations: Sequence[Configuration], threads: int) -> None:
    """A table for each: the share of one of `threads` processes, which is what a training step takes."""
    for c in configurations:
        share = replace(c, batch_size=-(-c.batch_size // threads))
        rows = call(sys.executable, "profiling", "profile", 1, configuration=share.to_json())
        whole = rows[0][2]
        lines = [[share.name, "calls", "ms", "share"]]
        lines += [[what, f"{calls:g}", f"{ms:.2f}", f"{ms / whole:.1%}"] for what, calls, ms in rows]
        print(layout(lines), end="\n\n")


def cpu_model() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print the table."""
    p = parser()
    args = p.parse_args(argv)
    if not 1 <= args.threads <= available_cpus():
        p.error(f"--threads {args.threads} must lie between 1 and the {available_cpus()} CPUs of this machine")
    if args.rounds < 1:
        p.error(f"--rounds {args.rounds} must be at least 1")
    if find_spec("numpy") is None:
        p.error(f"{sys.executable} has no NumPy: run this with one that has, such as .venv/bin/python scripts/bench")
    configurations = [c for c in (SAMPLING if args.what == "sampling" else TRAINING) if c.matches(args.only)]
    if not configurations:
        p.error(f"--only {args.only!r} fits no configuration")
    if args.what == "profile":
        print_profiles(configurations, args.threads)
        return 0
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"load average {load:.1f}: the times are only right on an idle machine", file=sys.stderr)
    engines = [e for e in chosen_engines(args) if any(takes_part(e, c) for c in configurations)]
    present, versions = find_libraries(engines, args.threads)
    result: dict[str, Any] = {
        "kind": "training" if args.what == "train" else "sampling",
        "threads": args.threads,
        "rounds": args.rounds,
        "engines": [engine.name for engine in engines],
        "machine": {"cpu": cpu_model(), "cpus": available_cpus(), "system": platform.platform()},
        "versions": {"python": platform.python_version()} | versions,
        "load": load,
        "rows": [],
    }
    try:
        for c in configurations:
            result["rows"].append(measure_row(c, present, args))
            if args.json:
                args.json.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n")
    except MeasurementFailed as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    print((training_table if args.what == "train" else sampling_table)(result))
    print(f"\n{footer(result)}")
    return 0
