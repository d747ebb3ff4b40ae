"""Streams, events and CUDA graphs, by the rules of CuPy 14 and of the CUDA runtime.

A stream that captures carries out nothing. Here it does, because only then is the shape of a result known; but at the
end of the capture all that was written is taken back, and new memory is poisoned. Nobody can tell in the meantime:
whatever reads, waits or transfers is refused, and so is CuPy's cuBLAS. What has been captured is repeated by every
launch on the same memory. Memory that is not held any more must belong to a pool that nobody else uses.

What this is not: parallel. That two streams are not waited for is seen (a race), not what it would do to the numbers.
"""

import contextlib
import itertools
import weakref

from fakecupy import cuda, functions, ledger, state
from fakecupy.array import ndarray
from fakecupy.cuda import CUDARuntimeError
from fakecupy.ledger import Violation, counts, forbid, hit

LAUNCH_MS, NODE_MS = 0.010, 0.001  # what Event makes of a launch, and of a node of a graph
capture = None  # the one that is under way
_depth = [0]
_numbers = itertools.count(1)


class Stream:
    """Work in order. Two streams do not wait for each other, if one of them is non-blocking."""

    def __init__(self, null=False, non_blocking=False):
        self.ptr = 0 if null else next(_numbers)
        self.device, self.non_blocking, self.unfinished = cuda.current, non_blocking, False

    def __enter__(self):
        if self.device != cuda.current:
            raise RuntimeError(f"the stream of device {self.device} does not match the current device {cuda.current}")
        _stack().append(self)
        return self

    def __exit__(self, *_):
        _stacks[self.device].pop()

    def synchronize(self):
        if capture is not None:
            capture.break_off("waiting for a stream")
        hit("syncs")
        self.unfinished = False

    def begin_capture(self, mode=None):
        global capture  # noqa: PLW0603 (one at a time is enough)
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if not self.non_blocking:
            raise Violation("a stream that captures must be non-blocking, or the default stream cannot be used")
        if capture is not None:
            raise CUDARuntimeError("cudaErrorIllegalState: a capture is under way")
        capture = Capture(self)

    def end_capture(self):
        global capture
        ended, capture = capture, None
        if ended is None or ended.stream is not self:
            raise CUDARuntimeError("cudaErrorIllegalState: this stream does not capture")
        ended.take_back()
        if ended.broken:
            raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated: operation failed due to a previous error")
        return Graph(ended.nodes)


_stacks = {}  # device -> the streams that were entered, the current one last


def _stack():
    if cuda.current not in _stacks:
        _stacks[cuda.current] = [Stream(null=True)]
    return _stacks[cuda.current]


def get_current_stream():
    return _stack()[-1]


def work_on(stream):
    """Note that the stream has been given work. Raises Violation where another one may still be at its own."""
    if stream is _latest[0] and stream.unfinished:
        return
    for other in _all_streams:
        apart = other is not stream and (other.non_blocking or stream.non_blocking)
        if apart and other.unfinished and other.device == stream.device:
            raise Violation(f"a race: work for stream {stream.ptr} while stream {other.ptr} has not been waited for")
    stream.unfinished, _latest[0] = True, stream
    _all_streams.add(stream)


_all_streams, _latest = weakref.WeakSet(), [None]


def start_afresh():
    """No stream captures or has anything left to do: for tests that have left one in the middle of something."""
    global capture  # noqa: PLW0603
    capture = _latest[0] = None
    _all_streams.clear()


class Event:
    """A moment of the device; here launches and nodes stand for time."""

    def record(self, stream=None):
        self.ms = LAUNCH_MS * counts["launches"] + NODE_MS * counts["nodes"]

    def synchronize(self):
        if capture is not None:
            capture.break_off("waiting for an event")
        hit("syncs")


def get_elapsed_time(start, end):
    return end.ms - start.ms


class Capture:
    """What a stream has been asked for since begin_capture."""

    def __init__(self, stream):
        self.stream, self.nodes, self.broken = stream, [], False
        self._written, self._made = [], []

    def break_off(self, what):
        """Raises what CUDA does, and lets end_capture fail."""
        self.broken = True
        raise CUDARuntimeError(f"cudaErrorStreamCaptureUnsupported: {what} is not permitted when stream is capturing")

    def call(self, name, function, args, keywords):
        """A call of this package: carry it out for now, and note it if it starts a kernel."""
        if name in ("matmul", "dot"):
            raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
        arrays = list(_arrays_in([args, keywords]))
        before, launches = [(a._host, a._host.copy()) for a in arrays], counts["launches"]
        try:
            with forbid("syncs", "uploads"):
                result = function(*args, **keywords)
        except Violation as refused:
            if "forbidden" in str(refused):
                self.break_off(f"{name}, where {refused},")
            raise
        if counts["launches"] == launches:
            return result  # a view, or memory
        if get_current_stream() is not self.stream:
            self.break_off(f"{name} on another stream")
        made = result if isinstance(result, ndarray) and all(result._block is not a._block for a in arrays) else None
        memo = {}
        bare_args, bare_keywords = _bare(args, memo), _bare(keywords, memo)

        def run(host=None if made is None else made._host):
            found = function(*bare_args, **bare_keywords)
            if host is not None:
                host[...] = found._host

        self.add(name, run, [a._block for a in arrays] + ([] if made is None else [made._block]), before)
        if made is not None:
            self._made.append(made._host)
        return result

    def add(self, name, run, blocks, before):
        """A node: what it does, the blocks that it uses, and memory with what it held before."""
        self._written += [(host, old) for host, old in before if host.tobytes() != old.tobytes()]
        held = {id(block): (weakref.ref(block), weakref.ref(block.pool)) for block in blocks}
        self.nodes.append((name, run, list(held.values())))

    def take_back(self):
        """Leave memory as it was before the capture, and new memory as nobody has written it."""
        for host, old in reversed(self._written):
            host[...] = old
        for host in self._made:
            host[...] = functions.poison(host.dtype)
        for pool in cuda.allocators:
            pool.sealed = pool is not cuda.default_pool


class Graph:
    """The captured work, to be launched any number of times, on any stream."""

    def __init__(self, nodes):
        self.nodes = nodes

    def launch(self, stream=None):
        if capture is not None:
            raise Violation("a graph in a graph is nothing that minrnn needs")
        work_on(stream or get_current_stream())
        hit("launches")
        hit("nodes", len(self.nodes))
        with _uncounted(), cuda.using_allocator(cuda.MemoryPool().malloc):
            for name, run, held in self.nodes:
                for block, pool in held:
                    if block() is None and pool() in (None, cuda.default_pool):
                        raise Violation(f"{name} in a graph uses memory that was freed, and may be others' now")
                run()


@contextlib.contextmanager
def _uncounted():
    before, forbidden = counts.copy(), set(ledger._forbidden)
    ledger._forbidden.clear()
    _depth[0] += 1
    try:
        yield
    finally:
        _depth[0] -= 1
        ledger._forbidden.update(forbidden)
        counts.clear()
        counts.update(before)


def _arrays_in(value):
    if isinstance(value, ndarray):
        yield value
    elif isinstance(value, tuple | list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _arrays_in(part)


def _bare(value, memo):
    """The same arguments, one by one the same objects, without holding the memory of arrays for their owners."""
    if isinstance(value, ndarray):
        return memo.setdefault(id(value), ndarray(value._host, value._device, memo))
    if isinstance(value, tuple | list):
        return type(value)(_bare(part, memo) for part in value)
    if isinstance(value, dict):
        return {key: _bare(part, memo) for key, part in value.items()}
    return value


def noted(name, function):
    """The function, which tells streams and captures of its calls; not of those that this package makes of itself."""

    def call(*args, **keywords):
        if _depth[0] or state.body is not None:
            return function(*args, **keywords)
        _depth[0] += 1
        before = counts["launches"] + counts["uploads"], counts["syncs"]
        try:
            if capture is not None:
                return capture.call(name, function, args, keywords)
            return function(*args, **keywords)
        finally:
            _depth[0] -= 1
            if capture is None:
                stream = get_current_stream()
                if (counts["launches"] + counts["uploads"], counts["syncs"]) != before:
                    work_on(stream)
                if counts["syncs"] > before[1]:
                    stream.unfinished = False

    call.__name__ = name
    return call


SILENT = {"__init__", "__array__", "__array_ufunc__", "__array_function__", "__reduce_ex__"}


def watch(names):
    """Put noted functions in the place of those of the package, whose names are given, and of the methods of arrays."""
    for name in functions.__all__:
        names[name] = noted(name, names[name])
    for name, method in list(vars(ndarray).items()):
        if callable(method) and name not in SILENT:
            setattr(ndarray, name, noted(name, method))
    plain = names["fuse"]
    names["fuse"] = lambda function: noted(function.__name__, plain(function))
    for value in (Stream, Event, Graph, get_current_stream, get_elapsed_time):
        setattr(cuda, value.__name__, value)
