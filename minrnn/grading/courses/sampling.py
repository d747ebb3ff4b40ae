"""Networks for functions that write text, so that their answer can be checked although they draw it at random.

`peaked` makes one that leaves no choice: before every step one id is ahead of all others by so much that any right
sampler gives it, however it draws. Every preactivation is an odd multiple of a large number, whatever the state and the
input are, so the states are exactly −1 and 1; no two scores are closer than `gap`. It stays so for most wrong loops, so
that they too give the same ids every time, others. `flat` makes one that forgets: every id is drawn with the same
chances, whatever came before.

Not a judge, and no sampler: the right ids come from the reference.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from minrnn.grading.courses.layout import Layout
from minrnn.grading.reference import FAMILIES, Array, Arrays

FAMILY = "char_sample"
SATURATED = 25.0  # tanh of it is 1 in float64
DRAWN = 31.0  # nats between two ids for a sampler: exp of the highest score, BITS V/2 times as much, is still a number
CHOSEN = 0.1  # … for a function that takes the most probable id: one that draws in its place gives another
BITS = 4  # units that decide which id comes
TRIES = 200
SPREAD = 2.5  # nats between the least and the most probable id of `flat`


def peaked(layout: Layout, carried: Collection[str], constants: Mapping[str, Any], seed: int, gap: float) -> Arrays:
    """Inputs of the family: `carried` are those that the function gets. Where there is an end, it comes after T ids."""
    rng = np.random.default_rng(seed)
    inputs = _inputs(rng, layout, carried, constants)
    for _ in range(TRIES):
        inputs |= _weights(rng, layout, gap)
        if "h0" in carried:
            inputs["h0"] = rng.choice([-1.0, 1.0], layout.canonical_shape("h0"))
        if _ends(inputs, layout.sizes["T"]) and _is_telling(inputs):
            break
    return inputs


def _ends(inputs: Arrays, T: int) -> bool:
    """Give the name of the end to an id that comes at step T for the first time, or never; False if there is none."""
    if "end" not in inputs:
        return True
    steps = min(T, int(inputs["count"]))
    ids = FAMILIES[FAMILY].forward({**inputs, "end": None, "count": steps})["ids"]
    known = ids[: T - 1]
    wanted = ids[T - 1 : T] if len(ids) >= T else np.arange(len(inputs["by"]))
    fitting = [int(id) for id in wanted if id not in known]
    if not fitting:
        return False
    swapped = np.arange(len(inputs["by"]))
    swapped[[fitting[0], inputs["end"]]] = swapped[[inputs["end"], fitting[0]]]
    inputs |= {"Wx": inputs["Wx"][swapped], "Wy": inputs["Wy"][:, swapped], "by": inputs["by"][swapped]}
    return True


def _is_telling(inputs: Arrays) -> bool:
    """Whether the ids change to the end, and would be others without the state, the beginning or a bias."""

    def ids(given: Arrays) -> list[int]:
        return list(FAMILIES[FAMILY].forward(given)["ids"])

    right = ids(inputs)
    if len(set(right[:-1])) < 3 or len(set(right[-5:-1])) < 2:
        return False
    known = [name for name in ("h0", "prefix", "b", "by") if np.any(inputs.get(name))]
    others = [ids(inputs | {name: np.zeros_like(inputs[name])}) for name in known]
    if "prefix" in inputs:
        shorter = [inputs["prefix"][k:] for k in range(1, len(inputs["prefix"]) + 1)]
        others += [ids(inputs | {"prefix": prefix}) for prefix in shorter]
    return right not in others


def flat(layout: Layout, carried: Collection[str], constants: Mapping[str, Any], seed: int) -> tuple[Arrays, Array]:
    """Inputs of the family, and the chances (V,) with which every id is drawn."""
    rng = np.random.default_rng(seed)
    inputs = _inputs(rng, layout, carried, constants)
    for name in ("Wx", "Wh", "b", "Wy"):
        inputs[name] = np.zeros(layout.canonical_shape(name))
    inputs["by"] = rng.permutation(np.linspace(0.0, SPREAD, layout.sizes["V"]))
    e = np.exp(inputs["by"])
    return inputs, e / e.sum()


def _inputs(rng: np.random.Generator, layout: Layout, carried: Collection[str], constants: Mapping[str, Any]) -> Arrays:
    """All that is no weight."""
    inputs = {"count": layout.sizes["T"], "h0": np.zeros(layout.canonical_shape("h0")), **constants}
    if "prefix" in carried:
        inputs["prefix"] = 1 + rng.permutation(layout.sizes["V"] - 1)[: layout.sizes["P"]]
    if "seed" in carried:
        inputs["seed"] = np.asarray(rng.integers(0, 1 << 30))
    return inputs


def _weights(rng: np.random.Generator, layout: Layout, gap: float) -> Arrays:
    """Weights that leave no choice.

    Wx and Wh are even and b is odd, so that their sum is odd whatever is in it. An id has a code word of BITS signs.
    Its score is V/2 for every sign that the units have too and −V/2 for every other, less a rank of its own below V,
    which a unit that is always 1 gives it, and less V for half of the ids. No two scores are nearer than `gap`.
    """
    H, V = layout.sizes["H"], layout.sizes["V"]
    constant, *units = rng.permutation(H)[: BITS + 1]
    words = rng.permutation(1 << BITS)[np.arange(V) % (1 << BITS)]
    Wx, Wh = 2.0 * rng.integers(-5, 6, (V, H)), 2.0 * rng.integers(-3, 4, (H, H))
    b, Wy = 2.0 * rng.integers(-2, 2, H) + 1, np.zeros((H, V))
    Wx[:, constant], Wh[:, constant], b[constant] = 0.0, 0.0, 1.0
    Wy[constant] = -rng.permutation(V)
    for bit, unit in enumerate(units):
        Wy[unit] = V / 2 * np.where(words >> bit & 1, 1.0, -1.0)
    return {
        **{"Wx": SATURATED * Wx, "Wh": SATURATED * Wh, "b": SATURATED * b},
        **{"Wy": gap * Wy, "by": -gap * V * rng.integers(0, 2, V)},
    }
