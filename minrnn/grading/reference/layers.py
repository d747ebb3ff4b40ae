"""The layers around a recurrent cell: affine, the same at every time step, embedding, softmax loss; right and wrong.

    affine           x (N,D), w (D,M), b (M,)                 out = x w + b
    temporal_affine  x (T,N,D), w, b                          the same at every t
    embedding        ids of any shape, W (V,D)                out = W[ids]
    softmax_loss     x (T,N,V), targets (T,N), mask (T,N)     loss = Σ mask · nll / count

`reduction` of the loss says what it is divided by: "batch" (N), "sum" (1), "mean" (T·N), "mask" (Σ mask).
"""

import numpy as np

from minrnn.grading.reference.bug import NONE, Array, Arrays, Bug, Family
from minrnn.grading.reference.units import softmax


def _affine_forward(inputs: Arrays, bug: Bug = NONE) -> Arrays:
    x, w, b = (np.asarray(inputs[k], dtype=np.float64) for k in ("x", "w", "b"))
    if bug.forward("bias-missing", "b"):
        return {"out": x @ w}
    if bug.forward("nonlinearity-wrong", "out"):
        return {"out": np.tanh(x @ w + b)}
    if bug.forward("wrong-flatten", "x"):
        return {"out": _mixed(x) @ w + b}
    flat = bug.find("wrong-flatten", "forward", "features")
    if flat:
        return {"out": _features(x, flat) @ w + b}
    return {"out": x @ w + b}


def _mixed(x: Array) -> Array:
    """x with its first two axes exchanged by a reshape instead of a transpose: the rows in another order."""
    return x.swapaxes(0, 1).reshape(x.shape) if x.ndim == 3 else x


def _features(x: Array, bug: Bug) -> Array:
    """x (N,D) whose examples, of more than one axis, were flattened from the last axis to the first; or mixed up.

    The judge gives examples of two axes, the first as short as it can be.
    """
    N, D = x.shape
    if bug.detail["order"] == "examples":
        return x.reshape(D, N).T
    rows = next(k for k in range(2, D + 1) if D % k == 0)
    return x.reshape(N, rows, D // rows).swapaxes(1, 2).reshape(N, D)


def _affine_backward(inputs: Arrays, upstream: Arrays, bug: Bug = NONE) -> Arrays:
    x, w = np.asarray(inputs["x"], dtype=np.float64), np.asarray(inputs["w"], dtype=np.float64)
    dout = np.asarray(upstream["dout"], dtype=np.float64)
    if bug.backward("upstream-ignored", "out"):
        dout = np.ones_like(dout)
    rows, d = x.reshape(-1, x.shape[-1]), dout.reshape(-1, dout.shape[-1])
    dw, db = rows.T @ d, d.sum(axis=0)
    if bug.backward("activation-used-as-delta", "dw"):
        dw = rows.T @ (rows @ w + inputs["b"])
    flat = bug.find("wrong-flatten", where="features")
    if flat:
        dw = _features(rows, flat).T @ d
    if bug.backward("wrong-flatten", "dw"):
        dw = _mixed(x).reshape(rows.shape).T @ d
    partial = bug.holding("gradient-not-accumulated", "step")
    if partial and x.ndim == 3:
        t = 0 if partial.detail["step"] == "first" else -1
        dw = x[t].T @ dout[t] if "dw" in partial.where else dw
        db = dout[t].sum(axis=0) if "db" in partial.where else db
    alone = bug.holding("gradient-not-accumulated", "example")
    if alone:
        n = 0 if alone.detail["example"] == "first" else -1
        db = d[n] if "db" in alone.where else db
        dw = np.outer(rows[n], d[n]) if "dw" in alone.where else dw
    one_axis = bug.find("bias-gradient-wrong-axis")
    if one_axis and not one_axis.detail:
        db = d.sum(axis=1)
    elif one_axis:
        db = dout.sum(axis=1 if one_axis.detail["axes"] == "examples" else 0)
    gradients = {"dx": (d @ w.T).reshape(x.shape), "dw": dw, "db": db}
    return _finish(gradients, inputs, bug)


def _finish(g: Arrays, inputs: Arrays, bug: Bug) -> Arrays:
    """The gradients with the mistakes that concern whole tensors."""
    for wrong in bug:
        names = list(g) if wrong.where == "all" else [n for n in wrong.where.split() if n in g]
        if wrong.code == "sign-flipped":
            g = g | {n: -g[n] for n in names}
        if wrong.code in ("mean-instead-of-sum", "sum-instead-of-mean") and names:
            by = _count(wrong.detail["by"], inputs)
            g = g | {n: g[n] / by if wrong.code.startswith("mean") else g[n] * by for n in names}
        if wrong.code == "gradient-added-to-itself":
            g = g | {n: g[n] * wrong.detail["factor"] for n in names}
        if wrong.code == "missing-transpose":
            g = g | {n: g[n].T for n in names}
        if wrong.code == "bias-gradient-scalar" and "db" in g:
            total = g["db"].sum()
            g = g | {"db": np.full_like(g["db"], total) if "spread" in wrong.detail else np.asarray(total)}
        if wrong.code == "bias-gradient-from-weights":
            g = g | {"db": g["dw"].sum(axis=wrong.detail["axis"])}
        if wrong.code == "wrong-variable-returned" and wrong.side == "backward":
            g = g | {wrong.where: g[wrong.detail["value"]], wrong.detail["value"]: g[wrong.where]}
    return g


def _count(by: str, inputs: Arrays) -> int:
    """N, T or N·T of x (T,N,·) or (N,·), or of ids (T,N)."""
    shape = np.shape(inputs["x"])[:-1] if "x" in inputs else np.shape(inputs["ids"])
    sizes = {"N": shape[-1], "T": shape[0] if len(shape) > 1 else 1}
    return int(np.prod([sizes[letter] for letter in by]))


def _embedding_forward(inputs: Arrays, bug: Bug = NONE) -> Arrays:
    ids, W = np.asarray(inputs["ids"]), np.asarray(inputs["W"], dtype=np.float64)
    wrong = bug.find("embedding-wrong-index", "forward")
    out = W[_looked_up(ids, wrong, len(W)) if wrong else ids]
    skipped = bug.find("time-loop-skips-step", "forward")
    if skipped:
        out[0 if skipped.where == "first" else -1] = 0
    return {"out": out}


def _looked_up(ids: Array, wrong: Bug, V: int) -> Array:
    """The ids that stand in the place of the right ones."""
    index = wrong.detail["index"]
    if index == "shifted":
        return (ids + wrong.detail["shift"]) % V
    first = {
        "first step": ids[:1],
        "first example": ids[:, :1],
        "other axis": ids.T.reshape(ids.shape),
        "axes exchanged": _other_way(ids),
        "previous step": np.roll(ids, 1, axis=0),
        "next step": np.roll(ids, -1, axis=0),
        "previous example": np.roll(ids, 1, axis=1),
        "next example": np.roll(ids, -1, axis=1),
    }[index]
    return np.broadcast_to(first, ids.shape)


def _other_way(a: Array) -> Array:
    """Entries (T,N) as they stand after (N,T) was turned to (T,N) and its numbers read as (N,T)."""
    return a.reshape(a.shape[::-1]).T


def _embedding_backward(inputs: Arrays, upstream: Arrays, bug: Bug = NONE) -> Arrays:
    ids, W = np.asarray(inputs["ids"]), np.asarray(inputs["W"], dtype=np.float64)
    dout = np.asarray(upstream["dout"], dtype=np.float64)
    if bug.backward("upstream-ignored", "out"):
        dout = np.ones_like(dout)
    dW = np.zeros_like(W)
    wrong = bug.find("embedding-wrong-index")
    other = wrong is not None and wrong.detail.get("index", "row 0") != "row 0"
    at = _looked_up(ids, wrong, len(W)) if wrong and other else ids
    if wrong and "upstream" in wrong.detail:
        dout = np.broadcast_to(dout[:1] if wrong.detail["upstream"] == "first step" else dout[:, :1], dout.shape)
    skipped = bug.find("time-loop-skips-step")
    if skipped:
        kept = slice(1, None) if skipped.where == "first" else slice(0, -1)
        at, dout = at[kept], dout[kept]
    lost = bug.find("embedding-duplicates-lost")
    if lost and lost.detail["kept"] == "last":
        dW[at] = dout
    elif lost and lost.detail["kept"] == "first":
        dW[at[::-1, ::-1]] = dout[::-1, ::-1]
    elif lost and lost.detail["kept"] == "last of other order":
        dW[at.T] = dout.swapaxes(0, 1)
    elif lost:  # duplicates are lost inside one row of the ids only
        axis = 0 if lost.detail["kept"] == "last of each step" else 1
        for rows, d in zip(np.moveaxis(at, axis, 0), np.moveaxis(dout, axis, 0), strict=True):
            dW[rows] += d
    else:
        np.add.at(dW, at, dout)
    if bug.holding("unknown-cause", "start"):
        dW = dW + W
    if wrong and wrong.detail.get("index") == "row 0":
        dW[0] = 0
    if bug.backward("wrong-flatten", "dW"):  # one-hot rows, brought into the shape of their transpose
        dW = np.eye(len(W))[ids.T].reshape(len(W), -1) @ dout.swapaxes(0, 1).reshape(-1, W.shape[1])
    if bug.holding("gradient-not-accumulated", "example"):
        dW = np.zeros_like(W)
        np.add.at(dW, at[:, 0], dout[:, 0])
    occurrences = np.bincount(ids.ravel(), minlength=len(W))[:, None]
    if bug.find("mean-instead-of-sum", where="occurrences"):
        dW = dW / np.maximum(occurrences, 1)
    if bug.backward("bias-gradient-scalar", "dW"):  # the sum over the occurrences has no axis
        dW = np.broadcast_to(dW.sum(axis=1, keepdims=True), dW.shape)
    return _finish({"dW": dW}, inputs, bug)


def _softmax_forward(inputs: Arrays, bug: Bug = NONE) -> Arrays:
    x, targets, mask = np.asarray(inputs["x"], dtype=np.float64), np.asarray(inputs["targets"]), _mask(inputs, bug)
    targets, mask = _flattened(targets, mask, bug)
    p = _probabilities(x, bug)
    chosen = np.take_along_axis(p, np.asarray(targets)[..., None], axis=-1)[..., 0]
    nll = np.log(chosen) if bug.forward("sign-flipped", "loss") else -np.log(chosen)
    if bug.forward("nonlinearity-missing", "loss"):
        nll = 1 - chosen
    return {"loss": np.asarray((mask * nll).sum() / _divisor(inputs, bug, "forward"))}


def _flattened(targets: Array, mask: Array, bug: Bug) -> tuple[Array, Array]:
    """The targets and the mask as they stand beside the scores."""
    for side in ("forward", "backward"):
        mixed = bug.find("wrong-flatten", side)
        if mixed:
            turn = _other_way if mixed.detail["order"] == "other" else lambda a: a.T.reshape(a.shape)
            targets = turn(targets) if "targets" in mixed.where else targets
            mask = turn(mask) if "mask" in mixed.where else mask
    return targets, mask


def _probabilities(x: Array, bug: Bug) -> Array:
    axis = bug.find("softmax-wrong-axis", "forward")
    if axis is None:
        return softmax(x)
    if axis.detail["axis"] == "all":
        e = np.exp(x - x.max())
        return e / e.sum()
    return softmax(x, axis=axis.detail["axis"])


def _mask(inputs: Arrays, bug: Bug, side: str = "forward") -> Array:
    mask = np.asarray(inputs.get("mask", np.ones(np.shape(inputs["targets"]))), dtype=np.float64)
    ignored = bug.forward("mask-ignored") or (side == "backward" and bug.backward("mask-ignored"))
    return np.ones_like(mask) if ignored else mask


def _divisor(inputs: Arrays, bug: Bug, side: str) -> float:
    T, N = np.shape(inputs["targets"])
    mask = np.asarray(inputs.get("mask", np.ones((T, N))), dtype=np.float64)
    divisors = {"batch": N, "sum": 1, "mean": T * N, "mask": mask.sum(), "steps": T}
    chosen = str(inputs.get("reduction", "batch"))
    for code in ("mean-instead-of-sum", "sum-instead-of-mean"):
        wrong = bug.find(code, "forward") or (bug.find(code) if side == "backward" else None)
        other = divisors[wrong.detail["reduction"]] if wrong else divisors[chosen]
        if (other > divisors[chosen]) == code.startswith("mean"):  # only what deserves the name
            return float(other)
    return float(divisors[chosen])


def _softmax_backward(inputs: Arrays, upstream: Arrays, bug: Bug = NONE) -> Arrays:
    x, targets, mask = (
        np.asarray(inputs["x"], dtype=np.float64),
        np.asarray(inputs["targets"]),
        _mask(inputs, bug, "backward"),
    )
    targets, mask = _flattened(targets, mask, bug)
    p = _probabilities(x, bug)
    one_hot = np.zeros_like(p)
    np.put_along_axis(one_hot, targets[..., None], 1.0, axis=-1)
    dx = p - one_hot
    if bug.backward("softmax-target-not-subtracted"):
        dx = p
    dx = dx * mask[..., None] / _divisor(inputs, bug, "backward") * float(upstream.get("dloss", 1.0))
    for wrong in bug:
        if wrong.code == "sign-flipped" and wrong.where in ("dx", "loss"):
            dx = -dx
    return {"dx": dx}


LAYERS = (
    Family("affine", ("x", "w", "b"), ("out",), ("dx", "dw", "db"), _affine_forward, _affine_backward),
    Family("temporal_affine", ("x", "w", "b"), ("out",), ("dx", "dw", "db"), _affine_forward, _affine_backward),
    Family("embedding", ("ids", "W"), ("out",), ("dW",), _embedding_forward, _embedding_backward),
    Family(
        "softmax_loss",
        ("x", "targets", "mask", "reduction"),
        ("loss",),
        ("dx",),
        _softmax_forward,
        _softmax_backward,
        ("mask", "reduction"),
    ),
)
