"""Which device an array is on, what the doors to the library accept, and what is said when a device is not there."""

import types

import numpy as np
import pytest

from minrnn import backend
from minrnn.backend import Backend, BackendError

HOST = backend.get("numpy")


class CUDARuntimeError(Exception):
    """What CuPy raises for everything that the CUDA runtime reports."""


class FakeArray:
    """An array of a GPU library, as far as `of` can see."""

    def __init__(self, device):
        self.device = types.SimpleNamespace(id=device)


FakeArray.__module__ = "fakecupy.core"  # its library is found from the module of the class


def fake_library(devices=2, broken=None):
    """A module that behaves like CuPy on a machine with that many GPUs; `broken` is raised by the first product."""

    def device_count():
        if devices is None:
            raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
        return devices

    class Device:
        def __init__(self, index):
            self.id = index

        def __enter__(self):
            entered.append(self.id)

        def __exit__(self, *_):
            entered.append(None)

    def matmul(a, b):
        if broken is not None:
            raise broken
        return a @ b

    entered = []
    runtime = types.SimpleNamespace(getDeviceCount=device_count, CUDARuntimeError=CUDARuntimeError)
    return types.SimpleNamespace(
        __version__="14.9",
        cuda=types.SimpleNamespace(runtime=runtime, Device=Device),
        zeros=np.zeros,
        tanh=np.tanh,
        matmul=matmul,
        asarray=np.array,
        asnumpy=np.array,
        fuse=lambda body: ("fused", body),
        entered=entered,
    )


@pytest.fixture
def register(monkeypatch):
    """register(load): a library called fakecupy, forgotten after the test."""
    monkeypatch.setattr(backend, "_libraries", dict(backend._libraries))
    monkeypatch.setattr(backend, "_opened", {})
    return lambda load: backend.register("fakecupy", load)


def missing():
    raise ImportError("No module named 'fakecupy'")


# Finding a device.


def test_the_host_is_found_from_its_arrays_and_by_name():
    assert backend.of(np.zeros(2), np.zeros(3, int)) is HOST
    assert backend.get() is HOST
    assert backend.get(HOST) is HOST
    assert HOST.name == "numpy" and HOST.xp is np and not HOST.is_gpu


@pytest.mark.parametrize("spec", ["numpy:0", "cuda", "cupy:", "cupy:x", "cupy:-1", "gpu", "", "cupy:0:1"])
def test_unknown_device_names_are_refused_with_the_known_ones(spec):
    with pytest.raises(BackendError, match=r"'numpy', 'cupy' or 'cupy:N'") as error:
        backend.get(spec)
    assert repr(spec) in str(error.value)


def test_what_is_not_an_array_is_named():
    for thing, name in [([1.0, 2.0], "list"), (1.0, "float"), (np.float64(1.0), "float64"), (None, "NoneType")]:
        with pytest.raises(BackendError, match=rf"NumPy or CuPy array, got {name}$"):
            backend.of(thing)


def test_missing_cupy_says_what_to_install(register):
    register(missing)
    with pytest.raises(BackendError, match=r"needs CuPy: pip install 'minrnn\[cuda12\]'.*or use device 'numpy'"):
        backend.get("fakecupy")


def test_missing_gpu_is_told_apart_from_missing_cupy(register):
    register(lambda: fake_library(devices=None))
    with pytest.raises(BackendError, match=r"CuPy 14\.9 is installed but finds no usable GPU.*cudaErrorNoDevice"):
        backend.get("fakecupy")


def test_device_beyond_the_last_one_says_how_many_there_are(register):
    register(lambda: fake_library(devices=2))
    assert backend.get("fakecupy:1").name == "fakecupy:1"
    with pytest.raises(BackendError, match=r"'fakecupy:2' does not exist: this machine has 2 GPU"):
        backend.get("fakecupy:2")


def test_half_installed_cuda_shows_when_the_device_is_opened(register):
    """A GPU is there, but its first product fails: said at once, not in the first training step."""
    register(lambda: fake_library(broken=OSError("libcublas.so.12: cannot open shared object file")))
    with pytest.raises(BackendError, match=r"cannot compute on 'fakecupy:0' \(OSError: libcublas.*reinstall"):
        backend.get("fakecupy")


def test_a_device_is_opened_once_and_has_one_backend(register):
    loads = []
    library = fake_library()
    register(lambda: loads.append(1) or library)
    first = backend.get("fakecupy")
    assert backend.get("fakecupy:0") is first
    assert backend.get("fakecupy:1") is not first
    assert backend.of(FakeArray(0)) is first
    assert first.is_gpu and first.name == "fakecupy:0"
    assert len(loads) == 2


def test_an_array_brings_its_device_with_it(register):
    """A stranger's array is on a device that nobody asked for by name."""
    register(fake_library)
    found = backend.of(FakeArray(1), FakeArray(1))
    assert found.name == "fakecupy:1"
    assert backend.get("fakecupy:1") is found


def test_arrays_on_different_devices_are_refused_with_both_names(register):
    register(fake_library)
    for arrays in [(np.zeros(2), FakeArray(0)), (FakeArray(0), np.zeros(2)), (FakeArray(0), FakeArray(1))]:
        with pytest.raises(BackendError, match="different devices") as error:
            backend.of(*arrays)
        for a in arrays:
            assert repr("numpy" if isinstance(a, np.ndarray) else f"fakecupy:{a.device.id}") in str(error.value)
    with pytest.raises(BackendError, match="different devices"):
        backend.of(np.zeros(2), np.zeros(2), FakeArray(0))


def test_host_copies_are_made_with_the_right_device_current(register):
    library = fake_library()
    register(lambda: library)
    bk = backend.get("fakecupy:1")
    for transfer in (bk.from_host, bk.to_host):
        library.entered.clear()
        transfer(np.zeros(2))
        assert library.entered == [1, None]


# The one door to BLAS.

LAYOUTS = {
    "C": np.ascontiguousarray,
    "transpose": lambda a: np.ascontiguousarray(a.T).T,
}


@pytest.mark.parametrize("place", LAYOUTS)
@pytest.mark.parametrize("b_layout", LAYOUTS)
@pytest.mark.parametrize("a_layout", LAYOUTS)
def test_matmul_takes_plain_and_transposed_operands(rng, a_layout, b_layout, place):
    a, b = LAYOUTS[a_layout](rng.standard_normal((4, 3))), LAYOUTS[b_layout](rng.standard_normal((3, 5)))
    out = LAYOUTS[place](np.full((4, 5), np.nan))
    found = HOST.matmul(a, b, out=out)
    assert found is out
    np.testing.assert_allclose(out, [[sum(x * y for x, y in zip(r, c, strict=True)) for c in b.T] for r in a], 1e-13)


@pytest.mark.parametrize("sizes", [(1, 3, 5), (4, 1, 5), (4, 3, 1), (1, 1, 1), (4, 0, 5), (0, 3, 5)])
def test_matmul_of_thin_and_empty_arrays(rng, sizes):
    m, k, n = sizes
    a, b = rng.standard_normal((m, k)), rng.standard_normal((k, n))
    out = HOST.matmul(a, b, out=np.full((m, n), np.nan))
    np.testing.assert_allclose(out, np.einsum("ij,jk->ik", a, b), 1e-13)


@pytest.mark.parametrize("which", ["a", "b", "out"])
def test_matmul_refuses_what_would_be_copied_without_a_word(which):
    arrays = {"a": np.zeros((4, 3)), "b": np.zeros((3, 5)), "out": np.zeros((4, 5))}
    m, n = arrays[which].shape
    for wrong in (np.zeros((m, 2 * n))[:, :n], np.zeros((2 * m, n))[::2], np.zeros((m, n))[::-1], np.zeros((1, m, n))):
        with pytest.raises(ValueError, match=rf"\b{which} has shape"):
            HOST.matmul(*(wrong if name == which else a for name, a in arrays.items()))


@pytest.mark.parametrize("which", ["a", "b", "out"])
def test_matmul_refuses_mixed_dtypes(which):
    arrays = {"a": np.zeros((4, 3)), "b": np.zeros((3, 5)), "out": np.zeros((4, 5))}
    arrays[which] = arrays[which].astype(np.float32)
    with pytest.raises(ValueError, match=r"one dtype, got .*float32"):
        HOST.matmul(*arrays.values())


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (8, 16), (9, 20), (24, 5), (0, 3)])
def test_transpose_writes_every_strip(rng, shape):
    a, out = rng.standard_normal(shape), np.full(shape[::-1], np.nan)
    HOST.transpose(a, out=out)
    np.testing.assert_array_equal(out, a.T)


# Rows.


def test_take_rows_writes_into_out(rng):
    table, ids = rng.standard_normal((7, 3)), rng.integers(0, 7, 20)
    out = np.full((20, 3), np.nan)
    assert HOST.take_rows(table, ids, out) is out
    np.testing.assert_array_equal(out, table[ids])


@pytest.mark.parametrize(("N", "V"), [(1, 1), (20, 7), (7, 200), (300, 2)])
def test_sum_rows_is_add_at(rng, N, V):
    rows, ids = rng.standard_normal((N, 3)), rng.integers(0, V, N)
    expected = np.zeros((V, 3))
    np.add.at(expected, ids, rows)
    out = np.full((V, 3), np.nan)
    assert HOST.sum_rows(rows, ids, out) is out
    np.testing.assert_allclose(out, expected, rtol=1e-13, atol=1e-14)
    assert np.all(out[np.setdiff1d(np.arange(V), ids)] == 0.0)


FEW = backend.GATHERED // (3 * 8)  # rows of 3 numbers that are gathered at a time


@pytest.mark.parametrize(("N", "M"), [(FEW, 3), (2 * FEW, 3), (2 * FEW + 1, 3), (5, backend.GATHERED), (5, 0)])
def test_sum_rows_of_a_very_common_id_and_of_very_wide_rows(rng, N, M):
    """More rows than are gathered at a time, up to the very last one, and a single row that is too much already."""
    rows, ids = rng.integers(-99, 99, (N + 1, M)).astype(float), np.zeros(N + 1, int)  # whole numbers: exact
    ids[N // 2] = 1
    out = HOST.sum_rows(rows, ids, np.full((2, M), np.nan))
    np.testing.assert_array_equal(out, [rows[ids == 0].sum(axis=0), rows[N // 2]])


def test_sum_rows_of_nothing_is_zero():
    out = np.full((4, 3), np.nan)
    HOST.sum_rows(np.zeros((0, 3)), np.zeros(0, int), out)
    np.testing.assert_array_equal(out, np.zeros((4, 3)))


def test_sum_rows_is_the_same_every_time(rng):
    rows, ids = rng.standard_normal((500, 8)).astype(np.float32), rng.integers(0, 5, 500)
    first, second = (HOST.sum_rows(rows, ids, np.empty((5, 8), np.float32)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("ids", [[-1, 0], [0, 5], [5], [-5, 4]])
def test_check_ids_names_the_range_and_what_was_found(ids):
    with pytest.raises(IndexError, match=rf"0 … 4, found {min(ids)} … {max(ids)}"):
        HOST.check_ids(np.array(ids), 5)


def test_check_ids_accepts_both_ends_and_nothing_at_all():
    HOST.check_ids(np.array([0, 4]), 5)
    HOST.check_ids(np.zeros((0, 3), int), 5)


# Pointwise bodies, transfers, randomness.


def test_fused_bodies_are_built_once_for_each_device(register):
    register(fake_library)
    built = []

    def make(xp):
        built.append(xp)
        return (lambda a: None, lambda a: None)

    host, gpu = Backend(), backend.get("fakecupy")
    assert host.fused(make) is host.fused(make)
    assert len(host.fused(make)) == 2
    assert gpu.fused(make) is gpu.fused(make)
    assert [xp is np for xp in built] == [True, False]
    assert gpu.fused(make)[0][0] == "fused"


def test_host_copies_are_copies_in_c_order():
    plain = np.arange(6.0).reshape(2, 3)
    for a in (plain, plain.T):
        for copy in (HOST.from_host(a), HOST.to_host(a)):
            assert not np.shares_memory(copy, a)
            np.testing.assert_array_equal(copy, a)
        assert HOST.from_host(a).flags.c_contiguous
    assert HOST.from_host(a, np.float32).dtype == np.float32


def test_generators_are_host_generators_on_every_device(register):
    register(fake_library)
    for bk in (HOST, backend.get("fakecupy")):
        np.testing.assert_array_equal(bk.rng(5).random(3), np.random.default_rng(5).random(3))


def test_the_host_has_no_current_device_and_nothing_to_wait_for():
    with HOST.scope():
        HOST.synchronize()


@pytest.mark.parametrize("layout", ["C", "F"])
def test_the_library_is_asked_for_contiguous_results_only(rng, assert_close, layout):
    """CuPy takes no other `out`; a transposed one is written through its transpose."""

    class Strict:
        @staticmethod
        def matmul(a, b, out):
            assert out.flags.c_contiguous
            return np.matmul(a, b, out=out)

    a, b = rng.standard_normal((3, 4)), rng.standard_normal((4, 5))
    out = np.full((3, 5), np.nan, order=layout)
    assert backend.Backend("strict", Strict).matmul(a, b, out=out) is out
    assert_close(out, a @ b, 1e-14)
