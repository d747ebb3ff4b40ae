"""A network beside itself: with steps as graphs, and without. For tests, on the stand-in for CuPy."""

import numpy as np

from minrnn import CharRNN
from minrnn.graphs import Captured

T, B, H, V = 5, 3, 4, 7
KINDS = {
    "lstm": {"cell": "lstm"},
    "gru": {"cell": "gru"},
    "gru-before": {"cell": "gru-before"},
    "rnn_tanh": {"cell": "rnn"},
    "rnn_relu": {"cell": "rnn", "nonlinearity": "relu"},
}


def network(kind="lstm", **options):
    options = {"hidden_size": H, "num_layers": 2, "seed": 3, "device": "fakecupy:1"} | KINDS[kind] | options
    return CharRNN(V, **options)


class Pair:
    """The same network twice: one takes its gradients from graphs, where it has them, the other one never."""

    def __init__(self, kind="lstm", **options):
        self.engine, self.plain = Captured(network(kind, **options)), network(kind, **options)
        self.bk, self.rng = self.plain.backend, np.random.default_rng(1)
        self.states = None, None

    def ids(self, T=T, B=B):
        return [self.bk.from_host(ids) for ids in self.rng.integers(V, size=(2, T, B))]

    def step(self, ids=None, fresh=False, **options):
        """One step of both, which must agree to the bit; then both move. Returns what the engine gave."""
        x, y = ids or self.ids()
        before = (None, None) if fresh else self.states
        found = self.engine.gradient(x, y, before[0], **options)
        expected = self.plain.gradient(x, y, before[1], **options)
        self.states = found[1], expected[1]
        for a, b in zip(self.numbers(found, self.engine.model), self.numbers(expected, self.plain), strict=True):
            np.testing.assert_array_equal(a, b, strict=True)
            assert np.isfinite(b).all()
        with self.bk.scope():
            for model in (self.engine.model, self.plain):
                model.params.flat -= 0.1 * model.grads.flat
        return found

    @staticmethod
    def numbers(result, model):
        loss, state = result
        return [a.get() for a in (loss, model.grads.flat, *(a for layer in state for a in layer))]
