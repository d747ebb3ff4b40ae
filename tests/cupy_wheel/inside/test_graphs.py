"""Training steps captured by CuPy as graphs and launched again: the gradients are those of the model.

The library that minrnn.cublas asks for is hostcuda's. What CuPy refuses while a stream captures, it refuses here; what
CUDA itself refuses, tests/device knows.
"""

import cupy
import numpy as np
import pytest
from hostcuda import blas, kernels, runtime

from minrnn import CharRNN, backend, cublas
from minrnn.graphs import Captured

pytestmark = pytest.mark.skipif(not kernels.COMPILER, reason="needs g++")


@pytest.fixture
def library(monkeypatch):
    monkeypatch.setitem(cublas.libraries, "cupy", blas.Library)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "gru-before", "rnn"])
def test_graph_is_kept_and_gives_the_gradients_of_the_model(cell, dtype, library):
    found = []
    for device in ("numpy", "cupy:1"):
        model = CharRNN(7, hidden_size=4, cell=cell, dtype=dtype, device=device)
        bk, state, rng = model.backend, None, np.random.default_rng(0)
        step = Captured(model).gradient if bk.is_gpu else model.gradient
        for _ in range(5):
            loss, state = step(*(bk.from_host(ids) for ids in rng.integers(7, size=(2, 6, 3))), state)
            found.append([bk.to_host(loss), bk.to_host(model.grads.flat), bk.to_host(state[1][0])])
    assert step.__self__.note.startswith("CUDA graphs: "), step.__self__.note
    for expected, got in zip(found[:5], found[5:], strict=True):
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=2e-6 if dtype == "float32" else 1e-13)


def test_step_replayed_asks_for_few_things(library):
    model = CharRNN(7, hidden_size=4, device="cupy:1")
    bk, captured = model.backend, Captured(model)
    x = bk.from_host(np.zeros((6, 3), int))
    captured.gradient(x, x)
    captured.gradient(x, x)
    before = runtime.counts.copy()
    captured.gradient(x, x)
    assert runtime.counts["graphLaunch"] == before["graphLaunch"] + 1
    assert runtime.counts["launchKernel"] < before["launchKernel"] + 8
    assert runtime.counts["gemm"] == before["gemm"] and runtime.counts["malloc"] == before["malloc"]


def test_what_is_captured_happens_at_the_launch_and_nothing_can_be_read_before():
    with backend.get("cupy:1").scope(), cupy.cuda.Stream(non_blocking=True) as stream:
        a, out = cupy.ones((2, 2), "f"), cupy.zeros((2, 2), "f")
        cupy.add(a, a, out=a)
        stream.begin_capture()
        cupy.add(a, a, out=out)
        with pytest.raises(RuntimeError, match="the current stream is capturing"):
            out.get()
        graph = stream.end_capture()
        assert not out.get().any()
        graph.launch()
        assert (out.get() == 4.0).all()
