"""A training step as one CUDA graph: recorded once for each (T, B), then launched as a whole.

    ids, state ─► buffers ─► [ forward ─► backward ─► gradients ]  one launch ─► loss, state

A step of a recurrent network is hundreds of small kernels, and on a GPU asking for one costs a CPU more (10 µs) than
running it. A graph remembers what was asked for, with all addresses and numbers, and repeats it. So whatever changes
from step to step must be read from memory: ids and states are copied to where the recorded kernels look for them.
Clipping and the update, whose rates are numbers, stay outside; they are a few launches.

A graph must earn its place. On the batch that it is recorded for, its gradients are compared with those of the model,
and its time with the model's; else, and where anything is missing, the model goes on step by step, and `note` says why.

What this is not: needed for results. They are those of the model, up to the rounding of other matrix products.
"""

from __future__ import annotations  # naming numpy.random.Generator would import numpy.random: 13 ms

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, cast

import numpy as np

from minrnn.backend import Array, BackendError, CupyBackend
from minrnn.cublas import Product, rounds_to_tf32
from minrnn.model import CharRNN, State

GRAPHS = 3  # at most: each keeps a workspace. Lengths that vary have many sizes, and those seen twice first get one
TIMED = 5  # steps
SLOWER = 1.1  # times the model's time, from which on a graph is given up; not less, or chance would decide

Key = tuple[int, int, float]  # T, B and dloss, which is a number that is recorded


class Recorded:
    """The gradient of a model for ids of one shape, as a graph. Raises whatever stands in the way."""

    def __init__(self, model: CharRNN, shape: tuple[int, int], dloss: float) -> None:
        bk = self.backend = cast(CupyBackend, model.backend)
        xp, (T, B) = bk.xp, shape
        with bk.scope():
            self._x, self._targets = xp.zeros((T, B), np.intp), xp.zeros((T, B), np.intp)
            self._form = [len(layer) for layer in model.zero_state(B)]
            self._before = xp.zeros((sum(self._form), B, model.hidden_size), model.dtype)
            self._after, self._loss = xp.empty_like(self._before), xp.zeros((), model.dtype)
            self._places = list(self._before)
            self._workspace = model.workspace(T, B)  # kept: the model may drop it
            self._pool = xp.cuda.MemoryPool()  # small arrays that are made on the way live here, and nothing else does
            self._stream = xp.cuda.Stream(non_blocking=True)
            self._product = Product(xp, self._stream)
        state = self._state_of(self._before)

        def step() -> None:
            loss, after = model.gradient(self._x, self._targets, state, dloss=dloss)
            self._loss[...] = loss
            for place, a in zip(self._after, _arrays(after), strict=True):
                place[...] = a

        self._graph = self._record(step)

    def _record(self, step: Callable[[], None]) -> Any:
        bk, stream = self.backend, self._stream
        bk.synchronize()  # what the other stream will read has been written
        with bk.scope(), stream, bk.xp.cuda.using_allocator(self._pool.malloc), bk.recording(self._product):
            try:
                step()  # so that kernels are compiled and libraries loaded, which cannot be recorded
                stream.begin_capture()
                try:
                    step()
                except Exception:
                    with contextlib.suppress(Exception):  # it only says once more that something was refused
                        stream.end_capture()
                    raise
                return stream.end_capture()
            finally:
                stream.synchronize()

    def gradient(self, x: Array, targets: Array, state: State | None) -> tuple[Array, State]:
        """As CharRNN.gradient, for ids of this shape."""
        with self.backend.scope():
            self._x[...], self._targets[...] = x, targets
            if state is None:
                self._before.fill(0.0)
            else:
                for place, a in zip(self._places, _arrays(state), strict=True):
                    place[...] = a
            self._graph.launch()
            return self._loss.copy(), self._state_of(self._after.copy())

    def _state_of(self, arrays: Array) -> State:
        """What lies in one array, (n,B,H), as a state."""
        each = iter(arrays)
        return tuple(tuple(next(each) for _ in range(n)) for n in self._form)


class Captured:
    """A model on a GPU whose `gradient` is a graph, where that is possible, right and not slower.

    `note` says in one line what has become of it; it is empty until a size of batch has come for the second time.
    """

    def __init__(self, model: CharRNN) -> None:
        self.model, self.backend = model, model.backend
        self.note = ""
        self._refused = False
        self._seen: Counter[Key] = Counter()
        self._graphs: dict[Key, Recorded] = {}

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
        T, B = x.shape
        key = T, B, dloss
        if rng is not None and self.model.dropout > 0:
            self._refuse("dropout draws its masks on the host")
        self._seen[key] += 1
        if self._seen[key] == 2 and len(self._graphs) < GRAPHS and not self._refused:
            self._try(key, x, targets, state)
        if key in self._graphs:
            return self._graphs[key].gradient(x, targets, state)
        return self.model.gradient(x, targets, state, dloss=dloss, rng=rng)

    def nll(self, x: Array, targets: Array, state: State | None = None) -> tuple[Array, State]:
        """As CharRNN.nll, and by it."""
        return self.model.nll(x, targets, state)

    def _refuse(self, why: str) -> None:
        self._refused, self.note = True, f"no CUDA graphs: {why}"
        self._graphs.clear()

    def _try(self, key: Key, x: Array, targets: Array, state: State | None) -> None:
        """Keep a graph for this size, if it can be had, gives what the model gives, and is not slower."""
        T, B, dloss = key

        def step() -> tuple[Array, State]:
            return self.model.gradient(x, targets, state, dloss=dloss)

        expected = self._results(step)
        try:
            graph = Recorded(self.model, (T, B), dloss)

            def replay() -> tuple[Array, State]:
                return graph.gradient(x, targets, state)

            found = self._results(replay)
            error = np.max(list(map(difference, found, expected)))  # Python's max would overlook NaN
            plain, replayed = self._milliseconds(step), self._milliseconds(replay)
        except Exception as e:  # whatever it is: the model needs no graph
            said = str(e).partition("\n")[0]
            return self._refuse(said if isinstance(e, BackendError) else f"{type(e).__name__}: {said}")
        if not error <= (2e-2 if rounds_to_tf32() else float(np.finfo(self.model.dtype).eps) ** 0.5):
            return self._refuse(f"a step replayed differs from the step itself by {error:.1e}")
        if replayed > SLOWER * plain:
            return self._refuse(f"{replayed:.2f} ms for a step replayed, {plain:.2f} for the step itself")
        self._graphs[key] = graph
        self.note = self.note or f"CUDA graphs: {replayed:.2f} ms for a step replayed, {plain:.2f} for the step itself"

    def _results(self, step: Callable[[], tuple[Array, State]]) -> list[np.ndarray]:
        loss, after = step()
        return [self.backend.to_host(a) for a in (loss, self.model.grads.flat, *_arrays(after))]

    def _milliseconds(self, step: Callable[[], Any]) -> float:
        cuda = self.backend.xp.cuda
        with self.backend.scope():
            begin, end = cuda.Event(), cuda.Event()
            begin.record()
            for _ in range(TIMED):
                step()
            end.record()
            end.synchronize()
            return cuda.get_elapsed_time(begin, end) / TIMED


def _arrays(state: State) -> Iterable[Array]:
    return (a for layer in state for a in layer)


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest, as a part of the largest number that was expected; NaN where there is one."""
    return float(np.max(np.abs(found - expected)) / max(np.max(np.abs(expected)), np.finfo(expected.dtype).tiny))
