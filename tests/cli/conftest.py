"""A small run on disk, made without training, and a way to call the command line."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from minrnn import CharRNN
from minrnn.build import load_data
from minrnn.cli.main import main
from minrnn.config import merge
from minrnn.model.checkpoint import save_checkpoint
from minrnn.runs import BEST, LAST, METRICS, host_parameters

ALPHABET = "abcdefgh \n"


@pytest.fixture
def make_run(tmp_path, rng):
    """make_run(name, text, **settings): a run folder whose best and last checkpoint differ.

    Returns its path, the config, the data and the best model.
    """

    def make(name="run", text=None, **settings):
        if text is None:
            walk = np.cumsum(rng.integers(-1, 2, 600)) % len(ALPHABET)
            text = "".join(ALPHABET[k] for k in walk)
        file = tmp_path / f"{name}.txt"
        file.write_bytes(text.encode("utf-8"))
        defaults = {"files": [str(file)], "hidden": 6, "batch": 4, "seq": 5, "val_frac": 0.2, "dtype": "float64"}
        config = merge(defaults | settings)
        data = load_data(config)
        folder = tmp_path / name
        folder.mkdir()
        models = {}
        for place, step in ((LAST, 40), (BEST, 30)):
            model = CharRNN(
                len(data.vocabulary),
                hidden_size=config.hidden,
                num_layers=config.layers,
                cell=config.cell,
                embedding_size=config.embed,
                dtype=config.dtype,
            )
            model.params.flat[...] = np.random.default_rng(step).standard_normal(model.params.flat.shape) * 0.5
            content = {
                "model": model.settings,
                "vocabulary": data.vocabulary.to_json(),
                "config": json.loads(json.dumps(dataclasses.asdict(config))),
                "training": {"step": step, "epoch": step / 20, "val_loss": 2.5},
                "data": {"sha256": data.sha256, "characters": len(text)},
                "versions": {"minrnn": "0.1.0", "python": "3.11.0", "numpy": "2.0.0"},
            }
            save_checkpoint(folder / place, host_parameters(model), content)
            models[place] = model
        lines = [{"event": "start", "schema": 1}]
        for step in range(10, 50, 10):
            lines.append({"step": step, "epoch": step / 20, "loss": 3 - step / 50, "elapsed_s": step * 0.5})
            if step % 20 == 0:
                lines.append({"step": step, "epoch": step / 20, "val_loss": 3.1 - step / 60, "elapsed_s": step * 0.5})
        (folder / METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        return SimpleNamespace(path=str(folder), file=file, config=config, data=data, model=models[BEST], models=models)

    return make


@pytest.fixture
def run(make_run):
    return make_run()


@pytest.fixture
def call(capsys):
    """call("eval", path, …): exit code, stdout and stderr of one command line; argparse's own exits included."""

    def command(*argv):
        capsys.readouterr()
        try:
            code = main([str(arg) for arg in argv])
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return command


@pytest.fixture
def refused(call):
    """refused(code, words, *argv): the command ends with this code, one line on stderr with these words, no output."""

    def check(code, words, *argv):
        result = call(*argv)
        assert result.code == code, result.err
        assert result.out == ""
        assert result.err.startswith("minrnn: error: ")
        assert result.err.count("\n") == 1
        for word in words.split(" | "):
            assert word in result.err
        return result

    return check
