"""The equations of what stands around a cell: losses, the affine layer, a whole character model, the update rules."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from minrnn.grading.reference import Arrays

AFFINE = """
out = x @ w + b
---
dx = dout @ w.T
dw = x.T @ dout
db = dout.sum(axis=0)
"""
AFFINE_OUTPUTS = {"out": "out", "dx": "dx", "dw": "dw", "db": "db"}

TEMPORAL = """
out = x @ w + b
---
dx = dout @ w.T
rows = x.reshape(-1, x.shape[2]) !
d = dout.reshape(-1, dout.shape[2]) !
dw = rows.T @ d
db = dout.sum(axis=(0, 1))
"""

SOFTMAX = """
m = x.max(axis=2, keepdims=True)
e = exp(x - m)
p = e / e.sum(axis=2, keepdims=True)
nll = -log(pick(p, targets))
loss = (nll * mask).sum() / count
---
dscores = p - one_hot(targets, x.shape[2])
dx = dscores * mask[:, :, None] / count * dloss
"""

CHARACTERS = """
h = h0
loss = 0.0 !
for t in range(T):
 x = X[t]
 h_prev = h
 a = x @ Wx + h_prev @ Wh + b
 h = tanh(a)
 zy = h @ Wy + by
 e = exp(zy)
 p = e / e.sum()
 k = targets[t]
 loss = loss - log(p[k])
 caches[t] = values() !
hT = h
---
dh_carry = zeros(h0)
dWx = zeros(Wx) !
dWh = zeros(Wh) !
db = zeros(b) !
dWy = zeros(Wy) !
dby = zeros(by) !
for t in reversed(range(T)):
 recall(caches[t])
 k = targets[t]
 dz = p - one_hot(k, p.size)
 dWy = dWy + outer(h, dz)
 dby = dby + dz
 dh = dz @ Wy.T + dh_carry
 da = dh * (1 - h ** 2)
 dWx = dWx + outer(x, da)
 dWh = dWh + outer(h_prev, da)
 db = db + da
 dh_carry = da @ Wh.T
GRADIENTS
"""
CHARACTERS = CHARACTERS.replace(
    "GRADIENTS",
    "\n".join(f"{name}_out = clip_to({name}, -limit, limit)" for name in ("dWx", "dWh", "dWy", "db", "dby")),
)
CHARACTER_OUTPUTS = {"loss": "loss", "h": "hT"} | {n: f"{n}_out" for n in ("dWx", "dWh", "db", "dWy", "dby")}

SGD = """
w_new = w - lr * dw
"""
MOMENTUM = """
v_new = momentum * v - lr * dw
w_new = w + v_new
v_out = v_new
"""
RMSPROP = """
cache_new = decay * cache + (1 - decay) * dw ** 2
w_new = w - lr * dw / ROOT(cache_new)
cache_out = cache_new
"""
ADAGRAD = """
cache_new = cache + dw ** 2
w_new = w - lr * dw / ROOT(cache_new)
cache_out = cache_new
"""
ADAM = """
t_new = t + 1
m_new = beta1 * m + (1 - beta1) * dw
v_new = beta2 * v + (1 - beta2) * dw ** 2
m_hat = m_new / (1 - beta1 ** t_new)
v_hat = v_new / (1 - beta2 ** t_new)
w_new = w - lr * m_hat / ROOT(v_hat)
m_out = m_new
v_out = v_new
t_out = t_new
"""

# The lines, canonical output -> name in them, names that the backward of a step reads from the cache.
Described = tuple[str, dict[str, str], tuple[str, ...]]
AROUND: dict[str, Described] = {
    "affine": (AFFINE, AFFINE_OUTPUTS, ()),
    "temporal_affine": (TEMPORAL, AFFINE_OUTPUTS, ()),
    "softmax_loss": (SOFTMAX, {"loss": "loss", "dx": "dx"}, ()),
    "char_rnn_loss": (CHARACTERS, CHARACTER_OUTPUTS, ("x", "h_prev", "h", "p", "a", "zy", "e")),
    "sgd": (SGD, {"w": "w_new"}, ()),
    "momentum": (MOMENTUM, {"w": "w_new", "v": "v_out"}, ()),
    "rmsprop": (RMSPROP, {"w": "w_new", "cache": "cache_out"}, ()),
    "adagrad": (ADAGRAD, {"w": "w_new", "cache": "cache_out"}, ()),
    "adam": (ADAM, {"w": "w_new", "m": "m_out", "v": "v_out", "t": "t_out"}, ()),
}


def with_epsilon(text: str, inside: bool) -> str:
    """The lines with epsilon at the place that the course has."""
    form = r"sqrt(\1 + epsilon)" if inside else r"(sqrt(\1) + epsilon)"
    return re.sub(r"ROOT\((\w+)\)", form, text)


def bound(inputs: Mapping[str, Any], upstream: Mapping[str, Any]) -> Arrays:
    """The inputs by the names of the lines."""
    found: Arrays = {"N": 1, "T": 1, "dloss": 1.0, **upstream, **inputs}
    if "Wx" in inputs:  # a character model
        ids = np.asarray(inputs["ids"])
        one_hot = np.zeros((len(ids), len(inputs["Wx"])))
        one_hot[ids >= 0, ids[ids >= 0]] = 1.0
        h0 = np.reshape(inputs["h0"], -1)
        return found | {"T": len(ids), "X": one_hot, "h0": h0, "limit": inputs.get("clip", np.inf)}
    if "x" in inputs and np.ndim(inputs["x"]) > 1:
        found |= {"N": np.shape(inputs["x"])[-2], "T": len(inputs["x"])}
    if "targets" in inputs:
        T, N = np.shape(inputs["targets"])
        mask = np.asarray(inputs.get("mask", np.ones((T, N))), dtype=np.float64)
        counts = {"batch": N, "sum": 1, "mean": T * N, "mask": mask.sum(), "steps": T}
        found |= {f"by_{name}": number for name, number in counts.items()}
        found |= {"mask": mask, "count": counts[str(inputs.get("reduction", "batch"))]}
    return found
