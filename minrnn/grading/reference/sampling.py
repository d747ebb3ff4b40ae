"""Text out of a character model, one id after the other, each fed back as the next input; right and wrong.

    prefix (P,) ids to begin with, may be left out   h0 (H,)   Wx (V,H)  Wh (H,H)  b (H,)  Wy (H,V)  by (V,)
    count: how many ids   end: the id at which to stop, may be left out; where it does not come it is put at the end
    ids (T,) = those that follow the prefix

Every id is the most probable one. A sampler draws in its place; where one id has all the probability that is the same,
so this is the right answer for weights that leave no choice (minrnn.grading.courses.sampling makes them).
"""

import numpy as np

from minrnn.grading.reference.bug import NONE, Array, Arrays, Bug, Family
from minrnn.grading.reference.rnn import RNN
from minrnn.grading.reference.sequence import weights_of

CELL = RNN()


class _Model:
    """The network between two ids: its state, its next input, and the mistakes in both."""

    def __init__(self, inputs: Arrays, bug: Bug) -> None:
        self.inputs, self.bug, self.w = inputs, bug, weights_of(CELL, inputs)
        self.start = np.reshape(inputs["h0"], (1, -1)).astype(np.float64)
        if bug.forward("initial-state-ignored", "h0"):
            self.start = np.zeros_like(self.start)
        self.h, self.x = self.start, np.zeros((1, len(inputs["Wx"])))
        self.held = self.start if bug.forward("state-not-carried", "h") else None  # what every step starts from

    def read(self, id: int) -> None:
        """Let the id be the next input."""
        one_hot = np.zeros_like(self.x)
        one_hot[0, id] = 1.0
        self.x = np.maximum(self.x, one_hot) if self.bug.forward("sample-input-not-reset") else one_hot

    def step(self) -> int:
        """One step; the id that follows."""
        old = self.h
        (new,), _ = CELL.forward(self.x, (old,), self.w, self.bug)
        self.h = new if self.held is None else self.held
        z = (old if self.bug.forward("wrong-previous-state", "h") else new) @ self.inputs["Wy"]
        return int(np.argmax(z if self.bug.forward("bias-missing", "by") else z + self.inputs["by"]))


def sample(inputs: Arrays, bug: Bug = NONE) -> Arrays:
    """The ids."""
    model = _Model(inputs, bug)
    given = [int(id) for id in np.reshape(inputs.get("prefix", ()), -1)]
    prefix = _begun(given, bug)
    for id in prefix[:-1]:
        model.read(id)
        model.step()
    if bug.forward("sample-wrong-start", "state"):
        model.h = model.start
    if bug.forward("state-not-carried", "later"):
        model.held = model.h
    if prefix:
        model.read(prefix[-1])
    end = None if bug.forward("sample-wrong-length", "end passed") else inputs.get("end")
    ids: list[int] = []
    while len(ids) < int(inputs["count"]) and (not ids or ids[-1] != end):
        ids.append(model.step())
        if not bug.forward("sample-not-fed-back"):
            model.read(ids[-1])
    if inputs.get("end") is not None and len(ids) == int(inputs["count"]):
        ids += [] if bug.forward("sample-wrong-length", "end not added") else [int(inputs["end"])]
    return {"ids": _cut(ids, given, model, bug)}


def _begun(prefix: list[int], bug: Bug) -> list[int]:
    wrong = bug.find("sample-wrong-start", "forward")
    if wrong and wrong.where == "no input":
        return []
    if wrong and wrong.where == "id 0":
        return [0]
    return prefix[:1] if wrong and wrong.where == "first" else prefix


def _cut(ids: list[int], prefix: list[int], model: _Model, bug: Bug) -> Array:
    """The ids as they are returned."""
    wrong = bug.find("sample-wrong-length", "forward")
    where = wrong.where if wrong else ""
    if where == "too few":
        ids = ids[:-1]
    if where == "first left out":
        ids = ids[1:]
    if where == "too many":
        ids = [*ids, model.step()]
    if where == "prefix for last":
        ids = [*prefix, *ids[: len(ids) - len(prefix)]]
    if where == "prefix too":
        ids = [*prefix, *ids]
    return np.array(ids, dtype=np.int64)


SAMPLING = (
    Family(
        "char_sample",
        ("prefix", "h0", "Wx", "Wh", "b", "Wy", "by", "count", "end", "seed"),
        ("ids",),
        (),
        sample,
        optional=("prefix", "end", "seed"),
    ),
)
