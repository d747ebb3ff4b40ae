"""The class mode of `minrnn grade`: a folder of submissions into a folder of results, a CSV file and a summary.

Reports and judgement are those of one submission; minrnn.grading.coursework.classroom hands the work out.
"""

import argparse
import json
import os
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minrnn.config import ConfigError
from minrnn.grading.coursework import summary
from minrnn.grading.coursework.assignment import Assignment
from minrnn.grading.coursework.classroom import (
    Graded,
    Matched,
    RosterError,
    discover,
    grade_class,
    matched,
    processes,
    read_roster,
)
from minrnn.grading.outcome.result import write_atomic
from minrnn.text.extras import import_extra

SUFFIXES = {
    **{"text": "txt", "markdown": "md", "html": "html", "classroom": "env", "junit": "xml", "autolab": "txt"},
    **{"gradescope": "json", "prairielearn": "json", "coursera": "json", "coderunner": "json", "nbgrader": "txt"},
    "otter": "zip",
}
SINGLE = ("practice", "gradcheck", "min_score")  # options for one submission
BARS = 20  # bugs in the picture


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a class; each of them says that the folder is one."""
    group = parser.add_argument_group("a class: each file, folder and zip in FILE is a submission")
    group.add_argument("--class", action="store_true", dest="is_class", help="grade a class (any option below does)")
    group.add_argument("--jobs", type=int, metavar="N", help="worker processes (default: one per core)")
    group.add_argument("--csv", metavar="FILE", help="write a line per student")
    group.add_argument("--roster", metavar="FILE", help="CSV with columns id, name, pattern (default pattern: *id*)")
    again = group.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="keep results that would come out the same")
    again.add_argument("--force", action="store_true", help="grade all again")


def wanted(args: argparse.Namespace) -> bool:
    """Whether a class is to be graded."""
    given = (args.is_class, args.csv, args.roster, args.resume, args.force, args.jobs is not None)
    return any(given)


def run(args: argparse.Namespace, assignment: Assignment, hints: int) -> int:
    """Grade the class; 0 if all have full marks. An interrupt ends with all that is finished written."""
    folder, out = Path(args.path), Path(args.out or "results")
    _check(args, folder)
    matches, skipped = _matched(args, folder, out)
    if not matches.entries and matches.unclear:
        raise ConfigError(f"the roster leaves nothing to grade: {'; '.join(matches.unclear)}")
    if not matches.entries:
        raise ConfigError(f"{folder} has no submissions in it: a class is a folder of files, folders or zips")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file: a class has a folder of results")
    out.mkdir(parents=True, exist_ok=True)
    if not (args.resume or args.force) and any((out / f"{entry.id}.json").exists() for entry in matches.entries):
        raise ConfigError(f"{out} has results of an earlier run: add --resume to go on, or --force to grade all again")
    graded: list[Graded] = []

    def done(item: Graded) -> None:
        graded.append(item)
        if args.format in SUFFIXES:
            _project(assignment, item, args.format, hints, out)
        _progress(item, len(graded), len(matches.entries))

    jobs = _jobs(args.jobs, assignment.limits.memory_mib, len(matches.entries))
    interrupted = False
    try:
        grade_class(matches.entries, assignment, out, processes(jobs), done, resume=args.resume)
    except KeyboardInterrupt:
        interrupted = True
    document = summary.summary(graded, matches, skipped)
    _write(args, assignment, out, graded, matches, document)
    print(summary.to_text(document), end="")
    if interrupted:
        print(f"interrupted; to go on: {_command()}", file=sys.stderr)
        return 128 + signal.SIGINT
    full = document["full"] == len(matches.entries)
    return 0 if full or args.exit_zero else 1


def _check(args: argparse.Namespace, folder: Path) -> None:
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder: a class is a folder with a file, folder or zip of each student")
    if args.jobs is not None and args.jobs < 1:
        raise ConfigError(f"--jobs {args.jobs} must be at least 1")
    for name in SINGLE:
        if getattr(args, name) is not None and getattr(args, name) is not False:
            raise ConfigError(f"--{name.replace('_', '-')} is for one submission, not for a class: leave it out")
    if args.format == "csv":
        raise ConfigError("a class has one table: write --csv FILE in place of --format csv")


def _matched(args: argparse.Namespace, folder: Path, out: Path) -> tuple[Matched, list[str]]:
    ours = [path for path in (out, args.csv, args.roster, args.spec, args.secret_file, args.profile) if path]
    paths, skipped = discover(folder, exclude=ours)
    try:
        return matched(paths, read_roster(args.roster) if args.roster else None), skipped
    except RosterError as error:
        raise ConfigError(str(error)) from error


def _jobs(asked: int | None, memory_mib: int, submissions: int) -> int:
    """How many workers: what was asked for, or one per core as far as the memory reaches."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    fitting = max(1, _memory_mib() // memory_mib)
    if asked is not None and asked > fitting:
        print(
            f"minrnn: warning: {asked} workers may use {asked * memory_mib:,} MiB, more than this machine has; "
            f"--jobs {fitting} or a smaller --memory is safe",
            file=sys.stderr,
        )
    return min(asked or min(cores, fitting), submissions)


def _memory_mib() -> int:
    try:
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) >> 20
    except (AttributeError, ValueError, OSError):  # not on every system
        return 1 << 20


def _project(assignment: Assignment, item: Graded, format: str, hints: int, out: Path) -> None:
    """The report of one submission in another format: OUT/FORMAT/ID.suffix."""
    place = out / format / f"{item.entry.id}.{SUFFIXES[format]}"
    place.parent.mkdir(exist_ok=True)
    report = assignment.render(item.grade, format, hints, **({"colour": False} if format == "text" else {}))
    if isinstance(report, bytes):
        place.write_bytes(report)
    else:
        write_atomic(place, report)


def _progress(item: Graded, count: int, total: int) -> None:
    grade = item.grade
    found = "; ".join(grade.errors) or f"{grade.score:g} of {grade.max_score:g}"
    kept = ", kept" if item.reused else ""
    print(f"{count:>{len(str(total))}}/{total}  {item.entry.id}: {found}{kept}", file=sys.stderr, flush=True)


def _write(
    args: argparse.Namespace,
    assignment: Assignment,
    out: Path,
    graded: Sequence[Graded],
    matches: Matched,
    document: Mapping[str, Any],
) -> None:
    write_atomic(out / "summary.json", json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1) + "\n")
    if args.csv:
        functions = assignment.names(assignment.given) if assignment.given else ()
        write_atomic(args.csv, summary.to_csv(graded, matches, functions))
    if args.format == "jsonl":
        ordered = sorted(graded, key=lambda item: item.entry.id)
        write_atomic(out / "results.jsonl", "".join(str(assignment.render(g.grade, "jsonl", 0)) for g in ordered))
    try:
        picture = draw(document, [item.grade.percent for item in graded if not item.grade.errors])
    except ImportError:  # the picture is an extra
        return
    picture.savefig(out / "summary.png", dpi=150)


def draw(document: Mapping[str, Any], percents: Sequence[float]) -> Any:
    """A matplotlib Figure: the most frequent bugs, function by function, and how the scores are spread."""
    import_extra("matplotlib", "plot", "drawing a summary")
    bugs = document["bugs"][:BARS]
    figure = import_extra("matplotlib.figure", "plot", "drawing a summary").Figure(
        (9, 3.5 + 0.25 * len(bugs)), layout="constrained"
    )
    above, below = figure.subplots(2, 1, height_ratios=[1 + len(bugs), 6])
    labels = [f"{bug['function']}: {bug['code']}" for bug in bugs]
    bars = above.barh(labels, [bug["count"] for bug in bugs])
    above.bar_label(bars)
    above.invert_yaxis()
    above.set_xlabel("students")
    above.locator_params(axis="x", integer=True)
    above.set_title(f"{document['graded']} submissions: most frequent findings")
    below.hist(percents, bins=range(0, 105, 5))
    below.locator_params(axis="y", integer=True)
    below.set_xlabel("score in per cent")
    below.set_ylabel("students")
    return figure


def _command() -> str:
    """The command line that goes on where this one ended."""
    given = [argument for argument in sys.argv[1:] if argument not in ("--resume", "--force")]
    return shlex.join(["minrnn", *given, "--resume"])
