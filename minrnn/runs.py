"""A run on disk: the folder that training writes and every other command reads.

    config.toml          every setting, defaults included
    metrics.jsonl        one object a line, flushed; the first holds the configuration and versions
    last.safetensors     all that a resumed run needs
    best.safetensors     the parameters with the lowest validation loss

What this is not: it neither trains nor decides when to save.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from minrnn.config import Config, ConfigError, merge
from minrnn.model import CharRNN
from minrnn.model.checkpoint import CheckpointError, load_checkpoint
from minrnn.text import Vocabulary

CONFIG, METRICS, LAST, BEST = "config.toml", "metrics.jsonl", "last.safetensors", "best.safetensors"


class Loaded(NamedTuple):
    """A trained network and what belongs to it."""

    model: CharRNN
    vocabulary: Vocabulary
    config: Config
    content: dict[str, Any]  # of the checkpoint: "training" holds step, epoch and losses
    path: Path


def checkpoint_path(run: str | Path, which: str = "best") -> Path:
    """The checkpoint that `run` names: a file itself, or in a run folder the best one, or the last where that is asked.

    A run that was never evaluated has no best checkpoint; its last one is taken. Raises CheckpointError.
    """
    run = Path(run)
    if run.is_file():
        return run
    if not run.is_dir():
        raise CheckpointError(f"there is no run or checkpoint {run}; check the name")
    for name in (BEST, LAST) if which == "best" else (LAST,):
        if (run / name).is_file():
            return run / name
    raise CheckpointError(f"{run} holds no checkpoint (yet): training saves the first one after save_every steps")


def load_model(run: str | Path, which: str = "best", device: str = "numpy") -> Loaded:
    """The network in a run folder (its "best" or "last" checkpoint) or in a checkpoint file, on `device`.

    Raises CheckpointError for a file that is missing, damaged or foreign, BackendError for a device that is not there.
    """
    path = checkpoint_path(run, which)
    arrays, content = load_checkpoint(path)
    try:
        vocabulary = Vocabulary.from_json(content["vocabulary"])
        config = merge(content["config"])
        model = CharRNN(**content["model"], device=device)
        load_parameters(model, arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} does not hold a network that this version can read: {error}") from error
    return Loaded(model, vocabulary, config, content, path)


def load_parameters(model: CharRNN, arrays: Mapping[str, np.ndarray]) -> None:
    """Copy `arrays` into the parameters of `model`. Raises ValueError naming one that is missing or does not fit."""
    for name, target in model.params.items():
        if name not in arrays:
            raise ValueError(f"the parameter {name} is missing")
        if arrays[name].shape != target.shape:
            raise ValueError(f"the parameter {name} has shape {arrays[name].shape}, the model wants {target.shape}")
        with model.backend.scope():
            target[...] = model.backend.from_host(arrays[name], model.dtype)


def host_parameters(model: CharRNN) -> dict[str, np.ndarray]:
    """The parameters of `model` as host arrays, by name."""
    return {name: model.backend.to_host(array) for name, array in model.params.items()}


def read_metrics(run: str | Path) -> list[dict[str, Any]]:
    """The objects in the metrics of a run, in order, up to the first line that is cut short or damaged.

    Raises CheckpointError when there are none.
    """
    path = Path(run) / METRICS
    if not path.is_file():
        raise CheckpointError(f"there is no {path}; check the name of the run")
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            break
        if not isinstance(entry, dict):
            break
        lines.append(entry)
    return lines


def require_free(folder: Path) -> None:
    """Raise ConfigError if the folder holds a run, or what is left of one."""
    if (folder / LAST).exists():
        raise ConfigError(f"{folder} already holds a run: go on with --resume {folder}, or choose another --out")
    if any((folder / name).exists() for name in (CONFIG, METRICS, BEST)):
        raise ConfigError(
            f"{folder} holds a run without a checkpoint to go on with: remove the folder, or choose another --out"
        )


def lock(folder: Path) -> IO[str] | None:
    """Keep other processes from training in the same folder until this one ends. Raises ConfigError if one does."""
    try:
        import fcntl  # noqa: PLC0415 (not on Windows, where nothing is locked)
    except ImportError:
        return None
    file = open(folder / CONFIG, "a", encoding="utf-8")  # noqa: SIM115 (held open: closing it would unlock)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ConfigError(f"another process is training in {folder}: wait for it, or choose another folder") from error
    return file
