"""A course as data: which functions it asks for, with what arguments, in which layout, for how many points.

A profile is a TOML file (see profiles/): for each function its family and role, and for each argument
and each returned value one line of minrnn.grading.courses.layout, or one of

    cache: cache                what the forward returned and the backward gets; never looked into
    vocab_size: size V          a size as a number
    cell: object RNNCell        an object of one of the profile's classes, with its weights
    prefix: text P              ids as a string of letters: 0 is a, 1 is b
    verbose: value false        a constant
    y_pred: ignore              returned, not compared

and {parameters = ["Wax: …", …]} is a dict of lines, {"list state" = ["H: …"]} a list of them, {"cache cache" = [lines]}
a cache that the course prescribes: a tuple.

[classes.NAME] is the student's class NAME or, with `source`, another one: a second description of it for another place,
or "module.Class" of [modules], an object of the course that the student's code uses.

Functions that are `optional` count only where they are there: a submission that has none of that name can have all the
points without it, and a stub of it is not written. [[functions.NAME.remarks]] says a thing beside one cause.

What this is not: a judge, and not code of any course.
"""

import hashlib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minrnn.grading.courses import cases, layout
from minrnn.grading.courses.course import Class, Function, Profile, Remark
from minrnn.grading.courses.layout import LayoutError
from minrnn.grading.courses.table import Item, ProfileError, Table
from minrnn.grading.loading.submission import Submission
from minrnn.grading.outcome.codes import CODES
from minrnn.grading.reference import FAMILIES

__all__ = ["Class", "Function", "Item", "Profile", "ProfileError", "builtin", "choose", "detect", "read"]

FOLDER = Path(__file__).parent / "profiles"
ROLES = ("forward", "backward", "loss", "update", "sample")
HALF = 0.5
FORBIDDEN = ("torch", "tensorflow", "jax", "autograd", "keras", "minrnn", "cupy")


def builtin() -> list[str]:
    """Names of the profiles that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read(source: str | Path) -> Profile:
    """The profile of that name, or of the file at that path.

    Raises:
        ProfileError: no such profile, or a file with a mistake; it says the file, the key and what to write.
    """
    path = FOLDER / f"{source}.toml" if str(source) in builtin() else Path(source)
    try:
        raw = path.read_bytes()
        document = tomllib.loads(raw.decode("utf-8"))
    except FileNotFoundError:
        known = ", ".join(builtin())
        raise ProfileError(f"there is no profile {str(source)!r}: take one of {known}, or a path") from None
    except (OSError, ValueError) as error:
        raise ProfileError(f"{path.name} is not a TOML file that can be read: {error}") from error
    return _profile(Table(path.name, "", document), hashlib.sha256(raw).hexdigest())


def detect(submission: Submission, profiles: Sequence[Profile]) -> list[tuple[Profile, float]]:
    """The profiles with the share of their functions that the submission has, best first.

    A name counts by the share of its arguments that have the profile's names, in their places; not at all with fewer
    arguments, or with further ones where the names differ.
    """
    scores = [(profile, _score(submission, profile)) for profile in profiles]
    return sorted(scores, key=lambda pair: -pair[1])


def _score(submission: Submission, profile: Profile) -> float:
    found = {function.name: _likeness(submission, function) for function in profile.functions}
    counted = [found[f.name] for f in profile.functions if found[f.name] or not f.optional]
    return sum(counted) / len(counted) if counted else 0.0


def _likeness(submission: Submission, function: Function) -> float:
    methods = submission.classes.get(function.owner, {}) if function.owner else submission.functions
    info = methods.get(function.name.rpartition(".")[2])
    if info is None:
        return 0.0
    has = [name for name in info.arguments if name != "self"]
    wanted = [item.name for item in function.arguments]
    if has[: len(wanted)] == wanted:
        return 1.0
    return sum(a == b for a, b in zip(has, wanted, strict=True)) / len(wanted) if len(has) == len(wanted) else 0.0


def choose(found: Sequence[tuple[Profile, float]]) -> Profile:
    """The one profile that fits, out of what `detect` found.

    Raises:
        ProfileError: none has half of its functions there, or two fit equally well; it lists the candidates.
    """
    listed = ", ".join(f"{profile.name} ({score:.0%})" for profile, score in found[:3] if score > 0) or "none has any"
    if not found or found[0][1] < HALF:
        raise ProfileError(f"no profile has half of its functions in the submission ({listed}): name it by --profile")
    if len(found) > 1 and found[1][1] == found[0][1]:
        raise ProfileError(f"several profiles fit the submission equally ({listed}): name one by --profile")
    return found[0][0]


def _profile(top: Table, sha256: str) -> Profile:
    sizes = {**layout.SIZES, **top.take("sizes", dict, {})}
    functions = tuple(_function(name, table) for name, table in top.tables("functions"))
    profile = Profile(
        name=top.take("name", str),
        title=top.take("title", str),
        functions=functions,
        classes={name: _class(name, table) for name, table in top.tables("classes")},
        sizes=sizes,
        modules=top.take("modules", dict, {}),
        forbidden=tuple(top.take("forbidden", list, list(FORBIDDEN))),
        scale=top.take("scale", float, 1.0),
        sha256=sha256,
    )
    top.done()
    if not functions:
        raise top.error("functions", "is missing: a profile needs at least one [functions.NAME]")
    for function in functions:
        problem = _problem(function, profile)
        if problem:
            raise top.error(f"functions.{function.name}", problem)
    return profile


def _problem(function: Function, profile: Profile) -> str | None:
    """What is wrong with a function beside the others, or None."""
    together = profile.groups()[function.group]
    for name in (function.owner, *(item.content for item in function.objects())):
        if name and name not in profile.classes:
            return f"needs a table [classes.{name}]"
    for made in profile.used(function):
        if made.module and made.module not in profile.modules:
            return f"uses the class {made.source}: there must be a module {made.module!r} in [modules]"
    if len(together) > 2 or (len(together) == 2 and [f.role for f in together] != ["forward", "backward"]):
        return f"is in the group {function.group!r}: a group is a forward and its backward, or one function"
    if function.role == "backward" and len(together) == 1:
        return f"needs a forward before it in its group {function.group!r}"
    cached = [item.kind == "cache" for item in function.arguments]
    if any(cached) and "cache" not in [item.kind for item in together[0].returns.content or ()]:
        return f"gets a cache, but {together[0].name} returns none: add 'cache: cache' to its returns"
    inputs = {part.name for tensor in function.given() for part in tensor.parts}
    for state in ("h", "c"):
        if function.role == "forward" and state in inputs and f"{state}_prev" in FAMILIES[function.family].inputs:
            line = f"{state}: N H = {state}_prev"
            return f"gets {state}, which comes out of it: write such as {line!r} for the state that goes in"
    names = [f.name for f in profile.functions]
    if function.step and function.step not in names[: names.index(function.name)]:
        return f"has the step {function.step!r}: it must be a function of the profile that stands before this one"
    sizes = {**profile.sizes, **function.sizes}
    try:
        of = cases.layout_of(function.family, function.gates, sizes)
        for tensor in (*profile.given(function), *function.answered(), *function.prescribed()):
            layout.check(tensor, of)
    except LayoutError as error:
        return f"has a line that does not fit the family {function.family}: {error}"
    return None


def _function(name: str, table: Table) -> Function:
    single = isinstance(table.values.get("returns"), dict | str)
    if single:
        returns = table.item("returns", table.values.pop("returns"))
    else:
        returns = Item("", "tuple", table.items("returns"))
    function = Function(
        name=name,
        group=table.take("group", str),
        family=table.take("family", str),
        role=table.take("role", str),
        arguments=table.items("arguments"),
        returns=returns,
        globals=table.items("globals", []),
        attributes=table.items("attributes", []),
        points=table.take("points", float, 1.0),
        gates=table.take("gates", str, "").replace(" ", ""),
        step=table.take("step", str, ""),
        sizes=table.take("sizes", dict, {}),
        constants=table.take("constants", dict, {}),
        cases=tuple(table.take("cases", list, [])),
        optional=table.take("optional", bool, False),
        remarks=tuple(_remark(table, entry) for entry in table.take("remarks", list, [])),
    )
    table.done()
    if function.family not in FAMILIES:
        raise table.error("family", f"is {function.family!r}: it must be one of {', '.join(FAMILIES)}")
    canonical = FAMILIES[function.family].gates
    if function.gates and sorted(function.gates) != sorted(canonical):
        raise table.error("gates", f"are {function.gates!r}: they must be {' '.join(canonical)} in the course's order")
    if not all(isinstance(case, dict) for case in function.cases):
        raise table.error("cases", "must be a list of tables, such as [{T = 6}, {limit = 0.5}]")
    if function.points < 0:
        raise table.error("points", f"are {function.points:g}: they must be at least 0")
    if function.role not in ROLES:
        raise table.error("role", f"is {function.role!r}: it must be one of {', '.join(ROLES)}")
    return function


def _class(name: str, table: Table) -> Class:
    made = Class(
        name,
        table.items("new", []),
        table.take("init", str, ""),
        table.items("weights", []),
        table.take("reset", str, ""),
        table.take("accumulates", bool, False),
        table.take("source", str, name),
    )
    table.done()
    return made


def _remark(table: Table, entry: Any) -> Remark:
    inner = Table(table.file, f"{table.key}.remarks", entry)
    remark = Remark(inner.take("cause", str), inner.take("code", str), inner.take("text", str))
    inner.done()
    for code in (remark.cause, remark.code):
        if code not in CODES:
            raise inner.error(code, "is not a code that the grader knows: see `minrnn grade --explain`")
    return remark
