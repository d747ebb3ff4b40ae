"""CuPy, the real one, on a machine without a GPU: import this before cupy.

The compiled modules of CuPy call the CUDA runtime, the driver and cuBLAS through a few dozen C functions. Here these
are Python functions (capsules.py), which keep "device" memory on the host (runtime.py), compile the kernels that CuPy
writes with g++ (kernels.py, host.h) and multiply with NumPy (blas.py). Everything above them is CuPy's own: checks of
arguments, types, casts, broadcasting, the memory pool, the tracer of fused bodies, the text of every kernel.

What this is not: a device. Everything happens at once and in order (but for what a stream captures, which happens when
the graph is launched), so it shows no race and no missing wait; g++ rounds
as C++ does, not as a GPU does (fused multiply-add, its own exp and tanh, no denormal numbers); cuBLAS is NumPy; CUB,
which CuPy prefers for some sums, is switched off, because it is compiled for GPUs only. Times mean nothing.

The table of C functions belongs to the insides of CuPy, so this fits one version of it.
"""

import os

CUPY = "14.2."

os.environ["CUPY_ACCELERATORS"] = ""
os.environ.pop("CUPY_TF32", None)

from hostcuda import blas, kernels, runtime  # noqa: E402 (before cupy)

__all__ = ["CUPY", "blas", "kernels", "runtime"]

import cupy.cuda.compiler  # noqa: E402

cupy.cuda.compiler._compile_module_with_cache = kernels.compile_module
