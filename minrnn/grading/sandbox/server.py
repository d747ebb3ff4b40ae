"""The fork server as the grader sees it: one for each thread, started when its first child is.

It makes processes and tells how they ended; what a child is told is child.py's. POSIX only.
"""

import contextlib
import json
import marshal
import os
import socket
import subprocess
import sys
import threading
import weakref
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from minrnn.grading.sandbox import forks
from minrnn.grading.sandbox.clocks import START_S

SOURCES = ("protocol", "jail", "values", "runner", "forks")
CHUNK = 1 << 16
ANSWER_S = 30.0  # for an answer, beyond the time that was asked for
GONE = (EOFError, OSError)  # what talking to a server that has ended raises

# The server reads a size and so much JSON: the modules of this package, compiled by the same interpreter, and settings.
BOOT = """\
import json, marshal, os, socket, sys, types
control = int(sys.argv[1])
def exactly(size):
    data = b""
    while len(data) < size:
        part = os.read(control, size - len(data))
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
sys.path.remove(given["settings"]["site"])
package.forks.serve(control, given["settings"], package.runner.main)
"""


class Server:
    """A process that forks children, for the thread that made it: on Linux the kernel ends it with that thread.

    Raises OSError where it cannot be started.
    """

    def __init__(self) -> None:
        self._ingredients = ingredients()
        self._control, far_end = socket.socketpair()
        with far_end, contextlib.ExitStack() as undo:
            undo.callback(self._control.close)
            self._popen = subprocess.Popen(
                [sys.executable, "-s", "-P", "-S", "-B", "-c", BOOT, str(far_end.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=_environment(),
                cwd="/",  # a folder of its own would outlive a grader that is killed
                pass_fds=(far_end.fileno(),),
                start_new_session=True,
            )
            undo.pop_all()
        self.end = weakref.finalize(self, _end, self._popen, self._control)
        self._control.settimeout(START_S)
        try:
            self._boot()
        except GONE as error:
            printed = self._last_words()
            raise OSError(f"{error}: {printed}" if printed else str(error)) from error

    def _boot(self) -> None:
        """Sends the program and its settings; the server answers once it is ready."""
        _, modules = self._ingredients
        site = Path(np.__file__).parents[1]
        settings = {
            "parent": os.getpid(),
            "site": str(site),
            "packages": [str(site / name) for name in ("numpy", "numpy.libs")],
        }
        program = {"modules": {name: _compiled(name, source) for name, source in modules.items()}, "settings": settings}
        data = json.dumps(program).encode()
        self._control.sendall(len(data).to_bytes(4, "little") + data)
        forks.receive(self._control)

    def _last_words(self) -> str:
        """Ends the server and gives what it printed."""
        assert self._popen.stdout is not None
        self._popen.kill()
        printed = self._popen.stdout.read(CHUNK).decode("utf-8", "replace").strip()
        self.end()
        return printed

    def serves(self) -> bool:
        """Whether children of this process and of the present program can be had from it.

        In a copy of the grader, as a pool of processes forks it, the server is nobody's child: poll says "gone".
        """
        return self._ingredients == ingredients() and self._popen.poll() is None

    def fork(self, settings: dict[str, Any], pipes: list[int]) -> int:
        """Makes a child with copies of the three pipe ends; gives its process. Raises one of GONE."""
        return self._ask(settings, pipes)["pid"]

    def wait(self, pid: int, seconds: float) -> int | None:
        """The exit code of a child, as of subprocess, waited for so long; None if it lasts. Raises one of GONE."""
        code = self._ask({"wait": pid, "seconds": seconds}, [])["code"]
        return None if code == forks.LASTS else code

    def _ask(self, message: dict[str, Any], pipes: list[int]) -> dict[str, Any]:
        """The answer to a message; a server that gives none is ended, so that the next child has another."""
        try:
            self._control.settimeout(message.get("seconds", 0) + ANSWER_S)
            forks.send(self._control, message, pipes)
            answer = forks.receive(self._control)[0]
        except BaseException:  # also Ctrl-C: half a message may be left in the socket
            self.end()
            raise
        if "error" in answer:
            raise OSError(answer["error"])
        return answer


_OF_THREAD = threading.local()


def running() -> Server:
    """The server of this thread, started if there is none that serves. Raises OSError where it cannot be."""
    server = getattr(_OF_THREAD, "server", None)
    if server is None or not server.serves():
        server = _OF_THREAD.server = Server()
    return server


def ingredients() -> tuple[str, dict[str, str]]:
    """What a server is made of: the interpreter, and the source of every module by name."""
    folder = Path(__file__).parent
    return sys.executable, {name: (folder / f"{name}.py").read_text(encoding="utf-8") for name in SOURCES}


@cache
def _compiled(name: str, source: str) -> str:
    """A module as the server can execute it at once; compiling all of them would take it 20 ms."""
    return marshal.dumps(compile(source, f"sandbox/{name}.py", "exec")).hex()


def _environment() -> dict[str, str]:
    """Nothing of the grader's environment; one thread for every BLAS, the same order of sets in every run."""
    threads = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    return dict.fromkeys(threads, "1") | {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "LC_ALL": "C.UTF-8"}


def _end(popen: subprocess.Popen, control: socket.socket) -> None:
    """Ends a server, unless this is a copy of the process that started it, and lets go of it."""
    control.close()
    popen.kill()  # which asks first whether it is a child of ours
    popen.wait()
    if popen.stdout:
        popen.stdout.close()
