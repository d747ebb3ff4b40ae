"""The process of a child and its pipes: started with nothing of ours, spoken to by the clock, killed as a group.

It knows bytes, times and exits; what the bytes mean is `child.py`'s. POSIX only.
"""

import contextlib
import json
import marshal
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

from minrnn.grading.sandbox.clocks import Clocks
from minrnn.grading.sandbox.protocol import EXIT_MEMORY

NOBODY = 65534
TICK_S = 0.2  # between two looks at the clocks
ENDING_S = 5.0  # for a process that has closed its pipes
CHUNK = 1 << 16
SOURCES = ("protocol", "jail", "values", "runner")

# The child reads 4 bytes, a size, and so much JSON: the modules of this package, compiled by the same interpreter, and
# its settings.
BOOT = """\
import json, marshal, os, sys, types
def exactly(size):
    data = b""
    while len(data) < size:
        part = os.read(int(sys.argv[1]), size - len(data))
        if not part:
            sys.exit()
        data += part
    return data
given = json.loads(exactly(int.from_bytes(exactly(4), "little")))
sys.path.append(given["settings"]["site"])
package = types.ModuleType("sandbox")
package.__path__ = []
sys.modules["sandbox"] = package
for name, code in given["modules"].items():
    module = types.ModuleType("sandbox." + name)
    module.__package__ = "sandbox"
    sys.modules[module.__name__] = module
    setattr(package, name, module)
    exec(marshal.loads(bytes.fromhex(code)), module.__dict__)
package.runner.main(given["settings"])
"""


class Gone(Exception):
    """The child is, or has to be, dead; the argument is the status."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class Process:
    """One child process. Its `clocks` bound every wait; Gone is raised where one of them says so."""

    def __init__(self, limits: dict[str, int], output_limit: int, drop_user: bool) -> None:
        self.output = bytearray()
        self._ended = False
        self._output_limit = output_limit
        self._inbox = bytearray()
        self._limits = limits
        with contextlib.ExitStack() as stack:
            self._spawn(stack, drop_user)
            self._resources = stack.pop_all()

    def boot(self, layers: list[str]) -> None:
        """Sends the program and its settings; the child answers with a READY frame once it is in the jail."""
        site = Path(np.__file__).parents[1]
        settings = {
            "requests": self._requests_end,
            "replies": self._replies_end,
            "parent": os.getpid(),
            "site": str(site),
            "packages": [str(site / name) for name in ("numpy", "numpy.libs")],
            "layers": layers,
            "limits": self._limits,
        }
        modules = {name: _compiled(name, source) for name, source in _sources().items()}
        program = json.dumps({"modules": modules, "settings": settings}).encode()
        self.write(len(program).to_bytes(4, "little") + program)

    def _spawn(self, stack: contextlib.ExitStack, drop_user: bool) -> None:
        self._requests_end, self._requests = os.pipe()
        stack.callback(os.close, self._requests)
        self._replies, self._replies_end = os.pipe()
        stack.callback(os.close, self._replies)
        user: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if drop_user else {}
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-s", "-P", "-S", "-B", "-c", BOOT, str(self._requests_end)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=_environment(),
                cwd="/",  # a folder of its own would outlive a grader that is killed
                pass_fds=(self._requests_end, self._replies_end),
                start_new_session=True,
                **user,
            )
        finally:
            os.close(self._requests_end)
            os.close(self._replies_end)
        self.clocks = Clocks(self._popen.pid)
        assert self._popen.stdout is not None
        self._printed = stack.enter_context(self._popen.stdout)
        self._selector = stack.enter_context(selectors.DefaultSelector())
        for fd in (self._printed.fileno(), self._replies, self._requests):
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
        if self._printed.fileno() in ready:
            self.collect()
        if self.clocks.late(silent=not ready):
            raise Gone("timeout")
        return ready

    def collect(self) -> None:
        """Moves what was printed to `output`; Gone("output-flood") past the limit."""
        while self._printed in self._selector.get_map():
            try:
                chunk = os.read(self._printed.fileno(), CHUNK)
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
        try:
            code = self._popen.wait(timeout=ENDING_S)
        except subprocess.TimeoutExpired:
            return "no-answer"
        if code == EXIT_MEMORY:
            return "memory"
        if code >= 0:
            return "process-exit"
        return "timeout" if code == -signal.SIGXCPU or (code == -signal.SIGKILL and spent) else "killed"

    def end(self) -> None:
        """Kills the whole group and gives everything back; may be called again."""
        if self._ended:
            return
        self._ended = True
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left of the group
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.kill()
        self._popen.wait()
        self._resources.close()


@cache
@cache
def _compiled(name: str, source: str) -> str:
    """A module as the child can execute it at once; compiling all of them would take it 20 ms."""
    return marshal.dumps(compile(source, f"sandbox/{name}.py", "exec")).hex()


def _sources() -> dict[str, str]:
    folder = Path(__file__).parent
    return {name: (folder / f"{name}.py").read_text(encoding="utf-8") for name in SOURCES}


def _environment() -> dict[str, str]:
    """Nothing of the grader's environment; one thread for every BLAS, the same order of sets in every run."""
    threads = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    return dict.fromkeys(threads, "1") | {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "LC_ALL": "C.UTF-8"}


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
