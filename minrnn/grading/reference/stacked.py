"""Several plain networks on one sequence: one on top of the other, or one in each direction; right and wrong.

    deep_rnn: layer 1 reads x (T,N,D), layer k+1 the states of layer k; h (T,L,N,H), y = softmax of the last layer
    bidirectional_rnn: h (T,N,H) from the first step on, r (T,N,H) from the last one back, y = softmax(h Wy + r Vy + by)

The weights of layer k are Wxk, Whk, bk, those of the reverse direction Ux, Uh, ub. Forward only, as in the courses.
"""

import numpy as np

from minrnn.grading.reference.bug import NONE, Array, Arrays, Bug, Family
from minrnn.grading.reference.rnn import RNN
from minrnn.grading.reference.sequence import run
from minrnn.grading.reference.units import softmax

CELL = RNN()
LAYERS = (1, 2, 3)


def _states(x: Array, h0: Array, weights: tuple[Array, ...], bug: Bug) -> Array:
    """The states of one network for all steps."""
    named = dict(zip(CELL.weights, weights, strict=True))
    outputs, _ = run(CELL, {"x": x, "h0": h0, **named}, bug)
    return outputs["h"]


def deep(inputs: Arrays, bug: Bug = NONE) -> Arrays:
    """The states of all layers, and the prediction."""
    below, found = inputs["x"], []
    wrong = bug.find("wrong-layer-input", "forward")
    for k in LAYERS:
        h0 = inputs["h0"][k - 1]
        if bug.forward("wrong-layer-input", "h0"):
            h0 = inputs["h0"][0]
        states = _states(below, h0, tuple(inputs[f"{name}{k}"] for name in CELL.weights), bug)
        found.append(states)
        below = states
        if wrong and wrong.where == "before":  # the state of the layer below at the step before
            below = np.concatenate([inputs["h0"][k - 1][None], states[:-1]])
        if wrong and wrong.where == "first":
            below = found[0]
    read = found[0] if bug.forward("wrong-layer-input", "y") else found[-1]
    return {"h": np.stack(found, axis=1), "y": _predicted(read @ inputs["Wy"], inputs, bug)}


def bidirectional(inputs: Arrays, bug: Bug = NONE) -> Arrays:
    """The states in both directions, and the prediction."""
    x, h0, r0 = inputs["x"], inputs["h0"], inputs["r0"]
    h0 = np.zeros_like(h0) if bug.forward("initial-state-ignored", "h0") else h0
    r0 = np.zeros_like(r0) if bug.forward("initial-state-ignored", "r0") else r0
    if bug.forward("wrong-previous-state", "h0 r0"):
        h0, r0 = r0, h0
    inner = _of_one_direction(bug)
    forth, back = (tuple(inputs[name] for name in names) for names in (("Wx", "Wh", "b"), ("Ux", "Uh", "ub")))
    if bug.forward("wrong-direction-weights"):
        forth, back = (back, back) if bug.forward("wrong-direction-weights", "h") else (forth, forth)
    h = _states(x, h0, forth, inner)
    same_way = bug.forward("time-loop-wrong-direction", "r")
    r = _states(x if same_way else x[::-1], r0, back, inner)
    if not same_way and not bug.forward("wrong-variable-returned", "r reversed"):
        r = r[::-1].copy()
    if bug.forward("concat-order-swapped", "h r"):
        h, r = r, h
    y = _predicted(h @ inputs["Wy"] + r @ inputs["Vy"], inputs, bug)
    return {"h": h, "r": r, "y": y}


def _of_one_direction(bug: Bug) -> Bug:
    """The mistakes that each of the two networks has."""
    found = NONE
    for part in bug:
        if part.where not in ("r", "r reversed", "h r", "h0 r0", "h0", "r0"):
            found = found + Bug(part.code, part.where, part.detail, part.side)
    return found


def _predicted(z: Array, inputs: Arrays, bug: Bug) -> Array:
    if not bug.forward("bias-missing", "by"):
        z = z + inputs["by"]
    return z if bug.forward("nonlinearity-missing", "y") else softmax(z)


STACKED = (
    Family(
        "deep_rnn",
        ("x", "h0", *(f"{name}{k}" for k in LAYERS for name in CELL.weights), "Wy", "by"),
        ("h", "y"),
        (),
        deep,
    ),
    Family(
        "bidirectional_rnn",
        ("x", "h0", "r0", "Wx", "Wh", "b", "Ux", "Uh", "ub", "Wy", "Vy", "by"),
        ("h", "r", "y"),
        (),
        bidirectional,
    ),
)
