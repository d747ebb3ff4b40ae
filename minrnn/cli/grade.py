"""`minrnn grade`: what is wrong in hand-written backward passes, and why; one submission, a class, or an autograder.

    minrnn grade hw.py                                            a report; the course is found by the names
    minrnn grade hw.py --practice                                 for students: verdicts and hints, no marks
    minrnn grade submissions/ --jobs 4 --csv grades.csv           a class: every file, folder and zip in it
    minrnn grade --make-gradescope hw.toml -o autograder.zip      an autograder, tested before it is uploaded

Exit codes of its own: 0 full marks, 1 less, 3 also a submission that fits no profile or several, 5 also a layer of the
sandbox that was required and is missing.
"""

import argparse
import math
import os
import sys
from pathlib import Path
from typing import Any

from minrnn.cli import grade_class
from minrnn.cli.options import print_json
from minrnn.config import ConfigError
from minrnn.grading.courses import profile
from minrnn.grading.coursework import autograder, spec, student
from minrnn.grading.coursework.assignment import Assignment, make
from minrnn.grading.outcome.codes import CODES, explain
from minrnn.grading.outcome.result import Grade, write_atomic
from minrnn.grading.report import FORMATS
from minrnn.grading.sandbox import LAYERS, SandboxError, probe

LEAST_MEMORY = 256  # MiB of address space, below which NumPy may not be imported
ALONE = ("list_codes", "explain", "sandbox_report", "make_gradescope")  # options that need no submission


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to grade, how, and what to write."""
    parser.add_argument("path", nargs="?", metavar="FILE", help="a .py or .ipynb file, a zip, or a folder")
    what = parser.add_argument_group("what is asked for")
    what.add_argument("--profile", metavar="NAME", help=f"{', '.join(profile.builtin())}, or a path (default: detect)")
    what.add_argument("--spec", metavar="HW.TOML", help="points, policies, limits, other names")
    what.add_argument("--functions", metavar="A,B", help="grade only these")
    what.add_argument("--strict-shapes", action="store_true", help="no points for right values in another shape")
    what.add_argument("--exec-module", action="store_true", help="execute the whole file, not its definitions alone")
    inputs = what.add_mutually_exclusive_group()
    inputs.add_argument("--seed", type=int, metavar="S", help="of the inputs, the same for all submissions")
    inputs.add_argument("--secret-file", metavar="FILE", help="makes inputs that students cannot foresee")
    shown = parser.add_argument_group("what is shown")
    shown.add_argument("--format", choices=tuple(FORMATS), help="of the report (default: text)")
    shown.add_argument("-o", "--out", metavar="PATH", help="file to write; for a class a folder (default: results)")
    shown.add_argument("--hints", type=int, choices=(0, 1, 2, 3), help="0 verdict, 1 where, 2 why, 3 how to repair")
    shown.add_argument("--practice", action="store_true", help="verdicts and hints alone, for students")
    shown.add_argument("--gradcheck", action="store_true", help="add a table of gradients against differences")
    shown.add_argument("--junit-skip", action="store_true", help="junit: functions not written are skipped, not failed")
    shown.add_argument("--min-score", type=float, metavar="P", help="points that are enough for exit code 0")
    shown.add_argument("--exit-zero", action="store_true", help="exit code 0 whatever the marks are")
    grade_class.add_arguments(parser)
    sandbox = parser.add_argument_group("where submissions run")
    sandbox.add_argument(
        "--timeout",
        type=float,
        metavar="S",
        help="CPU seconds for a group of functions, and 6 S by the clock (default: 10)",
    )
    sandbox.add_argument("--memory", type=int, metavar="MIB", help="address space of a child (default: 1024)")
    sandbox.add_argument("--sandbox", choices=("auto", "builtin", "none"), default="auto", help="(default: auto)")
    sandbox.add_argument("--require-sandbox", metavar="LAYERS", help=f"refuse without them: all or {','.join(LAYERS)}")
    sandbox.add_argument("--sandbox-report", action="store_true", help="say which layers this machine has")
    other = parser.add_argument_group("without a submission")
    other.add_argument("--list-codes", action="store_true", help="list the codes of all causes")
    other.add_argument("--explain", metavar="CODE", help="what a code means and how to repair it")
    other.add_argument("--make-gradescope", metavar="HW.TOML", help="write an autograder's zip to --out and test it")
    other.add_argument("--solution", metavar="FILE", help="a right solution, with which the zip is tested too")


def run(args: argparse.Namespace) -> int:
    """Do what was asked; the exit code says whether all is right."""
    _check(args)
    if args.list_codes:
        width = max(map(len, CODES))
        print("\n".join(f"{code:{width}}  {entry.what}" for code, entry in CODES.items()))
        return 0
    if args.explain:
        return _explain(args.explain)
    if args.make_gradescope:
        return _make_gradescope(args)
    if args.sandbox_report or args.require_sandbox:
        report = probe(args.sandbox)
        if args.sandbox_report:
            _print_sandbox(report, as_json=args.format == "native")
        _require(args.require_sandbox, report["layers"])
    if args.path is None:
        return 0
    assignment = _assignment(args)
    hints = assignment.spec.hints if args.hints is None else args.hints
    if grade_class.wanted(args):
        return grade_class.run(args, assignment, hints)
    grade = assignment.grade(args.path)
    grade.run["hint_level"] = hints
    _write(args, assignment, grade, hints)
    enough = args.min_score is not None and grade.score >= args.min_score and not grade.errors
    return 0 if args.exit_zero or enough or (grade.full and not grade.errors) else 1


def _check(args: argparse.Namespace) -> None:
    if args.path is None and not any(getattr(args, name) for name in ALONE):
        raise ConfigError("there is nothing to grade: name a file or a folder")
    if args.practice and args.format:
        raise ConfigError("--practice is a report of its own: leave out --format")
    if args.junit_skip and args.format != "junit":
        raise ConfigError("--junit-skip is for --format junit: add that, or leave it out")
    if args.solution and not args.make_gradescope:
        raise ConfigError("--solution is for --make-gradescope: leave it out")
    if args.gradcheck and args.format not in (None, "text"):
        raise ConfigError(f"--gradcheck adds a table to a text for people: leave out --format {args.format}")
    if args.seed is not None and args.seed < 0:
        raise ConfigError(f"--seed {args.seed} must be at least 0")
    for name, value, least in (("--timeout", args.timeout, 1), ("--memory", args.memory, LEAST_MEMORY)):
        if value is not None and not least <= value < math.inf:
            raise ConfigError(f"{name} {value} must be at least {least}")
    alone = not grade_class.wanted(args)
    for name, place in (("--out", args.out if alone else None), ("--csv", args.csv)):
        if place is not None and not os.access(Path(place).absolute().parent, os.W_OK):
            raise ConfigError(f"{name} {place} cannot be written: its folder is not there, or read-only")
    if args.format == "otter" and args.out is None and alone:
        raise ConfigError("--format otter is a zip: add -o FILE.zip")


def _explain(code: str) -> int:
    try:
        print(explain(code), end="")
    except ValueError as error:
        raise ConfigError(f"--explain: {error}") from error
    return 0


def _assignment(args: argparse.Namespace) -> Assignment:
    limits: dict[str, Any] = {}
    if args.timeout is not None:
        limits |= {"cpu_s": math.ceil(args.timeout), "wall_s": 6 * args.timeout}
    if args.memory is not None:
        limits["memory_mib"] = args.memory
    return make(
        args.profile or "",
        spec.read(args.spec) if args.spec else None,
        policies={"shape": "strict"} if args.strict_shapes else {},
        limits=limits,
        functions=tuple(name.strip() for name in (args.functions or "").split(",") if name.strip()),
        sandbox=args.sandbox,
        whole=args.exec_module,
        secret=_secret(args.secret_file),
        seed=args.seed,
    )


def _secret(path: str | None) -> bytes:
    if path is None:
        return b""
    try:
        secret = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the secret {path} cannot be read ({error.strerror}): name a file of random bytes"
        ) from error
    if not secret:
        raise ConfigError(f"the secret {path} is empty: put random bytes into it")
    return secret


def _write(args: argparse.Namespace, assignment: Assignment, grade: Grade, hints: int) -> None:
    """The report, to --out or to stdout."""
    report: str | bytes
    if args.practice:
        report = student.practice(spec.veiled(grade, assignment.spec.hidden), hints=hints)
    else:
        name = args.format or "text"
        options = {"skip": True} if args.junit_skip else {}
        if name == "text" and args.out:
            options["colour"] = False  # stdout may be a terminal, the file is none
        report = assignment.render(grade, name, hints, **options)
    if args.gradcheck and isinstance(report, str):
        report += "\n" + student.gradient_table(spec.veiled(grade, assignment.spec.hidden))
    if args.out is None:
        if isinstance(report, bytes):
            sys.stdout.buffer.write(report)
        else:
            sys.stdout.write(report)
    elif isinstance(report, bytes):
        Path(args.out).write_bytes(report)
    else:
        write_atomic(args.out, report)


def _print_sandbox(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    for name, state in report["layers"].items():
        abi = f", ABI {report['landlock_abi']}" if name == "landlock" and state == "on" else ""
        print(f"{name:<11} {state}{abi}")
    for note in report["notes"]:
        print(f"note        {note}")


def _require(layers: str | None, states: dict[str, str]) -> None:
    """Raise SandboxError where a required layer is not on."""
    if layers is None:
        return
    wanted = list(LAYERS) if layers == "all" else [name.strip() for name in layers.split(",")]
    for name in wanted:
        if name not in LAYERS:
            raise ConfigError(f"--require-sandbox: there is no layer {name!r}: use all, or some of {','.join(LAYERS)}")
    missing = [f"{name} is {states[name]}" for name in wanted if states[name] != "on"]
    if missing:
        raise SandboxError(
            f"the sandbox lacks what is required here ({', '.join(missing)}): see minrnn grade --sandbox-report"
        )


def _make_gradescope(args: argparse.Namespace) -> int:
    """Write the zip, then test it; 1 if it would not work."""
    if args.out is None:
        raise ConfigError("--make-gradescope needs a place for the zip: add -o autograder.zip")
    if args.solution and not Path(args.solution).is_file():
        raise ConfigError(f"the solution {args.solution} is not there: name a file")
    try:
        content = autograder.build(Path(args.make_gradescope), _secret(args.secret_file))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    Path(args.out).write_bytes(content)
    print(f"{args.out}: {len(content) / 2**20:.1f} MiB; it is set up and run as the platform does …", file=sys.stderr)
    checks = autograder.self_test(content, Path(args.solution) if args.solution else None)
    for check in checks:
        found = check.problem or f"{check.score:g} of {check.max_score:g} points, as expected"
        print(f"{'WRONG' if check.problem else 'ok':<6} {check.what}: {found}")
    return 1 if any(check.problem for check in checks) else 0
