"""The two lines that most update rules share, to be used inside the bodies that a backend fuses. Not rules.

A body is a function of arrays of one shape and Python floats that returns nothing. It calls ufuncs with
out= only, so that NumPy makes no temporaries and a GPU runs the whole body as one kernel.
"""

from typing import Any

from minrnn.backend import Array


def average(xp: Any, m: Array, x: Array, past: float, new: float, u: Array) -> None:
    """m ← past·m + new·x; u is scratch and may be x itself."""
    xp.multiply(m, past, out=m)
    xp.multiply(x, new, out=u)
    xp.add(m, u, out=m)


def descend(xp: Any, p: Array, direction: Array, lr: float, u: Array) -> None:
    """θ ← θ − η·direction; u is scratch and may be direction itself."""
    xp.multiply(direction, lr, out=u)
    xp.subtract(p, u, out=p)
