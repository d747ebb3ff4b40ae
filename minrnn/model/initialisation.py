"""Initial values of the parameters of a CharRNN, drawn on the host from one generator.

    scheme       cell weights (Wx, Wh)                biases                  decoder              embedding
    uniform      U(±1/√H)                             sum of two U(±1/√H)     U(±1/√H), bias too   N(0, 1)
    char-rnn     U(±0.08)                             sum of two U(±0.08)     U(±0.08), bias too   U(±0.08)
    normal       N(0, 0.01)                           0                       N(0, 0.01), bias 0   N(0, 0.01)
    orthogonal   Wx Glorot-uniform, Wh orthogonal,    0                       Glorot, bias 0       N(0, 1)
                 each gate's block by itself
    identity     Wx N(0, 0.001), Wh = I; cell "rnn"   0                       as uniform           N(0, 1)

`uniform` is that of PyTorch's nn.LSTM, nn.GRU and nn.RNN followed by nn.Linear; `char-rnn` that of karpathy/char-rnn;
`normal` that of min-char-rnn and d2l; `identity` that of Le, Jaitly & Hinton 2015 for relu. Where the program has two
biases and minrnn one, the one starts as the sum of both draws. Keras draws its orthogonal and Glorot matrices over all
gates at once; here every gate has its own.

The forget gate of an LSTM then receives `forget_bias` on top (char-rnn: one draw plus 1; Gers et al. 2000 for why).
"""

from __future__ import annotations  # naming numpy.random.Generator would import numpy.random: 13 ms

from collections.abc import Callable

import numpy as np

INITS = ("uniform", "char-rnn", "normal", "orthogonal", "identity")


def initial_value(
    name: str, shape: tuple[int, ...], *, init: str, hidden_size: int, apart: int, rng: np.random.Generator
) -> np.ndarray:
    """The float64 start value of the parameter `name` ("rnn.0.Wx", "decoder.b", …) under the scheme `init`.

    The last `apart` entries of the bias b of a cell have their second bias apart (bhn of a GRU) and are one draw, not a
    sum. Raises ValueError for an unknown scheme.
    """
    if init not in INITS:
        raise ValueError(f"init {init!r} is unknown: use one of {', '.join(INITS)}")
    owner, *_, kind = name.split(".")
    bound = 0.08 if init == "char-rnn" else 1 / np.sqrt(hidden_size)

    def uniform(*size: int) -> np.ndarray:
        return rng.uniform(-bound, bound, size)

    if owner == "embedding":
        return uniform(*shape) if init == "char-rnn" else rng.normal(0, 0.01 if init == "normal" else 1.0, shape)
    if init in ("uniform", "char-rnn"):
        return _two_biases(shape, apart, uniform) if kind == "b" and owner == "rnn" else uniform(*shape)
    if init == "normal":
        return rng.normal(0, 0.01, shape) if len(shape) == 2 else np.zeros(shape)
    if owner == "decoder" and init == "identity":
        return uniform(*shape)
    if len(shape) == 1:
        return np.zeros(shape)
    if init == "identity":
        return np.eye(hidden_size) if kind == "Wh" else rng.normal(0, 0.001, shape)
    blocks = [(shape[0], hidden_size)] * (shape[1] // hidden_size) if owner == "rnn" else [shape]
    draw = _orthogonal if kind == "Wh" else _glorot
    return np.concatenate([draw(block, rng) for block in blocks], axis=1)


def _two_biases(shape: tuple[int, ...], apart: int, uniform: Callable[..., np.ndarray]) -> np.ndarray:
    """b_ih + b_hh of a cell, but b_ih alone in the last entries, whose b_hh is a parameter of its own."""
    b, other = uniform(*shape), uniform(*shape)
    other[shape[0] - apart :] = 0
    return b + other


def _orthogonal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    q, r = np.linalg.qr(rng.standard_normal(shape))
    return q * np.sign(np.diag(r))  # without the signs Q would not be uniformly distributed


def _glorot(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    bound = np.sqrt(6 / sum(shape))
    return rng.uniform(-bound, bound, shape)
