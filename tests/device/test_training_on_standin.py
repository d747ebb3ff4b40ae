"""Training on the stand-in for CuPy: updates, clipping, checkpoints and the command line, with the bits of NumPy."""

import json
import re

import fakecupy as cp
import numpy as np
import pytest

from minrnn import CharRNN
from minrnn.cli.main import main
from minrnn.config import merge
from minrnn.fit import resume, start
from minrnn.optim import (
    OPTIMIZERS,
    SGD,
    Adam,
    AdamW,
    Constant,
    RMSprop,
    clip_grad_norm,
    clip_grad_value,
    grad_norm,
)
from minrnn.runs import load_model
from minrnn.text import FixedLength, StreamBatches, streams
from minrnn.train import Trainer

T, B, H, V = 5, 3, 4, 7
TRAINED = 5e-5  # what updates make of rounding, in float32
RULES = {
    **OPTIMIZERS,
    "momentum": lambda lr, **o: SGD(lr, momentum=0.9, dampening=0.1, **o),
    "nesterov": lambda lr, **o: SGD(lr, momentum=0.9, nesterov=True, **o),
    "rmsprop, momentum": lambda lr, **o: RMSprop(lr, momentum=0.5, **o),
    "rmsprop, centered": lambda lr, **o: RMSprop(lr, centered=True, **o),
    "adamw, amsgrad": lambda lr, **o: AdamW(lr, amsgrad=True, **o),
}


def trainer(bk, rule=None, *, cell="lstm", two_biases=False, options=None, **clipping):
    model = CharRNN(V, hidden_size=H, cell=cell, dropout=0.2, seed=1, device=bk.name, **(options or {}))
    optimizer = rule or Adam(0.01)
    optimizer.twice = model.second_biases() if two_biases else ()
    ids = np.random.default_rng(0).integers(V, size=B * (4 * T + 1)).astype("uint8")  # 4 updates an epoch
    return Trainer(model, StreamBatches(streams(ids, B), FixedLength(T)), optimizer, Constant(0.02), **clipping)


def steps(t, number=6):
    """All that so many updates leave behind."""
    results = [t.train_step() for _ in range(number)]
    seen = [(r.loss, r.grad_norm, r.clipped) for r in results]
    moments = [t.optimizer.state[name] for name in sorted(t.optimizer.state) if name != "step"]
    return seen, t.model.params.flat, t.state, moments, t.next_loss()


@pytest.mark.parametrize("two_biases", [False, True], ids=["one bias", "two biases"])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("rule", RULES)
def test_update_rule(rule, decay, two_biases, same_on_both):
    same_on_both(
        lambda bk: steps(trainer(bk, RULES[rule](0.01, weight_decay=decay), two_biases=two_biases)), rounding=TRAINED
    )


@pytest.mark.parametrize("cell", ["gru", "gru-before", "rnn"])
@pytest.mark.parametrize(
    "clipping",
    [{"clip_norm": 0.1}, {"clip_value": 0.01}, {"clip_norm": 0.1, "clip_value": 0.01, "loss_reduction": "sum_time"}],
    ids=["norm", "value", "both"],
)
def test_clipped_updates(cell, clipping, same_on_both):
    seen = same_on_both(lambda bk: steps(trainer(bk, cell=cell, two_biases=True, **clipping)), rounding=TRAINED)
    assert seen[2], "nothing was clipped"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_clipping_of_groups_of_arrays(dtype, same_on_both):
    def compute(bk):
        rng = np.random.default_rng(0)
        a, b, c = (bk.from_host(rng.standard_normal(shape), dtype) for shape in ((3, 4), (5,), (2, 2)))
        norms = grad_norm([a, b]), clip_grad_norm({"a": a, "b": b}, 0.5), clip_grad_norm(c, 0.7, grad_norm([a, c]))
        clip_grad_value([a, b], 0.05)
        return norms, a, b, c

    same_on_both(compute)


# Checkpoints belong to no device.

TEXT = "".join(np.random.default_rng(0).choice(list("abcd \n"), size=900))
SETTINGS = {"hidden": 6, "layers": 2, "seq": 5, "batch": 4, "dropout": 0.3, "clip_norm": 1.0, "two_biases": True}


@pytest.fixture
def config(tmp_path):
    """config(**settings) on a text of 900 characters."""
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    every = {"eval_every": 20, "save_every": 10, "log_every": 7, "sample_every": 30}
    return lambda **settings: merge(SETTINGS | every | {"files": [str(path)]} | settings)


def parameters(run):
    return load_model(run, "last").model.params.flat


@pytest.mark.parametrize("on_host_first", [True, False], ids=["there", "back"])
def test_run_goes_on_where_it_was_and_on_the_other_device(
    on_host_first, device, config, tmp_path, host_sums_rows_as_a_gpu_does, assert_same
):
    first, second = ("numpy", device) if on_host_first else (device, "numpy")
    for where, name, number in ((first, "there and back", 25), ("numpy", "whole", 50)):
        list(start(config(device=where, steps=number), tmp_path / name).run())
    list(resume(tmp_path / "there and back", {"device": second, "steps": 50}).run())
    assert_same(parameters(tmp_path / "there and back"), parameters(tmp_path / "whole"), "parameters", TRAINED)
    logged = [json.loads(line) for line in (tmp_path / "there and back" / "metrics.jsonl").read_text().splitlines()]
    assert np.isfinite([line["loss"] for line in logged if "loss" in line]).all()


def test_50_updates_agree_although_a_gpu_sums_rows_in_another_order(config, device, tmp_path):
    for name, where in (("a", "numpy"), ("b", device)):
        list(start(config(device=where, steps=50), tmp_path / name).run())
    np.testing.assert_allclose(parameters(tmp_path / "b"), parameters(tmp_path / "a"), rtol=0, atol=1e-5)


def test_numbers_are_read_only_when_a_line_is_due(config, device, standin_only, tmp_path):
    fit = start(config(device=device, steps=20, save_every=0, eval_every=0, sample_every=0), tmp_path / "run")
    syncs = {}
    before = cp.counts["syncs"]
    for event in fit.run():
        syncs.setdefault(event.kind, []).append(cp.counts["syncs"] - before)
        before = cp.counts["syncs"]
    assert syncs["step"] == [0] * 20
    assert syncs["log"][:2] == [21, 21]  # three numbers of each of 7 updates


def test_parameters_of_another_run_are_taken_over(config, device, bk, tmp_path):
    list(start(config(steps=5), tmp_path / "old").run())
    fit = start(config(device=device), tmp_path / "new", init_from=tmp_path / "old")
    found = bk.to_host(fit.trainer.model.params.flat)
    np.testing.assert_array_equal(found, parameters(tmp_path / "old"))


def rounded(text):
    return re.sub(r"\d+\.\d+", lambda number: f"{float(number[0]):.5f}", text)


def test_every_command_takes_a_device(config, device, tmp_path, capsys):
    run, text = str(tmp_path / "run"), str(tmp_path / "text.txt")
    config()
    here = ["--device", device]
    train = ["train", text, "--out", run, "--steps", "6", "--hidden", "6", "--seq", "5", "--batch", "4", "--quiet"]

    def output(*command):
        assert main(list(command)) == 0
        return capsys.readouterr().out

    output(*train, *here)
    assert f'device = "{device}"' in (tmp_path / "run" / "config.toml").read_text()
    output("train", "--resume", run, "--steps", "9", "--quiet", "--device", "numpy")
    for command in (["sample", run, "-n", "30", "--num", "2"], ["eval", run, "--json"], ["eval", run, text]):
        assert rounded(output(*command, *here)) == rounded(output(*command))


def test_unknown_device_ends_a_command_with_its_own_code(config, standin_only, tmp_path, capsys):
    config()
    text = str(tmp_path / "text.txt")
    assert main(["train", text, "--out", str(tmp_path / "run"), "--device", "fakecupy:7", "--quiet"]) == 5
    assert "'fakecupy:7' does not exist: this machine has 2 GPU(s)" in capsys.readouterr().err
    assert main(["gradcheck", "--device", "fakecupy:7"]) == 5
