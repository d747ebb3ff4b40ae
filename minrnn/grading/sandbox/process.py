"""The process of a child and its pipes: spoken to by the clock, killed as a group.

It knows bytes, times and exits; what the bytes mean is `child.py`'s. POSIX only.
"""

import contextlib
import os
import selectors
import signal
import stat
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from minrnn.grading.sandbox import server
from minrnn.grading.sandbox.clocks import Clocks
from minrnn.grading.sandbox.protocol import EXIT_MEMORY

NOBODY = 65534
TICK_S = 0.2  # between two looks at the clocks
ENDING_S = 5.0  # for a process that has closed its pipes
KILLED_S = 10.0  # for one that is killed
CHUNK = 1 << 16


class Gone(Exception):
    """The child is, or has to be, dead; the argument is the status."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class Process:
    """One child process. Its `clocks` bound every wait; Gone is raised where one of them says so.

    settings: layers and limits, for the child. Raises OSError where there can be no process.
    """

    def __init__(self, settings: dict[str, Any], output_limit: int, drop_user: bool) -> None:
        self.output = bytearray()
        self._ended = False
        self._code: int | None = None
        self._output_limit = output_limit
        self._inbox = bytearray()
        with contextlib.ExitStack() as stack:
            self._spawn(stack, settings | {"user": NOBODY if drop_user else 0})
            self._resources = stack.pop_all()

    def _spawn(self, stack: contextlib.ExitStack, settings: dict[str, Any]) -> None:
        self._server = server.running()
        ours, theirs = [], []
        with contextlib.ExitStack() as sent:
            for near in (1, 0, 0):  # requests are written here, replies and what is printed are read
                ends = os.pipe()
                stack.callback(os.close, ends[near])
                sent.callback(os.close, ends[1 - near])
                ours.append(ends[near])
                theirs.append(ends[1 - near])
            self.pid = self._server.fork(settings, theirs)
        self._requests, self._replies, self._printed = ours
        self.clocks = Clocks(self.pid)
        self._selector = stack.enter_context(selectors.DefaultSelector())
        for fd in ours:
            os.set_blocking(fd, False)
        self._selector.register(self._printed, selectors.EVENT_READ)

    def write(self, data: bytes) -> None:
        """Sends all of the data, reading what is printed meanwhile."""
        view = memoryview(data)
        self.clocks.wake()
        self._selector.register(self._requests, selectors.EVENT_WRITE)
        try:
            while view:
                if self._requests in self._wait():
                    view = view[os.write(self._requests, view[: 1 << 20]) :]
        except BrokenPipeError:
            raise Gone(self._ending()) from None
        finally:
            self._selector.unregister(self._requests)

    def take(self, count: int) -> bytes:
        """The next `count` bytes of the replies."""
        self._selector.register(self._replies, selectors.EVENT_READ)
        try:
            while len(self._inbox) < count:
                if self._replies in self._wait():
                    chunk = os.read(self._replies, 1 << 20)
                    if not chunk:
                        raise Gone(self._ending())
                    self._inbox += chunk
        finally:
            self._selector.unregister(self._replies)
        data = bytes(self._inbox[:count])
        del self._inbox[:count]
        return data

    def _wait(self) -> set[int]:
        """The descriptors that are ready; what is printed is collected here."""
        ready = {key.fd for key, _ in self._selector.select(TICK_S)}
        if self._printed in ready:
            self.collect()
        if self.clocks.late(silent=not ready):
            raise Gone("timeout")
        return ready

    def collect(self) -> None:
        """Moves what was printed to `output`; Gone("output-flood") past the limit."""
        while self._printed in self._selector.get_map():
            try:
                chunk = os.read(self._printed, CHUNK)
            except BlockingIOError:
                return
            if not chunk:
                self._selector.unregister(self._printed)
            self.output += chunk
            if len(self.output) > self._output_limit:
                raise Gone("output-flood")

    def _ending(self) -> str:
        """The status of a child whose pipe has ended, from how it exits."""
        self.collect()
        spent = self.clocks.spent()
        code = self._exit_code(ENDING_S)
        if code is None:
            return "no-answer"
        if code == EXIT_MEMORY:
            return "memory"
        if code >= 0:
            return "process-exit"
        return "timeout" if code == -signal.SIGXCPU or (code == -signal.SIGKILL and spent) else "killed"

    def _exit_code(self, seconds: float) -> int | None:
        """How the child ended, waited for so long; None if it did not. Who kills the server has killed its children."""
        if self._code is None:
            try:
                self._code = self._server.wait(self.pid, seconds)
            except server.GONE:
                self._code = -signal.SIGKILL
        return self._code

    def end(self, server_too: bool = False) -> None:
        """Kills the whole group and gives everything back; may be called again.

        server_too: the next child is to have another server, for of this one nothing good came.
        """
        if server_too:
            self._server.end()
        if self._ended:
            return
        try:
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left of the group
                    kill(self.pid, signal.SIGKILL)
            self._ended = True
            self._exit_code(KILLED_S)
        finally:
            self._resources.close()


@cache
def why_user_stays() -> str | None:
    """None if a child can be started as `NOBODY`; otherwise the reason why not."""
    if os.geteuid() != 0:
        return "the grader was not started as root, so the user cannot be changed"
    needed = [sys.executable, os.path.realpath(sys.executable), sysconfig.get_path("stdlib"), np.__file__]
    for path in map(Path, needed):
        for part in (path, *path.parents):
            if not part.stat().st_mode & (stat.S_IXOTH if part.is_dir() else stat.S_IROTH):
                return f"other users cannot read {part}"
    trial = [sys.executable, "-I", "-S", "-c", ""]
    try:
        subprocess.run(trial, check=True, capture_output=True, cwd="/", user=NOBODY, group=NOBODY, extra_groups=[])
    except (OSError, subprocess.SubprocessError) as error:  # a container may keep root from it
        return f"nothing can be started as another user ({error})"
    return None
