"""The char-rnn recipe: the split, the settings, the two biases, the state that is never reset, and how it stops."""

import importlib
import math
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minrnn import CharRNN
from minrnn.build import load_data
from minrnn.fit import make_trainer
from minrnn.optim import RMSprop
from minrnn.train import Diverged

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts/reproduce"))
charrnn, common = (importlib.import_module(name) for name in ("charrnn", "common"))

TINY = {"seq": 5, "batch": 4, "steps": 12, "eval_every": 4, "log_every": 4, "hidden": 6}


@pytest.fixture
def begin(monkeypatch, tmp_path):
    """begin(text, full=False, **settings): a run of a tiny network on this text, or with the settings of a full run."""

    def make(text="to be or not to be. " * 40, full=False, **settings):
        path = tmp_path / "text.txt"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setattr(charrnn, "QUICK", TINY | settings)
        return common.Run("charrnn", "lstm", not full, 3, text, {}, SimpleNamespace(data=path))

    return make


@pytest.fixture
def seen(monkeypatch):
    """The Fit that a recipe has made, kept for inspection."""
    found = {}
    start = charrnn.start

    def keep(config, folder, data):
        found["fit"] = start(config, folder, data=data)
        found["initial"] = found["fit"].trainer.model.params.flat.copy()
        return found["fit"]

    monkeypatch.setattr(charrnn, "start", keep)
    return found


def test_settings_are_those_of_the_program(begin):
    config = charrnn.settings(begin(full=True), "lstm")
    expected = {
        "cell": "lstm",
        "layers": 2,
        "hidden": 128,
        "embed": 0,
        "dropout": 0.0,
        "seq": 50,
        "batch": 50,
        "reset": "never",
        "split": "rows",
        "val_frac": 0.05,
        "init": "char-rnn",
        "forget_bias": 1.0,
        "optimizer": "rmsprop",
        "alpha": 0.95,
        "lr": 2e-3,
        "loss_reduction": "sum_time",
        "clip_value": 5.0,
        "clip_norm": 0.0,
        "schedule": "exponential",
        "decay": 0.97,
        "decay_after": 10,
        "steps": 14_000,
        "eval_every": 1000,
        "seed": 3,
    }
    assert {name: getattr(config, name) for name in expected} == expected


def test_split_sizes_and_rate_on_tiny_shakespeare(begin):
    """446 chunks of 2,500 characters, 423 of them learned; the eleventh epoch is the first with a lower rate."""
    if "MINRNN_DATA" not in os.environ:
        pytest.skip("set MINRNN_DATA to a folder with tinyshakespeare.txt to run this")
    run = begin(full=True)
    run.options.data = Path(os.environ["MINRNN_DATA"], "tinyshakespeare.txt")
    config = charrnn.settings(run, "lstm")
    data = load_data(config)
    assert (data.characters, len(data.vocabulary)) == (1_115_394, 65)
    assert data.split.train.x.shape == (50, 423 * 50) and data.split.val.x.shape == (50, 23 * 50)
    assert data.split.dropped == 393  # the program, which wraps its last target around, uses one character less
    assert data.val.x.size == 57_500  # all of it is evaluated
    trainer = make_trainer(config, data)
    assert trainer.model.params.flat.size + sum(trainer.model.params[f"rnn.{k}.b"].size for k in (0, 1)) == 240_321
    rates = [trainer.schedule(step) for step in (0, 423 * 10 - 1, 423 * 10, 423 * 11, 13_999)]
    assert rates == pytest.approx([2e-3, 2e-3, 2e-3 * 0.97, 2e-3 * 0.97**2, 2e-3 * 0.97**24])


def test_curve_has_a_point_for_each_evaluation(begin):
    run = begin()
    charrnn.lstm(run)
    assert [point["step"] for point in run.curve] == [4, 8, 12]
    assert all({"epoch", "val", "train", "lr", "clipped"} <= set(point) for point in run.curve)
    assert run.configuration["files"] == ["text.txt"]  # and no path of this machine


def test_state_is_never_reset(begin, seen, monkeypatch):
    """Zero before the first batch, and then what the last batch left, over the ends of epochs too."""
    given = []
    gradient = CharRNN.gradient

    def note(model, x, y, state=None, **how):
        given.append(state)
        return gradient(model, x, y, state, **how)

    monkeypatch.setattr(CharRNN, "gradient", note)
    charrnn.lstm(begin("to be or not " * 20))
    trainer = seen["fit"].trainer
    assert trainer.epoch >= 1  # the text was short enough
    assert given[0] is None and all(state is not None for state in given[1:])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_biases_move_as_the_sum_of_two(cell, begin, seen, assert_close):
    """Against the program's own update of twice as many biases: same gradients, RMSprop for each."""
    run = begin(dtype="float64")
    charrnn.VARIANTS[cell](run)
    trainer, model = seen["fit"].trainer, seen["fit"].trainer.model
    reference = CharRNN(**model.settings)
    reference.params.flat[...] = seen["initial"]
    names = ["rnn.0.b", "rnn.1.b"]
    pairs = {name: (reference.params[name].copy(), np.zeros_like(reference.params[name])) for name in names}
    rules, main = (
        {name: (RMSprop(2e-3, alpha=0.95), RMSprop(2e-3, alpha=0.95)) for name in names},
        RMSprop(2e-3, alpha=0.95),
    )
    state = None
    for step in range(TINY["steps"]):
        per_epoch = trainer.batches.num_batches(0)
        x, y, _ = trainer.batches.get(step // per_epoch, step % per_epoch)
        for name, (first, second) in pairs.items():
            reference.params[name][...] = first + second
        _, state, cache = reference.forward(x, y, state)
        reference.backward(cache, dloss=len(x))
        grads = np.clip(reference.grads.flat, -5, 5)
        reference.grads.flat[...] = grads
        for name, pair in pairs.items():
            for bias, rule in zip(pair, rules[name], strict=True):
                rule.step(bias, reference.grads[name], trainer.schedule(step))
        main.step(reference.params.flat, reference.grads.flat, trainer.schedule(step))
    for name, (first, second) in pairs.items():
        reference.params[name][...] = first + second
    for name, value in model.params.items():
        assert_close(value, reference.params[name], 1e-10, name)
    assert np.abs(model.params.flat - seen["initial"]).max() > 1e-2


@pytest.mark.parametrize("loss", [math.nan, math.inf, 3.01])
def test_a_loss_that_is_nan_or_above_three_times_the_first_ends_the_run(loss, begin, monkeypatch):
    losses = iter([1.0, 2.99, loss])
    gradient = CharRNN.gradient

    def fake(model, x, y, state=None, **how):
        _, after = gradient(model, x, y, state, **how)
        return np.float32(next(losses)), after

    monkeypatch.setattr(CharRNN, "gradient", fake)
    with pytest.raises(Diverged, match="step 3"):
        charrnn.lstm(begin())


def test_pass_line_is_what_counting_reaches(begin):
    """A tiny network after twelve steps knows less than bigrams do."""
    run = begin()
    charrnn.lstm(run)
    (check,) = run.checks
    assert not check["passed"] and 0 < check["high"] < check["value"]
