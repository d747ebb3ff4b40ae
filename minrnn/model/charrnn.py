"""CharRNN: characters in, a loss and its gradients out. The one object of the library.

    ids (T,B) ─► [embedding] ─► cell ─► dropout ─► cell ─► … ─► dropout ─► decoder ─► softmax cross-entropy ─► loss

It owns what somebody must own: the parameters, their gradients, and the workspaces, one for each (T, B). It holds no
recurrent state and has no training mode. State is an argument and a result of `forward`; dropout happens when `forward`
is given a random generator, and not otherwise.
"""

from __future__ import annotations  # naming numpy.random.Generator would import numpy.random: 13 ms

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from minrnn import backend, kernels
from minrnn.backend import Array
from minrnn.kernels.dropout import DropoutCache
from minrnn.kernels.linear import LinearCache
from minrnn.kernels.softmax import SoftmaxCrossEntropyCache, SoftmaxWorkspace
from minrnn.model.initialisation import initial_value
from minrnn.model.parameters import Parameters

LayerState = tuple[Array, ...]  # (h,) or (h, c), each (B,H)
State = tuple[LayerState, ...]  # one entry a layer, the lowest first


DROPOUT_PLACES = ("between,decoder", "between")


class Cell(NamedTuple):
    """How the model calls the kernels of one kind of cell."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    step_forward: Callable[..., Any]
    workspace: Callable[..., Any]
    stepper: Callable[..., kernels.Stepper]
    gates: int  # blocks of width H in Wx
    state: tuple[str, ...]
    params: tuple[str, ...]


CELLS = {
    "lstm": Cell(
        kernels.lstm_forward,
        kernels.lstm_backward,
        kernels.lstm_step_forward,
        kernels.lstm_workspace,
        kernels.lstm_stepper,
        4,
        ("h", "c"),
        ("Wx", "Wh", "b"),
    ),
    "gru": Cell(
        kernels.gru_forward,
        kernels.gru_backward,
        kernels.gru_step_forward,
        kernels.gru_workspace,
        kernels.gru_stepper,
        3,
        ("h",),
        ("Wx", "Wh", "b", "bhn"),
    ),
    "gru-before": Cell(
        kernels.gru_before_forward,
        kernels.gru_before_backward,
        kernels.gru_before_step_forward,
        kernels.gru_before_workspace,
        kernels.gru_before_stepper,
        3,
        ("h",),
        ("Wx", "Wh", "b"),
    ),
    "rnn": Cell(
        kernels.rnn_forward,
        kernels.rnn_backward,
        kernels.rnn_step_forward,
        kernels.rnn_workspace,
        kernels.rnn_stepper,
        1,
        ("h",),
        ("Wx", "Wh", "b"),
    ),
}


class CharRNNWorkspace(NamedTuple):
    """The buffers of every layer for one (T, B)."""

    embedded: Array | None  # (T,B,E)
    layers: list[Any]
    logits: Array  # (T,B,V)
    dh: Array  # (T,B,H)  gradient of the decoder's input
    loss: SoftmaxWorkspace


class CharRNNCache(NamedTuple):
    """What `backward` needs, open to the reader: the cache of every kernel that `forward` called."""

    embedding: LinearCache | None
    layers: list[Any]  # an LSTMCache, GRUCache or RNNCache for each layer
    dropout: list[DropoutCache]  # after each layer
    decoder: LinearCache
    loss: SoftmaxCrossEntropyCache


class CharRNN:
    """A stacked character-level LSTM, GRU or simple RNN.

    vocab_size V: the number of characters. hidden_size H and num_layers describe the stack; cell is "lstm", "gru",
    "gru-before" (char-rnn's GRU, with the reset before the product) or "rnn" (whose nonlinearity is "tanh" or "relu").
    embedding_size 0 means one-hot input. dropout: the probability with which an output of a layer is dropped on its way
    up, into the next layer or the decoder, or with dropout_places "between" (PyTorch, fast.ai) into the next layer
    alone; the recurrent path is never dropped. init: see minrnn.model.initialisation; forget_bias is added to the
    forget gate's bias of an LSTM. dtype "float32" or "float64"; device "numpy", "cupy" or "cupy:N".

    `params` and `grads` map names ("embedding.W", "rnn.0.Wx", "rnn.0.Wh", "rnn.0.b", for a GRU "rnn.0.bhn", …,
    "decoder.W", "decoder.b") to arrays, views of the vectors `params.flat` and `grads.flat`. Raises ValueError for
    arguments that make no sense, BackendError for a device that is not there.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        hidden_size: int = 128,
        num_layers: int = 2,
        cell: str = "lstm",
        nonlinearity: str = "tanh",
        embedding_size: int = 0,
        dropout: float = 0.0,
        dropout_places: str = "between,decoder",
        init: str = "uniform",
        forget_bias: float = 1.0,
        seed: int = 0,
        dtype: str = "float32",
        device: str = "numpy",
    ) -> None:
        for name, value, least in (
            ("vocab_size", vocab_size, 1),
            ("hidden_size", hidden_size, 1),
            ("num_layers", num_layers, 1),
            ("embedding_size", embedding_size, 0),
        ):
            if value < least:
                raise ValueError(f"{name} = {value} must be at least {least}")
        if cell not in CELLS:
            raise ValueError(f"cell {cell!r} is unknown: use one of {', '.join(CELLS)}")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity {nonlinearity!r} is unknown: use 'tanh' or 'relu'")
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout = {dropout} must lie in [0, 1)")
        if dropout_places not in DROPOUT_PLACES:
            raise ValueError(
                f"dropout_places {dropout_places!r} is unknown: use one of {', '.join(map(repr, DROPOUT_PLACES))}"
            )
        if dtype not in ("float32", "float64"):
            raise ValueError(f"dtype {dtype!r} is unknown: use 'float32' or 'float64'")
        if init == "identity" and cell != "rnn":
            raise ValueError(
                f"init 'identity' makes a plain recurrence start as a copy; it has no meaning for {cell!r}"
            )
        self.vocab_size, self.hidden_size, self.num_layers = vocab_size, hidden_size, num_layers
        self.cell, self.nonlinearity, self.embedding_size, self.dropout = cell, nonlinearity, embedding_size, dropout
        self.dropout_places = dropout_places
        self.dtype, self.backend = dtype, backend.get(device)
        self.params = Parameters(self._shapes(), self.backend, dtype)
        self.grads = Parameters(self._shapes(), self.backend, dtype)
        self._workspaces: dict[tuple[int, int], CharRNNWorkspace] = {}
        self._initialise(init, forget_bias, self.backend.rng(seed))

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that make a model of the same shape; the device is left to whoever loads it."""
        names = (
            "vocab_size",
            "hidden_size",
            "num_layers",
            "cell",
            "nonlinearity",
            "embedding_size",
            "dropout",
            "dropout_places",
            "dtype",
        )
        return {name: getattr(self, name) for name in names}

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        V, E, H, G = self.vocab_size, self.embedding_size, self.hidden_size, CELLS[self.cell].gates
        shapes: dict[str, tuple[int, ...]] = {"embedding.W": (V, E)} if E else {}
        for k in range(self.num_layers):
            D = H if k else E or V
            of = {"Wx": (D, G * H), "Wh": (H, G * H), "b": (G * H,), "bhn": (H,)}
            shapes |= {f"rnn.{k}.{name}": of[name] for name in CELLS[self.cell].params}
        return shapes | {"decoder.W": (H, V), "decoder.b": (V,)}

    @property
    def _apart(self) -> int:
        """How many entries at the end of b have their second bias apart: block n of a GRU with a bhn."""
        return self.hidden_size if "bhn" in CELLS[self.cell].params else 0

    def _initialise(self, init: str, forget_bias: float, rng: np.random.Generator) -> None:
        H = self.hidden_size
        for name, shape in self.params.shapes.items():
            value = initial_value(name, shape, init=init, hidden_size=H, apart=self._apart, rng=rng)
            if self.cell == "lstm" and name.startswith("rnn.") and name.endswith(".b"):
                if init == "char-rnn":  # there the forget gate has one random bias and one that is set
                    value[H : 2 * H] = rng.uniform(-0.08, 0.08, H)
                value[H : 2 * H] += forget_bias
            with self.backend.scope():
                self.params[name][...] = self.backend.from_host(value, self.dtype)

    def zero_state(self, batch_size: int) -> State:
        """The state before any text: zeros, (batch_size, H) for h, and c of an LSTM, in every layer."""
        shape = batch_size, self.hidden_size
        with self.backend.scope():
            zeros = partial(self.backend.xp.zeros, shape, self.dtype)
            return tuple(tuple(zeros() for _ in CELLS[self.cell].state) for _ in range(self.num_layers))

    def second_biases(self) -> tuple[slice, ...]:
        """Where in `params.flat` a bias is what two make in PyTorch and char-rnn: for Optimizer.twice.

        The biases b of all layers, but not the last block of a GRU's, whose second bias is bhn, a parameter of its own.
        """
        parts = [self.params.part(f"rnn.{k}.b") for k in range(self.num_layers)]
        return tuple(slice(part.start, part.stop - self._apart) for part in parts)

    def layer_params(self, k: int) -> list[Array]:
        """The parameters of layer k in the order in which its kernels take them."""
        return [self.params[f"rnn.{k}.{name}"] for name in CELLS[self.cell].params]

    def workspace(self, T: int, B: int) -> CharRNNWorkspace:
        """The buffers for T steps of a batch of B; the last few sizes are kept."""
        if (T, B) not in self._workspaces:
            while len(self._workspaces) >= 3:  # training, validation, and the shorter chunk at an end
                self._workspaces.pop(next(iter(self._workspaces)))
            self._workspaces[T, B] = self._make_workspace(T, B)
        return self._workspaces[T, B]

    def _make_workspace(self, T: int, B: int) -> CharRNNWorkspace:
        make, V, H, E = CELLS[self.cell].workspace, self.vocab_size, self.hidden_size, self.embedding_size
        layers = []
        for k in range(self.num_layers):
            Wx, Wh, *_ = self.layer_params(k)
            layers.append(make(T, B, Wx, Wh, needs_dx=k > 0 or E > 0))
        with self.backend.scope():
            empty = self.backend.xp.empty
            logits = empty((T, B, V), self.dtype)
            embedded = empty((T, B, E), self.dtype) if E else None
            dh = empty((T, B, H), self.dtype)
        return CharRNNWorkspace(embedded, layers, logits, dh, kernels.softmax_workspace(T, B, V, logits))

    def forward(
        self,
        x: Array,
        targets: Array,
        state: State | None = None,
        *,
        mask: Array | None = None,
        rng: np.random.Generator | None = None,
    ) -> tuple[Array, State, CharRNNCache]:
        """The loss of one chunk of text.

        x, targets (T,B): integer ids of the characters and of those that follow them. state: what the previous chunk
        returned, or None for zeros. mask (T,B): weights of the positions in the loss, None for all alike. rng: a host
        generator that draws the dropout masks; without it nothing is dropped.

        Returns the mean loss in nats per character (a number on the device), the state after the last character (new
        arrays), and the cache, which is good until the next forward or backward of the same (T, B).
        """
        T, B = x.shape
        cell, ws = CELLS[self.cell], self.workspace(T, B)
        run = partial(cell.forward, nonlinearity=self.nonlinearity) if self.cell == "rnn" else cell.forward
        state = self.zero_state(B) if state is None else state
        p = 0.0 if rng is None else self.dropout
        rates = [p] * (self.num_layers - 1) + [0.0 if self.dropout_places == "between" else p]
        with self.backend.scope():
            h, embedding = x, None
            if self.embedding_size:
                h, embedding = kernels.linear_forward(x, self.params["embedding.W"], out=ws.embedded)  # (T,B,E)
            layers, dropouts, new_state = [], [], []
            for k in range(self.num_layers):
                h, *after, cache = run(h, *state[k], *self.layer_params(k), ws=ws.layers[k])  # (T,B,H)
                h, dropped = kernels.dropout_forward(h, rates[k], rng)  # (T,B,H)
                layers.append(cache)
                dropouts.append(dropped)
                new_state.append(tuple(after))
            logits, decoder = kernels.linear_forward(
                h, self.params["decoder.W"], self.params["decoder.b"], out=ws.logits, dx=ws.dh
            )  # (T,B,V)
            loss, entropy = kernels.softmax_cross_entropy_forward(logits, targets, mask, ws=ws.loss)  # ()
        return loss, tuple(new_state), CharRNNCache(embedding, layers, dropouts, decoder, entropy)

    def gradient(
        self,
        x: Array,
        targets: Array,
        state: State | None = None,
        *,
        dloss: float = 1.0,
        rng: np.random.Generator | None = None,
    ) -> tuple[Array, State]:
        """forward and backward: fills `grads` with the gradient of dloss · loss; returns the loss and the state."""
        loss, after, cache = self.forward(x, targets, state, rng=rng)
        self.backward(cache, dloss)
        return loss, after

    def nll(self, x: Array, targets: Array, state: State | None = None) -> tuple[Array, State]:
        """forward for evaluation: the nats of every character of `targets` (T,B), and the state; nothing is dropped."""
        _, after, cache = self.forward(x, targets, state)
        return cache.loss.nll, after

    def backward(self, cache: CharRNNCache, dloss: float = 1.0, dstate: State | None = None) -> State:
        """Fill `grads` with the gradients of dloss · loss, and return that of the initial state.

        `dloss` scales everything: T instead of 1 makes the loss a sum over time, as in char-rnn. `dstate` is the
        gradient of the final state, None for zeros: pass what the backward of the following chunk returned, and the
        gradients of chunks add up to those of the whole text.
        """
        cell, g = CELLS[self.cell], self.grads
        none: LayerState = (None,) * len(cell.state)
        dstate0: list[LayerState] = []
        with self.backend.scope():
            dlogits, _, _ = kernels.softmax_cross_entropy_backward(dloss, cache.loss)  # (T,B,V)
            out = g["decoder.W"], g["decoder.b"]
            dh, _, _ = kernels.linear_backward(dlogits, cache.decoder, out=out)  # (T,B,H)
            for k in reversed(range(self.num_layers)):
                dh, _, _ = kernels.dropout_backward(dh, cache.dropout[k])  # (T,B,H)
                out = tuple(g[f"rnn.{k}.{name}"] for name in cell.params)
                dfinal = none if dstate is None else dstate[k]
                dh, *d0 = cell.backward(dh, *dfinal, cache.layers[k], out=out)  # (T,B,H), then (T,B,D) or None
                dstate0.append(tuple(d0[: len(cell.state)]))
            if cache.embedding is not None:
                kernels.linear_backward(dh, cache.embedding, out=(g["embedding.W"], None))
        return tuple(reversed(dstate0))
