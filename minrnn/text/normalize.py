"""Normalisation: fewer distinct characters, before the vocabulary is made.

What it is: three switches, off by default: ASCII transliteration, lower case, and NFC, which composes a
letter and its combining accent into one character (Unicode Standard Annex 15).
What it is not: reversible. What a model learns from normalised text, it also writes.
"""

import unicodedata
from collections.abc import Iterable, Iterator

from minrnn.text.extras import import_extra


def normalize(text: str, *, lowercase: bool = False, nfc: bool = False, ascii: bool = False) -> str:
    """Return `text` transliterated to ASCII, lower-cased and composed, each as asked, in this order.

    The order matters: transliteration writes capitals for characters that have no case ('№' becomes 'No'),
    and lower-casing can leave a letter decomposed ('İ' becomes 'i' and a combining dot).

    Raises:
        ImportError: `ascii` without the package anyascii.
    """
    if ascii:
        anyascii = import_extra("anyascii", "ascii", "ASCII transliteration").anyascii
        text = anyascii(unicodedata.normalize("NFC", text))  # composed, because it maps one character at a time
    if lowercase:
        text = text.lower()
    if nfc:
        text = unicodedata.normalize("NFC", text)
    return text


def normalize_blocks(
    blocks: Iterable[str], *, lowercase: bool = False, nfc: bool = False, ascii: bool = False
) -> Iterator[str]:
    """Yield the normalised text of `blocks` piece by piece; joined, the pieces are what `normalize` makes of it whole.

    What a character becomes can depend on those around it, so a block is cut where it cannot: the piece after the last
    such border waits for the next block. A text without any border is normalised in one piece.

    Raises:
        ImportError: as `normalize`.
    """
    if not (lowercase or nfc or ascii):
        yield from blocks
        return
    waiting = ""
    for block in blocks:
        first = max(len(waiting), 1)
        waiting += block
        cut = next((k for k in range(len(waiting) - 1, first - 1, -1) if _is_border(waiting[k - 1], waiting[k])), 0)
        if cut:
            yield normalize(waiting[:cut], lowercase=lowercase, nfc=nfc, ascii=ascii)
            waiting = waiting[cut:]
    yield normalize(waiting, lowercase=lowercase, nfc=nfc, ascii=ascii)


def _is_border(left: str, right: str) -> bool:
    """Whether what stands on one side of these neighbours has no influence on the other side.

    White space and ASCII compose with nothing before them. The lower case of a capital sigma asks whether a letter
    comes before and after it and looks past dots, apostrophes and accents, but not past white space, letters or digits.
    """
    return right.isspace() or ((left + right).isascii() and left.isalnum() and right.isalnum())
