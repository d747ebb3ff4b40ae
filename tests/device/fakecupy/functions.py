"""The functions that minrnn may call, with the arguments that CuPy 14 takes; the numbers are NumPy's.

A name is added only after reading what CuPy says about it: every other one is an AttributeError.
"""

import numpy as np

from fakecupy import cuda, state
from fakecupy.array import launched, ndarray
from fakecupy.ledger import Violation, hit

# fmt: off
FUNCTIONS = [
    "arange", "argmax", "asarray", "ascontiguousarray", "asnumpy", "broadcast_to", "clip", "concatenate", "dot",
    "empty", "empty_like", "get_default_memory_pool", "matmul", "max", "mean", "min", "ones", "repeat", "sum", "take",
    "where", "zeros", "zeros_like",
]
UFUNCS = [
    "absolute", "add", "bitwise_and", "bitwise_or", "divide", "equal", "exp", "greater", "greater_equal", "isfinite",
    "less", "less_equal", "log", "logical_and", "logical_not", "logical_or", "maximum", "minimum", "multiply",
    "negative", "not_equal", "sign", "sqrt", "square", "subtract", "tanh", "true_divide",
]
# fmt: on
__all__ = FUNCTIONS + UFUNCS  # noqa: PLE0605


def operand(name, x):
    """What NumPy computes with in the place of x: an array of the current device, or a number."""
    if isinstance(x, ndarray):
        state.on_current_device(name, x)
        return x._host
    if isinstance(x, bool | int | float | np.generic):
        return x
    raise TypeError(f"{name}: Unsupported type {type(x)}")


def _count_drift(inputs, result):
    """Count a float32 operand whose result is float64: a number such as np.sqrt(2.0) is enough."""
    narrow = any(isinstance(x, ndarray) and x.dtype == np.float32 for x in inputs)
    wide = any(isinstance(x, np.float64) for x in inputs)
    if narrow and (result.dtype == np.float64 or wide):
        hit("drifts")


def _keywords(name, given, allowed):
    if not set(given) <= set(allowed.split()):
        raise TypeError(f"{name}: Wrong arguments {sorted(set(given) - set(allowed.split()))}")


def _ufunc(name):
    function = getattr(np, name)

    def call(*args, **keywords):
        _keywords(name, keywords, "out dtype casting")
        if len(args) not in (function.nin, function.nin + 1):
            raise TypeError(f"Wrong number of arguments for {name}: {len(args)}")
        inputs, given = args[: function.nin], keywords.pop("out", None)
        out = args[function.nin] if len(args) > function.nin else given
        numbers = [operand(name, x) for x in inputs]
        if out is not None and not isinstance(out, ndarray):
            raise TypeError(f"{name}: return arrays must be of ArrayType, got {type(out).__name__}")
        if state.body is not None:
            state.body.check(name, inputs, out)
        elif out is not None:
            state.count_overlap([x for x in inputs if isinstance(x, ndarray)], out)
        host = function(*numbers, out=None if out is None else operand(name, out), **keywords)
        if "dtype" not in keywords:
            _count_drift(inputs, host)
        if state.body is not None:
            return out
        if out is None:
            return launched(host, cuda.current)
        hit("launches")
        return out

    call.__name__ = name
    return call


for _name in UFUNCS:
    globals()[_name] = _ufunc(_name)


def _function(name, keywords, positional):
    """A function of arrays that is no ufunc: `positional` arguments at most, then those `keywords`."""
    function = getattr(np, name)

    def call(*args, out=None, **given):
        state.outside_a_body(name)
        _keywords(name, [*given, *(["out"] if out is not None else [])], keywords)
        if len(args) > positional:
            raise TypeError(f"{name} takes {positional} positional arguments, got {len(args)}")
        arrays = [x for x in args if isinstance(x, ndarray)]
        numbers = [operand(name, x) if isinstance(x, ndarray | np.ndarray | list) else x for x in args]
        if name == "take":
            axis = given.get("axis")
            state.check_ids(numbers[1], arrays[0].size if axis is None else arrays[0].shape[axis])
        if out is not None:
            state.count_overlap(arrays, out)
            if name in ("take", "clip") and out.dtype != arrays[0].dtype:
                raise TypeError(f"{name}: out has dtype {out.dtype}, expected {arrays[0].dtype}")
            given["out"] = operand(name, out)
        host = function(*numbers, **given)
        if "dtype" not in given:
            _count_drift(arrays, host)
        if out is None:
            return launched(host, cuda.current)
        hit("launches")
        return out

    call.__name__ = name
    return call


for _name, _keys, _positional in (
    ("sum", "axis dtype out keepdims", 1),
    ("mean", "axis dtype out keepdims", 1),
    ("max", "axis out keepdims", 1),
    ("min", "axis out keepdims", 1),
    ("argmax", "axis dtype out keepdims", 1),
    ("take", "axis out", 2),
    ("where", "", 3),
    ("clip", "out", 3),
    ("repeat", "axis", 2),
):
    globals()[_name] = _function(_name, _keys, _positional)


def matmul(a, b, out=None):
    """The product of matrices; counts what cuBLAS cannot read or write in place."""
    return _product("matmul", np.matmul, a, b, out)


def dot(a, b, out=None):
    """The product of matrices or vectors. Raises ValueError where `out` is not exactly what would be returned."""
    if out is not None and not (out.flags.c_contiguous and out.dtype == np.result_type(a.dtype, b.dtype)):
        raise ValueError("dot: output array must be C-contiguous and of the dtype of the result")
    return _product("dot", np.dot, a, b, out)


def _product(name, function, a, b, out):
    state.outside_a_body("a product")
    numbers = [operand(name, x) for x in (a, b)]
    for x in (a, b):
        if not isinstance(x, ndarray):
            raise TypeError(f"{name}: Unsupported type {type(x)}")
        if x.ndim > 2:
            raise Violation(f"{name}: flatten to 2-D; CuPy copies operands of shape {x.shape} or loops over them")
        if not x.flags.forc:
            hit("hidden_copies")
    if a.dtype != b.dtype or (out is not None and out.dtype != a.dtype):
        raise Violation(f"{name}: {a.dtype} and {b.dtype} are cast on every call")
    if out is None:
        return launched(function(*numbers), cuda.current)
    if not out.flags.c_contiguous:
        hit("hidden_copies")
    state.count_overlap([a, b], out, in_place=False)
    hit("launches")
    function(*numbers, out=operand(name, out))
    return out


# Arrays from nothing, from the host and from others.


def empty(shape, dtype=float):
    """Memory full of what was there before."""
    state.outside_a_body("a new array")
    host = np.empty(shape, dtype)
    host.fill(poison(host.dtype))
    return ndarray(host, cuda.current)


def poison(dtype):
    """What is found in memory that nobody has written: not a number, or a huge one."""
    return np.nan if dtype.kind == "f" else True if dtype.kind == "b" else np.iinfo(dtype).max


def zeros(shape, dtype=float):
    state.outside_a_body("a new array")
    return launched(np.zeros(shape, dtype), cuda.current)


def ones(shape, dtype=float):
    state.outside_a_body("a new array")
    return launched(np.ones(shape, dtype), cuda.current)


def arange(*args, dtype=None):
    state.outside_a_body("a new array")
    return launched(np.arange(*args, dtype=dtype), cuda.current)


def empty_like(a):
    state.on_current_device("empty_like", a)
    return empty(a.shape, a.dtype)


def zeros_like(a):
    state.on_current_device("zeros_like", a)
    return zeros(a.shape, a.dtype)


def asarray(a, dtype=None):
    """An upload, unless `a` is here already."""
    state.outside_a_body("an upload")
    if isinstance(a, ndarray):
        return a if dtype is None or a.dtype == dtype else a.astype(dtype)
    hit("uploads")
    return ndarray(np.array(a, dtype, order="C"), cuda.current)


def ascontiguousarray(a, dtype=None):
    if not isinstance(a, ndarray):
        raise Violation(f"ascontiguousarray of a {type(a).__name__}: a hidden upload")
    if a.flags.c_contiguous and dtype in (None, a.dtype):
        return a
    return a.astype(a.dtype if dtype is None else dtype)


def get_default_memory_pool():
    return cuda.default_pool


def asnumpy(a):
    """A copy on the host; waits."""
    return a.get()


def broadcast_to(a, shape):
    return a._view(np.broadcast_to(a._host, shape))


def concatenate(arrays, axis=0):
    state.outside_a_body("concatenate")
    return launched(np.concatenate([operand("concatenate", a) for a in arrays], axis=axis), cuda.current)


# Operators and methods.


def _operator(method, name, in_place):
    call = globals()[name]
    setattr(ndarray, f"__{method}__", call)
    setattr(ndarray, f"__r{method}__", lambda self, other: call(other, self))
    if in_place:
        setattr(ndarray, f"__i{method}__", lambda self, other: call(self, other, out=self))


for _method, _name in (
    ("add", "add"), ("sub", "subtract"), ("mul", "multiply"), ("truediv", "divide"), ("and", "bitwise_and"),
    ("or", "bitwise_or"),
):  # fmt: skip
    _operator(_method, _name, in_place=True)
for _method, _name in (
    ("lt", "less"), ("le", "less_equal"), ("gt", "greater"), ("ge", "greater_equal"), ("eq", "equal"),
    ("ne", "not_equal"), ("matmul", "matmul"),
):  # fmt: skip
    _operator(_method, _name, in_place=False)
ndarray.__neg__, ndarray.__abs__ = globals()["negative"], globals()["absolute"]


def _method_of(name):
    call = globals()[name]

    def method(self, *args, **keywords):
        if args:  # axis comes first in all of them
            keywords["axis"], *rest = args
            if rest:
                raise TypeError(f"{name}: pass all but axis by keyword")
        return call(self, **keywords)

    return method


for _name in ("sum", "mean", "max", "min", "argmax"):
    setattr(ndarray, _name, _method_of(_name))
