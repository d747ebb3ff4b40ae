"""Evaluation: how well a network predicts a text, in nats per character, and the n-gram rows beside it.

    nats per character = Σ nll / N      bits per character = nats / ln 2      perplexity = exp(nats)

The text comes as B parallel streams. Every stream starts from zero state, which is then carried to its end, so the loss
does not depend on how the columns are cut into chunks; only B matters, because each start is a cold one. All positions
count alike: the sum runs over all of them, the shorter last chunk included, and is divided once.

What this is not: training with the learning rate at zero. Nothing is dropped, and no state of the caller is touched.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from minrnn.backend import Array
from minrnn.team import Engine
from minrnn.text import Split, Streams, TextError, release, witten_bell


@dataclass(frozen=True)
class Evaluation:
    """The loss of a network on a text: nats per character, the mean over `characters` predictions."""

    nats_per_char: float
    characters: int

    @property
    def bits_per_char(self) -> float:
        """The same in bits."""
        return self.nats_per_char / math.log(2)

    @property
    def perplexity(self) -> float:
        """exp(nats): among how many equally likely characters the network hesitates. Infinite above about 709 nats."""
        try:
            return math.exp(self.nats_per_char)
        except OverflowError:
            return math.inf


def evaluate(model: Engine, streams: Streams, seq_length: int) -> Evaluation:
    """The loss of `model` on every target of `streams`, (B, M), computed seq_length columns at a time.

    Raises TextError when the streams hold nothing to predict.
    """
    total: Array | float = 0.0
    for nll in _chunks(model, streams, seq_length):
        with model.backend.scope():
            total = total + nll.sum(dtype=np.float64)  # stays on the device: nothing waits for it
    return Evaluation(float(total) / streams.y.size, streams.y.size)


def per_character(model: Engine, streams: Streams, seq_length: int) -> np.ndarray:
    """The nats of every target, (B, M) float64 on the host: entry [b, t] belongs to streams.y[b, t]."""
    chunks = [model.backend.to_host(nll).astype(np.float64) for nll in _chunks(model, streams, seq_length)]
    return np.concatenate(chunks).T


def _chunks(model: Engine, streams: Streams, seq_length: int) -> Iterator[Array]:
    """The negative log-likelihoods of one chunk of columns after the other, (T,B) each, on the device."""
    if streams.y.size == 0:
        raise TextError(
            "there is nothing to predict: a stream needs two characters; use a longer text or fewer streams"
        )
    state = None
    for number, start in enumerate(range(0, streams.x.shape[1], seq_length)):
        columns = slice(start, start + seq_length)
        x, y = (model.backend.from_host(ids[:, columns].T, np.intp) for ids in (streams.x, streams.y))  # (T,B)
        release(streams.x, len(streams.x), number)  # and y, a view of the same ids
        nll, state = model.nll(x, y, state)  # (T,B)
        yield nll


def baseline(split: Split, vocab_size: int, held_out: Streams | None = None, max_order: int = 6) -> np.ndarray:
    """Nats per character of interpolated n-grams with 0, 1, … max_order characters of context, (max_order + 1,).

    Counted in the training part of `split` and scored on `held_out`, by default its held-out part: on exactly the
    positions that `evaluate` scores, with the context that the network has there. That is every target, given the
    characters of its own stream, the first input included, which is itself not scored. Figures for a text in one piece
    score that one too and let contexts reach across the starts of streams; they differ by a few ten-thousandths.

    Raises TextError when nothing is held out.
    """
    held_out = split.val if held_out is None else held_out
    if held_out is None:
        raise TextError("nothing is held out to score: train with val_frac above 0 or name another text")
    rows = np.concatenate([held_out.x, held_out.y[:, -1:]], axis=1)  # (B,M+1)
    everything = witten_bell(split.train_ids, rows, vocab_size, max_order) * rows.size
    first = witten_bell(split.train_ids, rows[:, :1], vocab_size, 0) * len(rows)  # no context, at any order
    return (everything - first) / held_out.y.size


def baseline_table(nats: float | None, rows: np.ndarray, text: str) -> str:
    """A table of the n-gram rows and of the network, with `nats` per character, and which rows it beats.

    `text` says what was scored. With nats None the network has no line.
    """
    lines = [f"{text}: nats and bits per character"]
    for order, row in enumerate(rows):
        verdict = "  beaten" if nats is not None and nats < row else ""
        lines.append(f"  n-gram, context {order}  {row:8.4f}  {row / math.log(2):8.4f}{verdict}")
    if nats is not None:
        best = int(np.argmin(rows))
        beaten = [str(order) for order, row in enumerate(rows) if nats < row]
        lines.append(f"  network            {nats:8.4f}  {nats / math.log(2):8.4f}")
        if nats < rows[best]:
            lines.append(
                f"the network beats every n-gram; the best one, context {best}, by {rows[best] - nats:.4f} nats"
            )
        else:
            lines.append(
                f"the network beats {'context ' + ', '.join(beaten) if beaten else 'no n-gram'}; "
                f"the best n-gram, context {best}, is {nats - rows[best]:.4f} nats ahead"
            )
    return "\n".join(lines)
