"""Two recurrences made from the small kernels of minrnn, and a network around either: the models of rungs 2 and 3.

Both turn a character x_t (its embedding) and the state h[t] into h[t+1] with two affine maps. They differ in how x_t
and h[t] come together:

    add       (1) u_t = relu(x_t Wi + bi)                 concat    (1) j_t = [h[t] x_t]
              (2) s_t = h[t] + u_t                                  (2) u_t = relu(j_t Wi + bi)
              (3) h[t+1] = tanh(s_t Wh + bh)                        (3) h[t+1] = tanh(u_t Wh + bh)

    x (T,B,E)   h0 (B,H)   Wi (E,H), for concat (H+E,H)   bi (H,)   Wh (H,H)   bh (H,)

`Network` has the interface of CharRNN, so that one training loop serves both. How such a cell is made, step by step, is
told in minrnn/tutorial.md.

What this is not: fast. A Python loop calls four kernels a step and keeps the cache of each.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minrnn import backend
from minrnn import kernels as k
from minrnn.backend import Array
from minrnn.model import Parameters


class LoopCache(NamedTuple):
    """What the backward of either cell needs: the caches of its kernels, one of each for every step."""

    h0: Array  # (B,H)
    input: list[Any]  # linear and relu, which for the add cell serve all steps at once
    recurrent: list[Any]  # linear and tanh


def add_forward(x: Array, h0: Array, Wi: Array, bi: Array, Wh: Array, bh: Array) -> tuple[Array, Array, LoopCache]:
    """All states h (T,B,H), the last one (B,H), and the cache; h0 is added to what the first character gives."""
    a, linear = k.linear_forward(x, Wi, bi)
    u, relu = k.relu_forward(a)  # (1)                                                         (T,B,H)
    h, history, recurrent = h0, [], []
    for u_t in u:
        a, affine = k.linear_forward(h + u_t, Wh, bh)  # (2)                                   (B,H)
        h, tanh = k.tanh_forward(a)  # (3)                                                     (B,H)
        history.append(h)
        recurrent.append((affine, tanh))
    return np.stack(history), h.copy(), LoopCache(h0, [(linear, relu)], recurrent)


def add_backward(
    dh: Array | None, dhT: Array | None, cache: LoopCache
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Gradients of x, h0, Wi, bi, Wh, bh for the upstreams of all states and of the last; None means zeros."""
    flowing, dWh, dbh, du = np.zeros_like(cache.h0) if dhT is None else dhT, 0.0, 0.0, []
    for t in reversed(range(len(cache.recurrent))):
        affine, tanh = cache.recurrent[t]
        (da,) = k.tanh_backward(flowing if dh is None else flowing + dh[t], tanh)  # reverses (3)
        flowing, dW, db = k.linear_backward(da, affine)  # reverses (3), into s_t                  (B,H)
        dWh, dbh = dWh + dW, dbh + db
        du.append(flowing)  # reverses (2): a sum hands its gradient to both                   (B,H)
    linear, relu = cache.input[0]
    (da,) = k.relu_backward(np.stack(du[::-1]), relu)  # reverses (1)                          (T,B,H)
    dx, dWi, dbi = k.linear_backward(da, linear)
    return dx, flowing, dWi, dbi, dWh, dbh


def concat_forward(x: Array, h0: Array, Wi: Array, bi: Array, Wh: Array, bh: Array) -> tuple[Array, Array, LoopCache]:
    """All states h (T,B,H), the last one (B,H), and the cache; the rows of Wi are those of h, then those of x."""
    h, history, inputs, recurrent = h0, [], [], []
    for x_t in x:
        a, linear = k.linear_forward(np.concatenate([h, x_t], axis=1), Wi, bi)  # (1)          (B,H)
        u, relu = k.relu_forward(a)  # (2)                                                     (B,H)
        a, affine = k.linear_forward(u, Wh, bh)
        h, tanh = k.tanh_forward(a)  # (3)                                                     (B,H)
        history.append(h)
        inputs.append((linear, relu))
        recurrent.append((affine, tanh))
    return np.stack(history), h.copy(), LoopCache(h0, inputs, recurrent)


def concat_backward(
    dh: Array | None, dhT: Array | None, cache: LoopCache
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Gradients of x, h0, Wi, bi, Wh, bh for the upstreams of all states and of the last; None means zeros."""
    flowing, dWi, dbi, dWh, dbh, dx = np.zeros_like(cache.h0) if dhT is None else dhT, 0.0, 0.0, 0.0, 0.0, []
    H = cache.h0.shape[1]
    for t in reversed(range(len(cache.recurrent))):
        (linear, relu), (affine, tanh) = cache.input[t], cache.recurrent[t]
        (da,) = k.tanh_backward(flowing if dh is None else flowing + dh[t], tanh)  # reverses (3)
        du, dW, db = k.linear_backward(da, affine)  # reverses (3), into u_t                       (B,H)
        dWh, dbh = dWh + dW, dbh + db
        (da,) = k.relu_backward(du, relu)  # reverses (2)                                      (B,H)
        dj, dW, db = k.linear_backward(da, linear)  # reverses (2), into j_t                       (B,H+E)
        dWi, dbi = dWi + dW, dbi + db
        flowing = dj[:, :H]  # reverses (1)                                                    (B,H)
        dx.append(dj[:, H:])  # reverses (1)                                                   (B,E)
    return np.stack(dx[::-1]), flowing, dWi, dbi, dWh, dbh


class Cell(NamedTuple):
    """A pair of functions as above, and how wide what Wi reads is."""

    forward: Callable[..., tuple[Array, Array, LoopCache]]
    backward: Callable[..., tuple[Array, ...]]
    input_width: Callable[[int, int], int]  # of E and H


ADD = Cell(add_forward, add_backward, lambda E, H: E)
CONCAT = Cell(concat_forward, concat_backward, lambda E, H: H + E)


class NetworkCache(NamedTuple):
    """The cache of every kernel that `forward` called."""

    embedding: Any
    cell: LoopCache
    decoder: Any
    loss: Any


class Network:
    """ids (T,B) → embedding → cell → decoder → cross-entropy, initialised as PyTorch does; used as a CharRNN is."""

    cell_params = ("Wi", "bi", "Wh", "bh")

    def __init__(
        self,
        cell: Cell,
        vocab_size: int,
        *,
        hidden_size: int,
        embedding_size: int,
        seed: int = 0,
        dtype: str = "float32",
    ) -> None:
        V, E, H = vocab_size, embedding_size, hidden_size
        D = cell.input_width(E, H)
        shapes = {"embedding.W": (V, E), "cell.Wi": (D, H), "cell.bi": (H,), "cell.Wh": (H, H), "cell.bh": (H,)}
        shapes |= {"decoder.W": (H, V), "decoder.b": (V,)}
        self.cell, self.hidden_size, self.dtype = cell, hidden_size, dtype
        self.params, self.grads = (Parameters(shapes, backend.get(), dtype) for _ in range(2))
        rng = np.random.default_rng(seed)
        for name, shape in shapes.items():
            bound = 1 / np.sqrt(D if name in ("cell.Wi", "cell.bi") else H)  # 1/√(inputs of the affine map)
            self.params[name][...] = (
                rng.normal(size=shape) if name == "embedding.W" else rng.uniform(-bound, bound, shape)
            )

    def second_biases(self) -> tuple[slice, ...]:
        """None: its affine maps have one bias each in PyTorch too."""
        return ()

    def forward(
        self, x: Array, targets: Array, state: Array | None = None, *, mask: Array | None = None, rng: Any = None
    ) -> tuple[Array, Array, NetworkCache]:
        """The mean loss of one chunk, the state after it and the cache, as CharRNN.forward; it drops nothing."""
        p = self.params
        state = np.zeros((x.shape[1], self.hidden_size), self.dtype) if state is None else state
        e, embedding = k.linear_forward(x, p["embedding.W"])  # (T,B,E)
        h, after, cell = self.cell.forward(e, state, *(p[f"cell.{name}"] for name in self.cell_params))  # (T,B,H)
        logits, decoder = k.linear_forward(h, p["decoder.W"], p["decoder.b"])  # (T,B,V)
        loss, entropy = k.softmax_cross_entropy_forward(logits, targets, mask)
        return loss, after, NetworkCache(embedding, cell, decoder, entropy)

    def backward(self, cache: NetworkCache) -> Array:
        """Fill `grads` with the gradients of the loss; returns that of the initial state."""
        g = self.grads
        dlogits, _, _ = k.softmax_cross_entropy_backward(1.0, cache.loss)
        dh, _, _ = k.linear_backward(dlogits, cache.decoder, out=(g["decoder.W"], g["decoder.b"]))
        de, dh0, *gradients = self.cell.backward(dh, None, cache.cell)
        for name, gradient in zip(self.cell_params, gradients, strict=True):
            g[f"cell.{name}"][...] = gradient
        k.linear_backward(de, cache.embedding, out=(g["embedding.W"], None))
        return dh0
