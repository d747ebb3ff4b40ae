"""Every distinct call that tests/device makes of the stand-in is made of CuPy, with arrays of the same layout.

CuPy goes all the way to the launch of a kernel; the type, the shape and the kind of what comes back are compared. Last
in its run: whatever came before has been noted (recorder.py).
"""

import re
from collections import Counter

import cupy
import fakecupy
import numpy as np
import pytest
import recorder
from fakecupy import array, functions
from hostcuda import kernels
from recorder import Array, Call

SIZE = 1 << 20
PRIVATE = {"slots", "block", "device", "host", "view", *(f"r{name}" for name in ("lt", "le", "gt", "ge", "eq", "ne"))}
LEAST = {"function": 500, "method": 500, "attribute": 5}  # distinct calls: fewer, and the recorder has missed something


@pytest.fixture(scope="module")
def memory():
    """Zeros. Kernels are launched, but not run: numbers are the business of others."""
    with cupy.cuda.Device(1), pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "COMPILER", None)
        memory = cupy.ndarray(SIZE, "u1")
        memory.data.memset_async(0, SIZE)
        yield memory


def real(value, memory):
    """CuPy's array for the description of one, in the middle of the memory: strides may be negative."""
    if isinstance(value, Array):
        return cupy.ndarray(value.shape, value.dtype, memory.data + SIZE // 2, value.strides)
    if isinstance(value, tuple | list):
        return type(value)(real(part, memory) for part in value)
    return value


def replay(call, memory):
    """What CuPy says against a call, or None."""
    args = real(call.args, memory)
    keywords = {name: real(value, memory) for name, value in call.keywords.items()}
    try:
        with cupy.cuda.Device(1):
            if call.kind == "attribute":
                result = getattr(args[0], call.name)
            else:
                owner = cupy if call.kind == "function" else type(args[0])
                result = getattr(owner, call.name)(*args, **keywords)
    except Exception as error:  # whatever it is
        return f"{type(error).__name__}: {error}"
    return None if described(result) == described(call.result) else f"{described(result)} for {described(call.result)}"


def described(value):
    """Type and shape of a result; of a number its type, of a generator no more than that it is one."""
    if isinstance(value, cupy.ndarray | Array | np.ndarray):
        host = "host " if isinstance(value, np.ndarray) else ""
        return f"{host}{np.dtype(value.dtype)} {value.shape}"
    return type(value).__name__


def test_calls_of_the_standin_are_taken_by_cupy(memory):
    kinds = Counter(call.kind for call in recorder.calls.values())
    refused = [(call, said) for call in recorder.calls.values() if (said := replay(call, memory))]
    names = {(call.kind, call.name) for call in recorder.calls.values()}
    print(f"{len(recorder.calls)} distinct calls, {dict(kinds)}, of {len(names)} names")
    assert not refused, "\n".join(f"{call}\n    {said}" for call, said in refused[:20])
    assert all(kinds[kind] >= number for kind, number in LEAST.items()), kinds


def test_names_of_the_standin_are_those_of_cupy():
    names = {
        cupy: [*functions.__all__, "cuda", "fuse", "ndarray"],
        cupy.ndarray: [name for name in vars(array.ndarray) if name.strip("_") not in PRIVATE],
        type(cupy.ndarray(1).flags): [*array.Flags._fields, "forc", "fnc"],
        cupy.cuda.MemoryPool: ["total_bytes", "free_all_blocks"],
        cupy.cuda.runtime: vars(fakecupy.cuda.runtime),
    }
    lacking = [f"{owner} {name}" for owner, found in names.items() for name in found if not hasattr(owner, name)]
    assert not lacking


A, WIDE, WHOLE = (Array((2, 3), (3 * size, size), dtype) for size, dtype in ((4, "<f4"), (8, "<f8"), (8, "<i8")))
IDS = Array((2,), (8,), "<i8")


@pytest.mark.parametrize(
    ("name", "args", "keywords", "result", "said"),
    [
        ("sum", (A,), {"initial": 0.0}, None, "unexpected keyword argument 'initial'"),
        ("take", (A, IDS), {"axis": 0, "mode": "clip"}, None, "unexpected keyword argument 'mode'"),
        ("take", (A, IDS), {"axis": 0, "out": WIDE}, WIDE, "Output dtype mismatch"),
        ("add", (A, A), {"where": True}, A, "Wrong arguments"),
        ("add", (A, A), {"out": IDS}, IDS, "operands could not be broadcast"),
        ("add", (A, A), {"out": WHOLE}, WHOLE, "Cannot cast"),
        ("add", (A, WIDE), {"out": A}, WIDE, "for float64"),
        ("add", (A, np.zeros(3, "f")), {}, A, "Unsupported type"),
        ("dot", (A, A), {}, A, "Axis dimension mismatch"),
        ("errstate", (), {}, None, "no attribute 'errstate'"),
        ("exp", (A,), {}, WIDE, "float32 .* for float64"),
    ],
)
def test_replay_sees(name, args, keywords, result, said, memory):
    heard = replay(Call("function", name, args, keywords, result), memory)
    assert heard and re.search(said, heard), heard
