"""Normalisation: fewer distinct characters, before the vocabulary is made.

What it is: three switches, off by default: ASCII transliteration, lower case, and NFC, which composes a
letter and its combining accent into one character (Unicode Standard Annex 15).
What it is not: reversible. What a model learns from normalised text, it also writes.
"""

import unicodedata

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
