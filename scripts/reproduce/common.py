"""What the recipes share: options, the text, the record of a run, its verdict. Nothing here trains a model.

A recipe is a table of variants, functions that are given a Run:

    def random(run: Run) -> None:
        vocabulary = Vocabulary.from_text(run.text)
        run.configure(vocab_size=len(vocabulary), hidden_size=256, …)
        for epoch in …:
            run.log(epoch=epoch, perplexity=…)  # a point of the curve
        run.check("perplexity at the end", …, high=…)  # the pass line

    if __name__ == "__main__":
        sys.exit(main(__doc__, {"random": random, …}, stand_in="chinese.txt"))

`main` runs the variants that were asked for and, in full mode, compares their curves with the bands of published.py,
where there are bands for the text. It writes the results to --out, a list with an entry for every variant, and returns
the exit code: 0; 1 when a check has failed; 2 with a sentence on stderr for a file that cannot be read or written, or a
text that will not do; 130 when it was interrupted. What --out held before stays until a variant has ended.
"""

import argparse
import hashlib
import json
import math
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from published import Figure, figures_for, text_name

import minrnn
from minrnn.text import Streams, TextError, read_text
from minrnn.train import Diverged

DATA = Path(__file__).parents[2] / "data"
LEAST = 2_000  # characters of a text: what every quick mode can make batches of


@dataclass
class Run:
    """One run of one variant. `text` is what was read; a recipe that uses less of it says so with `use`."""

    recipe: str
    variant: str
    quick: bool
    seed: int
    text: str
    file: dict[str, Any]  # name and sha256 of the file
    options: argparse.Namespace = field(default_factory=argparse.Namespace)
    configuration: dict[str, Any] = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)

    def use(self, text: str) -> str:
        """Learn from this text, a part or a form of what was read; it decides which bands apply."""
        self.text = text
        return text

    def configure(self, **settings: Any) -> None:
        """Note the settings of this run."""
        self.configuration |= settings

    def log(self, **point: float) -> None:
        """Add a point to the curve: where it is (epoch or step), and what was measured there."""
        self.curve.append(point)
        self._print("  ".join(f"{name} {value:.6g}" for name, value in point.items()))

    def sample(self, prime: str, text: str, **how: Any) -> None:
        """Keep what the model wrote after `prime`; `how`: epoch, temperature and the like."""
        self.samples.append({**how, "prime": prime, "text": text})
        self._print(f"{prime!r} → {text!r}")

    def check(self, what: str, value: float, *, low: float = -math.inf, high: float = math.inf) -> None:
        """Compare a number with the limits that it must keep; a number that is none fails."""
        passed = bool(low <= value <= high)
        numbers = {"value": _finite(value), "low": _finite(low), "high": _finite(high)}
        self.checks.append({"what": what, **numbers, "passed": passed})
        self._print(f"{'pass' if passed else 'FAIL'}  {what}: {value:.5g}, must lie in [{low:.5g}, {high:.5g}]")

    def _print(self, line: str) -> None:
        print(f"{self.recipe} {self.variant}: {line}", flush=True)


def main(
    doc: str,
    variants: Mapping[str, Callable[[Run], None]],
    *,
    stand_in: str,
    add_options: Callable[[argparse.ArgumentParser], None] | None = None,
    arguments: Sequence[str] | None = None,
) -> int:
    """Run a recipe as its command line says; returns the exit code. `stand_in`: the text of data/ without --data."""
    recipe = Path(sys.modules[next(iter(variants.values())).__module__].__file__ or "").stem
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", action="append", choices=list(variants), help="default: all, one after the other")
    parser.add_argument("--data", type=Path, default=DATA / stand_in, help="UTF-8 text; default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="a small version with a pass line of its own, seconds")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn (default: 0)")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="where to write the results")
    if add_options:
        add_options(parser)
    options = parser.parse_args(arguments)
    try:
        return run_all(recipe, variants, options)
    except (TextError, Diverged, OSError) as error:
        print(f"{recipe}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{recipe}: interrupted", file=sys.stderr)
        return 130


def run_all(recipe: str, variants: Mapping[str, Callable[[Run], None]], options: argparse.Namespace) -> int:
    """Run the variants that the options name, and write what came out after each. Returns 1 if a check has failed."""
    text = read_text(options.data)
    if len(text) < LEAST:
        raise TextError(f"{options.data} has {len(text):,} characters, too few for a recipe: give it {LEAST:,} or more")
    if options.out and not options.out.absolute().parent.is_dir():
        raise FileNotFoundError(f"there is no folder for {options.out}: make it first")
    file = {"name": options.data.name, "sha256": hashlib.sha256(options.data.read_bytes()).hexdigest()}
    results = []
    for name in options.variant or variants:
        run = Run(recipe, name, options.quick, options.seed, text, file, options)
        results.append(carry_out(run, variants[name]))
        if options.out:
            beside = options.out.with_name(options.out.name + ".part")
            beside.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            beside.replace(options.out)
    return 0 if all(result["passed"] for result in results) else 1


def carry_out(run: Run, variant: Callable[[Run], None]) -> dict[str, Any]:
    """Run one variant, compare it with what is published, and return the result as it is written."""
    wall, cpu = time.perf_counter(), time.process_time()
    variant(run)
    seconds = {"wall": round(time.perf_counter() - wall, 1), "cpu": round(time.process_time() - cpu, 1)}
    if not run.quick:
        for figure in figures_for(run.recipe, run.variant, len(set(run.text))):
            compare(run, figure)
    if not run.checks:
        raise ValueError(f"{run.recipe} {run.variant} checks nothing: give it a pass line with run.check")
    return {
        "recipe": run.recipe,
        "variant": run.variant,
        "mode": "quick" if run.quick else "full",
        "seed": run.seed,
        "text": run.file
        | {"known_as": text_name(run.text), "characters": len(run.text), "distinct": len(set(run.text))},
        "configuration": run.configuration,
        "versions": {"minrnn": minrnn.__version__, "numpy": np.__version__, "python": platform.python_version()},
        "seconds": seconds,
        "curve": run.curve,
        "samples": run.samples,
        "checks": run.checks,
        "passed": all(check["passed"] for check in run.checks),
    }


def rows(ids: np.ndarray, batch_size: int) -> Streams:
    """Parallel streams with the targets of a row within the row: batch_size rows of N // batch_size characters.

    minrnn.text.streams takes the last target of a row from the next one; the programs that use this cut do not.
    """
    length = len(ids) // batch_size
    whole = ids[: batch_size * length].reshape(batch_size, length)  # (B,M+1)
    return Streams(whole[:, :-1], whole[:, 1:])


def compare(run: Run, figure: Figure) -> None:
    """Check the point of the curve that a published figure is about. One that was not reached fails."""
    what = f"{figure.metric} at {figure.axis} {figure.at:g}"
    run.check(what, value_at(run.curve, figure.axis, figure.at, figure.metric), low=figure.low, high=figure.high)


def value_at(curve: Sequence[Mapping[str, float]], axis: str, at: float, metric: str) -> float:
    """The metric at the place axis = at of a curve, NaN where the curve has none."""
    found = (point[metric] for point in curve if point.get(axis) == at and metric in point)
    return next(found, math.nan)


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None  # JSON has neither infinity nor NaN
