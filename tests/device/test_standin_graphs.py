"""Streams and graphs of the stand-in: what CuPy and CUDA refuse is refused, and what is captured is not carried out."""

import ctypes

import fakecupy as cp
import numpy as np
import pytest
from fakecupy import graphs

SIZE = 3


@pytest.fixture
def s():
    """A stream that can capture; the test may leave it in the middle of something."""
    yield cp.cuda.Stream(non_blocking=True)
    graphs.start_afresh()


@pytest.fixture
def x():
    """[0 1 2], and nothing left to do for the default stream."""
    a = cp.asarray(np.arange(SIZE, dtype="f"))
    cp.cuda.get_current_stream().synchronize()
    return a


def captured(stream, step, pool=None):
    """The graph of `step`, whose new arrays come from a pool of their own, and what it returned."""
    pool = pool or cp.cuda.MemoryPool()
    with stream, cp.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        result = step()
        return stream.end_capture(), (pool, result)


def test_a_capture_carries_out_nothing_and_a_launch_everything(x, s):
    y = cp.zeros(SIZE, "f")
    cp.cuda.get_current_stream().synchronize()

    def step():
        cp.add(x, 1.0, out=x)
        made = x * 2.0
        y[1:] = made[:-1]
        y[0] = 7.0
        return made

    graph, (_, made) = captured(s, step)
    assert x.get().tolist() == [0, 1, 2] and not y.get().any() and np.isnan(made.get()).all()
    graph.launch()
    assert x.get().tolist() == [1, 2, 3] and made.get().tolist() == [2, 4, 6] and y.get().tolist() == [7, 2, 4]
    x.fill(10.0)
    graph.launch()
    assert x.get().tolist() == [11, 11, 11] and y.get().tolist() == [7, 22, 22]


def test_numbers_of_the_host_are_those_of_the_capture(x, s):
    rate = [2.0]
    graph, _ = captured(s, lambda: cp.multiply(x, rate[0], out=x))
    rate[0] = 100.0
    graph.launch()
    assert x.get().tolist() == [0, 2, 4]


def test_a_launch_is_one_launch_whatever_it_repeats(x, s):
    def body(a):
        cp.add(a, 1.0, out=a)
        cp.tanh(a, out=a)

    def step():
        for _ in range(5):
            cp.fuse(body)(x)
            cp.add(x, x)

    graph, _ = captured(s, step)
    with cp.forbid("arrays", "allocations", "syncs"), cp.measure() as found:
        graph.launch()
    assert +found == {"launches": 1, "nodes": 10}


REFUSED = {
    "reading a number": lambda x, s: float(x[0]),
    "reading an array": lambda x, s: x.get(),
    "a question": lambda x, s: bool(x[0] > 0.0),
    "reading through a mask": lambda x, s: x[x > 0.0],
    "an upload": lambda x, s: cp.asarray(np.zeros(3, "f")),
    "CuPy's product": lambda x, s: cp.matmul(x.reshape(1, 3), x.reshape(3, 1)),
    "waiting": lambda x, s: s.synchronize(),
    "waiting for the default stream": lambda x, s: cp.cuda.Stream(null=True).synchronize(),
    "waiting for an event": lambda x, s: cp.cuda.Event().synchronize(),
    "a second capture": lambda x, s: cp.cuda.Stream(non_blocking=True).begin_capture(),
    "work on another stream": lambda x, s: elsewhere(x),
}


def elsewhere(x):
    with cp.cuda.Stream(null=True):
        cp.add(x, 1.0, out=x)


@pytest.mark.parametrize("what", REFUSED)
def test_refused_while_a_stream_captures(what, x, s):
    with s:
        s.begin_capture()
        with pytest.raises((cp.cuda.CUDARuntimeError, NotImplementedError)):
            REFUSED[what](x, s)


def test_a_capture_that_waited_cannot_be_ended_well_and_leaves_memory_as_it_was(x, s):
    with s:
        s.begin_capture()
        cp.add(x, 1.0, out=x)
        with pytest.raises(cp.cuda.CUDARuntimeError, match="not permitted when stream is capturing"):
            float(x[0])
        with pytest.raises(cp.cuda.CUDARuntimeError, match="Invalidated"):
            s.end_capture()
    assert x.get().tolist() == [0, 1, 2]


def test_only_a_non_blocking_stream_of_this_device_captures(s):
    with pytest.raises(RuntimeError, match="default"):
        cp.cuda.get_current_stream().begin_capture()
    with pytest.raises(cp.Violation, match="non-blocking"):
        cp.cuda.Stream().begin_capture()
    with cp.cuda.Device(1), pytest.raises(RuntimeError, match="does not match"), s:
        pass
    with pytest.raises(cp.cuda.CUDARuntimeError):
        s.end_capture()


def none(_):
    """The result is let go of."""


def test_memory_of_a_graph_must_be_held_or_belong_to_a_pool_of_its_own(x, s):
    graph, (_, made) = captured(s, lambda: cp.add(x, x), pool=cp.cuda.default_pool)
    graph.launch()
    del made
    with pytest.raises(cp.Violation, match="freed"):
        graph.launch()
    graph, kept = captured(s, lambda: none(cp.add(x, cp.add(x, x))))
    graph.launch()
    del kept  # the pool
    with pytest.raises(cp.Violation, match="freed"):
        graph.launch()
    held = [cp.zeros(SIZE, "f")]
    cp.cuda.get_current_stream().synchronize()
    graph, _ = captured(s, lambda: none(cp.add(x, 1.0, out=held[0])))
    held.clear()
    with pytest.raises(cp.Violation, match=r"add .* freed"):
        graph.launch()


def test_the_pool_of_a_graph_serves_nobody_else(x, s):
    _, (pool, _) = captured(s, lambda: cp.add(x, x))
    with cp.cuda.using_allocator(pool.malloc), pytest.raises(cp.Violation, match="pool of a graph"):
        cp.zeros(SIZE, "f")


def test_streams_that_do_not_wait_for_each_other_race(s):
    a = cp.asarray(np.zeros(3, "f"))
    with s, pytest.raises(cp.Violation, match="race"):
        cp.add(a, 1.0, out=a)
    cp.cuda.get_current_stream().synchronize()
    s.synchronize()
    with s:
        cp.add(a, 1.0, out=a)
    with pytest.raises(cp.Violation, match="race"):
        a.get()
    s.synchronize()
    a.get()


def test_events_measure_launches():
    begin, end, x = cp.cuda.Event(), cp.cuda.Event(), cp.zeros(3, "f")
    begin.record()
    for _ in range(5):
        x.fill(1.0)
    end.record()
    assert cp.cuda.get_elapsed_time(begin, end) == pytest.approx(5 * graphs.LAUNCH_MS)


@pytest.fixture
def gemm():
    """gemm(a, b, c, **changes): out' = b' a' by the library, and its status."""
    library, handle = cp.cublas.Library(), ctypes.c_void_p()
    assert library.cublasCreate_v2(ctypes.byref(handle)) == 0
    assert library.cublasSetStream_v2(handle, 0) == 0

    def call(a, b, c, leading=2, beta=0.0):
        one, other = ctypes.byref(ctypes.c_float(1.0)), ctypes.byref(ctypes.c_float(beta))
        return library.cublasSgemm_v2(handle, 0, 0, 2, 2, 2, one, b, leading, a, 2, other, c, 2)

    return call


def test_library_multiplies_from_addresses_and_refuses_what_is_not_there(gemm):
    a, b = cp.asarray(np.array([[1, 2], [3, 4]], "f")), cp.asarray(np.array([[5, 6], [7, 8]], "f"))
    c, gone = cp.zeros((2, 2), "f"), cp.zeros((2, 2), "f")
    pa, pb, pc, pgone = (m.data.ptr for m in (a, b, c, gone))
    assert gemm(pa, pb, pc) == 0 and c.get().tolist() == [[19, 22], [43, 50]]
    del gone
    for wrong in (
        lambda: gemm(pa, pgone, pc),
        lambda: gemm(pa, pb, 12345),
        lambda: gemm(pa, pb, pc, leading=3),  # beyond the end
        lambda: gemm(pa, pb, pc, leading=1),
        lambda: gemm(pa, pb, pc, beta=1.0),
    ):
        assert wrong() != 0
    assert c.get().tolist() == [[19, 22], [43, 50]]
