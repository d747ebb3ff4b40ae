"""The training loop: when to log, save, evaluate, sample and stop.

`Fit.run()` is a generator of events. Whoever iterates it shows them (the command line draws a progress bar, a notebook
may plot); nothing here prints. At every step, in this order and each when it is due:

    log ─► save ─► evaluate ─► sample ─► stop? ─► next update

Saving comes before evaluating, so that a failing evaluation loses nothing. What has been done at a step is remembered
in the checkpoint: a resumed run does the rest of it and goes on, bit for bit like one that was never interrupted. Lines
of metrics that were written after the checkpoint are taken back first.
"""

import dataclasses
import json
import math
import os
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from minrnn import __version__
from minrnn.build import (
    DROPOUT_STREAM,
    SAMPLE_STREAM,
    Data,
    Report,
    load_data,
    make_model,
    make_optimizer,
    make_schedule,
    total_steps,
)
from minrnn.config import FIELDS, Config, ConfigError, merge, to_toml
from minrnn.evaluate import evaluate
from minrnn.model.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from minrnn.mpi import sharing
from minrnn.runs import (
    BEST,
    CONFIG,
    LAST,
    METRICS,
    checkpoint_path,
    host_parameters,
    load_model,
    load_parameters,
    lock,
    require_free,
)
from minrnn.sample import sample_text
from minrnn.text import TextError, Vocabulary
from minrnn.train import Diverged, StepResult, Trainer

EXPLODED = 3.0  # char-rnn stops when the loss exceeds three times the first one


class Event(NamedTuple):
    """Something that happened: "step", "log", "engine", "save", "eval", "sample" or "end", and what belongs to it."""

    kind: str
    data: dict[str, Any]


@dataclass
class Progress:
    """What the loop remembers; all of it is in the checkpoint."""

    elapsed_s: float = 0.0
    first_loss: float | None = None
    val_loss: float | None = None  # of the latest evaluation
    best_val_loss: float | None = None
    best_step: int = 0
    evaluations_since_best: int = 0
    saved_at: int = -1
    evaluated_at: int = -1
    sampled_at: int = -1
    metrics_bytes: int = 0
    # since the last line of metrics
    steps: int = 0
    loss_sum: float = 0.0
    norm_sum: float = 0.0
    clipped: int = 0
    characters: int = 0
    seconds: float = 0.0


class Fit:
    """One run: a Trainer, its text and its folder. Make it with `start` or `resume`, then iterate `run()`."""

    def __init__(self, config: Config, data: Data, trainer: Trainer, folder: Path) -> None:
        self.config, self.data, self.trainer, self.folder = config, data, trainer, folder
        self.progress = Progress()
        self.total_steps = total_steps(config, data.batches)
        self.lock: IO[str] | None = None
        self.stop_signal: int | None = None  # set it from anywhere: the run saves after the current step and ends
        self._unread: list[StepResult] = []
        self._told = ""  # the latest note of the engine
        self._started = time.monotonic()

    def run(self) -> Iterator[Event]:
        """Train until a limit, the patience or a signal ends it; the last event is "end" with the reason.

        Raises Diverged for NaN, infinity or a loss above three times the first; CheckpointError when saving fails;
        WorkerDied when a process that shares the work (minrnn.team) has ended.
        """
        self._started = time.monotonic() - self.progress.elapsed_s
        trainer = self.trainer
        try:
            with sharing(trainer.model, self.config.seq, self.data.batch_size) as trainer.engine:
                yield from self._run()
        finally:
            trainer.engine = trainer.model

    def _run(self) -> Iterator[Event]:
        while True:
            yield from self._due()
            reason = self._reason_to_stop()
            if reason:
                break
            begin = time.perf_counter()
            with np.errstate(all="ignore"):  # NaN and infinity are looked for below, and reported once
                self._unread.append(self.trainer.train_step())
            if not self.trainer.model.backend.is_gpu:
                self._read()  # on a GPU this would wait for the device at every step
            self.progress.seconds += time.perf_counter() - begin
            yield Event("step", {"step": self.trainer.step})
        if reason != "interrupted":  # an interrupted run leaves the rest of its interval to the one that resumes it
            if self.progress.steps or self._unread:
                yield self._log()
            if self.progress.evaluated_at != self.trainer.step:
                yield from self._evaluate()
        yield self._save()
        yield Event("end", {"reason": reason, "step": self.trainer.step})

    def _due(self) -> Iterator[Event]:
        config, step, done = self.config, self.trainer.step, self.progress

        def due(every: int, at: int = -1) -> bool:
            return every > 0 and step > 0 and step % every == 0 and at != step

        if due(config.log_every) and (done.steps or self._unread):
            yield self._log()
            note = getattr(self.trainer.engine, "note", "")  # only graphs have one, and not from the start
            if note != self._told:
                self._told = note
                yield Event("engine", {"step": step, "note": note})
        if due(config.save_every, done.saved_at):
            yield self._save()
        if due(config.eval_every, done.evaluated_at):
            yield from self._evaluate()
        if due(config.sample_every, done.sampled_at):
            yield self._sample()

    def _reason_to_stop(self) -> str:
        config, done = self.config, self.progress
        if self.stop_signal is not None:
            return "interrupted"
        if self.total_steps is not None and self.trainer.step >= self.total_steps:
            return "finished"
        if config.time_limit and self.elapsed() >= config.time_limit:
            return "time limit"
        if config.patience and done.evaluations_since_best >= config.patience:
            return "patience"
        return ""

    def elapsed(self) -> float:
        """Seconds since the start, those before a resumption included."""
        return time.monotonic() - self._started

    def _read(self) -> None:
        """Fetch the numbers of the updates made since the last call, and stop if they have left all bounds."""
        done = self.progress
        for result in self._unread:
            loss, norm = float(result.loss), float(result.grad_norm)
            if done.first_loss is None:
                done.first_loss = loss
            if not (self._in_bounds(loss) and math.isfinite(norm)):
                raise self._diverged(loss, norm)
            done.steps += 1
            done.loss_sum += loss
            done.norm_sum += norm
            done.clipped += bool(result.clipped)
            done.characters += result.characters
        self._unread.clear()

    def _require_sound(self) -> None:
        """Stop if the latest update has ruined the network: what cannot predict the next batch is not kept or used."""
        self._read()
        with np.errstate(all="ignore"):
            loss = float(self.trainer.next_loss())
        if not self._in_bounds(loss):
            raise self._diverged(loss)

    def _in_bounds(self, loss: float) -> bool:
        first = self.progress.first_loss
        return math.isfinite(loss) and (first is None or loss <= EXPLODED * first)

    def _diverged(self, loss: float, norm: float | None = None) -> Diverged:
        step, last = self.trainer.step, self.folder / LAST
        seen = {"loss": repr(loss)} | ({} if norm is None else {"grad_norm": repr(norm)})
        self._write({"event": "diverged", "step": step} | seen)
        where = "on the next batch" if norm is None else f"and gradient norm {norm:.4g}"
        if self.progress.saved_at >= 0:
            kept = f"the last good checkpoint is {last} (step {self.progress.saved_at})"
        else:
            kept = "no checkpoint had been saved yet"
        return Diverged(f"training diverged at step {step}: loss {loss:.4g} {where}; {kept}; try a smaller lr")

    def _log(self) -> Event:
        self._read()
        done, trainer = self.progress, self.trainer
        loss = done.loss_sum / done.steps
        line = {
            "step": trainer.step,
            "epoch": round(trainer.epochs_done, 4),
            "loss": loss,
            "bpc": loss / math.log(2),
            "grad_norm": done.norm_sum / done.steps,
            "clipped": done.clipped / done.steps,
            "lr": trainer.schedule(trainer.step - 1),
            "chars_per_s": round(done.characters / max(done.seconds, 1e-9)),
            "elapsed_s": round(self.elapsed(), 3),
        }
        self._write(line)
        done.steps, done.loss_sum, done.norm_sum, done.clipped, done.characters, done.seconds = 0, 0.0, 0.0, 0, 0, 0.0
        return Event("log", line)

    def _evaluate(self) -> Iterator[Event]:
        self._require_sound()
        done, step = self.progress, self.trainer.step
        done.evaluated_at = step
        if self.data.val is None:
            return
        result = evaluate(self.trainer.engine, self.data.val, self.config.seq)
        finite = math.isfinite(result.nats_per_char)
        val_loss = done.val_loss = result.nats_per_char if finite else None  # JSON knows no NaN
        best = val_loss is not None and (done.best_val_loss is None or val_loss < done.best_val_loss)
        if best:
            done.best_val_loss, done.best_step, done.evaluations_since_best = val_loss, step, 0
            save_checkpoint(self.folder / BEST, host_parameters(self.trainer.model), self._content())
        else:
            done.evaluations_since_best += 1
        line = {
            "step": step,
            "epoch": round(self.trainer.epochs_done, 4),
            "val_loss": val_loss,
            "bpc": result.bits_per_char if finite else None,
            "elapsed_s": round(self.elapsed(), 3),
        }
        self._write(line)
        yield Event("eval", line | {"best": best})

    def _sample(self) -> Event:
        self._require_sound()
        step = self.progress.sampled_at = self.trainer.step
        rng = np.random.default_rng([self.config.seed, SAMPLE_STREAM, step])
        text = "".join(sample_text(self.trainer.model, self.data.vocabulary, n=200, rng=rng))
        return Event("sample", {"step": step, "text": text})

    def _save(self) -> Event:
        self._require_sound()
        done = self.progress
        done.saved_at, done.elapsed_s = self.trainer.step, self.elapsed()
        done.metrics_bytes = (self.folder / METRICS).stat().st_size
        arrays = host_parameters(self.trainer.model) | self.trainer.arrays()
        content = self._content() | {"trainer": self.trainer.content(), "progress": dataclasses.asdict(done)}
        save_checkpoint(self.folder / LAST, arrays, content)
        return Event("save", {"step": done.saved_at, "path": str(self.folder / LAST)})

    def _content(self) -> dict[str, Any]:
        done = self.progress
        return {
            "model": self.trainer.model.settings,
            "vocabulary": self.data.vocabulary.to_json(),
            "config": json.loads(json.dumps(dataclasses.asdict(self.config))),
            "training": {
                "step": self.trainer.step,
                "epoch": round(self.trainer.epochs_done, 4),
                "val_loss": done.val_loss,
                "best_val_loss": done.best_val_loss,
                "best_step": done.best_step,
            },
            "data": {"sha256": self.data.sha256, "characters": self.data.characters},
            "versions": versions(),
        }

    def _write(self, line: Mapping[str, Any]) -> None:
        with open(self.folder / METRICS, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def versions() -> dict[str, str]:
    """Of Python, NumPy and minrnn: bit-equality of a resumed run is promised where they are the same."""
    return {"minrnn": __version__, "python": platform.python_version(), "numpy": np.__version__}


def start(config: Config, folder: str | Path, *, init_from: str | Path | None = None, data: Data | None = None) -> Fit:
    """A new run in `folder`, which is made; with the parameters of another run or checkpoint if `init_from` names one.

    `data` is what load_data(config) gives, where the caller has it already. Raises ConfigError when the folder already
    holds a run, TextError, CheckpointError, BackendError.
    """
    folder = Path(folder)
    require_free(folder)
    data = load_data(config) if data is None else data
    fit = Fit(config, data, make_trainer(config, data), folder)
    if init_from is not None:
        _take_parameters(fit, init_from)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / CONFIG, "x", encoding="utf-8") as file:  # "x": of two runs that start at once, one fails
            file.write(to_toml(config))
    except FileExistsError:
        require_free(folder)
        raise
    except OSError as error:
        raise TextError(f"cannot write into the folder {folder}: {error.strerror or error}") from error
    fit.lock = lock(folder)
    fit._write({"event": "start", "schema": 1, "config": dataclasses.asdict(config), "versions": versions()})
    return fit


def resume(folder: str | Path, changes: Mapping[str, Any], report: Report | None = None) -> Fit:
    """Go on with the run in `folder` from its last checkpoint, with `changes` to settings that may change.

    `report` is that of load_data. Raises ConfigError for a change that the checkpoint cannot follow, CheckpointError
    for a damaged checkpoint, TextError when the text is gone or is another one.
    """
    folder = Path(folder)
    path = checkpoint_path(folder, "last")
    if path.parent != folder:
        raise CheckpointError(f"{folder} is a file: --resume wants the folder of a run, --init-from takes checkpoints")
    arrays, content = load_checkpoint(path)
    held = lock(folder)
    if "trainer" not in content:
        raise CheckpointError(
            f"{path} holds a network but no run to go on with: start a new one with --init-from {path}"
        )
    saved, config = merge(content["config"]), merge(content["config"], changes)
    for name in changes:
        was, now = getattr(saved, name), getattr(config, name)
        if FIELDS[name].metadata["fixed"] and now != was:
            raise ConfigError(f"{name} was {was!r} and cannot become {now!r} in a resumed run")
    data = load_data(config, report)
    vocabulary = Vocabulary.from_json(content["vocabulary"])
    if vocabulary != data.vocabulary:
        raise CheckpointError(
            f"{path} was trained on {len(vocabulary)} characters, the text now has {len(data.vocabulary)}: "
            "resume needs the same text; to go on with another one, use --init-from"
        )
    if data.sha256 != content["data"]["sha256"]:
        raise TextError("the text has changed since the checkpoint was made; resume needs the same one")
    fit = Fit(config, data, make_trainer(config, data), folder)
    load_parameters(fit.trainer.model, arrays)
    fit.trainer.restore(arrays, content["trainer"])
    fit.progress = Progress(**content["progress"])
    if fit.total_steps is not None and fit.total_steps < fit.trainer.step:
        raise ConfigError(f"{folder} is at step {fit.trainer.step} already: set steps or epochs above that to go on")
    fit.lock, metrics = held, folder / METRICS
    metrics.touch()
    os.truncate(metrics, min(metrics.stat().st_size, fit.progress.metrics_bytes))
    fit._write({"event": "resume", "step": fit.trainer.step, "versions": versions()})
    return fit


def make_trainer(config: Config, data: Data) -> Trainer:
    """A Trainer of a fresh network on `data`, as the settings say."""
    model = make_model(config, len(data.vocabulary))
    return Trainer(
        model,
        data.batches,
        make_optimizer(config, model),
        make_schedule(config, data.batches),
        clip_norm=config.clip_norm,
        clip_value=config.clip_value,
        loss_reduction=config.loss_reduction,
        rng=np.random.default_rng([config.seed, DROPOUT_STREAM]),
    )


def _take_parameters(fit: Fit, source: str | Path) -> None:
    loaded = load_model(source)
    if loaded.vocabulary != fit.data.vocabulary:
        new = sorted(set(fit.data.vocabulary.symbols) - set(loaded.vocabulary.symbols))
        raise CheckpointError(
            f"{loaded.path} knows {len(loaded.vocabulary)} characters, the text has {len(fit.data.vocabulary)}"
            f"{' (new: ' + ' '.join(map(repr, new[:5])) + ')' if new else ''}: init-from needs the same vocabulary"
        )
    try:
        load_parameters(fit.trainer.model, {name: loaded.model.params[name] for name in loaded.model.params})
    except ValueError as error:
        raise CheckpointError(f"{loaded.path} holds a network of another shape: {error}") from error
