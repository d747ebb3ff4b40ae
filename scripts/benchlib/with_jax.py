"""JAX's side: lax.scan over time, value_and_grad, clipping and Adam in one jitted function whose arguments are donated.

The input product of a whole sequence is taken out of the scan, as minrnn does. The variants are the input of the lowest
layer: rows of Wx gathered, or a product with one-hot vectors.
"""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from benchlib.configurations import CLIP_NORM, GATES, LEARNING_RATE, Configuration
from benchlib.timing import time_steps

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


def lstm(state: tuple[Array, ...], a: Array, p: dict[str, Array]) -> tuple[tuple[Array, ...], Array]:
    """One step from the state (h, c) with the input's part a (B,4H) of the gates i f o g."""
    h, c = state
    a = a + h @ p["Wh"]
    i, f, o = jnp.split(jax.nn.sigmoid(a[:, : 3 * h.shape[1]]), 3, axis=1)
    c = f * c + i * jnp.tanh(a[:, 3 * h.shape[1] :])
    h = o * jnp.tanh(c)
    return (h, c), h


def gru(state: tuple[Array, ...], a: Array, p: dict[str, Array]) -> tuple[tuple[Array, ...], Array]:
    """One step from the state (h,) with a (B,3H) of the gates r z n; reset after the product."""
    (h,) = state
    H = h.shape[1]
    u = h @ p["Wh"]
    r, z = jnp.split(jax.nn.sigmoid(a[:, : 2 * H] + u[:, : 2 * H]), 2, axis=1)
    n = jnp.tanh(a[:, 2 * H :] + r * (u[:, 2 * H :] + p["bhn"]))
    h = n + z * (h - n)
    return (h,), h


def rnn(state: tuple[Array, ...], a: Array, p: dict[str, Array]) -> tuple[tuple[Array, ...], Array]:
    """One step from the state (h,) with a (B,H)."""
    (h,) = state
    h = jnp.tanh(a + h @ p["Wh"])
    return (h,), h


CELLS = {"lstm": lstm, "gru": gru, "rnn": rnn}


def versions() -> dict[str, str]:
    """Of JAX, and on what it computes."""
    return {"jax": f"{jax.__version__} ({jax.default_backend()})"}


def train(configuration: dict[str, Any], variant: str) -> dict[str, Any]:
    """Time one training step; the first of the unmeasured ones compiles."""
    c = Configuration(**configuration)
    cell = CELLS[c.cell]

    def loss(params: Any, x: Array, y: Array, state: Any) -> tuple[Array, Any]:
        after, h = [], x
        for k, p in enumerate(params["layers"]):
            if k == 0 and variant == "gather":
                a = p["Wx"][x] + p["b"]  # (T,B,GH)
            else:
                a = (h if k else jax.nn.one_hot(x, c.vocab_size)) @ p["Wx"] + p["b"]
            final, h = lax.scan(lambda s, a, p=p: cell(s, a, p), state[k], a)  # (T,B,H)
            after.append(final)
        logp = jax.nn.log_softmax(h @ params["W"] + params["b"])  # (T,B,V)
        return -jnp.take_along_axis(logp, y[..., None], axis=-1).mean(), after

    def update(params: Any, moments: Any, state: Any, x: Array, y: Array) -> tuple[Any, Any, Any, Array]:
        (value, state), grads = jax.value_and_grad(loss, has_aux=True)(params, x, y, state)
        norm = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(grads)))
        scale = jnp.minimum(1.0, CLIP_NORM / (norm + 1e-6))
        t, m, v = moments
        t = t + 1
        m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * scale * g, m, grads)
        v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * (scale * g) ** 2, v, grads)
        size, root = LEARNING_RATE / (1 - BETA1**t), jnp.sqrt(1 - BETA2**t)
        params = jax.tree.map(lambda p, m, v: p - size * m / (jnp.sqrt(v) / root + EPS), params, m, v)
        return params, (t, m, v), state, value

    params = _initial(c)
    moments = jnp.zeros(()), jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params)
    names = 2 if c.cell == "lstm" else 1
    zeros = [tuple(jnp.zeros((c.batch_size, c.hidden_size)) for _ in range(names)) for _ in range(c.num_layers)]
    shape = c.chunks, 2, c.seq_length, c.batch_size
    chunks = itertools.cycle(list(jax.random.randint(jax.random.key(1), shape, 0, c.vocab_size)))
    jitted = jax.jit(update, donate_argnums=(0, 1, 2))
    everything = (params, moments, zeros, jnp.zeros(()))

    def step() -> None:
        nonlocal everything
        x, y = next(chunks)
        everything = jax.block_until_ready(jitted(*everything[:3], x, y))

    return time_steps(step) | {"loss": float(everything[3])}


def _initial(c: Configuration) -> dict[str, Any]:
    H, G, bound = c.hidden_size, GATES[c.cell], c.hidden_size**-0.5
    keys = map(jax.random.fold_in, itertools.repeat(jax.random.key(0)), itertools.count())

    def uniform(*shape: int) -> Array:
        return jax.random.uniform(next(keys), shape, minval=-bound, maxval=bound)

    layers = []
    for k in range(c.num_layers):
        layer = {"Wx": uniform(H if k else c.vocab_size, G * H), "Wh": uniform(H, G * H), "b": uniform(G * H)}
        layers.append(layer | ({"bhn": uniform(H)} if c.cell == "gru" else {}))
    return {"layers": layers, "W": uniform(H, c.vocab_size), "b": uniform(c.vocab_size)}
