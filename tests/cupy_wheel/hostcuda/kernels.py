"""The kernels that CuPy writes, compiled for the host by g++ and run there, one thread after the other.

CuPy's text is taken as it stands, with its own header of strided arrays; host.h explains to g++ what CUDA adds to C++.
Compiled kernels are kept in the folder HOSTCUDA_FOLDER, if there is one, for other processes.
"""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections import deque
from pathlib import Path
from typing import NamedTuple

import cupy_backends
from cupy_backends.cuda.api import driver

from hostcuda import runtime
from hostcuda.runtime import counted, counts

INCLUDE = Path(cupy_backends.__file__).parents[1] / "cupy" / "_core" / "include"
HEADER = Path(__file__).parent / "host.h"
COMPILER = shutil.which("g++")  # without it no kernel runs; all else does
_own = tempfile.TemporaryDirectory(prefix="hostcuda")
FOLDER = Path(os.environ.get("HOSTCUDA_FOLDER", _own.name))
clean_up = _own.cleanup


class Source(NamedTuple):
    """The text of a module, and the options that CuPy compiles it with."""

    text: str
    options: tuple[str, ...]


errors = []  # of g++: a function that C calls can raise nothing
launched = deque(maxlen=1 << 16)  # (module, name) of every kernel, the last one last
_modules = []
_functions = []
_running = {}  # (text, name) -> the compiled kernel


def compile_module(source, options=(), **_):
    """In the place of cupy.cuda.compiler._compile_module_with_cache: keep the text, and compile what is launched."""
    from cupy.cuda.function import Module

    _modules.append(Source(source, options))
    module = Module()
    module.load(b"%d" % len(_modules))
    return module


@counted(driver)
def moduleLoadData(data):
    return int(data)


@counted(driver)
def moduleUnload(module):
    pass


@counted(driver)
def moduleGetFunction(module, name):
    _functions.append((_modules[module - 1], name))
    return len(_functions)


@counted(driver)
def launchKernel(function, gx, gy, gz, bx, by, bz, shared, stream, parameters, extra):
    source, name = _functions[function - 1]
    launched.append((source, name))
    counts[f"kernel {name}"] += 1
    assert gy == gz == by == bz == 1
    if COMPILER and (library := _compiled(source.text, name)):
        values = _values(library, parameters)  # which CuPy lets go of
        addresses = (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values))
        addresses.values = values  # to be kept with them
        runtime.ask(lambda: library.launch(addresses, gx, bx))


def _values(library, parameters):
    """A copy of each parameter, whose addresses are at an address."""
    sizes = (ctypes.c_size_t * 64)()
    number = library.sizes(sizes)
    addresses = (ctypes.c_void_p * number).from_address(parameters)
    return [
        ctypes.create_string_buffer(ctypes.string_at(address, size), size)
        for address, size in zip(addresses, sizes, strict=False)
    ]


def _compiled(text, name):
    if (text, name) not in _running:
        body = re.sub(r'#include [<"]cupy/.*', "", text)
        body = body.replace(f"void {name}(", "void kernel_of_cupy(")  # there is a std::forward
        run = "run_together" if "__syncthreads" in body else "run_alone"
        _running[text, name] = _library(f'#include "host.h"\n{body}\nLAUNCH(kernel_of_cupy, {run})\n')
    return _running[text, name]


def _library(text):
    """A C++ text, compiled; or None, and the error is kept."""
    header = FOLDER / "host.h"
    if not header.with_suffix(".h.gch").exists():
        _replace(header, lambda file: shutil.copy(HEADER, file))
        _replace(header.with_suffix(".h.gch"), lambda file: _compile(header, file))
    path = FOLDER / f"{hashlib.sha256(text.encode()).hexdigest()}.cpp"
    if not path.with_suffix(".so").exists():
        path.write_text(text)
        try:
            _replace(path.with_suffix(".so"), lambda file: _compile(path, file, "-shared"))
        except subprocess.CalledProcessError as error:
            errors.append(error.stderr)
            return None
    return ctypes.CDLL(str(path.with_suffix(".so")))


def _compile(source, target, *options):
    flags = ["-std=c++17", "-O1", "-U_FORTIFY_SOURCE", "-fPIC", "-w"]  # fortified, a jump to another stack is an error
    command = [COMPILER, *flags, f"-I{INCLUDE}", *options, str(source), "-o", str(target)]
    subprocess.run(command, capture_output=True, text=True, check=True)


def _replace(path, make):
    """Make a file in one go, for there are other processes."""
    part = path.with_name(f"{os.getpid()}-{path.name}")
    make(part)
    part.replace(path)
