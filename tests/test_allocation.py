"""A training step in its steady state allocates nothing large: every array of the network's size is made once.

Peaks are taken line by line, so that an array that lives for one call only is seen too.
"""

import sys
import tracemalloc
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

import minrnn
from minrnn import CharRNN
from minrnn.optim import OPTIMIZERS, SGD, Constant
from minrnn.text import FixedLength, StreamBatches, streams
from minrnn.train import Trainer

PACKAGE = str(Path(minrnn.__file__).parent)
# A state (B,H) has 16 kB and is handed out as a copy; T·B ids have 20 kB. Everything else is far larger: T·B·H numbers
# 320 kB, T·B·V 0.5 MB, a matrix 256 kB, one layer's gates 1.3 MB.
T, B, H, V = 20, 32, 128, 200
LIMIT = 65536


def trainer(*, cell="lstm", optimizer=None, V=V, **options):
    model_options = {name: options.pop(name) for name in ("embedding_size", "dropout") if name in options}
    model = CharRNN(V, hidden_size=H, cell=cell, **model_options)
    ids = np.random.default_rng(0).zipf(1.3, size=3 * B * (T + 1)).clip(max=V) - 1  # some characters are very common
    batches = StreamBatches(streams(ids.astype("uint16"), B), FixedLength(T), seed=3)
    return Trainer(model, batches, optimizer or SGD(0.1), Constant(0.1), **options)


def largest_by_line(function):
    """Bytes that each line of the package needs at its worst beyond what was there before it, in one call."""
    worst, before, last = defaultdict(int), 0, None

    def tracer(frame, event, arg):
        nonlocal before, last
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if last is not None:
            worst[last] = max(worst[last], tracemalloc.get_traced_memory()[1] - before)
        last = frame.f_code.co_filename, frame.f_lineno
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        return tracer

    tracemalloc.start()
    sys.settrace(tracer)
    try:
        function()
    finally:
        sys.settrace(None)
        tracemalloc.stop()
    return worst


def check(t):
    for _ in range(2):
        t.train_step()
    worst = largest_by_line(t.train_step)
    assert len(worst) > 50, "nothing was traced"
    too_large = {f"{Path(file).name}:{line}": size for (file, line), size in worst.items() if size > LIMIT + 4096}
    assert not too_large, too_large


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize(
    "options", [{}, {"embedding_size": 48}, {"clip_norm": 0.1, "clip_value": 0.01}], ids=["ids", "embedding", "clipped"]
)
def test_a_step_allocates_nothing_large(cell, options):
    check(trainer(cell=cell, **options))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_allocates_nothing_large(name):
    check(trainer(optimizer=OPTIMIZERS[name](0.01, weight_decay=0.1)))


def test_the_measurement_sees_an_array_that_lives_for_one_call_only():
    t = trainer()
    t.schedule = lambda step: 0.1 + 0.0 * float(abs(t.model.grads.flat).max())
    t.train_step()
    worst = largest_by_line(t.train_step)
    assert max(worst.values()) >= t.model.grads.flat.nbytes
