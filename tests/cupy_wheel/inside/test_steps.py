"""What an update and a character cost, counted in CuPy itself, beside what the stand-in counts.

The budgets in tests/device/test_budgets.py are those of the stand-in; here they are shown to be those of CuPy.
"""

from collections import Counter

import fakecupy
import numpy as np
import pytest
from hostcuda.runtime import counts

from minrnn import CharRNN, backend
from minrnn.optim import Adam, Constant
from minrnn.sample import Sampler, sample_rng
from minrnn.text import FixedLength, StreamBatches, streams
from minrnn.train import Trainer

backend.register("fakecupy", lambda: fakecupy)
PARTS = {
    "plain": {},
    "embedding": {"embedding_size": 5},
    "dropout": {"dropout": 0.3},
    "one layer": {"num_layers": 1},
}


def trainer(device, cell, options):
    model = CharRNN(7, hidden_size=4, cell=cell, device=device, **options)
    ids = np.random.default_rng(0).integers(7, size=3 * 55).astype("uint8")
    return Trainer(model, StreamBatches(streams(ids, 3), FixedLength(6)), Adam(0.01), Constant(0.1), clip_norm=0.1)


def of_cupy(act):
    """What `act` costs, by the names of the stand-in. At every upload CuPy asks CUDA whether the memory is pinned."""
    before = counts.copy()
    kept = act()
    found = Counter(counts)
    found.subtract(before)
    del kept
    uploads = found["pointerGetMemoryType"]
    return {
        "launches": found["launchKernel"] + found["gemm"] + found["memsetAsync"] + found["memcpyAsync"] - uploads,
        "uploads": uploads,
        "syncs": found["streamSynchronize"] + found["deviceSynchronize"] + found["eventSynchronize"],
        "allocations": found["malloc"],
    }


def of_standin(act):
    with fakecupy.measure() as found:
        kept = act()
    del kept
    return {name: found[name] for name in ("launches", "uploads", "syncs", "allocations")}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("cell", ["lstm", "gru", "gru-before", "rnn"])
def test_update_costs_on_cupy_what_the_standin_counts(cell, part):
    found = []
    for device, count in (("cupy:1", of_cupy), ("fakecupy:1", of_standin)):
        t = trainer(device, cell, PARTS[part])
        for _ in range(12):  # across the end of an epoch
            t.train_step()
        found.append(count(t.train_step))
    assert found[0] == found[1]
    assert found[0]["syncs"] == found[0]["allocations"] == 0 < found[0]["launches"]


def test_characters_wait_on_cupy_as_often_as_on_the_standin():
    waits = []
    for device, count in (("cupy:1", of_cupy), ("fakecupy:1", of_standin)):
        sampler = Sampler(CharRNN(7, hidden_size=4, device=device))
        waits.append(count(lambda s=sampler: list(s.generate([1], 9, rng=sample_rng(0))))["syncs"])
    assert waits[0] == waits[1] == 9


def test_counts_of_cupy_see_a_wait_and_a_new_array():
    device = backend.get("cupy:1")
    with device.scope():
        a = device.xp.ones((3, 70_001), "f")
        assert of_cupy(lambda: a.sum(axis=0).get()) == {"launches": 2, "uploads": 0, "syncs": 1, "allocations": 1}
