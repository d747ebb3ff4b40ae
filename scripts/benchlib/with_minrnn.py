"""minrnn's side: one update as minrnn.train makes it, float32, ids as input, the state carried on."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchlib.configurations import CLIP_NORM, LEARNING_RATE, Configuration
from benchlib.timing import peak_memory, sgemm_gflops, time_steps
from minrnn import CharRNN, __version__
from minrnn.optim import Adam, clip_grad_norm
from minrnn.parallel import processes_for, sharing
from minrnn.sample import Sampler, sample_rng


def versions() -> dict[str, str]:
    """Of the package and of NumPy with its BLAS."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {"minrnn": __version__, "numpy": f"{np.__version__} ({blas['name']} {blas['version']})"}


def make_model(c: Configuration) -> CharRNN:
    """The network, freshly initialised."""
    return CharRNN(c.vocab_size, hidden_size=c.hidden_size, num_layers=c.num_layers, cell=c.cell)


def train(configuration: dict[str, Any], variant: str, sharing: Callable[..., Any] = sharing) -> dict[str, Any]:
    """Time one training step, then the SGEMM rate in the same process. `sharing` says who shares the step."""
    c = Configuration(**configuration)
    model, optimizer = make_model(c), Adam(LEARNING_RATE)
    rng = np.random.default_rng(0)
    chunks = itertools.cycle(rng.integers(c.vocab_size, size=(c.chunks, 2, c.seq_length, c.batch_size)))
    state, loss = None, 0.0

    with sharing(model, c.seq_length, c.batch_size) as engine:

        def step() -> None:
            nonlocal state, loss
            x, y = next(chunks)  # (T,B) each
            value, state = engine.gradient(x, y, state)
            clip_grad_norm(model.grads.flat, CLIP_NORM)
            optimizer.step(model.params.flat, model.grads.flat)
            loss = float(value)

        result = time_steps(step)
    others = processes_for(model, c.seq_length, c.batch_size) - 1
    return result | {"peak_mb": peak_memory(others) / 1e6, "loss": loss, "gflops": sgemm_gflops()}


def sample(configuration: dict[str, Any], variant: str) -> dict[str, Any]:
    """Time one step of sampling, a character of every text, with the softmax and the draw."""
    c = Configuration(**configuration)
    rngs = [sample_rng(0, number) for number in range(c.batch_size)]
    characters = Sampler(make_model(c)).generate_batch([0], 10**9, rngs=rngs)
    return time_steps(lambda: next(characters), warmup=100, least=500)
