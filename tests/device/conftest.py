"""The device that tests of the same code on two devices run on beside NumPy.

It is the stand-in for CuPy, as "fakecupy:1", so that code that forgets which device is current fails; or what the
variable MINRNN_TEST_DEVICE names, for the files test_*_on_standin.py: a GPU, or in tests/cupy_wheel CuPy without one.
"""

import os
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from minrnn import backend, cublas

sys.path.insert(0, str(Path(__file__).parent))  # tests import fakecupy as minrnn imports cupy

import fakecupy

STANDIN = "fakecupy:1"
DEVICE = os.environ.get("MINRNN_TEST_DEVICE", STANDIN)
ROUNDING = {"float32": 2e-6, "float64": 1e-13}
backend.register("fakecupy", lambda: fakecupy)
cublas.libraries["fakecupy"] = fakecupy.cublas.Library


@pytest.fixture(scope="session")
def device():
    """The name of the device."""
    return DEVICE


@pytest.fixture(scope="session")
def bk():
    """Its backend."""
    return backend.get(DEVICE)


@pytest.fixture
def standin_only():
    """For tests of what only the stand-in can refuse or count."""
    if DEVICE != STANDIN:
        pytest.skip("asks the stand-in for CuPy")


@pytest.fixture
def no_complaints():
    """No test leaves a capture open, or finds one; the library complains of nothing."""
    fakecupy.graphs.start_afresh()
    fakecupy.cublas.errors.clear()
    yield
    assert fakecupy.graphs.capture is None
    assert not fakecupy.cublas.errors


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


@pytest.fixture(scope="session")
def assert_same():
    """See compare."""
    return compare


def compare(found, expected, name, rounding=None):
    """Of one kind and finite, and equal: to the bit on the stand-in, which computes with NumPy.

    Elsewhere within `rounding` of the largest entry, by default that of a few operations in the dtype.
    """
    a, b = np.asarray(found), np.asarray(expected)
    assert (a.dtype, a.shape) == (b.dtype, b.shape), name
    assert np.isfinite(b).all(), name
    if DEVICE == STANDIN or b.dtype.kind != "f":
        np.testing.assert_array_equal(a, b, name)
    else:
        most = (rounding or ROUNDING[b.dtype.name]) * np.max(np.abs(b), initial=0.0)
        np.testing.assert_allclose(a, b, rtol=0, atol=most, err_msg=name)


@pytest.fixture
def same_on_both(bk, host_sums_rows_as_a_gpu_does):
    """same_on_both(compute): compute(backend) gives the same on NumPy and on the device.

    On the stand-in that means the same bits, and that nothing waits there and nothing is copied unasked; what `allowed`
    names is not forbidden. Elsewhere `rounding` is what may be lost. Returns what NumPy gave.
    """

    def check(compute, allowed=(), rounding=None):
        host = backend.get("numpy")
        expected = arrays_of(compute(host), host)
        forbidden = {"syncs", "hidden_copies", "drifts"} - set(allowed)
        with fakecupy.forbid(*forbidden) if DEVICE == STANDIN else nullcontext():
            result = compute(bk)
        found = arrays_of(result, bk)
        assert len(found) == len(expected) > 0
        for k, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert (a is None) == (b is None), f"result {k}"
            if a is not None:
                compare(a, b, f"result {k}", rounding)
        return expected

    return check
