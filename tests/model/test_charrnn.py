"""CharRNN from outside: state, dropout, dtype, settings, arguments that make no sense."""

import numpy as np
import pytest

from minrnn import CharRNN
from minrnn.backend import BackendError


def test_no_state_means_zeros(network, draw):
    model = network(embedding_size=4)
    x, targets, _ = draw(model, T=4, B=3)
    zeros = tuple(tuple(np.zeros((3, 6)) for _ in layer) for layer in model.zero_state(3))
    loss, after, cache = model.forward(x, targets)
    dstate = model.backward(cache)
    gradient = model.grads.flat.copy()
    same_loss, same_after, cache = model.forward(x, targets, zeros)
    same_dstate = model.backward(cache)
    assert loss == same_loss
    np.testing.assert_array_equal(gradient, model.grads.flat)
    np.testing.assert_array_equal(np.array(after), np.array(same_after))
    np.testing.assert_array_equal(np.array(dstate), np.array(same_dstate))


def test_initial_state_matters_in_every_layer(network, draw):
    model = network()
    x, targets, state = draw(model, T=2, B=3)
    base = float(model.forward(x, targets, state)[0])
    for k, layer in enumerate(state):
        for j in range(len(layer)):
            changed = [list(parts) for parts in state]
            changed[k][j] = changed[k][j] + 0.5
            assert abs(float(model.forward(x, targets, tuple(map(tuple, changed)))[0]) - base) > 1e-6


def test_carried_state_equals_one_long_text(network, draw, assert_close):
    model = network()
    x, targets, state = draw(model, T=9, B=2)
    nll = model.forward(x, targets, state)[2].loss.nll.copy()
    found = []
    for t in range(9):
        _, state, cache = model.forward(x[t : t + 1], targets[t : t + 1], state)
        found.append(cache.loss.nll[0].copy())
    assert_close(np.array(found), nll, 1e-13)


def test_columns_of_a_batch_do_not_touch_each_other(network, draw, assert_close):
    model = network(embedding_size=4)
    x, targets, state = draw(model, T=5, B=3)
    nll = model.forward(x, targets, state)[2].loss.nll.copy()
    for b in range(3):
        one = tuple(tuple(a[b : b + 1] for a in layer) for layer in state)
        alone = model.forward(x[:, b : b + 1], targets[:, b : b + 1], one)[2].loss.nll
        assert_close(alone[:, 0], nll[:, b], 1e-13)


def test_nothing_is_dropped_without_a_generator(network, draw):
    x, targets, state = draw(network(), T=4, B=3)
    plain, dropping = network(), network(dropout=0.5)
    assert plain.forward(x, targets, state)[0] == dropping.forward(x, targets, state)[0]
    assert plain.forward(x, targets, state)[0] != dropping.forward(x, targets, state, rng=np.random.default_rng(0))[0]


def test_dropout_of_zero_draws_nothing(network, draw):
    model = network()
    x, targets, state = draw(model, T=4, B=3)
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    assert model.forward(x, targets, state, rng=rng)[0] == model.forward(x, targets, state)[0]
    assert rng.bit_generator.state == before


def test_dropout_spares_the_recurrent_path_and_hits_everything_above(network, draw, assert_close):
    model = network(dropout=0.5)
    x, targets, state = draw(model, T=6, B=3)
    _, plain, _ = model.forward(x, targets, state)
    _, dropped, cache = model.forward(x, targets, state, rng=np.random.default_rng(1))
    for found, expected in zip(dropped[0], plain[0], strict=True):
        assert_close(found, expected, 1e-14, "state of the first layer")
    assert all((found != expected).any() for found, expected in zip(dropped[1], plain[1], strict=True))
    masks = [c.m for c in cache.dropout]
    assert [m.shape for m in masks] == [(6, 3, 6)] * 2  # after every layer, the last before the decoder included
    assert (masks[0] != masks[1]).any() and all((m[0] != m[1]).any() for m in masks)  # anew in every layer and step
    assert all(set(np.unique(m)) == {0.0, 2.0} for m in masks)


def test_dropout_between_layers_alone_spares_the_decoder_and_draws_nothing_for_it(network, draw, assert_close):
    model, everywhere = network(dropout=0.5, dropout_places="between"), network(dropout=0.5)
    x, targets, state = draw(model, T=6, B=3)
    rng, other = np.random.default_rng(1), np.random.default_rng(1)
    loss, after, cache = model.forward(x, targets, state, rng=rng)
    *_, reference = everywhere.forward(x, targets, state, rng=other)
    np.testing.assert_array_equal(cache.dropout[0].m, reference.dropout[0].m)
    assert cache.dropout[1].m is None
    other = np.random.default_rng(1)
    other.random((6, 3, 6), dtype=np.float32)
    assert rng.bit_generator.state == other.bit_generator.state
    assert_close(cache.decoder.x[-1], after[1][0])
    assert loss != model.forward(x, targets, state)[0]


def test_generator_decides_the_masks(network, draw):
    model = network(dropout=0.5)
    x, targets, state = draw(model, T=4, B=3)
    rng = np.random.default_rng(1)
    losses = [float(model.forward(x, targets, state, rng=r)[0]) for r in (rng, rng, np.random.default_rng(1))]
    assert losses[0] == losses[2] != losses[1]


def test_dtype_stays_float32(kind, draw, arrays_in):
    model = CharRNN(7, hidden_size=6, embedding_size=4, dropout=0.3, **kind)
    x, targets, state = draw(model, T=3, B=2)
    mask = np.ones((3, 2))  # float64 from a caller
    loss, after, cache = model.forward(x, targets, state, mask=mask, rng=np.random.default_rng(0))
    dstate = model.backward(cache, dloss=3)
    assert loss.dtype == np.float32
    for array in arrays_in((after, dstate, cache, model.params.flat, model.grads.flat, model.zero_state(2))):
        assert array.dtype.kind != "f" or array.dtype == np.float32


def test_inputs_and_parameters_are_only_read(network, draw):
    model = network(embedding_size=4, dropout=0.5)
    x, targets, state = draw(model, T=4, B=3)
    dstate = draw(model, T=4, B=3, seed=1)[2]
    mask = np.ones((4, 3))
    held = (x, targets, mask, *(a for s in (state, dstate) for layer in s for a in layer), *model.params.values())
    for array in held:
        array.flags.writeable = False
    loss, _, cache = model.forward(x, targets, state, mask=mask, rng=np.random.default_rng(0))
    model.backward(cache, dstate=dstate)
    assert np.isfinite(loss)


def test_ids_of_every_integer_type(network, draw):
    model = network()
    x, targets, state = draw(model, T=4, B=3)
    losses = {float(model.forward(x.astype(t), targets.astype(t), state)[0]) for t in ("u1", "i4", "i8", "u2")}
    assert len(losses) == 1


def test_settings_make_a_model_of_the_same_shape(network):
    model = network(embedding_size=4, dropout=0.25, dropout_places="between", num_layers=3)
    again = CharRNN(**model.settings)
    assert again.settings == model.settings
    assert again.params.shapes == model.params.shapes and again.params.flat.dtype == model.params.flat.dtype
    assert (again.cell, again.nonlinearity) == (model.cell, model.nonlinearity)
    assert (again.dropout, again.dropout_places) == (0.25, "between")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"vocab_size": 0}, "vocab_size = 0"),
        ({"hidden_size": 0}, "hidden_size = 0"),
        ({"num_layers": 0}, "num_layers = 0"),
        ({"embedding_size": -1}, "embedding_size = -1"),
        ({"cell": "LSTM"}, "cell 'LSTM'"),
        ({"cell": "rnn", "nonlinearity": "sigmoid"}, "nonlinearity 'sigmoid'"),
        ({"dropout": 1.0}, "dropout = 1.0"),
        ({"dropout": -0.1}, "dropout = -0.1"),
        ({"dropout": float("nan")}, "dropout = nan"),
        ({"dropout_places": "decoder"}, "dropout_places 'decoder'"),
        ({"dtype": "float16"}, "dtype 'float16'"),
        ({"init": "xavier"}, "init 'xavier'"),
        ({"init": "identity", "cell": "gru"}, "init 'identity'"),
    ],
)
def test_argument_that_makes_no_sense_is_named(arguments, named):
    with pytest.raises(ValueError, match=named):
        CharRNN(**{"vocab_size": 5, "hidden_size": 4, **arguments})


def test_unknown_device_is_a_backend_error():
    with pytest.raises(BackendError, match="'gpu'"):
        CharRNN(5, device="gpu")


def test_text_that_does_not_fit_is_refused(network, draw):
    model = network()
    x, targets, state = draw(model, T=4, B=3)
    for bad in (7, -1):
        wrong = x.copy()
        wrong[1, 2] = bad
        with pytest.raises(IndexError, match=str(bad)):
            model.forward(wrong, targets, state)
        with pytest.raises(IndexError, match=str(bad)):
            model.forward(x, wrong, state)
    with pytest.raises(ValueError, match="targets has shape"):
        model.forward(x, targets[:2], state)
    with pytest.raises(ValueError, match="mask has shape"):
        model.forward(x, targets, state, mask=np.ones(3))
    with pytest.raises(ValueError, match=r"\(2, 6\)"):
        model.forward(x, targets, tuple(tuple(a[:2] for a in layer) for layer in state))
    with pytest.raises((ValueError, IndexError)):
        model.forward(x, targets, state[:1])
