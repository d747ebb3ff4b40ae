"""The fast.ai recipe: hand-written backward passes, golden blocks, splits, random lengths, rates, two biases, state."""

import importlib
import math
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minrnn import CharRNN
from minrnn import kernels as k
from minrnn.gradcheck import check_directions, check_gradients
from minrnn.optim import Adam, Constant
from minrnn.runs import load_model
from minrnn.text import count_characters, read_text

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts/reproduce"))
fastai, data, models, common = (
    importlib.import_module(name) for name in ("fastai", "fastai_data", "fastai_models", "common")
)

CELLS = {"add": models.ADD, "concat": models.CONCAT}
CHARACTERS = 600_893
TINY = {"hidden_size": 6, "embedding_size": 4, "batch_size": 16, "streams": 4, "lstm_hidden_size": 5}


@pytest.fixture(scope="module")
def nietzsche():
    """The text, or the test is skipped."""
    if "MINRNN_DATA" not in os.environ:
        pytest.skip("set MINRNN_DATA to a folder with nietzsche.txt to run this")
    return read_text(Path(os.environ["MINRNN_DATA"], "nietzsche.txt"))


@pytest.fixture
def begin(monkeypatch):
    """begin(variant, text): a quick run of tiny networks."""
    monkeypatch.setattr(fastai, "QUICK", TINY)

    def make(variant, text, **options):
        options = SimpleNamespace(**({"restart_epochs": 15, "checkpoints": None} | options))
        return common.Run("fastai", variant, True, 0, text, {}, options)

    return make


def some_text(characters, distinct=12):
    """Each character depends on the one before it; with line ends."""
    rng = np.random.default_rng(4)
    steps = rng.choice(3, characters, p=[0.7, 0.2, 0.1])
    return "".join("\nabcdefghijk"[c] for c in np.cumsum(steps) % distinct)


# The cells and the network around them


@pytest.fixture(params=CELLS)
def cell(request):
    return CELLS[request.param]


def draw(cell, rng, T=4, B=3, E=5, H=6):
    normal, D = rng.standard_normal, cell.input_width(E, H)
    weights = [normal((D, H)) / math.sqrt(D), normal(H), normal((H, H)) / math.sqrt(H), normal(H)]
    return [normal((T, B, E)), normal((B, H)), *weights]


def test_every_gradient_of_the_cells_agrees_with_differences(cell, rng):
    names = ["x", "h0", "Wi", "bi", "Wh", "bh"]
    report = check_gradients(cell.forward, cell.backward, draw(cell, rng), names=names, rng=rng)
    assert report.ok and len(report.rows) == 6, report


@pytest.mark.parametrize("missing", [0, 1])
def test_upstreams_that_are_none_mean_zeros(cell, missing, rng, assert_close):
    *outputs, cache = cell.forward(*draw(cell, rng))
    upstreams = [rng.standard_normal(y.shape) for y in outputs]
    upstreams[missing] = None
    zeros = [np.zeros_like(y) if u is None else u for y, u in zip(outputs, upstreams, strict=True)]
    for found, expected in zip(cell.backward(*upstreams, cache), cell.backward(*zeros, cache), strict=True):
        assert_close(found, expected)


def test_chunks_chain_through_the_state(cell, rng, assert_close):
    x, h0, *weights = draw(cell, rng)
    h, hT, cache = cell.forward(x, h0, *weights)
    first, middle, _ = cell.forward(x[:1], h0, *weights)
    second, end, cache_2 = cell.forward(x[1:], middle, *weights)
    assert_close(np.vstack([first, second]), h)
    assert_close(end, hT)
    assert_close(end, h[-1])
    dhT = rng.standard_normal(hT.shape)
    dx, *_ = cell.backward(None, dhT, cache)
    assert_close(cell.backward(None, dhT, cache_2)[0], dx[1:], 1e-12)


def test_add_cell_is_a_simple_rnn_whose_two_matrices_are_one(rng, assert_close):
    x, h0, Wi, bi, Wh, bh = args = draw(models.ADD, rng)
    h, hT, cache = models.add_forward(*args)
    dh, dhT = rng.standard_normal(h.shape), rng.standard_normal(hT.shape)
    u = np.maximum(x @ Wi + bi, 0)
    expected, _, reference = k.rnn_forward(u, h0, Wh, Wh, bh)
    assert_close(h, expected, 1e-12)
    du, dh0, dWx, dWh, dbh = k.rnn_backward(dh, dhT, reference)
    dx, *others = models.add_backward(dh, dhT, cache)
    assert_close(dx, (du * (u > 0)) @ Wi.T, 1e-12)
    for found, value in zip([others[0], *others[3:]], [dh0, dWx + dWh, dbh], strict=True):
        assert_close(found, value, 1e-12)


def test_concatenating_is_adding_two_products(rng, assert_close):
    x, h0, Wi, bi, Wh, bh = draw(models.CONCAT, rng)
    h, *_ = models.concat_forward(x, h0, Wi, bi, Wh, bh)
    state = h0
    for x_t, found in zip(x, h, strict=True):
        state = np.tanh(np.maximum(state @ Wi[:6] + x_t @ Wi[6:] + bi, 0) @ Wh + bh)
        assert_close(found, state, 1e-12)


@pytest.mark.parametrize("last_only", [False, True])
def test_gradients_of_the_network_agree_with_differences(cell, last_only, rng):
    network = models.Network(cell, 7, hidden_size=6, embedding_size=5, dtype="float64")
    network.params.flat[...] = 0.7 * rng.standard_normal(network.params.flat.shape)
    x, y = rng.integers(7, size=(2, 4, 3))
    mask = np.zeros((4, 3)) if last_only else rng.uniform(0.5, 2, (4, 3))
    mask[-1] = 1.0
    state = rng.standard_normal((3, 6))
    *_, cache = network.forward(x, y, state, mask=mask)
    dstate = network.backward(cache)
    report = check_directions(
        lambda: network.forward(x, y, state, mask=mask)[0],
        dict(network.params) | {"state": state},
        dict(network.grads) | {"state": dstate},
        rng=rng,
    )
    assert report.ok, report


def test_network_starts_as_pytorch_would(cell):
    network = models.Network(cell, 85, hidden_size=256, embedding_size=42)
    assert network.params.flat.size == (102_215 if cell is models.ADD else 167_751)
    assert network.params.flat.dtype == np.float32
    inputs = len(network.params["cell.Wi"])
    for name, n in [("cell.Wi", inputs), ("cell.bi", inputs), ("cell.Wh", 256), ("cell.bh", 256), ("decoder.b", 256)]:
        largest = np.abs(network.params[name]).max()
        assert 0.9 / math.sqrt(n) < largest <= 1 / math.sqrt(n), name
    assert abs(network.params["embedding.W"].std() - 1) < 0.05
    other = models.Network(cell, 85, hidden_size=256, embedding_size=42, seed=1)
    assert (other.params.flat != network.params.flat).mean() > 0.99


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        ({"vocab_size": 85, "cell": "rnn"}, 102_215),
        ({"vocab_size": 56, "cell": "rnn"}, 93_544),
        ({"vocab_size": 56, "cell": "gru"}, 247_144),
        ({"vocab_size": 56, "cell": "lstm", "num_layers": 2, "hidden_size": 512}, 3_271_016),
    ],
)
def test_with_their_second_biases_the_networks_have_the_published_size(arguments, parameters):
    model = CharRNN(**{"num_layers": 1, "hidden_size": 256, "embedding_size": 42, **arguments})
    assert model.params.flat.size + sum(part.stop - part.start for part in model.second_biases()) == parameters


# What is read


def test_windows_of_three():
    windows = data.three_characters(np.arange(CHARACTERS), 512, 0)
    assert windows.x.shape == windows.y.shape == (3, 200_295) and windows.last_only
    np.testing.assert_array_equal(windows.x[:, :2], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(windows.y, windows.x + 1)
    assert (len(windows.train), windows.val.tolist()) == (200_294, [200_294])
    assert -(-len(windows.train) // 512) == 392


@pytest.mark.parametrize(
    ("make", "stride", "train", "val", "batches", "last_only"),
    [(data.overlapping, 1, 480_708, 120_176, 939, True), (data.consecutive, 8, 60_091, 15_020, 118, False)],
)
def test_windows_of_eight(make, stride, train, val, batches, last_only):
    windows = make(np.arange(CHARACTERS), 512, 0)
    assert windows.x.shape == windows.y.shape == (8, train + val) and windows.last_only is last_only
    np.testing.assert_array_equal(windows.x[:, 1], stride + np.arange(8))
    np.testing.assert_array_equal(windows.y, windows.x + 1)
    assert (len(windows.train), len(windows.val)) == (train, val)
    np.testing.assert_array_equal(np.sort(np.append(windows.train, windows.val)), np.arange(train + val))
    assert -(-train // 512) == batches


def test_held_out_windows_are_those_of_numpys_legacy_generator():
    """The first of them, computed once with numpy.random.seed(42); numpy.random.permutation(n)."""
    windows = data.consecutive(np.arange(CHARACTERS), 512, 0)
    np.random.seed(42)
    np.testing.assert_array_equal(windows.val, np.random.permutation(75_102)[:15_020])
    assert windows.val.max() < 75_102


def test_batches_of_windows_are_shuffled_anew_and_hold_every_window_once():
    windows = data.consecutive(np.arange(1000), 16, 0)
    epochs = [np.concatenate([x[0] for x, _ in windows.training(epoch)]) for epoch in (0, 1, 0)]
    assert (epochs[0] != epochs[1]).any() and (epochs[0] == epochs[2]).all()
    for starts in epochs:
        np.testing.assert_array_equal(np.sort(starts) // 8, windows.train)
    assert [x.shape[1] for x, _ in windows.training(0)] == [16] * (len(windows.train) // 16) + [len(windows.train) % 16]
    assert all((y == x + 1).all() for x, y in windows.training(0))
    first, second = (np.concatenate([x[0] for x, _ in windows.validation(epoch)]) for epoch in (0, 1))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first // 8, windows.val)


def test_only_the_last_position_counts_where_it_should():
    x = np.zeros((3, 2), int)
    assert data.consecutive(np.arange(1000), 16, 0).mask_for(x) is None
    np.testing.assert_array_equal(data.overlapping(np.arange(1000), 16, 0).mask_for(x), [[0, 0], [0, 0], [1, 1]])


def test_golden_blocks(nietzsche):
    vocabulary = data.padded_vocabulary(nietzsche)
    ids = vocabulary.encode(nietzsche)
    assert (len(ids), len(vocabulary), vocabulary.encode("\0").item()) == (CHARACTERS, 85, 0)
    np.testing.assert_array_equal(ids[:10], [40, 42, 29, 30, 25, 27, 29, 1, 1, 1])
    three = data.three_characters(ids, 512, 0)
    golden = [[40, 30, 29, 1], [42, 25, 1, 43], [29, 27, 1, 45]]
    np.testing.assert_array_equal(three.x[:, :4], golden)
    np.testing.assert_array_equal(three.y[-1, :4], [30, 29, 1, 40])
    eight = data.overlapping(ids, 512, 0)
    np.testing.assert_array_equal(eight.x[:, 0], [40, 42, 29, 30, 25, 27, 29, 1])
    np.testing.assert_array_equal(eight.x[:, 1], [42, 29, 30, 25, 27, 29, 1, 1])
    np.testing.assert_array_equal(eight.y[-1, :8], [1, 1, 43, 45, 40, 40, 39, 43])
    apart = data.consecutive(ids, 512, 0)
    np.testing.assert_array_equal(apart.x[:, 1], [1, 1, 43, 45, 40, 40, 39, 43])
    np.testing.assert_array_equal(apart.y[:, 1], [1, 43, 45, 40, 40, 39, 43, 33])


def test_streams_of_nietzsche(nietzsche):
    train, val = data.two_files(nietzsche)
    assert (len(train), len(val)) == (493_746, 107_147)
    assert train + val == nietzsche.lower()
    counts = count_characters([train])
    order = sorted(np.flatnonzero(counts >= 3), key=lambda code: (-counts[code], code))
    order = "".join(map(chr, order))
    assert order.startswith(" etiaonsrhldcufm\npg") and order.endswith("ä") and len(order) == 54
    chunks = data.streams(nietzsche, 64, 0)
    assert len(chunks.vocabulary) == 56
    assert set(chunks.vocabulary.symbols) == {*order, "\0", "<unk>"}
    assert chunks.train.streams.x.shape == (64, 7713) and data.nominal(chunks.train) == 963
    assert chunks.val.streams.x.shape == (64, 1673) and data.nominal(chunks.val) == 208
    ids = chunks.vocabulary.encode(train, "replace")
    np.testing.assert_array_equal(chunks.train.streams.x.ravel()[:7713], ids[:7713])
    np.testing.assert_array_equal(chunks.train.streams.y[1], ids[7715 : 7714 * 2])  # nothing crosses into another row
    assert (ids == chunks.vocabulary.unknown_id).sum() == 4  # æ, ë and twice é


def test_each_file_of_the_streams_ends_with_the_unknown_symbol():
    text = "aab\n" * 20
    chunks = data.streams(text, 1, 0)
    unknown = chunks.vocabulary.unknown_id
    for part in (chunks.train, chunks.val):
        assert part.streams.y[0, -1] == unknown and (part.streams.y == unknown).sum() == 1
    assert len(chunks.vocabulary) == 5  # a, b, line end, padding, unknown


def test_lengths_of_chunks_are_those_of_fast_ai():
    """Normal around 8, seldom around 4, never below 5; so an epoch has some 920 batches in place of 963."""
    lines = "\n".join(["abc" * 40] * 4000)  # fewer lines than the training part of Nietzsche has
    chunks = data.streams(lines, 64, 0)
    counts, lengths = [], []
    for epoch in range(10):
        of_epoch = [len(x) for x, _ in chunks.training(epoch)]
        counts.append(len(of_epoch))
        lengths += of_epoch[:-1]
        assert sum(of_epoch) == chunks.train.streams.x.shape[1]
    assert min(lengths) == 5 and 24 <= max(lengths) <= 36
    assert abs(np.mean(lengths) - 8.38) < 0.12
    assert abs(np.mean(np.array(lengths) == 5) - 0.36) < 0.02
    assert len(set(counts)) > 3  # drawn anew in every epoch
    expected = chunks.train.streams.x.shape[1] / 7713 * 920
    assert all(abs(count - expected) < 40 for count in counts)


def test_no_epoch_has_more_batches_than_the_loader_announces(monkeypatch):
    chunks = data.streams(some_text(4000), 4, 0)
    counts = [len(list(chunks.training(epoch))) for epoch in range(20)]
    assert max(counts) <= data.nominal(chunks.train) and np.mean(counts) < data.nominal(chunks.train) - 1
    monkeypatch.setattr(chunks.train, "lengths", lambda rng, columns: np.full(columns, 5))
    assert len(list(chunks.training(1))) == data.nominal(chunks.train)


# How it is learned


def test_rates_and_kept_cycles_are_those_of_fast_ai():
    """CosAnneal of the course, step by step: its counter runs on during the low rates, and the cycles double."""
    schedule, cosine = fastai.restarts(1e-2, 963)
    counter, length, cycle, ends = 0, 963, 0, []
    for step in range(30_000):
        if step < length / 20 and cycle == 0:
            expected = 1e-4
        else:
            expected = 1e-2 / 2 * (np.cos(np.pi * counter / length) + 1)
        assert schedule(step) == pytest.approx(expected, rel=1e-9), step
        counter += 1
        if counter == length:
            assert cosine.position(step).is_last and cosine.position(step).cycle == cycle
            counter, length, cycle = 0, 2 * length, cycle + 1
            ends.append(step + 1)
    assert ends == [963, 2_889, 6_741, 14_445, 29_853]
    assert schedule(962) == pytest.approx(2.66e-8, rel=1e-2) and schedule(963) == 1e-2


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_step_moves_biases_as_the_sum_of_pytorchs_two(cell, begin, assert_close):
    """Against an Adam for each of the two, which see the same gradients. A GRU's block n has its second one apart."""
    shape = {"cell": cell, "num_layers": 2, "hidden_size": 5, "embedding_size": 3, "dtype": "float64"}
    windows = data.consecutive(np.random.default_rng(0).integers(7, size=400), 16, 0)
    learner = fastai.Learner(begin("rnn", ""), CharRNN(7, **shape), windows)
    reference, adam = CharRNN(7, **shape), Adam()
    n = {"rnn": 5, "gru": 10, "lstm": 20}[cell]
    others = {name: (np.zeros(n), Adam()) for name in ("rnn.0.b", "rnn.1.b")}
    before = learner.model.params.flat.copy()
    for x, y in windows.training(0):
        learner.step(x, y, 1e-2)
        *_, cache = reference.forward(x, y)
        reference.backward(cache)
        adam.step(reference.params.flat, reference.grads.flat, 1e-2)
        for name, (other, of_other) in others.items():
            old = other.copy()
            of_other.step(other, reference.grads[name][:n].copy(), 1e-2)
            reference.params[name][:n] += other - old
    assert_close(learner.model.params.flat, reference.params.flat, 1e-11)
    assert np.abs(learner.model.params.flat - before).max() > 1e-2


def test_networks_of_plain_affine_maps_have_one_bias_each():
    assert models.Network(models.ADD, 5, hidden_size=3, embedding_size=2).second_biases() == ()


class Spy:
    """A model that notes the states it is given; its state after a batch is how many batches it has seen."""

    def __init__(self, model):
        self.model, self.states, self.rngs, self.masks = model, [], [], []
        self.params, self.grads, self.backward = model.params, model.grads, model.backward
        self.second_biases = model.second_biases

    def forward(self, x, y, state=None, *, mask=None, rng=None):
        self.states.append(state)
        self.rngs.append(rng)
        self.masks.append(mask)
        loss, _, cache = self.model.forward(x, y, None, mask=mask, rng=rng)
        return loss, len(self.states), cache


def test_state_of_streams_goes_from_training_into_validation_and_on(begin):
    chunks = data.streams(some_text(3000), 4, 0)
    spy = Spy(CharRNN(len(chunks.vocabulary), hidden_size=3, num_layers=1))
    learner = fastai.Learner(begin("stateful", ""), spy, chunks)
    learner.fit(2, Constant(1e-3))
    learner.fit(1, Constant(1e-4))
    assert spy.states == [None, *range(1, len(spy.states))]
    held_out = [rng is None for rng in spy.rngs]
    assert sum(held_out) == sum(len(list(chunks.validation(epoch))) for epoch in range(3))


def test_windows_start_from_zero_state(begin):
    windows = data.overlapping(np.random.default_rng(0).integers(7, size=300), 16, 0)
    spy = Spy(CharRNN(7, hidden_size=3, num_layers=1))
    fastai.Learner(begin("rnn", ""), spy, windows).fit(2, Constant(1e-3))
    assert set(spy.states) == {None}
    assert all((mask.sum(axis=1) == [0, 0, 0, 0, 0, 0, 0, mask.shape[1]]).all() for mask in spy.masks)


def test_moments_go_on_from_fit_to_fit(begin):
    windows = data.consecutive(np.arange(500) % 7, 16, 0)
    learner = fastai.Learner(begin("multi_output", ""), CharRNN(7, hidden_size=3, num_layers=1), windows)
    learner.fit(2, Constant(1e-3))
    adam = learner.adam
    learner.fit(1, Constant(1e-4))
    assert learner.adam is adam and adam.state["step"] == 3 * len(list(windows.training(0)))


def test_large_gradients_are_not_clipped(begin, monkeypatch):
    windows = data.consecutive(np.arange(500) % 7, 16, 0)
    learner = fastai.Learner(begin("multi_output", ""), CharRNN(7, hidden_size=3, num_layers=1), windows)
    seen = []
    monkeypatch.setattr(learner.adam, "step", lambda params, grads, lr: seen.append(grads.copy()))
    monkeypatch.setattr(learner.model, "backward", lambda cache: learner.model.grads.flat.fill(1e6))
    learner.step(*next(windows.training(0)), 1e-3)
    assert (seen[0] == 1e6).all()


def test_held_out_chunks_have_random_lengths_too():
    chunks = data.streams("\n".join(["abc" * 40] * 400), 8, 0)
    lengths = [len(x) for x, _ in chunks.validation(0)]
    assert len(set(lengths)) > 5 and min(lengths[:-1]) >= 5
    assert sum(lengths) == chunks.val.streams.x.shape[1]
    assert lengths != [len(x) for x, _ in chunks.validation(1)]


def test_reported_losses(begin, monkeypatch):
    """Training: a running mean that starts anew in every fit. Validation: every character counts alike."""
    run = begin("multi_output", "")
    windows = data.consecutive(np.arange(2000) % 7, 16, 0)
    learner = fastai.Learner(run, CharRNN(7, hidden_size=3, num_layers=1), windows)
    losses = []
    monkeypatch.setattr(learner, "step", lambda x, y, lr: losses.append(len(losses) + lr) or losses[-1])
    monkeypatch.setattr(learner, "loss", lambda x, y: (float(x.shape[1]), None))
    learner.fit(2, lambda step: 100.0 * step)
    learner.fit(1, lambda step: 0.0)
    n = len(losses) // 3
    for point, seen in zip(run.curve, (losses[:n], losses[: 2 * n], losses[2 * n :]), strict=True):
        weights = 0.98 ** np.arange(len(seen))[::-1]
        assert point["train"] == pytest.approx(weights @ seen / weights.sum(), rel=1e-12)
        assert point["steps"] == len(seen)
    assert losses[:n] == [101.0 * step for step in range(n)]  # the schedule counts the steps of its fit
    assert [point["epoch"] for point in run.curve] == [1, 2, 3]
    held_out = len(windows.val)
    assert held_out > 32 and held_out % 32  # a full batch, and one that counts less
    expected = (held_out // 32 * 32**2 + (held_out % 32) ** 2) / held_out
    assert run.curve[0]["val"] == pytest.approx(expected, rel=1e-12)


def test_rungs_start_from_the_initial_values_they_promise(begin, monkeypatch):
    found = {}
    monkeypatch.setattr(fastai.Learner, "fit", lambda learner, *rest: found.setdefault(learner.run.variant, learner))
    monkeypatch.setattr(fastai, "pass_line", lambda *rest: None)
    monkeypatch.setattr(common.Run, "check", lambda *rest, **limits: None)
    for rung in fastai.RUNGS:
        rung(begin(rung.__name__, some_text(3000)))
    assert list(found) == [rung.__name__ for rung in fastai.RUNGS]
    cells = {name: learner.model.cell for name, learner in found.items()}
    kinds = [models.ADD, models.ADD, models.CONCAT, "rnn", "rnn", "rnn", "rnn", "rnn", "gru", "lstm"]
    assert list(cells.values()) == kinds
    np.testing.assert_array_equal(found["identity"].model.params["rnn.0.Wh"], np.eye(6))
    assert np.abs(found["multi_output"].model.params["rnn.0.Wh"]).max() <= 1 / math.sqrt(6)
    lstm = found["lstm"].model
    assert (lstm.num_layers, lstm.hidden_size, lstm.dropout, lstm.dropout_places) == (2, 5, 0.5, "between")
    assert abs(lstm.params["rnn.0.b"].reshape(4, 5)[1].mean()) < 0.5  # no forget bias of 1
    assert found["lstm"].adam.weight_decay == 1e-5 and found["gru"].adam.weight_decay == 0


def test_lstm_keeps_a_checkpoint_of_every_finished_cycle(begin, tmp_path):
    run = begin("lstm", some_text(4000), checkpoints=tmp_path)
    fastai.lstm(run)
    assert [path.name for path in tmp_path.iterdir()] == ["cyc_0.safetensors"]
    assert load_model(tmp_path / "cyc_0.safetensors").model.settings["num_layers"] == 2
    kept = next(check for check in run.checks if check["what"] == "cycles kept")
    assert kept["passed"] and kept["value"] == 1
    assert [point["epoch"] for point in run.curve] == [1, 2, 3, 4, 5]


def test_pass_line_can_fail(begin, monkeypatch):
    """Tiny networks that learn nothing are above every line."""
    monkeypatch.setattr(fastai.Learner, "step", lambda learner, x, y, lr: 5.0)
    for rung in fastai.RUNGS:
        run = begin(rung.__name__, some_text(3000, 12))
        run.text += "".join(map(chr, range(0x4E00, 0x4E20))) * 3  # more symbols, so that an even guess costs 3.8 nats
        rung(run)
        assert not all(check["passed"] for check in run.checks), rung.__name__


def test_greedy_continuation_reads_a_window_from_zero_state():
    vocabulary = data.padded_vocabulary("abc")
    model = models.Network(models.ADD, 4, hidden_size=6, embedding_size=4, dtype="float64", seed=2)
    text = "ab"
    for _ in range(5):
        *_, cache = model.forward(vocabulary.encode(text[-3:])[:, None], np.zeros((len(text[-3:]), 1), int))
        text += vocabulary.symbols[cache.loss.p[-1, 0].argmax()]
    assert fastai.greedy(model, vocabulary, "ab", 3, 5) == text[2:]
