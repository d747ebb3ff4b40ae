"""cupy.fuse: a body of ufuncs becomes one kernel, which one thread runs from end to end for each entry.

Checked is what the tracer refuses, and what it lets pass to go wrong: an output that is smaller than the kernel, and
memory that a thread writes and another one reads.
"""

import numpy as np

from fakecupy import state
from fakecupy.array import ndarray
from fakecupy.ledger import Violation, counts, hit


class Body:
    """A body while it runs: what it was given, and what it has written."""

    def __init__(self, name, args):
        self.name, self.written = name, []
        self.arrays = [a for a in args if isinstance(a, ndarray)]
        self.shape = np.broadcast_shapes(*(a.shape for a in self.arrays))

    def check(self, name, inputs, out):
        """Called by every ufunc in the body."""
        if out is None:
            raise Violation(f"{self.name}: {name} without out= makes a temporary array on NumPy")
        for x in (*inputs, out):
            if isinstance(x, ndarray) and not any(x is a for a in self.arrays):
                raise Violation(f"{self.name}: {name} uses an array that is not an argument")
        if out.shape != self.shape:
            raise Violation(f"{self.name}: {name} writes {out.shape} in a kernel of {self.shape}: entries overwritten")
        if not any(out is a for a in self.written):
            self.written.append(out)

    def check_memory(self):
        """Raises Violation where an output shares memory with another argument: threads come in any order."""
        for out in self.written:
            for a in self.arrays:
                if a is not out and np.may_share_memory(a._host, out._host) and np.shares_memory(a._host, out._host):
                    raise Violation(f"{self.name}: an output shares memory with another argument")


def fuse(function):
    """The body as one kernel. The arguments are positional: arrays whose shapes broadcast, and numbers."""

    def call(*args):
        for a in args:
            if not isinstance(a, ndarray | bool | int | float | np.generic):
                raise TypeError(f"Invalid argument type for {function.__name__!r}: {type(a)}")
            if isinstance(a, ndarray):
                state.on_current_device(function.__name__, a)
        if state.body is not None:
            raise Violation(f"{state.body.name} calls the fused {function.__name__}: call the plain function")
        body = state.body = Body(function.__name__, args)
        drifts = counts["drifts"]
        try:
            result = function(*args)
        finally:
            state.body = None
        body.check_memory()
        if result is not None:
            raise Violation(f"{function.__name__} returns something: CuPy would make a copy of it")
        if any(isinstance(a, np.float64) for a in args) and counts["drifts"] == drifts:
            hit("drifts")
        hit("launches")

    call.__name__ = function.__name__
    return call
