"""All cores for one training step: the rows of a batch are shared between processes (minrnn.team says how).

Each process works with the matrix library held to one thread; they meet once a step, and the caller, process 0, adds
the gradients up. Parameters and gradients lie in memory that all of them see; ids, states and losses go through a pipe.

Why processes: between two NumPy calls a thread holds the interpreter's lock, and the time loop is made of short calls,
so two threads in it wait for each other (LSTM 2 x 128, T = B = 50: 44 ms a step with threads, 35 ms with processes).
Why not the threads of the matrix library: everything that is not a product stays on one core, products of a time loop
are too small to be shared well, and when another program wants a core, its spinning threads were seen to make training
20 times slower.

The number of processes is the number of threads of NumPy's matrix library (OPENBLAS_NUM_THREADS and the like), or
MINRNN_THREADS. For a given number results are the same at every run, bit for bit.

What this is not: for several machines (that is minrnn.mpi), or for GPUs (minrnn.graphs). Where processes would not pay,
a CharRNN serves alone.
"""

from __future__ import annotations  # naming numpy.random.Generator would import numpy.random: 13 ms

import mmap
import os
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from minrnn.model import CharRNN
from minrnn.team import Engine, Task, Team, WorkerDied

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

WORTH = 2e8  # operations of a step, about 2 ms, below which meeting (0.2 ms) costs more than it saves
ROWS = 8  # of the batch, at least, for a process: a product of fewer costs nearly as much
ONE_THREAD = dict.fromkeys(
    (
        "MINRNN_THREADS",
        "OPENBLAS_NUM_THREADS",
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    ),
    "1",
)


class _Libraries:
    """The matrix libraries that NumPy has loaded, and a count of those who want them to use one thread."""

    def __init__(self) -> None:
        from threadpoolctl import ThreadpoolController  # noqa: PLC0415 (looks through all loaded libraries)

        self.all = ThreadpoolController().select(user_api="blas").lib_controllers
        self.before = [library.get_num_threads() for library in self.all]
        self.users = 0

    def limit(self) -> None:
        self.users += 1
        if self.users == 1:
            self.before = [library.get_num_threads() for library in self.all]
            for library in self.all:
                library.set_num_threads(1)

    def hold(self, most: int) -> None:
        for library in self.all:
            library.set_num_threads(min(library.get_num_threads(), most))
        self.before = [library.get_num_threads() for library in self.all]

    def release(self) -> None:
        self.users -= 1
        if self.users == 0:
            for library, number in zip(self.all, self.before, strict=True):
                library.set_num_threads(number)


_libraries = cache(_Libraries)


@cache
def count() -> int:
    """The number of processes that may share a step; read once."""
    wanted = os.environ.get("MINRNN_THREADS", "")
    return max(int(wanted), 1) if wanted.isdecimal() else max([1, *_libraries().before])


def hold_threads(most: int) -> None:
    """Let the matrix library use no more than `most` threads, and `sharing`, if called later, no more processes."""
    _libraries().hold(most)


def processes_for(model: CharRNN, seq_length: int, batch_size: int) -> int:
    """How many processes are worth having for training steps of this size: 1 means none but the caller's."""
    operations = 6.0 * model.params.flat.size * seq_length * batch_size
    if model.backend.is_gpu or os.name != "posix" or not sys.executable or operations < WORTH:
        return 1
    return max(min(count(), batch_size // ROWS), 1)


@contextmanager
def sharing(model: CharRNN, seq_length: int, batch_size: int) -> Iterator[Engine]:
    """What makes the gradients of training steps of this size fastest: a RowParallel, the model, or graphs of a GPU."""
    processes = processes_for(model, seq_length, batch_size)
    if model.backend.is_gpu:
        from minrnn.graphs import Captured  # noqa: PLC0415 (a GPU alone has them)

        yield Captured(model)
    elif processes == 1:
        yield model
    else:
        with RowParallel(model, processes) as team:
            yield team


class RowParallel(Team):
    """A model whose `gradient` and `nll` are shared between `processes`. Close it, or use it in a `with` statement.

    While it is open, the matrix library of this process has one thread. The parameters of the model move to memory that
    all processes see; `model.params` and `model.grads` stay what they were to everybody else.
    """

    def __init__(self, model: CharRNN, processes: int) -> None:
        from multiprocessing import Pipe  # noqa: PLC0415 (10 ms that nobody else needs)

        if model.backend.is_gpu or os.name != "posix":
            raise ValueError("RowParallel needs a model on the host and a POSIX system; use the model itself")
        super().__init__(model, processes)
        size, dtype = model.params.flat.size, model.params.flat.dtype
        stride = -(-size * dtype.itemsize // 64) * 64  # every vector starts a cache line of its own
        memory = _SharedMemory(stride * processes)
        params = memory.vector(0, size, dtype)
        params[...] = model.params.flat
        model.params.use(params)
        self._gradients = [memory.vector(stride * k, size, dtype) for k in range(1, processes)]
        self._connections: list[Connection] = []
        self._unanswered: list[Connection] = []
        workers: list[subprocess.Popen[bytes]] = []
        for k in range(1, processes):
            ours, theirs = Pipe()
            command = "import sys; from minrnn.parallel import work; work(*map(int, sys.argv[1:]))"
            numbers = theirs.fileno(), memory.file, stride * processes, stride * k
            workers.append(
                subprocess.Popen(
                    [sys.executable, "-c", command, *map(str, numbers)],
                    pass_fds=numbers[:2],
                    env={**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for the caller, who tells the others
                )
            )
            theirs.close()
            ours.send(model.settings)
            self._connections.append(ours)
        self.close = weakref.finalize(self, _close, self._connections, workers)
        _libraries().limit()

    def _exchange(self, function: Callable[..., Any], tasks: Sequence[Task]) -> list[Any]:
        for connection in self._unanswered[:]:  # an interrupted step left them
            self._receive(connection)
        for connection, task in zip(self._connections, tasks[1:], strict=False):
            try:
                connection.send((function, task))
            except OSError:
                raise _died() from None
            self._unanswered.append(connection)
        answers = [function(self.model, *tasks[0])]
        answers += [self._receive(connection) for connection in self._unanswered[:]]
        return answers

    def _add_gradients(self, members: int) -> None:
        for theirs in self._gradients[: members - 1]:
            np.add(self.model.grads.flat, theirs, out=self.model.grads.flat)

    def _receive(self, connection: Connection) -> Any:
        try:
            answer = connection.recv()
        except (EOFError, OSError):
            raise _died() from None
        self._unanswered.remove(connection)
        return answer

    def __enter__(self) -> RowParallel:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _SharedMemory:
    """Memory without a name, for this process and for those that are handed its file; gone with the last of them."""

    def __init__(self, size: int, file: int | None = None) -> None:
        if file is None:
            if hasattr(os, "memfd_create"):  # Linux
                file = os.memfd_create("minrnn")
            else:
                with tempfile.TemporaryFile() as temporary:
                    file = os.dup(temporary.fileno())
            os.ftruncate(file, size)
            weakref.finalize(self, os.close, file)
        self.file = file
        self.bytes = mmap.mmap(file, size)

    def vector(self, start: int, size: int, dtype: np.dtype) -> np.ndarray:
        """(size,) numbers from byte `start` on."""
        return np.frombuffer(self.bytes, dtype, size, start)


def work(connection: int, file: int, size: int, start: int) -> None:
    """What the other processes do until the caller closes the connection, or has gone."""
    from multiprocessing.connection import Connection  # noqa: PLC0415

    pipe, memory = Connection(connection), _SharedMemory(size, file)
    try:
        model = CharRNN(**pipe.recv())
        n, dtype = model.params.flat.size, model.params.flat.dtype
        model.params.use(memory.vector(0, n, dtype))
        model.grads.use(memory.vector(start, n, dtype))
        while True:
            function, task = pipe.recv()
            try:
                answer: Any = function(model, *task)
            except Exception as e:  # whatever it is, the caller must hear of it
                answer = e
            pipe.send(answer)
    except (EOFError, OSError):
        return


def _died() -> WorkerDied:
    return WorkerDied(
        "a process that shared the training step has ended, perhaps for want of memory; "
        "set MINRNN_THREADS=1 to train in one process"
    )


def _close(connections: list[Connection], workers: list[subprocess.Popen[bytes]]) -> None:
    for connection in connections:
        connection.close()
    for worker in workers:
        worker.kill()  # it holds nothing that is not held here
        worker.wait()
    _libraries().release()
