"""Splits: which characters are learned and which are held out, and both cut into parallel streams.

What it is: the two splits in use, with names, because they differ in difficulty (by 0.2 nats per character on
tiny Shakespeare) and a loss means nothing without the name of its split.

    tail    the end of the text is held out
    rows    the text is cut into B streams first, and the end of every stream is held out (char-rnn)

What it is not: batches. `batches` decides in which order the training part is seen.

Streams: B rows of M characters, one contiguous piece of the text each; row b+1 goes on where row b ends. The
targets are the same ids shifted by one, so the last target of a row is the first character of the next and
none wraps around.
"""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minrnn.text.errors import TextError


@dataclass(frozen=True, eq=False)
class Streams:
    """Parallel streams x and y, both (B, M) and views of one array: y[b, t] is the id that follows x[b, t]."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, eq=False)
class Split:
    """A text divided. All arrays are views of the ids that were given.

    Attributes:
        name: "tail" or "rows".
        train, val: the streams, B rows each; val is None without held-out text.
        train_ids, val_ids: the same parts as plain text, (R, L): one row for "tail", B rows for "rows". For
            whatever needs no streams, such as random windows and n-gram counts. val_ids has no columns
            without held-out text.
        dropped: characters in no stream, neither as input nor as target.
    """

    name: str
    train: Streams
    val: Streams | None
    train_ids: np.ndarray
    val_ids: np.ndarray
    dropped: int


def streams(ids: np.ndarray, batch_size: int) -> Streams:
    """Cut ids (N,) into batch_size rows of (N-1) // batch_size inputs and targets; the rest is left over."""
    columns = max(len(ids) - 1, 0) // batch_size
    used = batch_size * columns
    return Streams(
        ids[:used].reshape(batch_size, columns),  # (B,M)
        ids[1 : used + 1].reshape(batch_size, columns),  # (B,M)
    )


def beginnings(streams: Streams, characters: int) -> Streams:
    """Return the first columns of all rows, at least one, with no more than `characters` targets; 0 is no limit."""
    columns = max(characters // len(streams.x), 1) if characters else None
    return Streams(streams.x[:, :columns], streams.y[:, :columns])


def split_tail(ids: np.ndarray, *, batch_size: int, seq_length: int, val_frac: float) -> Split:
    """Hold out the end of the text: train on the first floor((1 - val_frac) N) of the N ids.

    Each part is then cut into streams of its own.

    Raises:
        TextError: a training stream would be shorter than seq_length, or a held-out one empty.
        ValueError: a setting is out of its range.
    """
    _require("tail", len(ids), batch_size, seq_length, val_frac)
    cut = _first(len(ids), val_frac)
    train = streams(ids[:cut], batch_size)
    val = streams(ids[cut:], batch_size) if val_frac else None
    used = sum(part.x.size + 1 for part in (train, val) if part)
    return Split("tail", train, val, ids[None, :cut], ids[None, cut:], len(ids) - used)


def split_rows(ids: np.ndarray, *, batch_size: int, seq_length: int, val_frac: float) -> Split:
    """Hold out the end of every stream: train on the first floor((1 - val_frac) n) of its n chunks.

    n = (N-1) // (batch_size seq_length), so that the streams are made of whole chunks. This is char-rnn's split,
    except that there the last target of all wraps to the first character of the text.

    Raises:
        TextError: there would be no chunk to train on.
        ValueError: a setting is out of its range.
    """
    _require("rows", len(ids), batch_size, seq_length, val_frac)
    chunks = (len(ids) - 1) // (batch_size * seq_length)
    used = chunks * batch_size * seq_length + 1
    whole = streams(ids[:used], batch_size)
    cut = _first(chunks, val_frac) * seq_length
    train = Streams(whole.x[:, :cut], whole.y[:, :cut])
    val = Streams(whole.x[:, cut:], whole.y[:, cut:]) if val_frac else None
    return Split("rows", train, val, train.x, whole.x[:, cut:], len(ids) - used)


SPLITS: dict[str, Callable[..., Split]] = {"tail": split_tail, "rows": split_rows}


def largest_batch(split: str, n: int, *, batch_size: int, seq_length: int, val_frac: float) -> int:
    """Return batch_size, or the largest smaller one that a text of n characters can be split into.

    Raises:
        TextError: the text is too short for a single stream.
        ValueError: a setting is out of its range.
    """
    _check(split, batch_size, seq_length, val_frac)
    largest = min(batch_size, _capacity(split, n, seq_length, val_frac))
    _require(split, n, max(largest, 1), seq_length, val_frac)
    return largest


def _capacity(split: str, n: int, seq_length: int, val_frac: float) -> int:
    """The largest batch size for n characters; never falls as n grows. Below 1: there is none."""
    if split == "tail":
        cut = _first(n, val_frac)
        capacity = (cut - 1) // seq_length
        return min(capacity, n - cut - 1) if val_frac else capacity
    chunks = math.ceil(1 / (1 - val_frac) - 1e-9)  # the fewest of which one is trained on
    return (n - 1) // (chunks * seq_length)


def _check(split: str, batch_size: int, seq_length: int, val_frac: float) -> None:
    if split not in SPLITS:
        raise ValueError(f"split={split!r} must be one of {', '.join(SPLITS)}")
    if batch_size < 1 or seq_length < 1:
        raise ValueError(f"batch_size={batch_size} and seq_length={seq_length} must be at least 1")
    if not 0 <= val_frac < 1:
        raise ValueError(f"val_frac={val_frac} must be at least 0 and below 1")


def _require(split: str, n: int, batch_size: int, seq_length: int, val_frac: float) -> None:
    _check(split, batch_size, seq_length, val_frac)
    capacity = _capacity(split, n, seq_length, val_frac)
    if capacity >= batch_size:
        return
    needed = bisect_left(range(1 << 48), batch_size, key=lambda length: _capacity(split, length, seq_length, val_frac))
    fix = f"use batch_size={capacity} or a" if capacity > 0 else "use a longer text or a"
    raise TextError(
        f"{n:,} characters are too few for the {split} split with batch_size={batch_size}, "
        f"seq_length={seq_length} and val_frac={val_frac:g}, which need {needed:,}; {fix} smaller seq_length"
    )


def _first(n: int, val_frac: float) -> int:
    """floor((1 - val_frac) n); the small term because 1 - 0.9 is a hair below 0.1."""
    return int(n * (1 - val_frac) + 1e-9)
