"""The race's first lane: a network of minrnn, with the settings of `minrnn train`, driven by the race's clock."""

import argparse
from pathlib import Path
from typing import Any

from benchlib import race_clock
from minrnn.build import load_data
from minrnn.cli.train import add_arguments
from minrnn.config import FIELDS, merge
from minrnn.evaluate import evaluate
from minrnn.fit import make_trainer
from minrnn.parallel import sharing

HELD_OUT = ["--split", "tail", "--val-frac", "0.1"]


def race(data: str, flags: list[str], seconds: int, every: int) -> dict[str, Any]:
    """Train on the text in the file `data`. `flags` are those of `minrnn train`; the split is the race's own.

    The clock alone ends the training; --steps says over how many updates a schedule is stretched. Every evaluation runs
    over the whole held-out tail, cut into as many streams as a batch has, each from zero state.
    """
    parser = argparse.ArgumentParser("minrnn")
    add_arguments(parser)
    args = vars(parser.parse_args([str(Path(data).resolve()), *flags, *HELD_OUT]))
    config = merge({}, {name: value for name, value in args.items() if name in FIELDS})
    text = load_data(config)
    trainer = make_trainer(config, text)
    model = trainer.model
    held_out = text.split.val
    with sharing(model, config.seq, text.batch_size) as trainer.engine:
        points = race_clock.run(
            trainer.train_step,
            lambda: evaluate(trainer.engine, held_out, config.seq).nats_per_char,
            seconds=seconds,
            every=every,
        )
    return {"parameters": model.params.flat.size, "scored": held_out.y.size, "points": points}
