"""The training loop: what happens at which step, what is written, and when it ends."""

import json
import math
from itertools import islice

import numpy as np
import pytest

from minrnn import fit as fit_module
from minrnn.build import load_data
from minrnn.config import ConfigError, merge, read_toml
from minrnn.evaluate import Evaluation, evaluate
from minrnn.fit import resume, start
from minrnn.model.checkpoint import CheckpointError, load_checkpoint
from minrnn.runs import load_model
from minrnn.text import beginnings
from minrnn.train import Diverged

TEXT = "".join(np.random.default_rng(0).choice(list("abcd \n"), size=600))
SMALL = {"hidden": 6, "layers": 1, "seq": 5, "batch": 4, "steps": 12, "eval_every": 0, "save_every": 0, "log_every": 4}


@pytest.fixture
def begin(tmp_path):
    """begin(name, **settings): a small run on 600 characters, 26 updates an epoch, in a folder of its own."""
    path = tmp_path / "text.txt"
    path.write_text(TEXT)

    def make(name="run", *, init_from=None, **settings):
        return start(merge(SMALL | {"files": [str(path)]}, settings), tmp_path / name, init_from=init_from)

    return make


def strict(text):
    """JSON without the NaN and Infinity that Python's reader would accept."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def metrics(fit):
    return [strict(line) for line in (fit.folder / "metrics.jsonl").read_text().splitlines()]


def everything(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def events(fit):
    """What happened, in order: ("step", 1), …"""
    return [(event.kind, event.data["step"]) for event in fit.run()]


def test_run_folder_opens_with_configuration_and_versions(begin):
    fit = begin(lr=0.0123, cell="gru")
    assert sorted(everything(fit.folder)) == ["config.toml", "metrics.jsonl"]
    assert merge(read_toml(fit.folder / "config.toml")) == fit.config
    (line,) = metrics(fit)
    assert (line["event"], line["schema"]) == ("start", 1)
    assert merge(line["config"]) == fit.config
    assert set(line["versions"]) == {"minrnn", "python", "numpy"} and line["versions"]["numpy"] == np.__version__


def test_order_of_events(begin):
    fit = begin(steps=13, log_every=2, save_every=3, eval_every=4, sample_every=6)
    due = {"log": (2, 4, 6, 8, 10, 12), "save": (3, 6, 9, 12), "eval": (4, 8, 12), "sample": (6, 12)}
    expected = []
    for step in range(1, 14):
        expected += [("step", step)] + [(kind, step) for kind, steps in due.items() if step in steps]
    assert events(fit) == [*expected, ("log", 13), ("eval", 13), ("save", 13), ("end", 13)]


def test_nothing_is_done_twice_at_the_last_step(begin):
    fit = begin(steps=4, log_every=2, save_every=2, eval_every=2)
    steps = [("step", 3), ("step", 4)]
    assert events(fit)[5:] == [*steps, ("log", 4), ("save", 4), ("eval", 4), ("save", 4), ("end", 4)]
    assert [line["step"] for line in metrics(fit)[1:]] == [2, 2, 4, 4]


def test_lines_have_exactly_the_documented_keys(begin):
    fit = begin(eval_every=6)
    list(fit.run())
    training = {"step", "epoch", "loss", "bpc", "grad_norm", "clipped", "lr", "chars_per_s", "elapsed_s"}
    validation = {"step", "epoch", "val_loss", "bpc", "elapsed_s"}
    lines = metrics(fit)[1:]
    assert [set(line) for line in lines] == [training, validation, training, training, validation]
    for line in lines:
        loss = line.get("loss", line.get("val_loss"))
        assert line["bpc"] == pytest.approx(loss / math.log(2)) and 0 < loss < 3
        assert line["epoch"] == pytest.approx(line["step"] / 26, abs=1e-4)
    elapsed = [line["elapsed_s"] for line in lines]
    assert elapsed == sorted(elapsed) and elapsed[0] > 0


def test_every_line_is_on_disk_when_its_event_comes(begin):
    fit = begin(eval_every=3)
    for event in fit.run():
        if event.kind == "log":
            assert metrics(fit)[-1] == event.data
        elif event.kind == "eval":
            assert metrics(fit)[-1] == {name: value for name, value in event.data.items() if name != "best"}


def test_line_is_the_average_since_the_line_before(begin, monkeypatch):
    fit = begin(steps=10, log_every=4, clip_norm=0.25, lr=0.1, warmup=8)
    seen, original = [], fit.trainer.train_step
    monkeypatch.setattr(fit.trainer, "train_step", lambda: seen.append(original()) or seen[-1])
    clock = iter(range(1000))
    monkeypatch.setattr(fit_module.time, "perf_counter", lambda: next(clock) / 2)  # every update takes half a second
    list(fit.run())
    assert {bool(r.clipped) for r in seen} == {False, True}
    lines = [line for line in metrics(fit) if "loss" in line]
    for line, part in zip(lines, (seen[:4], seen[4:8], seen[8:]), strict=True):
        assert line["loss"] == pytest.approx(np.mean([r.loss for r in part]))
        assert line["grad_norm"] == pytest.approx(np.mean([r.grad_norm for r in part]))
        assert line["clipped"] == np.mean([bool(r.clipped) for r in part])
        assert line["lr"] == part[-1].lr
        assert line["chars_per_s"] == 5 * 4 / 0.5


def test_looking_never_changes_the_training(begin):
    """Logging, saving, evaluating and sampling all the time, or never: the same network, state and streams."""
    quiet = begin("quiet", steps=40, dropout=0.3, log_every=1000)
    busy = begin("busy", steps=40, dropout=0.3, log_every=1, save_every=1, eval_every=1, sample_every=9)
    for fit in (quiet, busy):
        list(fit.run())
    np.testing.assert_array_equal(quiet.trainer.model.params.flat, busy.trainer.model.params.flat)
    np.testing.assert_array_equal(np.array(quiet.trainer.state), np.array(busy.trainer.state))
    assert quiet.trainer.content() == busy.trainer.content()


def test_validation_is_that_of_the_held_out_text_from_zero_state(begin):
    fit = begin(eval_every=6, dropout=0.4)
    for event in fit.run():
        if event.kind == "eval":
            state = [a.copy() for layer in fit.trainer.state for a in layer]
            data = load_data(fit.config)  # another copy of the text, one column at a time: state carried throughout
            loss = evaluate(fit.trainer.model, data.split.val, 1).nats_per_char
            assert event.data["val_loss"] == pytest.approx(loss, rel=1e-5)
            np.testing.assert_array_equal(state, [a for layer in fit.trainer.state for a in layer])
    assert fit.progress.val_loss == event.data.get("val_loss", fit.progress.val_loss)


def test_validation_scores_as_many_characters_as_the_setting_says(begin):
    losses = {}
    for limit in (0, 10**6, 12):
        fit = begin(f"run{limit}", eval_chars=limit, val_frac=0.2)
        list(fit.run())
        losses[limit] = fit.progress.val_loss
        part = beginnings(fit.data.split.val, limit)
        assert fit.progress.val_loss == evaluate(fit.trainer.model, part, 5).nats_per_char
    assert losses[0] == losses[10**6] != losses[12]


@pytest.fixture
def scripted(monkeypatch):
    """scripted(losses): evaluations give these, one after the other."""

    def make(losses):
        remaining = iter(losses)
        monkeypatch.setattr(fit_module, "evaluate", lambda *_: Evaluation(next(remaining), 100))

    return make


def test_best_is_kept_from_the_step_where_it_was(begin, scripted):
    scripted([1.5, 1.2, 1.2, 1.4])
    fit = begin(steps=8, eval_every=2)
    bests, params = [], {}
    for event in fit.run():
        params[fit.trainer.step] = {name: a.copy() for name, a in fit.trainer.model.params.items()}
        if event.kind == "eval":
            bests.append(event.data["best"])
    assert bests == [True, True, False, False]  # equal is not better
    arrays, content = load_checkpoint(fit.folder / "best.safetensors")
    assert set(arrays) == set(params[4])
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, params[4][name])
    expected = {"step": 4, "epoch": 0.1538, "val_loss": 1.2, "best_val_loss": 1.2, "best_step": 4}
    assert content["training"] == expected
    training = load_checkpoint(fit.folder / "last.safetensors")[1]["training"]
    assert training == {"step": 8, "epoch": 0.3077, "val_loss": 1.4, "best_val_loss": 1.2, "best_step": 4}


def test_checkpoints_can_be_used(begin):
    fit = begin(eval_every=6)
    list(fit.run())
    last = load_model(fit.folder, "last")
    np.testing.assert_array_equal(last.model.params.flat, fit.trainer.model.params.flat)
    assert last.vocabulary == fit.data.vocabulary and last.config == fit.config
    best = load_model(fit.folder)
    found = evaluate(best.model, fit.data.split.val, fit.config.seq).nats_per_char
    assert found == best.content["training"]["val_loss"] == fit.progress.best_val_loss


def test_patience_counts_evaluations_since_the_best(begin, scripted):
    scripted([1.5, 1.6, 1.4, 1.4, 1.41, 1.0])
    fit = begin(steps=100, eval_every=2, patience=2)
    assert list(fit.run())[-1].data == {"reason": "patience", "step": 10}
    assert (fit.folder / "last.safetensors").exists()


def test_validation_that_is_not_finite_is_never_the_best(begin, scripted):
    scripted([math.nan, math.inf, 1.5, math.nan])
    fit = begin(steps=8, eval_every=2)
    best = [event.data["best"] for event in fit.run() if event.kind == "eval"]
    assert best == [False, False, True, False]
    lines = [line for line in metrics(fit) if "val_loss" in line]
    assert [line["val_loss"] for line in lines] == [None, None, 1.5, None]
    assert [line["bpc"] is None for line in lines] == [True, True, False, True]


def test_steps_and_epochs(begin):
    assert list(begin("a", steps=7).run())[-1].data == {"reason": "finished", "step": 7}
    fit = begin("b", steps=0, epochs=2)
    assert list(fit.run())[-1].data == {"reason": "finished", "step": 52}
    assert fit.trainer.epochs_done == 2.0


def test_time_limit_ends_the_run_after_a_last_evaluation_and_save(begin, monkeypatch):
    fit = begin(steps=0, time_limit=5.0, eval_every=1000)
    now = 100.0

    def train_step(original=fit.trainer.train_step):
        nonlocal now
        now += 1.5
        return original()

    monkeypatch.setattr(fit_module.time, "monotonic", lambda: now)
    monkeypatch.setattr(fit.trainer, "train_step", train_step)
    found = events(fit)
    assert found[-4:] == [("log", 4), ("eval", 4), ("save", 4), ("end", 4)]
    content = load_checkpoint(fit.folder / "last.safetensors")[1]
    assert content["progress"]["elapsed_s"] == 6.0 and metrics(fit)[-1]["elapsed_s"] == 6.0
    again = list(islice(resume(fit.folder, {}).run(), 9))
    assert again[-1].data == {"reason": "time limit", "step": 4}  # the time spent before counts


def test_first_of_several_limits_ends_the_run(begin):
    fit = begin(steps=3, time_limit=1000.0)
    assert list(fit.run())[-1].data == {"reason": "finished", "step": 3}


def test_without_held_out_text_there_is_no_evaluation(begin):
    fit = begin(val_frac=0.0, eval_every=2)
    assert not {kind for kind, _ in events(fit)} & {"eval"}
    assert sorted(everything(fit.folder)) == ["config.toml", "last.safetensors", "metrics.jsonl"]


def test_samples_are_text_of_the_vocabulary_and_repeatable(begin):
    texts = []
    for name in ("a", "b"):
        fit = begin(name, sample_every=6)
        texts.append([event.data["text"] for event in fit.run() if event.kind == "sample"])
    assert texts[0] == texts[1] and texts[0][0] != texts[0][1]
    assert all(len(text) == 200 and set(text) <= set(TEXT) for text in texts[0])


def test_signal_saves_after_the_step_and_leaves_the_rest_undone(begin):
    fit = begin(steps=100, log_every=4, eval_every=100)
    found = []
    for event in fit.run():
        found.append((event.kind, event.data["step"]))
        if found[-1] == ("step", 6):
            fit.stop_signal = 2
    assert found[-3:] == [("step", 6), ("save", 6), ("end", 6)] and event.data["reason"] == "interrupted"
    assert [line["step"] for line in metrics(fit)[1:]] == [4]
    content = load_checkpoint(fit.folder / "last.safetensors")[1]
    assert content["trainer"]["step"] == 6 and content["progress"]["steps"] == 2  # 5 and 6 wait for their line


def poison(fit, monkeypatch, at, value):
    """The update `at` (from 1) multiplies every parameter by `value`."""
    optimizer, original = fit.trainer.optimizer, fit.trainer.optimizer.step

    def step(params, grads, lr):
        original(params, grads, lr)
        if fit.trainer.step + 1 == at:
            params *= value

    monkeypatch.setattr(optimizer, "step", step)


RUIN = [math.nan, math.inf, 1e30]


@pytest.mark.parametrize("value", RUIN)
@pytest.mark.parametrize("seen_by", ["step", "save", "evaluation", "sample", "end"])
def test_ruined_network_ends_the_run_and_keeps_the_last_good_checkpoint(begin, monkeypatch, value, seen_by):
    """Whoever looks first after the bad update must stop: nothing ruined is saved, evaluated or sampled."""
    every = {"save": {"save_every": 1}, "evaluation": {"eval_every": 6}, "sample": {"sample_every": 6}}
    settings = {"save_every": 4, "steps": 6 if seen_by == "end" else 100} | every.get(seen_by, {})
    fit = begin(val_frac=0.3, **settings)
    poison(fit, monkeypatch, 6, value)
    good, last = {}, fit.folder / "last.safetensors"
    with pytest.raises(Diverged) as error:
        for event in fit.run():
            if event.kind == "save":
                good = {event.data["step"]: last.read_bytes()}
    (step, data), at = *good.items(), fit.trainer.step
    assert (step, at) == (5 if seen_by == "save" else 4, 7 if seen_by == "step" else 6)
    assert f"training diverged at step {at}: loss " in str(error.value)
    assert f"the last good checkpoint is {last} (step {step})" in str(error.value)
    assert last.read_bytes() == data and np.isfinite(load_model(fit.folder, "last").model.params.flat).all()
    assert not (fit.folder / "best.safetensors").exists()
    assert metrics(fit)[-1]["event"] == "diverged" and metrics(fit)[-1]["step"] == at


def test_kept_checkpoint_can_be_resumed_with_a_smaller_rate(begin, monkeypatch):
    fit = begin(save_every=4)
    poison(fit, monkeypatch, 6, math.nan)
    with pytest.raises(Diverged):
        list(fit.run())
    again = resume(fit.folder, {"lr": 1e-4})
    assert again.trainer.step == 4
    assert list(again.run())[-1].data == {"reason": "finished", "step": 12}
    assert not [line for line in metrics(again) if line.get("event") == "diverged"]
    assert metrics(again)[-1]["lr" if "lr" in metrics(again)[-1] else "step"] in (1e-4, 12)


@pytest.mark.parametrize(("factor", "stops"), [(2.9, False), (3.1, True)])
def test_loss_above_three_times_the_first_is_an_explosion(begin, monkeypatch, factor, stops):
    fit = begin(steps=6, log_every=1000)
    original, first = fit.trainer.train_step, None

    def train_step():
        nonlocal first
        result = original()
        first = first or float(result.loss)
        return result._replace(loss=np.float64(first * factor)) if fit.trainer.step == 3 else result

    monkeypatch.setattr(fit.trainer, "train_step", train_step)
    if stops:
        with pytest.raises(Diverged, match=r"at step 3: .*no checkpoint had been saved yet"):
            list(fit.run())
    else:
        list(fit.run())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_gradient_that_is_not_finite_stops_although_the_loss_is(begin, monkeypatch, bad):
    fit = begin()
    original = fit.trainer.train_step
    monkeypatch.setattr(fit.trainer, "train_step", lambda: original()._replace(grad_norm=np.float64(bad)))
    with pytest.raises(Diverged, match=f"at step 1: .*gradient norm {bad}"):
        list(fit.run())
    assert metrics(fit)[-1]["grad_norm"] == repr(bad)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_first_loss_that_is_not_finite_stops(begin, monkeypatch, bad):
    fit = begin()
    original = fit.trainer.train_step
    monkeypatch.setattr(fit.trainer, "train_step", lambda: original()._replace(loss=np.float64(bad)))
    with pytest.raises(Diverged, match="at step 1: "):
        list(fit.run())


def test_numbers_read_late_as_on_a_gpu_make_the_same_lines(begin, monkeypatch):
    settings = {"log_every": 3, "save_every": 5, "eval_every": 4, "clip_norm": 0.5}
    early, late = begin("early", **settings), begin("late", **settings)
    list(early.run())
    unread = []
    with monkeypatch.context() as patch:
        patch.setattr(late.trainer.model.backend, "is_gpu", True)
        for event in late.run():
            if event.kind == "step":
                unread.append(len(late._unread))
    assert max(unread) > 1
    timing = {"elapsed_s", "chars_per_s"}
    lines = [[{k: v for k, v in line.items() if k not in timing} for line in metrics(fit)[1:]] for fit in (early, late)]
    assert lines[0] == lines[1]
    np.testing.assert_array_equal(early.trainer.model.params.flat, late.trainer.model.params.flat)


def test_divergence_read_late_never_reaches_the_checkpoint(begin, monkeypatch):
    fit = begin(save_every=4, log_every=100)
    poison(fit, monkeypatch, 5, math.nan)
    with monkeypatch.context() as patch, pytest.raises(Diverged, match=r"checkpoint is .* \(step 4\)"):
        patch.setattr(fit.trainer.model.backend, "is_gpu", True)
        list(fit.run())
    assert np.isfinite(load_model(fit.folder, "last").model.params.flat).all()


@pytest.mark.parametrize("left", ["config.toml", "metrics.jsonl", "last.safetensors", "best.safetensors"])
def test_folder_that_holds_a_run_is_not_overwritten(begin, tmp_path, left):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / left).write_text("precious")
    way_on = (
        "already holds a run: go on with --resume"
        if left == "last.safetensors"
        else "holds a run without a checkpoint .*remove"
    )
    with pytest.raises(ConfigError, match=f"{tmp_path / 'run'} {way_on}"):
        begin()
    assert everything(tmp_path / "run") == {left: b"precious"}


def test_folder_with_other_files_may_be_used_and_parents_are_made(begin, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    begin()
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"
    assert begin("deep/er/run").folder.is_dir()


def test_init_from_takes_the_parameters_and_nothing_else(begin, tmp_path):
    old = begin("old", eval_every=4, optimizer="adam")
    list(old.run())
    last = load_model(old.folder, "last")
    for source in (old.folder, old.folder / "last.safetensors"):
        fit = begin(f"new{source.name}", init_from=source, optimizer="adam", seed=5)
        expected = load_model(source).model.params.flat
        np.testing.assert_array_equal(fit.trainer.model.params.flat, expected)
        assert fit.trainer.content() | {"dropout_rng": None} == {
            **{"step": 0, "epoch": 0, "index": 0, "optimizer_step": 0, "dropout_rng": None}
        }
        assert fit.trainer.state is None and fit.progress.best_val_loss is None
    before = everything(old.folder)
    list(fit.run())
    assert everything(old.folder) == before
    np.testing.assert_array_equal(load_model(old.folder, "last").model.params.flat, last.model.params.flat)


def test_init_from_another_shape_or_vocabulary_is_refused_before_a_folder_is_made(begin, tmp_path):
    list(begin("old").run())
    with pytest.raises(CheckpointError, match=r"holds a network of another shape: the parameter rnn\.0\.Wx"):
        begin("new", init_from=tmp_path / "old", hidden=7)
    with pytest.raises(CheckpointError, match=r"another shape: .*rnn\.1\.Wx is missing"):
        begin("new", init_from=tmp_path / "old", layers=2)
    (tmp_path / "text.txt").write_text(TEXT.replace("a", "ä"))
    with pytest.raises(CheckpointError, match=r"knows 6 characters, the text has 6 \(new: 'ä'\): init-from needs the"):
        begin("new", init_from=tmp_path / "old")
    with pytest.raises(CheckpointError, match="there is no run or checkpoint"):
        begin("new", init_from=tmp_path / "none")
    assert not (tmp_path / "new").exists()
