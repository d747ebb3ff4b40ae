"""Flat parameters: views of one vector, in the documented order, names and shapes."""

import numpy as np
import pytest

from minrnn import CharRNN, backend
from minrnn.model import Parameters

V, E, H = 7, 4, 6
NAMES = {
    ("lstm", 0): {"rnn.0.Wx": (V, 4 * H), "rnn.0.Wh": (H, 4 * H), "rnn.0.b": (4 * H,)},
    ("gru", 0): {"rnn.0.Wx": (V, 3 * H), "rnn.0.Wh": (H, 3 * H), "rnn.0.b": (3 * H,), "rnn.0.bhn": (H,)},
    ("gru-before", 0): {"rnn.0.Wx": (V, 3 * H), "rnn.0.Wh": (H, 3 * H), "rnn.0.b": (3 * H,)},
    ("rnn", E): {"embedding.W": (V, E), "rnn.0.Wx": (E, H), "rnn.0.Wh": (H, H), "rnn.0.b": (H,)},
}


@pytest.mark.parametrize(("cell", "embedding_size"), NAMES)
def test_names_shapes_and_order(cell, embedding_size):
    model = CharRNN(V, cell=cell, hidden_size=H, num_layers=2, embedding_size=embedding_size)
    first = NAMES[cell, embedding_size]
    second = {name.replace("0", "1"): shape for name, shape in first.items() if name.startswith("rnn")}
    second["rnn.1.Wx"] = (H, first["rnn.0.Wx"][1])  # the second layer reads the first
    expected = first | second | {"decoder.W": (H, V), "decoder.b": (V,)}
    for arrays in (model.params, model.grads):
        assert {name: array.shape for name, array in arrays.items()} == expected
        assert list(arrays) == list(expected)


def test_char_rnn_default_has_240321_parameters_less_its_second_biases():
    model = CharRNN(65)
    assert model.params.flat.size == 240_321 - 2 * 4 * 128


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_arrays_are_consecutive_views_that_cover_flat(cell):
    model = CharRNN(V, cell=cell, hidden_size=H, embedding_size=E)
    for arrays in (model.params, model.grads):
        assert arrays.flat.ndim == 1 and arrays.flat.size == sum(a.size for a in arrays.values())
        arrays.flat[...] = np.arange(arrays.flat.size)
        np.testing.assert_array_equal(np.concatenate([a.reshape(-1) for a in arrays.values()]), arrays.flat)
        for name, array in arrays.items():
            np.testing.assert_array_equal(arrays.flat[arrays.part(name)], array.reshape(-1), name)
            array[...] = -1
            assert array.flags.c_contiguous
        assert (arrays.flat == -1).all()
    assert not np.shares_memory(model.params.flat, model.grads.flat)


def test_backward_fills_the_views_and_never_replaces_them(network, draw):
    model = network(embedding_size=E)
    before = [id(a) for a in (*model.params.values(), *model.grads.values())]
    x, targets, state = draw(model, T=3, B=2)
    model.backward(model.forward(x, targets, state)[2])
    assert [id(a) for a in (*model.params.values(), *model.grads.values())] == before
    assert all(np.shares_memory(g, model.grads.flat) and g.any() for g in model.grads.values())


def test_mapping_is_read_only():
    arrays = Parameters({"a": (2, 3), "b": ()}, backend.get(), "float32")
    assert (len(arrays), list(arrays), arrays.flat.size, arrays["b"].shape) == (2, ["a", "b"], 7, ())
    with pytest.raises(TypeError):
        arrays["a"] = np.zeros((2, 3))
    with pytest.raises(KeyError):
        arrays["c"]


@pytest.mark.parametrize("cell", ["lstm", "gru", "gru-before", "rnn"])
def test_second_biases_are_all_of_b_but_the_block_whose_second_one_is_apart(cell):
    model = CharRNN(V, hidden_size=H, num_layers=2, cell=cell, dtype="float64")
    for part in model.second_biases():
        model.params.flat[part] = np.inf
    n = {"lstm": 4 * H, "gru": 2 * H, "gru-before": 3 * H, "rnn": H}[cell]
    for name, value in model.params.items():
        marked = np.isinf(value)
        if name in ("rnn.0.b", "rnn.1.b"):
            assert marked[:n].all() and not marked[n:].any()
        else:
            assert not marked.any(), name
    assert len(model.second_biases()) == 2
