"""Run folders: which checkpoint is meant, and loading a network from it."""

import json

import numpy as np
import pytest

from minrnn import CharRNN
from minrnn.backend import BackendError
from minrnn.config import Config
from minrnn.model.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from minrnn.runs import checkpoint_path, host_parameters, load_model, load_parameters, read_metrics
from minrnn.text import Vocabulary

VOCABULARY = Vocabulary("abcd")


def write(path, seed=0, **changes):
    """A checkpoint of a small GRU with distinct parameters for each seed; returns the network."""
    model = CharRNN(4, hidden_size=3, cell="gru", embedding_size=2, dtype="float64", seed=seed)
    content = {
        "model": model.settings,
        "vocabulary": VOCABULARY.to_json(),
        "config": {"hidden": 3, "cell": "gru", "embed": 2, "seq": 7},
        "training": {"step": 5},
    }
    content = {name: value for name, value in (content | changes).items() if value is not None}
    save_checkpoint(path, host_parameters(model), content)
    return model


@pytest.fixture
def run(tmp_path):
    write(tmp_path / "best.safetensors", seed=1)
    write(tmp_path / "last.safetensors", seed=2)
    return tmp_path


def test_folder_means_its_best_checkpoint_unless_the_last_is_asked_for(run):
    assert checkpoint_path(run) == run / "best.safetensors"
    assert checkpoint_path(str(run), "last") == run / "last.safetensors"


def test_folder_never_evaluated_means_its_last_checkpoint(run):
    (run / "best.safetensors").unlink()
    assert checkpoint_path(run) == run / "last.safetensors"


def test_last_is_never_replaced_by_best(run):
    (run / "last.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"holds no checkpoint \(yet\)"):
        checkpoint_path(run, "last")


def test_file_means_itself(run):
    for which in ("best", "last"):
        assert checkpoint_path(run / "last.safetensors", which) == run / "last.safetensors"


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=f"there is no run or checkpoint {tmp_path / 'none'}"):
        checkpoint_path(tmp_path / "none")
    with pytest.raises(CheckpointError, match=rf"{tmp_path} holds no checkpoint \(yet\): training saves"):
        checkpoint_path(tmp_path)


@pytest.mark.parametrize(("which", "seed"), [("best", 1), ("last", 2)])
def test_loaded_network_predicts_what_the_saved_one_did(run, which, seed):
    original = CharRNN(4, hidden_size=3, cell="gru", embedding_size=2, dtype="float64", seed=seed)
    loaded = load_model(run, which)
    assert loaded.path == run / f"{which}.safetensors" and loaded.vocabulary == VOCABULARY
    assert loaded.config == Config(hidden=3, cell="gru", embed=2, seq=7) and loaded.content["training"]["step"] == 5
    assert loaded.model.settings == original.settings
    np.testing.assert_array_equal(loaded.model.params.flat, original.params.flat)
    x = np.array([[0, 1], [3, 2], [1, 1]])
    assert loaded.model.forward(x, x)[0] == original.forward(x, x)[0]


def test_unknown_device_is_not_called_a_bad_checkpoint(run):
    with pytest.raises(BackendError, match="'tpu'"):
        load_model(run, device="tpu")


@pytest.mark.parametrize(
    "changes",
    [
        {"model": None},
        {"vocabulary": None},
        {"config": None},
        {"vocabulary": "[]"},
        {"vocabulary": json.dumps({"characters": "ba", "unknown": None})},
        {"model": {"vocab_size": 4, "hidden_size": 3, "cell": "transformer"}},
        {"model": {"vocab_size": 4, "hidden_size": 4, "cell": "gru", "embedding_size": 2}},
        {"model": {"vocab_size": 4, "hidden_size": 3, "cell": "lstm", "embedding_size": 2}},
        {"model": {"vocab_size": 4, "width": 3}},
        {"config": {"hiden": 3}},
    ],
    ids=str,
)
def test_checkpoint_that_holds_no_network_is_refused(run, changes):
    write(run / "best.safetensors", **changes)
    before = (run / "best.safetensors").read_bytes()
    with pytest.raises(CheckpointError, match=r"best\.safetensors does not hold a network that this version can read"):
        load_model(run)
    assert (run / "best.safetensors").read_bytes() == before


def test_parameters_are_copied_by_name_not_by_order():
    model, other = CharRNN(4, hidden_size=3, seed=1), CharRNN(4, hidden_size=3, seed=2)
    load_parameters(model, dict(reversed(host_parameters(other).items())))
    np.testing.assert_array_equal(model.params.flat, other.params.flat)
    model.params.flat[...] = 0
    assert other.params.flat.any()


def test_parameters_that_do_not_fit_are_named():
    model = CharRNN(4, hidden_size=3)
    arrays = host_parameters(model)
    with pytest.raises(ValueError, match=r"the parameter rnn\.1\.Wh is missing"):
        load_parameters(model, {name: a for name, a in arrays.items() if name != "rnn.1.Wh"})
    with pytest.raises(ValueError, match=r"rnn\.0\.b has shape \(1,\), the model wants \(12,\)"):
        load_parameters(model, arrays | {"rnn.0.b": np.zeros(1)})  # not spread over the 12


def test_host_parameters_are_copies():
    model = CharRNN(4, hidden_size=3)
    arrays = host_parameters(model)
    assert list(arrays) == list(model.params)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, model.params[name])
        assert not np.shares_memory(array, model.params.flat)


def test_metrics_are_read_in_order_and_a_last_line_cut_short_is_left_out(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2, "loss": 1.5}\n{"step": 3, "lo')
    assert read_metrics(tmp_path) == [{"step": 1}, {"step": 2, "loss": 1.5}]


def test_missing_metrics_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no .*metrics\.jsonl"):
        read_metrics(tmp_path)


def test_reading_a_run_writes_nothing(run):
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    load_model(run)
    load_checkpoint(run / "last.safetensors")
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
