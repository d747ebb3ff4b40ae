"""minrnn's side: one update as minrnn.train makes it, float32, ids as input, the state carried on."""

import itertools
from typing import Any

import numpy as np

from benchlib.configurations import CLIP_NORM, LEARNING_RATE, Configuration
from benchlib.timing import sgemm_gflops, time_steps
from minrnn import CharRNN, __version__
from minrnn.optim import Adam, clip_grad_norm
from minrnn.sample import Sampler


def versions() -> dict[str, str]:
    """Of the package and of NumPy with its BLAS."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {"minrnn": __version__, "numpy": f"{np.__version__} ({blas['name']} {blas['version']})"}


def make_model(c: Configuration) -> CharRNN:
    """The network, freshly initialised."""
    return CharRNN(c.vocab_size, hidden_size=c.hidden_size, num_layers=c.num_layers, cell=c.cell)


def train(configuration: dict[str, Any], variant: str) -> dict[str, Any]:
    """Time one training step, then the SGEMM rate in the same process."""
    c = Configuration(**configuration)
    model, optimizer = make_model(c), Adam(LEARNING_RATE)
    rng = np.random.default_rng(0)
    chunks = itertools.cycle(rng.integers(c.vocab_size, size=(c.chunks, 2, c.seq_length, c.batch_size)))
    state, loss = None, 0.0

    def step() -> None:
        nonlocal state, loss
        x, y = next(chunks)  # (T,B) each
        value, state, cache = model.forward(x, y, state)
        model.backward(cache)
        clip_grad_norm(model.grads.flat, CLIP_NORM)
        optimizer.step(model.params.flat, model.grads.flat)
        loss = float(value)

    result = time_steps(step)
    return result | {"loss": loss, "gflops": sgemm_gflops()}


def sample(configuration: dict[str, Any], variant: str) -> dict[str, Any]:
    """Time one sampled character, with the softmax and the draw. The batch is 1: Sampler knows no other."""
    c = Configuration(**configuration)
    characters = Sampler(make_model(c)).generate([0], 10**9, rng=np.random.default_rng(0))
    return time_steps(lambda: next(characters), warmup=100, least=500)
