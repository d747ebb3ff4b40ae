"""Where arrays live: one Backend for each device, found from an array (`of`) or by name (`get`).

What this is: the only place that knows that two array libraries exist. A kernel asks `backend.of(Wh, x)` once per
sequence and works with the answer: `xp` (NumPy or CuPy), `matmul` (the one door to BLAS), `fused` (pointwise bodies,
each a single kernel on a GPU), `check_ids` and `take_rows` (row look-ups).

What this is not: a global switch. Arrays decide; two devices can be used side by side in one process. Backends hold
caches only, never numbers that belong to a model. Random numbers are drawn on the host on every device, so that a
run on a GPU starts with the same weights and reads the same batches as one on a CPU.
"""

from __future__ import annotations  # naming numpy.random.Generator would import numpy.random: 13 ms

import contextlib
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Array = Any  # a numpy.ndarray or a cupy.ndarray; the two share no base class
Body = Callable[..., None]
GATHERED = 65536  # bytes: rows that are gathered and added up at a time


_NOTHING = contextlib.nullcontext()


class BackendError(RuntimeError):
    """The device cannot be used; the message says what to install or to choose."""


class Backend:
    """NumPy on the host, and the base of the GPU backend."""

    is_gpu = False

    def __init__(self, name: str = "numpy", xp: Any = np) -> None:
        self.name, self.xp = name, xp
        self._product: Callable[..., Any] = xp.matmul
        self._fused: dict[Any, tuple[Body, ...]] = {}

    def matmul(self, a: Array, b: Array, out: Array) -> Array:
        """Write the product `a @ b` of (M,K) and (K,N) into `out` (M,N) and return it.

        Operands and `out` are C-contiguous or the transpose of such an array, and of one dtype: every other layout
        would be copied without a word by one of the two libraries, so it is refused by both (ValueError).
        """
        if not (a.flags.forc and b.flags.forc and out.flags.forc and a.ndim == b.ndim == out.ndim == 2):
            for name, m in (("a", a), ("b", b), ("out", out)):
                if m.ndim != 2 or not m.flags.forc:
                    raise ValueError(f"matmul needs 2-D contiguous or transposed arrays; {name} has shape {m.shape}")
        if not a.dtype == b.dtype == out.dtype:
            raise ValueError(f"matmul needs one dtype, got {a.dtype}, {b.dtype} and out {out.dtype}")
        if out.flags.c_contiguous:
            return self._product(a, b, out=out)
        self._product(b.T, a.T, out=out.T)  # (a b)ᵀ = bᵀ aᵀ: writes a transposed `out` without a copy
        return out

    def transpose(self, a: Array, out: Array) -> None:
        """Write the transpose of `a` (M,N) into `out` (N,M)."""
        for k in range(0, len(a), 8):  # in strips: 4 times as fast, because NumPy walks `out` row by row
            out[:, k : k + 8] = a[k : k + 8].T

    def fused(self, make: Callable[[Any], tuple[Body, ...]]) -> tuple[Body, ...]:
        """Pointwise functions `make(xp)`, built once per device; on a GPU each is one kernel (cupy.fuse).

        A body uses ufuncs with `out=` only, positional arguments of one shape, and returns nothing.
        """
        if make not in self._fused:
            self._fused[make] = tuple(self._fuse(body) for body in make(self.xp))
        return self._fused[make]

    def _fuse(self, body: Body) -> Body:
        return body

    def check_ids(self, ids: Array, size: int) -> None:
        """Raise IndexError if an id lies outside 0 … size-1.

        On a GPU this would wait for the device at every call, so there ids are trusted: they are checked here, on the
        host, when text is encoded.
        """
        if ids.size and not (ids.min() >= 0 and ids.max() < size):
            raise IndexError(f"ids must lie in 0 … {size - 1}, found {int(ids.min())} … {int(ids.max())}")

    def take_rows(self, table: Array, ids: Array, out: Array) -> Array:
        """Write `table[ids]` into `out` (N,M) for checked `ids` (N,); `table` is (V,M)."""
        # mode="clip" lets NumPy write straight into `out`; "raise" would buffer (3 times slower) to stay atomic.
        return self.xp.take(table, ids, axis=0, out=out, mode="clip")

    def sum_rows(self, rows: Array, ids: Array, out: Array) -> Array:
        """Write into `out` (V,M), at every v, the sum of the `rows` (N,M) whose entry of `ids` (N,) is v; else 0.

        The reverse of take_rows. Equal ids are brought together by one stable sort and each group is summed at once, a
        few rows at a time: 2 to 10 times faster here than `np.add.at`, and always in the same order.
        """
        order = np.argsort(ids, kind="stable")
        found, start = np.unique(ids[order], return_index=True)
        out.fill(0)
        few = max(GATHERED // max(rows.shape[1] * rows.itemsize, 1), 1)
        for v, members in zip(found, np.split(order, start)[1:], strict=True):
            np.add.reduce(rows[members[:few]], axis=0, out=out[v])
            for k in range(few, len(members), few):
                out[v] += np.add.reduce(rows[members[k : k + few]], axis=0)
        return out

    def rng(self, seed: Any = None) -> np.random.Generator:
        """A host generator, on every backend."""
        return np.random.default_rng(seed)

    def from_host(self, a: Any, dtype: Any = None) -> Array:
        """A copy of host array `a` on this device."""
        return np.array(a, dtype=dtype, order="C")

    def to_host(self, a: Array) -> np.ndarray:
        """A copy of `a` in host memory."""
        return np.array(a)

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Entered by every public function; only a GPU needs it."""
        return _NOTHING

    def extremes_are_fine(self) -> contextlib.AbstractContextManager[Any]:
        """Entered where e^-a may reach 0 or infinity, and σ with it the right 1 or 0; only NumPy warns."""
        return np.errstate(over="ignore", under="ignore")

    def synchronize(self) -> None:
        """Wait until the device has done everything that it was asked to do."""


class CupyBackend(Backend):
    """One GPU, through CuPy 14. Held to its rules, without one, by the stand-in of tests/device."""

    is_gpu = True

    def __init__(self, name: str, cupy: Any, index: int) -> None:
        super().__init__(name, cupy)
        self.device = cupy.cuda.Device(index)
        self._one_hot: Array = None  # (N,V), with the (V,) ids that it is made from: kept, because a step needs one
        self._all_ids: Array = None

    def _fuse(self, body: Body) -> Body:
        return self.xp.fuse(body)

    def check_ids(self, ids: Array, size: int) -> None:
        """Nothing: see Backend.check_ids."""

    def transpose(self, a: Array, out: Array) -> None:
        """See Backend.transpose; one kernel."""
        out[...] = a.T

    def take_rows(self, table: Array, ids: Array, out: Array) -> Array:
        """See Backend.take_rows; cupy.take has no `mode`."""
        return self.xp.take(table, ids, axis=0, out=out)

    def sum_rows(self, rows: Array, ids: Array, out: Array) -> Array:
        """See Backend.sum_rows; a one-hot product, because scatter-add on a GPU sums in any order."""
        shape = len(ids), len(out)
        if self._one_hot is None or (self._one_hot.shape, self._one_hot.dtype) != (shape, rows.dtype):
            self._one_hot, self._all_ids = self.xp.empty(shape, rows.dtype), self.xp.arange(len(out))
        self.xp.equal(ids[:, None], self._all_ids, out=self._one_hot)
        return self.matmul(self._one_hot.T, rows, out=out)

    @contextlib.contextmanager
    def recording(self, product: Callable[..., Any]) -> Iterator[None]:
        """For minrnn.graphs: inside, `product(a, b, out=)` multiplies, and no array is used that is kept in here.

        A graph reads and writes the very memory that it has seen, as long as it lives; what is kept from call to call
        may be replaced and its memory given to others.
        """
        before = self._product, self._one_hot, self._all_ids
        self._product, self._one_hot = product, None
        try:
            yield
        finally:
            self._product, self._one_hot, self._all_ids = before

    def from_host(self, a: Any, dtype: Any = None) -> Array:
        """A copy of host array `a` on this device."""
        with self.device:
            return self.xp.asarray(np.asarray(a, dtype=dtype, order="C"))

    def to_host(self, a: Array) -> np.ndarray:
        """A copy of `a` in host memory; waits for the device."""
        with self.device:
            return self.xp.asnumpy(a)

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Entered by every public function: CuPy's current device belongs to the thread."""
        return self.device

    def extremes_are_fine(self) -> contextlib.AbstractContextManager[Any]:
        """See Backend.extremes_are_fine."""
        return _NOTHING

    def synchronize(self) -> None:
        """Wait for the current stream."""
        with self.device:
            self.xp.cuda.get_current_stream().synchronize()


_HOST = Backend()
_libraries: dict[str, Callable[[], Any]] = {"cupy": lambda: importlib.import_module("cupy")}
_opened: dict[tuple[str, int], Backend] = {}


def register(library: str, load: Callable[[], Any]) -> None:
    """Make a further array library known under the name of its top-level module (tests add a stand-in for CuPy)."""
    _libraries[library] = load


def get(spec: str | Backend = "numpy") -> Backend:
    """The backend called 'numpy', 'cupy' (the first GPU) or 'cupy:N'; a Backend is returned unchanged.

    Raises BackendError where CuPy, a GPU, the driver or the CUDA libraries are missing.
    """
    if isinstance(spec, Backend):
        return spec
    if spec == "numpy":
        return _HOST
    library, _, index = str(spec).partition(":")
    if library not in _libraries or (index and not index.isdecimal()) or spec.endswith(":"):
        raise BackendError(f"unknown device {spec!r}: use 'numpy', 'cupy' or 'cupy:N'")
    key = library, int(index or 0)
    if key not in _opened:
        _opened[key] = _open(*key)
    return _opened[key]


def _open(library: str, index: int) -> Backend:
    name = f"{library}:{index}"
    install = "pip install 'minrnn[cuda12]' or 'minrnn[cuda13]'"
    try:
        cupy = _libraries[library]()
    except ImportError as e:
        raise BackendError(f"device {name!r} needs CuPy: {install}, or use device 'numpy'") from e
    try:
        count = cupy.cuda.runtime.getDeviceCount()  # the first CUDA call; a successful import proves nothing
    except cupy.cuda.runtime.CUDARuntimeError as e:
        raise BackendError(
            f"CuPy {cupy.__version__} is installed but finds no usable GPU or driver ({e}); use device 'numpy'"
        ) from e
    if index >= count:
        raise BackendError(f"device {name!r} does not exist: this machine has {count} GPU(s)")
    try:  # load cuBLAS and compile one kernel: a half-installed CUDA shows here, not in the first training step
        with cupy.cuda.Device(index):
            a = cupy.zeros((2, 2), np.float32)
            cupy.tanh(cupy.matmul(a, a))
    except Exception as e:
        raise BackendError(
            f"CuPy {cupy.__version__} finds the GPU but cannot compute on {name!r} ({type(e).__name__}: {e}); "
            f"reinstall with the CUDA libraries: {install}"
        ) from e
    return CupyBackend(name, cupy, index)


def of(*arrays: Array) -> Backend:
    """The backend of the one device that holds all these arrays. Raises BackendError when they are on several."""
    first = _backend_of(arrays[0])
    for a in arrays[1:]:
        if _backend_of(a) is not first:
            raise BackendError(
                f"arrays on different devices, {first.name!r} and {_backend_of(a).name!r}: "
                "move them with from_host / to_host"
            )
    return first


def _backend_of(a: Array) -> Backend:
    if isinstance(a, np.ndarray):
        return _HOST
    library = type(a).__module__.partition(".")[0]
    if library not in _libraries:
        raise BackendError(f"expected a NumPy or CuPy array, got {type(a).__name__}")
    key = library, a.device.id
    if key not in _opened:  # the array exists, so its device does: nothing to check
        _opened[key] = CupyBackend(f"{library}:{key[1]}", _libraries[library](), key[1])
    return _opened[key]
