"""A training step as a CUDA graph, on the stand-in: the bits of the step itself, in one launch."""

import fakecupy as cp
import numpy as np
import pytest
from pair import KINDS, B, Pair, T, network

from minrnn import backend, cublas
from minrnn.config import merge
from minrnn.fit import resume, start
from minrnn.graphs import GRAPHS, Captured
from minrnn.parallel import sharing
from minrnn.runs import load_model

pytestmark = pytest.mark.usefixtures("standin_only", "no_complaints")


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("embedding_size", [0, 3], ids=["one-hot", "embedding"])
@pytest.mark.parametrize("kind", KINDS)
def test_replayed_steps_are_the_steps_themselves(kind, embedding_size, num_layers):
    pair = Pair(kind, embedding_size=embedding_size, num_layers=num_layers)
    for k in range(6):
        pair.step(fresh=k in (0, 4))
    assert pair.engine.note.startswith("CUDA graphs: ")


def test_float64():
    pair = Pair(dtype="float64")
    for _ in range(4):
        pair.step()
    assert pair.engine.note.startswith("CUDA graphs: ")


def test_every_size_and_scale_of_the_loss_has_its_own_graph():
    pair = Pair()
    for _ in range(3):
        pair.step()
        pair.step(dloss=float(T))  # a sum over time
        pair.step(pair.ids(T=2))  # the chunk at the end of the text
    assert len(pair.engine._graphs) == 3


def test_memory_of_a_graph_is_its_own_when_workspaces_of_other_sizes_come_and_go():
    pair = Pair(embedding_size=3)
    for _ in range(3):
        pair.step()
        for length in (2, 3, 4, 6):  # the model keeps three; sum_rows keeps one
            pair.engine.nll(*pair.ids(T=length))
            pair.step(pair.ids(T=length + 10))
    assert len(pair.engine._graphs) == GRAPHS
    assert pair.engine.note.startswith("CUDA graphs: ")


def test_results_last():
    pair = Pair()
    kept = [pair.step() for _ in range(4)]
    before = [pair.numbers(result, pair.plain) for result in kept]
    pair.step()
    for result, then in zip(kept, before, strict=True):
        loss, state = result
        for a, b in zip((loss, *(a for layer in state for a in layer)), (then[0], *then[2:]), strict=True):
            np.testing.assert_array_equal(a.get(), b)


@pytest.mark.parametrize(("kind", "states"), [("lstm", 4), ("gru", 2), ("gru-before", 2), ("rnn_tanh", 2)])
def test_a_step_is_one_graph_and_the_copies_around_it(kind, states):
    pair = Pair(kind)
    for _ in range(3):
        pair.step()
    x, y = pair.ids()
    with cp.forbid("syncs", "allocations", "hidden_copies", "drifts", "uploads"), cp.measure() as found:
        pair.engine.gradient(x, y, pair.states[0])
    with cp.measure() as plain:
        pair.plain.gradient(x, y, pair.states[1])
    assert found["launches"] == 2 + states + 1 + 2  # ids, states, the graph; state and loss
    assert found["nodes"] == plain["launches"] + states + 1  # results to where they are looked for
    assert found["views"] == states and found["arrays"] == 2


def test_a_size_that_comes_once_is_not_recorded():
    pair = Pair()
    for length in (3, 4, 5, 6):
        pair.step(pair.ids(T=length))
    assert not pair.engine._graphs and not pair.engine.note


# Products.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [(5, 7, 6), (1, 7, 6), (5, 1, 6), (5, 7, 1), (1, 1, 1)])
def test_products_of_all_layouts(size, dtype):
    bk, rng, (M, K, N) = backend.get("fakecupy:1"), np.random.default_rng(0), size
    with bk.scope():
        stream = cp.cuda.Stream(non_blocking=True)
        product = cublas.Product(cp, stream)

        def matrix(rows, columns, flipped):
            shape = (columns, rows) if flipped else (rows, columns)
            a = bk.from_host(rng.standard_normal((1, *shape)), dtype)[0]
            return a.T if flipped else a

        for k in range(8):
            a, b, out = matrix(M, K, k & 1), matrix(K, N, k & 2), matrix(M, N, k & 4)
            bk.synchronize()
            with stream, bk.recording(product):
                assert bk.matmul(a, b, out) is out
            stream.synchronize()
            np.testing.assert_allclose(out.get(), a.get() @ b.get(), rtol=1e-5 if dtype == "float32" else 1e-13)


def test_tf32_is_as_cupy_has_been_told(monkeypatch):
    with backend.get("fakecupy:1").scope():
        for value, mode in (("0", 0), ("1", 3)):
            monkeypatch.setenv("CUPY_TF32", value)
            product = cublas.Product(cp, cp.cuda.Stream(non_blocking=True))
            assert cp.cublas._handles[product._handle.value]["mode"] == mode


def test_a_handle_is_given_back():
    with backend.get("fakecupy:1").scope():
        product = cublas.Product(cp, cp.cuda.Stream(non_blocking=True))
    number = product._handle.value
    assert number in cp.cublas._handles
    del product
    assert number not in cp.cublas._handles


# Who uses it.


def test_training_on_a_gpu_is_shared_with_graphs():
    model = network()
    with sharing(model, T, B) as engine:
        assert isinstance(engine, Captured) and engine.model is model


@pytest.fixture
def config(tmp_path):
    """config(**settings) on a text of 900 characters."""
    path = tmp_path / "text.txt"
    path.write_text("".join(np.random.default_rng(0).choice(list("abcd \n"), size=900)))
    settings = {"hidden": 6, "layers": 2, "seq": 7, "batch": 4, "clip_norm": 1.0, "two_biases": True}
    settings |= {"eval_every": 20, "save_every": 10, "log_every": 4, "sample_every": 30, "device": "fakecupy:1"}
    return lambda **more: merge(settings | {"files": [str(path)]} | more)


def run(fit):
    """The parameters that a run ends with, and the notes in it."""
    events = list(fit.run())
    return load_model(fit.folder, "last").model.params.flat, [e.data["note"] for e in events if e.kind == "engine"]


@pytest.mark.parametrize("loss_reduction", ["mean", "sum_time"])
def test_a_run_with_graphs_is_the_run_without_also_when_resumed(loss_reduction, config, tmp_path, monkeypatch):
    settings = {"loss_reduction": loss_reduction}
    whole, notes = run(start(config(steps=50, **settings), tmp_path / "whole"))
    assert len(notes) == 1 and notes[0].startswith("CUDA graphs: ")
    run(start(config(steps=23, **settings), tmp_path / "parts"))
    resumed, notes = run(resume(tmp_path / "parts", {"steps": 50}))
    assert len(notes) == 1 and notes[0].startswith("CUDA graphs: ")
    np.testing.assert_array_equal(resumed, whole)
    monkeypatch.delitem(cublas.libraries, "fakecupy")
    plain, notes = run(start(config(steps=50, **settings), tmp_path / "plain"))
    assert notes == ["no CUDA graphs: cuBLAS is not found (KeyError: 'fakecupy')"]
    np.testing.assert_array_equal(plain, whole)


def test_a_run_says_what_became_of_graphs(config, tmp_path, capsys):
    from minrnn.cli.main import main

    text = config().files[0]
    command = [
        "train",
        text,
        "--out",
        str(tmp_path / "run"),
        "--steps",
        "6",
        "--log-every",
        "3",
        "--device",
        "fakecupy:1",
    ]
    assert main([*command, "--hidden", "6", "--seq", "5", "--batch", "4"]) == 0
    assert "step 3 CUDA graphs: " in capsys.readouterr().err
