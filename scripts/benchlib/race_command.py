"""The learning race: validation loss against minutes of training, minrnn beside a small GPT on the same CPUs.

    scripts/race --data tinyshakespeare.txt --torch-python ~/torch/bin/python -- --hidden 256 --layers 1 --steps 20000

What follows -- goes to minrnn, as flags of `minrnn train`. The other lane is the GPT that nanoGPT publishes for a CPU
(4 layers, 4 heads, width 128, context 64, batch 12), re-implemented in PyTorch; --gpt-decay gives the step at which
its learning rate has come down, published 2000, and several numbers give it several lanes.

Both learn the first nine tenths of the text and are scored on all of the last tenth. The lanes run one after the
other with the same number of threads. The clock counts training alone: batches, gradients, updates; setting up and
evaluating are free for both. The GPT is scored in blocks of its 64 characters, as in its own evaluation; a recurrent
network has no such limit and carries its state along.

Writes OUT.json, all settings and curves, and OUT.png, the picture.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchlib.processes import MeasurementFailed, MissingLibrary, available_cpus, call
from benchlib.tables import layout

Lane = dict[str, Any]


def parser() -> argparse.ArgumentParser:
    """The options."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", metavar="PATH", type=Path, required=True, help="the text, such as tiny Shakespeare")
    p.add_argument("--minutes", type=float, default=10.0, help="of training, for each lane (default: 10)")
    p.add_argument("--every", type=int, default=30, metavar="SECONDS", help="between evaluations (default: 30)")
    p.add_argument("--threads", type=int, default=min(2, available_cpus()), help="threads and CPUs (default: 2)")
    p.add_argument("--gpt-decay", type=int, nargs="+", default=[2000], metavar="STEPS", help="(default: 2000)")
    p.add_argument("--torch-python", metavar="PATH", default=sys.executable, help="an interpreter that has PyTorch")
    p.add_argument("--out", type=Path, default=Path("race"), help="name of the two files (default: race)")
    p.add_argument("flags", nargs="*", metavar="-- FLAG", help="flags of minrnn train")
    return p


def by_minute(lanes: Sequence[Lane]) -> list[dict[str, float]]:
    """For every whole minute that all lanes were scored at: the minute, and the loss of each lane by name."""
    curves = [{point["minute"]: point["val_loss"] for point in lane["points"]} for lane in lanes]
    shared = sorted(minute for minute in set.intersection(*map(set, curves)) if minute == int(minute))
    return [{"minute": m} | {lane["name"]: c[m] for lane, c in zip(lanes, curves, strict=True)} for m in shared]


def table(lanes: Sequence[Lane]) -> str:
    """The losses minute by minute, and by how much the first lane is ahead of the best of the others."""
    names = [lane["name"] for lane in lanes]
    lines = [["minute", *names, f"{names[0]} ahead by"]]
    for row in by_minute(lanes):
        losses = [row[name] for name in names]
        lines.append([f"{row['minute']:.0f}", *(f"{x:.4f}" for x in losses), f"{min(losses[1:]) - losses[0]:+.4f}"])
    return layout(lines)


def picture(lanes: Sequence[Lane], text: str) -> Any:
    """A matplotlib Figure with the curve of every lane."""
    from matplotlib.figure import Figure  # noqa: PLC0415 (the only thing here that the standard library lacks)

    figure = Figure((8, 5), layout="constrained")
    axes = figure.subplots()
    for lane in lanes:
        minutes, losses = zip(*((p["trained_s"] / 60, p["val_loss"]) for p in lane["points"]), strict=True)
        axes.plot(minutes, losses, "o-", markersize=4, label=f"{lane['name']}: {losses[-1]:.4f} at the end")
    axes.set_xlabel("minutes of training")
    axes.set_ylabel(f"nats per character, the last tenth of {text}")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    """Run the lanes one after the other; write and print what came out."""
    p = parser()
    args = p.parse_args(argv)
    seconds = round(60 * args.minutes)
    if not 1 <= args.threads <= available_cpus():
        p.error(f"--threads {args.threads} must lie between 1 and the {available_cpus()} CPUs of this machine")
    if not 1 <= args.every <= seconds:
        p.error(f"--every {args.every} must lie between 1 and the {seconds} seconds of the race")
    if not args.data.is_file():
        p.error(f"--data {args.data} is no file")
    if find_spec("matplotlib") is None:
        p.error(f"{sys.executable} has no matplotlib to draw the curves with: pip install 'minrnn[plot]'")
    shared = {"data": str(args.data), "seconds": seconds, "every": args.every}
    entries: list[tuple[str, str, str, dict[str, Any]]] = [
        ("minrnn", sys.executable, "race_minrnn", {"flags": args.flags}),
        *(
            (f"GPT, decay over {steps}", args.torch_python, "race_gpt", {"decay_steps": steps})
            for steps in args.gpt_decay
        ),
    ]
    lanes: list[Lane] = []
    for name, python, module, settings in entries:
        load = os.getloadavg()[0]
        print(f"{name} (load average {load:.1f})", file=sys.stderr)
        try:
            lane = call(python, module, "race", args.threads, **settings, **shared)
        except (MissingLibrary, MeasurementFailed) as e:
            print(f"error: {e}", file=sys.stderr)
            return 1
        lanes.append({"name": name, "settings": settings, "load": load} | lane)
    result = {"text": args.data.name, "threads": args.threads, "system": platform.platform(), "lanes": lanes}
    args.out.with_suffix(".json").write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n")
    picture(lanes, args.data.name).savefig(args.out.with_suffix(".png"), dpi=150)
    print(table(lanes))
    for lane in lanes:
        last = lane["points"][-1]
        print(f"{lane['name']}: {lane['parameters']:,} parameters, {last['steps']:,} steps, {lane['scored']:,} scored")
    return 0
