"""scripts/gpu_check on CuPy, without a GPU: every step goes through, on small LSTMs. Its times mean nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
from hostcuda import blas

from minrnn import CharRNN, cublas
from minrnn.optim import Adam, Constant
from minrnn.text import FixedLength, StreamBatches, streams
from minrnn.train import Trainer

SCRIPTS = Path(__file__).parents[3] / "scripts"
SLOW = {"gradients"}  # and in tests/device


@pytest.fixture
def command(monkeypatch):
    """The module behind the script, with small networks."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from gpulib import command

    def network(bk, cell="lstm", dtype="float32", hidden_size=5):
        return CharRNN(65, hidden_size=hidden_size, cell=cell, dtype=dtype, seed=1, device=bk.name)

    def trainer(bk, cell="lstm"):
        ids = np.random.default_rng(0).integers(65, size=2 * 41).astype("uint8")
        return Trainer(network(bk, cell), StreamBatches(streams(ids, 2), FixedLength(4)), Adam(2e-3), Constant(2e-3))

    monkeypatch.setitem(cublas.libraries, "cupy", blas.Library)
    for module in (command.checks, command.graphs):
        monkeypatch.setattr(module, "CELLS", ("lstm",))
        monkeypatch.setattr(module, "network", network)
    monkeypatch.setattr(command.checks, "trainer", trainer)
    return command


@pytest.mark.filterwarnings("ignore:cupyx.allow_synchronize")
def test_every_step_goes_through(command, tmp_path):
    file, steps = tmp_path / "found.json", [step for step in command.STEPS if step not in SLOW]
    assert command.main(["--device", "cupy:1", "--small", "--json", str(file), "--only", *steps]) == 0
    found = json.loads(file.read_text())["steps"]
    assert list(found) == steps
    assert found["environment"]["library"].startswith("14.2.")
    assert found["one_kernel_a_body"]["bodies"] >= 10
    assert found["memory"]["after"] == found["memory"]["before"] > 0
