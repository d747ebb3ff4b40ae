"""What array.py, functions.py and fusion.py share: the rules about devices and memory, and whether a body is traced."""

import numpy as np

from fakecupy import cuda
from fakecupy.ledger import Violation, hit

body = None  # the fused body that runs now


def on_current_device(name, array):
    """Raises Violation for an array of another device: CuPy fails, or reads across the bus, slowly."""
    if array._device != cuda.current:
        raise Violation(f"{name}: array on device {array._device}, but the current one is {cuda.current}: enter scope")


def outside_a_body(what):
    """Raises Violation in a fused body, for what cupy.fuse cannot trace."""
    if body is not None:
        raise Violation(f"{body.name}: cupy.fuse cannot trace {what}")


def count_overlap(inputs, out, in_place=True):
    """Count the inputs that CuPy copies because the bounds of their memory overlap those of `out`.

    An input that is the very object `out` is not copied, unless the operation cannot work `in_place`.
    """
    for x in inputs:
        if not (in_place and x is out) and np.may_share_memory(x._host, out._host):
            hit("hidden_copies")
            cuda.Block(x._device, x.nbytes)


def check_ids(ids, length):
    """Raises Violation for an id that is not in 0 … length-1: CuPy takes it modulo the length."""
    if ids.size and (ids.min() < 0 or ids.max() >= length):
        raise Violation(f"ids {ids.min()} … {ids.max()} for an axis of length {length}: CuPy wraps around")
