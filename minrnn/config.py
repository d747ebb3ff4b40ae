"""The settings of a training run: one dataclass from which the flags, the TOML file and the checks are made.

Precedence: flag > file > default. A key that does not exist is an error that names the nearest one. The same names
serve as flags (`--val-frac`) and as keys (`val_frac`).

What this is not: it builds nothing; minrnn.build does.
"""

import dataclasses
import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from minrnn.model import CELLS, DROPOUT_PLACES, INITS
from minrnn.optim import OPTIMIZERS
from minrnn.text import SPLITS

SCHEDULES = ("constant", "exponential", "cosine", "restarts")


class ConfigError(ValueError):
    """A setting is unknown, malformed, out of range or contradicts another; the message says what to change."""


def setting(
    default: Any, help: str, *, choices: tuple[str, ...] | None = None, fixed: bool = False, least: float | None = None
) -> Any:
    """A field of Config. `fixed`: a resumed run cannot change it, because its checkpoint would not fit any more."""
    metadata = {"help": help, "choices": choices, "fixed": fixed, "least": least}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass
class Config:
    """Every setting of `minrnn train`, with its default. Zero, where a limit or a size may be zero, means none."""

    files: tuple[str, ...] = setting(
        (), "text files, read in this order (none: the Python standard library)", fixed=True
    )
    lowercase: bool = setting(False, "make the text lower case", fixed=True)
    nfc: bool = setting(False, "compose letters and accents (Unicode NFC)", fixed=True)
    ascii: bool = setting(False, "transliterate the text to ASCII (needs the extra 'ascii')", fixed=True)
    vocab_min_freq: int = setting(1, "rarer characters become the unknown symbol", fixed=True, least=1)
    vocab_max_size: int = setting(0, "keep only that many characters, the most frequent", fixed=True, least=0)

    cell: str = setting("lstm", "kind of cell", choices=tuple(CELLS), fixed=True)
    nonlinearity: str = setting("tanh", "of the cell 'rnn'", choices=("tanh", "relu"), fixed=True)
    layers: int = setting(2, "number of layers", fixed=True, least=1)
    hidden: int = setting(128, "hidden size", fixed=True, least=1)
    embed: int = setting(0, "embedding size; 0 is one-hot input", fixed=True, least=0)
    dropout: float = setting(0.0, "probability with which an output of a layer is dropped", fixed=True, least=0)
    dropout_places: str = setting(
        "between,decoder", "between layers and before the decoder, or not before it", choices=DROPOUT_PLACES, fixed=True
    )
    init: str = setting("uniform", "initialisation", choices=INITS, fixed=True)
    forget_bias: float = setting(1.0, "added to the forget-gate bias of an LSTM", fixed=True)

    seq: int = setting(50, "characters of one truncated backpropagation", fixed=True, least=1)
    batch: int = setting(50, "sequences in a batch", fixed=True, least=1)
    batches: str = setting(
        "consecutive", "streams with carried state, or windows", choices=("consecutive", "random"), fixed=True
    )
    reset: str = setting(
        "epoch",
        "when the carried state starts from zero: at every epoch, or never",
        choices=("epoch", "never"),
        fixed=True,
    )
    split: str = setting("tail", "what is held out for validation", choices=tuple(SPLITS), fixed=True)
    val_frac: float = setting(0.1, "share of the text that is held out", fixed=True, least=0)

    optimizer: str = setting("adam", "update rule", choices=tuple(OPTIMIZERS), fixed=True)
    lr: float = setting(2e-3, "learning rate", least=0)
    momentum: float = setting(0.0, "of sgd and rmsprop", fixed=True, least=0)
    alpha: float = setting(0.99, "smoothing of rmsprop", fixed=True, least=0)
    beta1: float = setting(0.9, "of the adam family", fixed=True, least=0)
    beta2: float = setting(0.999, "of the adam family", fixed=True, least=0)
    two_biases: bool = setting(
        False, "move the biases of a cell twice as far, as a framework with two of each does", fixed=True
    )
    weight_decay: float = setting(0.0, "L2, decoupled for adamw", fixed=True, least=0)
    loss_reduction: str = setting(
        "mean", "of the differentiated loss; sum_time is char-rnn's", choices=("mean", "sum_time"), fixed=True
    )
    clip_norm: float = setting(5.0, "largest global gradient norm; 0 is no limit", fixed=True, least=0)
    clip_value: float = setting(0.0, "largest absolute gradient entry, in place of clip_norm", fixed=True, least=0)

    schedule: str = setting("constant", "of the learning rate", choices=SCHEDULES)
    warmup: int = setting(0, "steps of linear warm-up", least=0)
    lr_min: float = setting(0.0, "where a cosine ends", least=0)
    decay: float = setting(0.97, "factor of each epoch, schedule exponential", least=0)
    decay_after: int = setting(10, "the last epoch at the full rate, schedule exponential", least=0)
    cycle: int = setting(0, "steps of the first cycle, schedule restarts (0: one epoch)", least=0)
    cycle_mult: int = setting(2, "growth of the cycles, schedule restarts", least=1)

    epochs: int = setting(10, "passes over the text", least=0)
    steps: int = setting(0, "updates, in place of epochs", least=0)
    time_limit: float = setting(0.0, "seconds, or such as 90s, 2m, 1h30m", least=0)
    patience: int = setting(0, "evaluations without a new best before stopping", least=0)
    eval_every: int = setting(500, "steps between evaluations", least=0)
    eval_chars: int = setting(1_000_000, "held-out characters that an evaluation scores; 0 is all", fixed=True, least=0)
    save_every: int = setting(500, "steps between checkpoints", least=0)
    sample_every: int = setting(0, "steps between samples", least=0)
    log_every: int = setting(50, "steps between lines of metrics", least=1)

    seed: int = setting(0, "of every random stream", fixed=True, least=0)
    dtype: str = setting("float32", "floating-point type", choices=("float32", "float64"), fixed=True)
    device: str = setting("numpy", "numpy, cupy or cupy:N")

    def validate(self) -> "Config":
        """Check every range and combination; returns self. Raises ConfigError."""
        for field in dataclasses.fields(self):
            value, least = getattr(self, field.name), field.metadata["least"]
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{field.name} = {value} must be a finite number")
            if least is not None and value < least:
                raise ConfigError(f"{field.name} = {value} must be at least {least}")
        for name, most in (("layers", 1000), *((name, 10_000_000) for name in ("hidden", "embed", "seq", "batch"))):
            if getattr(self, name) > most:
                raise ConfigError(f"{name} = {getattr(self, name)} must be at most {most:,}")
        for name in ("dropout", "val_frac", "beta1", "beta2", "momentum"):
            if getattr(self, name) >= 1:
                raise ConfigError(f"{name} = {getattr(self, name)} must be below 1")
        for name in self.files:
            if any(
                "\ud800" <= character <= "\udfff" for character in name
            ):  # how Python reads bytes that are not UTF-8
                raise ConfigError(f"the name {name!r} is not UTF-8 and cannot be written into a run: rename the file")
        if self.clip_norm and self.clip_value:
            raise ConfigError("clip_norm and clip_value exclude each other: set one of them to 0")
        if self.epochs and self.steps:
            raise ConfigError("epochs and steps exclude each other: choose one")
        if not (self.epochs or self.steps or self.time_limit):
            raise ConfigError("nothing says when to stop: set epochs, steps or time_limit above 0")
        if self.momentum and self.optimizer not in ("sgd", "rmsprop"):
            raise ConfigError(f"momentum belongs to sgd and rmsprop, not to {self.optimizer}: leave it out")
        if self.init == "identity" and self.cell != "rnn":
            raise ConfigError(f"init identity belongs to the cell rnn, not to {self.cell}: choose another init")
        if self.nonlinearity != "tanh" and self.cell != "rnn":
            raise ConfigError(f"nonlinearity belongs to the cell rnn, not to {self.cell}: leave it out")
        if self.patience and not (self.val_frac and self.eval_every):
            raise ConfigError("patience needs evaluations: set val_frac and eval_every above 0")
        if self.schedule == "cosine" and not (self.epochs or self.steps):
            raise ConfigError("schedule cosine must know its end: give epochs or steps as well as time_limit")
        if self.lr_min > self.lr:
            raise ConfigError(f"lr_min = {self.lr_min} must not exceed lr = {self.lr}")
        return self


FIELDS = {field.name: field for field in dataclasses.fields(Config)}


def convert(name: str, value: Any) -> Any:
    """`value` as the type of setting `name`. Raises ConfigError for an unknown name and for a value of another type."""
    if name not in FIELDS:
        near = difflib.get_close_matches(name, FIELDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the settings are {', '.join(FIELDS)}"
        raise ConfigError(f"there is no setting {name!r}; {hint}")
    field = FIELDS[name]
    if name == "time_limit" and isinstance(value, str):
        return duration(value)
    kind: Any = type(field.default)
    if kind is float and type(value) is int:
        value = float(value)
    if kind is tuple and isinstance(value, list) and all(isinstance(v, str) for v in value):
        value = tuple(value)
    good = type(value) is kind
    if not good:
        raise ConfigError(
            f"{name} = {value!r} must be {'a list of strings' if kind is tuple else 'of type ' + kind.__name__}"
        )
    if field.metadata["choices"] and value not in field.metadata["choices"]:
        raise ConfigError(f"{name} = {value!r} must be one of {', '.join(field.metadata['choices'])}")
    return value


def duration(text: str) -> float:
    """Seconds in "90", "90s", "2m" or "1h30m". Raises ConfigError for anything else."""
    seconds, number = 0.0, ""
    for character in text.strip():
        if character in "hms":
            if not number.strip("."):
                break
            seconds += float(number) * {"h": 3600, "m": 60, "s": 1}[character]
            number = ""
        elif character.isdecimal() or (character == "." and "." not in number):
            number += character
        else:
            break
    else:
        if text.strip() and number != ".":
            return seconds + float(number or 0)
    raise ConfigError(f"{text!r} is no duration: write seconds, or such as 90s, 2m, 1h30m")


def read_toml(path: str | Path) -> dict[str, Any]:
    """The settings in a TOML file, each converted and checked on its own. Raises ConfigError."""
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"the configuration {path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(f"the configuration {path} is not valid TOML: {error}") from error
    return {name: convert(name, value) for name, value in table.items()}


def to_toml(config: Config) -> str:
    """The settings as the text of a TOML file that read_toml understands."""
    return tomli_w.dumps(dataclasses.asdict(config))


# A setting of one group takes the place of what a lower layer says of the others.
_INSTEAD = {"steps": "epochs", "epochs": "steps", "clip_value": "clip_norm", "clip_norm": "clip_value"}


def merge(*layers: Mapping[str, Any]) -> Config:
    """A validated Config from mappings of settings, the later ones winning over the earlier ones and the defaults.

    `steps` takes the place of a lower layer's `epochs` and the other way round, `clip_value` and `clip_norm` likewise,
    and `time_limit` alone that of the default `epochs`; both of a pair in one layer contradict each other.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        given = {name: convert(name, value) for name, value in layer.items()}
        displaced = {_INSTEAD[name]: type(value)(0) for name, value in given.items() if name in _INSTEAD and value}
        merged |= displaced | given
    if merged.get("time_limit") and not {"epochs", "steps"} & merged.keys():
        merged["epochs"] = 0
    return Config(**merged).validate()
