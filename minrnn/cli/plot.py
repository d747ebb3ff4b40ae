"""`minrnn plot`: the loss curves of one or several runs as a picture.

Thin lines are training, thick ones with dots validation; the left axis counts nats, the right one bits per character.
"""

import argparse
import math
from pathlib import Path
from typing import Any

from minrnn.config import ConfigError
from minrnn.model.checkpoint import CheckpointError
from minrnn.runs import read_metrics
from minrnn.text.extras import import_extra

AXES = {"step": ("step", "updates"), "epoch": ("epoch", "epochs"), "seconds": ("elapsed_s", "seconds")}
FORMATS = (".png", ".svg", ".pdf")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The runs, the picture, and what runs along its x axis."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="the folder of a run")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help=f"picture to write: {', '.join(FORMATS)}")
    parser.add_argument("--x", choices=tuple(AXES), default="step", help="the x axis (default: step)")


def run(args: argparse.Namespace) -> int:
    """Draw and save the picture."""
    output = Path(args.output)
    if output.suffix.lower() not in FORMATS:
        raise ConfigError(f"the picture {output} must end in one of {', '.join(FORMATS)}")
    curves = {name: _curves(name, AXES[args.x][0]) for name in args.runs}
    draw(curves, AXES[args.x][1]).savefig(output, dpi=150)
    return 0


Curve = list[tuple[float, float]]


def _curves(name: str, x: str) -> tuple[Curve, Curve]:
    """The points (x, nats) of training and of validation in a run."""
    lines = [line for line in read_metrics(name) if "event" not in line and _is_number(line.get(x))]
    train, val = ([(line[x], line[key]) for line in lines if _is_number(line.get(key))] for key in ("loss", "val_loss"))
    if not train and not val:
        raise CheckpointError(f"{name} has no losses to draw yet: train for longer, or with a smaller log_every")
    return train, val


def draw(curves: dict[str, tuple[Curve, Curve]], x_label: str) -> Any:
    """A matplotlib Figure with the training and validation curves of every run, by name."""
    import_extra("matplotlib", "plot", "drawing loss curves")
    figure = import_extra("matplotlib.figure", "plot", "drawing loss curves").Figure((8, 5), layout="constrained")
    axes = figure.subplots()
    for number, (name, (train, val)) in enumerate(curves.items()):
        colour = f"C{number % 10}"
        if train:
            axes.plot(*zip(*train, strict=True), color=colour, linewidth=1, alpha=0.5, label=f"{name}, training")
        if val:
            step, best = min(val, key=lambda point: point[1])
            label = f"{name}, validation (best {best:.4f})"
            axes.plot(*zip(*val, strict=True), "o-", color=colour, linewidth=2, markersize=4, label=label)
            axes.plot(step, best, "o", color=colour, markersize=9, fillstyle="none")
    axes.set_xlabel(x_label)
    axes.set_ylabel("nats per character")
    nat = math.log(2)
    right = axes.secondary_yaxis("right", functions=(lambda nats: nats / nat, lambda bits: bits * nat))
    right.set_ylabel("bits per character")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def _is_number(value: object) -> bool:
    """Whether a metric can be drawn: measured, and not damaged."""
    return isinstance(value, int | float) and math.isfinite(value)
