"""The second run of a loop over time, with its step replaced by a right one: a wrong step costs its points once.

The replacement computes here, in the parent. A backward step is known by the cache that the replaced forward step gave
out: the tuple that the course prescribes, or an opaque token. A loop that makes its own caches or looks inside a token
cannot be graded this way, and that is said.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minrnn.grading.courses.cases import complete, layout_of
from minrnn.grading.courses.layout import Layout, Pieces, assemble, to_canonical, to_student
from minrnn.grading.courses.profile import Function, Item, Profile
from minrnn.grading.judging import trials
from minrnn.grading.judging.calls import Answer
from minrnn.grading.judging.trials import Trial, Unit
from minrnn.grading.reference import FAMILIES
from minrnn.grading.sandbox import Child, Handle

UNUSED = "The step is not called by this function, so it was not graded with a right one."
IMPOSSIBLE = "The function makes its own caches or looks into those of the step, so a right step cannot be put in."


class Steps:
    """The right steps of a unit, as callbacks of a child."""

    def __init__(self, profile: Profile, sizes: Mapping[str, int]) -> None:
        self.profile, self.sizes = profile, sizes
        self.known: dict[str, dict[str, Any]] = {}  # the inputs behind each token
        self.called = 0
        self.refused = False

    def callback(self, step: Function) -> Callable[[tuple[Any, ...], dict[str, Any]], Any]:
        """What answers in the place of a step function."""

        def answer(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            self.called += 1
            try:
                return self._answer(step, args, kwargs)
            except Exception:
                self.refused = True
                raise

        return answer

    def _answer(self, step: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        layout = layout_of(step.family, step.gates, self.sizes)
        names = [item.name for item in step.arguments]
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        family = FAMILIES[step.family]
        values = _canonical(step.arguments, given, layout)
        if step.role == "backward":
            cache = next(given[item.name] for item in step.arguments if item.kind == "cache")
            return _built(step.returns, family.backward(self._inputs(step, cache, layout), values), layout, None)
        token = Handle(f"p{len(self.known)}")
        self.known[token.id] = values
        return _built(step.returns, values | complete(family.forward(values), values), layout, token)

    def _inputs(self, step: Function, cache: Any, layout: Layout) -> dict[str, Any]:
        """The inputs of the forward step that gave out a cache: behind the token, or in the prescribed tuple."""
        if isinstance(cache, Handle):
            return self.known[cache.id]
        items = self.profile.forward_of(step).cache()
        return _canonical(items, {item.name: part for item, part in zip(items, cache, strict=True)}, layout)


def _canonical(items: Sequence[Item], given: Mapping[str, Any], layout: Layout) -> dict[str, Any]:
    pieces: Pieces = {}
    for item in items:
        for tensor in item.tensors():
            value = given[item.name][tensor.name] if item.kind == "dict" else given[item.name]
            if np.ndim(value) == 0:  # such as a carry that begins as 0
                value = np.full(tensor.shape(layout), value)
            pieces |= to_canonical(tensor, value, layout)
    return assemble(pieces, layout)


def _built(item: Item, values: Mapping[str, Any], layout: Layout, token: Handle | None) -> Any:
    """The returned value of a step in the form of the course."""
    if item.kind == "tensor":
        return to_student(item.content, values, layout)
    if item.kind == "cache" and item.content is None:
        return token
    if item.kind == "dict":
        return {inner.name: _built(inner, values, layout, token) for inner in item.content}
    return tuple(_built(inner, values, layout, token) for inner in item.content) if item.content else None


def _touched_token(answer: Answer) -> bool:
    """Whether the student's code failed because it looked into a cache that is a token."""
    return answer.reply.exception is not None and "Token" in answer.reply.exception.text


def run(child: Child, unit: Unit, seeds: Sequence[int]) -> tuple[list[Trial] | None, str]:
    """Run a unit with the right steps put in, in a child that has loaded the submission; and what to say of it.

    None where that is not possible.
    """
    steps = Steps(unit.profile, {**unit.profile.sizes, **unit.first.sizes})
    known = {function.name for function in unit.profile.functions}
    for function in unit.functions:
        if function.step in known:
            step = unit.profile.find(function.step)
            for name in (step.name, *step.aliases):
                child.replace(name, steps.callback(step))
    runs = trials.run(child, unit, seeds, differences=False)
    if not steps.called:
        return None, UNUSED
    if steps.refused or any(_touched_token(answer) for trial in runs for answer in trial.answers.values()):
        return None, IMPOSSIBLE
    names = " and ".join(function.step for function in unit.functions if function.step)
    return runs, f"Graded with a right {names}."
