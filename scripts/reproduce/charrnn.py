"""karpathy/char-rnn with its defaults: two layers of 128 units, RMSprop, streams of 50 characters, on tiny Shakespeare.

The last 5 % of the chunks of every stream are held out ("rows"), so validation is interleaved with what is learned and
easier than an end of the text would be. The state is never reset, the gradient is that of the loss summed over time,
clamped at ±5, and the rate falls by 3 % an epoch from the eleventh on. A loss that is NaN or above three times the
first one ends the run.

    lstm   as published
    gru    char-rnn's own GRU, whose reset comes before the product; no figures of it are known

The state goes on from the end of the text to its beginning. One detail is left out: the very last target, one of 57,500
that are held out, is the first character of the text.
"""

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from common import Run, main

from minrnn.build import Data, load_data
from minrnn.config import Config, merge
from minrnn.evaluate import baseline
from minrnn.fit import start
from minrnn.sample import sample_text

RECIPE = {
    "layers": 2,
    "hidden": 128,
    "init": "char-rnn",
    "reset": "never",
    "split": "rows",
    "val_frac": 0.05,
    "loss_reduction": "sum_time",
    "clip_value": 5.0,
    "optimizer": "rmsprop",
    "two_biases": True,
    "alpha": 0.95,
    "lr": 2e-3,
    "schedule": "exponential",
    "decay": 0.97,
    "decay_after": 10,
    "save_every": 0,
}
FULL = {"seq": 50, "batch": 50, "steps": 14_000, "eval_every": 1000, "log_every": 1000}
QUICK = {"seq": 50, "batch": 10, "steps": 400, "eval_every": 200, "log_every": 200}


def lstm(run: Run) -> None:
    """The default."""
    learn(run, "lstm")


def gru(run: Run) -> None:
    """The same with the GRU, one of the choices of the program."""
    learn(run, "gru-before")


def learn(run: Run, cell: str) -> None:
    """Train as `minrnn train` does, and note what it evaluates."""
    config = settings(run, cell)
    run.configure(**asdict(config) | {"files": [run.options.data.name]})
    data = load_data(config)
    with tempfile.TemporaryDirectory() as folder:
        fit = start(config, Path(folder, "run"), data=data)
        for kind, event in fit.run():
            if kind == "log":
                line = {name: event[name] for name in ("lr", "clipped")} | {"train": event["loss"]}
            elif kind == "eval":
                run.log(step=event["step"], epoch=event["epoch"], val=event["val_loss"], **line)
    for temperature in (0.5, 1.0):
        rng = np.random.default_rng([run.seed, 5])
        text = "".join(sample_text(fit.trainer.model, data.vocabulary, n=300, temperature=temperature, rng=rng))
        run.sample("", text, temperature=temperature)
    compare_with_counting(run, data)


def settings(run: Run, cell: str) -> Config:
    """Those of the program, in this mode."""
    files = {"files": [str(run.options.data)], "cell": cell, "seed": run.seed}
    return merge(RECIPE | (QUICK if run.quick else FULL) | files)


def compare_with_counting(run: Run, data: Data) -> None:
    """The last validation loss against n-grams of the same split, which it must be below: in quick runs of bigrams."""
    rows = baseline(data.split, len(data.vocabulary), data.val)
    line = rows[1] if run.quick else rows.min()
    run.check("val at the end, below what counting reaches", run.curve[-1]["val"], high=float(line))


VARIANTS = {"lstm": lstm, "gru": gru}

if __name__ == "__main__":
    sys.exit(main(__doc__, VARIANTS, stand_in="english.txt"))
