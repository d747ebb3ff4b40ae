"""Initial values: bounds and moments of every scheme, gate by gate, and which numbers a seed decides."""

import numpy as np
import pytest

from minrnn import CharRNN
from minrnn.model import INITS
from minrnn.model.initialisation import initial_value

V, H, E = 50, 64, 48
K = 1 / np.sqrt(H)


def make(cell, init, **arguments):
    arguments = {"hidden_size": H, "embedding_size": E, "dtype": "float64", "seed": 5, "forget_bias": 0.0} | arguments
    return CharRNN(V, cell=cell, init=init, **arguments).params


def gate(params, name, k):
    """Block k of width H of a parameter."""
    return params[name][..., k * H : (k + 1) * H]


def is_uniform(a, bound):
    """All within ±bound, reaching it nearly, with the variance of a uniform distribution: not a sum, not a normal."""
    assert np.abs(a).max() <= bound
    assert a.max() > (1 - 20 / a.size) * bound and a.min() < -(1 - 20 / a.size) * bound
    assert abs(a.std() / (bound / np.sqrt(3)) - 1) < 3 / np.sqrt(a.size)


def is_sum_of_two_uniforms(a, bound):
    assert bound < np.abs(a).max() <= 2 * bound  # farther than one alone
    assert abs(a.std() / (bound * np.sqrt(2 / 3)) - 1) < 3 / np.sqrt(a.size)


def is_normal(a, std):
    assert abs(a.std() / std - 1) < 3 / np.sqrt(a.size) and abs(a.mean()) < 4 * std / np.sqrt(a.size)
    assert np.abs(a).max() > 2.5 * std


CASES = [("lstm", 4), ("gru", 3), ("gru-before", 3), ("rnn", 1)]


@pytest.mark.parametrize(("cell", "gates"), CASES)
@pytest.mark.parametrize(("init", "bound"), [("uniform", K), ("char-rnn", 0.08)])
def test_uniform_schemes(cell, gates, init, bound):
    params = make(cell, init)
    for k in (0, 1):
        is_uniform(params[f"rnn.{k}.Wx"], bound)
        is_uniform(params[f"rnn.{k}.Wh"], bound)
        b = params[f"rnn.{k}.b"]
        if cell == "gru":  # the second bias of block n is bhn
            is_sum_of_two_uniforms(b[: 2 * H], bound)
            is_uniform(b[2 * H :], bound)
            is_uniform(params[f"rnn.{k}.bhn"], bound)
        elif cell == "lstm" and init == "char-rnn":  # there one of the forget gate's two biases is set, not drawn
            is_sum_of_two_uniforms(np.delete(b, slice(H, 2 * H)), bound)
            is_uniform(b[H : 2 * H], bound)
        else:
            is_sum_of_two_uniforms(b, bound)
            is_sum_of_two_uniforms(b[-H:], bound)  # block n of the other GRU too
    is_uniform(params["decoder.W"], bound)
    is_uniform(params["decoder.b"], bound)
    if init == "uniform":
        is_normal(params["embedding.W"], 1.0)
    else:
        is_uniform(params["embedding.W"], bound)


@pytest.mark.parametrize(("cell", "gates"), CASES)
def test_normal(cell, gates):
    params = make(cell, "normal")
    for name, value in params.items():
        if value.ndim == 2:
            is_normal(value, 0.01)
        else:
            assert not value.any(), name


@pytest.mark.parametrize(("cell", "gates"), CASES)
def test_orthogonal_gate_by_gate(cell, gates):
    params = make(cell, "orthogonal")
    seen = []
    for layer, width in ((0, E), (1, H)):
        for k in range(gates):
            block = gate(params, f"rnn.{layer}.Wh", k)
            np.testing.assert_allclose(block.T @ block, np.eye(H), atol=1e-12)
            is_uniform(gate(params, f"rnn.{layer}.Wx", k), np.sqrt(6 / (width + H)))
            seen.append(block)
    assert all((a != b).any() for i, a in enumerate(seen) for b in seen[:i])
    is_uniform(params["decoder.W"], np.sqrt(6 / (H + V)))
    assert not any(value.any() for name, value in params.items() if value.ndim == 1)
    is_normal(params["embedding.W"], 1.0)


def test_orthogonal_matrices_are_not_those_that_qr_prefers():
    rng = np.random.default_rng(0)
    corners = [
        initial_value("rnn.0.Wh", (3, 3), init="orthogonal", hidden_size=3, apart=0, rng=rng)[0, 0] for _ in range(400)
    ]
    assert abs(np.mean(corners)) < 0.1 and abs(np.mean(np.square(corners)) - 1 / 3) < 0.05


def test_identity_starts_as_a_copy():
    params = make("rnn", "identity", nonlinearity="relu")
    for k in (0, 1):
        np.testing.assert_array_equal(params[f"rnn.{k}.Wh"], np.eye(H))
        is_normal(params[f"rnn.{k}.Wx"], 0.001)
        assert not params[f"rnn.{k}.b"].any()
    is_uniform(params["decoder.W"], K)
    is_uniform(params["decoder.b"], K)


@pytest.mark.parametrize("init", [name for name in INITS if name != "identity"])
def test_forget_bias_moves_the_forget_block_and_nothing_else(init):
    without, with_bias = make("lstm", init), make("lstm", init, forget_bias=1.5)
    for name, value in without.items():
        shift = np.zeros(value.shape)
        if name in ("rnn.0.b", "rnn.1.b"):
            shift[H : 2 * H] = 1.5  # blocks i f o g
        np.testing.assert_allclose(with_bias[name] - value, shift, atol=1e-15, err_msg=name)


@pytest.mark.parametrize("cell", ["gru", "gru-before", "rnn"])
def test_cells_without_a_forget_gate_ignore_forget_bias(cell):
    for name, value in make(cell, "uniform").items():
        np.testing.assert_array_equal(make(cell, "uniform", forget_bias=2.0)[name], value)


def test_forget_bias_is_one_by_default():
    b = CharRNN(5, hidden_size=H, init="normal").params["rnn.1.b"]
    np.testing.assert_array_equal(b.reshape(4, H), np.array([0, 1, 0, 0])[:, None] * np.ones(H))


@pytest.mark.parametrize(("cell", "gates"), CASES)
def test_seed_decides_everything(cell, gates):
    first = make(cell, "uniform")
    for name, value in make(cell, "uniform").items():
        np.testing.assert_array_equal(value, first[name])
    other = make(cell, "uniform", seed=6)
    assert all((other[name] != value).mean() > 0.99 for name, value in first.items())


def test_float32_starts_from_the_same_numbers():
    half, full = make("lstm", "uniform", dtype="float32"), make("lstm", "uniform")
    np.testing.assert_array_equal(half.flat, full.flat.astype("float32"))


@pytest.mark.parametrize("init", INITS)
def test_layers_and_parameters_do_not_repeat_each_other(init):
    params = make("rnn", init, embedding_size=H)
    drawn = [a for a in params.values() if a.ndim == 2 and not (init == "identity" and np.array_equal(a, np.eye(H)))]
    for i, a in enumerate(drawn):
        for b in drawn[:i]:
            rows = min(a.shape[1], b.shape[1])
            assert abs(np.corrcoef(a[:H, :rows].ravel()[:900], b[:H, :rows].ravel()[:900])[0, 1]) < 0.2
