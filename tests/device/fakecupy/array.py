"""The array: memory that the host cannot touch, with the attributes and methods of cupy.ndarray that minrnn uses.

Not a subclass of numpy.ndarray, and not convertible to one: what works by accident on NumPy must fail here as it does
with CuPy. Where CuPy would work, but wait for the device or copy, that is counted.
"""

from typing import NamedTuple

import numpy as np

from fakecupy import cuda, state
from fakecupy.ledger import Violation, hit


class Flags(NamedTuple):
    """The flags that a cupy.ndarray has."""

    c_contiguous: bool
    f_contiguous: bool
    owndata: bool

    @property
    def forc(self):
        return self.c_contiguous or self.f_contiguous

    @property
    def fnc(self):
        return self.f_contiguous and not self.c_contiguous


class ndarray:
    """An array on a device: host memory that only this package opens."""

    __slots__ = ("_block", "_device", "_host")
    __hash__ = None

    def __init__(self, host, device, block=None):
        self._host, self._device = host, device
        self._block = cuda.Block(device, host.nbytes) if block is None else block

    shape = property(lambda self: self._host.shape)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    dtype = property(lambda self: self._host.dtype)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    strides = property(lambda self: self._host.strides)
    device = property(lambda self: cuda.Device(self._device))

    @property
    def flags(self):
        flags = self._host.flags
        return Flags(flags.c_contiguous, flags.f_contiguous, flags.owndata)

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[k] for k in range(len(self)))

    # What NumPy would do with it.

    def __array__(self, *_, **__):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` explicitly.")

    def __array_ufunc__(self, ufunc, *_, **__):
        raise Violation(f"np.{ufunc.__name__} on a device array: CuPy lets it pass, but never in a fused body; use xp")

    def __array_function__(self, function, *_, **__):
        raise Violation(f"np.{function.__name__} on a device array: use xp")

    def __reduce_ex__(self, _):
        raise Violation("a device array in a pickle needs a GPU to be read: use to_host")

    # What waits for the device.

    def get(self):
        state.outside_a_body("a transfer to the host")
        hit("syncs")
        return self._host.copy()

    def item(self):
        return self.get().item()

    def tolist(self):
        return self.get().tolist()

    def __float__(self):
        return float(self.get())

    def __int__(self):
        return int(self.get())

    def __bool__(self):
        return bool(self.get())

    def __repr__(self):
        return repr(self.get())

    __str__ = __repr__

    def __format__(self, spec):
        return format(self.get()[()], spec)

    # Views.

    def _view(self, host):
        state.outside_a_body("a view: make it before, and pass it")
        hit("views")
        return ndarray(host, self._device, self._block)

    @property
    def T(self):
        return self._view(self._host.T)

    def transpose(self, *axes):
        return self._view(self._host.transpose(*axes))

    def reshape(self, *shape):
        host = self._host.reshape(*shape)
        if self.size and not np.shares_memory(host, self._host):
            hit("hidden_copies")
            return launched(host, self._device)
        return self._view(host)

    # Copies.

    def copy(self):
        return self.astype(self.dtype)

    def astype(self, dtype):
        state.outside_a_body("a conversion")
        state.on_current_device("astype", self)
        return launched(self._host.astype(dtype, order="C"), self._device)

    def fill(self, value):
        state.outside_a_body("fill")
        state.on_current_device("fill", self)
        if not isinstance(value, bool | int | float):
            raise TypeError(f"fill takes a number of the host, got {type(value).__name__}")
        hit("launches")
        self._host.fill(value)

    def __getitem__(self, key):
        state.outside_a_body("an index")
        index, gathers = _index(key, self)
        if not gathers:
            return self._view(self._host[index])
        state.on_current_device("a[i]", self)
        if any(isinstance(part, np.ndarray) and part.dtype == bool for part in index):
            hit("syncs")  # how many are true, and so the shape of the result, is known to the device alone
        return launched(self._host[index], self._device)

    def __setitem__(self, key, value):
        state.outside_a_body("an assignment")
        index, scatters = _index(key, self)
        state.on_current_device("a[i] = v", self)
        masked = any(isinstance(part, np.ndarray) and part.dtype == bool for part in index)
        if isinstance(value, ndarray):
            state.on_current_device("a[i] = v", value)
            if masked:
                raise Violation("a[mask] = array is not supported")
            target = self._host if scatters else self._host[index]
            if not _same(value._host, target):
                state.count_overlap([value], ndarray(target, self._device, self._block))
            value = value._host
        elif not isinstance(value, bool | int | float):
            raise ValueError(f"non-scalar {type(value).__name__} cannot be used for fill: use from_host")
        if scatters and not masked:
            places = np.arange(self.size).reshape(self.shape)[index]
            if np.unique(places).size < places.size:
                raise Violation("an index occurs twice in a[i] = v: which value wins is undefined on a GPU")
        hit("launches")
        self._host[index] = value


def launched(host, device):
    """A new array, made by one kernel on that device."""
    hit("launches")
    return ndarray(np.asarray(host), device)


def _same(a, b):
    return a.ctypes.data == b.ctypes.data and a.strides == b.strides and a.shape == b.shape


def _index(key, array):
    """The index for NumPy, as a tuple, and whether it gathers or scatters (and is not a view)."""
    parts, found = key if isinstance(key, tuple) else (key,), []
    gathers = False
    for part in parts:
        if isinstance(part, ndarray):
            state.on_current_device("an index", part)
            found.append(part._host)
            gathers = True
        elif isinstance(part, list | np.ndarray):
            raise Violation(f"{type(part).__name__} of the host as an index of a device array: a hidden upload")
        else:
            found.append(part)
    if gathers:
        _check_range(found, array.shape)
    elif Ellipsis not in found:
        found.append(...)  # so that a[0] of a vector is a 0-d view, not a number
    return tuple(found), gathers


def _check_range(index, shape):
    if not isinstance(index[0], np.ndarray):
        raise Violation("arrays of indices are supported here from the first axis on")
    for part, length in zip(index, shape, strict=False):
        if isinstance(part, np.ndarray) and part.dtype != bool:
            state.check_ids(part, length)
