"""Ranks of mpiexec with a GPU each, on the stand-in: the gradients and runs of one GPU, through NCCL's stand-in.

The ranks are processes, each of which imports the stand-in before it does anything. Needs `pip install 'minrnn[mpi]'`.
"""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import minrnn
from minrnn.backend import BackendError
from minrnn.model.checkpoint import load_checkpoint
from minrnn.mpi import GPUExchange, Ranks

MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
needs_mpi = pytest.mark.skipif(
    not (find_spec("mpi4py") and MPIEXEC), reason="needs pip install 'minrnn[mpi]', with an mpiexec"
)
pytestmark = pytest.mark.usefixtures("standin_only")

STAND_IN = """
import sys
sys.path.insert(0, {folder!r})
import fakecupy
from minrnn import backend, cublas
backend.register("fakecupy", lambda: fakecupy)
cublas.libraries["fakecupy"] = fakecupy.cublas.Library
"""


@pytest.fixture
def call(tmp_path):
    """call(ranks, *command): what Python does with it in so many ranks, all with the stand-in. Code, stdout, stderr."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(STAND_IN.format(folder=str(Path(__file__).parent)))

    def run(ranks, *command):
        launcher = [MPIEXEC, "-n", str(ranks)] if ranks > 1 else []
        path = os.pathsep.join([str(site), str(Path(minrnn.__file__).parents[1])])
        open_mpi = {
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        }
        environment = {**os.environ, **open_mpi, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(
            [*launcher, sys.executable, *map(str, command)],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return done.returncode, done.stdout, done.stderr

    return run


ENGINE = """
import sys
import fakecupy
import numpy as np
from minrnn import CharRNN, mpi
from minrnn.cli.ranks import launched

ranks = mpi.join(launched()[1])
if ranks.rank:
    sys.exit(ranks.serve())

V, T = 7, 5
rng = np.random.default_rng(1)

def network(**settings):
    return CharRNN(V, hidden_size=4, dtype="float64", seed=3, device="fakecupy:0", **settings)

def close(a, b):
    a, b = a if isinstance(a, np.float64) else a.get(), b.get()
    assert np.shape(a) == b.shape and np.abs(a - b).max() <= 1e-13, np.abs(a - b).max()

for cell in ("lstm", "gru"):
    alone, model, state = network(cell=cell), network(cell=cell), None
    here = model.backend.from_host
    for m in (alone, model):
        m.params.flat[...] = here(np.random.default_rng(2).standard_normal(m.params.flat.size))  # not of the seed
    with mpi.sharing(model, T, 7) as engine:
        for B in (7, 7, 1, 7, 7):  # fewer rows than ranks: nothing may be left of the former gradient
            x, y = map(here, rng.integers(V, size=(2, T, B)))
            before = state if B == 7 else None
            loss, after = alone.gradient(x, y, before, dloss=2.5)
            exchanged = fakecupy.counts["nccl"]
            found, found_after = engine.gradient(x, y, before, dloss=2.5)
            assert fakecupy.counts["nccl"] == exchanged + 1 + 2  # parameters; both ends of the gradients' sum
            close(found, loss)
            close(model.grads.flat, alone.grads.flat)
            for a, b in zip(sum(after, ()), sum(found_after, ()), strict=True):
                close(b, a)
            state = after if B == 7 else state
            for m in (alone, model):
                m.params.flat[...] -= 0.3 * m.grads.flat
            close(engine.nll(x, y, before)[0], alone.nll(x, y, before)[0])
        assert engine.note.startswith("CUDA graphs: "), engine.note

print("all is well")
ranks.end(0)
"""


@needs_mpi
def test_gradient_loss_and_state_are_those_of_one_gpu(call, tmp_path):
    (tmp_path / "engine.py").write_text(ENGINE)
    assert call(2, "engine.py") == (0, "all is well\n", "")


OPTIONS = {"hidden": 6, "seq": 5, "batch": 7, "lr": 0.01, "dtype": "float64", "steps": 20, "eval-every": 5}


@needs_mpi
def test_runs_are_those_of_one_gpu_and_too_few_gpus_are_told(call, tmp_path, assert_close):
    text = tmp_path / "text.txt"
    text.write_text("".join(np.random.default_rng(0).choice(list("abcd \n"), size=1500)))
    options = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
    train = ["-m", "minrnn", "train", text, *options, "--device", "fakecupy", "--quiet"]
    for ranks in (1, 2):
        assert call(ranks, *train, "--out", f"{ranks}") == (0, "", "")
    found, expected = (load_checkpoint(tmp_path / run / "last.safetensors")[0] for run in ("2", "1"))
    assert found.keys() == expected.keys() and "state.0.h" in expected
    for name, array in expected.items():
        assert_close(found[name], array, 1e-10, name)
    code, _, err = call(3, *train, "--out", "3")
    assert code == 5
    assert "'fakecupy:2' does not exist: this machine has 2 GPU(s)" in err and "Traceback" not in err


class Missing:
    """A rank that never gets as far as MPI."""

    size, rank = 2, 0


def test_missing_nccl_is_told_with_the_way_out(bk, monkeypatch):
    monkeypatch.setitem(sys.modules, "fakecupyx.distributed", None)
    with pytest.raises(
        BackendError, match=r"several GPUs need NCCL .* pip install nvidia-nccl-cu12 .* or use one rank"
    ):
        GPUExchange(Missing(), bk)


@pytest.mark.parametrize(
    ("leading", "local", "device"), [("cupy:0", 2, "cupy:2"), ("cupy:3", 1, "cupy:4"), ("numpy", 1, "numpy")]
)
def test_every_rank_of_a_machine_has_a_gpu_of_its_own(leading, local, device):
    rank = object.__new__(Ranks)
    rank.local = local
    assert rank.device(leading) == device
