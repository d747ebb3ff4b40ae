"""Julia Evans' recipe: the loss of the last character only, chunk lengths, a state that is never reset, AMSGrad."""

import importlib
import json
import os
import sys
from itertools import islice, repeat
from pathlib import Path

import numpy as np
import pytest

from minrnn import CharRNN
from minrnn.text import StreamBatches, UniformLength, streams

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts/reproduce"))
andersen, common = importlib.import_module("andersen"), importlib.import_module("common")


def small_model(**settings):
    return CharRNN(7, hidden_size=5, num_layers=1, init="uniform", forget_bias=0.0, dtype="float64", **settings)


def batches(n=400):
    ids = np.random.default_rng(3).integers(0, 7, n)
    return StreamBatches(streams(ids, 1), UniformLength(10, 40), seed=(0, 1), reset="never")


class Reference:
    """AMSGrad as PyTorch defines it, on an LSTM with two biases, whose gradients are equal."""

    def __init__(self, model):
        self.model, self.t = model, 0
        self.values = {name: array.copy() for name, array in model.params.items()}
        self.values["second bias"] = np.zeros_like(model.params["rnn.0.b"])
        self.m, self.v, self.x = ({name: np.zeros_like(a) for name, a in self.values.items()} for _ in range(3))

    def step(self):
        self.t += 1
        for name in self.values:
            g = self.model.grads["rnn.0.b" if name == "second bias" else name]
            self.m[name] = 0.9 * self.m[name] + 0.1 * g
            self.v[name] = 0.999 * self.v[name] + 0.001 * g * g
            self.x[name] = np.maximum(self.x[name], self.v[name])
            root = np.sqrt(self.x[name] / (1 - 0.999**self.t)) + 1e-8
            self.values[name] -= 1e-3 * self.m[name] / (1 - 0.9**self.t) / root
        for name in self.model.params:
            self.model.params[name][...] = self.values[name]
        self.model.params["rnn.0.b"][...] += self.values["second bias"]


@pytest.mark.parametrize("only_last", [True, False])
def test_updates_are_those_of_the_two_bias_program(only_last):
    """Through two passes: the state runs on over their border."""
    model, twin, text = small_model(), small_model(), batches()
    reference, state, expected = Reference(twin), None, []
    for epoch in range(2):
        for k in range(text.num_batches(epoch)):
            x, y, _ = text.get(epoch, k)
            _, state, cache = twin.forward(x, y, state)
            dlogits = cache.loss.p.copy()  # by hand: d(mean of the chosen nll)
            dlogits[np.arange(len(x)), 0, y[:, 0]] -= 1
            chosen = np.arange(len(x)) >= (len(x) - 1 if only_last else 0)
            weight = chosen / chosen.sum()
            twin.backward(cache._replace(loss=cache.loss._replace(weight=weight[:, None])))
            np.testing.assert_allclose(
                twin.grads["decoder.b"], (dlogits[:, 0] * weight[:, None]).sum(axis=0), atol=1e-14
            )
            dWh = np.linalg.norm(twin.grads["rnn.0.Wh"])
            expected.append((cache.loss.nll[chosen].mean(), cache.loss.nll[-1, 0], dWh))
            reference.step()
    found = list(islice(andersen.updates(model, text, only_last), len(expected)))
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    np.testing.assert_allclose(model.params.flat, twin.params.flat, atol=1e-10)


def test_every_length_from_10_to_40_occurs_and_about_4000_updates_read_100000_characters():
    text = batches(100_001)
    n = text.num_batches(0)
    assert 3900 < n < 4100
    lengths = {len(text.get(0, k).x) for k in range(n)}
    assert lengths == set(range(10, 41))


def test_vocabulary_has_room_for_the_special_tokens_and_a_multiple_of_eight():
    for distinct in (71, 78, 79, 80, 87):
        vocabulary = andersen.fastai_vocabulary("".join(chr(0x20 + k) for k in range(distinct)))
        assert len(vocabulary) == -(-(distinct + 9) // 8) * 8
        assert vocabulary.encode("€", unknown="replace") == [vocabulary.unknown_id]
    many = "".join(chr(0x4E00 + k) for k in range(500))
    assert len(andersen.fastai_vocabulary(many + many[:400])) == 416
    assert many[399] in andersen.fastai_vocabulary(many + many[:400]).characters


def test_andersen_has_88_symbols():
    file = Path(os.environ.get("MINRNN_DATA", ""), "andersen.txt")
    if "MINRNN_DATA" not in os.environ or not file.is_file():
        pytest.skip("set MINRNN_DATA to a folder with andersen.txt to run this")
    text = file.read_text(encoding="utf-8")
    assert len(andersen.fastai_vocabulary(text)) == 88 and text.isascii()
    assert common.text_name(text) == "Andersen"


def run_quick(monkeypatch, tmp_path, variant, **changes):
    quick = {"skipped": 10, "characters": 4_000, "val_characters": 500, "hidden_size": 16, "passes": 3}
    monkeypatch.setattr(andersen, "QUICK", quick | changes)
    monkeypatch.setattr(andersen, "WRITTEN", 200)
    arguments = ["--quick", "--variant", variant, "--out", str(tmp_path / "out.json")]
    code = common.main("", andersen.VARIANTS, stand_in="english.txt", arguments=arguments)
    return code, json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))[0]


def test_quick_mode_shows_what_the_choice_of_loss_costs(monkeypatch, tmp_path):
    (code, of_last), (other_code, of_all) = (run_quick(monkeypatch, tmp_path, variant) for variant in ("last", "all"))
    assert code == other_code == 0
    assert of_all["curve"][-1]["val"] < of_last["curve"][-1]["val"] - 0.05
    assert of_last["curve"][0] == of_all["curve"][0]  # the same start
    for point in of_last["curve"][1:]:
        assert point["loss"] == point["last_character"]
    cool, warm = (sample["distinct_4_grams"] for sample in of_all["samples"][3:])
    assert [len(sample["text"]) for sample in of_all["samples"]] == [50, 50, 50, 200, 200]
    assert cool < 0.4
    assert warm > 0.6


def test_validation_text_is_not_trained_on(monkeypatch, tmp_path):
    evaluated = []
    monkeypatch.setattr(
        andersen, "evaluate", lambda m, s, T: evaluated.append(s) or common.argparse.Namespace(nats_per_char=0.0)
    )
    _, result = run_quick(monkeypatch, tmp_path, "all", characters=1_000, passes=1)
    text = (common.DATA / "english.txt").read_text(encoding="utf-8")
    vocabulary = andersen.fastai_vocabulary(text)
    assert vocabulary.decode(evaluated[0].x) == text[1_010:1_500]  # 10 rows of 49
    assert vocabulary.decode(evaluated[-1].x) in (text[1_010:1_500], text[10:209])
    assert result["configuration"]["skipped"] == 10


def test_recipe_reads_one_stream_in_chunks_of_10_to_40_from_pytorchs_initial_values(monkeypatch, tmp_path):
    found = []
    monkeypatch.setattr(andersen, "updates", lambda *given: found.append(given) or repeat((1.0, 1.0, 1.0)))
    run_quick(monkeypatch, tmp_path, "last", characters=2_000)
    ((model, text, only_last),) = found
    assert only_last and text.streams.x.shape == (1, 1_999) and text.reset == "never"
    assert text.lengths == UniformLength(10, 40)
    assert (model.cell, model.num_layers, model.hidden_size) == ("lstm", 1, 16)
    for name, value in model.params.items():
        assert np.abs(value).max() <= (2 if name == "rnn.0.b" else 1) / 4  # 1/√16; the sum of two biases
    assert abs(model.params["rnn.0.b"].mean()) < 0.05  # no forget bias
    assert andersen.FULL["hidden_size"] == 150


def test_underscores_of_samples_are_read_as_spaces(monkeypatch, tmp_path):
    monkeypatch.setattr(andersen, "sample_text", lambda *rest, n, **how: iter("a_b_" * (n // 4)))
    _, result = run_quick(monkeypatch, tmp_path, "all", passes=1)
    assert {sample["text"] for sample in result["samples"][1:]} == {"a b " * 50}


def test_quick_mode_fails_when_nothing_is_learned(monkeypatch, tmp_path):
    real = andersen.updates

    def frozen(model, *rest):
        start = model.params.flat.copy()
        for losses in real(model, *rest):
            model.params.flat[...] = start
            yield losses

    monkeypatch.setattr(andersen, "updates", frozen)
    assert run_quick(monkeypatch, tmp_path, "all")[0] == 1
