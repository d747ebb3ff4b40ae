"""The stand-in for CuPy refuses what CuPy refuses, makes loud what is wrong there without a word, and counts costs."""

import copy
import gc

import fakecupy as cp
import numpy as np
import pytest

from minrnn import backend


@pytest.fixture
def x():
    """[[0 1 2] [3 4 5]], float32, on device 0, which is the current one."""
    return cp.asarray(np.arange(6, dtype="f").reshape(2, 3))


def ids(*numbers):
    return cp.asarray(np.array(numbers, "i"))


HOST = np.ones((2, 3), "f")
REFUSED = {
    "np.tanh of a device array": np.tanh,
    "np.sum of a device array": np.sum,
    "np.asarray of a device array": np.asarray,
    "a NumPy number on the left": lambda x: np.float32(2.0) * x,
    "a host array on the right": lambda x: x + HOST,
    "a host array on the left": lambda x: HOST + x,
    "a host array added in place": lambda x: x.__iadd__(HOST),
    "a host array as out": lambda x: cp.add(x, x, out=HOST.copy()),
    "a list as an operand": lambda x: cp.add(x, [1.0, 2.0, 3.0]),
    "a host array assigned": lambda x: x.__setitem__(0, np.ones(3, "f")),
    "a host array as an index": lambda x: x[np.array([0])],
    "a list as an index": lambda x: x[[0, 1]],
    "ascontiguousarray of a host array": lambda x: cp.ascontiguousarray(HOST),
    "where= of a ufunc": lambda x: cp.add(x, x, out=x, where=x > 0.0),
    "order= of a ufunc": lambda x: cp.add(x, x, order="C"),
    "mode= of take": lambda x: cp.take(x, ids(0), axis=0, mode="clip"),
    "initial= of sum": lambda x: cp.sum(x, initial=0.0),
    "where= of max": lambda x: x.max(where=x > 0.0),
    "out= of where": lambda x: cp.where(x > 0.0, x, x, out=x),
    "out of take with another dtype": lambda x: cp.take(x, ids(0), axis=0, out=cp.zeros((1, 3), "d")),
    "a shape that does not fit out": lambda x: cp.add(x, x, out=cp.zeros((3, 2), "f")),
    "a float written into integers": lambda x: cp.add(ids(1), 0.5, out=ids(1)),
    "a missing name": lambda x: cp.errstate(all="ignore"),
    "einsum_path": lambda x: cp.einsum_path("ij,jk", x, x),
    "random numbers on the device": lambda x: cp.random.default_rng(0),
    "scatter-add of floats": lambda x: cp.add.at(x, ids(0), 1.0),
    "id too large for take": lambda x: cp.take(x, ids(2), axis=0),
    "negative id for take": lambda x: cp.take(x, ids(-1), axis=0),
    "id too large for an index": lambda x: x[ids(0, 2)],
    "id too large in an assignment": lambda x: x.__setitem__((ids(0), ids(3)), 1.0),
    "an id twice in an assignment": lambda x: x.__setitem__(ids(0, 0), 1.0),
    "a pair of ids twice in an assignment": lambda x: x.__setitem__((ids(0, 0), ids(1, 1)), 1.0),
    "an array assigned under a mask": lambda x: x.__setitem__(x > 2.0, ids(1, 2, 3)),
    "a 3-D product": lambda x: cp.matmul(x.reshape(1, 2, 3), x.T),
    "a product of two dtypes": lambda x: cp.matmul(x, x.T.astype("d")),
    "a product with a host matrix": lambda x: cp.matmul(x, HOST.T),
    "dot into columns": lambda x: cp.dot(x, x.T, cp.zeros((2, 4), "f")[:, :2]),
    "an array of another device as an operand": lambda x: cp.add(x, elsewhere()),
    "an array of another device as out": lambda x: cp.add(x, x, out=elsewhere()),
    "an array of another device written": lambda x: elsewhere().fill(0.0),
    "an array of another device assigned to": lambda x: elsewhere().__setitem__(0, 1.0),
    "an array as a key": lambda x: {x: 1},
    "a pickle": copy.copy,
    "an index of a Python list": lambda x: [1, 2][x[0, 0]],
    # fused bodies
    "fused: an output smaller than the kernel": lambda x: fused(lambda a, b: cp.add(a, b, out=b), x, x[:1]),
    "fused: a product": lambda x: fused(lambda a: cp.matmul(a, a, out=a), cp.zeros((2, 2), "f")),
    "fused: a sum": lambda x: fused(lambda a, b: cp.sum(a, axis=0, out=b), x, cp.zeros(3, "f")),
    "fused: an index": lambda x: fused(lambda a: cp.tanh(a[:1], out=a[:1]), x),
    "fused: an assignment": lambda x: fused(lambda a: a.__setitem__(..., 0.0), x),
    "fused: a reshape": lambda x: fused(lambda a: cp.tanh(a.reshape(6), out=a.reshape(6)), x),
    "fused: a question": lambda x: fused(lambda a: cp.tanh(a, out=a) if a[0, 0] > 0.0 else None, x),
    "fused: an np. function": lambda x: fused(lambda a: np.tanh(a, out=a), x),
    "fused: a temporary": lambda x: fused(lambda a: cp.add(a, a * 2.0, out=a), x),
    "fused: a result": lambda x: fused(lambda a: cp.tanh(a, out=a), x),
    "fused: a host array": lambda x: fused(lambda a, b: none(cp.add(a, b, out=a)), x, HOST),
    "fused: an array from outside": lambda x: fused(lambda a: none(cp.add(a, ids(1), out=a)), x),
    "fused: an output that is an input, shifted": lambda x: fused(
        lambda a, b: none(cp.tanh(a, out=b)), x[:, :2], x[:, 1:]
    ),
    "fused: an array of another device": lambda x: fused(lambda a: none(cp.tanh(a, out=a)), elsewhere()),
    "fused: keyword arguments": lambda x: cp.fuse(lambda a: none(cp.tanh(a, out=a)))(a=x),
}


def fused(body, *args):
    return cp.fuse(body)(*args)


def none(_):
    """A body returns nothing."""


def elsewhere():
    with cp.cuda.Device(1):
        return cp.asarray(HOST)


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what, x):
    with pytest.raises((cp.Violation, TypeError, ValueError, AttributeError)):
        REFUSED[what](x)
    cp.add(x, x, out=x)  # a refusal in a body leaves nothing behind


COUNTED = {
    "if loss > 0": ("syncs", lambda x: bool(cp.sum(x) > 0.0)),
    "float(loss)": ("syncs", lambda x: float(cp.sum(x))),
    "int of an id": ("syncs", lambda x: int(ids(1)[0])),
    "item": ("syncs", lambda x: x[0, 0].item()),
    "tolist": ("syncs", lambda x: x.tolist()),
    "an f-string": ("syncs", lambda x: f"{cp.sum(x)}"),
    "an f-string with a format": ("syncs", lambda x: f"{cp.sum(x):.3f}"),
    "print": ("syncs", str),
    "max of Python": ("syncs", lambda x: max(x[0])),
    "to_host": ("syncs", lambda x: backend.of(x).to_host(x)),
    "synchronize": ("syncs", lambda x: backend.of(x).synchronize()),
    "reading through a mask": ("syncs", lambda x: x[x > 2.0]),
    "an upload": ("uploads", lambda x: cp.asarray(HOST)),
    "an upload of a number": ("uploads", lambda x: cp.asarray(1.0)),
    "np.float64 number": ("drifts", lambda x: x * np.float64(2.0)),
    "np.float64 number, float32 out": ("drifts", lambda x: cp.multiply(x, np.sqrt(2.0), out=x)),
    "np.float64 number in a fused body": ("drifts", lambda x: fused(scale, x, np.float64(2.0))),
    "integers among floats": ("drifts", lambda x: x[0] + cp.arange(3)),
    "a column block from another": ("hidden_copies", lambda x: cp.tanh(x[:, :1], out=x[:, 1:2])),
    "a slice in place, as two objects": ("hidden_copies", lambda x: cp.multiply(x[:, :2], 2.0, out=x[:, :2])),
    "a slice moved": ("hidden_copies", lambda x: x.__setitem__((slice(None), slice(1, None)), x[:, :-1])),
    "a product of columns": ("hidden_copies", lambda x: cp.matmul(x[:, :2], x[:, :2].T)),
    "a product into columns": ("hidden_copies", lambda x: cp.matmul(x, x.T, out=cp.zeros((2, 3), "f")[:, :2])),
    "a product into its operand": ("hidden_copies", lambda x: cp.matmul(x[:, :2].copy(), x, out=x)),
    "a reshape of columns": ("hidden_copies", lambda x: x[:, :2].reshape(4)),
    "a temporary array": ("arrays", lambda x: cp.add(x, x)),
    "a gather": ("arrays", lambda x: x[ids(0)]),
    "a conversion": ("arrays", lambda x: x.astype("d")),
    "the first array of its size": ("allocations", lambda x: cp.empty(123457, "f")),
    "a view": ("views", lambda x: x[0]),
    "rows one by one": ("views", list),
    "a fused body": ("launches", lambda x: fused(scale, x, 2.0)),
    "fill": ("launches", lambda x: x.fill(0.0)),
}


def scale(a, factor):
    cp.multiply(a, factor, out=a)


@pytest.mark.parametrize("what", COUNTED)
def test_counted_and_forbidden(what, x):
    kind, act = COUNTED[what]
    with cp.measure() as found:
        act(x)
    assert found[kind] >= 1
    cp.get_default_memory_pool().free_all_blocks()
    with cp.forbid(kind), pytest.raises(cp.Violation, match=kind):
        act(x)


def test_a_body_is_one_launch_and_no_hidden_copy(x):
    def body(a, b, c):
        cp.add(a, b, out=c)
        cp.tanh(c, out=c)
        cp.multiply(c, 2.0, out=c)

    buffer = cp.zeros((2, 6), "f")
    a, b = buffer[:, :3], buffer[:, 3:]
    with cp.measure() as found:
        cp.fuse(body)(x, a, b)
    assert +found == {"launches": 1}
    np.testing.assert_array_equal(b.get(), 2 * np.tanh(x.get()))


def test_a_body_takes_an_input_whose_shape_broadcasts(x):
    cp.fuse(lambda a, b: none(cp.add(a, b, out=a)))(x, x[:1].copy())
    np.testing.assert_array_equal(x.get(), [[0, 2, 4], [3, 5, 7]])


def test_what_is_free_counts_nothing(x):
    v, other = x[:, :2], cp.zeros((2, 3), "f")
    with cp.measure() as found:
        cp.multiply(v, 2.0, out=v)  # in place, one object
        cp.add(x, other, out=other)
        cp.matmul(x, other.T, out=cp.zeros((2, 2), "f"))  # a transpose is a flag for cuBLAS
        other[...] = x.T.reshape(3, 2).T  # no overlap
    assert not found["hidden_copies"] and not found["syncs"] and not found["drifts"] and not found["uploads"]


def test_memory_that_nobody_has_written_is_poisoned():
    assert np.isnan(cp.empty((2, 3), "f").get()).all()
    assert cp.empty(3, "i").get().min() == 2**31 - 1
    assert np.isnan(cp.empty_like(cp.zeros(3)).get()).all()


def test_pool_serves_a_request_from_what_was_freed():
    gc.collect()
    cp.get_default_memory_pool().free_all_blocks()
    with cp.measure() as found:
        a = cp.empty((7, 11), "f")
        view = a[1:]
        del a
        b = cp.empty((7, 11), "f")  # the view still holds the first block
        del view, b
        c = cp.empty((11, 7), "f"), cp.empty((7, 11), "f")
    assert found["arrays"] == 4 and found["allocations"] == 2 and len(c) == 2


def test_pool_speaks_of_the_current_device():
    pool = cp.get_default_memory_pool()
    before = pool.total_bytes()
    with cp.cuda.Device(1):
        held = pool.total_bytes()
        a = cp.empty(1_000_003, "f")
        assert pool.total_bytes() == held + 4_000_256 >= a.nbytes
    assert pool.total_bytes() == before


def test_an_element_is_a_view_on_the_device(x):
    corner, row = x[0, 0], x[0]
    assert isinstance(corner, cp.ndarray) and corner.shape == ()
    corner[...] = 7.0
    row[1] = 8.0
    assert x.get()[0].tolist() == [7.0, 8.0, 2.0]


def test_host_array_may_be_overwritten_after_an_upload():
    host = np.zeros(3, "f")
    a = cp.asarray(host)
    host[:] = 1.0
    assert not a.get().any()
    a.get()[:] = 1.0
    assert not a.get().any()


def test_device_is_entered_and_left(bk):
    assert cp.cuda.current == 0
    with bk.scope():
        with bk.scope():
            assert cp.cuda.current == 1
        assert cp.cuda.current == 1
    assert cp.cuda.current == 0


def test_forbidding_ends_with_its_block(x):
    with cp.forbid("syncs"), pytest.raises(cp.Violation):
        float(x[0, 0])
    assert float(x[0, 1]) == 1.0
