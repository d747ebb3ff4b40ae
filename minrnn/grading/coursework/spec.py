"""An instructor's settings for an assignment, hw.toml: points, policies, limits, other names, modules, what is hidden.

    profile = "cs231n-a3"            # a name, or the path of a profile beside this file
    hidden = ["lstm_backward"]       # students see points and verdict of these, and what step they suffer from
    [points]
    lstm_backward = 20               # it is asked for then, also where the profile says that it is optional
    [policy]
    shape = "half"                   # and the others of minrnn.grading.outcome.result.POLICIES
    hints = 1                        # 0 verdict, 1 where, 2 why, 3 how to repair
    [limits]
    cpu_s = 20                       # seconds of computing; wall_s by the clock (several times that), memory_mib …
    [alias]
    my_step = "rnn_step_forward"     # a name that students use = the name in the profile
    [modules]
    allow = ["course_utils"]         # course_utils.py, beside this file, can be imported by submissions

What this is not: a profile. It changes what a profile says about marks, never what is asked for.
"""

import hashlib
import sys
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from minrnn.grading.courses.profile import Function, Profile, builtin
from minrnn.grading.courses.table import ProfileError, Table
from minrnn.grading.loading.submission import Submission
from minrnn.grading.outcome.result import POLICIES, FunctionResult, Grade
from minrnn.grading.sandbox import Limits

HINTS = 2


@dataclass(frozen=True)
class Spec:
    """What a hw.toml says; the defaults are those of an empty one.

    `profile` is a name or a path that can be read from here, "" where none is named. `modules` are sources by name.
    `files` are the other files that it names, by their paths from its folder. `file` is its own name, `sha256` that of
    its content.
    """

    profile: str = ""
    points: Mapping[str, float] = field(default_factory=dict)
    policies: Mapping[str, str] = field(default_factory=dict)
    hints: int = HINTS
    limits: Limits = field(default_factory=Limits)
    alias: Mapping[str, str] = field(default_factory=dict)
    modules: Mapping[str, str] = field(default_factory=dict)
    allow: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    file: str = ""
    sha256: str | None = None


def read(path: str | Path) -> Spec:
    """Return what the file says.

    Raises:
        ProfileError: it cannot be read or has a mistake; the message names the file, the key and what to write.
    """
    place = Path(path)
    try:
        raw = place.read_bytes()
        top = Table(place.name, "", tomllib.loads(raw.decode("utf-8")))
    except OSError as error:
        raise ProfileError(f"the settings {place} cannot be read ({error.strerror}): name a TOML file") from error
    except ValueError as error:
        raise ProfileError(f"{place.name} is not a TOML file that can be read: {error}") from error
    profile, profile_files = _profile_of(top, place.parent)
    allow, modules, module_files = _modules(_table(top, "modules"), place.parent)
    policies, hints = _policies(_table(top, "policy"))
    spec = Spec(
        profile=profile,
        points=_points(_table(top, "points")),
        policies=policies,
        hints=hints,
        limits=_limits(_table(top, "limits")),
        alias=_texts(_table(top, "alias")),
        modules=modules,
        allow=allow,
        hidden=_names(top, "hidden"),
        files=(*profile_files, *module_files),
        file=place.name,
        sha256=hashlib.sha256(raw).hexdigest(),
    )
    top.done()
    return spec


def applied(spec: Spec, profile: Profile) -> Profile:
    """Return the profile with the points, the modules and the allowed imports of the settings.

    Raises:
        ProfileError: the settings name a function that the profile does not have.
    """
    known = [function.name for function in profile.functions]
    owners = [function.owner for function in profile.functions if function.owner]
    for key, names, valid in (
        ("points", spec.points, known),
        ("hidden", spec.hidden, known),
        ("alias", spec.alias.values(), [*known, *owners]),
    ):
        for name in names:
            if name not in valid:
                raise ProfileError(f"{spec.file}: {key} names {name!r}: profile {profile.name} has {', '.join(valid)}")
    functions = tuple(_with_marks(spec, f) for f in profile.functions)
    forbidden = tuple(name for name in profile.forbidden if name not in spec.allow)
    return replace(profile, functions=functions, forbidden=forbidden, modules={**profile.modules, **spec.modules})


def _with_marks(spec: Spec, function: Function) -> Function:
    aliases = tuple(own for own, name in spec.alias.items() if name == function.name)
    if function.name not in spec.points:
        return replace(function, aliases=aliases)
    return replace(function, aliases=aliases, points=spec.points[function.name], optional=False)


def renamed(submission: Submission, alias: Mapping[str, str]) -> Submission:
    """Return the submission in which what goes by another name can be called by that of the profile as well.

    A name that the submission already has stays what it is.
    """
    functions, classes, lines = dict(submission.functions), dict(submission.classes), []
    for own, name in alias.items():
        if name in functions or name in classes:
            continue
        if own in functions:
            functions[name] = replace(functions[own], name=name)
        elif own in classes:
            classes[name] = classes[own]
        else:
            continue
        lines.append(f"{name} = {own}\n")
    if not lines:
        return submission
    source = "".join([submission.source.rstrip("\n"), "\n", *lines])
    return replace(submission, source=source, functions=functions, classes=classes)


def veiled(grade: Grade, hidden: Collection[str]) -> Grade:
    """Return the grade as students may see it: of hidden functions the points, the verdict and whose fault it is."""
    if not hidden:
        return grade
    functions = [_bare(function) if function.name in hidden else function for function in grade.functions]
    return replace(grade, functions=functions)


def _bare(function: FunctionResult) -> FunctionResult:
    score, most = function.score, function.max_score
    bare = FunctionResult(function.name, function.group, function.status, score, most, seconds=function.seconds)
    bare.isolated, bare.blocked_by = function.isolated, function.blocked_by
    return bare


def _table(top: Table, key: str) -> Table:
    return Table(top.file, key, top.take(key, dict, {}))


def _profile_of(top: Table, folder: Path) -> tuple[str, list[str]]:
    """The profile as it can be read from here, and the file that it is in, if it does not come with the package."""
    name = top.take("profile", str, "")
    if not name or name in builtin():
        return name, []
    if not (folder / name).is_file():
        raise top.error(
            "profile", f"is {name!r}: it must be one of {', '.join(builtin())}, or a file beside {top.file}"
        )
    return str(folder / name), [name]


def _points(table: Table) -> dict[str, float]:
    points = {name: table.take(name, float) for name in list(table.values)}
    for name, value in points.items():
        if not 0 <= value <= 1e6:
            raise table.error(name, f"is {value:g}: points must be from 0 to 1000000")
    return points


def _policies(table: Table) -> tuple[dict[str, str], int]:
    hints = table.take("hints", int, HINTS)
    if hints not in (0, 1, 2, 3):
        raise table.error("hints", f"is {hints}: it must be 0 (verdict), 1 (where), 2 (why) or 3 (how to repair)")
    policies = {name: table.take(name, str) for name in POLICIES if name in table.values}
    table.done()
    for name, value in policies.items():
        if value not in POLICIES[name]:
            raise table.error(name, f"is {value!r}: it must be one of {', '.join(POLICIES[name])}")
    return policies, hints


def _limits(table: Table) -> Limits:
    given: dict[str, Any] = {}
    for item in fields(Limits):
        if item.name in table.values:
            given[item.name] = table.take(item.name, float if item.name == "wall_s" else int)
            if not given[item.name] > 0:
                raise table.error(item.name, f"is {given[item.name]:g}: it must be more than 0")
    table.done()
    return Limits(**given)


def _texts(table: Table) -> dict[str, str]:
    return {name: table.take(name, str) for name in list(table.values)}


def _names(table: Table, key: str) -> tuple[str, ...]:
    names = table.take(key, list, [])
    for name in names:
        if not isinstance(name, str):
            raise table.error(key, f"has {name!r}: it must be a list of names in quotes")
    return tuple(names)


def _modules(table: Table, folder: Path) -> tuple[tuple[str, ...], dict[str, str], list[str]]:
    """The allowed modules, the sources of those that are not part of Python, and the files where these are."""
    allow, modules, files = _names(table, "allow"), {}, []
    table.done()
    for name in allow:
        if name.split(".")[0] in sys.stdlib_module_names:
            continue
        file = name.replace(".", "/") + ".py"
        try:
            modules[name] = (folder / file).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise table.error(
                "allow",
                f"has {name!r}, but {file} beside {table.file} cannot be read: put what is to be imported there",
            ) from error
        files.append(file)
    return allow, modules, files
