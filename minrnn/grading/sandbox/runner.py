"""The program of the child: executes a submission and calls its functions as the grader asks, over two private pipes.

It runs inside the jail, knows no reference and no expected value, and imports nothing of minrnn: the grader sends this
file as source. A submission may break anything in this process; all that can come of it is a wrong answer of its own.
"""

import contextlib
import importlib.machinery
import io
import os
import random
import sys
import types
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.fft
import numpy.linalg
import numpy.random  # the lazy parts of NumPy are loaded before the jail closes

from . import jail, protocol, values
from .protocol import Frame, Handle, Malformed, Tree, Type
from .values import SUBMISSION

PRINTED = sys.stdout


class Token:
    """What stands in the child for an object of the grader: it can be stored and handed back, nothing else."""

    def __init__(self, id: str) -> None:
        self.id = id


class Modules:
    """Finds the modules that were sent with the submission; a name with dots makes its packages."""

    def __init__(self, sources: dict[str, str]) -> None:
        parents = {name.rsplit(".", k)[0] for name in sources for k in range(1, name.count(".") + 1)}
        self.sources = dict.fromkeys(parents, "") | sources
        self.packages = parents

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """The spec of a module that was sent, or None."""
        if name not in self.sources:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=name in self.packages)  # type: ignore[arg-type]

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """The import system makes the module."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Executes the source in the module."""
        name = module.__name__
        exec(compile(self.sources[name], f"{name}.py", "exec"), module.__dict__)


class _Sink(io.TextIOBase):
    """Swallows what is printed during a batch: the same lines, hundreds of times."""

    def write(self, text: str, /) -> int:
        return len(text)


class Runner:
    """Answers requests one after the other; `take(n)` reads n bytes, `send(bytes)` writes."""

    def __init__(self, take: Callable[[int], bytes], send: Callable[[bytes], None]) -> None:
        self.take, self.send = take, send
        self.module = types.ModuleType("submission")
        self.modules = Modules({})
        self.objects: dict[str, Any] = {}
        self.calls: Counter[str] = Counter()
        self.request = 0

    def answer(self, frame: Frame) -> bytes:
        """The reply to one request, whatever the submission raises."""
        self.request = frame.id
        self.calls.clear()
        if frame.type == Type.BATCH:
            return self._batch(frame)
        act = {
            Type.LOAD: self._load,
            Type.CALL: self._call,
            Type.GET: self._get,
            Type.SET: self._set,
            Type.PUT: self._put,
            Type.GLOBALS: self._globals,
            Type.REPLACE: self._replace,
        }[Type(frame.type)]
        mutated: list[str] = []
        header, value = self._attempt(lambda: act(frame, mutated))
        with contextlib.suppress(Exception):
            PRINTED.flush()
        header |= {"mutated": mutated, "calls": dict(self.calls)}
        try:
            return protocol.encode(Type.REPLY, frame.id, header, value)
        except Malformed as error:
            return protocol.encode(Type.REPLY, frame.id, header | _malformed(error))

    def _batch(self, frame: Frame) -> bytes:
        replies = [self._attempt(partial(self._batch_item, frame.header, item)) for item in frame.tree]
        headers = [header for header, _ in replies]
        try:
            return protocol.encode(Type.REPLIES, frame.id, {"replies": headers}, [value for _, value in replies])
        except Malformed as error:
            return protocol.encode(
                Type.REPLIES, frame.id, {"replies": [_malformed(error)] * len(headers)}, [None] * len(headers)
            )

    def _attempt(self, act: Callable[[], Tree]) -> tuple[dict[str, Any], Tree]:
        """(header, value): what an action gives or raises; even SystemExit ends the action only."""
        try:
            return {"status": "ok", "raised": None}, act()
        except MemoryError as error:
            return {"status": "memory", "raised": values.raised(error)}, None
        except Malformed as error:
            return _malformed(error), None
        except SystemExit as error:
            return {"status": "process-exit", "raised": values.raised(error)}, None
        except BaseException as error:
            return {"status": "exception", "raised": values.raised(error)}, None

    # Requests

    def _load(self, frame: Frame, mutated: list[str]) -> None:
        if self.modules in sys.meta_path:
            sys.meta_path.remove(self.modules)
        for name in self.modules.sources:
            sys.modules.pop(name, None)
        self.modules = Modules(frame.tree["modules"])
        sys.meta_path.insert(0, self.modules)
        self.module = types.ModuleType("submission")
        sys.modules["submission"] = self.module
        exec(compile(frame.tree["source"], SUBMISSION, "exec"), self.module.__dict__)

    def _call(self, frame: Frame, mutated: list[str]) -> Tree:
        target, seed = frame.header["target"], frame.header["seed"]
        function = self._resolve(target)
        arguments = self._inward(frame.tree)
        if seed is not None:
            random.seed(seed)
            np.random.seed(seed)
        sys.setprofile(self._count)
        try:
            value = function(*arguments["args"], **arguments["kwargs"])
        finally:
            sys.setprofile(None)
            mutated += values.changes(frame.tree["args"], arguments["args"]) + values.changes(
                frame.tree["kwargs"], arguments["kwargs"]
            )
        if target.startswith("new:"):
            return self._store(value)
        return self._outward_but(value, frame.header["keep"])

    def _batch_item(self, header: dict[str, Any], item: Tree) -> Tree:
        function = self._resolve(header["target"])
        with contextlib.redirect_stdout(_Sink()), contextlib.redirect_stderr(_Sink()):
            value = function(*self._inward(item))
            if isinstance(value, tuple | list):
                value = tuple(None if k in header["keep"] else part for k, part in enumerate(value))
            return self._outward(value)

    def _get(self, frame: Frame, mutated: list[str]) -> Tree:
        value = self.objects[frame.header["handle"]]
        for name in filter(None, frame.header["attribute"].split(".")):
            value = getattr(value, name)
        return self._outward(value)

    def _set(self, frame: Frame, mutated: list[str]) -> None:
        setattr(self.objects[frame.header["handle"]], frame.header["attribute"], self._inward(frame.tree))

    def _put(self, frame: Frame, mutated: list[str]) -> Handle:
        return self._store(self._inward(frame.tree))

    def _globals(self, frame: Frame, mutated: list[str]) -> None:
        self.module.__dict__.update(self._inward(frame.tree))

    def _replace(self, frame: Frame, mutated: list[str]) -> None:
        name = frame.header["name"]

        def replaced(*args: Any, **kwargs: Any) -> Tree:
            sent = {"args": self._outward(args), "kwargs": self._outward(kwargs)}
            self.send(protocol.encode(Type.CALLBACK, self.request, {"name": name}, sent))
            answer = protocol.read(self.take)
            if answer.type != Type.ANSWER:
                raise RuntimeError(answer.header["text"])
            return self._inward(answer.tree)

        self.module.__dict__[name] = replaced

    # Values

    def _resolve(self, target: str) -> Callable[..., Any]:
        """A global of the submission, a class ("new:Name"), or a method of a stored object ("@3.forward")."""
        first, *rest = target.removeprefix("new:").split(".")
        if first not in self.objects and first not in self.module.__dict__:
            raise NameError(f"name {first!r} is not defined")
        value = self.objects[first] if first in self.objects else self.module.__dict__[first]
        for name in rest:
            value = getattr(value, name)
        return value

    def _inward(self, tree: Tree) -> Any:
        """A live copy of a received tree: fresh arrays and containers, objects for handles."""
        if isinstance(tree, Handle):
            if tree.id.startswith("p"):
                return Token(tree.id)
            return self.objects[tree.id]
        if isinstance(tree, np.ndarray):
            return tree.copy()
        if isinstance(tree, list | tuple):
            return type(tree)(self._inward(part) for part in tree)
        if isinstance(tree, dict):
            return {key: self._inward(part) for key, part in tree.items()}
        return tree

    def _outward_but(self, value: Any, keep: list[int]) -> Tree:
        """The value as a tree, where the given positions of a tuple or list become handles (None stays None)."""
        if not keep or not isinstance(value, tuple | list):
            return self._outward(value)
        parts = (self._store(v) if k in keep and v is not None else self._outward(v) for k, v in enumerate(value))
        return tuple(parts)

    def _outward(self, value: Any, depth: int = 0) -> Tree:
        """The value as a tree: plain arrays and Python numbers; whatever else there is stays here under a handle."""
        if isinstance(value, np.generic) and value.dtype.kind in "biuf":
            value = {"b": bool, "i": int, "u": int, "f": float}[value.dtype.kind](value)
        if value is None or type(value) in (bool, float, str) or (type(value) is int and protocol.fits(value)):
            return value
        if isinstance(value, Token):
            return Handle(value.id, "token")
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            return values.plain(value)
        if depth < protocol.MAX_DEPTH - 4:
            if isinstance(value, tuple | list):
                parts = [self._outward(part, depth + 1) for part in value]
                return parts if isinstance(value, list) else tuple(parts)
            if isinstance(value, dict) and all(type(key) is str for key in value):
                return {key: self._outward(part, depth + 1) for key, part in value.items()}
        return self._store(value)

    def _store(self, value: Any) -> Handle:
        handle = Handle(f"@{len(self.objects)}", values.kind_of(value))
        self.objects[handle.id] = value
        return handle

    def _count(self, frame: types.FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename == SUBMISSION and "<" not in frame.f_code.co_qualname:
            self.calls[frame.f_code.co_qualname] += 1


def _malformed(error: Malformed) -> dict[str, Any]:
    return {"status": "malformed", "raised": values.raised(error)}


def main(settings: dict[str, Any]) -> None:
    """Enters the jail, says what holds, and serves requests until the pipe ends."""
    requests = os.fdopen(settings["requests"], "rb", closefd=False)
    replies = os.fdopen(settings["replies"], "wb", closefd=False)

    def take(count: int) -> bytes:
        data = requests.read(count)
        if len(data) != count:
            os._exit(0)
        return data

    def send(data: bytes) -> None:
        replies.write(data)
        replies.flush()

    warnings.simplefilter("ignore")
    sys.stderr = sys.stdout  # in the order in which it was printed
    np.random.seed()  # all children are copies of one process; `random` does this by itself
    jail.die_with_parent(settings["parent"])
    report = jail.apply(settings["layers"], settings["limits"], settings["readable"])
    send(protocol.encode(Type.READY, 0, {"jail": report}))
    runner = Runner(take, send)
    while True:
        try:
            send(runner.answer(protocol.read(take)))
        except MemoryError:
            os._exit(protocol.EXIT_MEMORY)
