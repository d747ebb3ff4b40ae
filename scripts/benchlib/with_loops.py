"""The program structure of min-char-rnn (Karpathy 2015), written anew from its equations.

One character at a time in a Python loop: one-hot column vectors, a dictionary entry for every step, a matrix-vector
product for every weight, an outer product added into every weight gradient, each entry clipped to ±5, Adagrad. The
published program is the simple RNN (variant "rnn", its `lossFun`); the variant "lstm" keeps the structure and changes
the cell, so that the network is the one that the other engines train. float64 and batches of one, as published.
"""

import itertools
from typing import Any

import numpy as np

from benchlib.configurations import GATES, Configuration
from benchlib.timing import time_steps

Arrays = dict[str, np.ndarray]


def rnn_step(p: Arrays, x: np.ndarray, state: Arrays) -> Arrays:
    """h = tanh(Wx x + Wh h + b), all columns."""
    return {"h": np.tanh(np.dot(p["Wx"], x) + np.dot(p["Wh"], state["h"]) + p["b"])}


def rnn_step_backward(p: Arrays, d: Arrays, now: Arrays, before: Arrays) -> tuple[np.ndarray, Arrays]:
    """The gradient of the pre-activation, and of the state before apart from what flows through Wh."""
    return (1 - now["h"] * now["h"]) * d["h"], {}


def lstm_step(p: Arrays, x: np.ndarray, state: Arrays) -> Arrays:
    """Gates i f o g from one pre-activation (4H,1); c = f c + i g; h = o tanh(c)."""
    a = np.dot(p["Wx"], x) + np.dot(p["Wh"], state["h"]) + p["b"]
    i, f, o, g = np.split(a, 4)
    i, f, o, g = 1 / (1 + np.exp(-i)), 1 / (1 + np.exp(-f)), 1 / (1 + np.exp(-o)), np.tanh(g)
    c = f * state["c"] + i * g
    return {"i": i, "f": f, "o": o, "g": g, "c": c, "h": o * np.tanh(c)}


def lstm_step_backward(p: Arrays, d: Arrays, now: Arrays, before: Arrays) -> tuple[np.ndarray, Arrays]:
    """The gradient of the pre-activation (4H,1), and of the state before apart from what flows through Wh."""
    i, f, o, g, tanh_c = now["i"], now["f"], now["o"], now["g"], np.tanh(now["c"])
    dc = d["c"] + d["h"] * o * (1 - tanh_c * tanh_c)
    di, df, do, dg = dc * g, dc * before["c"], d["h"] * tanh_c, dc * i
    da = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g * g)])
    return da, {"c": dc * f}


CELLS = {"rnn": (rnn_step, rnn_step_backward, ("h",)), "lstm": (lstm_step, lstm_step_backward, ("h", "c"))}


def loss_and_gradients(
    cell: str, p: Arrays, inputs: np.ndarray, targets: np.ndarray, state: Arrays
) -> tuple[float, Arrays, Arrays]:
    """The loss summed over time, the gradients of `p`, and the last state."""
    forward, backward, names = CELLS[cell]
    xs, probs, states, loss = {}, {}, {-1: state}, 0.0
    for t in range(len(inputs)):
        xs[t] = np.zeros((p["Wx"].shape[1], 1))
        xs[t][inputs[t]] = 1
        states[t] = forward(p, xs[t], states[t - 1])
        logits = np.dot(p["W"], states[t]["h"]) + p["by"]
        probs[t] = np.exp(logits) / np.sum(np.exp(logits))
        loss -= np.log(probs[t][targets[t], 0])
    grads = {name: np.zeros_like(value) for name, value in p.items()}
    d = {name: np.zeros_like(state[name]) for name in names}
    for t in reversed(range(len(inputs))):
        dlogits = np.copy(probs[t])
        dlogits[targets[t]] -= 1
        grads["W"] += np.dot(dlogits, states[t]["h"].T)
        grads["by"] += dlogits
        d["h"] = d["h"] + np.dot(p["W"].T, dlogits)
        da, carried = backward(p, d, states[t], states[t - 1])
        grads["Wx"] += np.dot(da, xs[t].T)
        grads["Wh"] += np.dot(da, states[t - 1]["h"].T)
        grads["b"] += da
        d = carried | {"h": np.dot(p["Wh"].T, da)}
    for grad in grads.values():
        np.clip(grad, -5, 5, out=grad)
    return loss, grads, states[len(inputs) - 1]


def versions() -> dict[str, str]:
    """Of NumPy."""
    return {"numpy of the loops": np.__version__}


def train(configuration: dict[str, Any], variant: str) -> dict[str, Any]:
    """Time one training step: loss, gradients, Adagrad."""
    c = Configuration(**configuration)
    H, V, T, rng = c.hidden_size, c.vocab_size, c.seq_length, np.random.default_rng(0)
    rows = GATES[variant] * H
    shapes = {"Wx": (rows, V), "Wh": (rows, H), "b": (rows, 1), "W": (V, H), "by": (V, 1)}
    p = {name: rng.standard_normal(shape) * 0.01 * (shape[1] > 1) for name, shape in shapes.items()}
    memory = {name: np.zeros_like(value) for name, value in p.items()}
    chunks = itertools.cycle(rng.integers(V, size=(c.chunks, 2, T)))
    state = {name: np.zeros((H, 1)) for name in CELLS[variant][2]}
    loss = 0.0

    def step() -> None:
        nonlocal state, loss
        total, grads, state = loss_and_gradients(variant, p, *next(chunks), state)
        for name, grad in grads.items():
            memory[name] += grad * grad
            p[name] += -0.1 * grad / np.sqrt(memory[name] + 1e-8)
        loss = float(total) / T

    return time_steps(step) | {"loss": loss}
