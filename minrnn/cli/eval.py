"""`minrnn eval`: nats per character, bits per character and perplexity, on the text a run held out or on another one.

A text is scored as parallel streams, each from zero state with the state carried to its end. The run's own held-out
text keeps the streams of training's validation, so the figure is the one that training shows, unless there are more
characters than training scores (its setting eval_chars): `--eval-chars` is the same limit here. A FILE is cut into
`--batch` streams: more are faster, but each has a cold start, which costs a few nats once. By default every stream has
at least 10,000 characters and there are 64 at most, so that the cold starts stay below 0.001 nats per character; the
number of streams is reported.
"""

import argparse
import sys
from typing import Any

import numpy as np

from minrnn.build import Report, load_data, text_blocks
from minrnn.cli.options import add_device, add_run, add_unknown, check_unknown, load, print_json, visible
from minrnn.cli.progress import TextProgress
from minrnn.config import ConfigError
from minrnn.evaluate import baseline, baseline_table, evaluate, per_character
from minrnn.runs import Loaded
from minrnn.text import Split, Streams, TextError, beginnings, map_ids, streams

STREAM, MOST_STREAMS = 10_000, 64  # of a FILE by default: characters of the shortest stream, largest number of streams


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The network, the text, and what to print."""
    add_run(parser)
    parser.add_argument("files", nargs="*", metavar="FILE", help="text to score (none: what the run held out)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--per-char", action="store_true", help="print every character and its nats, tab-separated")
    parser.add_argument("--baseline", action="store_true", help="add n-gram models of the run's training text")
    parser.add_argument(
        "--batch", type=int, metavar="B", help="streams into which FILE is cut (default: by its length)"
    )
    parser.add_argument("--eval-chars", type=int, default=0, metavar="N", help="score only so many (default: all)")
    add_unknown(parser)
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    """Score the text and print the figures."""
    if args.per_char and (args.json or args.baseline):
        raise ConfigError("--per-char prints a table of its own: leave out --json and --baseline")
    if args.batch is not None and not args.files:
        raise ConfigError("--batch cuts a FILE; what a run held out keeps the streams of its validation: leave it out")
    if args.eval_chars < 0:
        raise ConfigError(f"--eval-chars {args.eval_chars} must be at least 0")
    loaded = load(args)
    with TextProgress() as report:
        split = _training_split(loaded, report) if args.baseline or not args.files else None
        text = _read(args, loaded, report) if args.files else _held_out(split)
    text = beginnings(text, args.eval_chars)
    if args.per_char:
        _print_characters(loaded, text)
        return 0
    result = evaluate(loaded.model, text, loaded.config.seq)
    rows = baseline(split, len(loaded.vocabulary), text) if args.baseline and split is not None else None
    summary: dict[str, Any] = {
        "nats_per_char": result.nats_per_char,
        "bits_per_char": result.bits_per_char,
        "perplexity": result.perplexity,
        "characters": result.characters,
        "text": ", ".join(args.files) or "held out",
        "split": None if args.files else loaded.config.split,
        "streams": len(text.x),
        "checkpoint": str(loaded.path),
    }
    if args.json:
        print_json(summary if rows is None else summary | {"baseline": rows.tolist()})
    else:
        _print(summary, rows)
    return 0


def _print(summary: dict[str, Any], rows: np.ndarray | None) -> None:
    text = f"{summary['split']} split, held out" if summary["split"] else summary["text"]
    nats = summary["nats_per_char"]
    print(f"{nats:.4f} nats/char · {summary['bits_per_char']:.4f} bits/char · perplexity {summary['perplexity']:.4g}")
    print(f"{text}: {summary['characters']:,} characters in {summary['streams']} streams · {summary['checkpoint']}")
    if rows is not None:
        print(baseline_table(nats, rows, text))


def _training_split(loaded: Loaded, report: Report) -> Split:
    """The text of the run, divided as in training. Raises TextError when it is gone or has changed."""
    data = load_data(loaded.config, report)
    then = loaded.content["data"]
    if data.sha256 != then["sha256"]:
        raise TextError(
            f"the text of {loaded.path} has changed since training, from {then['characters']:,} to "
            f"{data.characters:,} characters: restore it, or name a FILE to score and leave out --baseline"
        )
    return data.split


def _held_out(split: Split | None) -> Streams:
    if split is None or split.val is None:
        raise ConfigError("this run held out nothing (val_frac = 0): name a FILE to score")
    return split.val


def _read(args: argparse.Namespace, loaded: Loaded, report: Report) -> Streams:
    vocabulary = loaded.vocabulary
    check_unknown(args.unknown, vocabulary)
    blocks = text_blocks(args.files, loaded.config, report)
    ids = map_ids(vocabulary.encode_blocks(blocks, args.unknown), vocabulary.id_type)
    batch = min(max(len(ids) // STREAM, 1), MOST_STREAMS) if args.batch is None else args.batch
    if batch < 1:
        raise ConfigError(f"--batch {batch} must be at least 1")
    if len(ids) < batch + 1:
        raise TextError(
            f"{', '.join(args.files)} gives {len(ids):,} characters, but {batch} streams need {batch + 1:,} to predict "
            "any: use a longer text or a smaller --batch"
        )
    return streams(ids, batch)


def _print_characters(loaded: Loaded, text: Streams) -> None:
    """One line a character, in the order of the text."""
    symbols = [visible(symbol) for symbol in loaded.vocabulary.symbols]
    nats = per_character(loaded.model, text, loaded.config.seq)  # (B,M)
    sys.stdout.writelines(f"{symbols[id]}\t{value:.6f}\n" for id, value in zip(text.y.flat, nats.flat, strict=True))
