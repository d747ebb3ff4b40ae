"""Devices, the current one of which is what kernels run on, and memory pools, one of which is on by default.

Streams, events and graphs are in graphs.py, and are found here as in CuPy.
"""

import collections
import contextlib
import types

from fakecupy.ledger import Violation, hit

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


runtime = types.SimpleNamespace(getDeviceCount=lambda: DEVICES, CUDARuntimeError=CUDARuntimeError)


class MemoryPool:
    """Memory that is kept when it is freed; it speaks of the current device."""

    def __init__(self):
        self.free = collections.Counter()  # (device, bytes) -> blocks that wait to be used again
        self.held = collections.Counter()  # device -> bytes that the pool has from the driver
        self.sealed = False  # a graph uses what is free here

    def malloc(self, size):
        """To be named to using_allocator."""
        raise Violation("ask for arrays, not for memory")

    def total_bytes(self):
        return self.held[current]

    def free_all_blocks(self):
        """Give back to the driver what no array holds."""
        for device, nbytes in list(self.free):
            if device == current:
                self.held[device] -= nbytes * self.free.pop((device, nbytes))


default_pool = MemoryPool()
allocators = [default_pool]  # the last one is asked


@contextlib.contextmanager
def using_allocator(malloc):
    allocators.append(malloc.__self__)
    try:
        yield
    finally:
        allocators.pop()


class Block:
    """Device memory of an array and its views; back in the pool when the last of them is gone."""

    def __init__(self, device, nbytes):
        self.pool, self._key = allocators[-1], None  # until it has been taken from there
        if self.pool.sealed:
            raise Violation("the pool of a graph is asked for memory: what is free there, the graph writes to")
        key = device, -(-max(nbytes, 1) // 512) * 512  # the pool hands out multiples of 512 bytes
        hit("arrays")
        hit("bytes", nbytes)
        if self.pool.free[key]:
            self.pool.free[key] -= 1
        else:
            hit("allocations")
            self.pool.held[device] += key[1]
        self._key = key

    def __del__(self):
        if self._key is not None:
            self.pool.free[self._key] += 1
