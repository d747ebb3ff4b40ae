"""A profile's file read key by key: what is missing, of the wrong type or unknown is an error that says where.

It knows the lines that describe arguments and values; what the keys mean is for minrnn.grading.courses.profile.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from minrnn.grading.courses import layout
from minrnn.grading.courses.layout import LETTERS, LayoutError, Tensor


class ProfileError(ValueError):
    """A profile that cannot be read, or a submission that belongs to none or to several."""


@dataclass(frozen=True)
class Item:
    """An argument, a returned value, a global or an attribute.

    `kind` is "tensor", "text", "cache", "size", "value", "object", "ignore", "dict", "list" or "tuple". `content` is
    the Tensor (of a text, that of its ids), the letter, the constant, the name of the class, or the tuple of Items;
    of a cache, the Items that the course says it has, or None.
    """

    name: str
    kind: str
    content: Any = None

    def tensors(self) -> Iterator[Tensor]:
        """All tensors in it, in order."""
        for item in self.single():
            if item.kind in ("tensor", "text"):
                yield item.content

    def objects(self) -> "Iterator[Item]":
        """All objects in it, in order."""
        return (item for item in self.single() if item.kind == "object")

    def single(self) -> "Iterator[Item]":
        """It, or what is in it where it is made of others."""
        if self.kind not in ("dict", "list", "tuple"):
            yield self
            return
        for item in self.content:
            yield from item.single()


class Table:
    """A table of the file that is read key by key: what is left over at the end is a mistake."""

    def __init__(self, file: str, key: str, values: Any) -> None:
        self.file, self.key = file, key
        if not isinstance(values, dict):
            raise self.error("", "must be a table")
        self.values = dict(values)

    def error(self, key: str, text: str) -> ProfileError:
        """The mistake at a key of this table."""
        return ProfileError(f"{self.file}: {'.'.join(part for part in (self.key, key) if part) or 'the file'} {text}")

    def take(self, key: str, kind: type, default: Any = None) -> Any:
        """The value of a key; an error if it has another type, or is missing and has no default."""
        if key not in self.values:
            if default is None:
                raise self.error(key, "is missing")
            return default
        value = self.values.pop(key)
        if kind is float and type(value) is int:
            value = float(value)
        if not isinstance(value, kind):
            raise self.error(key, f"is {value!r}: it must be a {kind.__name__}")
        return value

    def tables(self, key: str) -> "list[tuple[str, Table]]":
        """The tables in the table of that key, by name."""
        inner = Table(self.file, key, self.take(key, dict, {}))
        return [(name, Table(self.file, f"{key}.{name}", values)) for name, values in inner.values.items()]

    def items(self, key: str, default: list[Any] | None = None) -> tuple[Item, ...]:
        """The lines of a key."""
        return tuple(self.item(key, entry) for entry in self.take(key, list, default))

    def item(self, key: str, entry: Any, name: str = "") -> Item:
        """One line, or a list or dict of lines."""
        if isinstance(entry, list):
            return Item(name, "list", tuple(self.item(key, inner) for inner in entry))
        if isinstance(entry, dict) and len(entry) == 1:
            ((name, lines),) = entry.items()
            kind, _, after = name.partition(" ")
            inner = self.item(key, lines, name)
            if kind in ("list", "cache") and after:
                return Item(after, kind, inner.content)
            return Item(name, "dict", inner.content)
        if not isinstance(entry, str):
            raise self.error(key, f"has {entry!r}: write a line such as 'x: N T D', or a list of lines")
        name, _, rest = (part.strip() for part in entry.partition(":"))
        kind, _, text = rest.partition(" ")
        try:
            if rest in ("cache", "ignore"):
                return Item(name, rest)
            if kind == "object":
                return Item(name, "object", text.strip())
            if kind == "size":
                return Item(name, "size", self.letter(key, text.strip()))
            if kind == "value":
                return Item(name, "value", json.loads(text))
            if kind == "text":
                return Item(name, "text", layout.parse(f"{name}: {text}"))
            return Item(name, "tensor", layout.parse(entry))
        except (LayoutError, ValueError) as error:
            raise self.error(key, f"is wrong: {error}") from error

    def letter(self, key: str, text: str) -> str:
        """A letter of a size."""
        if text not in LETTERS:
            raise self.error(key, f"has the size {text!r}: use one of {' '.join(sorted(LETTERS))}")
        return text

    def done(self) -> None:
        """Complain of the keys that nobody asked for."""
        for key in self.values:
            raise self.error(key, "is not a key that is known here: remove it or correct its spelling")
