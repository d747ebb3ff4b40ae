"""Calls of a student's functions: arguments out of canonical values, returned tensors by their names.

What it is not: a comparison. Whatever a student returns is taken apart as far as it has the form that the profile says,
and what is not there is None.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from string import ascii_lowercase as ALPHABET
from typing import Any

import numpy as np

from minrnn.grading.courses import layout as layouts
from minrnn.grading.courses.layout import Layout, Tensor
from minrnn.grading.courses.profile import Class, Function, Item, Profile
from minrnn.grading.sandbox import Child, Handle, Reply

DRAWS = 231  # seed of the random numbers of a function that draws
SHARES = {1: (1.0,), 2: (0.3, 0.7)}  # of a canonical value where several tensors add up to it


@dataclass
class Answer:
    """What came of a call: the reply, and the returned tensors by the course's names; None where there is none."""

    reply: Reply
    tensors: dict[str, Any] = field(default_factory=dict)
    cache: Any = None

    @property
    def ok(self) -> bool:
        """Whether the call came to its end."""
        return self.reply.ok


class Session:
    """One object, or one setting of the module's globals, in a child: a forward and the backward that belongs to it."""

    def __init__(self, child: Child, profile: Profile, layout: Layout) -> None:
        self.child, self.profile, self.layout = child, profile, layout
        self.cache: Any = None
        self.object: Handle | None = None
        self.given: dict[str, Handle] = {}  # objects that are arguments

    def prepare(self, function: Function, values: Mapping[str, Any]) -> Reply | None:
        """Make the object and set the globals that a call needs; the reply that failed, if one did."""
        made = self.profile.classes.get(function.owner)
        if made and self.object is None:
            reply = self.make(made, values)
            if not reply.ok:
                return reply
            self.object = reply.value
        for item in function.objects():
            reply = self.make(self.profile.classes[item.content], values)
            if not reply.ok:
                return reply
            self.given[item.name] = reply.value
        if made and made.reset and function.role == "backward":
            reply = self.child.call(f"{self._handle().id}.{made.reset}")
            if not reply.ok:
                return reply
        if function.globals:
            arguments = self._arguments(function.globals, values)
            reply = self.child.set_globals({item.name: a for item, a in zip(function.globals, arguments, strict=True)})
            if not reply.ok:
                return reply
        return None

    def make(self, made: Class, values: Mapping[str, Any]) -> Reply:
        """An object of the student's class with the weights set; the value of the reply is its handle."""
        reply = self.child.call(f"new:{made.source}", self._arguments(made.new, values))
        if not reply.ok:
            return reply
        weights = self._arguments(made.weights, values)
        if made.init:
            done = self.child.call(f"{reply.value.id}.{made.init}", weights)
            return reply if done.ok else done
        for item, array in zip(made.weights, weights, strict=True):
            self.child.set(reply.value, item.name, array)
        return reply

    def call(self, function: Function, values: Mapping[str, Any], again: bool = False) -> Answer:
        """Call the function with the canonical values; `again` leaves object and globals as the last call left them."""
        failed = None if again else self.prepare(function, values)
        if failed:
            return Answer(failed)
        keep, seed = kept(function.returns), DRAWS if function.role == "sample" else None
        reply = self.child.call(self.target(function), self.arguments(function, values), keep=keep, seed=seed)
        if not reply.ok:
            return Answer(reply)
        answer = Answer(reply, dict(taken(function.returns, reply.value)), cache_in(function.returns, reply.value))
        for item in function.attributes:
            found = self.child.get(self.object or next(iter(self.given.values())), item.name)
            answer.tensors |= dict(taken(item, found.value if found.ok else None))
        if answer.cache is not None:
            self.cache = answer.cache
        return answer

    def prescribe(self, forward: Function, values: Mapping[str, Any]) -> None:
        """Take the cache that the course prescribes in place of one that the student's forward returned."""
        self.cache = self._arguments(forward.cache(), values)

    def target(self, function: Function) -> str:
        """What the child is to call: a name, or a method of the object."""
        if function.owner:
            return f"{self._handle().id}.{function.name.rpartition('.')[2]}"
        return function.name

    def arguments(
        self, function: Function, values: Mapping[str, Any], base: tuple[Any, ...] = (), changed: str = ""
    ) -> tuple[Any, ...]:
        """The positional arguments of a call; of `base`, those that hold the canonical value `changed` are renewed."""
        if not base:
            return self._arguments(function.arguments, values)
        share = shares([tensor for item in function.arguments for tensor in item.tensors()])
        return tuple(
            self._argument(item, values, share) if _holds(item, changed) else old
            for item, old in zip(function.arguments, base, strict=True)
        )

    def _handle(self) -> Handle:
        if self.object is None:
            raise RuntimeError("there is no object yet: call prepare first")
        return self.object

    def _arguments(self, items: tuple[Item, ...], values: Mapping[str, Any]) -> tuple[Any, ...]:
        share = shares([tensor for item in items for tensor in item.tensors()])
        return tuple(self._argument(item, values, share) for item in items)

    def _argument(self, item: Item, values: Mapping[str, Any], share: Mapping[str, float]) -> Any:
        if item.kind == "tensor":
            array = layouts.to_student(item.content, values, self.layout)
            return array * share[item.name] if share[item.name] != 1 else _sendable(array)
        if item.kind == "text":
            return "".join(ALPHABET[int(id)] for id in layouts.to_student(item.content, values, self.layout))
        if item.kind == "cache":
            return self.cache if item.content is None else self._arguments(item.content, values)
        if item.kind == "object":
            return self.given[item.name]
        if item.kind == "size":
            return self.layout.sizes[item.content]
        if item.kind == "value":
            return item.content
        if item.kind == "dict":
            return {inner.name: self._argument(inner, values, share) for inner in item.content}
        return [self._argument(inner, values, share) for inner in item.content]


def shares(tensors: list[Tensor]) -> dict[str, float]:
    """How much of its canonical value each tensor gets: two biases that are added get 0.3 and 0.7 of one."""
    users: dict[Any, list[str]] = {}
    for tensor in tensors:
        for part in tensor.parts:
            users.setdefault((part.name, part.gate), []).append(tensor.name)
    found = {}
    for tensor in tensors:
        together = users[tensor.parts[0].name, tensor.parts[0].gate]
        found[tensor.name] = SHARES[len(together)][together.index(tensor.name)]
    return found


def _holds(item: Item, name: str) -> bool:
    return any(part.name == name for tensor in item.tensors() for part in tensor.parts)


def is_gradient(tensor: Tensor) -> bool:
    """Whether a returned tensor is a gradient: its canonical name begins with d."""
    return tensor.parts[0].name.startswith("d")


def _sendable(array: Any) -> Any:
    return array.item() if isinstance(array, np.generic) else array


def kept(item: Item) -> list[int]:
    """Positions of a returned tuple that stay in the child."""
    if item.kind != "tuple":
        return []
    return [k for k, inner in enumerate(item.content) if inner.kind in ("cache", "ignore")]


def cache_in(item: Item, value: Any) -> Any:
    """The cache in a returned tuple, None where there is none."""
    if item.kind != "tuple" or not isinstance(value, tuple | list):
        return None
    found = [v for inner, v in zip(item.content, value, strict=False) if inner.kind == "cache"]
    return found[0] if found else None


def taken(item: Item, value: Any) -> Iterator[tuple[str, Any]]:
    """The tensors of a returned value by name; None where the value has another form."""
    if item.kind == "tensor":
        yield item.name, as_array(value)
    elif item.kind == "text":
        yield item.name, as_ids(value)
    elif item.kind in ("tuple", "list"):
        values = value if isinstance(value, tuple | list) else ()
        if len(item.content) == 1 and not isinstance(value, tuple | list):
            values = (value,)
        for k, inner in enumerate(item.content):
            yield from taken(inner, values[k] if k < len(values) else None)
    elif item.kind == "dict":
        found = value if isinstance(value, dict) else {}
        for inner in item.content:
            yield from taken(inner, found.get(inner.name))


def as_ids(value: Any) -> Any:
    """The letters of a text as ids; None stays None, and what is no text of these letters is its type's name."""
    if isinstance(value, str) and set(value) <= set(ALPHABET):
        return np.array([ALPHABET.index(letter) for letter in value], dtype=np.int64)
    return None if value is None else type(value).__name__


def as_array(value: Any) -> Any:
    """The value as an array of numbers; None stays None, and what is no array of numbers is its type's name."""
    if value is None or isinstance(value, np.ndarray):
        return value
    if isinstance(value, Handle):
        return value.kind or "object"
    try:
        array = np.asarray(value)
    except ValueError:
        return "list of different shapes"
    return array if array.dtype.kind in "biuf" else type(value).__name__
