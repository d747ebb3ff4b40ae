"""What all update rules share: checks, state, weight decay, the walk over the parameters. Not a rule itself.

A rule (sgd.py, adagrad.py, rmsprop.py, adam.py) says how one block of parameters moves; this file applies
it to every block of one flat vector.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from minrnn import backend
from minrnn.backend import Array, Backend, Body
from minrnn.optim.blocks import blocks, width
from minrnn.optim.validate import count, not_negative


def shared(xp: Any) -> tuple[Body, ...]:
    """Return the bodies of weight decay, L2 (into the gradient) and decoupled (into the parameters), and of `twice`."""

    def l2(p: Array, g: Array, decayed: Array, weight_decay: float) -> None:
        # decayed = g + λ θ
        xp.multiply(p, weight_decay, out=decayed)
        xp.add(g, decayed, out=decayed)

    def decoupled(p: Array, factor: float) -> None:
        # θ ← θ (1 − η λ)
        xp.multiply(p, factor, out=p)

    def move_again(p: Array, moved: Array) -> None:
        # θ ← θ + (θ − θ before)
        xp.subtract(p, moved, out=moved)
        xp.add(p, moved, out=p)

    return l2, decoupled, move_again


class Optimizer(ABC):
    """An update rule with its state; one object serves one parameter vector.

    Attributes:
        lr: the rate of a step that is given none.
        weight_decay: λ; added to the gradient as λθ before the rule sees it (L2), except in AdamW. It acts on
            every entry of the vector, biases too.
        twice: slices of the vector, from left to right, whose entries stand for the sum of two parameters with equal
            gradients, such as the two biases that PyTorch and char-rnn have where minrnn has one. They move twice as
            far. With L2 decay, adaptive rules move them as if the two were equal; all else is exact. None by default.
        state: {"step": updates so far, and from the first step on one array per moment}. Live, not a copy.
    """

    decoupled = False  # AdamW: decay the parameters directly, not through the gradient

    def __init__(self, lr: float, weight_decay: float, moments: Mapping[str, float]):
        self.lr = not_negative("lr", lr)
        self.weight_decay = not_negative("weight_decay", weight_decay)
        self.state: dict[str, Any] = {"step": 0}
        self.twice: tuple[slice, ...] = ()
        self._moments = dict(moments)  # name -> initial value of every entry
        self._scratch: tuple[object, list[Array]] = (None, [])

    def step(self, params: Array, grads: Array, lr: float | None = None) -> None:
        """Move `params` in place by one update along `grads`.

        Args:
            params: C-contiguous floating-point array, normally one flat vector of all parameters.
            grads: gradient, shape and dtype of params; only read.
            lr: rate of this step, usually from a schedule; None takes self.lr.

        Raises:
            ValueError: lr is negative or not finite; arrays, or a loaded state, do not fit each other.
        """
        rate = self.lr if lr is None else not_negative("lr", lr)
        held = [self.state[name] for name in self._moments if name in self.state]
        bk = backend.of(params, grads, *held)
        _check(params, grads, held)
        with bk.scope():
            if not held:
                self.state.update((name, _filled(bk, params, x)) for name, x in self._moments.items())
            self.state["step"] += 1
            update = self._rule(bk, self.state["step"], rate)
            l2, decoupled, move_again = bk.fused(shared)
            flat = [x.reshape(-1) for x in (params, grads, *(self.state[name] for name in self._moments))]
            u, decayed, before = self._scratch_for(bk, params)
            for block, twice in self._blocks(bk, params.size):
                p, g, *moments = (x[block] for x in flat)
                if self.weight_decay and self.decoupled:
                    decoupled(p, 1.0 - rate * self.weight_decay)
                elif self.weight_decay:
                    l2(p, g, decayed[: p.size], self.weight_decay / 2 if twice else self.weight_decay)
                    g = decayed[: p.size]
                moved = before[: p.size]
                if twice:
                    moved[...] = p
                update(p, g, u[: p.size], *moments)
                if twice:
                    move_again(p, moved)

    def _blocks(self, bk: Backend, size: int) -> Iterator[tuple[slice, bool]]:
        """Cache-sized parts of the vector, and whether each moves twice as far."""
        edges = [0, *(edge for part in self.twice for edge in (part.start, part.stop)), size]
        for number, (start, stop) in enumerate(pairwise(edges)):
            for block in blocks(bk, stop - start):
                yield slice(start + block.start, start + block.stop), number % 2 == 1

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`, a former `.state`, bit for bit. Its arrays are copied, on their device.

        Raises:
            ValueError: the entries are not those of this rule with these settings.
        """
        expected = {"step", *self._moments} if state.get("step") else {"step"}
        if set(state) != expected:
            raise ValueError(
                f"optimizer state holds {sorted(state)}, but {type(self).__name__} as configured needs "
                f"{sorted(expected)}: load it with the rule and the options that saved it"
            )
        loaded: dict[str, Any] = {"step": count("step", state["step"], 0)}
        for name in expected - {"step"}:
            with backend.of(state[name]).scope():  # CuPy copies to the current device
                loaded[name] = state[name].copy()
        self.state = loaded

    @abstractmethod
    def _rule(self, bk: Backend, t: int, lr: float) -> Body:
        """Return update(p, g, u, *moments): step t = 1, 2, … of one block; u is scratch, only g is kept."""

    def _scratch_for(self, bk: Backend, params: Array) -> list[Array]:
        key = (bk, params.dtype, width(bk, params.size))
        if self._scratch[0] != key:
            self._scratch = key, [bk.xp.empty(key[2], dtype=params.dtype) for _ in range(3)]
        return self._scratch[1]


def _check(params: Array, grads: Array, held: list[Array]) -> None:
    if params.dtype.kind != "f" or not params.flags.c_contiguous:
        raise ValueError(
            f"params must be a C-contiguous floating-point array to be updated in place, "
            f"got {params.dtype} of shape {params.shape} with strides {params.strides}"
        )
    for name, array in (("grads", grads), *(("the optimizer's state", x) for x in held)):
        if array.shape != params.shape or array.dtype != params.dtype:
            raise ValueError(
                f"{name} must match params, {params.dtype} of shape {params.shape}, "
                f"got {array.dtype} of shape {array.shape}"
            )


def _filled(bk: Backend, like: Array, value: float) -> Array:
    array = bk.xp.empty(like.shape, dtype=like.dtype)
    array.fill(value)
    return array
