"""Mistakes that NumPy forgives and a GPU does not, planted one at a time: the stand-in must see each of them.

A fault is an edit of one file, listed in faults.txt. The package is imported anew, in memory, with the edited text in
the place of that file, and goes through one and the same exercise: updates of every kind of cell, an evaluation, a
sample, what a checkpoint holds. It is seen by an exception, or by a count that is higher than without it.
"""

from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import fakecupy
import numpy as np
import planted
import pytest
from planted import package, trainer

FAULTS = planted.faults(Path(__file__).parent / "faults.txt")


def updates(cell, T, device):
    """A trainer after three updates, and what the third one took."""
    t = trainer(cell, T, device)
    guarded = device != "numpy"
    with fakecupy.forbid("syncs", "hidden_copies", "drifts") if guarded else nullcontext():
        t.train_step()
        t.train_step()
        with fakecupy.measure() as found:
            t.train_step()
    return t, found


def exercise(device):
    """What is counted; raises where the stand-in refuses something, or a number is not finite."""
    from minrnn.evaluate import evaluate
    from minrnn.sample import Sampler
    from minrnn.text import streams

    seen = Counter()
    for cell in ("lstm", "gru", "gru-before", "rnn"):
        t, short = updates(cell, 2, device)
        _, long = updates(cell, 4, device)
        seen.update({f"{kind} in a step": long[kind] - short[kind] for kind in ("launches", "views", "arrays")})
        seen.update({f"{kind} in an update": short[kind] for kind in ("uploads", "bytes")})
        arrays = [np.asarray(a) for a in t.arrays().values()]
        if device != "numpy" and not all(np.isfinite(a).all() for a in arrays):
            raise AssertionError("memory that nobody has written has been read")
    with fakecupy.measure() as found:
        evaluate(t.model, streams(np.arange(40), 2), 5)
    seen["waits in an evaluation"] = found["syncs"]
    rngs = [np.random.default_rng(k) for k in range(2)]
    list(Sampler(t.model).generate_batch([1], 3, rngs=rngs))
    return seen


@pytest.fixture(scope="module")
def usual():
    """What is counted without a fault."""
    with package():
        return exercise("fakecupy:1")


def test_without_a_fault_nothing_is_seen(usual):
    with package():
        assert exercise("fakecupy:1") == usual
        exercise("numpy")
    assert len(FAULTS) >= 40 and all(len(fault) == 4 for fault in FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=[" → ".join(fault[:3]) for fault in FAULTS])
def test_fault_is_seen(fault, usual):
    file, old, new, said = fault
    loud = file.startswith("! ")
    with package(file.removeprefix("! "), old, new):
        try:
            seen = [f"more {kind}" for kind, number in exercise("fakecupy:1").items() if number > usual[kind]]
        except Exception as error:  # whatever it is, its message tells whether it is about the fault
            seen = [str(error)]
        assert any(said in sentence for sentence in seen), seen
        with pytest.raises(IndexError) if loud else nullcontext():
            exercise("numpy")
