"""The CUDA runtime as CuPy needs it: two devices whose memory is the host's, with everything done at once.

New memory is full of ones, which is NaN in every floating type.
"""

import collections
import ctypes

from cupy_backends.cuda.api import runtime

from hostcuda.capsules import replace

DEVICES = 2
counts = collections.Counter()  # calls of each function, and launches of each kernel
_current = [0]
_held = {}  # address -> memory


def counted(module):
    """A decorator: the function takes the place of CuPy's, and its calls are counted."""

    def decorate(function):
        def call(*args):
            counts[function.__name__] += 1
            return function(*args)

        call.__name__ = function.__name__
        replace(module, call)
        return function

    return decorate


def _allocate(size):
    memory = ctypes.create_string_buffer(size + 512)
    address = -(-ctypes.addressof(memory) // 512) * 512
    ctypes.memset(address, 0xFF, size)
    _held[address] = memory
    return address


@counted(runtime)
def getDevice():
    return _current[0]


@counted(runtime)
def setDevice(device):
    _current[0] = device


@counted(runtime)
def getDeviceCount():
    return DEVICES


@counted(runtime)
def getDeviceProperties(device):
    return {"name": b"the host"}


@counted(runtime)
def deviceGetAttribute(attribute, device):
    return {75: 9, 76: 0}.get(attribute, 0)  # compute capability 9.0, an H100


@counted(runtime)
def deviceCanAccessPeer(device, peer):
    return 0


@counted(runtime)
def runtimeGetVersion():
    return 12090


@counted(runtime)
def driverGetVersion():
    return 12090


@counted(runtime)
def malloc(size):
    return _allocate(size)


@counted(runtime)
def hostAlloc(size, flags):
    return _allocate(size)


@counted(runtime)
def free(address):
    _held.pop(address)


@counted(runtime)
def freeHost(address):
    _held.pop(address)


@counted(runtime)
def pointerGetMemoryType(address):
    return 0  # not known to CUDA: memory of the host


def ask(work):
    """Do something now, or note it for a graph if a stream captures: CUDA then does nothing."""
    if capture is None:
        work()
    else:
        capture.append(work)


@counted(runtime)
def memcpyAsync(target, source, size, kind, stream):
    ask(lambda: ctypes.memmove(target, source, size))


@counted(runtime)
def memsetAsync(target, value, size, stream):
    ask(lambda: ctypes.memset(target, value, size))


# Streams, which do all at once, and graphs.

capture = None  # the work of the graph that is being captured
_graphs = []


@counted(runtime)
def streamCreateWithPriority(flags, priority):
    return 1000 + counts["streamCreateWithPriority"]


@counted(runtime)
def streamGetFlags(stream):
    return 1  # non-blocking


@counted(runtime)
def streamDestroy(stream):
    pass


@counted(runtime)
def streamSynchronize(stream):
    assert capture is None


@counted(runtime)
def deviceSynchronize():
    assert capture is None


@counted(runtime)
def streamIsCapturing(stream):
    return int(capture is not None)


@counted(runtime)
def streamBeginCapture(stream, mode=None):
    global capture  # noqa: PLW0603 (one at a time)
    capture = []


@counted(runtime)
def streamEndCapture(stream):
    global capture  # noqa: PLW0603
    _graphs.append(capture)
    capture = None
    return len(_graphs)


@counted(runtime)
def graphInstantiate(graph):
    return graph


@counted(runtime)
def graphDestroy(graph):
    pass


@counted(runtime)
def graphExecDestroy(graph):
    _graphs[graph - 1] = None


@counted(runtime)
def graphLaunch(graph, stream):
    for work in _graphs[graph - 1]:
        work()


# Events: what has been asked for until then stands for time.

_recorded = {}


@counted(runtime)
def eventCreateWithFlags(flags):
    return counts["eventCreateWithFlags"]


@counted(runtime)
def eventRecord(event, stream):
    _recorded[event] = counts["launchKernel"] + counts["graphLaunch"]


@counted(runtime)
def eventElapsedTime(start, end):
    return float(_recorded[end] - _recorded[start])


@counted(runtime)
def eventQuery(event):
    return 0


@counted(runtime)
def eventSynchronize(event):
    pass


@counted(runtime)
def eventDestroy(event):
    _recorded.pop(event, None)


@counted(runtime)
def _ensure_context():
    pass
