"""Steps of gpu_check that measure. Times in µs and ms: `cpu` until the host is free again, `all` until it is done."""

import itertools
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchlib.configurations import CLIP_NORM, LEARNING_RATE, TRAINING, Configuration, step_flops

from gpulib.checks import Found, Subject
from minrnn import CharRNN, backend
from minrnn.backend import Backend
from minrnn.graphs import Captured
from minrnn.kernels import lstm_backward, lstm_forward, lstm_workspace
from minrnn.kernels.lstm import lstm_bodies
from minrnn.optim import Adam, clip_grad_norm
from minrnn.sample import Sampler, sample_rng

LARGE = (
    Configuration("lstm", 2, 512, 100, 64, 50),
    Configuration("lstm", 2, 512, 100, 64, 100),
    Configuration("lstm", 2, 1024, 100, 128, 100),
)
TINY = (Configuration("lstm", 2, 8, 11, 3, 4),)


def timed(bk: Backend, call: Callable[[], Any], number: int) -> tuple[float, float]:
    """Seconds of one call: until the host is free again, and until the device is done."""
    call()
    bk.synchronize()
    begin = time.perf_counter()
    for _ in range(number):
        call()
    free = time.perf_counter()
    bk.synchronize()
    return (free - begin) / number, (time.perf_counter() - begin) / number


def calls(s: Subject) -> Found:
    """µs of the things that a time step is made of, at B = 64 and H = 512."""
    bk, (B, H) = s.bk, (3, 4) if s.small else (64, 512)
    xp, number = bk.xp, 3 if s.small else 1000
    with bk.scope():
        Wx, Wh = (bk.from_host(np.zeros((H, 4 * H), np.float32)) for _ in range(2))
        b, h0 = bk.from_host(np.zeros(4 * H, np.float32)), bk.from_host(np.zeros((B, H), np.float32))
        ws = lstm_workspace(1, B, Wx, Wh)
        *_, cache = lstm_forward(h0[None], h0, h0, Wx, Wh, b, ws=ws)
        lstm_backward(None, h0, h0, cache)
        _, state, _, sigmoids_backward = bk.fused(lstm_bodies)
        (t,), bias = ws.steps, b.reshape(4, 1, H)[3]
        acts: dict[str, Callable[[], Any]] = {
            "a view": lambda: ws.gates[0, 1],
            "backend.of": lambda: backend.of(Wh, h0),
            "a ufunc": lambda: xp.tanh(t.c, out=t.tanh_c),
            "a fused body, 11 arrays": lambda: state(
                t.a_g, ws.v_g, bias, t.i, t.f, t.o, t.g, t.c_prev, t.c, t.tanh_c, t.h
            ),
            "a fused body, 4 arrays": lambda: sigmoids_backward(ws.p, t.ifo, ws.scratch, t.a_ifo),
            "h Wh": lambda: bk.matmul(t.h_prev, Wh, out=ws.v),
            "an upload of ids": lambda: bk.from_host(np.zeros((100, B), np.intp)),
        }
        found: Found = {}
        for name, act in acts.items():
            cpu, all_ = timed(bk, act, number)
            found |= {f"{name}, cpu": 1e6 * cpu, f"{name}, all": 1e6 * all_}
    return found | {"ok": True}


def _update(bk: Backend, c: Configuration, graphs: bool) -> tuple[Callable[[], Any], CharRNN | Captured]:
    """An update as minrnn.train makes it, and what makes its gradients; its loss is not read."""
    model = CharRNN(
        c.vocab_size, hidden_size=c.hidden_size, num_layers=c.num_layers, cell=c.cell, seed=0, device=bk.name
    )
    engine = Captured(model) if graphs else model
    optimizer, rng = Adam(LEARNING_RATE), np.random.default_rng(0)
    chunks = itertools.cycle(rng.integers(c.vocab_size, size=(4, 2, c.seq_length, c.batch_size)))
    state: Any = None

    def step() -> None:
        nonlocal state
        x, y = (bk.from_host(ids) for ids in next(chunks))
        _, state = engine.gradient(x, y, state)
        clip_grad_norm(model.grads.flat, CLIP_NORM)
        optimizer.step(model.params.flat, model.grads.flat)

    return step, engine


def updates(s: Subject) -> Found:
    """ms of an update, with what it makes of the arithmetic, beside PyTorch's where there is one with CUDA.

    Kernel by kernel, and as a CUDA graph where that is possible; `graph` says what became of it.
    """
    found: Found = {}
    for c in TINY if s.small else (*TRAINING, *LARGE):
        for name in (c.name, f"{c.name}, graph"):
            step, engine = _update(s.bk, c, name != c.name)
            for _ in range(3):
                step()
            cpu, all_ = timed(s.bk, step, 3 if s.small else 20)
            found[f"{name}, cpu ms"], found[f"{name}, ms"] = 1e3 * cpu, 1e3 * all_
            found[f"{name}, TFLOP/s"] = step_flops(c) / all_ / 1e12
            if isinstance(engine, Captured):
                found[name] = engine.note
        if not s.dry:
            found |= {f"{c.name}, {name}": value for name, value in _torch(s.torch_python, c).items()}
    return found | {"ok": True}


def _torch(python: str, c: Configuration) -> Found:
    here = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(here)}
    command = [python, "-m", "gpulib.with_torch", json.dumps(c.to_json())]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
    return json.loads(done.stdout) if done.returncode == 0 else {"PyTorch": "none"}


def sampling(s: Subject) -> Found:
    """Characters a second of one text and of 64, LSTM 2 × 512."""
    model = CharRNN(65, hidden_size=8 if s.small else 512, seed=0, device=s.bk.name)
    found: Found = {}
    for texts, number in ((1, 300), (64, 300)):
        rngs = [sample_rng(0, k) for k in range(texts)]
        characters = Sampler(model).generate_batch([0], 10**9, rngs=rngs)
        _, seconds = timed(s.bk, lambda: next(characters), 3 if s.small else number)  # noqa: B023
        found[f"{texts} at once, characters/s"] = texts / seconds
    return found | {"ok": True}
