"""Interrupted and resumed is bit for bit like never interrupted, wherever and however the run was cut off."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import minrnn
from minrnn import fit as fit_module
from minrnn.config import FIELDS, ConfigError, merge
from minrnn.fit import resume, start
from minrnn.model import CELLS
from minrnn.model.checkpoint import CheckpointError, load_checkpoint
from minrnn.optim import OPTIMIZERS
from minrnn.runs import read_metrics
from minrnn.sample import sample_text
from minrnn.text import TextError

TEXT = "".join(np.random.default_rng(0).choice(list("abcd \n"), size=600))
SMALL = {"hidden": 6, "seq": 5, "batch": 4, "dropout": 0.3, "steps": 45, "clip_norm": 0.3, "schedule": "cosine"}
OFTEN = {"log_every": 3, "save_every": 5, "eval_every": 8, "sample_every": 32}
CLOCK = {"elapsed_s", "chars_per_s"}


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """begin(name, **settings): 26 updates an epoch, in a folder of its own; short samples, no waiting for the disk."""
    monkeypatch.setattr(fit_module, "sample_text", lambda *args, n, **kwargs: sample_text(*args, n=n // 10, **kwargs))
    monkeypatch.setattr(os, "fsync", lambda _: None)
    path = tmp_path / "text.txt"
    path.write_text(TEXT)

    def make(name, **settings):
        return start(merge(SMALL | OFTEN, {"files": [str(path)]}, settings), tmp_path / name)

    return make


def checkpoint(path):
    """The arrays as bytes, and the content without what a clock decides."""
    arrays, content = load_checkpoint(path)
    progress = content.get("progress", {})
    for name in ("elapsed_s", "seconds", "metrics_bytes"):
        progress.pop(name, None)
    return {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in arrays.items()}, content


def lines(folder):
    """The metrics without clocks and without a word about resuming."""
    found = [line for line in read_metrics(folder) if line.get("event") != "resume"]
    return [{name: value for name, value in line.items() if name not in CLOCK} for line in found]


def assert_same_run(folder, reference):
    """Parameters, moments, state, random streams, progress, best network and metrics of two runs are equal."""
    assert lines(folder) == lines(reference)
    for name in ("last.safetensors", "best.safetensors"):
        (arrays, content), (expected_arrays, expected) = checkpoint(folder / name), checkpoint(reference / name)
        assert arrays.keys() == expected_arrays.keys()
        assert [n for n in arrays if arrays[n] != expected_arrays[n]] == []
        assert content == expected


def abandon(fit, at, texts=None):
    """Take `at` events, remember sampled texts, and drop the run as a crash would; whether there was an end."""
    run = fit.run()
    for event in itertools.islice(run, at):
        if event.kind == "sample" and texts is not None:
            assert texts.setdefault(event.data["step"], event.data["text"]) == event.data["text"]
        if event.kind == "end":
            return True
    run.close()
    return False


KINDS = [("consecutive", "tail"), ("random", "rows"), ("consecutive", "rows"), ("random", "tail")]
COMBINATIONS = [
    (cell, optimizer, *kind)
    for number, (cell, optimizer) in enumerate(itertools.product(CELLS, OPTIMIZERS))
    for kind in KINDS[2 * (number % 2) : 2 * (number % 2) + 2]
]


def test_combinations_cover_every_pair_of_choices():
    for a, b in itertools.combinations(range(4), 2):
        choices = [sorted({c[i] for c in COMBINATIONS}) for i in (a, b)]
        assert {(c[a], c[b]) for c in COMBINATIONS} == set(itertools.product(*choices))


@pytest.mark.parametrize(("cell", "optimizer", "batches", "split"), COMBINATIONS)
def test_abandoned_three_times_and_resumed(begin, cell, optimizer, batches, split):
    settings = {"cell": cell, "optimizer": optimizer, "batches": batches, "split": split}
    if optimizer in ("sgd", "rmsprop"):
        settings["momentum"] = 0.9
    reference = begin("reference", **settings)
    expected, found = {}, {}
    assert abandon(reference, 10_000, expected)

    fit = begin("cut", **settings)
    rng = np.random.default_rng(COMBINATIONS.index((cell, optimizer, batches, split)))
    for at in rng.integers(8, 28, size=3):  # the first save is the 7th event, the end about the 80th
        assert not abandon(fit, at, found)
        fit = resume(fit.folder, {})
        assert 0 < fit.trainer.step < 45
    assert abandon(fit, 10_000, found)
    assert found == expected
    assert_same_run(fit.folder, reference.folder)


EVERYTHING = {"steps": 14, "batch": 8, "save_every": 4, "eval_every": 6, "sample_every": 12, "batches": "random"}


def test_abandoned_at_every_single_event(begin):
    """Within a step, between its log, save, evaluation and sample, in the middle of an interval, at the very end."""
    reference = begin("reference", **EVERYTHING)
    kinds = [event.kind for event in reference.run()]
    assert ["log", "save", "eval", "sample"] in [kinds[k : k + 4] for k in range(len(kinds))]
    assert reference.trainer.epoch == 1
    for at in range(kinds.index("save") + 1, len(kinds)):
        fit = begin(f"cut{at}", **EVERYTHING)
        abandon(fit, at)
        fit = resume(fit.folder, {})
        assert abandon(fit, 10_000)
        assert_same_run(fit.folder, reference.folder)


def test_interrupted_after_every_single_step(begin):
    """A signal saves wherever it comes, unfinished averages included."""
    reference = begin("reference", **EVERYTHING)
    list(reference.run())
    fit, ends = begin("cut", **EVERYTHING), []
    while ends[-1:] != ["finished"]:
        for event in fit.run():
            if event.kind == "step":
                fit.stop_signal = signal.SIGINT
        ends.append(event.data["reason"])
        fit = resume(fit.folder, {})
    assert len(ends) >= 14
    assert_same_run(fit.folder, reference.folder)


def test_what_was_done_at_a_step_is_not_done_again(begin):
    fit, found = begin("cut", **EVERYTHING), []
    for event in fit.run():
        found.append((event.kind, event.data["step"]))
        if found[-1] == ("step", 12):  # where everything is due
            fit.stop_signal = signal.SIGINT
    assert found[-7:] == [(kind, 12) for kind in ("step", "log", "save", "eval", "sample", "save", "end")]
    again = next(iter(resume(fit.folder, {}).run()))
    assert (again.kind, again.data["step"]) == ("step", 13)


def test_interrupted_before_the_first_step(begin):
    reference, fit = begin("reference"), begin("cut")
    list(reference.run())
    fit.stop_signal = signal.SIGTERM
    assert [event.kind for event in fit.run()] == ["save", "end"]
    list(resume(fit.folder, {}).run())
    assert_same_run(fit.folder, reference.folder)


def test_patience_and_best_survive(begin):
    settings = {"steps": 200, "patience": 4, "lr": 0.5, "optimizer": "sgd", "eval_every": 2, "schedule": "constant"}
    reference = begin("reference", **settings)
    end = list(reference.run())[-1].data
    assert end["reason"] == "patience" and end["step"] < 200
    fit = begin("cut", **settings)
    while not abandon(fit, 20):
        fit = resume(fit.folder, {})
    assert fit.trainer.step == end["step"]
    assert_same_run(fit.folder, reference.folder)


def test_longer_after_the_end_equals_long_from_the_start(begin):
    once, twice = begin("once", steps=40, schedule="constant"), begin("twice", steps=23, schedule="constant")
    list(once.run())
    list(twice.run())
    fit = resume(twice.folder, {"steps": 40})
    list(fit.run())
    assert checkpoint(once.folder / "last.safetensors")[0] == checkpoint(twice.folder / "last.safetensors")[0]
    assert fit.trainer.content() == once.trainer.content()


def test_finished_run_is_left_as_it_is(begin):
    fit = begin("run", steps=12)
    list(fit.run())
    before = lines(fit.folder), checkpoint(fit.folder / "last.safetensors")
    assert [event.kind for event in resume(fit.folder, {}).run()] == ["save", "end"]
    assert (lines(fit.folder), checkpoint(fit.folder / "last.safetensors")) == before


def everything(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def half_done(begin):
    """The folder of a run of 20 of 45 updates, cell rnn, rule sgd."""
    fit = begin("run", cell="rnn", optimizer="sgd", momentum=0.5, schedule="constant")
    abandon(fit, 34)
    assert load_checkpoint(fit.folder / "last.safetensors")[1]["trainer"]["step"] == 20
    return fit.folder


OTHER = {"files": ("/other.txt",), "cell": "gru", "optimizer": "rmsprop", "init": "orthogonal"}
FIXED = [name for name, field in FIELDS.items() if field.metadata["fixed"]]


def another(name):
    """A valid value of a fixed setting that is not the one in use."""
    default, choices = FIELDS[name].default, FIELDS[name].metadata["choices"]
    if name in OTHER or choices:
        return OTHER.get(name, (choices or ("",))[-1])
    now = {**SMALL, "momentum": 0.5}.get(name, default)
    return not now if type(default) is bool else now + 1 if type(default) is int else now / 2 + 0.0625


@pytest.mark.parametrize("name", FIXED)
def test_fixed_setting_cannot_change(half_done, name):
    before = everything(half_done)
    with pytest.raises(ConfigError, match=f"{name} was .* and cannot become .* in a resumed run"):
        resume(half_done, {name: another(name)})
    assert everything(half_done) == before


def test_fixed_settings_at_their_old_values_are_no_change(half_done):
    config = load_checkpoint(half_done / "last.safetensors")[1]["config"]
    assert resume(half_done, {name: config[name] for name in FIXED}).trainer.step == 20


def test_free_settings_can_change(half_done):
    changes = {"lr": 0.01, "steps": 30, "log_every": 2, "save_every": 4, "schedule": "exponential", "patience": 99}
    fit = resume(half_done, changes)
    events = list(fit.run())
    assert events[-1].data == {"reason": "finished", "step": 30}
    logged = [(event.data["step"], event.data["lr"]) for event in events if event.kind == "log"]
    assert logged[-5:] == [(step, 0.01) for step in (22, 24, 26, 28, 30)]
    assert [event.data["step"] for event in events if event.kind == "save"] == [24, 28, 30]
    config = load_checkpoint(half_done / "last.safetensors")[1]["config"]
    assert {name: config[name] for name in changes} == changes


def test_contradiction_in_a_change_is_refused(half_done):
    before = everything(half_done)
    for changes, message in (
        ({"lr": -1.0}, "lr = -1.0"),
        ({"epochs": 2, "steps": 3}, "exclude"),
        ({"stesp": 3}, "steps"),
    ):
        with pytest.raises(ConfigError, match=message):
            resume(half_done, changes)
    assert everything(half_done) == before


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (TEXT[::-1], TextError, "the text has changed since the checkpoint was made"),
        (TEXT + "a", TextError, "the text has changed since the checkpoint was made"),
        (TEXT.replace("a", "ä"), CheckpointError, "trained on 6 characters, the text now has 6: resume needs the same"),
        (TEXT + "z", CheckpointError, "trained on 6 characters, the text now has 7: resume needs the same text"),
        (None, TextError, "text.txt does not exist"),
    ],
    ids=["order", "length", "character", "alphabet", "gone"],
)
def test_changed_text_is_refused(half_done, text, error, message):
    path = half_done.parent / "text.txt"
    path.unlink()
    if text is not None:
        path.write_text(text, encoding="utf-8")
    before = everything(half_done)
    with pytest.raises(error, match=message):
        resume(half_done, {})
    assert everything(half_done) == before


def test_what_cannot_be_resumed_is_named(half_done, begin, tmp_path):
    fresh = begin("fresh").folder
    for place, message in (
        (tmp_path / "none", "there is no run or checkpoint"),
        (fresh, r"holds no checkpoint \(yet\)"),
        (half_done / "last.safetensors", "is a file: --resume wants the folder of a run"),
    ):
        with pytest.raises(CheckpointError, match=message):
            resume(place, {})
    last = half_done / "last.safetensors"
    os.replace(half_done / "best.safetensors", last)
    before = everything(half_done)
    with pytest.raises(CheckpointError, match="holds a network but no run to go on with"):
        resume(half_done, {})
    last.write_bytes(last.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="truncated, damaged"):
        resume(half_done, {})
    assert everything(half_done) == before | {"last.safetensors": before["last.safetensors"][:-1]}


def test_lines_written_after_the_checkpoint_are_taken_back(half_done):
    before = [line for line in read_metrics(half_done) if line.get("step", 0) <= 18]
    with open(half_done / "metrics.jsonl", "a") as file:
        file.write('{"step": 99, "loss": 1.0}\n{"step": 1')
    resume(half_done, {})
    *kept, resumed = read_metrics(half_done)
    assert kept == before and (resumed["event"], resumed["step"]) == ("resume", 20)


def test_metrics_that_were_lost_are_not_made_up(half_done):
    path = half_done / "metrics.jsonl"
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    resume(half_done, {})
    assert b"\0" not in path.read_bytes() and len(read_metrics(half_done)) == 2


# The same with real processes and the real signal.

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(minrnn.__file__).parents[1])}
ARGUMENTS = "--hidden 8 --seq 5 --batch 4 --dropout 0.3 --steps 200 --log-every 3 --save-every 8 --eval-every 11"


def launch(*arguments):
    command = [sys.executable, "-m", "minrnn", "train", "--quiet", *map(str, arguments)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def killed(folder, arguments, after):
    """Start a run and kill it some lines of metrics later; whether it was still running."""
    with launch(*arguments, "--out", folder) as process:
        path = folder / "metrics.jsonl"
        while process.poll() is None:
            if path.exists() and path.read_bytes().count(b"\n") >= after and (folder / "last.safetensors").exists():
                break
            time.sleep(0.001)
        process.kill()
    return process.returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "rmsprop", "adam", "amsgrad", "adamw"])
@pytest.mark.parametrize(
    ("cell", "options", "after"),
    [
        ("lstm", ["--embed", "5", "--schedule", "restarts"], 20),
        ("gru", ["--batches", "random"], 37),
        ("rnn", ["--split", "rows", "--clip-norm", "0.5"], 54),
    ],
)
def test_killed_process_resumes_bit_for_bit(tmp_path, cell, optimizer, options, after):
    (tmp_path / "text.txt").write_text(TEXT)
    momentum = ["--momentum", "0.9"] if optimizer in ("sgd", "rmsprop") else []
    arguments = [
        tmp_path / "text.txt",
        *ARGUMENTS.split(),
        "--cell",
        cell,
        "--optimizer",
        optimizer,
        *momentum,
        *options,
    ]
    reference = launch(*arguments, "--sample-every", "20", "--out", tmp_path / "reference")
    attempts = (tmp_path / f"cut{k}" for k in range(5))
    folder = next(f for f in attempts if killed(f, [*arguments, "--sample-every", "20"], after))
    assert reference.communicate() == (b"", b"") and reference.returncode == 0
    assert 0 < load_checkpoint(folder / "last.safetensors")[1]["trainer"]["step"] < 200
    with launch("--resume", folder) as resumed:
        assert resumed.communicate() == (b"", b"") and resumed.returncode == 0
    assert_same_run(folder, tmp_path / "reference")
