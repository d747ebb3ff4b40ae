"""For pytest -p: CuPy on the host from the start, and what its kernels' compiler complains about fails the test."""

import os
import sys
from pathlib import Path

import pytest

import hostcuda

sys.path.insert(0, str(Path(__file__).parents[2] / "device"))  # the stand-in, and what tests share
_status = [0]


@pytest.fixture(autouse=True)
def no_compiler_errors():
    yield
    errors = "\n".join(hostcuda.kernels.errors)
    hostcuda.kernels.errors.clear()
    assert not errors, errors


def pytest_terminal_summary(terminalreporter):
    counts = hostcuda.runtime.counts
    kinds = sum(name.startswith("kernel ") for name in counts)
    terminalreporter.write_line(f"CuPy launched {counts['launchKernel']} times one of {kinds} kernels")


def pytest_sessionfinish(exitstatus):
    _status[0] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure():
    """End at once: CuPy frees its memory when the interpreter is gone already, and there is no Python to answer it."""
    hostcuda.kernels.clean_up()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_status[0])
