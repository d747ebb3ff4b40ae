"""The real CuPy on a machine without a GPU: the same code again, with everything of CuPy but the device.

hostcuda answers CuPy in the place of the CUDA runtime and of cuBLAS, and runs the kernels that CuPy writes on the host.
So CuPy checks every call, traces every body, allocates from its pool, writes every kernel; g++ compiles it, and the
numbers are compared with NumPy's. NVRTC compiles the fused bodies for GPUs. Each part is a pytest of its own, because
CuPy must be imported in no other way in its process:

    kernels, networks, training   tests/device on the device "cupy:1" in the place of the stand-in
    bodies                        every fused body: tracer, NVRTC, numbers
    calls                         every distinct call of the stand-in, made of CuPy
    costs                         launches, waits, memory: those of CuPy are those of the stand-in
    graphs                        steps captured and launched again
    faults                        mistakes, planted one at a time
    gpu_check                     scripts/gpu_check goes through

What none of this shows is execution on a GPU: races and missing waits, its rounding, cuBLAS, CUB, speed. That is what
scripts/gpu_check is for.
"""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
INSTALL = "pip install -e '.[cupy-test]'"
ON_STANDIN = [f"tests/device/test_{part}_on_standin.py" for part in ("kernels", "models", "training")]
INSIDE = "tests/cupy_wheel/inside/test_{}.py".format
NOTHING_NEW = "not 50_updates and not gradients_on_the_device"  # long, and their calls are those of other tests
PARTS = {  # the long ones first
    "training": [ON_STANDIN[2]],
    "networks": [ON_STANDIN[1]],
    "kernels": [ON_STANDIN[0]],
    "gpu_check": [INSIDE("gpu_check")],
    "graphs": [INSIDE("graphs")],
    "calls": ["-p", "recorder", "-k", NOTHING_NEW, *ON_STANDIN, INSIDE("calls")],
    "bodies": [INSIDE("bodies")],
    "costs": [INSIDE("steps")],
    "faults": [INSIDE("faults")],
}
NEED_COMPILER = ("training", "networks", "kernels", "gpu_check", "graphs")
PYTEST = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", "-p", "hostcuda.plugin"]
PYTEST += ["-W", "error::pytest.PytestUnraisableExceptionWarning"]  # Python that C has called can raise nothing


def missing():
    """Why none of this can run, or None. CuPy is not imported for that."""
    if importlib.util.find_spec("cupy") is None:
        return f"CuPy is not installed: {INSTALL}"
    versions = [d.version for d in importlib.metadata.distributions() if d.name == "cupy-cuda12x"]
    if not versions or not versions[0].startswith("14.2."):
        return f"these tests know cupy-cuda12x 14.2, here is {versions or 'another one'}: {INSTALL}"
    return None


REASON = missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@pytest.fixture(scope="module")
def runs(tmp_path_factory, request):
    """All parts that have been asked for, two at a time: {part: future}. Kernels are compiled once for all."""
    folder = tmp_path_factory.mktemp("hostcuda")
    paths = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = os.environ | {"PYTHONPATH": paths, "HOSTCUDA_FOLDER": str(folder), "OPENBLAS_NUM_THREADS": "1"}

    def run(part):
        device = {} if part == "calls" else {"MINRNN_TEST_DEVICE": "cupy:1"}
        return subprocess.run(
            [*PYTEST, *PARTS[part]],
            cwd=ROOT,
            env=environment | device,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    items = [item for item in request.session.items if item.path == Path(__file__) and hasattr(item, "callspec")]
    asked = [item.callspec.params["part"] for item in items]
    with ThreadPoolExecutor(2) as pool:
        yield {part: pool.submit(run, part) for part in asked}


@pytest.mark.parametrize("part", PARTS)
def test_on_cupy(part, runs):
    if part in NEED_COMPILER and not shutil.which("g++"):
        pytest.skip("g++ is not installed: it compiles the kernels that CuPy writes")
    done = runs[part].result()
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    launches = re.search(r"CuPy launched (\d+) times", done.stdout)  # and it was not the stand-in that was tested
    assert " passed" in done.stdout and int(launches[1]) > 100


def test_without_a_gpu_the_message_says_so():
    """CuPy as it is, without hostcuda."""
    code = "from minrnn.backend import get; get('cupy')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        pytest.skip("there is a GPU")
    assert "is installed but finds no usable GPU or driver (cudaError" in done.stderr
