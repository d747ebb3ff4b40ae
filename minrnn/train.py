"""One update after another: truncated backpropagation through time.

    take the next chunk of the text ─► forward, from the state that the last chunk left ─► backward ─► clip ─► update

A Trainer is exactly what a checkpoint must hold to go on bit for bit: parameters, optimizer moments, the place in the
text, the recurrent state and the dropout stream.

What this is not: it does not know when to stop, evaluate, save or print; minrnn.fit does.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from minrnn.backend import Array
from minrnn.model import CELLS, CharRNN, State
from minrnn.optim import Optimizer, Schedule, clip_grad_norm, clip_grad_value, grad_norm
from minrnn.team import Engine
from minrnn.text import Batches


class Diverged(RuntimeError):
    """Training ran into NaN, infinity or an exploding loss; the message names the last good checkpoint."""


class StepResult(NamedTuple):
    """What one update saw. The numbers may still be on the device; reading them there waits for it."""

    loss: Array  # nats per character, a mean whatever the reduction
    grad_norm: Array  # of the whole gradient, before clipping
    clipped: Array  # whether clipping changed it
    lr: float
    characters: int


class Trainer:
    """A model, the text it learns, and how.

    clip_norm and clip_value: limits of the global norm and of each entry of the gradient, 0 for none.
    loss_reduction: "mean", or "sum_time", which differentiates the loss summed over time and averaged over the batch
    (char-rnn); that is T times the mean, which a clip and plain SGD feel.
    engine: what makes the gradients of this model, such as a Team of processes; without one the model does.
    """

    def __init__(
        self,
        model: CharRNN,
        batches: Batches,
        optimizer: Optimizer,
        schedule: Schedule,
        *,
        clip_norm: float = 0.0,
        clip_value: float = 0.0,
        loss_reduction: str = "mean",
        rng: np.random.Generator | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.model, self.batches, self.optimizer, self.schedule = model, batches, optimizer, schedule
        self.clip_norm, self.clip_value, self.loss_reduction = clip_norm, clip_value, loss_reduction
        self.rng = np.random.default_rng(0) if rng is None else rng  # draws the dropout masks
        self.engine: Engine = engine or model
        self.step = 0  # updates made
        self.epoch, self.index = 0, 0  # the next batch
        self.state: State | None = None  # what the last chunk left

    @property
    def epochs_done(self) -> float:
        """Passes over the text so far, with the fraction of the current one."""
        return self.epoch + self.index / self.batches.num_batches(self.epoch)

    def train_step(self) -> StepResult:
        """Make one update with the next batch."""
        model = self.model
        x, y, before = self._next_batch()
        dloss = len(x) if self.loss_reduction == "sum_time" else 1.0
        loss, state = self.engine.gradient(x, y, before, dloss=dloss, rng=self.rng)
        with model.backend.scope():
            norm, clipped = self._clip(model.grads.flat)
        lr = self.schedule(self.step)
        self.optimizer.step(model.params.flat, model.grads.flat, lr)
        self.state = state
        self.step += 1
        self.index += 1
        if self.index == self.batches.num_batches(self.epoch):
            self.epoch, self.index = self.epoch + 1, 0
        return StepResult(loss, norm, clipped, lr, x.size)

    def next_loss(self) -> Array:
        """The loss of the next batch before its update, without dropout. Changes nothing."""
        nll, _ = self.engine.nll(*self._next_batch())
        with self.model.backend.scope():
            return nll.mean()

    def _next_batch(self) -> tuple[Array, Array, State | None]:
        from_host = self.model.backend.from_host
        batch = self.batches.get(self.epoch, self.index)
        fits = self.state is not None and self.state[0][0].shape[0] == batch.x.shape[1]
        before = self.state if fits and not batch.fresh else None  # zeros also where there are more or fewer rows
        return from_host(batch.x), from_host(batch.y), before  # (T,B) each, then the state

    def _clip(self, grads: Array) -> tuple[Array, Array]:
        norm = grad_norm([grads, *(grads[part] for part in self.optimizer.twice)])
        if self.clip_norm:
            clip_grad_norm(grads, self.clip_norm, norm)
        clipped = norm > self.clip_norm if self.clip_norm else norm < 0
        if self.clip_value:
            xp = self.model.backend.xp
            clipped = clipped | (xp.maximum(grads.max(), -grads.min()) > self.clip_value)
            clip_grad_value(grads, self.clip_value)
        return norm, clipped

    def arrays(self) -> dict[str, np.ndarray]:
        """Optimizer moments and recurrent state as host arrays, under names of their own."""
        to_host = self.model.backend.to_host
        moments = {f"optimizer.{n}": to_host(a) for n, a in self.optimizer.state.items() if n != "step"}
        names = CELLS[self.model.cell].state
        layers = enumerate(self.state or ())
        return moments | {
            f"state.{k}.{n}": to_host(a) for k, layer in layers for n, a in zip(names, layer, strict=True)
        }

    def content(self) -> dict[str, Any]:
        """All that is not an array, fit for JSON."""
        return {
            "step": self.step,
            "epoch": self.epoch,
            "index": self.index,
            "optimizer_step": self.optimizer.state["step"],
            "dropout_rng": self.rng.bit_generator.state,
        }

    def restore(self, arrays: Mapping[str, np.ndarray], content: Mapping[str, Any]) -> None:
        """Go on from what `arrays()` and `content()` gave; the parameters are the model's own business."""
        from_host = self.model.backend.from_host
        moments = {n.removeprefix("optimizer."): a for n, a in arrays.items() if n.startswith("optimizer.")}
        self.optimizer.load_state(
            {"step": content["optimizer_step"]} | {name: from_host(array) for name, array in moments.items()}
        )
        names, layers = CELLS[self.model.cell].state, range(self.model.num_layers)
        if "state.0.h" in arrays:
            self.state = tuple(tuple(from_host(arrays[f"state.{k}.{name}"]) for name in names) for k in layers)
        self.step, self.epoch, self.index = content["step"], content["epoch"], content["index"]
        self.rng.bit_generator.state = content["dropout_rng"]
