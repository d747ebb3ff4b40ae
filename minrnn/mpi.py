"""Several processes that mpiexec started, on one machine or on many: the rows of a batch are shared between MPI ranks.

    mpiexec -n 4 minrnn train book.txt

Rank 0 leads. It alone reads the text, updates the parameters, evaluates, saves and speaks, as it would without others;
they wait in `Ranks.serve` for what it asks. For a step it scatters rows with their states, and broadcasts the
parameters; all ranks take their rows forward and backward (minrnn.team says which); one flat gradient is summed up at
rank 0. So a checkpoint does not know how many ranks wrote it: it can be resumed with more, fewer or none.

Within a rank, the processes of minrnn.parallel share its rows once more, on the rank's part of the CPUs.

What this is not: for GPUs. And it cannot outlive a rank: mpiexec ends the others when one dies.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from minrnn import parallel
from minrnn.backend import BackendError
from minrnn.model import CharRNN
from minrnn.team import Task, Team, WorkerDied

INSTALL = "pip install 'minrnn[mpi]'"


class Ranks:
    """This process among the `size` that mpiexec started; mpi4py is imported here and nowhere else.

    Raises ImportError without mpi4py; BackendError where it finds no MPI library, or one that does not belong to the
    mpiexec that was used.
    """

    def __init__(self, size: int) -> None:
        try:
            from mpi4py import MPI  # noqa: PLC0415 (up to a second, which only ranks have to wait)
        except ImportError as e:
            raise ImportError(f"mpiexec started {size} processes, but mpi4py is missing: {INSTALL}") from e
        except RuntimeError as e:
            raise BackendError(f"mpi4py finds no MPI library ({e}): {INSTALL} brings one") from e
        self.mpi, self.comm = MPI, MPI.COMM_WORLD
        self.rank, self.size = self.comm.rank, self.comm.size
        if self.size != size:
            library = MPI.Get_library_version().split("\n")[0].strip(" \0")
            raise BackendError(
                f"mpiexec started {size} processes, but mpi4py, with {library}, sees {self.size}: "
                "use the mpiexec of that library"
            )
        self.adrift = False  # an exchange was broken off: the others wait for something that will not come
        here = self.comm.Split_type(MPI.COMM_TYPE_SHARED)  # ranks on this machine
        parallel.hold_threads(max(len(set().union(*here.allgather(_cpus()))) // here.size, 1))
        here.Free()

    def serve(self) -> int:
        """What the ranks that do not lead do, until rank 0 calls `end`. Returns the code that it gave."""
        model: Any = None  # the first order is "open"
        engine: Any = None
        with ExitStack() as opened:
            while True:
                order, *details = self.comm.scatter(None)
                if order == "open":
                    settings, seq_length, rows = details
                    opened.close()
                    model = CharRNN(**settings)
                    engine = opened.enter_context(parallel.sharing(model, seq_length, rows))
                elif order == "work":
                    self.work(model, engine, *details)
                elif order == "add":
                    self.comm.Reduce(model.grads.flat, None)
                else:
                    return details[0]

    def work(self, model: CharRNN, engine: CharRNN | Team, function: Callable[..., Any], task: Task | None) -> Any:
        """Do a task, or nothing where there are more ranks than rows. Returns all answers at rank 0."""
        self.comm.Bcast(model.params.flat)
        answer = None
        try:
            if task is None:
                model.grads.flat[...] = 0.0
            else:
                answer = function(engine, *task)
        except Exception as e:  # whatever it is, rank 0 must hear of it
            answer = e
        return self.comm.gather(answer)

    def end(self, code: int) -> None:
        """Let the other ranks return from `serve` with this exit code. For rank 0, as its last call."""
        if self.adrift:
            self.comm.Abort(code)
        self.comm.scatter([("end", code)] * self.size)


_ranks: Ranks | None = None


def join(size: int) -> Ranks:
    """Become one of `size` ranks: from now on `sharing` shares with the others. Raises what Ranks raises."""
    global _ranks  # noqa: PLW0603 (there is one MPI in a process)
    _ranks = Ranks(size)
    return _ranks


@contextmanager
def sharing(model: CharRNN, seq_length: int, batch_size: int) -> Iterator[CharRNN | Team]:
    """What makes the gradients of training steps of this size fastest: all ranks, else what minrnn.parallel offers."""
    if _ranks is None:
        with parallel.sharing(model, seq_length, batch_size) as engine:
            yield engine
    else:
        rows = -(-batch_size // _ranks.size)
        with parallel.sharing(model, seq_length, rows) as engine:
            yield RankParallel(_ranks, model, engine, seq_length, rows)


class RankParallel(Team):
    """A model whose `gradient` and `nll` are shared between ranks; for rank 0. `engine` does the rows of rank 0."""

    def __init__(self, ranks: Ranks, model: CharRNN, engine: CharRNN | Team, seq_length: int, rows: int) -> None:
        if model.backend.is_gpu:
            raise BackendError("ranks of mpiexec share the work of CPUs: use --device numpy, or a GPU without mpiexec")
        super().__init__(model, ranks.size)
        self.ranks, self.engine = ranks, engine
        with self._in_step():
            ranks.comm.scatter([("open", model.settings, seq_length, rows)] * ranks.size)

    def _exchange(self, function: Callable[..., Any], tasks: Sequence[Task]) -> list[Any]:
        everyone = [*tasks, *[None] * (self.members - len(tasks))]
        with self._in_step():
            _, *details = self.ranks.comm.scatter([("work", function, task) for task in everyone])
            return self.ranks.work(self.model, self.engine, *details)[: len(tasks)]

    def _add_gradients(self, members: int) -> None:
        with self._in_step():
            self.ranks.comm.scatter([("add",)] * self.members)
            self.ranks.comm.Reduce(self.ranks.mpi.IN_PLACE, self.model.grads.flat)

    @contextmanager
    def _in_step(self) -> Iterator[None]:
        """Around what all ranks have to do together: who leaves it early cannot speak to them any more."""
        self.ranks.adrift = True
        try:
            yield
        except self.ranks.mpi.Exception as e:
            raise WorkerDied(f"the ranks cannot reach each other any more ({e}); go on with --resume") from e
        self.ranks.adrift = False


def _cpus() -> set[int]:
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return affinity(0) if affinity else set(range(os.cpu_count() or 1))
