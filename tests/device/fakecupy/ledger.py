"""What happened on the stand-in, counted; and the events that a test forbids.

The events, and what each costs on a GPU:

    launches        kernels, products and copies on the device: 10 µs of a CPU each, whatever their size
    arrays          new arrays, each a request to the memory pool
    bytes           the sizes of these arrays
    allocations     requests that no freed block could serve: cudaMalloc, which waits for the device
    syncs           the host waited for the device
    uploads         transfers from the host, through pinned memory: nobody waits
    hidden_copies   copies that CuPy makes without being asked
    drifts          float32 that became float64
    views           new view objects: 1.5 µs of a CPU each
"""

import collections
import contextlib

counts = collections.Counter()
_forbidden: set[str] = set()


class Violation(AssertionError):
    """Something that fails on a GPU, is wrong there without a word, or was forbidden here."""


def hit(kind, number=1):
    """Count an event. Raises Violation where it is forbidden."""
    counts[kind] += number
    if kind in _forbidden:
        raise Violation(f"{kind} are forbidden here")


@contextlib.contextmanager
def forbid(*kinds):
    """Make these events raise Violation, so that a test fails on the line that causes one."""
    before = set(_forbidden)
    _forbidden.update(kinds)
    try:
        yield
    finally:
        _forbidden.clear()
        _forbidden.update(before)


@contextlib.contextmanager
def measure():
    """Yield a Counter that holds, after the block, what happened inside."""
    before, found = counts.copy(), collections.Counter()
    try:
        yield found
    finally:
        found.update(counts)
        found.subtract(before)
