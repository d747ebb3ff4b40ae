"""`minrnn info`: what a run or a checkpoint is: settings, parameters, vocabulary, how far it was trained, its files."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from minrnn.cli.options import add_run, print_json, visible
from minrnn.config import FIELDS
from minrnn.runs import Loaded, load_model

SHOWN = 60  # characters of the vocabulary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, and JSON in place of text."""
    add_run(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, with every setting and character")


def run(args: argparse.Namespace) -> int:
    """Describe it."""
    about = describe(load_model(args.run_path, args.which), Path(args.run_path))
    if args.json:
        print_json(about)
    else:
        print("\n".join(_lines(about)))
    return 0


def describe(loaded: Loaded, path: Path) -> dict[str, Any]:
    """Everything there is to say, fit for JSON; `path` is the run folder or the checkpoint file."""
    model, vocabulary, config, content, checkpoint = loaded
    files = sorted(entry for entry in path.iterdir() if entry.is_file()) if path.is_dir() else [checkpoint]
    return {
        "checkpoint": str(checkpoint),
        "model": model.settings,
        "parameters": int(model.params.flat.size),
        "arrays": {name: list(array.shape) for name, array in model.params.items()},
        "vocabulary": {
            "size": len(vocabulary),
            "characters": vocabulary.characters,
            "unknown": vocabulary.unknown,
        },
        "training": content["training"],
        "data": content["data"],
        "versions": content["versions"],
        "config": dataclasses.asdict(config),
        "files": {entry.name: entry.stat().st_size for entry in files},
    }


def _lines(about: dict[str, Any]) -> list[str]:
    vocabulary, data = about["vocabulary"], about["data"]
    characters = vocabulary["characters"]
    shown = visible(characters[:SHOWN]) + (" …" if len(characters) > SHOWN else "")
    unknown = f" and {vocabulary['unknown']}" if vocabulary["unknown"] else ""
    changed = {n: v for n, v in about["config"].items() if v != FIELDS[n].default}
    width = max(map(len, about["arrays"]))
    return [
        f"checkpoint  {about['checkpoint']}",
        f"model       {_pairs(about['model'])}",
        f"parameters  {about['parameters']:,}",
        *(f"  {name:<{width}}  {'×'.join(map(str, shape))}" for name, shape in about["arrays"].items()),
        f"vocabulary  {len(characters)} characters{unknown}: {shown}",
        f"text        {data['characters']:,} characters, sha256 {data['sha256'][:12]}…",
        f"training    {_pairs(about['training'])}",
        f"settings    {_pairs(changed) or 'the defaults'}",
        f"versions    {_pairs(about['versions'])}",
        *(f"  {size:>12,} bytes  {name}" for name, size in about["files"].items()),
    ]


def _pairs(values: dict[str, Any]) -> str:
    return " · ".join(f"{name} {_short(value)}" for name, value in values.items())


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
