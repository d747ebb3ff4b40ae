"""Replaces C functions of a compiled Cython module by Python functions, before other modules have looked them up.

A module lists what others may call in C in `__pyx_capi__`: name → capsule, which holds the function's address and, as
its own name, its signature in C. Whoever imports the module afterwards copies the address.
"""

import ctypes
import re
from ctypes import c_float, c_int, c_size_t, c_ssize_t, c_uint, c_void_p, py_object, pythonapi

pythonapi.PyCapsule_GetName.restype, pythonapi.PyCapsule_GetName.argtypes = c_void_p, [py_object]
pythonapi.PyCapsule_New.restype, pythonapi.PyCapsule_New.argtypes = py_object, [c_void_p, c_void_p, c_void_p]

TYPES = {"int": c_int, "float": c_float, "unsigned int": c_uint, "size_t": c_size_t, "intptr_t": c_ssize_t}
TYPES["PyObject *"] = py_object


def replace(module, function):
    """Put a Python function in the place of the one of `module` that has its name, for callers in C and in Python."""
    name = function.__name__
    before = module.__pyx_capi__[name]
    signature = pythonapi.PyCapsule_GetName(before)
    returned, arguments = re.fullmatch(r"(.*?) ?\((.*)\)", ctypes.string_at(signature).decode()).groups()
    arguments = [] if arguments == "void" else arguments.split(", ")
    number = sum("__pyx" not in a for a in arguments)  # the rest are Cython's own; what may be left out is left out

    def call(*args):
        return function(*args[:number])

    types = [c_int if "__pyx_skip_dispatch" in a else TYPES.get(a, c_void_p) for a in arguments]
    address = ctypes.PYFUNCTYPE(TYPES[returned], *types)(call)
    module.__pyx_capi__[name] = pythonapi.PyCapsule_New(ctypes.cast(address, c_void_p), signature, None)
    setattr(module, name, function)
    for kept in (before, address):  # for good: CuPy still frees memory when the interpreter has let go of everything
        pythonapi.Py_IncRef(py_object(kept))
