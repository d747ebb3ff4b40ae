"""`mpiexec -n N minrnn train …`: of the N processes one leads, the others serve it, and each is watched by a parent.

    mpiexec ─► watcher ─► rank 0: the command        mpiexec ─► watcher ─► rank k: minrnn.mpi.Ranks.serve

The watcher is there for last words: a rank that is killed cannot say so, mpiexec kills the others before they notice,
and its exit code is its own. What mpiexec starts is the watcher, which hands signals on to the rank and its output
back, and says what happened.

What this is not: it does not know what is trained. The shared work itself is minrnn.mpi.
"""

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import IO, Any

PIPE = "MINRNN_WATCHER"  # a file that ends when the watcher does
LAUNCHERS = (  # rank and number of processes, as a launcher tells them
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI
)
SIGNALS = signal.SIGINT, signal.SIGTERM


def launched() -> tuple[int, int]:
    """The rank of this process and the number of processes that mpiexec started; 0 and 1 without it."""
    for names in LAUNCHERS:
        rank, size = (os.environ.get(name, "") for name in names)
        if rank.isdecimal() and size.isdecimal():
            return int(rank), int(size)
    return 0, 1


def main(argv: Sequence[str], command: Callable[[Sequence[str]], int]) -> int:
    """Be the watcher, or the rank that it started; `command` is what the leading rank runs. Returns the exit code."""
    pipe = os.environ.pop(PIPE, "")
    if not pipe:
        return _watch(argv)
    _end_with(int(pipe))
    return _work(argv, command)


def _watch(argv: Sequence[str]) -> int:
    import subprocess  # noqa: PLC0415 (not needed without mpiexec)
    import threading  # noqa: PLC0415

    handed_on = set()

    def hand_on(number: int, _: Any) -> None:
        handed_on.add(number)
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, number)

    theirs, _ours = os.pipe()
    worker = subprocess.Popen(
        [sys.executable, "-m", "minrnn", *argv],
        env={**os.environ, PIPE: str(theirs), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        pass_fds=[theirs, *_connection()],
        start_new_session=True,  # signals come through the watcher, once
        # While a rank has the output of mpiexec open, that of MPICH takes the signal with which it killed the rank's
        # watcher for the cause of the end, and forgets the code of the one that died first.
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    relays = [threading.Thread(target=_relay, args=to, daemon=True) for to in ((worker.stdout, 1), (worker.stderr, 2))]
    for relay in relays:
        relay.start()
    for number in SIGNALS:
        signal.signal(number, hand_on)
    code = worker.wait()
    for relay in relays:
        relay.join(timeout=1.0)  # processes that the rank has started may take a moment to end
    if code >= 0:
        return code
    if -code in handed_on:  # it was not ready to save yet
        return 128 - code
    rank, size = launched()
    print(
        f"minrnn: error: rank {rank} of {size} was ended by {signal.Signals(-code).name}, perhaps for want of memory; "
        "what was saved last is intact: go on with --resume",
        file=sys.stderr,
        flush=True,
    )
    if _connection():
        # MPICH's mpiexec may see the end of this connection before the exit code, end the other ranks, and take its own
        # signal for the cause; so it is told what MPI_Abort tells it.
        with contextlib.suppress(OSError):
            os.write(_connection()[0], b"cmd=abort exitcode=5\n")
            time.sleep(1.0)  # it ends this process too
    return 5


def _connection() -> list[int]:
    """The file through which MPICH talks to mpiexec."""
    return [int(number) for number in [os.environ.get("PMI_FD", "")] if number.isdecimal()]


def _relay(source: IO[bytes], target: int) -> None:
    while data := os.read(source.fileno(), 65536):
        os.write(target, data)


def _end_with(pipe: int) -> None:
    """Leave at once when the watcher has gone: then mpiexec has ended this rank, or has itself been killed."""
    import threading  # noqa: PLC0415

    def wait() -> None:
        os.read(pipe, 1)
        os._exit(5)

    threading.Thread(target=wait, daemon=True).start()


def _work(argv: Sequence[str], command: Callable[[Sequence[str]], int]) -> int:
    from minrnn import mpi  # noqa: PLC0415 (only ranks need it)

    rank, size = launched()
    try:
        ranks = mpi.join(size)
    except Exception:
        time.sleep(2.0 if rank else 0.0)  # what is wrong with all is said once: mpiexec ends the others
        raise
    if rank:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # rank 0 finishes the step with all, then saves
        try:
            return ranks.serve()
        except Exception:
            traceback.print_exc()
            ranks.adrift = True
            ranks.end(5)
    try:
        code = command(argv)
    except SystemExit as stop:  # of argparse
        code = stop.code if isinstance(stop.code, int) else 0
    except Exception:
        traceback.print_exc()  # here, for an end that is out of step leaves no time to do it later
        code = 1
    ranks.end(code)
    return code
