"""`minrnn train`: settings in, a run folder out, progress on stderr."""

import argparse
import dataclasses
import json
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minrnn.build import load_data
from minrnn.cli.progress import PlainProgress, TerminalProgress, TextProgress, header
from minrnn.config import FIELDS, Config, ConfigError, merge, read_toml
from minrnn.evaluate import baseline, baseline_table
from minrnn.fit import Fit, resume, start
from minrnn.model.checkpoint import load_checkpoint
from minrnn.runs import checkpoint_path

GROUPS = {
    "lowercase": "text",
    "cell": "network",
    "seq": "batches",
    "optimizer": "optimization",
    "schedule": "learning rate",
    "epochs": "when to stop, and what to do on the way",
    "seed": "machine",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One flag for every setting, made from the settings themselves, and those that belong to the command alone."""
    parser.add_argument("files", nargs="*", metavar="FILE", default=argparse.SUPPRESS, help=_help("files"))
    run = parser.add_argument_group("run")
    run.add_argument("--out", metavar="RUN", help="folder to write (default: the first free of runs/1, runs/2, …)")
    run.add_argument("--resume", metavar="RUN", help="go on with an interrupted run, bit for bit")
    run.add_argument("--init-from", metavar="RUN", help="start from the parameters of another run or checkpoint")
    run.add_argument("--config", metavar="FILE.toml", help="settings from a file; flags win over it")
    run.add_argument("--print-config", action="store_true", help="show every setting and where it comes from, and stop")
    run.add_argument("--baseline", action="store_true", help="at the end, show n-gram models (110 bytes a character)")
    run.add_argument("--json", action="store_true", help="at the end, print a summary as JSON on stdout")
    run.add_argument("--quiet", action="store_true", help="no progress; errors still appear")
    group: Any = parser
    for name, field in FIELDS.items():
        if name == "files":
            continue
        if name in GROUPS:
            group = parser.add_argument_group(GROUPS[name])
        flag, kind = "--" + name.replace("_", "-"), type(field.default)
        common = {"dest": name, "default": argparse.SUPPRESS, "help": _help(name)}
        if kind is bool:
            group.add_argument(flag, action=argparse.BooleanOptionalAction, **common)
        else:
            choices = field.metadata["choices"]
            group.add_argument(
                flag,
                type=str if name == "time_limit" else kind,
                choices=choices,
                metavar=None if choices else "TIME" if name == "time_limit" else kind.__name__.upper(),
                **common,
            )


def _help(name: str) -> str:
    field = FIELDS[name]
    default = "" if field.default == () or field.default is False else f" (default: {field.default})"
    return field.metadata["help"].replace("%", "%%") + default


def run(args: argparse.Namespace) -> int:
    """Train, and say how to go on."""
    flags = {name: value for name, value in vars(args).items() if name in FIELDS}
    for name in ("out", "resume", "init_from", "config"):
        if getattr(args, name) == "":
            raise ConfigError(f"--{name.replace('_', '-')} is empty: name a path, or leave it out")
    if args.resume and (args.out or args.init_from):
        raise ConfigError("--resume goes on in its own folder with its own parameters: leave out --out and --init-from")
    in_file = read_toml(args.config) if args.config else {}
    for layer in (in_file, flags):
        if "files" in layer:
            layer["files"] = [os.path.abspath(path) for path in layer["files"]]  # the run may be used from elsewhere
    if args.print_config:
        run_settings = load_checkpoint(checkpoint_path(args.resume, "last"))[1]["config"] if args.resume else {}
        _print_config(merge(run_settings, in_file, flags), {"run": run_settings, "file": in_file, "flag": flags})
        return 0
    with TextProgress(args.quiet) as report:
        if args.resume:
            fit = resume(args.resume, in_file | flags, report)
        else:
            config = merge(in_file, flags)
            data = load_data(config, report)
            fit = start(config, args.out or _free_folder(), init_from=args.init_from, data=data)
    if not args.quiet:
        print(header(fit), file=sys.stderr)
    show = None if args.quiet else TerminalProgress(fit) if sys.stderr.isatty() else PlainProgress(fit)
    reason = ""
    try:
        with _signals(fit):
            for event in fit.run():
                if event.kind == "end":
                    reason = event.data["reason"]
                if show:
                    show(event)
    finally:  # an error then starts on a line of its own
        if show:
            show.close()
    if args.baseline and fit.data.val is not None:
        rows = baseline(fit.data.split, len(fit.data.vocabulary), fit.data.val)
        print(baseline_table(fit.progress.best_val_loss, rows, fit.data.split.name), file=sys.stderr)
    if args.json:
        print(json.dumps(_summary(fit, reason)))
    if reason == "interrupted":
        print(f"saved; go on with: minrnn train --resume {shlex.quote(str(fit.folder))}", file=sys.stderr)
        return 128 + (fit.stop_signal or signal.SIGINT)
    if show:
        print(f"{reason}; sample with: minrnn sample {shlex.quote(str(fit.folder))}", file=sys.stderr)
    return 0


def _free_folder() -> Path:
    number = 1
    while (folder := Path("runs", str(number))).exists():
        number += 1
    return folder


def _print_config(config: Config, layers: dict[str, dict[str, Any]]) -> None:
    for name, value in dataclasses.asdict(config).items():
        origin = next((origin for origin in reversed(layers) if name in layers[origin]), "default")
        line = f"{name} = {json.dumps(value, ensure_ascii=False)}"  # one value in JSON is the same in TOML
        print(f"{line:<32} # {origin}")


def _summary(fit: Fit, reason: str) -> dict[str, Any]:
    done = fit.progress
    return {
        "run": str(fit.folder),
        "reason": reason,
        "step": fit.trainer.step,
        "epoch": fit.trainer.epochs_done,
        "split": fit.data.split.name,
        "val_loss": done.val_loss,
        "best_val_loss": done.best_val_loss,
        "best_step": done.best_step,
        "elapsed_s": done.elapsed_s,
        "parameters": int(fit.trainer.model.params.flat.size),
    }


@contextmanager
def _signals(fit: Fit) -> Iterator[None]:
    """The first SIGINT or SIGTERM lets the step finish and the run be saved; a second one leaves at once."""

    def stop(number: int, frame: Any) -> None:
        if fit.stop_signal is not None:
            os._exit(128 + number)
        fit.stop_signal = number
        print("\nfinishing the step and saving; once more to leave at once", file=sys.stderr)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
