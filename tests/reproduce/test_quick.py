"""Every recipe in its quick mode, as it is typed: each variant meets its own pass line, and the results are written.

That a recipe which learns nothing fails is tested in the file of the recipe.
"""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "scripts/reproduce"
RECIPES = ("charrnn", "lyrics_lstm", "andersen", "lyrics_rnn", "fastai")


@pytest.mark.parametrize("recipe", RECIPES)
def test_quick_mode_passes_on_the_texts_of_the_project(recipe, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    variants = list(importlib.import_module(recipe).VARIANTS)
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{recipe}.py"), "--quick", "--seed", "3", "--out", str(tmp_path / "out.json")],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "MINRNN_THREADS": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [result["variant"] for result in results] == variants
    for result in results:
        assert (result["mode"], result["seed"], result["passed"]) == ("quick", 3, True)
        assert result["curve"] and result["checks"] and result["configuration"] and result["seconds"]["wall"] > 0
