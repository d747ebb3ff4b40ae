"""Checks at the border of a kernel: a wrong shape is named before any arithmetic starts.

Not a kernel. NumPy would broadcast a state of shape (1, H) or (H,) without a word and the gradients would come out in
another shape than the arguments.
"""

from typing import Any


def expect(name: str, array: Any, shape: tuple[int, ...], meaning: str) -> None:
    """Raise ValueError unless `array.shape == shape`; `meaning` spells the shape in letters, such as "(B, H)"."""
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {meaning} = {shape}")


def is_ids(x: Any) -> bool:
    """Whether `x` holds integer ids, which stand for one-hot rows."""
    return x.dtype.kind in "iu"


def rows(place: Any) -> Any:
    """A place (..., M) to be written, seen as (N,M). Raises ValueError where that would be a copy, lost at once."""
    if not place.flags.c_contiguous:
        raise ValueError(f"results can only be written into a C-contiguous array, got strides {place.strides}")
    return place.reshape(-1, place.shape[-1])


def steps_batch_width(x: Any, Wx: Any) -> tuple[int, int, int]:
    """T, B and D of the input of a recurrence: x (T,B,D), or ids (T,B) into the D rows of Wx.

    Raises ValueError for any other number of axes, for T = 0 and for a width that does not fit Wx.
    """
    axes, spelled = (2, "(T, B)") if is_ids(x) else (3, "(T, B, D)")
    if x.ndim != axes:
        raise ValueError(f"x of dtype {x.dtype} has shape {x.shape}, expected {spelled}")
    if not is_ids(x) and x.shape[2] != Wx.shape[0]:
        raise ValueError(f"x has shape {x.shape}, but Wx {Wx.shape} wants inputs of width D = {Wx.shape[0]}")
    if x.shape[0] == 0:
        raise ValueError("x has no time steps: T must be at least 1")
    return x.shape[0], x.shape[1], Wx.shape[0]
