"""What a user installs and types first: a quick import, few dependencies, help for every command."""

import io
import os
import re
import statistics
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import minrnn
from minrnn.cli.main import COMMANDS

ROOT = Path(minrnn.__file__).parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


def python(*arguments):
    """stdout of a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, *arguments], env=ENVIRONMENT, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_costs_little_more_than_that_of_numpy():
    """Processor seconds, so that a busy machine changes nothing; importing is all computing once the disk is warm."""
    seconds = {"numpy": [], "minrnn": []}
    for _ in range(5):
        for module, found in seconds.items():
            code = f"import time; begin = time.process_time(); import {module}; print(time.process_time() - begin)"
            found.append(float(python("-c", code)))
    assert statistics.median(seconds["minrnn"]) - statistics.median(seconds["numpy"]) <= 0.060


HEAVY = "matplotlib torch cupy pooch anyascii tqdm argparse tomli_w tomllib safetensors scipy pandas unittest asyncio"


def test_import_brings_nothing_heavy():
    loaded = python("-c", "import sys, minrnn; print(*sys.modules)").split()
    assert "numpy" in loaded and "minrnn.kernels.lstm" in loaded
    assert sorted(set(HEAVY.split()) & set(loaded)) == []


def test_import_prints_nothing_and_starts_no_threads():
    code = "import threading, minrnn; assert threading.active_count() == 1; assert minrnn.CharRNN"
    assert python("-W", "error", "-c", code) == ""


PROJECT = ROOT / "pyproject.toml"
needs_checkout = pytest.mark.skipif(not PROJECT.is_file(), reason="not run from a checkout")


@needs_checkout
def test_dependencies_are_the_promised_few():
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    assert {re.match(r"[\w-]+", entry)[0] for entry in project["dependencies"]} == {
        *("numpy", "safetensors", "tqdm", "tomli-w", "threadpoolctl")
    }
    assert project["requires-python"] == ">=3.11"
    assert project["scripts"] == {"minrnn": "minrnn.cli.main:main"}


@needs_checkout
def test_a_wheel_is_small():
    files = [path for path in (ROOT / "minrnn").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.suffix for path in files} <= {".py", ".typed", ".md", ".toml"}
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.relative_to(ROOT))
    assert len(wheel.getvalue()) < 1_000_000


def test_version():
    assert python("-m", "minrnn", "--version") == f"minrnn {minrnn.__version__}\n"


def test_help_lists_every_command_and_opens_no_library():
    code = (
        "import sys\nsys.argv = ['minrnn', '--help']\nfrom minrnn.cli.main import main\n"
        "try: main()\nexcept SystemExit as stop: assert stop.code == 0\n"
        "print(*sys.modules)"
    )
    text = " ".join(python("-c", code).split())  # however the lines are broken
    for name, summary in COMMANDS.items():
        assert f" {name} {summary} " in text
    assert "examples:" in text and "tqdm" not in text.split() and "safetensors" not in text.split()


FLAGS = {
    "train": """--out --cell --layers --hidden --embed --dropout --seq --batch --batches --split --val-frac --optimizer
        --lr --momentum --weight-decay --clip-norm --clip-value --schedule --epochs --steps --time-limit --patience
        --eval-every --save-every --sample-every --log-every --init --seed --dtype --device --resume --init-from
        --config --print-config --json --quiet""",
    "sample": "-n --prime --prime-file --temperature --top-k --top-p --greedy --stop --num --seed",
    "eval": "--json --per-char --baseline",
    "gradcheck": "--seed --json",
    "info": "--json",
    "plot": "--output --x",
    "corpus": "",
    "doctor": "--json",
    "grade": """--class --csv --exec-module --exit-zero --explain --force --format --functions --gradcheck --hints
        --jobs --junit-skip --list-codes --make-gradescope --memory --min-score --practice --profile --require-sandbox
        --resume --roster --sandbox --sandbox-report --secret-file --seed --solution --spec --strict-shapes --timeout
        --out""",
}


def test_every_command_is_listed_here():
    assert set(FLAGS) == set(COMMANDS)


@pytest.mark.parametrize("command", FLAGS)
def test_help_of_every_command_shows_its_documented_flags(command, capsys):
    from minrnn.cli.main import main

    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    shown = capsys.readouterr().out
    assert stop.value.code == 0
    missing = [flag for flag in FLAGS[command].split() if not re.search(rf"(?<![\w-]){flag}(?![\w-])", shown)]
    assert missing == []


def test_module_and_script_are_the_same_command():
    assert python("-m", "minrnn", "train", "--help").startswith("usage: minrnn train ")
