"""The update rules against trajectories that PyTorch made (tests/fixtures/optimizers.json)."""

import json
from pathlib import Path

import numpy as np
import pytest

from minrnn import optim

FILE = Path(__file__).parent.parent / "fixtures" / "optimizers.json"
TORCH = json.loads(FILE.read_text(encoding="utf-8"))
CASES = {case["name"]: case for case in TORCH["cases"]}
OUR_NAME = {"initial_accumulator_value": "initial_accumulator"}


def make(case):
    options = {OUR_NAME.get(name, name): value for name, value in case["options"].items()}
    return getattr(optim, case["rule"])(lr=case["lr"], **options)


@pytest.mark.parametrize("name", CASES)
def test_fifty_steps_with_changing_rate_follow_pytorch(name):
    case = CASES[name]
    optimizer, params = make(case), np.array(TORCH["start"])
    grads, factors, expected = np.array(TORCH["grads"]), TORCH["lr_factors"], np.array(case["params"])
    assert len(expected) == len(grads) == len(factors) == 50
    for t in range(50):
        optimizer.step(params, grads[t], lr=case["lr"] * factors[t])
        np.testing.assert_allclose(params, expected[t], rtol=1e-10, atol=1e-10, err_msg=f"step {t}")


@pytest.mark.parametrize("name", CASES)
def test_float32_follows_the_float64_trajectory(name):
    case = CASES[name]
    optimizer, params = make(case), np.array(TORCH["start"], np.float32)
    for g, factor in zip(np.array(TORCH["grads"], np.float32), TORCH["lr_factors"], strict=True):
        optimizer.step(params, g, lr=case["lr"] * factor)
    assert params.dtype == np.float32
    np.testing.assert_allclose(params, case["params"][-1], rtol=1e-4, atol=1e-4)
