"""Vocabulary: the characters of a text, numbered.

What it is: a bijection between characters (Unicode code points) and the ids 0 to V-1, in the order of their
code points, so that one text gives one vocabulary on every machine. The optional unknown symbol takes the
last id: the characters keep their ids whether it is there or not.
What it is not: a tokenizer. A letter with a combining accent is two characters; see `normalize` for composing
them.

Encoding a character is one look-up in a table over code points:

    id = table[code point]        table[c] = len(characters) for every c outside the vocabulary

and len(characters) is just the id of the unknown symbol where there is one.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np

from minrnn.text.errors import TextError

# Characters looked up at a time. Measured: with 2**16 the code points stay in the cache, 600 million characters
# a second against 75 in one piece, which also needs 12 bytes of scratch per character.
BLOCK = 1 << 16


class Vocabulary:
    """The distinct characters of a text in the order of their code points, and perhaps an unknown symbol.

    Attributes:
        characters: the V (or V-1) characters, sorted; the id of a character is its index here.
        unknown: what the last id decodes to, any string but a single one of `characters`; None if there is
            none.
        symbols: what each id decodes to.

    Raises:
        TextError: there is no character, or one is a lone surrogate.
        ValueError: the unknown symbol is empty or one of the characters.
    """

    def __init__(self, characters: str, *, unknown: str | None = None) -> None:
        symbols = sorted(set(characters))
        if not symbols:
            raise TextError(
                "a vocabulary needs at least one character; the text is empty or too few of its characters are kept"
            )
        if unknown is not None and (not unknown or unknown in symbols):
            raise ValueError(f"unknown={unknown!r} must not be empty or a character of the vocabulary; try '<unk>'")
        self.characters = "".join(symbols)
        self.unknown = unknown
        self.symbols = tuple(symbols) if unknown is None else (*symbols, unknown)
        codes = np.concatenate([codes for _, codes in _code_points([self.characters])])
        absent = len(codes)
        self._table = np.full(int(codes[-1]) + 2, absent, dtype=np.min_scalar_type(absent))
        self._table[codes] = np.arange(absent)

    @classmethod
    def from_text(
        cls, text: str, *, min_freq: int = 1, max_size: int | None = None, unknown: str | None = None
    ) -> "Vocabulary":
        """Collect the characters of `text` that occur at least `min_freq` times; see `from_counts`.

        Raises:
            TextError: the text is empty or holds a lone surrogate.
            ValueError: as `from_counts`.
        """
        return cls.from_counts(count_characters([text]), min_freq=min_freq, max_size=max_size, unknown=unknown)

    @classmethod
    def from_counts(
        cls, counts: np.ndarray, *, min_freq: int = 1, max_size: int | None = None, unknown: str | None = None
    ) -> "Vocabulary":
        """Collect the characters that occur at least `min_freq` times according to `count_characters`.

        `max_size` keeps only that many of them (the unknown symbol not counted): the most frequent ones, and
        of two equally frequent ones the one with the smaller code point.

        Raises:
            TextError: nothing was counted.
            ValueError: a setting is below 1, or characters are left out and there is no unknown symbol for
                them.
        """
        if min_freq < 1 or (max_size is not None and max_size < 1):
            raise ValueError(f"min_freq={min_freq} and max_size={max_size} must be at least 1")
        kept = np.flatnonzero(counts >= min_freq)
        if max_size is not None:
            kept = kept[np.lexsort((kept, -counts[kept]))][:max_size]
        present = np.count_nonzero(counts)
        if len(kept) < present and unknown is None:
            raise ValueError(
                f"min_freq={min_freq} and max_size={max_size} leave out {present - len(kept)} of {present} "
                "characters; name a symbol that stands for them, for example unknown='<unk>'"
            )
        return cls("".join(map(chr, kept)), unknown=unknown)

    @property
    def unknown_id(self) -> int | None:
        """The id of the unknown symbol, V-1, or None."""
        return len(self.characters) if self.unknown is not None else None

    @property
    def id_type(self) -> np.dtype:
        """The smallest of uint8, uint16 and uint32 that holds len(characters); all ids are of this type."""
        return self._table.dtype

    def encode(self, text: str, unknown: Literal["error", "skip", "replace"] = "error") -> np.ndarray:
        """Return the ids of `text`, (N,) of type `id_type`.

        A character outside the vocabulary is an error that names it, is left out ("skip": the result is
        shorter), or becomes the unknown symbol ("replace").

        Raises:
            TextError: with "error", a character is not in the vocabulary; always, a lone surrogate.
            ValueError: "replace" without an unknown symbol, or another word than these three.
        """
        return np.concatenate([np.empty(0, self.id_type), *self.encode_blocks([text], unknown)])

    def encode_blocks(
        self, blocks: Iterable[str], unknown: Literal["error", "skip", "replace"] = "error"
    ) -> Iterator[np.ndarray]:
        """Yield the ids of a text that comes in blocks, as `encode` returns them for a whole one.

        With "error" the rest of the text is read before the error is raised, which names all that is missing.
        """
        if unknown not in ("error", "skip", "replace"):
            raise ValueError(f"unknown={unknown!r} must be 'error', 'skip' or 'replace'")
        if unknown == "replace" and self.unknown is None:
            raise ValueError("this vocabulary has no unknown symbol to replace with; use unknown='skip' or 'error'")
        missing: dict[str, int] = {}  # and where it comes first
        for start, codes in _code_points(blocks):
            # mode="clip" sends a code point past the table to its last entry, which stands for no character.
            ids = np.take(self._table, codes, mode="clip")
            if unknown != "replace" and (absent := ids == len(self.characters)).any():
                if unknown == "error":
                    places = np.flatnonzero(absent)
                    new, first = np.unique(codes[places], return_index=True)
                    for code, place in zip(new.tolist(), places[first].tolist(), strict=True):
                        missing.setdefault(chr(code), start + place)
                ids = ids[~absent]
            yield ids
        if missing:
            raise TextError(self._complaint(missing))

    def decode(self, ids: np.ndarray | Sequence[int]) -> str:
        """Return the text of `ids`, integers of any shape, read in C order.

        Raises:
            ValueError: an id is not an integer from 0 to V-1.
        """
        flat = np.asarray(ids).ravel()
        if flat.size == 0:
            return ""
        if not np.issubdtype(flat.dtype, np.integer):
            raise ValueError(f"ids must be integers, not {flat.dtype}")
        outside = (flat < 0) | (flat >= len(self))
        if outside.any():
            raise ValueError(f"id {flat[outside.argmax()]} is outside the vocabulary, 0 to {len(self) - 1}")
        return "".join(map(self.symbols.__getitem__, flat.tolist()))

    def to_json(self) -> str:
        """Return a string from which `from_json` rebuilds an equal vocabulary."""
        return json.dumps({"characters": self.characters, "unknown": self.unknown})

    @classmethod
    def from_json(cls, text: str) -> "Vocabulary":
        """Rebuild a vocabulary from `to_json`.

        Raises:
            TextError: the string was not written by `to_json`, or was altered.
        """
        try:
            fields = json.loads(text)
            characters, unknown = fields["characters"], fields["unknown"]
            if not isinstance(characters, str) or not isinstance(unknown, str | None):
                raise TypeError("its fields have the wrong types")
            vocabulary = cls(characters, unknown=unknown)
        except (ValueError, TypeError, KeyError) as error:
            raise TextError(f"the stored vocabulary is damaged: {error}") from error
        if vocabulary.characters != characters:
            raise TextError("the stored vocabulary is damaged: its characters are not sorted and distinct")
        return vocabulary

    def __len__(self) -> int:
        """V, the number of ids."""
        return len(self.symbols)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return (self.characters, self.unknown) == (other.characters, other.unknown)

    def __hash__(self) -> int:
        return hash((self.characters, self.unknown))

    def __repr__(self) -> str:
        return f"Vocabulary({self.characters!r}, unknown={self.unknown!r})"

    def _complaint(self, missing: dict[str, int]) -> str:
        first = min(missing, key=missing.__getitem__)
        others = sorted(missing.keys() - {first})
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        also = f" (also missing: {' '.join(map(repr, others[:5]))}{more})" if others else ""
        fix = "leave such characters out with unknown='skip'"
        if self.unknown is not None:
            fix += f" or read them as {self.unknown!r} with unknown='replace'"
        return (
            f"{first!r} (U+{ord(first):04X}) at index {missing[first]} is not in the vocabulary of "
            f"{len(self.characters)} characters{also}; {fix}"
        )


def count_characters(blocks: Iterable[str]) -> np.ndarray:
    """Return how often each code point occurs in a text that comes in blocks, (0x110000,).

    Raises:
        TextError: the text holds a lone surrogate.
    """
    counts = np.zeros(0x110000, dtype=np.int64)  # one entry for every code point there is
    for _, codes in _code_points(blocks):
        found = np.bincount(codes)
        counts[: len(found)] += found
    return counts


def _code_points(blocks: Iterable[str]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (index of the first, code points) for one piece of the text after the other."""
    start = 0
    for text in blocks:
        for first in range(0, len(text), BLOCK):
            piece = text[first : first + BLOCK]
            try:
                encoded = piece.encode("utf-32-le")
            except UnicodeEncodeError as error:
                raise TextError(
                    f"U+{ord(piece[error.start]):04X} at index {start + error.start} is half of a surrogate pair and "
                    "no character; read the text again with the encoding it was written in"
                ) from error
            yield start, np.frombuffer(encoded, dtype="<u4")
            start += len(piece)
