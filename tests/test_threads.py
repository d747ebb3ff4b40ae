"""Rows shared between threads: every row once, every task once, no error lost, the matrix library left as it was."""

import os
import subprocess
import sys
import threading
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minrnn import threads

PATIENCE = 20.0  # seconds until a thread that should be there counts as missing


@pytest.fixture
def meet():
    """meet(n): a task that ends well only if n threads are in it at the same time."""
    return lambda n: partial(threading.Barrier(n, timeout=PATIENCE).wait)


class Library:
    """A matrix library with a number of threads."""

    def __init__(self, number):
        self.number = number

    def get_num_threads(self):
        return self.number

    def set_num_threads(self, number):
        self.number = number


@pytest.fixture
def libraries(monkeypatch):
    """Two matrix libraries on 4 and 3 threads in place of those of NumPy."""
    found = threads._Libraries()
    found.all = [Library(4), Library(3)]
    monkeypatch.setattr(threads, "_libraries", lambda: found)
    return found.all


def numbers(libraries):
    return [library.number for library in libraries]


def in_new_process(code, **variables):
    """What `code` prints where only these variables say how many threads there are."""
    blas = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    clean = {name: value for name, value in os.environ.items() if name not in (*blas, "MINRNN_THREADS")}
    if "BLAS" in variables:
        variables |= dict.fromkeys(blas, variables.pop("BLAS"))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean | variables,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


# Parts.


@given(n=st.integers(0, 300), k=st.integers(1, 70), factor=st.floats(0.0, 2.0))
def test_parts_overlap_nowhere_and_leave_no_row_out(n, k, factor):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "count", lambda: k)
        parts = threads.parts(n, factor * threads.WORTH)
    assert [row for part in parts for row in range(n)[part]] == list(range(n))
    assert all(part.stop - part.start == len(range(n)[part]) for part in parts), "a part beyond the last row"
    lengths = [part.stop - part.start for part in parts]
    assert max(lengths) - min(lengths) <= 1
    assert len(parts) == (max(min(k, n), 1) if factor >= 1.0 else 1)


def test_a_task_does_not_share_its_work_again(share):
    """In none of the threads, the caller's included: waiting for a pool from inside it would never end."""
    share(3)
    inside = []
    threads.run([lambda: inside.append(threads.parts(9, 1e12))] * 3)
    assert inside == [[slice(0, 9)]] * 3
    assert len(threads.parts(9, 1e12)) == 3, "still inside after the end"


def test_another_caller_is_not_inside(share):
    share(2)
    found = []

    def task():
        caller = threading.Thread(target=lambda: found.append(threads.parts(9, 1e12)))
        caller.start()
        caller.join()

    threads.run([task, task])
    assert [len(parts) for parts in found] == [2, 2]


def test_a_task_that_failed_is_not_inside_any_more(share):
    share(2)
    with pytest.raises(ZeroDivisionError):
        threads.run([lambda: 1 / 0, lambda: None])
    assert len(threads.parts(9, 1e12)) == 2


def test_a_run_inside_a_task_ends():
    """Workspaces are cut into parts when they are made; a task may meet one that was made outside."""
    code = """
from minrnn import threads
done = []
def task():
    threads.run([lambda: done.append(1)] * 2)
    assert threads.parts(9, 1e12) == [slice(0, 9)], "outside before the end"
threads.run([task, task])
print(*done)
"""
    assert in_new_process(code, MINRNN_THREADS="2") == ["1"] * 4


# Tasks.


@pytest.mark.parametrize("n", [2, 3, 5])
def test_all_tasks_are_carried_out_at_the_same_time(share, meet, n):
    share(n)
    together, names = meet(n), []

    def task(j):
        together()
        names.append((j, threading.current_thread()))

    threads.run([partial(task, j) for j in range(n)])
    assert sorted(j for j, _ in names) == list(range(n))
    assert dict(names)[0] is threading.current_thread()
    assert len({thread for _, thread in names}) == n


def test_a_single_task_needs_no_other_thread(share):
    share(2)
    done = []
    threads.run([lambda: done.append(threading.current_thread())])
    assert done == [threading.current_thread()]
    assert threads._pool.cache_info().currsize == 0


def test_more_tasks_than_threads_are_all_carried_out(share):
    share(2)
    done = []
    threads.run([partial(done.append, j) for j in range(50)])
    assert sorted(done) == list(range(50))


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_the_error_of_any_task_arrives_and_the_threads_stay_usable(share, meet, wrong):
    share(3)

    def task(j):
        if j == wrong:
            raise LookupError(f"task {j}")

    for _ in range(3):
        with pytest.raises(LookupError, match=f"task {wrong}"):
            threads.run([partial(task, j) for j in range(3)])
    threads.run([meet(3)] * 3)


@pytest.mark.parametrize("wrong", [0, 1])
def test_an_error_is_raised_when_no_task_writes_any_more(share, wrong):
    """Else the arrays that a task still writes to are already somebody else's."""
    share(3)
    failed, slow = threading.Event(), []

    def fail():
        failed.set()
        raise LookupError

    def write():
        failed.wait(PATIENCE)
        threading.Event().wait(0.1)
        slow.append("written")

    tasks = [write, write, write]
    tasks[wrong] = fail
    with pytest.raises(LookupError):
        threads.run(tasks)
    assert slow == ["written"] * 2


def test_tasks_obey_the_callers_error_state(share):
    share(2)

    def overflow():
        np.exp(np.full(3, 1000.0))

    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        threads.run([lambda: None, overflow])
    with np.errstate(over="ignore"):
        threads.run([lambda: None, partial(np.testing.assert_no_warnings, overflow)])


# The matrix library.


def test_the_matrix_library_has_one_thread_inside_and_its_own_number_after(libraries):
    with threads.one_thread_each():
        assert numbers(libraries) == [1, 1]
    assert numbers(libraries) == [4, 3]


def test_nesting_and_errors_leave_the_matrix_library_as_it_was(libraries):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), threads.one_thread_each():
            with threads.one_thread_each():
                assert numbers(libraries) == [1, 1]
            assert numbers(libraries) == [1, 1], "released by the inner one"
            with pytest.raises(LookupError), threads.one_thread_each():
                raise LookupError
            assert numbers(libraries) == [1, 1]
            raise ZeroDivisionError
        assert numbers(libraries) == [4, 3]


def test_a_number_set_later_is_the_one_restored(libraries):
    with threads.one_thread_each():
        pass
    libraries[0].set_num_threads(2)
    with threads.one_thread_each():
        assert numbers(libraries) == [1, 1]
    assert numbers(libraries) == [2, 3]


def test_the_last_of_several_callers_lifts_the_limit(libraries):
    """Two training loops in threads of one program: the first to leave must not take the limit from the second."""
    inside, leave = threading.Event(), threading.Event()

    def other():
        with threads.one_thread_each():
            inside.set()
            leave.wait(PATIENCE)

    thread = threading.Thread(target=other)
    with threads.one_thread_each():
        thread.start()
        assert inside.wait(PATIENCE)
    assert numbers(libraries) == [1, 1]
    leave.set()
    thread.join()
    assert numbers(libraries) == [4, 3]


def test_numpys_own_library_is_found_and_limited():
    from threadpoolctl import threadpool_info

    def blas():
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    before = blas()
    with threads.one_thread_each():
        assert set(blas()) <= {1}
        assert len(threads._libraries().all) == len(before)
    assert blas() == before


# How many threads.

COUNT = "from minrnn import threads; print(threads.count())"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"BLAS": "1"}, "1"),
        ({"BLAS": "1", "MINRNN_THREADS": "3"}, "3"),
        ({"BLAS": "1", "MINRNN_THREADS": ""}, "1"),
        ({"BLAS": "1", "MINRNN_THREADS": "0"}, "1"),
        ({"BLAS": "1", "MINRNN_THREADS": "many"}, "1"),
    ],
)
def test_the_environment_decides_how_many(variables, expected):
    assert in_new_process(COUNT, **variables) == [expected]


def test_without_a_word_there_are_as_many_as_the_matrix_library_has():
    code = """
from minrnn import threads
import numpy, threadpoolctl
blas = [i["num_threads"] for i in threadpoolctl.threadpool_info() if i["user_api"] == "blas"]
print(threads.count(), max([1, *blas]))
"""
    count, expected = in_new_process(code)
    assert count == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_has_threads_of_its_own():
    code = f"""
import os, signal, threading, warnings
from minrnn import threads
warnings.simplefilter("ignore")  # that forking a process with threads is unwise
def both():
    barrier = threading.Barrier(2, timeout={PATIENCE})
    threads.run([barrier.wait, barrier.wait])
both()
child = os.fork()
if child == 0:
    signal.alarm({int(PATIENCE)})
    try:
        both()
    except BaseException:
        os._exit(1)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert in_new_process(code, MINRNN_THREADS="2") == ["0"]
