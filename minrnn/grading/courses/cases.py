"""Test inputs for a family: the canonical axes of its arrays, random values for them, and the right answers.

Every size differs from the others, ids repeat, no state and no bias is zero: less would hide mistakes.
Not a judge: nothing of a student is run here.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minrnn.grading.courses.layout import Atoms, Layout
from minrnn.grading.reference import FAMILIES, Array, Family
from minrnn.grading.reference.stacked import LAYERS
from minrnn.grading.reference.units import sigmoid

STEP = {"x": "N D", "h_prev": "N H", "c_prev": "N H", "h": "N H", "c": "N H", "y": "N M", "z": "N M"}
SEQUENCE = {"x": "T N D", "h0": "N H", "c0": "N H", "h": "T N H", "c": "T N H", "y": "T N M", "z": "T N M"}
GATES = dict.fromkeys("ifog", "N H")  # of a step of an LSTM, for caches that a course prescribes
LAST = {"hT": "N H", "cT": "N H"}  # the states after the last step, beside what a family returns
HEAD = {"Wy": "H M", "by": "M"}
PLAIN_WEIGHTS = {"Wx": "D H'", "Wh": "H H'", "b": "H'"}
GATED_WEIGHTS = {"Wx": "D G H'", "Wh": "H G H'", "b": "G H'", "bhn": "H"}
OTHER = {
    "affine": {"x": "N K L", "w": "K L M", "b": "M", "out": "N M"},
    "temporal_affine": {"x": "T N D", "w": "D M", "b": "M", "out": "T N M"},
    "embedding": {"ids": "T N", "W": "V D", "out": "T N D"},
    "softmax_loss": {"x": "T N V", "targets": "T N", "mask": "T N", "loss": ""},
    "char_rnn_loss": {
        **{"ids": "T", "targets": "T", "h0": "H", "Wx": "V H'", "Wh": "H H'", "b": "H'"},
        **{"Wy": "H V", "by": "V", "loss": "", "h": "H"},
    },
    "char_sample": {
        **{"prefix": "P", "ids": "T", "h0": "H", "seed": ""},
        **{"Wx": "V H'", "Wh": "H H'", "b": "H'", "Wy": "H V", "by": "V"},
    },
    "deep_rnn": {
        **{"x": "T N D", "h0": "L N H", "h": "T L N H", "y": "T N M", "Wx1": "D H'", "Wx2": "H H'", "Wx3": "H H'"},
        **{f"Wh{k}": "H H'" for k in LAYERS},
        **{f"b{k}": "H'" for k in LAYERS},
        **HEAD,
    },
    "bidirectional_rnn": {
        **{"x": "T N D", "h0": "N H", "r0": "N H", "h": "T N H", "r": "T N H", "y": "T N M"},
        **{**PLAIN_WEIGHTS, "Ux": "D H'", "Uh": "H H'", "ub": "H'", **HEAD, "Vy": "H M"},
    },
    "sgd": {"w": "D M", "dw": "D M", "lr": ""},
    "momentum": {"w": "D M", "dw": "D M", "v": "D M", "lr": "", "momentum": ""},
    "rmsprop": {"w": "D M", "dw": "D M", "cache": "D M", "lr": "", "decay": "", "epsilon": ""},
    "adagrad": {"w": "D M", "dw": "D M", "cache": "D M", "lr": "", "epsilon": ""},
    "adam": {
        **{"w": "D M", "dw": "D M", "m": "D M", "v": "D M", "t": ""},
        **{"lr": "", "beta1": "", "beta2": "", "epsilon": ""},
    },
    "clip_value": {**PLAIN_WEIGHTS, **HEAD, "limit": ""},
    "clip_norm": {**PLAIN_WEIGHTS, **HEAD, "limit": ""},
}
INTEGERS = ("ids", "targets")
SQUARES = {"rmsprop": ("cache",), "adagrad": ("cache",), "adam": ("v",)}  # means of squares: never negative
WEIGHTS = ("W", "w", "Wx", "Wh", "Wy", "Ux", "Uh", "Vy", *(f"{name}{k}" for name in ("Wx", "Wh") for k in LAYERS))


def axes_of(family: str) -> dict[str, Atoms]:
    """Letters of the axes of every canonical array of a family; dX has those of X."""
    if family in OTHER:
        axes = OTHER[family]
    else:
        shapes = STEP if "step" in family else SEQUENCE
        axes = {
            **shapes,
            **(GATES if family == "lstm_step" else LAST),
            **HEAD,
            **(PLAIN_WEIGHTS if family.startswith("rnn") else GATED_WEIGHTS),
        }
    known = {name: tuple(letters.split()) for name, letters in axes.items()}
    return {**{f"d{name}": letters for name, letters in known.items()}, **known}


def layout_of(family: str, gates: str, sizes: Mapping[str, int]) -> Layout:
    """The layout of a family where the course fuses its gates in the order `gates` ("" is the canonical one)."""
    canonical = FAMILIES[family].gates
    return Layout(axes_of(family), canonical, gates or canonical, sizes)


@dataclass
class Case:
    """Inputs, upstream gradients and what is right for them, by canonical names.

    Beside the outputs of the family there are hT and cT, the last states, z, the scores of which y is the softmax, and
    i, f, o, g, the gates of a step of an LSTM. `merged` is `upstream` in terms of the family: the gradients of the last
    states are added to those of all steps.
    """

    family: Family
    layout: Layout
    inputs: dict[str, Any]
    upstream: dict[str, Array]
    merged: dict[str, Array]
    outputs: dict[str, Array]
    gradients: dict[str, Array]

    def values(self) -> dict[str, Any]:
        """Everything by name, for arguments: where an update returns what it was given, that is the old one."""
        return {**self.outputs, **self.inputs, **self.upstream, **self.gradients}

    def right(self) -> dict[str, Any]:
        """Everything by name, for what is returned: of an update, the new one."""
        return {**self.inputs, **self.outputs, **self.upstream, **self.gradients}


def make(
    layout: Layout,
    family: str,
    carried: Sequence[str],
    upstreams: Collection[str],
    seed: int,
    scale: float = 1.0,
    constants: Mapping[str, Any] | None = None,
) -> Case:
    """A random case of a family.

    carried: canonical inputs that the student's function gets; the others are zeros, or left out where they may be.
    upstreams: names such as "dh" that its backward gets. scale: of all real numbers. constants: inputs that are given.
    """
    model = FAMILIES[family]
    rng = np.random.default_rng(seed)
    inputs = dict(constants or {})
    arrays = model.inputs if model.outputs else tuple(dict.fromkeys(carried))  # clipping takes any arrays
    for name in arrays:
        if name in inputs:
            continue
        if name in carried:
            inputs[name] = _random(rng, name, layout, scale)
            if name in SQUARES.get(family, ()):
                inputs[name] = inputs[name] ** 2
        elif name not in model.optional:
            inputs[name] = np.zeros(layout.canonical_shape(name))
    outputs = complete(model.forward(inputs), inputs)
    upstream = {n: rng.standard_normal(np.shape(outputs[n[1:]])) for n in upstreams if n[1:] in outputs}
    merged = _merged(upstream, outputs)
    gradients = model.backward(inputs, merged) if model.gradients else {}
    return Case(model, layout, inputs, upstream, merged, outputs, gradients)


def told(layout: Layout, family: str, inputs: dict[str, Any]) -> Case:
    """The case of a family that writes ids for inputs that are given: T is how many ids there are."""
    model = FAMILIES[family]
    outputs = model.forward(inputs)
    layout = replace(layout, sizes={**layout.sizes, "T": len(outputs["ids"])})
    return Case(model, layout, inputs, {}, {}, outputs, {})


def complete(outputs: dict[str, Array], inputs: Mapping[str, Any]) -> dict[str, Array]:
    """The outputs of a family with the last states and the scores."""
    found = dict(outputs)
    for state in ("h", "c"):
        if np.ndim(outputs.get(state, 0)) == 3:
            found[f"{state}T"] = outputs[state][-1]
    if "y" in outputs:
        found["z"] = outputs["h"] @ inputs["Wy"] + inputs["by"]
    if "c_prev" in inputs:
        gates = np.split(inputs["x"] @ inputs["Wx"] + inputs["h_prev"] @ inputs["Wh"] + inputs["b"], 4, axis=-1)
        found |= {k: np.tanh(a) if k == "g" else sigmoid(a) for k, a in zip("ifog", gates, strict=True)}
    return found


def _merged(upstream: Mapping[str, Array], outputs: Mapping[str, Array]) -> dict[str, Array]:
    """The upstream gradients of what the family returns: those of the last states are part of the last step's."""
    found = {name: np.array(gradient) for name, gradient in upstream.items() if not name.endswith("T")}
    for name in upstream.keys() - found.keys():
        steps = found.setdefault(name[:-1], np.zeros(np.shape(outputs[name[1:-1]])))
        steps[-1] += upstream[name]
    return found


def _random(rng: np.random.Generator, name: str, layout: Layout, scale: float) -> Array:
    shape = layout.canonical_shape(name)
    if name in INTEGERS:
        ids = rng.integers(0, layout.sizes["V"], shape)
        flat = ids.reshape(-1)
        flat[len(flat) // 2 :] = flat[: len(flat) - len(flat) // 2][::-1]  # every id of one half occurs again
        return ids
    if name == "t":
        return np.asarray(rng.integers(1, 5))
    if name == "mask":
        mask = rng.random(shape) < 0.7
        mask.reshape(-1)[:2] = (True, False)[: mask.size]
        return mask
    values = rng.standard_normal(shape) * scale
    return values / np.sqrt(shape[0]) if name in WEIGHTS else values
