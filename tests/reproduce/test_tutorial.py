"""The tutorial: its code runs, block after block, and says what it promises."""

import importlib
import re
import sys
from importlib import resources
from pathlib import Path

import pytest

TEXT = resources.files("minrnn").joinpath("tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
NAMES = ["x", "h", "Wi", "bi", "Wh", "bh"]


@pytest.fixture(scope="module")
def names():
    """What the blocks have defined, all of them run in one go."""
    found = {}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"tutorial.md, block {number + 1}", "exec"), found)
    return found


@pytest.fixture
def args(rng):
    """Arguments of concat_forward: T = 4, B = 3, D = 5, H = 6."""
    return [rng.standard_normal(shape) for shape in [(4, 3, 5), (3, 6), (11, 6), (6,), (6, 6), (6,)]]


def test_every_code_block_runs_and_the_checks_speak(names):
    assert len(BLOCKS) == TEXT.count("```python") == 7
    assert names["report"].ok and len(names["report"].rows) == 6 and not names["wrong"].ok


def test_the_table_that_is_shown_is_the_one_that_is_printed(names, args):
    """Names, shapes and verdicts, that is: rounding differs from machine to machine."""
    (shown,) = re.findall(r"^```text\n(.*?)\n…\n^```$", TEXT, re.DOTALL | re.MULTILINE)
    x, *others = args
    step = names["concat_step_forward"], names["concat_step_backward"]
    printed = str(names["check_gradients"](*step, [x[0], *others], names=NAMES)).splitlines()[:2]
    number = re.compile(r"\d\.\de[+-]\d\d")
    assert [number.sub("#", line) for line in printed] == [number.sub("#", line) for line in shown.splitlines()]


def test_one_step_is_a_sequence_of_one(names, args, rng, assert_close):
    x, h, *weights = args
    outputs, final, caches = names["concat_forward"](x[:1], h, *weights)
    step, cache = names["concat_step_forward"](x[0], h, *weights)
    assert_close(outputs[0], step)
    assert_close(final, step)
    dh = rng.standard_normal(step.shape)
    of_step = names["concat_step_backward"](dh, cache)
    for found, expected in zip(names["concat_backward"](None, dh, caches), of_step, strict=True):
        assert_close(found.reshape(expected.shape), expected)


def test_its_cell_is_the_concat_cell_of_the_recipe(names, args, rng, assert_close):
    sys.path.insert(0, str(Path(__file__).parents[2] / "scripts/reproduce"))
    recipe = importlib.import_module("fastai_models")
    *outputs, caches = names["concat_forward"](*args)
    *expected, cache = recipe.concat_forward(*args)
    upstreams = [rng.standard_normal(y.shape) for y in outputs]
    outputs += names["concat_backward"](*upstreams, caches)
    expected += recipe.concat_backward(*upstreams, cache)
    for found, value in zip(outputs, expected, strict=True):
        assert_close(found, value, 1e-12)
