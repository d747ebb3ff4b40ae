"""What the rungs of fastai.py read: windows of a text, or parallel streams of it, with the parts that fast.ai held out.

The notebook of the course prints counts that are 1 and 2 smaller than those of the cells above them, which were edited
after they had run. The splits were drawn from the smaller counts, so those are taken here.

What this is not: for texts of one's own. minrnn.text has splits for them that keep neighbours together.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from common import rows

from minrnn.text import JitteredLength, StreamBatches, Vocabulary, count_characters

PAD, UNKNOWN = "\0", "<unk>"
LINES = 7998  # of the training part of Nietzsche; of a shorter text the first 80 %

Batches = Iterator[tuple[np.ndarray, np.ndarray]]  # x and y, (T,B) each


class Windows(NamedTuple):
    """Windows of ids, x and y (T,N), the numbers of those to learn and to hold out, and how their batches are made."""

    x: np.ndarray
    y: np.ndarray
    train: np.ndarray
    val: np.ndarray
    last_only: bool  # whether only the last position counts
    batch_size: int
    seed: int

    def training(self, epoch: int) -> Batches:
        """All batches of an epoch, shuffled, the last one smaller."""
        return self._batches(np.random.default_rng([self.seed, 1, epoch]).permutation(self.train), self.batch_size)

    def validation(self, epoch: int) -> Batches:
        """All that is held out, always the same."""
        return self._batches(self.val, 2 * self.batch_size)

    def mask_for(self, x: np.ndarray) -> np.ndarray | None:
        """Which positions of a batch count."""
        return np.broadcast_to(np.arange(len(x))[:, None] == len(x) - 1, x.shape) if self.last_only else None

    def _batches(self, chosen: np.ndarray, size: int) -> Batches:
        for start in range(0, len(chosen), size):
            part = chosen[start : start + size]
            yield self.x.take(part, axis=1), self.y.take(part, axis=1)


class Chunks(NamedTuple):
    """Streams in chunks of random length, those to learn and those held out."""

    train: StreamBatches
    val: StreamBatches
    vocabulary: Vocabulary

    def training(self, epoch: int) -> Batches:
        """The chunks of an epoch, one after the other."""
        return _chunks(self.train, epoch)

    def validation(self, epoch: int) -> Batches:
        """The held-out chunks, of random length too."""
        return _chunks(self.val, epoch)

    def mask_for(self, x: np.ndarray) -> None:
        """All positions count alike."""


def _chunks(batches: StreamBatches, epoch: int) -> Batches:
    for index in range(min(batches.num_batches(epoch), nominal(batches))):
        x, y, _ = batches.get(epoch, index)
        yield x, y


def nominal(batches: StreamBatches) -> int:
    """The number of batches that the loader announces, one for 8 characters less one. Mostly there are 4 % fewer."""
    return (batches.streams.x.shape[1] + 1) // 8 - 1


def padded_vocabulary(text: str) -> Vocabulary:
    """The characters of the text after a symbol for padding, which has id 0 and never occurs."""
    return Vocabulary(PAD + text)


def three_characters(ids: np.ndarray, batch_size: int, seed: int) -> Windows:
    """Windows of three that do not overlap. One is held out, a sample that tells nothing."""
    x, y = (part[:, :-2] for part in cut(ids, 3, 3))
    numbers = np.arange(x.shape[1])
    return Windows(x, y, numbers[:-1], numbers[-1:], True, batch_size, seed)


def overlapping(ids: np.ndarray, batch_size: int, seed: int) -> Windows:
    """Windows of eight, one starting at every character; the one after a window counts."""
    x, y = cut(ids[:-1], 8, 1)
    return Windows(x, y, *split(x.shape[1], x.shape[1]), True, batch_size, seed)


def consecutive(ids: np.ndarray, batch_size: int, seed: int) -> Windows:
    """Windows of eight that do not overlap; all positions count. The last nine windows are never held out."""
    x, y = cut(ids[:-1], 8, 8)
    return Windows(x, y, *split(x.shape[1], x.shape[1] - 9), False, batch_size, seed)


def cut(ids: np.ndarray, length: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows of ids, (length,N), and those of the ids that follow."""
    windows = np.lib.stride_tricks.sliding_window_view(ids, length + 1)[::stride].T  # (length+1,N)
    return windows[:-1].astype(np.intp, order="C"), windows[1:].astype(np.intp, order="C")


def split(n: int, among: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of n windows to learn, and of those to hold out: a fifth of the first `among`, by fast.ai's seed."""
    val = np.random.RandomState(42).permutation(among)[: among // 5]
    return np.setdiff1d(np.arange(n), val), val


def streams(text: str, batch_size: int, seed: int) -> Chunks:
    """The text as two files, each with an end sign that is nowhere else, cut into batch_size streams each.

    The vocabulary holds what occurs three times in the first file, the padding and the unknown symbol.
    """
    train, val = two_files(text)
    kept = np.flatnonzero(count_characters([train]) >= 3)
    vocabulary = Vocabulary(PAD + "".join(map(chr, kept)), unknown=UNKNOWN)
    batches = []
    for stream, part in ((3, train), (4, val)):
        ids = np.append(vocabulary.encode(part, "replace"), vocabulary.unknown_id)  # the end sign is unknown
        of_part = rows(ids, batch_size)
        lengths = JitteredLength(8)
        batches.append(StreamBatches(of_part, lengths, seed=(seed, stream), reset="never", drop_last=False))
    return Chunks(*batches, vocabulary)


def two_files(text: str) -> tuple[str, str]:
    """The lower-cased text up to a line, and from there on."""
    lines = text.lower().splitlines(keepends=True)
    first = LINES if len(lines) > LINES else len(lines) * 4 // 5
    return "".join(lines[:first]), "".join(lines[first:])
