"""The stand-in for CuPy as a device: "fakecupy:1", so that code that forgets which device is current fails."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from minrnn import backend

sys.path.insert(0, str(Path(__file__).parent))  # tests import fakecupy as minrnn imports cupy

import fakecupy

DEVICE = "fakecupy:1"
backend.register("fakecupy", lambda: fakecupy)


@pytest.fixture(scope="session")
def bk():
    """The backend of the stand-in."""
    return backend.get(DEVICE)


@pytest.fixture
def host_sums_rows_as_a_gpu_does(monkeypatch):
    """NumPy groups equal ids, a GPU multiplies with one-hot rows: sums in another order, and the only ones."""
    host = backend.get("numpy")
    for name in ("_one_hot", "_all_ids"):
        monkeypatch.setattr(host, name, None, raising=False)
    monkeypatch.setattr(host, "sum_rows", partial(backend.CupyBackend.sum_rows, host))


def arrays_of(value, device):
    """Every array and number inside tuples, lists and dictionaries, to any depth, on the host; None stays."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return [a for part in value for a in arrays_of(part, device)]
    return [device.to_host(value) if isinstance(value, device.xp.ndarray) else value]


@pytest.fixture
def same_on_both(bk, host_sums_rows_as_a_gpu_does):
    """same_on_both(compute): compute(backend) gives the same bits on NumPy and on the stand-in, where nothing waits.

    What `allowed` names is not forbidden there. Returns what NumPy gave.
    """

    def check(compute, allowed=()):
        host = backend.get("numpy")
        expected = arrays_of(compute(host), host)
        with fakecupy.forbid(*{"syncs", "hidden_copies", "drifts"} - set(allowed)):
            result = compute(bk)
        found = arrays_of(result, bk)
        assert len(found) == len(expected) > 0
        for k, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert (a is None) == (b is None), f"result {k}"
            if a is not None:
                assert np.asarray(a).dtype == np.asarray(b).dtype, f"result {k}"
                np.testing.assert_array_equal(a, b, f"result {k}", strict=True)
                assert np.isfinite(b).all(), f"result {k}"
        return expected

    return check
