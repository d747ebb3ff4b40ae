"""Two cores for one training step: independent rows of a batch are computed at the same time.

NumPy lets other threads run while it is inside a loop or a matrix product, so ordinary threads will do. Each takes its
rows through the whole sequence, with the matrix library held to one thread. That beats matrix products on all cores,
between which the rest of the work waits on one: `scripts/bench` has the figures. It also degrades gracefully when
another program wants a core, where the spinning threads of a matrix library were seen to make training 20 times slower.

The number of threads is that of NumPy's matrix library (OPENBLAS_NUM_THREADS and the like), or MINRNN_THREADS. For a
given number results are the same at every run, bit for bit.

What this is not: a scheduler. Tasks are few, of about equal size, and do not wait for each other.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache
from typing import Any

WORTH = 4_000_000  # operations below which handing work to another thread costs more (30 µs) than it saves
_inside = threading.local()


class _Libraries:
    """The matrix libraries that NumPy has loaded, and a count of those who want them to use one thread."""

    def __init__(self) -> None:
        from threadpoolctl import ThreadpoolController  # noqa: PLC0415 (looks through all loaded libraries)

        self.all = ThreadpoolController().select(user_api="blas").lib_controllers
        self.before = [library.get_num_threads() for library in self.all]
        self.users = 0
        self.lock = threading.Lock()

    def limit(self) -> None:
        with self.lock:
            self.users += 1
            if self.users == 1:
                self.before = [library.get_num_threads() for library in self.all]
                for library in self.all:
                    library.set_num_threads(1)

    def release(self) -> None:
        with self.lock:
            self.users -= 1
            if self.users == 0:
                for library, number in zip(self.all, self.before, strict=True):
                    library.set_num_threads(number)


_libraries = cache(_Libraries)


@cache
def count() -> int:
    """The number of threads that share the work; read once."""
    wanted = os.environ.get("MINRNN_THREADS", "")
    return max(int(wanted), 1) if wanted.isdecimal() else max([1, *_libraries().before])


@cache
def _pool() -> Any:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    return ThreadPoolExecutor(count() - 1, thread_name_prefix="minrnn")


if hasattr(os, "register_at_fork"):  # threads do not survive a fork: the child makes its own
    os.register_at_fork(after_in_child=_pool.cache_clear)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """While entered, a matrix product uses the thread that asks for it and no other."""
    libraries = _libraries()
    libraries.limit()
    try:
        yield
    finally:
        libraries.release()


def parts(n: int, operations: float) -> list[slice]:
    """0 … n-1 cut into a slice for each thread; into a single one where `operations` are too few, or inside a task."""
    alone = operations < WORTH or n < 2 or getattr(_inside, "task", False)
    k = 1 if alone else min(count(), n)
    return [slice(n * j // k, n * (j + 1) // k) for j in range(k)]


def run(tasks: Sequence[Callable[[], Any]]) -> None:
    """Carry out all tasks; the caller's own thread takes the first. Raises what one raised, when none runs any more."""
    if len(tasks) == 1 or getattr(_inside, "task", False):  # inside a task, all threads are taken
        for task in tasks:
            task()
        return
    # A copy of the context each: NumPy keeps there what to do about overflow.
    others = [_pool().submit(copy_context().run, _task, task) for task in tasks[1:]]
    try:
        _task(tasks[0])
    finally:
        failures = [other.exception() for other in others]  # waits
    for failure in failures:
        if failure is not None:
            raise failure


def _task(task: Callable[[], Any]) -> None:
    _inside.task = True
    try:
        task()
    finally:
        _inside.task = False
