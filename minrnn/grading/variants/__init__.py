"""Every named wrong variant of a family: the mistakes that students make, in each place where they can occur.

In the order of how often they were seen, so that of several that match the first is named. Not their text: messages.py.
"""

from functools import cache

from minrnn.grading.reference import Bug
from minrnn.grading.variants import gated, recurrent
from minrnn.grading.variants.layers import LAYERS
from minrnn.grading.variants.sampling import SAMPLING
from minrnn.grading.variants.training import TRAINING

# Further names of the same numbers, by code and place or detail: the cause may lie in what was put into the cache as
# well as in the formula, in an index as well as in a sum.
ALSO = {
    ("wrong-previous-state", "dh"): ("wrong-activation-derivative", "cache-order-mismatch"),
    ("wrong-activation-derivative", "dc"): ("wrong-previous-state",),
    ("gradient-not-accumulated", "example=first"): ("batch-axis-dropped",),
    ("initial-cell-wrong", "h0 c0"): ("wrong-previous-state",),
    ("initial-state-ignored", "h_prev"): ("state-not-carried",),
    ("time-loop-wrong-direction", "caches"): ("cache-order-mismatch",),
}
OTHERS = LAYERS | TRAINING | SAMPLING


def variants_for(family: str, own_forward: Bug | None = None) -> list[Bug]:
    """The mistakes of a family, those of the forward first.

    With `own_forward`, a mistake that the student's forward is known to have, those of a backward that goes with it: it
    alone, and it with each mistake of the backward. Raises KeyError for a family that does not exist.
    """
    found = list(_variants(family))
    if own_forward is None or not own_forward.code:
        return found
    backward = [bug for bug in found if bug.side == "backward"]
    if own_forward.code.startswith(("nonlinearity", "cell-tanh")):  # the slope of what should have been there
        backward += _right_slopes(own_forward)
    return [own_forward, *(own_forward + bug for bug in backward)]


def _right_slopes(own_forward: Bug) -> list[Bug]:
    return [Bug("wrong-activation-derivative", own_forward.where, {"form": form}) for form in ("tanh", "sigmoid")]


@cache
def _variants(family: str) -> tuple[Bug, ...]:
    if family in OTHERS:
        return tuple(OTHERS[family]())
    kind, what, *form = family.split("_")
    step = what == "step"
    after = form[:1] == ["after"]
    gates = {"rnn": "h", "lstm": "ifog", "gru": "rzn"}[kind]
    states = ("h", "c") if kind == "lstm" else ("h",)
    weights = ("dWx", "dWh", "db", "dbhn") if after else ("dWx", "dWh", "db")
    gradients = ("dx", *(f"d{s}_prev" if step else f"d{s}0" for s in states), *weights)

    found = [] if step else list(recurrent.forward_of_loop(states))
    found += {
        "rnn": recurrent.forward_of_rnn,
        "lstm": lambda: gated.forward_of_lstm(step),
        "gru": lambda: gated.forward_of_gru(after),
    }[kind]()
    found += recurrent.forward_of_any()
    if not step:
        found += recurrent.backward_of_loop(states, len(gates))
    found += {
        "rnn": lambda: recurrent.backward_of_rnn(step),
        "lstm": lambda: gated.backward_of_lstm(step),
        "gru": lambda: gated.backward_of_gru(after),
    }[kind]()
    found += recurrent.previous_hidden(step)
    if not step:
        found += recurrent.accumulation(weights, gates)
    found += recurrent.backward_of_any()
    found += recurrent.returned(gradients, weights, gates, step)
    return tuple(found)
