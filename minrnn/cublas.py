"""Matrix products that a CUDA graph can record: cuBLAS called directly, in the place of CuPy's way to it.

CuPy refuses every call of its cuBLAS while a stream is captured. cuBLAS itself does not mind, given one stream and a
workspace of its own, so here the same library is called through ctypes.

    out = a b           (M,N) = (M,K) (K,N)     row by row, as NumPy and CuPy see memory
    outᵀ = bᵀ aᵀ        (N,M) = (N,K) (K,M)     column by column, as cuBLAS sees the same memory

An operand that is a transpose, and so lies column by column itself, is one that cuBLAS is told to transpose.

What this is not: the product of a step that is not recorded, which is CuPy's.
"""

import ctypes
import os
import weakref
from collections.abc import Callable
from ctypes import byref, c_double, c_float, c_int, c_size_t, c_void_p
from typing import Any

import numpy as np

from minrnn.backend import Array, BackendError

WORKSPACE = 32 << 20  # bytes: what NVIDIA advises for its largest GPUs
TF32 = 3  # CUBLAS_TF32_TENSOR_OP_MATH; 0 is the default
GEMM = [c_void_p, *[c_int] * 5, *[c_void_p, c_void_p, c_int, c_void_p, c_int], c_void_p, c_void_p, c_int]


def _library_of_cupy() -> ctypes.CDLL:
    from cuda.pathfinder import load_nvidia_dynamic_lib  # noqa: PLC0415 (comes with CuPy)

    return ctypes.CDLL(load_nvidia_dynamic_lib("cublas").abs_path)


libraries: dict[str, Callable[[], Any]] = {"cupy": _library_of_cupy}  # tests add that of a stand-in


def rounds_to_tf32() -> bool:
    """Whether CuPy has been told to round float32 operands of products to TF32; then they are rounded here too."""
    return os.environ.get("CUPY_TF32") == "1"


class Product:
    """`product(a, b, out)` on one stream of the current device. Keep it as long as a graph that has recorded it.

    Raises BackendError where cuBLAS cannot be found or used.
    """

    def __init__(self, xp: Any, stream: Any) -> None:
        try:
            self._library = libraries[xp.__name__]()
        except (KeyError, ImportError, OSError, RuntimeError) as e:
            raise BackendError(f"cuBLAS is not found ({type(e).__name__}: {str(e).partition(chr(10))[0]})") from e
        self._handle, self._stream = c_void_p(), stream
        self._workspace = xp.empty(WORKSPACE, np.uint8)
        self._call("cublasCreate_v2", byref(self._handle))
        weakref.finalize(self, self._library.cublasDestroy_v2, self._handle)
        self._call("cublasSetStream_v2", self._handle, c_void_p(stream.ptr))
        place = c_void_p(self._workspace.data.ptr)
        self._call("cublasSetWorkspace_v2", self._handle, place, c_size_t(WORKSPACE))  # the stream comes first
        self._call("cublasSetMathMode", self._handle, c_int(TF32 if rounds_to_tf32() else 0))
        self._kinds: dict[Any, tuple[Any, Any, Any]] = {}  # dtype -> the function, and 1 and 0 as it wants them
        for dtype, name, number in ((np.float32, "cublasSgemm_v2", c_float), (np.float64, "cublasDgemm_v2", c_double)):
            function = getattr(self._library, name)
            function.argtypes = GEMM
            self._kinds[np.dtype(dtype)] = function, number(1.0), number(0.0)

    def __call__(self, a: Array, b: Array, out: Array) -> Array:
        """As Backend.matmul, which has looked at shapes and types; `out` is C-contiguous."""
        gemm, one, zero = self._kinds[out.dtype]
        (M, N), K = out.shape, a.shape[1]
        operands = *_operand(b), *_operand(a)
        left, left_leading, left_flipped, right, right_leading, right_flipped = operands
        sizes = left_flipped, right_flipped, N, M, K
        product = byref(one), left, left_leading, right, right_leading, byref(zero), out.data.ptr, N
        _check(gemm(self._handle, *sizes, *product), "a product")
        return out

    def _call(self, name: str, *args: Any) -> None:
        _check(getattr(self._library, name)(*args), name)


def _operand(x: Array) -> tuple[int, int, int]:
    """Address, leading dimension, and 1 where cuBLAS must transpose what it sees as xᵀ."""
    return (x.data.ptr, x.shape[1], 0) if x.flags.c_contiguous else (x.data.ptr, x.shape[0], 1)


def _check(status: int, what: str) -> None:
    if status:
        raise BackendError(f"cuBLAS refuses {what}: status {status}")
