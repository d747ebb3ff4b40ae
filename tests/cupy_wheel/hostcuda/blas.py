"""cuBLAS by NumPy, in column order: for CuPy, in the place of its module, and for minrnn.cublas, as a library in C."""

import ctypes
import sys
import types
from ctypes import CFUNCTYPE, POINTER, c_int, c_void_p
from functools import partial

import numpy as np
from cupy_backends.cuda import libs

from hostcuda import runtime
from hostcuda.runtime import ask, counts

GEMM = [c_void_p, *[c_int] * 5, *[c_void_p, c_void_p, c_int, c_void_p, c_int], c_void_p, c_void_p, c_int]
DTYPES = {0: np.dtype("f"), 1: np.dtype("d")}  # CUDA_R_32F, CUDA_R_64F


def _matrix(address, dtype, rows, columns, leading):
    assert leading >= rows
    size = (leading * (columns - 1) + rows) * dtype.itemsize
    memory = (ctypes.c_char * size).from_address(address)
    return np.ndarray((rows, columns), dtype, memory, strides=(dtype.itemsize, leading * dtype.itemsize))


def _gemm(dtype, transa, transb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc):
    """C (m,n) = op(A) op(B), alpha 1 and beta 0."""
    counts["gemm"] += 1
    number = ctypes.POINTER(np.ctypeslib.as_ctypes_type(dtype))
    assert [ctypes.cast(p, number)[0] for p in (alpha, beta)] == [1.0, 0.0]
    a = _matrix(A, dtype, k, m, lda).T if transa else _matrix(A, dtype, m, k, lda)
    b = _matrix(B, dtype, n, k, ldb).T if transb else _matrix(B, dtype, k, n, ldb)
    c = _matrix(C, dtype, m, n, ldc)

    def multiply():
        with np.errstate(all="ignore"):
            c[...] = a @ b

    ask(multiply)


def gemmEx(handle, transa, transb, m, n, k, alpha, A, Atype, lda, B, Btype, ldb, beta, C, Ctype, ldc, compute, algo):
    """As CuPy calls it, which it does not do while a stream captures."""
    assert Atype == Btype == Ctype
    _gemm(DTYPES[Atype], transa, transb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc)


def _set_stream(handle, stream):
    if runtime.capture is not None:
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")  # as CuPy's does


class Library:
    """What ctypes.CDLL gives for libcublas, as far as minrnn.cublas wants it."""

    def __init__(self):
        def create(handle):
            handle[0] = 1
            return 0

        self.cublasCreate_v2 = CFUNCTYPE(c_int, POINTER(c_void_p))(create)
        for name in ("Destroy_v2", "SetStream_v2", "SetWorkspace_v2", "SetMathMode"):
            setattr(self, f"cublas{name}", lambda *_: 0)
        for name, dtype in (("Sgemm", np.dtype("f")), ("Dgemm", np.dtype("d"))):
            setattr(self, f"cublas{name}_v2", CFUNCTYPE(c_int, *GEMM)(partial(self._multiply, dtype)))

    def _multiply(self, dtype, handle, *args):
        _gemm(dtype, *args)
        return 0


module = types.ModuleType("cupy_backends.cuda.libs.cublas")
module.gemmEx, module.create, module.setStream = gemmEx, lambda: 1, _set_stream
module.destroy, module.CUBLASError = lambda handle: None, type("CUBLASError", (RuntimeError,), {})
module.CUBLAS_COMPUTE_32F, module.CUBLAS_COMPUTE_64F, module.CUBLAS_COMPUTE_32F_PEDANTIC = 68, 70, 69
module.CUBLAS_COMPUTE_64F_PEDANTIC, module.CUBLAS_COMPUTE_32F_FAST_TF32 = 71, 77
module.CUBLAS_GEMM_DEFAULT, module.CUBLAS_GEMM_DEFAULT_TENSOR_OP = -1, 99
sys.modules[module.__name__] = libs.cublas = module
