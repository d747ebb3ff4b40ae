"""libcublas as minrnn.cublas calls it: C functions that multiply column by column, from addresses, with NumPy.

An address means something only if an array was asked for it (`a.data.ptr`) and its memory is still held. What cuBLAS
would refuse, or be wrong at without a word (no workspace, or nothing loaded, while a stream captures), gives a status
that is not 0, and `errors` says why.
"""

import ctypes
import weakref
from ctypes import CFUNCTYPE, POINTER, c_double, c_float, c_int, c_size_t, c_void_p

import numpy as np

from fakecupy import cuda, graphs
from fakecupy.array import ndarray

INVALID_VALUE = 7
errors = []
_handles = {}  # number -> what has been set
_memory = {}  # address -> the block that it lies in, weakly


class Pointer:
    """Where an array starts; what cupy.ndarray.data is."""

    def __init__(self, array):
        self.ptr, block = array._host.ctypes.data, array._block
        owner = array._host
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        block.memory = owner
        _memory[self.ptr] = weakref.ref(block)


ndarray.data = property(Pointer)


def _block(address):
    block = _memory[address]() if address in _memory else None
    if block is None:
        raise ValueError(f"no array is at address {address}")
    return block


def _matrix(address, dtype, rows, columns, leading):
    owner = _block(address).memory
    size = (leading * (columns - 1) + rows) * dtype.itemsize
    if leading < rows or address + size > owner.ctypes.data + owner.nbytes:
        raise ValueError(f"({rows}, {columns}) with leading dimension {leading} is larger than the array")
    memory = (ctypes.c_char * size).from_address(address)
    return np.ndarray((rows, columns), dtype, memory, strides=(dtype.itemsize, leading * dtype.itemsize))


def _status(function):
    """0, or another status where the function raises: a caller in C can be told nothing else."""

    def call(*args):
        try:
            function(*args)
        except Exception as error:  # whatever it is
            errors.append(error)
            return INVALID_VALUE
        return 0

    return call


def _create(handle):
    handle[0] = len(_handles) + 1
    _handles[handle[0]] = {"device": cuda.current}


def _set_stream(handle, stream):
    _handles[handle] |= {"stream": stream or 0, "workspace": False}


def _set_workspace(handle, address, size):
    assert _block(address).memory.nbytes >= size
    _handles[handle]["workspace"] = True


def _set_math_mode(handle, mode):
    _handles[handle]["mode"] = mode


def _gemm(dtype, number):
    def gemm(handle, transa, transb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc):
        found = _handles[handle]
        stream = graphs.get_current_stream()
        assert found["device"] == cuda.current
        assert found["stream"] == stream.ptr, f"the handle works on stream {found['stream']}, not {stream.ptr}"
        assert (alpha[0], beta[0]) == (1.0, 0.0)
        a = _matrix(A, dtype, k, m, lda).T if transa else _matrix(A, dtype, m, k, lda)
        b = _matrix(B, dtype, n, k, ldb).T if transb else _matrix(B, dtype, k, n, ldb)
        c = _matrix(C, dtype, m, n, ldc)
        blocks = [_block(address) for address in (A, B, C)]
        held = [block.memory for block in blocks]

        def run(held=held):
            np.matmul(b.T, a.T, out=c.T)  # the same call as on the host, so the same bits

        graphs.hit("launches")
        if graphs.capture is None:
            run()
            found["loaded"] = True
            graphs.work_on(stream)
        else:
            assert found["workspace"], "cuBLAS makes itself a workspace while a stream captures"
            assert "loaded" in found, "cuBLAS loads its kernels while a stream captures"
            before = c.copy()
            run()
            graphs.capture.add("gemm", run, blocks, [(c, before)])

    types = [c_void_p, c_int, c_int, c_int, c_int, c_int, POINTER(number), c_void_p, c_int, c_void_p, c_int]
    return CFUNCTYPE(c_int, *types, POINTER(number), c_void_p, c_int)(_status(gemm))


class Library:
    """What ctypes.CDLL gives for libcublas."""

    def __init__(self):
        self.cublasCreate_v2 = CFUNCTYPE(c_int, POINTER(c_void_p))(_status(_create))
        self.cublasDestroy_v2 = CFUNCTYPE(c_int, c_void_p)(_status(_handles.pop))
        self.cublasSetStream_v2 = CFUNCTYPE(c_int, c_void_p, c_void_p)(_status(_set_stream))
        self.cublasSetWorkspace_v2 = CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t)(_status(_set_workspace))
        self.cublasSetMathMode = CFUNCTYPE(c_int, c_void_p, c_int)(_status(_set_math_mode))
        self.cublasSgemm_v2 = _gemm(np.dtype("f"), c_float)
        self.cublasDgemm_v2 = _gemm(np.dtype("d"), c_double)
