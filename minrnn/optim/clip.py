"""Gradient clipping, in place. Not a repair of NaN: a norm that is NaN makes every entry NaN.

The rules are those of torch.nn.utils.clip_grad_norm_ and clip_grad_value_. Nothing here waits for a GPU:
the norm is returned as a 0-d array, and the scale is applied without looking at it.
"""

from collections.abc import Mapping, Sequence

from minrnn import backend
from minrnn.backend import Array
from minrnn.optim.blocks import blocks
from minrnn.optim.validate import positive

Gradients = Array | Sequence[Array] | Mapping[str, Array]


def grad_norm(grads: Gradients) -> Array:
    """Return the 2-norm of all gradients taken together, as one long vector.

    Args:
        grads: one array, or a sequence or mapping of arrays of any shapes; only read.

    Returns:
        0-d array of the gradients' library and dtype.

    Raises:
        ValueError: no array given.
    """
    arrays = _arrays(grads)
    bk = backend.of(*arrays)
    with bk.scope():
        total = bk.xp.zeros((1, 1), dtype=arrays[0].dtype)
        part = bk.xp.empty((1, 1), dtype=arrays[0].dtype)
        for array in arrays:
            flat = array.reshape(-1)
            for block in blocks(bk, flat.size):
                # x·x as a product needs no array of squares (CuPy makes one, in its pool). Adding up block by block
                # keeps float32 accurate: one product over 10 million entries is wrong by 5e-5, in blocks by 2e-8.
                x = flat[block]
                bk.matmul(x.reshape(1, -1), x.reshape(-1, 1), out=part)
                bk.xp.add(total, part, out=total)
        return bk.xp.sqrt(total).reshape(())


def clip_grad_norm(grads: Gradients, max_norm: float, norm: Array | None = None) -> Array:
    """Scale all gradients by min(1, max_norm / (norm + 1e-6)), in place, and return the norm BEFORE clipping.

    One factor for all arrays, so the direction of the whole gradient stays. The 1e-6 is PyTorch's: the
    clipped norm lies slightly below max_norm. An infinite norm gives the factor 0, as in PyTorch: finite
    entries become 0, infinite ones NaN.

    Args:
        grads: one array, or a sequence or mapping of arrays; overwritten.
        max_norm: the largest norm allowed, > 0.
        norm: what to compare with it, a 0-d array; None is the norm of grads. Another one is wanted where grads are
            parts of a gradient, or where some of them count twice.

    Returns:
        0-d array, the norm before clipping.

    Raises:
        ValueError: max_norm is not > 0, or no array given.
    """
    max_norm = positive("max_norm", max_norm)
    norm = grad_norm(grads) if norm is None else norm
    arrays = _arrays(grads)
    bk = backend.of(*arrays)
    with bk.scope():
        scale = bk.xp.minimum(max_norm / (norm + 1e-6), 1.0)
        for array in arrays:
            bk.xp.multiply(array, scale, out=array)
    return norm


def clip_grad_value(grads: Gradients, limit: float) -> None:
    """Move every entry into [-limit, limit], in place. This changes the direction of the gradient.

    Args:
        grads: one array, or a sequence or mapping of arrays; overwritten. NaN stays NaN.
        limit: the largest absolute value allowed, > 0.

    Raises:
        ValueError: limit is not > 0, or no array given.
    """
    limit = positive("limit", limit)
    arrays = _arrays(grads)
    bk = backend.of(*arrays)
    with bk.scope():
        for array in arrays:
            bk.xp.clip(array, -limit, limit, out=array)


def _arrays(grads: Gradients) -> list[Array]:
    if isinstance(grads, Mapping):
        arrays = list(grads.values())
    elif isinstance(grads, Sequence):
        arrays = list(grads)
    else:
        arrays = [grads]
    if not arrays:
        raise ValueError("no gradients to clip: pass at least one array")
    return arrays
