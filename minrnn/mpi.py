"""Several processes that mpiexec started, on one machine or on many: the rows of a batch are shared between MPI ranks.

    mpiexec -n 4 minrnn train book.txt

Rank 0 leads. It alone reads the text, updates the parameters, evaluates, saves and speaks, as it would without others;
they wait in `Ranks.serve` for what it asks. For a step it scatters rows with their states, and broadcasts the
parameters; all ranks take their rows forward and backward (minrnn.team says which); one flat gradient is summed up at
rank 0. So a checkpoint does not know how many ranks wrote it: it can be resumed with more, fewer or none.

Within a rank, the processes of minrnn.parallel share its rows once more, on the rank's part of the CPUs.

With GPUs every rank has one of its own. Parameters and gradients then go from GPU to GPU, through NCCL; ids, states and
losses, which are small, still pass through the host.

What this is not: able to outlive a rank. mpiexec ends the others when one dies.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from minrnn import parallel
from minrnn.backend import Array, Backend, BackendError
from minrnn.model import CharRNN, State
from minrnn.team import Engine, Task, Team, WorkerDied

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
        self.local = here.rank
        parallel.hold_threads(max(len(set().union(*here.allgather(_cpus()))) // here.size, 1))
        here.Free()

    def serve(self) -> int:
        """What the ranks that do not lead do, until rank 0 calls `end`. Returns the code that it gave."""
        model: Any = None  # the first order is "open"
        engine: Any = None
        exchange: Any = None
        with ExitStack() as opened:
            while True:
                order, *details = self.comm.scatter(None)
                if order == "open":
                    settings, device, seq_length, rows = details
                    opened.close()
                    model, error = self.meet(lambda: CharRNN(**settings, device=self.device(device)))  # noqa: B023
                    if error is None:
                        engine = opened.enter_context(parallel.sharing(model, seq_length, rows))
                        exchange, _ = self.meet(lambda: exchange_of(self, model.backend))  # noqa: B023
                elif order == "work":
                    self.work(model, engine, exchange, *details)
                elif order == "add":
                    exchange.add_up(model.grads.flat)
                else:
                    return details[0]

    def device(self, leading: str) -> str:
        """The device of this rank where rank 0 has `leading`: on each machine the GPUs from that number on."""
        library, _, index = leading.partition(":")
        return f"{library}:{int(index) + self.local}" if index else leading

    def meet(self, act: Callable[[], Any]) -> tuple[Any, Exception | None]:
        """Do something at all ranks. Returns what it gave here, and what it raised at the first that failed."""
        found, error = None, None
        try:
            found = act()
        except Exception as e:  # whatever it is, all ranks must hear of it
            error = e
        return found, next((e for e in self.comm.allgather(error) if e is not None), None)

    def work(
        self, model: CharRNN, engine: Engine, exchange: Exchange, function: Callable[..., Any], task: Task | None
    ) -> Any:
        """Do a task, or nothing where there are more ranks than rows. Returns all answers at rank 0."""
        exchange.broadcast(model.params.flat)
        answer = None
        try:
            if task is None:
                with model.backend.scope():
                    model.grads.flat[...] = 0.0
            else:
                answer = exchange.to_host(function(engine, *exchange.from_host(task)))
        except Exception as error:  # whatever it is, rank 0 must hear of it
            answer = error
        return self.comm.gather(answer)

    def end(self, code: int) -> None:
        """Let the other ranks return from `serve` with this exit code. For rank 0, as its last call."""
        if self.adrift:
            self.comm.Abort(code)
        self.comm.scatter([("end", code)] * self.size)


class Exchange:
    """Between ranks whose models are in host memory: vectors through MPI, and all else as it is."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks

    def broadcast(self, vector: Array) -> None:
        """Make it that of rank 0 at all ranks."""
        self._ranks.comm.Bcast(vector)

    def add_up(self, vector: Array) -> None:
        """Make it the sum of all at rank 0."""
        if self._ranks.rank:
            self._ranks.comm.Reduce(vector, None)
        else:
            self._ranks.comm.Reduce(self._ranks.mpi.IN_PLACE, vector)

    def to_host(self, value: Any) -> Any:
        """`value` with all arrays in it, in tuples of any depth, on the host."""
        return value

    def from_host(self, value: Any) -> Any:
        """The reverse of to_host."""
        return value


class GPUExchange(Exchange):
    """Between GPUs, one a rank: vectors through NCCL, behind what their streams have to do, so that nobody waits."""

    def __init__(self, ranks: Ranks, bk: Backend) -> None:
        super().__init__(ranks)
        self._bk = bk
        try:
            distributed = importlib.import_module(f"{bk.xp.__name__}x.distributed")
            with bk.scope():
                self._nccl = distributed.init_process_group(ranks.size, ranks.rank, use_mpi=True)
        except (ImportError, RuntimeError) as e:
            raise BackendError(
                f"several GPUs need NCCL ({e}): pip install nvidia-nccl-cu12 or nvidia-nccl-cu13, or use one rank"
            ) from e

    def broadcast(self, vector: Array) -> None:
        """See Exchange.broadcast."""
        with self._bk.scope():
            self._nccl.broadcast(vector, 0)

    def add_up(self, vector: Array) -> None:
        """See Exchange.add_up."""
        with self._bk.scope():
            self._nccl.reduce(vector, vector, 0)

    def to_host(self, value: Any) -> Any:
        """See Exchange.to_host."""
        return _moved(value, self._bk.to_host)

    def from_host(self, value: Any) -> Any:
        """See Exchange.from_host."""
        return _moved(value, self._bk.from_host)


def exchange_of(ranks: Ranks, bk: Backend) -> Exchange:
    """How ranks with models on such devices exchange what they have. For all ranks together."""
    return GPUExchange(ranks, bk) if bk.is_gpu else Exchange(ranks)


def _moved(value: Any, move: Callable[[Any], Any]) -> Any:
    if isinstance(value, tuple):
        return tuple(_moved(part, move) for part in value)
    return move(value) if hasattr(value, "strides") else value


_ranks: Ranks | None = None


def join(size: int) -> Ranks:
    """Become one of `size` ranks: from now on `sharing` shares with the others. Raises what Ranks raises."""
    global _ranks  # noqa: PLW0603 (there is one MPI in a process)
    _ranks = Ranks(size)
    return _ranks


@contextmanager
def sharing(model: CharRNN, seq_length: int, batch_size: int) -> Iterator[Engine]:
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

    def __init__(self, ranks: Ranks, model: CharRNN, engine: Engine, seq_length: int, rows: int) -> None:
        super().__init__(model, ranks.size)
        self.ranks, self.engine = ranks, engine
        with self._in_step():
            ranks.comm.scatter([("open", model.settings, model.backend.name, seq_length, rows)] * ranks.size)
            _, error = ranks.meet(lambda: None)
            if error is None:
                self.exchange, error = ranks.meet(lambda: exchange_of(ranks, model.backend))
        if error is not None:
            raise error

    @property
    def note(self) -> str:
        """That of the engine of this rank, if it has one."""
        return getattr(self.engine, "note", "")

    def nll(self, x: Array, targets: Array, state: State | None = None) -> tuple[Array, State]:
        """As Team.nll, on the device."""
        nll, after = super().nll(x, targets, state)
        return self.exchange.from_host(nll), after

    def _ask(
        self,
        function: Callable[..., Any],
        shares: list[slice],
        x: Array,
        targets: Array,
        state: State | None,
        more: Sequence[Task],
    ) -> tuple[list[Any], State]:
        x, targets, state = self.exchange.to_host((x, targets, state))
        values, after = super()._ask(function, shares, x, targets, state, more)
        return values, self.exchange.from_host(after)

    def _exchange(self, function: Callable[..., Any], tasks: Sequence[Task]) -> list[Any]:
        everyone = [*tasks, *[None] * (self.members - len(tasks))]
        with self._in_step():
            _, *details = self.ranks.comm.scatter([("work", function, task) for task in everyone])
            return self.ranks.work(self.model, self.engine, self.exchange, *details)[: len(tasks)]

    def _add_gradients(self, members: int) -> None:
        with self._in_step():
            self.ranks.comm.scatter([("add",)] * self.members)
            self.exchange.add_up(self.model.grads.flat)

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
