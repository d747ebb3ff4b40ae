"""Mistakes that NumPy forgives, planted one at a time (../faults.txt): CuPy must see each of them."""

import re
from pathlib import Path

import numpy as np
import planted
import pytest
from hostcuda import kernels
from planted import package, trainer

FAULTS = planted.faults(Path(__file__).parents[1] / "faults.txt")


def exercise(device):
    """The numbers of updates of every cell, an evaluation and a sample."""
    from minrnn.evaluate import evaluate
    from minrnn.sample import Sampler
    from minrnn.text import streams

    numbers = []
    for cell in ("lstm", "gru", "gru-before", "rnn"):
        t = trainer(cell, 3, device)
        numbers += [float(t.train_step().loss) for _ in range(3)]
        numbers += [np.asarray(a) for a in t.arrays().values()]
    numbers.append(evaluate(t.model, streams(np.arange(40), 2), 5).nats_per_char)
    numbers += list(Sampler(t.model).generate_batch([1], 3, rngs=[np.random.default_rng(k) for k in range(2)]))
    return np.concatenate([np.ravel(part).astype("d") for part in numbers])


def complaints():
    """What is wrong with the package that is imported now."""
    from minrnn.backend import get

    kernels.launched.clear()
    said, expected = [], exercise("numpy")
    try:
        if not (np.abs(exercise("cupy:1") - expected) <= 1e-4).all() and kernels.COMPILER:
            said.append("numbers differ")
    except Exception as error:  # whatever it is, its message tells whether it is about the fault
        said.append(f"{type(error).__name__}: {error}")
    bodies = [body for bodies in get("cupy:1")._fused.values() for body in bodies]
    said += [f"{body.__name__} went to the second tracer" for body in bodies if body.new_fusion is not None]
    drifted = {name for source, name in kernels.launched if re.search(r"\bdouble v\d+_", source.text)}
    return said + [f"{name} computes in float64" for name in drifted]


def test_without_a_fault_there_are_no_complaints():
    with package():
        assert not complaints()
    assert len(FAULTS) >= 15 and all(len(fault) == 4 for fault in FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=[" → ".join(fault[:3]) for fault in FAULTS])
def test_fault_is_seen(fault):
    *edit, said = fault
    if said == "numbers differ" and not kernels.COMPILER:
        pytest.skip("needs g++")
    with package(*edit):
        heard = complaints()
    assert any(said in sentence for sentence in heard), heard
