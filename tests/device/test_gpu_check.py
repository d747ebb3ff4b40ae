"""scripts/gpu_check runs to its end on the stand-in, says that it did, and reports a step that fails."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from minrnn import cublas, graphs
from minrnn.backend import get

SCRIPTS = Path(__file__).parents[2] / "scripts"
QUICK = [
    "environment",
    "parity",
    "one_kernel_a_body",
    "waits",
    "memory_checker",
    "graphs",
    "calls",
    "updates",
    "sampling",
]


@pytest.fixture
def command(monkeypatch):
    """The module behind the script."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from gpulib import command

    return command


def test_dry_run_goes_through_and_claims_nothing(tmp_path):
    file = tmp_path / "found.json"
    call = [sys.executable, str(SCRIPTS / "gpu_check"), "--dry-run", "--json", str(file), "--only", *QUICK]
    done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("dry run on the stand-in for CuPy: no GPU was used")
    found = json.loads(file.read_text())
    assert found["dry_run"] and list(found["steps"]) == QUICK
    assert all(step["ok"] for step in found["steps"].values())


def test_a_step_that_fails_is_reported_and_stops_no_other(command, tmp_path, monkeypatch, capsys):
    def broken(_):
        raise ValueError("no such kernel")

    monkeypatch.setitem(command.STEPS, "parity", broken)
    file = tmp_path / "found.json"
    only = ["--only", "environment", "parity", "memory_checker"]
    assert command.main(["--dry-run", "--json", str(file), *only]) == 1
    steps = json.loads(file.read_text())["steps"]
    assert [step["ok"] for step in steps.values()] == [True, False, True]
    assert steps["parity"]["error"] == "ValueError: no such kernel" and "broken" in steps["parity"]["trace"]
    assert "failed: parity" in capsys.readouterr().out


def test_checks_can_fail(command, monkeypatch):
    """Each of them against a device that is wrong in the way that it looks for."""
    checks, s = command.checks, command.Subject(get("fakecupy:1"), True, True, "")
    gradient = checks.CharRNN.gradient

    def noisy(model, *args, **options):
        result = gradient(model, *args, **options)
        if model.backend.is_gpu:
            with model.backend.scope():
                model.grads.flat[:3] += 1e-4
        return result

    monkeypatch.setattr(checks.CharRNN, "gradient", noisy)
    assert not checks.parity(s)["ok"]

    kept = []

    def leaking(model, *args, **options):
        with model.backend.scope():
            kept.append(model.grads.flat.copy())
        return gradient(model, *args, **options)

    monkeypatch.setattr(checks.CharRNN, "gradient", leaking)
    assert not checks.memory(s)["ok"]

    def waiting(model, *args, **options):
        loss, state = gradient(model, *args, **options)
        float(loss)
        return loss, state

    monkeypatch.setattr(checks.CharRNN, "gradient", waiting)
    with pytest.raises(s.bk.xp.Violation, match="syncs"):
        checks.waits(s)


def test_graphs_that_are_missing_or_wrong_fail(command, monkeypatch):
    s, plain = command.Subject(get("fakecupy:1"), True, True, ""), graphs.Captured.gradient
    library = cublas.libraries["fakecupy"]
    monkeypatch.setattr(command.graphs, "CELLS", ["rnn"])
    monkeypatch.setitem(cublas.libraries, "fakecupy", object)
    assert not command.graphs.graphs(s)["ok"]
    monkeypatch.setitem(cublas.libraries, "fakecupy", library)
    assert command.graphs.graphs(s)["ok"]

    def stale(engine, x, targets, state=None, **options):
        return plain(engine, x, targets, None, **options)

    monkeypatch.setattr(graphs.Captured, "gradient", stale)
    assert not command.graphs.graphs(s)["ok"]


def test_without_a_gpu_it_says_so(command, capsys, tmp_path):
    if command.main(["--only", "environment", "--json", str(tmp_path / "found.json")]) == 0:
        pytest.skip("there is a GPU")
    assert "use device 'numpy'" in capsys.readouterr().err
