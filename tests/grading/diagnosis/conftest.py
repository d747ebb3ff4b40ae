"""Examples of every family, with all dimensions distinct, and observations of a student with a known mistake."""

import numpy as np
import pytest

from minrnn.grading.courses import sampling
from minrnn.grading.courses.cases import layout_of
from minrnn.grading.courses.layout import SIZES as LETTERS
from minrnn.grading.diagnosis.diagnose import Observation
from minrnn.grading.reference import FAMILIES, NONE

SIZES = {"T": 4, "N": 3, "D": 5, "H": 7, "M": 6, "V": 11}
UPDATES = ("sgd", "momentum", "rmsprop", "adagrad", "adam")
ONE_FUNCTION = ("softmax_loss", "char_rnn_loss")  # loss and gradients are returned by the same call


def shapes(name, T, N, D, H, M, V):
    """Shapes of the real arrays that a family may take."""
    family = FAMILIES[name]
    G = max(1, len(family.gates))
    x = (N, D) if name == "affine" or "step" in name else (T, N, D)
    found = {
        **{"x": x, "h0": (N, H), "c0": (N, H), "h_prev": (N, H), "c_prev": (N, H)},
        **{"Wx": (D, G * H), "Wh": (H, G * H), "b": (G * H,), "bhn": (H,), "Wy": (H, M), "by": (M,)},
        **{"w": (D, M), "W": (V, D), "dw": (D, M)},
    }
    for k in (1, 2, 3):
        found |= {f"Wx{k}": (D if k == 1 else H, H), f"Wh{k}": (H, H), f"b{k}": (H,)}
    found |= {"r0": (N, H), "Ux": (D, H), "Uh": (H, H), "ub": (H,), "Vy": (H, M)}
    if name == "deep_rnn":
        found["h0"] = (3, N, H)
    if "affine" in name:
        found["b"] = (M,)
    if name == "affine":  # an example of two axes
        found |= {"x": (N, 6), "w": (6, M)}
    if name == "softmax_loss":
        found["x"] = (T, N, V)
    if name == "char_rnn_loss":
        found |= {"Wx": (V, H), "Wy": (H, V), "by": (V,), "h0": (H,)}
    return found


def make_inputs(name, seed, **sizes):
    """Random arguments of a family."""
    sizes = SIZES | sizes
    rng = np.random.default_rng(seed)
    if name in UPDATES:
        w, dw, v, m, cache = rng.standard_normal((5, 4, 6))
        numbers = {"lr": 0.1, "momentum": 0.9, "decay": 0.8, "epsilon": 1e-3, "t": 3, "beta1": 0.9, "beta2": 0.99}
        known = {"w": w, "dw": dw, "v": v**2, "m": m, "cache": cache**2, **numbers}
        return {key: known[key] for key in FAMILIES[name].inputs if key in known}
    if name.startswith("clip"):
        return {"dW": rng.standard_normal((4, 6)), "db": 3 * rng.standard_normal(6), "limit": 0.8}
    if name == "char_sample":
        layout = layout_of(name, "", {**LETTERS, "T": 24, "P": 3})
        chosen = seed + 31  # for seed 6 one in which no two mistakes give the same ids by chance
        return sampling.peaked(layout, ["prefix", "h0"], {}, chosen, sampling.DRAWN)
    found = {}
    shape = shapes(name, **sizes)
    T, N, V = sizes["T"], sizes["N"], sizes["V"]
    integers = {"ids": (V // 2, (T, N) if name == "embedding" else (T,)), "targets": (V, (T, N))}
    if name == "char_rnn_loss":
        integers["targets"] = (V, (T,))
    for key in FAMILIES[name].inputs:
        if key in integers:
            found[key] = rng.integers(0, *integers[key])
        elif key == "mask":
            found[key] = rng.integers(0, 2, (T, N)).astype(bool)
        elif key == "reduction":
            found[key] = "batch"
        elif key == "clip":
            found[key] = 0.3
        else:
            found[key] = 0.6 * rng.standard_normal(shape[key])
    return found


def make_upstream(name, inputs, seed):
    """Random gradients of the outputs; of a loss it is 1, and of the probabilities there is none."""
    rng = np.random.default_rng(seed + 1000)
    if name in ONE_FUNCTION:
        return {"dloss": 1.0}
    outputs = FAMILIES[name].forward(inputs)
    return {f"d{key}": rng.standard_normal(np.shape(value)) for key, value in outputs.items() if key != "y"}


@pytest.fixture
def example():
    """example(family, seed=0) -> inputs, upstream."""

    def make(name, seed=0, **sizes):
        inputs = make_inputs(name, seed, **sizes)
        return inputs, make_upstream(name, inputs, seed)

    return make


@pytest.fixture
def everything(example):
    """everything(family, bug) -> outputs and gradients of the variant on one example."""

    def compute(name, bug=NONE, seed=0, **sizes):
        inputs, upstream = example(name, seed, **sizes)
        family = FAMILIES[name]
        gradients = family.backward(inputs, upstream, bug) if family.gradients else {}
        return family.forward(inputs, bug) | gradients

    return compute


@pytest.fixture
def observe(example):
    """observe(family, bug) -> what a student with this mistake shows on two seeds, of the side that is wrong."""

    def watch(name, bug, seeds=(1, 2), side=None, own=NONE, **sizes):
        side = side or ("both" if name in ONE_FUNCTION else bug.side)
        family, found = FAMILIES[name], []
        for seed in seeds:
            inputs, upstream = example(name, seed, **sizes)
            student, expected = {}, {}
            if side != "backward":
                student |= family.forward(inputs, bug)
                expected |= family.forward(inputs, own)
            if side != "forward":
                student |= family.backward(inputs, upstream, bug)
                expected |= family.backward(inputs, upstream, own)
            found.append(Observation(inputs, upstream, student, expected))
        return found

    return watch
