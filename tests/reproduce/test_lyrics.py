"""The two lyrics recipes: the golden batches, the sizes, and the details on which the published numbers depend."""

import importlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from minrnn import CharRNN
from minrnn.backend import BackendError
from minrnn.kernels import rnn_step_forward
from minrnn.optim import Adam, clip_grad_norm
from minrnn.text import FixedLength, StreamBatches, WindowBatches

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts/reproduce"))
lyrics_rnn, lyrics_lstm, common = (importlib.import_module(name) for name in ("lyrics_rnn", "lyrics_lstm", "common"))

RECIPES = {"lyrics_rnn": lyrics_rnn, "lyrics_lstm": lyrics_lstm}
TINY = {"characters": 400, "hidden_size": 8, "batch_size": 3, "seq_length": 7, "epochs": 2, "report_every": 1}
EVERY = [("lyrics_rnn", v) for v in lyrics_rnn.VARIANTS] + [("lyrics_lstm", v) for v in lyrics_lstm.VARIANTS]


@pytest.fixture
def parts(monkeypatch, tmp_path):
    """parts(recipe, variant, text, full=False): the Trainer and the vocabulary; no training."""

    def call(recipe, variant, text, *, full=False, **options):
        module, found = RECIPES[recipe], {}

        def learn(run, trainer, vocabulary):
            found.update(trainer=trainer, vocabulary=vocabulary, run=run)

        monkeypatch.setattr(module, "learn", learn)
        if not full:
            monkeypatch.setattr(module, "QUICK", TINY)
        names = common.argparse.Namespace(**({"prefix": None, "max_vocab": None, "vocabulary": None} | options))
        module.VARIANTS[variant](common.Run(recipe, variant, not full, 0, text, {}, names))
        return common.argparse.Namespace(**found)

    return call


def some_text(characters, distinct=300):
    """Even random characters; line ends and tabs among them."""
    alphabet = "\n\r\t" + "".join(chr(0x4E00 + k) for k in range(distinct))
    return "".join(np.random.default_rng(5).choice(list(alphabet), characters))


def test_golden_consecutive_batches():
    streams = lyrics_rnn.rows(np.arange(30), 2)
    np.testing.assert_array_equal(streams.y, streams.x + 1)  # no row ends with its own beginning for a target
    batches = StreamBatches(streams, FixedLength(6))
    assert batches.num_batches(0) == 2
    for k, (x, y) in enumerate([([[0, 15], [5, 20]], [[1, 16], [6, 21]]), ([[6, 21], [11, 26]], [[7, 22], [12, 27]])]):
        batch = batches.get(0, k)
        np.testing.assert_array_equal(batch.x[[0, -1]], x)
        np.testing.assert_array_equal(batch.y[[0, -1]], y)
        np.testing.assert_array_equal(np.diff(batch.x, axis=0), 1)


def test_golden_random_batches():
    batches = WindowBatches(np.arange(30), 2, 6, random_offset=False)
    assert batches.num_batches(0) == 2
    found = [batches.get(0, k) for k in range(2)]
    assert sorted(int(b.x[0, c]) for b in found for c in range(2)) == [0, 6, 12, 18]
    for b in found:
        np.testing.assert_array_equal(b.x, b.x[0] + np.arange(6)[:, None])
        np.testing.assert_array_equal(b.y, b.x + 1)


@pytest.mark.parametrize(("recipe", "variant"), EVERY)
def test_published_number_and_shape_of_batches(parts, recipe, variant):
    trainer = parts(recipe, variant, some_text(25_000), full=True).trainer
    for epoch in (0, 1):
        assert trainer.batches.num_batches(epoch) == (8 if recipe == "lyrics_rnn" else 17)
    assert trainer.batches.get(0, 0).x.shape == (35, 32)


def test_published_loader_sees_the_first_606_characters_window_by_window(parts):
    found = parts("lyrics_lstm", "random", some_text(25_000, distinct=15_000), full=True)
    batches, ids = found.trainer.batches, found.vocabulary.encode(found.run.text)
    starts = {ids[j : j + 35].tobytes(): j for j in range(len(ids))}
    seen = set()
    for epoch in range(12):
        for k in range(17):
            x, y, fresh = batches.get(epoch, k)
            assert fresh
            for column in range(32):
                j = starts[x[:, column].astype(ids.dtype).tobytes()]
                np.testing.assert_array_equal(y[:, column], ids[j + 1 : j + 36])
                seen.add(j)
    assert seen == set(range(571))


@pytest.mark.parametrize("recipe", RECIPES)
def test_corrected_windows_lie_side_by_side_over_the_whole_text(parts, recipe):
    found = parts(recipe, {"lyrics_rnn": "random", "lyrics_lstm": "corrected"}[recipe], some_text(400))
    T, batches = 7, found.trainer.batches
    ids = found.vocabulary.encode(found.run.text, "error" if recipe == "lyrics_rnn" else "replace")
    windows = {ids[j : j + T].tobytes() for j in range(0, 399 - T + 1, T)}
    assert len(windows) == 57
    seen = {
        batches.get(e, k).x[:, c].astype(ids.dtype).tobytes() for e in range(9) for k in range(19) for c in range(3)
    }
    assert seen == windows


@pytest.mark.parametrize(
    ("recipe", "variant", "reset"),
    [
        ("lyrics_rnn", "consecutive", "epoch"),
        ("lyrics_lstm", "consecutive", "epoch"),
        ("lyrics_rnn", "adam", "never"),
    ],
)
def test_state_is_reset_at_epochs_but_with_adam(parts, recipe, variant, reset):
    trainer = parts(recipe, variant, some_text(400)).trainer
    n = trainer.batches.num_batches(0)
    assert [trainer.batches.get(e, k).fresh for e, k in [(0, 0), (0, 1), (1, 0), (1, n - 1)]] == [
        True,
        False,
        reset == "epoch",
        False,
    ]


@pytest.mark.parametrize(("recipe", "variant"), [pair for pair in EVERY if pair[1] != "adam"], ids=str)
def test_a_step_from_scratch_has_the_length_of_rate_times_clip(parts, recipe, variant):
    trainer = parts(recipe, variant, some_text(400)).trainer
    model = trainer.model
    for name in model.params:
        if name.endswith(".b"):
            assert not model.params[name].any()  # the forget gate's too
        else:
            assert model.params[name].std() == pytest.approx(0.01, rel=0.15)
    before = model.params.flat.copy()
    assert trainer.train_step().grad_norm > 0.02
    assert np.linalg.norm(model.params.flat - before) == pytest.approx(1.0, rel=1e-3)


def test_adam_moves_the_bias_as_two_biases_would_and_clips_nothing(parts):
    found = parts("lyrics_rnn", "adam", some_text(400))
    trainer, model = found.trainer, found.trainer.model
    single = CharRNN(model.vocab_size, hidden_size=8, num_layers=1, cell="rnn", init="uniform")
    np.testing.assert_array_equal(model.params.flat, single.params.flat)
    once = Adam(1e-3)
    for _ in range(3):
        before = {name: model.params[name].copy() for name in model.params}
        trainer.train_step()
        once.step(single.params.flat, model.grads.flat)
        for name in model.params:
            moved = single.params[name] - before[name]
            factor = 2 if name == "rnn.0.b" else 1
            np.testing.assert_allclose(model.params[name] - before[name], factor * moved, rtol=1e-3, atol=1e-7)
        single.params.flat[...] = model.params.flat
    assert abs(moved).max() > 5e-4 and not trainer.clip_norm and not trainer.clip_value
    assert clip_grad_norm(model.grads.flat, 1.0) > 0.01  # a clip would have had something to do


def test_an_exhausted_iterator_cannot_switch_clipping_off():
    """What happened to the program: the norm used the iterator up, and nothing was left to be scaled."""
    with pytest.raises(BackendError, match="generator"):
        clip_grad_norm((g for g in [np.ones(3)]), 0.01)


@pytest.mark.parametrize(
    ("recipe", "vocab_size", "parameters"),
    [
        ("lyrics_rnn", 1027, 592_643),
        ("lyrics_rnn", 980, 568_532),
        ("lyrics_lstm", 1448, 2_118_056),
        ("lyrics_lstm", 1411, 2_070_659),
    ],
)
def test_published_number_of_parameters(recipe, vocab_size, parameters):
    cell = {"lyrics_rnn": "rnn", "lyrics_lstm": "lstm"}[recipe]
    assert CharRNN(vocab_size, hidden_size=256, num_layers=1, cell=cell).params.flat.size == parameters


def test_two_products_are_one_of_the_concatenated_matrices():
    """x Wx + h Wh = [x, h] · [Wx; Wh], which the RNN of the notebook shows with matrices of different runs."""
    rng = np.random.default_rng(1)
    x, h, Wx, Wh, b = (rng.normal(size=shape) for shape in ((5, 3), (5, 4), (3, 4), (4, 4), (4,)))
    after, _ = rnn_step_forward(x, h, Wx, Wh, b)
    np.testing.assert_allclose(after, np.tanh(np.hstack([x, h]) @ np.vstack([Wx, Wh]) + b), rtol=1e-12)


def test_shapes_that_the_notebook_prints():
    """nn.RNN takes (35, 2, V) to outputs (35, 2, 256) and a state of one (2, 256); logits of T·B rows."""
    model = CharRNN(11, hidden_size=256, num_layers=1, cell="rnn")
    ids = np.zeros((35, 2), dtype=int)
    _, state, cache = model.forward(ids, ids)
    assert [[array.shape for array in layer] for layer in state] == [[(2, 256)]]
    assert cache.decoder.x.shape == (35, 2, 256) and cache.loss.p.reshape(-1, 11).shape == (70, 11)


def test_line_ends_and_tabs_become_spaces_before_the_text_is_cut(parts):
    text = "a\nb\r" + "c" * 400 + "d"
    assert parts("lyrics_rnn", "random", text).run.text == "a b " + "c" * 396
    assert parts("lyrics_lstm", "random", "a\tb\n" + "c" * 400).run.text == "a b " + "c" * 396


def test_tokenizer_keeps_the_most_frequent_and_reads_the_rest_as_unknown(parts, tmp_path):
    file, text = tmp_path / "vocabulary.json", "aaabbbbccd" * 40
    found = parts("lyrics_lstm", "consecutive", text, max_vocab=2, vocabulary=file)
    assert found.vocabulary.symbols == ("a", "b", "<unk>") and found.trainer.model.vocab_size == 3
    again = parts("lyrics_lstm", "consecutive", "zzzz" + text, max_vocab=3, vocabulary=file)
    assert again.vocabulary == found.vocabulary  # the file wins
    x, *_ = again.trainer.batches.get(0, 0)
    assert (x[:4, 0] == again.vocabulary.unknown_id).all()


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(
    ("name", "distinct"),
    [
        ("mengzi.txt", {"lyrics_rnn": 980, "lyrics_lstm": 1411}),
        ("lunyu.txt", {"lyrics_rnn": 1002, "lyrics_lstm": 1297}),
    ],
)
def test_vocabulary_of_the_public_texts(parts, recipe, name, distinct):
    file = Path(os.environ.get("MINRNN_DATA", ""), name)
    if "MINRNN_DATA" not in os.environ or not file.is_file():
        pytest.skip(f"set MINRNN_DATA to a folder with {name} to run this")
    found = parts(recipe, "consecutive", file.read_text(encoding="utf-8"), full=True)
    assert len(found.vocabulary) == distinct[recipe]
    assert common.text_name(found.run.text) == {"mengzi.txt": "Mencius", "lunyu.txt": "Analects"}[name]


@pytest.mark.parametrize("recipe", RECIPES)
def test_quick_mode_passes_and_fails_when_nothing_is_learned(monkeypatch, tmp_path, recipe):
    module, out = RECIPES[recipe], tmp_path / "out.json"
    fast = {"characters": 300, "hidden_size": 32, "batch_size": 2, "seq_length": 15, "epochs": 60, "report_every": 30}
    monkeypatch.setattr(module, "QUICK", fast)
    variant = list(module.VARIANTS)[1]

    def run():
        arguments = ["--quick", "--variant", variant, "--out", str(out), "--prefix", "渡口"]
        return common.main(
            "", module.VARIANTS, stand_in="chinese.txt", add_options=module.add_options, arguments=arguments
        )

    assert run() == 0
    (result,) = json.loads(out.read_text(encoding="utf-8"))
    assert [point["epoch"] for point in result["curve"]] == [1, 10, 30, 60]
    assert [(sample["prime"], len(sample["text"])) for sample in result["samples"]] == [("渡口", 50)] * 4
    assert 1.0 <= result["curve"][-1]["perplexity"] < result["curve"][0]["perplexity"]
    monkeypatch.setattr(module, "QUICK", fast | {"epochs": 2})
    assert run() == 1
