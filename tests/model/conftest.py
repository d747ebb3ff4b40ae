"""The five networks as one fixture, and random text and state for them: nothing is zero."""

import numpy as np
import pytest

from minrnn import CharRNN

KINDS = {
    "lstm": {"cell": "lstm"},
    "gru": {"cell": "gru"},
    "gru-before": {"cell": "gru-before"},
    "rnn_tanh": {"cell": "rnn", "nonlinearity": "tanh"},
    "rnn_relu": {"cell": "rnn", "nonlinearity": "relu"},
}


@pytest.fixture(params=KINDS, scope="session")
def kind(request):
    """The arguments of CharRNN that choose the recurrence."""
    return KINDS[request.param]


@pytest.fixture(scope="session")
def network(kind):
    """network(**arguments): a float64 CharRNN of two layers, V = 7 and H = 6, of each kind in turn."""

    def make(**arguments):
        return CharRNN(7, **{"hidden_size": 6, "num_layers": 2, "dtype": "float64", "seed": 3, **kind, **arguments})

    return make


@pytest.fixture(scope="session")
def draw():
    """draw(model, T, B, seed): x, targets and a random initial state."""

    def make(model, T, B, seed=0):
        rng = np.random.default_rng(seed)
        x, targets = rng.integers(model.vocab_size, size=(2, T, B))
        zeros = model.zero_state(B)
        state = tuple(tuple(rng.standard_normal(h.shape).astype(h.dtype) for h in layer) for layer in zeros)
        return x, targets, state

    return make


@pytest.fixture(scope="session")
def flat_state():
    """flat_state(state, prefix): its arrays by name, "h0" for the h of layer 0."""

    def make(state, prefix=""):
        return {f"{prefix}{n}{k}": a for k, layer in enumerate(state) for n, a in zip("hc", layer, strict=False)}

    return make


@pytest.fixture(scope="session")
def arrays_in():
    """arrays_in(value): every array inside tuples and lists, to any depth."""

    def walk(value):
        if isinstance(value, np.ndarray):
            return [value]
        return [a for part in value for a in walk(part)] if isinstance(value, tuple | list) else []

    return walk
