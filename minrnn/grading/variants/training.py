"""The mistakes of a character model's loss function, of update rules and of clipping. Only names."""

from collections.abc import Callable, Iterator

from minrnn.grading.reference import Bug
from minrnn.grading.variants import recurrent
from minrnn.grading.variants.recurrent import bug, forward_bug

WEIGHTS = ("dWx", "dWh", "dWy", "db", "dby")
# What min-char-rnn's function does not return or take: initial states' gradients, dx, a batch.
ABSENT = ("dx", "dh0", "dh_prev", "y", "by", "previous", "rows")


def char_rnn_loss() -> Iterator[Bug]:
    """The loss of a character model with its gradients."""
    found = [*recurrent.forward_of_loop(("h",)), *recurrent.forward_of_rnn(), *recurrent.forward_of_any()]
    yield forward_bug("nonlinearity-missing", "h", slope="tanh")
    yield from (forward_bug("nonlinearity-wrong", "h", kind=kind, slope="tanh") for kind in ("sigmoid", "relu"))
    yield forward_bug("mean-instead-of-sum", "loss", by="T")
    yield forward_bug("sign-flipped", "loss")
    yield forward_bug("gradient-not-accumulated", "loss")
    yield forward_bug("softmax-wrong-axis", "loss")
    yield forward_bug("embedding-wrong-index", "ids")
    yield bug("sign-flipped", "target")
    yield from (bug("time-loop-skips-step", end, loop="the only one") for end in ("first", "last"))
    yield from (forward_bug("wrong-previous-state", "h", vector=v) for v in ("h0", "before last", "first"))
    yield forward_bug("wrong-previous-state", "y", vector="h_prev")
    yield forward_bug("bias-missing", "by")
    yield bug("softmax-target-not-subtracted", "dWy")
    yield bug("wrong-previous-state", "Wy")
    found += [*recurrent.backward_of_loop(("h",), gates=1), *recurrent.backward_of_rnn(step=False)]
    found += [*recurrent.previous_hidden(step=False), *recurrent.backward_of_any()]
    yield from (b for b in found if _concerns(b))
    for where in (" ".join(WEIGHTS), *WEIGHTS):
        for step in ("first", "last"):
            yield bug("gradient-not-accumulated", where, step=step)
        yield bug("sign-flipped", where)
        yield bug("mean-instead-of-sum", where, by="T")
        yield from (bug("gradient-added-to-itself", where, factor=factor) for factor in (0.0, 2.0))
    yield from (bug("missing-transpose", w) for w in ("dWx", "dWh"))
    yield from (bug("bias-gradient-scalar", w) for w in ("db", "dby"))
    yield bug("bias-gradient-scalar", "db", spread=True)
    yield from (bug("clip-wrong-kind", kind) for kind in ("none", "upper"))


def _concerns(b: Bug) -> bool:
    """Whether the mistake can be seen here: with one-hot rows, a batch of one and no gradient of x or h0."""
    if "example" in b.detail or b.code.startswith("initial-state-gradient") or "softmax" in b.code:
        return False
    transposed = b.code == "elementwise-for-matmul" or (b.code, b.where) == ("missing-transpose", "dh_prev")
    stays = transposed or b.where == "dh_prev"
    return stays or not any(word in ABSENT for word in b.where.split())


def _common(*extra: Bug) -> Iterator[Bug]:
    yield forward_bug("sign-flipped")
    yield forward_bug("constant-factor", "lr")
    yield from extra


def _averaging(*extra: Bug) -> Iterator[Bug]:
    yield from _common(
        forward_bug("root-missing"),
        forward_bug("state-not-carried", "cache"),
        forward_bug("wrong-previous-state", "cache"),
        forward_bug("square-missing"),
        forward_bug("square-missing", signed=True),
        forward_bug("adam-epsilon-inside-root"),
        *extra,
    )


def momentum() -> Iterator[Bug]:
    """Momentum."""
    return _common(
        forward_bug("state-not-carried", "v"),
        forward_bug("sign-flipped", "v"),
        forward_bug("wrong-previous-state", "v"),
        forward_bug("upstream-ignored", "v"),
    )


def adam() -> Iterator[Bug]:
    """Adam."""
    yield from (forward_bug("adam-no-bias-correction", where) for where in ("mv", "m", "v"))
    yield forward_bug("adam-beta-without-power")
    yield forward_bug("adam-correction-multiplied")
    yield from (forward_bug("adam-corrected-moment-stored", where) for where in ("mv", "m", "v"))
    yield from (forward_bug("adam-step-counter", shift=shift) for shift in (-1, 1))
    yield forward_bug("state-not-carried", "t")
    yield forward_bug("root-missing")
    yield forward_bug("square-missing")
    yield forward_bug("square-missing", signed=True)
    yield forward_bug("decay-complement")
    yield forward_bug("adam-epsilon-inside-root")
    yield from _common()


def clip_value() -> Iterator[Bug]:
    """Clipping by value."""
    for kind in ("norm", "norm of each", "none", "upper", "lower", "from zero", "zeroed", "tanh"):
        yield forward_bug("clip-wrong-kind", kind)


def clip_norm() -> Iterator[Bug]:
    """Clipping by norm."""
    yield forward_bug("clip-norm-per-parameter")
    yield from (forward_bug("clip-wrong-kind", kind) for kind in ("value", "none", "always", "L1", "norm of one"))
    yield forward_bug("root-missing")


TRAINING: dict[str, Callable[[], Iterator[Bug]]] = {
    "char_rnn_loss": char_rnn_loss,
    "sgd": _common,
    "momentum": momentum,
    "rmsprop": lambda: _averaging(forward_bug("decay-complement")),
    "adagrad": _averaging,
    "adam": adam,
    "clip_value": clip_value,
    "clip_norm": clip_norm,
}
