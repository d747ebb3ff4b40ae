"""What a course asks for: functions with their arguments, and classes. Data only; profile.py reads it from a file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from minrnn.grading.courses.layout import Tensor
from minrnn.grading.courses.table import Item


@dataclass(frozen=True)
class Remark:
    """What a course has to say where the cause of a wrong answer is the code `cause`: a note with its own code."""

    cause: str
    code: str
    text: str


@dataclass(frozen=True)
class Function:
    """One function of a course.

    Attributes:
        name: as the student writes it; "RNNCell.forward" is a method.
        group: functions that share a child process and a cache.
        family: the canonical mathematics, a name of minrnn.grading.reference.
        role: "forward", "backward", "loss" (value and gradients at once), "update" (an optimizer) or "sample" (draws).
        arguments: positional, in order.
        returns: one Item; a tuple where the function returns several values.
        globals: module names that it reads, set before each call.
        attributes: read after the call from the object, its own or the first that it is given.
        points: what it is worth.
        gates: letters of the gates in the course's order of fused blocks; "" where they are not fused.
        step: name of the function that it calls for every time step, or "".
        sizes: letters whose size differs from the profile's.
        constants: canonical inputs that are numbers, such as the decay of an optimizer.
        cases: sizes by letter and constants by name that the random cases have in turn.
        optional: where a submission does not have it, it is not missed: neither when profiles are compared, nor in the
            points that can be had.
        remarks: what is to be said beside a cause.
        aliases: names that students may have for it.
    """

    name: str
    group: str
    family: str
    role: str
    arguments: tuple[Item, ...]
    returns: Item
    globals: tuple[Item, ...] = ()
    attributes: tuple[Item, ...] = ()
    points: float = 1.0
    gates: str = ""
    step: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    cases: tuple[Mapping[str, Any], ...] = ()
    optional: bool = False
    remarks: tuple[Remark, ...] = ()
    aliases: tuple[str, ...] = ()

    def turn(self, k: int) -> Mapping[str, Any]:
        """What the k-th random case has of its own."""
        return self.cases[k % len(self.cases)] if self.cases else {}

    def objects(self) -> list[Item]:
        """Every object that the function is given."""
        return [inner for item in self.arguments for inner in item.objects()]

    def given(self) -> Iterator[Tensor]:
        """Every tensor that the function gets: arguments and globals."""
        for item in (*self.arguments, *self.globals):
            yield from item.tensors()

    def answered(self) -> list[Tensor]:
        """Every tensor that the function gives: returned values and attributes."""
        return [tensor for item in (self.returns, *self.attributes) for tensor in item.tensors()]

    def prescribed(self) -> list[Tensor]:
        """Every tensor of the cache that the course prescribes."""
        return [tensor for item in self.cache() for tensor in item.tensors()]

    def cache(self) -> tuple[Item, ...]:
        """What is in the returned cache, as far as the course prescribes it."""
        inside = self.returns.content if self.returns.kind == "tuple" else ()
        return next((item.content for item in inside if item.kind == "cache" and item.content), ())

    @property
    def owner(self) -> str:
        """The class of a method, "" for a function."""
        return self.name.rpartition(".")[0]


@dataclass(frozen=True)
class Class:
    """How an object of a course is made.

    source: the student's class, or one in a module of the profile ("module.Class"). new: arguments of the constructor.
    init: the method that sets the weights; "" if they are attributes to be set.
    reset: the method to be called before each backward, "" if there is none. accumulates: a second backward adds to the
    gradients of the first.
    """

    name: str
    new: tuple[Item, ...]
    init: str
    weights: tuple[Item, ...]
    reset: str = ""
    accumulates: bool = False
    source: str = ""

    @property
    def module(self) -> str:
        """The module of the profile that has the class, "" if it is the student's."""
        return self.source.rpartition(".")[0]


@dataclass(frozen=True)
class Profile:
    """A course: see the module. `sha256` is that of the file, `modules` what the course hands out beside the file."""

    name: str
    title: str
    functions: tuple[Function, ...]
    classes: Mapping[str, Class]
    sizes: Mapping[str, int]
    modules: Mapping[str, str]
    forbidden: tuple[str, ...]
    scale: float
    sha256: str

    def groups(self) -> dict[str, list[Function]]:
        """The functions by group, in the order of the file."""
        found: dict[str, list[Function]] = {}
        for function in self.functions:
            found.setdefault(function.group, []).append(function)
        return found

    def given(self, function: Function) -> list[Tensor]:
        """Every tensor that reaches a function: arguments, globals, the weights of its object and of given ones."""
        weights = [item for made in self.used(function) for item in made.weights]
        return [*function.given(), *(tensor for item in weights for tensor in item.tensors())]

    def used(self, function: Function) -> list[Class]:
        """The classes of the object that a function belongs to and of those that it is given."""
        names = [function.owner, *(item.content for item in function.objects())]
        return [self.classes[name] for name in names if name in self.classes]

    def forward_of(self, function: Function) -> Function:
        """The first function of the group: the forward of a backward."""
        return self.groups()[function.group][0]

    def find(self, name: str) -> Function:
        """The function of that name; KeyError if there is none."""
        return next(function for function in self.functions if function.name == name)
