"""From the gradients of single steps to the tensors that a function returns, right and wrong.

Right is: dx[t] is that of step t, a weight's gradient is the sum over all steps, everything is returned as it is.
"""

from collections.abc import Mapping

import numpy as np

from minrnn.grading.reference.bug import Array, Arrays, Bug
from minrnn.grading.reference.units import Delta, exchange_rows


def input_gradients(x: Array, deltas: Mapping[int, Delta], bug: Bug) -> Array:
    """dx (T,N,D); zeros at a step that was not made."""
    dx = np.zeros(x.shape)
    for t, delta in deltas.items():
        dx[t] = delta.dx
    accumulated = bug.find("input-gradient-accumulated")
    if accumulated and accumulated.detail["how"] == "total":
        dx[:] = dx.sum(axis=0)
    elif accumulated and accumulated.detail["how"] == "from the start":
        dx = np.cumsum(dx, axis=0)
    elif accumulated:  # a running sum from the last step backward
        dx = np.cumsum(dx[::-1], axis=0)[::-1].copy()
    if bug.backward("time-loop-wrong-direction", "dx"):
        dx = dx[::-1].copy()
    return dx


def accumulate(deltas: Mapping[int, Delta], bug: Bug, gates: str) -> Arrays:
    """The gradients of the weights: the sum of the shares of all steps."""
    steps = sorted(deltas)
    names = list(deltas[steps[0]].weights)
    total: Arrays = {}
    for name in names:
        shares = [deltas[t].weights[name] for t in steps]
        right = np.sum(shares, axis=0)
        for wrong in bug:
            if wrong.code == "gradient-not-accumulated" and "step" in wrong.detail and name in wrong.where.split():
                one = shares[0] if wrong.detail["step"] == "first" else shares[-1]
                if wrong.detail["step"] == "without first":
                    one = right - shares[0]
                if wrong.detail["step"] == "without last":
                    one = right - shares[-1]
                right = one if "gate" not in wrong.detail else _in_block(right, one, wrong.detail["gate"], gates)
            if wrong.code == "gradient-added-to-itself" and "recursive" in wrong.detail and name in wrong.where.split():
                adds = wrong.detail["recursive"] == "2 · sum + share"
                right = np.zeros_like(right) if adds else shares[-1] / 2
                for share in shares[::-1]:
                    right = 2 * right + share if adds else 2 * right
        total[name] = right
    return total


def _in_block(right: Array, other: Array, gate: str, gates: str) -> Array:
    """`right` with the block of one gate from `other`."""
    H = right.shape[-1] // len(gates)
    mixed, k = right.copy(), gates.index(gate)
    mixed[..., k * H : (k + 1) * H] = np.broadcast_to(other, right.shape)[..., k * H : (k + 1) * H]
    return mixed


def finish(gradients: Arrays, deltas: list[Delta], inputs: Arrays, bug: Bug) -> Arrays:
    """The gradients as they are returned."""
    for wrong in bug:
        if wrong.side == "backward":
            gradients = _spoil(gradients, deltas, inputs, wrong)
    return gradients


def _spoil(g: Arrays, deltas: list[Delta], inputs: Arrays, bug: Bug) -> Arrays:
    """The gradients with one mistake that concerns whole tensors."""
    code, where, detail = bug.code, bug.where, bug.detail
    names = list(g) if where == "all" else [n for n in where.split() if n in g]
    if code == "sign-flipped":
        return g | {n: -g[n] for n in names}
    if code == "mean-instead-of-sum" and names:
        return g | {n: g[n] / count(detail["by"], inputs) for n in names}
    if code == "gradient-added-to-itself" and "factor" not in detail:
        return g
    if code == "gradient-added-to-itself" and names and "gate" in detail:
        return g | {n: _in_block(g[n], g[n] * detail["factor"], detail["gate"], detail["gates"]) for n in names}
    if code == "gradient-added-to-itself":
        return g | {n: g[n] * detail["factor"] for n in names}
    if code == "gate-copy-paste" and "gates" in detail:
        H = g["db"].shape[-1] // len(detail["gates"])
        j = detail["gates"].index(detail["by"])
        tiled = {n: np.tile(g[n][..., j * H : (j + 1) * H], len(detail["gates"])) for n in names}
        return g | {n: _in_block(g[n], tiled[n], detail["gate"], detail["gates"]) for n in names}
    if code == "missing-transpose" and "gate" in detail:
        H = g["dWh"].shape[0]
        turned = np.concatenate([block.T for block in np.split(g["dWh"], g["dWh"].shape[1] // H, axis=1)], axis=1)
        return g | {n: _in_block(g[n], turned, detail["gate"], detail["gates"]) for n in names if n == "dWh"}
    if code == "missing-transpose":
        return g | {n: g[n].T for n in names if n in ("dWx", "dWh")}
    if code == "bias-gradient-scalar" and "spread" in detail:
        return g | {where: np.full_like(g[where], g[where].sum())}
    if code == "bias-gradient-scalar":
        if "gate" in detail:
            H = len(g[where]) // len(detail["gates"])
            k = detail["gates"].index(detail["gate"])
            return g | {
                where: _in_block(g[where], g[where][k * H : (k + 1) * H].sum(), detail["gate"], detail["gates"])
            }
        return g | {where: np.asarray(g[where].sum())}
    if code == "bias-gradient-from-weights":
        return g | {"db": g[detail["of"]].sum(axis=detail["axis"])}
    if code == "bias-gradient-wrong-axis":
        return g | {"db": sum((d.da.sum(axis=1) for d in deltas), np.zeros(len(deltas[0].da)))}
    if code == "concat-order-swapped" and where == "dWx dWh":
        dWx, dWh = exchange_rows(g["dWx"], g["dWh"], first=detail["first"])
        return g | {"dWx": dWx, "dWh": dWh}
    if code == "wrong-variable-returned" and where in g and detail["value"] in g:
        other = {where: g[detail["value"]]}
        return g | other | ({detail["value"]: g[where]} if detail.get("exchanged") else {})
    return g


def count(by: str, inputs: Arrays) -> int:
    """N, T or N·T of the inputs: x is (T,N,D), or (N,D) without T."""
    shape = np.shape(inputs["x"])
    sizes = {"N": shape[-2], "T": shape[0] if len(shape) == 3 else 1}
    return int(np.prod([sizes[letter] for letter in by]))
