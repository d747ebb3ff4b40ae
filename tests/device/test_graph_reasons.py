"""Where a training step cannot be a graph, the model goes on without, and one line says why."""

import ctypes
import re

import fakecupy as cp
import numpy as np
import pytest
from fakecupy import graphs
from pair import Pair

from minrnn import CharRNN, backend, cublas
from minrnn.cli.doctor import _graphs

pytestmark = pytest.mark.usefixtures("standin_only", "no_complaints")


def library(**functions):
    """The stand-in for cuBLAS, with some functions replaced."""

    def make():
        found = cp.cublas.Library()
        vars(found).update(functions)
        return found

    return make


def missing():
    raise OSError("libcublas.so.12: cannot open\nshared object file")


def refusing(monkeypatch):
    monkeypatch.setitem(
        cublas.libraries, "fakecupy", library(cublasSgemm_v2=ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 13))
    )


def inexact(monkeypatch):
    found = cp.cublas.Library()
    sgemm = found.cublasSgemm_v2

    def wrong(handle, transa, *rest):
        return sgemm(handle, transa, *rest[:3], max(rest[3] - 1, 1), *rest[4:])  # forgets one of k products

    monkeypatch.setitem(cublas.libraries, "fakecupy", library(cublasSgemm_v2=type(sgemm)(wrong)))


def not_a_number(monkeypatch):
    plain = graphs.Graph.launch

    def launch(self, stream=None):
        plain(self, stream)
        pair = monkeypatch.pair
        pair.engine.model.grads.flat[2] = np.nan

    monkeypatch.setattr(graphs.Graph, "launch", launch)


def reading(monkeypatch):
    plain = CharRNN.gradient

    def gradient(self, *args, **options):
        result = plain(self, *args, **options)
        float(result[0])
        return result

    monkeypatch.setattr(CharRNN, "gradient", gradient)


REASONS = {
    "no library": (
        lambda m: m.setitem(cublas.libraries, "fakecupy", missing),
        r"cuBLAS is not found \(OSError: libcublas.so.12: cannot open\)",
    ),
    "no library for this device": (
        lambda m: m.delitem(cublas.libraries, "fakecupy"),
        r"cuBLAS is not found \(KeyError: 'fakecupy'\)",
    ),
    "a library without the function": (
        lambda m: m.setitem(cublas.libraries, "fakecupy", object),
        "AttributeError: 'object' object has no attribute 'cublasCreate_v2'",
    ),
    "a product refused": (refusing, "cuBLAS refuses .*: status 13"),
    "no graphs in this CuPy": (
        lambda m: m.delattr(cp.cuda.Stream, "begin_capture"),
        "AttributeError: 'Stream' object has no attribute 'begin_capture'",
    ),
    "no streams": (
        lambda m: m.delattr(cp.cuda, "Stream"),
        "AttributeError: .* no attribute 'Stream'",
    ),
    "a step that waits": (
        reading,
        "CUDARuntimeError: cudaErrorStreamCaptureUnsupported: .* not permitted when stream is capturing",
    ),
    "CuPy's product": (
        lambda m: m.setattr(backend.get("fakecupy:1"), "recording", lambda _: backend.get("fakecupy:1").scope()),
        "NotImplementedError: calling cuBLAS API during stream capture is currently unsupported",
    ),
    "other numbers": (inexact, r"a step replayed differs from the step itself by \d.*e.*"),
    "no numbers": (not_a_number, "a step replayed differs from the step itself by nan"),
    "not faster": (
        lambda m: m.setattr(graphs, "NODE_MS", 1.0),
        r"1\d\d\.\d\d ms for a step replayed, \d\.\d\d for the step itself",
    ),
}


@pytest.mark.parametrize("why", REASONS)
def test_where_something_is_missing_the_model_goes_on_and_the_note_says_why(why, monkeypatch):
    act, said = REASONS[why]
    pair = monkeypatch.pair = Pair()
    act(monkeypatch)
    pair.step()
    assert pair.engine.note == ""
    pair.step()
    assert re.fullmatch(f"no CUDA graphs: {said}", pair.engine.note)
    monkeypatch.undo()  # all would be well now, but it is not tried again
    note = pair.engine.note
    for _ in range(3):
        pair.step()
        pair.step(pair.ids(T=2))
    assert pair.engine.note == note and not pair.engine._graphs


def test_with_dropout_the_model_draws_its_masks(monkeypatch):
    pair = Pair(dropout=0.3)
    for seed in range(4):
        x, y = pair.ids()
        found = pair.engine.gradient(x, y, rng=np.random.default_rng(seed))
        expected = pair.plain.gradient(x, y, rng=np.random.default_rng(seed))
        np.testing.assert_array_equal(
            *(pair.numbers(*r)[1] for r in ((found, pair.engine.model), (expected, pair.plain)))
        )
    assert pair.engine.note == "no CUDA graphs: dropout draws its masks on the host"


def test_a_generator_without_dropout_changes_nothing():
    pair = Pair()
    for _ in range(3):
        pair.step(rng=np.random.default_rng(0))
    assert pair.engine.note.startswith("CUDA graphs: ")


def test_doctor_tells(bk, monkeypatch):
    assert _graphs(bk).startswith("CUDA graphs: ")
    monkeypatch.setitem(cublas.libraries, "fakecupy", missing)
    assert _graphs(bk).startswith("no CUDA graphs: cuBLAS is not found")
