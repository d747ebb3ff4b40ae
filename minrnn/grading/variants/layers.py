"""The mistakes of the layers around a cell: affine, embedding, softmax loss. Only names."""

from collections.abc import Callable, Iterator

from minrnn.grading.reference import Bug
from minrnn.grading.variants.recurrent import bug, forward_bug


def affine(temporal: bool) -> Iterator[Bug]:
    """The affine layer; `temporal` if it is applied at every time step."""
    yield forward_bug("bias-missing", "b")
    yield forward_bug("nonlinearity-wrong", "out")
    yield bug("upstream-ignored", "out")
    yield bug("bias-gradient-scalar", "db")
    yield bug("bias-gradient-scalar", "db", spread=True)
    yield from (bug("bias-gradient-from-weights", "db", axis=axis) for axis in (0, 1))
    for where in ("dw", "db", "dw db"):
        yield from (bug("gradient-not-accumulated", where, example=example) for example in ("first", "last"))
    yield bug("bias-gradient-wrong-axis", "db")
    if temporal:
        yield from (bug("bias-gradient-wrong-axis", "db", axes=only) for only in ("examples", "steps"))
    yield bug("activation-used-as-delta", "dw")
    yield bug("missing-transpose", "dw")
    yield from (bug("sign-flipped", t) for t in ("all", "dx", "dw", "db"))
    for by in ("N", "T", "NT") if temporal else ("N",):
        yield from (bug("mean-instead-of-sum", t, by=by) for t in ("all", "dw db", "dx", "dw", "db"))
    for factor in (0.0, 2.0):
        yield from (bug("gradient-added-to-itself", t, factor=factor) for t in ("dx", "dw", "db"))
    for a, b in (("dx", "dw"), ("dw", "db"), ("dx", "db")):
        yield bug("wrong-variable-returned", a, value=b)
    if not temporal:
        for order in ("last axis first", "examples"):
            yield forward_bug("wrong-flatten", "features", order=order)
            yield bug("wrong-flatten", "features", order=order)
    if temporal:
        yield forward_bug("wrong-flatten", "x")
        yield bug("wrong-flatten", "dw")
        for where in ("dw db", "dw", "db"):
            yield from (bug("gradient-not-accumulated", where, step=step) for step in ("first", "last"))


def embedding() -> Iterator[Bug]:
    """The embedding."""
    for index in ("first step", "first example"):
        yield forward_bug("embedding-wrong-index", index=index)
        yield bug("embedding-wrong-index", "dW", index=index)
        yield bug("embedding-wrong-index", "dW", upstream=index)
    yield from (forward_bug("embedding-wrong-index", index="shifted", shift=shift) for shift in (-1, 1))
    for kept in ("last", "first", "last of other order", "last of each step", "last of each row"):
        yield bug("embedding-duplicates-lost", "dW", kept=kept)
    yield from (bug("embedding-wrong-index", "dW", index="shifted", shift=shift) for shift in (-1, 1))
    neighbours = ("previous step", "next step", "previous example", "next example")
    for index in ("other axis", "axes exchanged", *neighbours):
        yield forward_bug("embedding-wrong-index", index=index)
        yield bug("embedding-wrong-index", "dW", index=index)
    yield bug("embedding-wrong-index", "dW", index="row 0")
    for end in ("first", "last"):
        yield forward_bug("time-loop-skips-step", end)
        yield bug("time-loop-skips-step", end)
    yield bug("upstream-ignored", "out")
    yield bug("unknown-cause", "dW", start="weights")
    yield bug("wrong-flatten", "dW")
    yield bug("gradient-not-accumulated", "dW", example="first")
    yield bug("mean-instead-of-sum", "occurrences")
    yield bug("bias-gradient-scalar", "dW")
    yield bug("sign-flipped", "dW")
    yield from (bug("mean-instead-of-sum", "dW", by=by) for by in ("N", "T", "NT"))
    yield from (bug("gradient-added-to-itself", "dW", factor=factor) for factor in (0.0, 2.0))


def softmax_loss() -> Iterator[Bug]:
    """The softmax with its loss."""
    for where in ("targets", "mask", "targets mask"):
        yield from (forward_bug("wrong-flatten", where, order=order) for order in ("own", "other"))
    yield forward_bug("mask-ignored", "loss")
    yield bug("mask-ignored", "dx")
    yield from (forward_bug("softmax-wrong-axis", "loss", axis=axis) for axis in (0, 1, "all"))
    yield forward_bug("sign-flipped", "loss")
    yield forward_bug("nonlinearity-missing", "loss")
    yield bug("softmax-target-not-subtracted", "dx")
    yield bug("sign-flipped", "dx")
    for code in ("mean-instead-of-sum", "sum-instead-of-mean"):
        for reduction in ("mean", "mask", "steps", "batch", "sum"):
            yield forward_bug(code, "loss", reduction=reduction)
            yield bug(code, "dx", reduction=reduction)


LAYERS: dict[str, Callable[[], Iterator[Bug]]] = {
    "affine": lambda: affine(temporal=False),
    "temporal_affine": lambda: affine(temporal=True),
    "embedding": embedding,
    "softmax_loss": softmax_loss,
}
