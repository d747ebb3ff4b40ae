"""What the three recurrent cells share: a = x Wx + h Wh + b, the nonlinearities, their slopes, and the reverse of all.

Each function is the right one with `bug=NONE`; every other line is a mistake with its name. Not a cell: rnn.py, lstm.py
and gru.py say what is done with a.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minrnn.grading.reference.bug import Array, Bug


class Weights(NamedTuple):
    """The parameters of a cell; `bhn` is the recurrent bias of the candidate of a GRU."""

    Wx: Array
    Wh: Array
    b: Array
    bhn: Array | None = None


@dataclass
class Delta:
    """The gradients of one step: of its input, of the states it was given, and its share of the weights'."""

    dx: Array
    dstates: tuple[Array, ...]
    weights: dict[str, Array]
    da: Array  # of a, (N,G·H): what the shares of the weights are made of


def sigmoid(a: Array) -> Array:
    """1 / (1 + e^-a), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * a))


def softmax(z: Array, axis: int = -1) -> Array:
    """Probabilities over one axis."""
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


KINDS: dict[str, Callable[[Array], Array]] = {
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0.0),
    "identity": lambda a: a,
}


def split(a: Array, gates: str) -> dict[str, Array]:
    """The blocks of the last axis of a (…,G·H) by the letters of the gates."""
    H = a.shape[-1] // len(gates)
    return {gate: a[..., k * H : (k + 1) * H] for k, gate in enumerate(gates)}


def preactivation(x: Array, h: Array, w: Weights, bug: Bug) -> Array:
    """a = x Wx + h Wh + b, (N,G·H)."""
    Wx, Wh = w.Wx, w.Wh
    swapped = bug.find("concat-order-swapped", "forward")
    if swapped:
        Wx, Wh = exchange_rows(Wx, Wh, first=swapped.where)
    turned = bug.find("missing-transpose", "forward", "Wh")
    if turned:
        gates = turned.detail.get("gates", "?" * (Wh.shape[1] // len(Wh)))
        only = turned.detail.get("gate", "?")
        pairs = zip(gates, np.split(Wh, len(gates), axis=1), strict=True)
        Wh = np.concatenate([block.T if gate == only else block for gate, block in pairs], axis=1)
    b = w.b
    mixed = bug.find("gate-order-swapped", "forward", "weights") or bug.find("gate-order-swapped", "forward", "b")
    if mixed and mixed.where == "b":
        b = _in_order(b, mixed)
    elif mixed:
        Wx, Wh = _in_order(Wx, mixed), _in_order(Wh, mixed)
    borrowed = bug.find("gate-copy-paste", "forward", "weights")
    if borrowed:
        taken = {"Wx": Wx, "Wh": Wh, "b": b}
        gates, name = borrowed.detail["gates"], borrowed.detail["of"]
        blocks = split(taken[name], gates)
        blocks[borrowed.detail["gate"]] = blocks[borrowed.detail["by"]]
        taken[name] = np.concatenate([blocks[k] for k in gates], axis=-1)
        Wx, Wh, b = taken["Wx"], taken["Wh"], taken["b"]
    partial = bug.find("bias-missing", "forward", "one of two") or bug.find("bias-missing", "forward", "one gate")
    if partial:
        b = b * _share_of_bias(partial, len(b))
    if bug.forward("initial-state-ignored", "h_prev"):
        h = np.zeros_like(h)
    if bug.forward("bias-missing", "b"):
        return x @ Wx + h @ Wh
    if bug.forward("sign-flipped", "b"):
        return x @ Wx + h @ Wh - b
    return x @ Wx + h @ Wh + b


def _in_order(W: Array, bug: Bug) -> Array:
    """The blocks of the gates in the order that a mistake gives them."""
    blocks = split(W, bug.detail["gates"])
    return np.concatenate([blocks[k] for k in bug.detail["order"]], axis=-1)


def _share_of_bias(bug: Bug, size: int) -> Array:
    """How much of the sum of two biases is added, where one is left out, for each entry."""
    share = np.full(size, bug.detail.get("share", 2 * bug.detail.get("twice", 0.0)))
    if "gate" not in bug.detail:
        return share
    gates = bug.detail["gates"]
    own = np.repeat([gate == bug.detail["gate"] for gate in gates], size // len(gates))
    return np.where(own, share, 1.0)


def exchange_rows(Wx: Array, Wh: Array, first: str) -> tuple[Array, Array]:
    """What is taken for Wx and Wh if the stacked matrix, with `first` on top, is read the other way."""
    D, H = len(Wx), len(Wh)
    if first == "h":
        stacked = np.concatenate([Wh, Wx])
        return stacked[:D], stacked[D:]
    stacked = np.concatenate([Wx, Wh])
    return stacked[H:], stacked[:H]


def kind_of(gate: str, right: str, bug: Bug) -> str:
    """The nonlinearity of a gate; `right` unless the forward has another."""
    if bug.on("nonlinearity-missing", gate, "forward"):
        return "identity"
    wrong = bug.on("nonlinearity-wrong", gate, "forward")
    return str(wrong.detail["kind"]) if wrong else right


SLOPES: dict[
    str, Callable[[Array, Array, Array], Array]
] = {  # the derivative of a unit with the value s at the pre-activation a, for the upstream d
    "identity": lambda s, a, d: np.ones_like(s),
    "sigmoid": lambda s, a, d: s * (1 - s),
    "tanh": lambda s, a, d: 1 - s * s,
    "relu": lambda s, a, d: (s > 0).astype(s.dtype),
    "1-s": lambda s, a, d: 1 - s,
    "1+s²": lambda s, a, d: 1 + s * s,
    "s": lambda s, a, d: s,
    "s²": lambda s, a, d: s * s,
    "1+s": lambda s, a, d: 1 + s,
    "s(1+s)": lambda s, a, d: s * (1 + s),
    "s(1-s²)": lambda s, a, d: s * (1 - s * s),
    "(1-s)²": lambda s, a, d: (1 - s) ** 2,
    "√(1-s²)": lambda s, a, d: np.sqrt(np.maximum(1 - s * s, 0)),
    "1-a²": lambda s, a, d: 1 - a * a,
    "a(1-a)": lambda s, a, d: a * (1 - a),
    "tanh twice": lambda s, a, d: 1 - np.tanh(s) ** 2,
    "sigmoid twice": lambda s, a, d: sigmoid(s) * (1 - sigmoid(s)),
    "tanh of the gradient": lambda s, a, d: 1 - d * d,
    "tanh(d)": lambda s, a, d: 1 - np.tanh(d) ** 2,
    "twice": lambda s, a, d: (1 - s * s) ** 2,
    "sigmoid's twice": lambda s, a, d: (s * (1 - s)) ** 2,
}
UNBRACKETED: dict[
    str, Callable[[Array, Array], Array]
] = {  # what becomes of upstream · derivative without brackets, for the value s and the upstream d
    "d - s²": lambda s, d: d - s * s,
    "1 - s² d": lambda s, d: 1 - s * s * d,
    "d s - s": lambda s, d: d * s - s,
    "s - s d": lambda s, d: s - s * d,
}


def through(gate: str, kind: str, s: Array, a: Array, d: Array, bug: Bug) -> Array:
    """The gradient of the pre-activation: d, the gradient of the unit, times the derivative of its nonlinearity."""
    bare = bug.on("derivative-precedence", gate)
    if bare and "form" in bare.detail:
        return UNBRACKETED[bare.detail["form"]](s, d)
    return d * slope(gate, kind, s, a, d, bug)


def slope(gate: str, kind: str, s: Array, a: Array, d: Array, bug: Bug) -> Array:
    """The derivative of the nonlinearity of a gate, or what stands in its place."""
    if bug.on("tanh-derivative-missing", gate) or bug.on("sigmoid-derivative-missing", gate):
        return SLOPES["identity"](s, a, d)
    if bug.on("tanh-applied-twice", gate):
        return SLOPES["tanh twice"](s, a, d)
    if bug.on("tanh-derivative-of-gradient", gate):
        return SLOPES["tanh of the gradient"](s, a, d)
    if bug.backward("sign-flipped", gate):
        return -SLOPES[kind](s, a, d)
    wrong = bug.on("wrong-activation-derivative", gate)
    return SLOPES[wrong.detail["form"] if wrong else kind](s, a, d)


def reverse_affine(
    x: Array, h: Array, w: Weights, da: Array, dv: Array, raw: Array, value: Array, bug: Bug, gates: str = ""
) -> tuple[Array, Array, dict[str, Array]]:
    """Reverse of a = x Wx + h Wh + b: dx, the part of dh_prev that comes through Wh, and the shares of the weights.

    `da` is the gradient on the side of the input, `dv` that of h Wh: another one only in a GRU. `raw` is the gradient
    before the slopes of the nonlinearities, `value` what the units returned: what is taken for da by mistake. `gates`
    are the letters of the blocks of da.
    """

    def operand(name: str, right: Array) -> Array:
        if bug.backward("tanh-derivative-missing", name):
            return raw
        return value if bug.backward("activation-used-as-delta", name) else right

    if bug.backward("activation-used-as-delta", "dWx dWh"):
        dWx, dWh = x.T @ value, h.T @ value
    elif bug.backward("tanh-derivative-missing", "dWx dWh"):
        dWx, dWh = x.T @ raw, h.T @ raw
    else:
        dWx, dWh = x.T @ operand("dWx", da), h.T @ operand("dWh", dv)
    db = operand("db", da).sum(axis=0)
    alone = bug.holding("gradient-not-accumulated", "example")
    if alone:
        n = 0 if alone.detail["example"] == "first" else -1
        dWx = np.outer(x[n], da[n]) if "dWx" in alone.where else dWx
        dWh = np.outer(h[n], dv[n]) if "dWh" in alone.where else dWh
        db = da[n] if "db" in alone.where else db
    Wx, Wh = _blocks_mistaken("dx", w.Wx, gates, bug), _blocks_mistaken("dh_prev", w.Wh, gates, bug)
    turned = bug.find("missing-transpose", where="dh_prev")
    if turned and "gate" in turned.detail:
        blocks = split(Wh, gates)
        blocks[turned.detail["gate"]] = blocks[turned.detail["gate"]].T
        Wh = np.concatenate([blocks[k] for k in gates], axis=1)
    dx = operand("dx", da) @ Wx.T
    dh = _through_Wh(operand("dh_prev", dv), Wh, bug)
    swapped = bug.find("concat-order-swapped", where="dx dh_prev")
    if swapped:
        dx, dh = _exchange_columns(dx, dh, first=swapped.detail["first"])
    return dx, dh, {"dWx": dWx, "dWh": dWh, "db": db}


def _blocks_mistaken(tensor: str, W: Array, gates: str, bug: Bug) -> Array:
    """The weights that make dx or dh_prev, with the block of a gate left out or taken from another gate."""
    swapped = bug.find("gate-order-swapped", where="weights")
    if swapped:
        return _in_order(W, swapped)
    for code in ("gate-not-applied", "gate-copy-paste"):
        wrong = bug.find(code, where=tensor)
        if wrong:
            blocks = split(W, gates)
            other = blocks[wrong.detail["by"]] if "by" in wrong.detail else np.zeros_like(W[:, :1])
            blocks[wrong.detail["gate"]] = np.broadcast_to(other, blocks[wrong.detail["gate"]].shape)
            W = np.concatenate([blocks[k] for k in gates], axis=1)
    return W


def _exchange_columns(dx: Array, dh: Array, first: str) -> tuple[Array, Array]:
    """What is taken for dx and dh if the gradient of the stacked input is cut in the other order."""
    D, H = dx.shape[1], dh.shape[1]
    if first == "h":
        both = np.concatenate([dh, dx], axis=1)
        return both[:, :D], both[:, D:]
    both = np.concatenate([dx, dh], axis=1)
    return both[:, H:], both[:, :H]


def _through_Wh(dv: Array, Wh: Array, bug: Bug) -> Array:
    """dv Whᵀ (N,H)."""
    wrong = bug.find("missing-transpose", where="dh_prev")
    transposed = wrong is not None and "gate" not in wrong.detail
    elementwise = bug.find("elementwise-for-matmul")
    if not transposed and elementwise is None:
        return dv @ Wh.T
    H = len(Wh)
    total = np.zeros_like(dv[:, :H])
    for d, W in zip(np.split(dv, dv.shape[1] // H, axis=1), np.split(Wh, Wh.shape[1] // H, axis=1), strict=True):
        if elementwise is None:
            total += d @ W
        else:
            vectors = {"diagonal": np.diagonal(W), "row sums": W.sum(axis=1), "column sums": W.sum(axis=0)}
            total += d * vectors[elementwise.detail["by"]]
    return total
