"""A strict stand-in for CuPy: numbers by NumPy, rules by CuPy 14.

    import fakecupy
    minrnn.backend.register("fakecupy", lambda: fakecupy)
    model = CharRNN(65, device="fakecupy:1")

It allows what minrnn may use and refuses everything else; makes loud what is wrong on a GPU without a word (ids out of
range, memory that nobody has written, arrays of another device); and counts what costs time there (fakecupy.ledger).
Results are those of NumPy bit for bit, so what is compared is not numbers but whether the same code runs.

What this is not: an emulation. It cannot show races in a kernel, the accuracy of cuBLAS, or speed.
"""

import numpy as np

from fakecupy import cublas, cuda, graphs
from fakecupy.array import ndarray
from fakecupy.functions import *  # noqa: F403 (the names of CuPy; all others are refused)
from fakecupy.fusion import fuse
from fakecupy.ledger import Violation, counts, forbid, measure

float32, float64, int32, int64, intp, bool_ = np.float32, np.float64, np.int32, np.int64, np.intp, np.bool_
__version__ = "14.2 (stand-in)"
graphs.watch(globals())
__all__ = ["Violation", "counts", "cublas", "cuda", "forbid", "fuse", "measure", "ndarray"]


def __getattr__(name):
    raise AttributeError(f"fakecupy has no {name!r}: add it after checking that CuPy has it")
