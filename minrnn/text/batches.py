"""Batches: the order in which training sees its text.

What it is: two orders.

    StreamBatches   parallel streams, chunk after chunk; the recurrent state is carried from batch to batch
    WindowBatches   windows from anywhere in the text, shuffled; every batch starts from zero state

What it is not: an iterator. Nothing here is advanced or exhausted. Batch `index` of epoch `epoch` is a pure
function of (text, settings, seed, epoch, index), so the whole position of a training run is that pair of
integers, and a resumed run sees exactly what the interrupted one would have seen.

Batches are time-major, (T, B), C-contiguous, of type intp: what indexing wants, converted once here. A plan of an epoch
holds 8 bytes for every chunk, or 4 for every window.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from minrnn.text.errors import TextError
from minrnn.text.lengths import Lengths
from minrnn.text.splits import Streams
from minrnn.text.storage import release


class Batch(NamedTuple):
    """Inputs x and targets y, both (T, B): y[t, b] comes after x[t, b]. fresh: start from zero state."""

    x: np.ndarray
    y: np.ndarray
    fresh: bool


class StreamBatches:
    """Chunks of consecutive columns of B parallel streams; the same row of the next batch continues the text.

    Args:
        streams: x and y, (B, M).
        lengths: how long each chunk is, a rule from `lengths`; the random ones draw anew in every epoch.
        seed: the stream of random numbers, one or several non-negative integers.
        reset: when the state starts from zero: at the first batch of every "epoch", or "never" but at the
            very first.
        drop_last: leave out the end of the streams that no longer fills a chunk (unless it is the only one),
            so that with a fixed length all batches have one shape. Without it the last chunk is shorter.

    Raises:
        TextError: the streams are empty.
        ValueError: reset is another word.
    """

    def __init__(
        self,
        streams: Streams,
        lengths: Lengths,
        *,
        seed: int | Sequence[int] = 0,
        reset: str = "epoch",
        drop_last: bool = True,
    ) -> None:
        if reset not in ("epoch", "never"):
            raise ValueError(f"reset={reset!r} must be 'epoch' or 'never'")
        if streams.x.size == 0:
            raise TextError("the streams hold no character to predict; use a longer text or a smaller batch_size")
        self.streams = streams
        self.lengths = lengths
        self.seed = seed
        self.reset = reset
        self.drop_last = drop_last
        self._plan: tuple[int, np.ndarray] | None = None

    def num_batches(self, epoch: int) -> int:
        """Return the number of batches in this epoch; it varies with random lengths."""
        return len(self._bounds(epoch)) - 1

    def get(self, epoch: int, index: int) -> Batch:
        """Return batch `index` of `epoch`, both from 0.

        Raises:
            IndexError: index is not below num_batches(epoch).
        """
        _check(index, self.num_batches(epoch))
        start, end = self._bounds(epoch)[index : index + 2]
        x = self.streams.x[:, start:end].T.astype(np.intp, order="C")  # (T,B)
        y = self.streams.y[:, start:end].T.astype(np.intp, order="C")  # (T,B)
        release(self.streams.x, len(self.streams.x), index)  # and y, a view of the same ids
        return Batch(x, y, index == 0 and (epoch == 0 or self.reset == "epoch"))

    def _bounds(self, epoch: int) -> np.ndarray:
        """Chunk j covers the columns from bounds[j] up to bounds[j+1]. Kept until another epoch is asked for."""
        if self._plan is None or self._plan[0] != epoch:
            columns = self.streams.x.shape[1]
            lengths = self.lengths(_rng(self.seed, epoch), columns)
            bounds = np.zeros(len(lengths) + 1, dtype=np.int64)
            np.cumsum(lengths, out=bounds[1:])
            bounds = bounds[: np.searchsorted(bounds, columns, side="right")]
            if bounds[-1] < columns and (not self.drop_last or len(bounds) == 1):
                bounds = np.append(bounds, columns)
            self._plan = epoch, bounds
        return self._plan[1]


@dataclass
class _Windows:
    """The windows of one epoch: `count` of them in each row, from `offset` on; `rng` goes on to shuffle them."""

    epoch: int
    offset: int
    rows: int
    count: int
    rng: np.random.Generator

    @cached_property
    def order(self) -> np.ndarray:
        """Their numbers, row by row, shuffled. Drawn when the first is asked for: counting batches needs no order."""
        order = np.arange(self.rows * self.count, dtype=np.min_scalar_type(self.rows * self.count))
        self.rng.shuffle(order)
        return order


class WindowBatches:
    """Windows of seq_length characters that do not overlap, shuffled anew in every epoch; always fresh.

    The windows of an epoch start at offset, offset + T, offset + 2T, ... of every row (d2l, "random
    sampling"). A window needs its T characters and the one after them. The incomplete last batch is left out.

    Args:
        ids: the text, (R, L) or (L,); no window crosses from one row to the next.
        batch_size, seq_length: B and T.
        seed: the stream of random numbers, one or several non-negative integers.
        random_offset: draw the offset of each epoch from 0 to T-1, so that every cut of the text into windows
            is seen; else 0. In a text too short for that, it stays small enough to leave a whole batch.

    Raises:
        TextError: there are fewer than B windows.
        ValueError: B or T is below 1.
    """

    def __init__(
        self,
        ids: np.ndarray,
        batch_size: int,
        seq_length: int,
        *,
        seed: int | Sequence[int] = 0,
        random_offset: bool = True,
    ) -> None:
        if batch_size < 1 or seq_length < 1:
            raise ValueError(f"batch_size={batch_size} and seq_length={seq_length} must be at least 1")
        self.ids = np.atleast_2d(ids)
        self.batch_size = batch_size
        self.seq_length = seq_length
        self.seed = seed
        rows, length = self.ids.shape
        needed = -(-batch_size // rows)  # windows in each row for one batch
        spare = length - 1 - needed * seq_length
        if spare < 0:
            raise TextError(
                f"{length:,} characters in each of {rows} rows are too few for random windows with "
                f"batch_size={batch_size} and seq_length={seq_length}, which need "
                f"{needed * seq_length + 1:,}; use smaller ones"
            )
        self.max_offset = min(seq_length - 1, spare) if random_offset else 0
        self._plan: _Windows | None = None

    def num_batches(self, epoch: int) -> int:
        """Return the number of batches in this epoch; the offset can change it."""
        windows = self._windows(epoch)
        return windows.rows * windows.count // self.batch_size

    def get(self, epoch: int, index: int) -> Batch:
        """Return batch `index` of `epoch`, both from 0.

        Raises:
            IndexError: index is not below num_batches(epoch).
        """
        _check(index, self.num_batches(epoch))
        windows = self._windows(epoch)
        chosen = windows.order[index * self.batch_size : (index + 1) * self.batch_size].astype(np.intp)
        row, number = np.divmod(chosen, windows.count)  # (B,) each
        columns = windows.offset + number * self.seq_length + np.arange(self.seq_length + 1)[:, None]  # (T+1,B)
        window = self.ids[row, columns].astype(np.intp)  # (T+1,B)
        release(self.ids, self.batch_size, index)
        return Batch(window[:-1], window[1:], True)

    def _windows(self, epoch: int) -> _Windows:
        """Kept until another epoch is asked for."""
        if self._plan is None or self._plan.epoch != epoch:
            rng = _rng(self.seed, epoch)
            rows, length = self.ids.shape
            offset = int(rng.integers(self.max_offset + 1))
            self._plan = _Windows(epoch, offset, rows, (length - offset - 1) // self.seq_length, rng)
        return self._plan


Batches = StreamBatches | WindowBatches


def _rng(seed: int | Sequence[int], epoch: int) -> np.random.Generator:
    # The epoch as spawn_key, because entropy [s, 0] and entropy s are the same stream.
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch,)))


def _check(index: int, count: int) -> None:
    if not 0 <= index < count:
        raise IndexError(f"batch {index} is not in this epoch of {count} batches")
