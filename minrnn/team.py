"""The rows of a batch shared between members: how a step is divided and put together again. Not how messages travel.

    loss = Σ_k (B_k / B) loss_k        gradient = Σ_k (B_k / B) gradient_k        k = 0 … members − 1

Member 0 is the caller's own process. Each member takes its B_k rows through the whole network, forward and backward;
nothing else is needed before the gradients are added up, once a step. Who the others are, and how tasks, answers and
gradients reach them, is for minrnn.parallel (processes of one machine) and minrnn.mpi (ranks that mpiexec started).
"""

from __future__ import annotations  # naming numpy.random.Generator would import numpy.random: 13 ms

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from minrnn.backend import Array, Backend
from minrnn.model import CharRNN, State

Task = tuple[Any, ...]  # the arguments of a function after the model


class WorkerDied(RuntimeError):
    """A process that shared the work has ended."""


class Engine(Protocol):
    """What makes gradients and losses for training: a CharRNN itself, a Team, or a minrnn.graphs.Captured."""

    backend: Backend

    def gradient(
        self,
        x: Array,
        targets: Array,
        state: State | None = None,
        *,
        dloss: float = 1.0,
        rng: np.random.Generator | None = None,
    ) -> tuple[Array, State]:
        """As CharRNN.gradient."""

    def nll(self, x: Array, targets: Array, state: State | None = None) -> tuple[Array, State]:
        """As CharRNN.nll."""


class Team(ABC):
    """A model whose `gradient` and `nll` are shared between `members`."""

    def __init__(self, model: CharRNN, members: int) -> None:
        self.model, self.backend, self.members = model, model.backend, members

    @abstractmethod
    def _exchange(self, function: Callable[..., Any], tasks: Sequence[Task]) -> list[Any]:
        """What `function(model, *task)` returned, or the Exception that it raised, at member 0, 1, … for its task."""

    @abstractmethod
    def _add_gradients(self, members: int) -> None:
        """Add to the gradients of member 0 those of the other ones among the first `members`."""

    def gradient(
        self,
        x: Array,
        targets: Array,
        state: State | None = None,
        *,
        dloss: float = 1.0,
        rng: np.random.Generator | None = None,
    ) -> tuple[Array, State]:
        """As CharRNN.gradient. The masks of dropout depend on the number of members, all else up to rounding.

        Raises WorkerDied when a process has ended, else what one of them raised.
        """
        shares = self._shares(x.shape[1])
        seeds = [None] * len(shares)
        if rng is not None and self.model.dropout > 0:
            seeds = rng.integers(2**63, size=len(shares)).tolist()
        weights = [(rows.stop - rows.start) / x.shape[1] for rows in shares]
        more = [(dloss * weight, seed) for weight, seed in zip(weights, seeds, strict=True)]
        losses, state = self._ask(_gradient, shares, x, targets, state, more)
        self._add_gradients(len(shares))
        loss = sum(weight * float(loss) for weight, loss in zip(weights, losses, strict=True))
        return self.model.params.flat.dtype.type(loss), state

    def nll(self, x: Array, targets: Array, state: State | None = None) -> tuple[Array, State]:
        """As CharRNN.nll. Raises WorkerDied when a process has ended, else what one of them raised."""
        shares = self._shares(x.shape[1])
        found, state = self._ask(_nll, shares, x, targets, state, [()] * len(shares))
        return np.concatenate(found, axis=1), state

    def _shares(self, B: int) -> list[slice]:
        n = min(self.members, B)
        return [slice(B * k // n, B * (k + 1) // n) for k in range(n)]

    def _ask(
        self,
        function: Callable[..., tuple[Any, State]],
        shares: list[slice],
        x: Array,
        targets: Array,
        state: State | None,
        more: Sequence[Task],
    ) -> tuple[list[Any], State]:
        """The results of `function` on the rows of every member, and the new state of all rows."""
        tasks = []
        for rows, extra in zip(shares, more, strict=True):
            ids = (np.ascontiguousarray(a[:, rows]) for a in (x, targets))  # (T,B_k) each
            before = None if state is None else tuple(tuple(a[rows] for a in layer) for layer in state)  # (B_k,H)
            tasks.append((*ids, before, *extra))
        answers = self._exchange(function, tasks)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        values, states = zip(*answers, strict=True)
        layers = zip(*states, strict=True)
        return list(values), tuple(tuple(map(np.concatenate, zip(*layer, strict=True))) for layer in layers)


def _gradient(
    model: Engine, x: Array, targets: Array, state: State | None, dloss: float, seed: int | None
) -> tuple[Array, State]:
    return model.gradient(x, targets, state, dloss=dloss, rng=None if seed is None else np.random.default_rng(seed))


def _nll(model: Engine, x: Array, targets: Array, state: State | None) -> tuple[Array, State]:
    return model.nll(x, targets, state)
