"""The table of the README: what the five systems published, and what the recipes measured.

    python scripts/reproduce/table.py            puts it between the two marker comments of README.md
    python scripts/reproduce/table.py --check    only compares; exit code 1 when they differ

It is made from the results of full runs in scripts/reproduce/results, *.json, and from published.py. Of several seeds
the median counts. A place of a curve for which a band is known is met when the median lies in it.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from common import value_at
from published import FIGURES, ROWS, Row

ROOT = Path(__file__).parents[2]
START, END = "<!-- table of scripts/reproduce/table.py -->", "<!-- end of the table -->"
HEADER = ("system", "model", "what, where", "published (on)", "ours, median", "in band", "our text; seeds", "command")

Result = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or compare, as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--results", type=Path, default=ROOT / "scripts/reproduce/results", metavar="FOLDER")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", metavar="FILE")
    options = parser.parse_args(arguments)
    before = options.readme.read_text(encoding="utf-8")
    after = replaced(before, table(read_results(options.results)))
    if options.check:
        print(
            "the table agrees" if after == before else f"{options.readme} has another table: run {Path(__file__).name}"
        )
        return int(after != before)
    options.readme.write_text(after, encoding="utf-8")
    return 0


def read_results(folder: Path) -> list[Result]:
    """All full runs in the files of the folder, in the order of their names."""
    results = (run for file in sorted(folder.glob("*.json")) for run in json.loads(file.read_text(encoding="utf-8")))
    return [run for run in results if run["mode"] == "full"]


def replaced(readme: str, table: str) -> str:
    """The README with this table between its two markers. Raises ValueError where they are not there once."""
    if readme.count(START) != 1 or readme.count(END) != 1 or readme.index(START) > readme.index(END):
        raise ValueError(f"the README needs one line {START!r} and after it one line {END!r}")
    head, rest = readme.split(START)
    return f"{head}{START}\n{table}\n{END}{rest.split(END)[1]}"


def table(results: list[Result]) -> str:
    """A line for every variant and text that there are results of, in the order of published.ROWS."""
    lines = [HEADER, ("---",) * len(HEADER)]
    for row in ROWS:
        mine = [result for result in results if (result["recipe"], result["variant"]) == (row.recipe, row.variant)]
        for file in sorted({result["text"]["name"] for result in mine}):
            lines.append(line(row, [result for result in mine if result["text"]["name"] == file]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def line(row: Row, runs: list[Result]) -> tuple[str, ...]:
    """The cells of one variant on one text; a metric each is a line of its own in them."""
    text = runs[0]["text"]
    cells = [metric_cells(metric, row, runs) for metric in row.metrics]
    seeds = ", ".join(str(run["seed"]) for run in sorted(runs, key=lambda run: run["seed"]))
    command = f"`{row.recipe}.py --variant {row.variant}`"
    joined = ("<br>".join(cell) for cell in zip(*cells, strict=True))
    return row.system, row.model, *joined, f"{text['known_as'] or text['name']}; {seeds}", command


def metric_cells(metric: str, row: Row, runs: list[Result]) -> tuple[str, str, str, str]:
    """What is measured and where; what is published, for every text; the medians; how many of them are in their bands.

    The places are those for which there are figures, and where there are none the end of the curve.
    """
    figures = [f for f in FIGURES if (f.recipe, f.variant, f.metric) == (row.recipe, row.variant, metric)]
    name = runs[0]["text"]["known_as"]
    axis = figures[0].axis if figures else "epoch"
    places = sorted({f.at for f in figures}) or [runs[0]["curve"][-1][axis]]
    texts = list(dict.fromkeys(f.text for f in figures))
    published = (
        f"{values(f.published for f in sorted(figures, key=lambda f: f.at) if f.text == text)} ({text})"
        for text in texts
    )
    medians = {at: statistics.median(value_at(run["curve"], axis, at, metric) for run in runs) for at in places}
    banded = [f for f in figures if f.text == name]
    met = sum(f.low <= medians[f.at] <= f.high for f in banded)
    what = f"{label(metric)}, {axis} {' / '.join(f'{at:,g}' for at in places)}"
    return what, "; ".join(published) or "–", values(medians.values()), f"{met} of {len(banded)}" if banded else "–"


def values(numbers: Iterable[float]) -> str:
    """Numbers with four digits; a place of a curve that does not exist is a dash."""
    return " / ".join("–" if math.isnan(number) else f"{number:.4g}" for number in numbers)


def label(metric: str) -> str:
    """A metric in words."""
    return metric.replace("_", " ")


if __name__ == "__main__":
    sys.exit(main())
