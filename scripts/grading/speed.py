#!/usr/bin/env python3
"""How long `minrnn grade` takes: one complete CS231n submission on one core, right and with six mistakes; then a class.

Every round is a command of its own, so the start of Python and of every child process counts. The class is drawn from
the corpus of the tests, always the same one: of five students two have everything right, two one wrong function, one
three; as files, notebooks and zips, some in Python 2, some that would train for ever if they were run.

    .venv/bin/python scripts/grading/speed.py --json scripts/results/grading_speed.json
"""

import argparse
import importlib
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minrnn

ROOT = Path(__file__).resolve().parents[2]
RIGHT = ROOT / "tests" / "grading" / "right" / "cs231n_a3.py"
PROFILE = "cs231n-a3"
EDITS = (  # of RIGHT, each in another function
    ("return dx, dw, dout.sum(axis=0)", "return dx, dw, dout.sum()"),
    ("(1 - next_h**2) * dnext_h", "dnext_h"),
    ("rnn_step_backward(dh[:, t] + carry, cache[t])", "rnn_step_backward(dh[:, t], cache[t])"),
    ("np.add.at(dW, x, dout)", "dW[x] += dout"),
    ('do = dnext_h * tc * k["o"] * (1 - k["o"])', "do = dnext_h * tc"),
    (
        "lstm_step_backward(dh[:, t] + dhn, dcn, cache.pop())",
        "lstm_step_backward(dh[:, t] + dhn, 0 * dcn, cache.pop())",
    ),
)
MISTAKES = (0, 0, 1, 1, 3)  # of one student after the other


def imported(folder: str, name: str) -> Any:
    """A module that lies in a folder of its own, with what stands beside it."""
    sys.path.insert(0, str(ROOT / folder))
    return importlib.import_module(name)


def with_mistakes(source: str) -> str:
    """The complete submission with all of EDITS."""
    for old, new in EDITS:
        if source.count(old) != 1:
            raise ValueError(f"{old!r} is {source.count(old)} times in {RIGHT.name}: correct EDITS")
        source = source.replace(old, new)
    return source


def write_class(folder: Path, size: int) -> None:
    """Write the submissions of `size` students, drawn by a fixed seed: student-001.py, student-002.zip, …"""
    corpus, styles = imported("tests/grading/corpus", "corpus"), imported("tests/grading/corpus", "styles")
    draw = random.Random(0)
    templates = [template for template in corpus.templates() if template.profile == PROFILE]
    for number in range(size):
        template = draw.choice(templates)
        source = template.source
        places: set[str] = set()
        while len(places) < MISTAKES[number % len(MISTAKES)]:
            edit = draw.choice(template.edits)
            if edit.place not in places:
                source = edit.apply(source)
                places.add(edit.place)
        style = draw.choice([style for style in styles.STYLES if styles.applies(style, source)])
        written = styles.STYLES[style](source, folder)
        written.rename(folder / f"student-{number + 1:03}{written.suffix}")


def run(arguments: Sequence[str | Path], one_core: bool = False) -> tuple[float, float, str]:
    """Run `minrnn grade`; returns wall seconds, CPU seconds of all its processes, and what it printed to stdout."""
    core = min(os.sched_getaffinity(0)) if one_core and hasattr(os, "sched_setaffinity") else None
    command = [sys.executable, "-m", "minrnn", "grade", *map(str, arguments), "--profile", PROFILE, "--exit-zero"]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as printed:
        begin = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdout=printed,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),  # noqa: PLW1509 (no threads)
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with exit code {process.returncode}")
        printed.seek(0)
        return wall, usage.ru_utime + usage.ru_stime, printed.read()


def one(name: str, file: Path, rounds: int) -> dict[str, Any]:
    """Grade one submission `rounds` times; every round must give the same marks."""
    measured, marks = [], set()
    for _ in range(rounds):
        wall, cpu, text = run([file, "--format", "native"], one_core=True)
        document = json.loads(text)
        totals = document["totals"]
        right = sum(f["status"] == "correct" for f in document["functions"])
        marks.add((totals["score"], totals["max_score"], right, len(document["functions"])))
        measured.append({"wall_s": round(wall, 3), "cpu_s": round(cpu, 3)})
    ((score, most, right, functions),) = marks
    median = {key: statistics.median(round[key] for round in measured) for key in ("wall_s", "cpu_s")}
    marked = {"score": score, "max_score": most, "functions": functions, "right": right}
    return {"name": name, **marked, **median, "rounds": measured}


def whole_class(size: int, jobs: int) -> dict[str, Any]:
    """Grade a class of that size once."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, out = Path(temporary, "submissions"), Path(temporary, "results")
        folder.mkdir()
        write_class(folder, size)
        wall, cpu, _ = run([folder, "--jobs", str(jobs), "--csv", Path(temporary, "grades.csv"), "--out", out])
        summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    counts = {key: summary[key] for key in ("submissions", "graded", "full")}
    return {"jobs": jobs, **counts, "wall_s": round(wall, 1), "cpu_s": round(cpu, 1)}


def main() -> int:
    """Measure, print, and write the JSON file."""
    parser = argparse.ArgumentParser(description="Time `minrnn grade` on one submission and on a class.")
    parser.add_argument("--rounds", type=int, default=5, help="of each single submission (default: 5)")
    parser.add_argument("--size", type=int, default=200, help="of the class; 0 leaves it out (default: 200)")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes of the class (default: 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"load average {load:.1f}: the times are only right on an idle machine", file=sys.stderr)
    cpu_model = imported("scripts", "benchlib.command").cpu_model
    result: dict[str, Any] = {
        "kind": "grading",
        "machine": {"cpu": cpu_model(), "cpus": os.cpu_count(), "system": platform.platform()},
        "versions": {"python": platform.python_version(), "minrnn": minrnn.__version__, "numpy": np.__version__},
        "load": load,
    }
    with tempfile.TemporaryDirectory() as temporary:
        wrong = Path(temporary, "wrong.py")
        wrong.write_text(with_mistakes(RIGHT.read_text(encoding="utf-8")), encoding="utf-8")
        result["rows"] = [one("right", RIGHT, args.rounds), one("six mistakes", wrong, args.rounds)]
    for row in result["rows"]:
        print(
            f"{row['name']:<13} {row['score']:g} of {row['max_score']:g} points, {row['right']} of {row['functions']} "
            f"functions right: {row['wall_s']:.2f} s on one core, {row['cpu_s']:.2f} s of CPU time"
        )
    if args.size:
        result["class"] = measured = whole_class(args.size, args.jobs)
        print(
            f"class of {measured['submissions']}, {measured['graded']} graded, {measured['full']} with full marks: "
            f"{measured['wall_s']:.0f} s with --jobs {args.jobs}, {measured['cpu_s']:.0f} s of CPU time"
        )
    if args.json:
        args.json.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
