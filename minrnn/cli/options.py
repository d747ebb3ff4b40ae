"""What several commands share: which network to read, how to read its text, and how to print."""

import argparse
import json
import math
from typing import Any

import numpy as np

from minrnn.config import Config, ConfigError
from minrnn.runs import Loaded, load_model
from minrnn.text import Vocabulary, normalize


def add_run(parser: argparse.ArgumentParser) -> None:
    """RUN, and which of its checkpoints."""
    parser.add_argument("run_path", metavar="RUN", help="the folder of a run, or a checkpoint file")
    parser.add_argument(
        "--which", choices=("best", "last"), default="best", help="checkpoint of a run folder (default: best)"
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Where to compute."""
    parser.add_argument("--device", default="numpy", help="numpy, cupy or cupy:N (default: numpy)")


def add_unknown(parser: argparse.ArgumentParser) -> None:
    """What to do about characters that the network does not know."""
    parser.add_argument(
        "--unknown",
        choices=("error", "skip", "replace"),
        default="error",
        help="a character outside the vocabulary is an error, left out, or read as the unknown symbol (default: error)",
    )


def load(args: argparse.Namespace) -> Loaded:
    """The network that the arguments of add_run and add_device name."""
    return load_model(args.run_path, args.which, args.device)


def normalized(text: str, config: Config) -> str:
    """`text` normalised as the training text was."""
    return normalize(text, lowercase=config.lowercase, nfc=config.nfc, ascii=config.ascii)


def check_unknown(unknown: str, vocabulary: Vocabulary) -> None:
    """Raise ConfigError where --unknown replace has nothing to replace with."""
    if unknown == "replace" and vocabulary.unknown is None:
        raise ConfigError("--unknown replace: this network has no unknown symbol; use --unknown skip")


def visible(characters: str) -> str:
    """The characters, those that would not show (newlines, control characters) escaped as in Python."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in characters)


def print_json(value: Any) -> None:
    """`value` on stdout; NaN and infinity, which JSON does not know, become null."""
    print(json.dumps(_finite(value), ensure_ascii=False, indent=2))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
