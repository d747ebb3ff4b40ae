"""A child process in which a submission runs: what the grader sees of it. Inputs go in, arrays come out, nothing else.

The child is never believed: its replies are data to be compared elsewhere, its death is a status, its time is bounded.
Nothing that a submission does raises an exception here. No expected value is ever sent.
"""

import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from minrnn.grading.sandbox import jail, protocol
from minrnn.grading.sandbox.process import Gone, Process, why_user_stays
from minrnn.grading.sandbox.protocol import Frame, Handle, Malformed, Tree, Type
from minrnn.grading.sandbox.reply import TEXT_LIMIT, Reply, checked_replies, checked_reply, clean
from minrnn.grading.sandbox.server import GONE

LAYERS = ("process", *jail.LAYERS, "uid_drop")
BATCH = 128  # calls in one request of call_many
CALLBACKS = 10_000  # calls of replaced functions in one request

Callback = Callable[[tuple[Tree, ...], dict[str, Tree]], Tree]


class SandboxError(RuntimeError):
    """The child could not be started; no submission was involved."""


@dataclass(frozen=True)
class Limits:
    """What one child may use for all its answers together.

    cpu_s: seconds in which it computes, and in which it may do nothing at a stretch. wall_s: seconds by the clock, the
    last resort; several times cpu_s, for on a busy machine a right submission takes longer than it computes.
    memory_mib: of address space. output_kib: printed during one request.
    """

    cpu_s: int = 10
    wall_s: float = 60
    memory_mib: int = 1024
    output_kib: int = 64


class Child:
    """A fresh process that runs one submission; a context manager that ends it.

    sandbox: "auto" (all layers that the machine has), "none" (a process by the clock), or the names of the layers
    wanted, out of `LAYERS`. `layers` says what holds: "on", "off" (not asked for), "unavailable" (asked for, refused).
    It lives in the thread that made it: on Linux the kernel ends it with that thread. Raises SandboxError if no child
    can be started, ValueError for an unknown layer.
    """

    def __init__(self, limits: Limits | None = None, sandbox: str | Collection[str] = "auto") -> None:
        if sys.platform == "win32":
            raise SandboxError("submissions can be run on Linux and macOS only; on Windows use WSL or a container")
        self.limits = limits or Limits()
        wanted = _wanted(sandbox)
        stays = why_user_stays()
        self.notes: list[str] = [f"uid_drop: {stays}"] if "uid_drop" in wanted and stays else []
        self._callbacks: dict[str, Callback] = {}
        self._dead: str | None = None
        self._id = 0
        self._left = self.limits.wall_s
        self._process = self._started(
            [layer for layer in jail.LAYERS if layer in wanted], drop_user="uid_drop" in wanted and stays is None
        )
        try:
            report = protocol.read(self._process.take).header["jail"]
        except BaseException as error:
            self._process.end(server_too=True)
            if not isinstance(error, Gone | Malformed):
                raise
            printed = clean(bytes(self._process.output)) or "it printed nothing"
            raise SandboxError(f"no child could be started ({error}): {printed}") from error
        self._process.output.clear()
        self._process.clocks.allow(self.limits.cpu_s)
        self.landlock_abi: int | None = report["landlock_abi"]
        self.notes += report["notes"]
        dropped = "off" if "uid_drop" not in wanted else "unavailable" if stays else "on"
        self.layers: dict[str, str] = {"process": "on", **report["layers"], "uid_drop": dropped}

    def _started(self, layers: list[str], drop_user: bool) -> Process:
        resources = {"cpu_s": self.limits.cpu_s, "memory_mib": self.limits.memory_mib}
        try:
            return Process({"layers": layers, "limits": resources}, self.limits.output_kib << 10, drop_user)
        except GONE as error:
            raise SandboxError(f"no child could be started: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self._dead is None

    def close(self) -> None:
        """Ends the process; every further request is answered "no-answer"."""
        self._dead = self._dead or "no-answer"
        self._process.end()

    def report(self) -> dict[str, Any]:
        """The `sandbox` object of a result."""
        mode = "builtin" if any(state == "on" for state in list(self.layers.values())[1:]) else "none"
        return {
            "mode": mode,
            "layers": dict(self.layers),
            "landlock_abi": self.landlock_abi,
            "limits": asdict(self.limits),
            "notes": list(self.notes),
        }

    # Requests

    def load(self, source: str, modules: dict[str, str] | None = None) -> Reply:
        """Executes a source as the submission, in place of any before; `modules` are importable by their names."""
        return self._ask(Type.LOAD, {}, {"source": source, "modules": modules or {}})

    def call(
        self,
        target: str,
        args: Sequence[Tree] = (),
        kwargs: dict[str, Tree] | None = None,
        *,
        keep: Collection[int] = (),
        seed: int | None = None,
    ) -> Reply:
        """Calls a function of the submission with fresh copies of the arguments.

        target: a name, "new:Class" (the value is a Handle) or the method of a handle, "@3.forward".
        keep: positions of the returned tuple that stay in the child, as Handles: caches. None remains None.
        seed: of `random` and `numpy.random` before the call. What cannot be sent is a Handle that names its type.
        Raises Malformed, here as in the other requests, if the arguments themselves cannot be sent.
        """
        header = {"target": target, "keep": list(keep), "seed": seed}
        given = {"args": tuple(args), "kwargs": kwargs or {}}
        return self._ask(Type.CALL, header, given, made=target.startswith("new:"))

    def call_many(self, target: str, arguments: Sequence[Sequence[Tree]], *, keep: Collection[int] = ()) -> list[Reply]:
        """Calls one function for each of the tuples of arguments, as finite differences do.

        What is printed is dropped, changed arguments are not looked for, and the positions of `keep` are None.
        """
        replies: list[Reply] = []
        for start in range(0, len(arguments), BATCH):
            items = [tuple(item) for item in arguments[start : start + BATCH]]
            replies += self._ask_many({"target": target, "keep": list(keep)}, items)
        return replies

    def put(self, tree: Tree) -> Reply:
        """Keeps a live copy of the tree in the child; the value is its Handle, to be passed and looked at by `get`."""
        return self._ask(Type.PUT, {}, tree, made=True)

    def get(self, handle: Handle, attribute: str = "") -> Reply:
        """The value of an attribute ("" is the object itself, dots reach further)."""
        return self._ask(Type.GET, {"handle": handle.id, "attribute": attribute})

    def set(self, handle: Handle, attribute: str, tree: Tree) -> Reply:
        """Sets an attribute."""
        return self._ask(Type.SET, {"handle": handle.id, "attribute": attribute}, tree)

    def set_globals(self, values: dict[str, Tree]) -> Reply:
        """Sets globals of the submission's module."""
        return self._ask(Type.GLOBALS, {}, values)

    def replace(self, name: str, callback: Callback) -> Reply:
        """Puts a stub in place of a global: its calls run `callback(args, kwargs)` here, in the parent.

        A Handle with an id that begins with "p" in what the callback returns is an opaque token in the child; handed
        to a stub, it arrives here as the Handle it was. An exception of the callback is a RuntimeError in the child.
        """
        self._callbacks[name] = callback
        return self._ask(Type.REPLACE, {"name": name})

    # The exchange

    def _ask(self, kind: Type, header: dict[str, Any], tree: Tree = None, made: bool = False) -> Reply:
        """The reply to one request; `made`: what it makes stays in the child, so the value can only be a Handle."""
        data = self._encoded(kind, header, tree)
        if self._dead:
            return Reply(self._dead)
        began = time.monotonic()
        try:
            frame = self._exchange(data, Type.REPLY)
            reply = checked_reply(frame.header, frame.tree)
            if made and reply.ok and not isinstance(reply.value, Handle):
                raise Malformed("an object that was made has no handle")
        except (Gone, Malformed) as error:
            reply = Reply(self._bury(error))
        printed = clean(bytes(self._process.output))
        return replace(reply, seconds=time.monotonic() - began, stdout_tail=printed)

    def _ask_many(self, header: dict[str, Any], items: list[tuple[Tree, ...]]) -> list[Reply]:
        data = self._encoded(Type.BATCH, header, items)
        if self._dead:
            return [Reply(self._dead)] * len(items)
        began = time.monotonic()
        try:
            replies = checked_replies(self._exchange(data, Type.REPLIES), len(items))
        except (Gone, Malformed) as error:
            replies = [Reply(self._bury(error))] * len(items)
        seconds = (time.monotonic() - began) / len(items)
        return [replace(reply, seconds=seconds) for reply in replies]

    def _encoded(self, kind: Type, header: dict[str, Any], tree: Tree) -> bytes:
        self._id += 1
        return protocol.encode(kind, self._id, header, tree)

    def _exchange(self, data: bytes, expected: Type) -> Frame:
        """Sends a request and gives its reply, serving callbacks between; Gone or Malformed where there is none."""
        process = self._process
        process.output.clear()
        began = time.monotonic()
        process.clocks.deadline = began + self._left
        try:
            process.write(data)
            frame = protocol.read(process.take)
            for _ in range(CALLBACKS):
                if frame.type != Type.CALLBACK or frame.id != self._id:
                    break
                process.write(self._served(frame))
                frame = protocol.read(process.take)
            process.collect()
        finally:
            self._left -= time.monotonic() - began
        if frame.type != expected or frame.id != self._id:
            raise Malformed(f"a frame of type {frame.type} for request {frame.id} answers request {self._id}")
        return frame

    def _served(self, frame: Frame) -> bytes:
        """The answer to a stub that was called; whatever goes wrong in the callback goes back to the child."""
        try:
            callback = self._callbacks[frame.header["name"]]
            value = callback(tuple(frame.tree["args"]), dict(frame.tree["kwargs"]))
            return protocol.encode(Type.ANSWER, frame.id, {}, value)
        except Exception as error:
            return protocol.encode(Type.REFUSAL, frame.id, {"text": f"{type(error).__name__}: {error}"[:TEXT_LIMIT]})

    def _bury(self, error: Gone | Malformed) -> str:
        """Kills the child and gives the status that all further requests get."""
        self._dead = error.status if isinstance(error, Gone) else "malformed"
        self._process.end()
        return self._dead


def probe(sandbox: str | Collection[str] = "auto") -> dict[str, Any]:
    """What holds on this machine: the `sandbox` object of a result, from a child that was started for it."""
    with Child(sandbox=sandbox) as child:
        return child.report()


def _wanted(sandbox: str | Collection[str]) -> Collection[str]:
    if isinstance(sandbox, str):
        modes: dict[str, tuple[str, ...]] = {"auto": LAYERS, "builtin": LAYERS, "none": ()}
        if sandbox not in modes:
            raise ValueError(f"there is no sandbox {sandbox!r}; choose one of {', '.join(modes)}")
        return modes[sandbox]
    unknown = sorted(set(sandbox) - set(LAYERS))
    if unknown:
        raise ValueError(f"there are no layers {unknown}; choose from {', '.join(LAYERS)}")
    return sandbox
