"""`minrnn doctor`: findings, never failures."""

import json

import numpy as np

from minrnn import backend, kernels


def test_findings_are_those_of_this_machine(call, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    result = call("doctor", "--json")
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    assert found["numpy"] == np.__version__
    assert found["threads"]["OPENBLAS_NUM_THREADS"] == "3"
    assert found["cpus"]["present"] >= found["cpus"]["usable"] >= 1
    assert found["sgemm_gflops"] > 0
    assert found["gradients"].startswith("agree")
    assert "safetensors" in found["packages"]


def test_gpu_finding_is_the_message_of_the_backend(call, monkeypatch):
    def none(spec="numpy"):
        if spec == "cupy":
            raise backend.BackendError("no GPU today")
        return real(spec)

    real = backend.get
    monkeypatch.setattr(backend, "get", none)
    result = call("doctor")
    assert result.code == 0
    assert "gpu           no GPU today\n" in result.out


def test_missing_package_is_a_finding(call, monkeypatch):
    from minrnn.cli import doctor

    monkeypatch.setattr(doctor, "PACKAGES", ("numpy", "surely-not-a-package"))
    assert json.loads(call("doctor", "--json").out)["packages"] == {
        "numpy": np.__version__,
        "surely-not-a-package": "not installed",
    }


def test_broken_arithmetic_is_named(call, monkeypatch):
    right = kernels.lstm_backward

    def wrong(*args):
        return tuple(None if g is None else g * 1.01 for g in right(*args))

    monkeypatch.setattr(kernels, "lstm_backward", wrong)
    assert json.loads(call("doctor", "--json").out)["gradients"].startswith("WRONG")


def test_text_for_people_has_a_line_for_every_finding(call):
    out = call("doctor").out
    names = [line.split()[0] for line in out.splitlines()]
    assert names == list(json.loads(call("doctor", "--json").out))
