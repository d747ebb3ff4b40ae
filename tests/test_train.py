"""One update: against the same update written out by hand, step after step."""

import json

import numpy as np
import pytest

from minrnn import CharRNN
from minrnn.optim import OPTIMIZERS, SGD, Constant
from minrnn.text import FixedLength, StreamBatches, WindowBatches, streams
from minrnn.train import Trainer

V, T, B = 5, 8, 3
IDS = np.random.default_rng(0).integers(V, size=150).astype("uint8")  # 6 chunks an epoch, 5 or 6 batches of windows
LR = 0.25


def batches(kind="consecutive", ids=IDS):
    if kind == "random":
        return WindowBatches(ids, B, T, seed=3)
    return StreamBatches(streams(ids, B), FixedLength(T), seed=3)


def network(**arguments):
    return CharRNN(V, **{"hidden_size": 4, "dtype": "float64", "seed": 1} | arguments)


def trainer(model=None, *, kind="consecutive", optimizer=None, schedule=None, **options):
    model = network() if model is None else model
    return Trainer(model, batches(kind), optimizer or SGD(LR), schedule or Constant(LR), **options)


def gradient(model, batch, state=None, rng=None):
    """Loss, gradient, final state, as the model computes them."""
    loss, after, cache = model.forward(batch.x, batch.y, state, rng=rng)
    model.backward(cache)
    return float(loss), model.grads.flat.copy(), after


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_one_step_by_hand(cell):
    reference, model = network(cell=cell), network(cell=cell)
    loss, g, after = gradient(reference, batches().get(0, 0))
    t = trainer(model)
    result = t.train_step()
    np.testing.assert_array_equal(model.params.flat, reference.params.flat - LR * g)
    assert result.loss == loss and result.lr == LR and result.characters == T * B
    assert result.grad_norm == pytest.approx(np.linalg.norm(g), rel=1e-12) and not result.clipped
    np.testing.assert_array_equal(np.array(t.state), np.array(after))


@pytest.mark.parametrize("limit", [0.0, 0.01, 100.0])
def test_bias_in_place_of_two_counts_twice_in_the_norm_and_moves_twice(limit):
    reference, model = network(cell="gru"), network(cell="gru")
    _, g, _ = gradient(reference, batches().get(0, 0))
    columns = np.concatenate([np.arange(reference.params.flat.size)[part] for part in reference.second_biases()])
    optimizer = SGD(LR)
    optimizer.twice = model.second_biases()
    result = trainer(model, optimizer=optimizer, clip_norm=limit).train_step()
    norm = np.sqrt((g**2).sum() + (g[columns] ** 2).sum())
    step = LR * g * (min(1.0, limit / (norm + 1e-6)) if limit else 1.0)
    step[columns] *= 2
    np.testing.assert_allclose(model.params.flat, reference.params.flat - step, rtol=0, atol=1e-15)
    assert result.grad_norm == pytest.approx(norm, rel=1e-12) and result.clipped == (limit == 0.01)


def test_state_starts_from_zero_where_a_batch_has_fewer_rows_than_the_last():
    class Shrinking:
        """Three rows, then two, then two again."""

        def num_batches(self, epoch):
            return 3

        def get(self, epoch, index):
            batch = batches().get(0, index)
            rows = slice(3 if index == 0 else 2)
            return batch._replace(x=batch.x[:, rows], y=batch.y[:, rows])

    t = trainer()
    t.batches = Shrinking()
    t.train_step()
    _, _, expected = gradient(t.model, Shrinking().get(0, 1))
    t.train_step()
    np.testing.assert_array_equal(np.array(t.state), np.array(expected))
    _, _, expected = gradient(t.model, Shrinking().get(0, 2), t.state)
    t.train_step()
    np.testing.assert_array_equal(np.array(t.state), np.array(expected))


@pytest.mark.parametrize("kind", ["consecutive", "random"])
def test_three_epochs_by_hand(kind):
    """State, cursor, schedule and dropout: what a loop with none of Trainer's code does."""
    rates = [0.3, 0.1, 0.2, 0.05]
    model = network(dropout=0.3)
    source, rng, step, expected = batches(kind), np.random.default_rng(7), 0, []
    for epoch in range(3):
        state = None
        for index in range(source.num_batches(epoch)):
            loss, g, after = gradient(model, source.get(epoch, index), state, rng)
            state = after if kind == "consecutive" else None
            model.params.flat[...] -= rates[step % 4] * g
            expected.append((epoch, index, loss, model.params.flat.copy()))
            step += 1

    t = trainer(network(dropout=0.3), kind=kind, schedule=lambda s: rates[s % 4], rng=np.random.default_rng(7))
    for k, (epoch, index, loss, params) in enumerate(expected):
        assert (t.step, t.epoch, t.index) == (k, epoch, index)
        assert t.epochs_done == epoch + index / source.num_batches(epoch)
        result = t.train_step()
        assert result.loss == loss and result.lr == rates[k % 4]
        np.testing.assert_array_equal(t.model.params.flat, params)
    assert (t.step, t.epoch, t.index) == (len(expected), 3, 0)
    assert len({source.num_batches(epoch) for epoch in range(3)}) == (2 if kind == "random" else 1)


def test_schedule_wins_over_the_rate_of_the_optimizer():
    t = trainer(optimizer=SGD(100.0), schedule=Constant(0.0))
    before = t.model.params.flat.copy()
    t.train_step()
    np.testing.assert_array_equal(t.model.params.flat, before)


def test_loss_summed_over_time_is_t_times_the_mean():
    mean = trainer()
    summed = trainer(loss_reduction="sum_time", schedule=Constant(LR / T))  # T is a power of two: exact
    for _ in range(8):
        one, other = mean.train_step(), summed.train_step()
        assert one.loss == other.loss  # reported as a mean in both
        assert other.grad_norm == T * one.grad_norm
        np.testing.assert_array_equal(mean.model.params.flat, summed.model.params.flat)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_clip_by_norm(factor):
    reference = network()
    g = gradient(reference, batches().get(0, 0))[1]
    norm = np.linalg.norm(g)
    t = trainer(clip_norm=factor * norm)
    result = t.train_step()
    expected = g * min(1.0, factor * norm / (norm + 1e-6))
    np.testing.assert_allclose(reference.params.flat - t.model.params.flat, LR * expected, rtol=1e-9, atol=1e-15)
    assert result.grad_norm == pytest.approx(norm, rel=1e-12)  # before clipping
    assert bool(result.clipped) == (factor < 1)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_clip_by_value(factor):
    reference = network()
    g = gradient(reference, batches().get(0, 0))[1]
    limit = factor * np.abs(g).max()
    t = trainer(clip_value=limit)
    result = t.train_step()
    np.testing.assert_allclose(
        reference.params.flat - t.model.params.flat, LR * np.clip(g, -limit, limit), rtol=1e-9, atol=1e-15
    )
    assert result.grad_norm == pytest.approx(np.linalg.norm(g), rel=1e-12)
    assert bool(result.clipped) == (factor < 1)


def test_clip_feels_the_reduction():
    g = gradient(network(), batches().get(0, 0))[1]
    limit = 2 * np.linalg.norm(g)
    assert [bool(trainer(clip_norm=limit, loss_reduction=r).train_step().clipped) for r in ("mean", "sum_time")] == [
        False,
        True,
    ]


def test_dropout_draws_from_the_given_generator_alone():
    rng = np.random.default_rng(4)
    before = rng.bit_generator.state
    trainer(rng=rng).train_step()
    assert rng.bit_generator.state == before  # no dropout, no draw
    np.random.seed(0)  # the global generator must play no part
    losses = []
    for seed in (4, 4, 5):
        t = trainer(network(dropout=0.5), rng=np.random.default_rng(seed))
        losses.append([float(t.train_step().loss) for _ in range(3)])
    assert losses[0] == losses[1] and losses[0] != losses[2]


def test_next_loss_is_that_of_the_next_step_and_changes_nothing():
    watched, plain = (trainer(network(dropout=0.0), rng=np.random.default_rng(0)) for _ in range(2))
    for _ in range(14):  # across two ends of an epoch, where the state is dropped
        ahead = float(watched.next_loss())
        assert float(watched.next_loss()) == ahead
        one, other = watched.train_step(), plain.train_step()
        assert one.loss == other.loss == ahead
        np.testing.assert_array_equal(watched.model.params.flat, plain.model.params.flat)
        np.testing.assert_array_equal(np.array(watched.state), np.array(plain.state))


def test_next_loss_draws_no_dropout():
    t = trainer(network(dropout=0.5))
    before = t.rng.bit_generator.state
    assert t.next_loss() == t.next_loss() and t.rng.bit_generator.state == before


@pytest.mark.parametrize("kind", ["consecutive", "random"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_restored_trainer_goes_on_bit_for_bit(cell, optimizer, kind):
    def make(seed):
        options = {"momentum": 0.9} if optimizer in ("sgd", "rmsprop") else {}
        rule = OPTIMIZERS[optimizer](0.01, **options)
        model = network(cell=cell, dropout=0.3, seed=seed, dtype="float32")
        return trainer(model, kind=kind, optimizer=rule, schedule=Constant(0.01), rng=np.random.default_rng(seed))

    original = make(1)
    for _ in range(8):
        original.train_step()
    arrays, content = original.arrays(), json.loads(json.dumps(original.content()))
    copied = {name: array.copy() for name, array in arrays.items()}
    params = original.model.params.flat.copy()
    expected = [float(original.train_step().loss) for _ in range(8)]
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, copied[name])  # a snapshot, not a view

    restored = make(2)
    restored.model.params.flat[...] = params
    restored.restore(arrays, content)
    assert [float(restored.train_step().loss) for _ in range(8)] == expected
    np.testing.assert_array_equal(restored.model.params.flat, original.model.params.flat)
    for name, array in original.arrays().items():
        np.testing.assert_array_equal(restored.arrays()[name], array)
    assert restored.content() == original.content()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, copied[name])  # nor does the restored run write into it


def test_trainer_before_its_first_step_can_be_saved_and_restored():
    fresh, other = trainer(), trainer()
    other.restore(fresh.arrays(), fresh.content())
    assert other.state is None and float(other.train_step().loss) == float(fresh.train_step().loss)


def test_moments_of_another_rule_are_refused():
    adam = trainer(optimizer=OPTIMIZERS["adam"](0.01))
    adam.train_step()
    with pytest.raises(ValueError, match="SGD as configured needs"):
        trainer().restore(adam.arrays(), adam.content())


@pytest.mark.parametrize(("entry", "clipped"), [(0.3, True), (-0.3, True), (0.2, False), (-0.2, False)])
def test_an_entry_of_either_sign_beyond_the_limit_counts_as_clipped(entry, clipped, monkeypatch):
    model = network()

    def gradient(x, y, state, **options):
        model.grads.flat[...] = 0.0
        model.grads.flat[3] = entry
        return np.float64(1.0), model.zero_state(B)

    monkeypatch.setattr(model, "gradient", gradient)
    assert bool(trainer(model, clip_value=0.25).train_step().clipped) is clipped
