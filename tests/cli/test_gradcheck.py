"""`minrnn gradcheck`: everything is in the table, and a wrong gradient is seen."""

import json
import time

import numpy as np
import pytest

from minrnn import backend, kernels
from minrnn.cli import gradcheck as command
from minrnn.model import CharRNN

CHECKS = [
    "linear, dense input",
    "linear, ids",
    *("sigmoid", "tanh", "relu"),
    "dropout, one mask",
    "softmax cross-entropy",
    "softmax cross-entropy with mask",
    *(
        f"{cell}, {form}, {x}"
        for cell in ("rnn tanh", "rnn relu", "lstm", "gru", "gru-before")
        for form in ("sequence", "step")
        for x in ("dense input", "ids")
    ),
    *(
        f"network of two {cell} layers, {start}, dropout"
        for cell in ("tanh rnn", "relu rnn", "lstm", "gru", "gru-before")
        for start in ("one-hot", "embedding")
    ),
]


def test_every_kernel_and_network_is_checked_and_passes_in_time(call):
    begin = time.perf_counter()
    result = call("gradcheck", "--json")
    assert time.perf_counter() - begin < 5
    found = json.loads(result.out)
    assert result.code == 0
    assert found["ok"]
    assert [check["check"] for check in found["checks"]] == CHECKS
    names = {check["check"]: [row["name"] for row in check["gradients"]] for check in found["checks"]}
    assert names["lstm, sequence, dense input"] == ["dx", "dh0", "dc0", "dWx", "dWh", "db"]
    assert names["gru, step, ids"] == ["dh0", "dWx", "dWh", "db", "dbhn"]
    assert {"dembedding.W", "drnn.1.bhn", "ddecoder.b", "dh0 of layer 0", "all"} <= set(
        names["network of two gru layers, embedding, dropout"]
    )


def test_table_for_people(call):
    result = call("gradcheck", "--seed", 3)
    assert result.code == 0
    assert all(f"{name}\n" in result.out for name in CHECKS)
    assert f"in {len(CHECKS)} checks" in result.out.splitlines()[-1]
    assert "all agree" in result.out.splitlines()[-1]


@pytest.mark.parametrize("seed", range(4))
def test_nothing_that_is_checked_is_zero(seed):
    # A gradient that vanishes says nothing. (The smallest here are those of an initial state behind two layers.)
    for name, report in command.checks(np.random.default_rng(seed), backend.get()):
        assert all(row.largest > 1e-4 for row in report.rows), name


def test_wrong_gradient_is_code_1_and_named(call, monkeypatch):
    right = kernels.sigmoid_backward
    monkeypatch.setattr(kernels, "sigmoid_backward", lambda dy, cache: (right(dy, cache)[0] * 1.001,))
    result = call("gradcheck")
    assert result.code == 1
    assert "WRONG: sigmoid; largest" in result.out.splitlines()[-1]
    result = call("gradcheck", "--json")
    assert result.code == 1
    found = json.loads(result.out)
    assert [check["check"] for check in found["checks"] if not check["ok"]] == ["sigmoid"]
    assert not found["ok"]


def test_ignored_upstream_of_the_final_state_is_seen_in_every_network(call, monkeypatch):
    right = CharRNN.backward

    def forgetful(self, cache, dloss=1.0, dstate=None):
        return right(self, cache, dloss, None)  # drops what comes from the following chunk

    monkeypatch.setattr(CharRNN, "backward", forgetful)
    found = json.loads(call("gradcheck", "--json").out)
    wrong = [check["check"] for check in found["checks"] if not check["ok"]]
    assert wrong == [name for name in CHECKS if name.startswith("network")]


def test_seed_is_checked(refused):
    refused(2, "--seed -1", "gradcheck", "--seed", "-1")
