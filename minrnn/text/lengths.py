"""Lengths: how a stream is cut into chunks of truncated backpropagation.

What it is: three rules. A rule is called with a random generator and the length M of the streams and returns
chunk lengths, as many as M could need (their sum is at least M). Random lengths move the cuts, so that no
place in the text is always the first of its chunk, where the gradient sees no past.
What it is not: the cutting itself, see `batches.StreamBatches`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Lengths = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class FixedLength:
    """Every chunk has seq_length characters."""

    seq_length: int

    def __post_init__(self) -> None:
        if self.seq_length < 1:
            raise ValueError(f"seq_length={self.seq_length} must be at least 1")

    def __call__(self, rng: np.random.Generator, columns: int) -> np.ndarray:
        """Return as many equal lengths as reach past the last column."""
        return np.broadcast_to(self.seq_length, columns // self.seq_length + 1)


@dataclass(frozen=True)
class UniformLength:
    """Every length from shortest to longest, both included, is equally likely (Evans: 10 to 40)."""

    shortest: int
    longest: int

    def __post_init__(self) -> None:
        if not 1 <= self.shortest <= self.longest:
            raise ValueError(f"shortest={self.shortest} must be at least 1 and at most longest={self.longest}")

    def __call__(self, rng: np.random.Generator, columns: int) -> np.ndarray:
        """Draw enough lengths to reach past the last column, whatever they turn out to be."""
        return rng.integers(self.shortest, self.longest + 1, size=columns // self.shortest + 1)


@dataclass(frozen=True)
class JitteredLength:
    """Normal around seq_length, now and then around half of it (AWD-LSTM, Merity et al. 2017; fast.ai).

    With probability 0.95 the mean is seq_length, else seq_length / 2; a chunk has max(shortest,
    int(Normal(mean, spread))) characters.
    """

    seq_length: int
    spread: float = 5.0
    shortest: int = 5

    def __post_init__(self) -> None:
        if self.seq_length < 1 or self.shortest < 1 or self.spread < 0:
            raise ValueError(
                f"seq_length={self.seq_length} and shortest={self.shortest} must be at least 1 and "
                f"spread={self.spread} at least 0"
            )

    def __call__(self, rng: np.random.Generator, columns: int) -> np.ndarray:
        """Draw enough lengths to reach past the last column, whatever they turn out to be."""
        count = columns // self.shortest + 1
        mean = np.where(rng.random(count) < 0.95, self.seq_length, self.seq_length / 2)
        return np.maximum(self.shortest, rng.normal(mean, self.spread).astype(np.int64))
