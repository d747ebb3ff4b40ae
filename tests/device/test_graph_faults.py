"""Mistakes in what a graph records, planted one at a time: each is seen on the stand-in, by what graph_faults.txt says.

As test_planted_faults: the package is imported anew with one file edited. The exercise takes steps of several sizes
from a network with graphs and from one without, whose states go on side by side.
"""

from collections import Counter
from pathlib import Path

import fakecupy as cp
import numpy as np
import planted
import pytest
from fakecupy import graphs
from planted import package

FAULTS = planted.faults(Path(__file__).parent / "graph_faults.txt")
B, V = 3, 7


def numbers(results):
    return [a.get() for loss, state, grads in results for a in (loss, grads, *(a for layer in state for a in layer))]


def exercise():
    """The notes of what happened, and what was counted; raises where something is refused, or numbers are others."""
    from minrnn import CharRNN, cublas
    from minrnn.graphs import Captured

    cublas.libraries["fakecupy"] = cp.cublas.Library
    notes, seen = [], Counter()
    for dtype in ("float32", "float64"):
        engine, plain = [
            CharRNN(V, hidden_size=4, embedding_size=2, dtype=dtype, device="fakecupy:1") for _ in range(2)
        ]
        engine, rng = Captured(engine), np.random.default_rng(0)
        kept, states = ([], []), (None, None)
        with cp.measure() as found:
            for k, T in enumerate((5, 5, 5, 2, 3, 4, 6, 5, 5)):
                x, y = (plain.backend.from_host(ids) for ids in rng.integers(V, size=(2, T, B)))
                both, states = states, ()
                for results, model, state in zip(kept, (engine, plain), both, strict=True):
                    dloss = 5.0 if k in (2, 7) else 1.0
                    loss, after = model.gradient(x, y, None if k == 8 else state, dloss=dloss)
                    with plain.backend.scope():
                        results.append((loss, after, getattr(model, "model", model).grads.flat.copy()))
                    states += (after,)
                if k == 6:
                    plain.workspace(7, B)  # and so on: what was kept for other sizes goes
        notes.append(engine.note)
        seen["allocations"] += found["allocations"]
        for a, b in zip(*map(numbers, kept), strict=True):
            if not np.array_equal(a, b):
                raise AssertionError("other numbers")
    return notes, seen


@pytest.fixture(scope="module")
def usual():
    """What is noted and counted without a fault."""
    with package():
        exercise()
        return exercise()


@pytest.fixture(autouse=True)
def nothing_stays_open():
    yield
    graphs.start_afresh()
    cp.cublas.errors.clear()


def test_without_a_fault_nothing_is_seen(usual):
    notes, _ = usual
    assert all(note.startswith("CUDA graphs: ") for note in notes)
    assert len(FAULTS) >= 30 and all(len(fault) == 4 for fault in FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=[" → ".join(fault[:3]) for fault in FAULTS])
def test_fault_is_seen(fault, usual):
    file, old, new, said = fault
    with package(file, old, new):
        try:
            seen, counted = exercise()
            seen += [f"more {kind}" for kind, number in counted.items() if number > usual[1][kind]]
        except Exception as error:  # whatever it is, its message tells whether it is about the fault
            seen = [str(error)]
    assert any(said in sentence for sentence in seen), seen
