"""Learning-rate schedules: pure functions of the number of updates made so far. Not tied to an optimizer.

schedule(step) is the rate of update `step`, counted from 0. A schedule remembers nothing and is never
advanced, so a resumed run that knows its step continues exactly.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from minrnn.optim.validate import count, not_negative

Schedule = Callable[[int], float]


@dataclass(frozen=True)
class Constant:
    """The same rate for ever."""

    lr: float

    def __post_init__(self) -> None:
        not_negative("lr", self.lr)

    def __call__(self, step: int) -> float:
        """Return the rate of update `step` (0-based)."""
        return self.lr


@dataclass(frozen=True)
class ExponentialAfterEpoch:
    """char-rnn's schedule: in epoch e = 1, 2, … the rate is lr · decay^max(0, e − max(1, after)).

    The first reduced epoch is after + 1; after = 0 acts like 1. An epoch is `updates_per_epoch` updates.
    """

    lr: float
    decay: float
    after: int
    updates_per_epoch: int

    def __post_init__(self) -> None:
        not_negative("lr", self.lr)
        not_negative("decay", self.decay)
        count("after", self.after, 0)
        count("updates_per_epoch", self.updates_per_epoch, 1)

    def __call__(self, step: int) -> float:
        """Return the rate of update `step` (0-based)."""
        epoch = step // self.updates_per_epoch + 1
        return self.lr * self.decay ** max(0, epoch - max(1, self.after))


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from lr at update 0 down to lr_min at update `total`, and lr_min from there on.

    Unlike torch's CosineAnnealingLR it does not rise again afterwards.
    """

    lr: float
    total: int
    lr_min: float = 0.0

    def __post_init__(self) -> None:
        _rates(self.lr, self.lr_min)
        count("total", self.total, 1)

    def __call__(self, step: int) -> float:
        """Return the rate of update `step` (0-based)."""
        return _half_cosine(self.lr, self.lr_min, min(step, self.total), self.total)


class CyclePosition(NamedTuple):
    """Where an update stands: in which cycle, and as which of the `length` updates of it (both 0-based)."""

    cycle: int
    offset: int
    length: int

    @property
    def is_last(self) -> bool:
        """Whether the rate restarts after this update: the moment to keep a snapshot of the cycle."""
        return self.offset == self.length - 1


@dataclass(frozen=True)
class CosineRestarts:
    """Cosine with warm restarts (SGDR, Loshchilov and Hutter 2017).

    Cycles of `cycle`, cycle·mult, cycle·mult², … updates. Each starts at lr and falls along half a cosine
    towards lr_min, which the next restart pre-empts. Cycles are counted in whole numbers, for a logarithm
    misses some restarts by rounding.
    """

    lr: float
    cycle: int
    mult: int = 1
    lr_min: float = 0.0

    def __post_init__(self) -> None:
        _rates(self.lr, self.lr_min)
        count("cycle", self.cycle, 1)
        count("mult", self.mult, 1)

    def position(self, step: int) -> CyclePosition:
        """Return the cycle of update `step` (0-based) and the place in it."""
        if self.mult == 1:
            cycle, offset = divmod(step, self.cycle)
            return CyclePosition(cycle, offset, self.cycle)
        cycle, offset, length = 0, step, self.cycle
        while offset >= length:
            cycle, offset, length = cycle + 1, offset - length, length * self.mult
        return CyclePosition(cycle, offset, length)

    def __call__(self, step: int) -> float:
        """Return the rate of update `step` (0-based)."""
        _, offset, length = self.position(step)
        return _half_cosine(self.lr, self.lr_min, offset, length)


@dataclass(frozen=True)
class LinearWarmup:
    """A linear rise of `updates` updates, then any other schedule from its own update 0 on.

    The rise is nanoGPT's: update s < W has the fraction (s + 1)/(W + 1) of the first rate of `schedule`.
    The common s/W would waste update 0 on a rate of zero, and (s + 1)/W would reach the full rate inside
    the rise. Epochs and cycles of `schedule` are counted from the end of the rise.
    """

    schedule: Schedule
    updates: int

    def __post_init__(self) -> None:
        count("updates", self.updates, 0)

    def __call__(self, step: int) -> float:
        """Return the rate of update `step` (0-based)."""
        if step < self.updates:
            return self.schedule(0) * (step + 1) / (self.updates + 1)
        return self.schedule(step - self.updates)


@dataclass(frozen=True)
class LowStart:
    """Any other schedule, but for the first `updates` updates, which have the fraction `factor` of its first rate.

    fast.ai's short start before cosine restarts. Unlike behind a LinearWarmup, updates are counted from the first on:
    epochs and cycles of `schedule` end where they would end without it.
    """

    schedule: Schedule
    updates: int
    factor: float

    def __post_init__(self) -> None:
        count("updates", self.updates, 0)
        not_negative("factor", self.factor)

    def __call__(self, step: int) -> float:
        """Return the rate of update `step` (0-based)."""
        return self.factor * self.schedule(0) if step < self.updates else self.schedule(step)


def _half_cosine(high: float, low: float, step: int, length: int) -> float:
    return low + 0.5 * (high - low) * (1.0 + math.cos(math.pi * step / length))


def _rates(lr: float, lr_min: float) -> None:
    not_negative("lr", lr)
    not_negative("lr_min", lr_min)
    if lr_min > lr:
        raise ValueError(f"lr_min must not exceed lr, got lr_min {lr_min} and lr {lr}")
