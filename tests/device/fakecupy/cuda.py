"""Devices, the current one of which is what kernels run on, and the memory pool of CuPy, on by default."""

import collections
import types

from fakecupy.ledger import hit

DEVICES = 2
current = 0


class CUDARuntimeError(RuntimeError):
    """What CuPy raises for everything that the CUDA runtime reports."""


class Device:
    """A GPU; as a context manager, which may be entered again inside itself, the current one."""

    def __init__(self, index=0):
        self.id, self._before = int(index), []

    def __enter__(self):
        global current  # noqa: PLW0603 (as in CuPy, there is one current device)
        self._before.append(current)
        current = self.id
        return self

    def __exit__(self, *_):
        global current  # noqa: PLW0603
        current = self._before.pop()


class Stream:
    """The one stream there is."""

    def synchronize(self):
        hit("syncs")


def get_current_stream():
    return Stream()


runtime = types.SimpleNamespace(getDeviceCount=lambda: DEVICES, CUDARuntimeError=CUDARuntimeError)

_free: collections.Counter = collections.Counter()  # (device, bytes) -> blocks that wait to be used again
_held = [0]  # bytes that the pool has from the driver


class Block:
    """Device memory of an array and its views; back in the pool when the last of them is gone."""

    def __init__(self, device, nbytes):
        self._pool = None  # until it has been taken from there
        key = device, -(-max(nbytes, 1) // 512) * 512  # the pool hands out multiples of 512 bytes
        hit("arrays")
        hit("bytes", nbytes)
        if _free[key]:
            _free[key] -= 1
        else:
            hit("allocations")
            _held[0] += key[1]
        self._pool, self._key = _free, key

    def __del__(self):
        if self._pool is not None:
            self._pool[self._key] += 1


class MemoryPool:
    """The pool, as far as it can be asked."""

    def total_bytes(self):
        return _held[0]

    def free_all_blocks(self):
        """Give back to the driver what no array holds."""
        _held[0] -= sum(nbytes * number for (_, nbytes), number in _free.items())
        _free.clear()
