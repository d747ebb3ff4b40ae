"""The texts in data/: generated ones are what the command writes, numbers in the README are true."""

import math
import re
from pathlib import Path

import pytest

from minrnn.text import SOURCES, corpus_text, read_text

DATA = Path(__file__).parents[2] / "data"
NAMES = ["embedded-reber", "even-process", "anbn", "dyck-2", "markov-3"]


@pytest.mark.parametrize("name", NAMES)
def test_generated_files_are_reproduced_byte_for_byte(name):
    assert (DATA / f"{name}.txt").read_bytes() == corpus_text(name, 30_000, seed=1).encode()


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_states_the_true_numbers(name):
    row = next(line for line in (DATA / "README.md").read_text().splitlines() if f"`{name}.txt`" in line)
    *_, alphabet, rate, optimum, _ = (cell.strip() for cell in row.split("|"))
    text, costs = SOURCES[name].generate(30_000, 1)
    assert int(alphabet) == len(set(text))
    assert float(optimum) == pytest.approx(costs.mean(), abs=5e-7)
    nats, bits = re.fullmatch(r"(\S+) \((\S+)\)", rate).groups()
    assert float(nats) == pytest.approx(SOURCES[name].entropy_rate, abs=5e-7)
    numerator, _, denominator = bits.partition("/")
    expected = SOURCES[name].entropy_rate / math.log(2)
    assert float(numerator) / float(denominator or 1) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("path", sorted(DATA.glob("*.txt")), ids=lambda path: path.stem)
def test_every_text_is_listed_and_plain(path):
    assert f"`{path.name}`" in (DATA / "README.md").read_text()
    text = read_text(path)
    assert len(text) >= 10_000
    assert "\r" not in text
