"""The mistakes of a loop that writes text, and of networks that are stacked or go both ways. Only names."""

from collections.abc import Callable, Iterator

from minrnn.grading.reference import Bug
from minrnn.grading.variants.recurrent import forward_bug, forward_of_rnn

STARTS = ("no input", "id 0", "first", "state")
LENGTHS = ("too few", "too many", "first left out", "prefix for last", "prefix too")
ENDS = ("end passed", "end not added")


def char_sample() -> Iterator[Bug]:
    """The loop that feeds each id back."""
    yield from (forward_bug("state-not-carried", where) for where in ("h", "later"))
    yield forward_bug("sample-not-fed-back")
    yield forward_bug("sample-input-not-reset")
    yield from (forward_bug("sample-wrong-length", where) for where in ENDS)
    yield from (forward_bug("sample-wrong-start", where) for where in STARTS)
    yield from (forward_bug("sample-wrong-length", where) for where in LENGTHS)
    yield forward_bug("initial-state-ignored", "h0")
    yield forward_bug("wrong-previous-state", "h")
    yield from _network()


def _network() -> Iterator[Bug]:
    yield from forward_of_rnn()
    yield forward_bug("missing-transpose", "Wh")
    yield from (forward_bug("bias-missing", where) for where in ("b", "by"))


def _loop() -> Iterator[Bug]:
    yield forward_bug("initial-state-ignored", "h0")
    yield forward_bug("state-not-carried", "h")
    yield from (forward_bug("time-loop-skips-step", "first", start=start) for start in ("h0", "zeros"))
    yield forward_bug("time-loop-skips-step", "last")
    yield from _network()
    yield forward_bug("nonlinearity-missing", "y")


def deep_rnn() -> Iterator[Bug]:
    """Layers on top of each other."""
    yield from (forward_bug("wrong-layer-input", where) for where in ("first", "before", "h0", "y"))
    yield from _loop()


def bidirectional_rnn() -> Iterator[Bug]:
    """A network in each direction."""
    yield forward_bug("time-loop-wrong-direction", "r")
    yield forward_bug("wrong-variable-returned", "r reversed")
    yield from (forward_bug("wrong-direction-weights", where) for where in ("r", "h"))
    yield forward_bug("concat-order-swapped", "h r")
    yield forward_bug("wrong-previous-state", "h0 r0")
    yield forward_bug("initial-state-ignored", "r0")
    yield from _loop()


SAMPLING: dict[str, Callable[[], Iterator[Bug]]] = {
    "char_sample": char_sample,
    "deep_rnn": deep_rnn,
    "bidirectional_rnn": bidirectional_rnn,
}
