"""The mistakes that a plain recurrent network and every other cell can have: in a step, in the loop, in the end.

Only names; what each does is written beside the right line in minrnn.grading.reference.
"""

from collections.abc import Iterator
from itertools import combinations

from minrnn.grading.reference import Bug

# In place of the slope 1 − s² of tanh, and of the slope s(1 − s) of the sigmoid.
TANH_FORMS = ("1-s", "1+s²", "sigmoid", "s", "s²", "(1-s)²", "√(1-s²)", "1-a²", "tanh(d)", "1+s", "twice")
SIGMOID_FORMS = (
    *("1-s", "tanh", "s", "sigmoid twice", "a(1-a)", "1-a²", "s²", "1+s"),
    *("s(1+s)", "s(1-s²)", "sigmoid's twice"),
)
# Of upstream · derivative, where brackets are missing.
TANH_UNBRACKETED = ("d - s²", "1 - s² d")
SIGMOID_UNBRACKETED = ("d s - s", "s - s d")

# Where a course has two biases in place of one, this much of it is in the first and in the second of them.
BIAS_SHARES = (0.3, 0.7)


def forward_bug(code: str, where: str = "", **detail: object) -> Bug:
    """A mistake of the forward pass."""
    return Bug(code, where, detail, "forward")


def bug(code: str, where: str = "", **detail: object) -> Bug:
    """A mistake of the backward pass."""
    return Bug(code, where, detail)


def tanh_slopes(gates: str) -> Iterator[Bug]:
    """The slope of a tanh."""
    yield bug("tanh-derivative-missing", gates)
    yield bug("tanh-applied-twice", gates)
    yield bug("tanh-derivative-of-gradient", gates)
    for form in TANH_FORMS:
        yield bug("wrong-activation-derivative", gates, form=form)
    for form in TANH_UNBRACKETED:
        yield bug("derivative-precedence", gates, form=form)


def sigmoid_slopes(gates: str) -> Iterator[Bug]:
    """The slope of one sigmoid gate, or the same mistake in several."""
    yield bug("sigmoid-derivative-missing", gates)
    for form in SIGMOID_FORMS:
        yield bug("wrong-activation-derivative", gates, form=form)
    if len(gates) == 1:
        yield from (bug("derivative-precedence", gates, form=form) for form in SIGMOID_UNBRACKETED)


def forward_of_rnn() -> Iterator[Bug]:
    """The forward of a step of the plain network."""
    yield forward_bug("nonlinearity-missing", "h")
    yield forward_bug("nonlinearity-wrong", "h", kind="sigmoid")
    yield forward_bug("nonlinearity-wrong", "h", kind="relu")


def forward_of_any() -> Iterator[Bug]:
    """The forward of a step of any cell."""
    yield forward_bug("concat-order-swapped", "h")
    yield forward_bug("concat-order-swapped", "x")
    yield forward_bug("missing-transpose", "Wh")
    yield forward_bug("bias-missing", "b")
    yield forward_bug("sign-flipped", "b")
    yield from one_of_two_biases()
    yield forward_bug("initial-state-ignored", "h_prev")
    yield forward_bug("nonlinearity-missing", "y")
    yield forward_bug("bias-missing", "by")
    yield forward_bug("softmax-wrong-axis", "y", axis="batch")
    yield forward_bug("softmax-wrong-axis", "y", axis="all")
    yield forward_bug("wrong-previous-state", "y", vector="h_prev")


def one_of_two_biases(**gate: str) -> Iterator[Bug]:
    """One of two biases that are added is left out, or the other one stands in its place."""
    for share in BIAS_SHARES:
        yield forward_bug("bias-missing", "one of two", share=share, **gate)
        yield forward_bug("bias-missing", "one of two", twice=share, **gate)


def forward_of_loop(states: tuple[str, ...]) -> Iterator[Bug]:
    """The loop of the forward."""
    yield from (forward_bug("initial-state-ignored", f"{s}0") for s in states)
    yield from (forward_bug("state-not-carried", s) for s in states)
    yield from (forward_bug("state-not-carried", s, step="first") for s in states)
    yield from (forward_bug("state-not-carried", s, only="second") for s in states)
    yield from (forward_bug("wrong-previous-state", "two before", states=s) for s in states)
    if len(states) > 1:
        yield forward_bug("initial-cell-wrong", "c0")
        yield forward_bug("initial-cell-wrong", "h0 c0")
        yield forward_bug("state-not-carried", "".join(states))
        yield forward_bug("wrong-variable-returned", "h", value="c", exchanged=True)
        yield forward_bug("wrong-variable-returned", "h", value="c")
        yield forward_bug("wrong-variable-returned", "c", value="h")
        yield forward_bug("state-not-carried", "".join(states), step="first")
        yield forward_bug("state-not-carried", "".join(states), only="second")
        yield from (forward_bug("wrong-previous-state", "carried", vector=s) for s in states)
        yield forward_bug("wrong-previous-state", "two before", states="".join(states))
        yield forward_bug("wrong-previous-state", "exchanged")
        yield forward_bug("wrong-variable-returned", "states")
    yield forward_bug("wrong-variable-returned", "previous")
    yield forward_bug("state-not-carried", "rows")
    yield forward_bug("time-loop-wrong-direction")
    yield from (forward_bug("time-loop-wrong-direction", where) for where in ("x", "rows"))
    yield from (forward_bug("time-loop-skips-step", "first", start=start) for start in ("h0", "zeros", "row 0"))
    yield forward_bug("time-loop-skips-step", "last")


def backward_of_rnn(step: bool) -> Iterator[Bug]:
    """The reverse of a step of the plain network."""
    yield from tanh_slopes("h")
    yield bug("cache-order-mismatch", "h_prev h")
    yield bug("wrong-previous-state", "dh", form="1-h_prev²")
    for tensor in ("dx", "dh_prev", "dWx", "dWh", "dWx dWh", "db"):
        yield bug("tanh-derivative-missing", tensor)
    yield bug("upstream-ignored", "da", value="ones")
    if step:
        yield from (bug("wrong-variable-returned", "step", value=value) for value in ("da", "dh"))
    else:
        yield bug("sign-flipped", "h")
        yield bug("derivative-precedence", "carry")
        yield bug("derivative-precedence", "upstream")


def backward_of_any() -> Iterator[Bug]:
    """The reverse of x Wx + h Wh + b."""
    for tensor in ("dWx", "dWh", "dWx dWh", "db", "dx", "dh_prev"):
        yield bug("activation-used-as-delta", tensor)
    for example in ("first", "last"):
        for tensor in ("dWx", "dWh", "db", "dWx dWh db"):
            yield bug("gradient-not-accumulated", tensor, example=example)
    yield bug("missing-transpose", "dh_prev")
    yield from (bug("elementwise-for-matmul", "dh_prev", by=by) for by in ("diagonal", "row sums", "column sums"))
    for where in ("dx dh_prev", "dWx dWh"):
        yield from (bug("concat-order-swapped", where, first=first) for first in ("h", "x"))


def previous_hidden(step: bool) -> Iterator[Bug]:
    """Another vector in the place of h_prev."""
    if step:
        yield bug("wrong-previous-state", "h", vector="next")
    else:
        yield from spoilt_states("h")
        yield bug("wrong-previous-state", "h", vector="next")


def spoilt_states(state: str) -> Iterator[Bug]:
    """The histories of a state that a loop reads in its backward."""
    yield from (bug("cached-view-overwritten", state, vector=v) for v in ("last", "first", "final"))
    yield from (bug("wrong-previous-state", state, vector=v) for v in ("before last", "start", "two before"))
    yield bug("initial-state-ignored", f"{state}0", vector="zeros")


def backward_of_loop(states: tuple[str, ...], gates: int) -> Iterator[Bug]:
    """The loop of the backward: what is carried, from where to where."""
    yield bug("missing-time-carry")
    if len(states) > 1:
        yield bug("missing-hidden-carry")
        yield bug("missing-cell-carry")
        yield from (bug("missing-hidden-carry", unit) for unit in "oc")
    yield from (bug("upstream-last-step-only", where) for where in ("h", "every step", "first row"))
    yield from (bug("upstream-ignored", "h", value=value) for value in ("ones", "zeros"))
    yield from (bug("time-loop-skips-step", end) for end in ("first", "last"))
    yield bug("time-loop-wrong-direction")
    yield from (bug("time-loop-wrong-direction", where) for where in ("dx", "caches"))
    yield from (bug("input-gradient-accumulated", "dx", how=how) for how in ("total", "running", "from the start"))
    yield bug("gradient-added-to-itself", "upstream")
    yield bug("gradient-added-to-itself", "last upstream")
    yield bug("cached-view-overwritten", "cache", vector="last")
    yield from (bug("cache-order-mismatch", "steps", order=order) for order in ("next", "previous"))
    if len(states) > 1:
        yield bug("sign-flipped", "upstream")
    for s in states:
        yield bug("sign-flipped", f"carry {s}")
        yield bug("gradient-added-to-itself", f"twice {s}")
        yield bug("mean-instead-of-sum", f"incoming {s}")
        values = ("zeros", "one step early", "step T-1", "all steps", "upstream", "upstream too", "received")
        for value in (*values, "delta") if states == ("h",) and gates == 1 else values:
            yield bug("initial-state-gradient-not-set", f"d{s}0", value=value)


def accumulation(weights: tuple[str, ...], gates: str) -> Iterator[Bug]:
    """Sums over time."""
    everything = " ".join(weights)
    for step in ("first", "last", "without first", "without last"):
        yield bug("gradient-not-accumulated", everything, step=step)
        for w in weights:  # of dWh, that without the first step is h0 = 0: initial-state-ignored
            if (w, step) != ("dWh", "without first"):
                yield bug("gradient-not-accumulated", w, step=step)
    for rule in ("2 · sum + share", "2 · sum from the last share"):
        yield from (bug("gradient-added-to-itself", where, recursive=rule) for where in (everything, *weights))
    for gate in gates if len(gates) > 1 else "":
        for step in ("first", "last"):
            for where in ("dWx dWh", "db", "dWx dWh db"):
                yield bug("gradient-not-accumulated", where, step=step, gate=gate)


def returned(gradients: tuple[str, ...], weights: tuple[str, ...], gates: str, step: bool) -> Iterator[Bug]:
    """Whole tensors: sign, mean, doubling, transpose, axes, exchange."""
    everything = " ".join(weights)
    yield from (bug("sign-flipped", tensor) for tensor in ("all", everything, *gradients))
    for by in ("N",) if step else ("N", "T", "NT"):
        yield from (bug("mean-instead-of-sum", where, by=by) for where in ("all", everything, *gradients))
    for factor in (0.0, 2.0):
        for where in (everything, *gradients):  # dh0 = 0 is initial-state-gradient-not-set
            if step or factor or where[1] not in "hc":
                yield bug("gradient-added-to-itself", where, factor=factor)
    if len(gates) > 1:
        for gate in gates:
            for where in ("dWx dWh db", "dWx dWh", "db"):
                yield bug("gradient-added-to-itself", where, factor=0.0, gate=gate, gates=gates)
            yield bug("bias-gradient-scalar", "db", gate=gate, gates=gates)
            for tensor in ("dWh",) if (gate, weights[-1]) == ("n", "db") else ("dWh", "dh_prev"):
                yield bug("missing-transpose", tensor, gate=gate, gates=gates)
    yield from (bug("missing-transpose", tensor) for tensor in ("dWx", "dWh"))
    yield from (bug("bias-gradient-scalar", w) for w in weights if w.startswith("db"))
    yield from (bug("bias-gradient-scalar", w, spread=True) for w in weights if w.startswith("db"))
    for of in ("dWx", "dWh"):
        yield from (bug("bias-gradient-from-weights", "db", of=of, axis=axis) for axis in (0, 1))
    yield bug("bias-gradient-wrong-axis", "db")
    for a, b in combinations(gradients, 2):
        yield bug("wrong-variable-returned", a, value=b, exchanged=True)
    states = [g for g in gradients if g[1] in "hc"]
    for a, b in combinations(states, 2):
        yield bug("wrong-variable-returned", a, value=b)
        yield bug("wrong-variable-returned", b, value=a)
