"""The program of the fork server: it has NumPy and the child's program in memory, and makes children by forking.

A child that is forked here starts in a small part of the time that an interpreter takes to import NumPy. The server
never sees a submission: it reads what the grader asks from its socket, makes a process, and says later how that process
ended. It gets this file as source, so it stands on the standard library alone.
"""

import gc
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from . import jail

SIZE = 4  # bytes before a message that say how long it is; pipes travel with them
PIPES = 3  # of a child: its requests, its replies, what it prints
TICK_S = 0.001
LASTS = "lasts"  # in place of the exit code of a process that has not ended

Json = dict[str, Any]


def send(peer: socket.socket, message: Json, pipes: list[int] | None = None) -> None:
    """Sends a message, and copies of file descriptors with it."""
    data = json.dumps(message).encode()
    socket.send_fds(peer, [len(data).to_bytes(SIZE, "little")], pipes or [])
    peer.sendall(data)


def receive(peer: socket.socket) -> tuple[Json, list[int]]:
    """The next message and its file descriptors. Raises EOFError where the other side has closed."""
    head, pipes, _, _ = socket.recv_fds(peer, SIZE, PIPES)
    if not head:
        raise EOFError("the other side has closed")
    data, size = b"", int.from_bytes(head, "little")
    while len(data) < size:
        part = peer.recv(size - len(data))
        if not part:
            raise EOFError("the other side has closed")
        data += part
    return json.loads(data), list(pipes)


def serve(control: int, settings: Json, run: Callable[[Json], None]) -> None:
    """Answers what is asked through the socket `control` until it is closed. `run(settings)` is the child's program.

    settings: parent, the grader's process; packages, as for jail.readable_paths.
    """
    jail.die_with_parent(settings["parent"])
    readable = list(jail.readable_paths(settings["packages"])) if sys.platform == "linux" else []
    gc.freeze()  # what is here now is never collected: that would copy its pages into every child
    server = os.getpid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # whose starter ignores it is not told how children end
    with socket.socket(fileno=control) as grader:
        send(grader, {"pid": server})
        while True:
            asked, pipes = receive(grader)
            if "wait" in asked:
                send(grader, {"code": exit_code(asked["wait"], asked["seconds"])})
                continue
            try:
                answer: Json = {"pid": os.fork()}
            except OSError as error:
                answer = {"error": str(error)}
            if answer.get("pid") == 0:
                become_child(grader, pipes, asked | {"parent": server, "readable": readable}, run)
            for pipe in pipes:
                os.close(pipe)
            send(grader, answer)


def exit_code(pid: int, seconds: float) -> int | str:
    """How a process ended, as subprocess says it, waited for so long; or LASTS."""
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done and not os.WIFSTOPPED(status):  # a child may make the server its tracer
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            return LASTS
        time.sleep(TICK_S)


def become_child(grader: socket.socket, pipes: list[int], settings: Json, run: Callable[[Json], None]) -> NoReturn:
    """Turns this copy of the server into a child: a session, pipes and a user of its own, then its program."""
    try:
        os.setsid()
        grader.close()
        os.close(0)  # that of the server would keep locks and flags of one child for the next
        os.open(os.devnull, os.O_RDWR)
        requests, replies, printed = pipes
        os.dup2(printed, 1)
        os.dup2(printed, 2)
        os.close(printed)
        if settings["user"]:
            os.setgroups([])
            os.setgid(settings["user"])
            os.setuid(settings["user"])
        run(settings | {"requests": requests, "replies": replies})
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", flush=True)
    os._exit(1)
