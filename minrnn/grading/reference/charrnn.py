"""The loss of a character model with its gradients in one function, as min-char-rnn has it; right and wrong.

    ids, targets (T,)   h0 (H,)   Wx (V,H)  Wh (H,H)  b (H,)  Wy (H,V)  by (V,)   clip: a number, or left out
    loss = −Σ_t log softmax(h_t Wy + by)[target_t]      h = the last state (H,)

An id of −1 is a step without an input. The gradients are clipped to −clip … clip.
"""

import numpy as np

from minrnn.grading.reference.bug import NONE, Array, Arrays, Bug, Family
from minrnn.grading.reference.rnn import RNN
from minrnn.grading.reference.sequence import reverse, run
from minrnn.grading.reference.tensors import accumulate, finish
from minrnn.grading.reference.units import softmax

CELL = RNN()


def _as_sequence(inputs: Arrays, bug: Bug) -> Arrays:
    """The inputs of the loop: one-hot rows, a batch of one."""
    ids = np.asarray(inputs["targets" if bug.forward("embedding-wrong-index") else "ids"])
    one_hot = np.zeros((len(ids), 1, len(inputs["Wx"])))
    one_hot[ids >= 0, 0, ids[ids >= 0]] = 1.0
    return {**inputs, "x": one_hot, "h0": np.reshape(inputs["h0"], (1, -1))}


def _states_and_probabilities(inputs: Arrays, bug: Bug) -> tuple[Array, Array]:
    outputs, _ = run(CELL, _as_sequence(inputs, bug), bug)
    h = outputs["h"][:, 0]
    read = _before(h, inputs) if bug.forward("wrong-previous-state", "y") else h
    z = read @ inputs["Wy"]
    axis = 0 if bug.forward("softmax-wrong-axis", "loss") else -1
    return h, softmax(z if bug.forward("bias-missing", "by") else z + inputs["by"], axis)


def loss(inputs: Arrays, bug: Bug = NONE) -> Arrays:
    """The loss and the last state."""
    h, p = _states_and_probabilities(inputs, bug)
    targets = np.asarray(inputs["targets"])
    nll = -np.log(p[np.arange(len(targets)), targets])
    total = nll.sum()
    if bug.forward("mean-instead-of-sum", "loss"):
        total = nll.mean()
    if bug.forward("sign-flipped", "loss"):
        total = -total
    if bug.forward("gradient-not-accumulated", "loss"):
        total = nll[-1]
    state = h[-1]
    other = bug.find("wrong-previous-state", "forward", "h")
    if other:
        rows = [np.reshape(inputs["h0"], -1), *h]
        state = rows[{"h0": 0, "first": 1, "before last": -2}[other.detail["vector"]]]
    return {"loss": np.asarray(total), "h": np.reshape(state, -1)}


def _before(h: Array, inputs: Arrays) -> Array:
    """The states before the steps."""
    return np.concatenate([[np.reshape(inputs["h0"], -1)], h[:-1]])


def gradients(inputs: Arrays, upstream: Arrays, bug: Bug = NONE) -> Arrays:
    """The gradients of the five weights."""
    h, p = _states_and_probabilities(inputs, bug)
    targets = np.asarray(inputs["targets"])
    dz = p.copy()
    if not bug.backward("softmax-target-not-subtracted"):
        dz[np.arange(len(targets)), targets] -= -1 if bug.backward("sign-flipped", "target") else 1
    skipped = bug.find("time-loop-skips-step")
    if skipped and skipped.detail.get("loop") == "the only one":  # the output layer is in the same loop
        dz[0 if skipped.where == "first" else -1] = 0
    if bug.forward("mean-instead-of-sum", "loss"):
        dz /= len(targets)
    if bug.forward("sign-flipped", "loss"):
        dz = -dz
    dh = (dz @ inputs["Wy"].T)[:, None]
    sequence = _as_sequence(inputs, bug)
    _, _, deltas = reverse(CELL, sequence, {"dh": dh}, bug)
    read = _before(h, inputs) if bug.backward("wrong-previous-state", "Wy") else h
    dWy, dby = read.T @ dz, dz.sum(axis=0)
    one = bug.find("gradient-not-accumulated")
    if one:
        t = 0 if one.detail["step"] == "first" else -1
        dWy = np.outer(h[t], dz[t]) if "dWy" in one.where else dWy
        dby = dz[t] if "dby" in one.where else dby
    found = accumulate(deltas, bug, "h") | {"dWy": dWy, "dby": dby}
    found = finish(found, list(deltas.values()), sequence, bug)
    return _clipped(found, inputs, bug)


def _clipped(found: Arrays, inputs: Arrays, bug: Bug) -> Arrays:
    limit = inputs.get("clip")
    if limit is None or bug.backward("clip-wrong-kind", "none"):
        return found
    if bug.backward("clip-wrong-kind", "upper"):
        return {name: np.minimum(g, limit) for name, g in found.items()}
    return {name: np.clip(g, -limit, limit) for name, g in found.items()}


CHARRNN = (
    Family(
        "char_rnn_loss",
        ("ids", "targets", "h0", "Wx", "Wh", "b", "Wy", "by", "clip"),
        ("loss", "h"),
        ("dWx", "dWh", "dWy", "db", "dby"),
        loss,
        gradients,
        ("clip",),
    ),
)
