"""Class mode: many submissions, graded through any executor, each result written as it comes.

The work is handed out by `concurrent.futures.Executor.submit`, so a pool of processes on this machine, Dask's
(`lambda: client.get_executor()`) and MPI's (`mpi4py.futures.MPIPoolExecutor`) all serve; machines that work together
have to see the submissions under the same paths. A mark depends neither on the order nor on the number of workers.

What this is not: a judge, and not a search for copies.
"""

import contextlib
import csv
import fnmatch
import json
import multiprocessing
import os
import re
import signal
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import threadpoolctl

from minrnn.grading.courses.table import ProfileError
from minrnn.grading.coursework.assignment import Assignment, Undecided
from minrnn.grading.judging import verdict
from minrnn.grading.loading import archive
from minrnn.grading.loading.submission import Unreadable
from minrnn.grading.outcome.plain import one_line
from minrnn.grading.outcome.result import Grade

SUFFIXES = (".py", ".ipynb", ".zip")
RESERVED = ("summary", "results")  # file names that class mode uses itself
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

Pool = Callable[[], Executor]


class RosterError(ValueError):
    """A list of students that cannot be used; the message says the line and what to write."""


@dataclass(frozen=True)
class Entry:
    """A submission in the folder of a class: the name of its result, the student's name if it is known, its path."""

    id: str
    name: str
    path: Path


@dataclass(frozen=True)
class Student:
    """A line of the roster; `pattern` is a shell pattern that the name of the student's file or folder fits."""

    id: str
    name: str
    pattern: str


@dataclass(frozen=True)
class Graded:
    """A submission with its result; `reused` if that is one that lay there."""

    entry: Entry
    grade: Grade
    reused: bool = False


@dataclass(frozen=True)
class Matched:
    """A folder held against a roster: what to grade, files of nobody, students without a file, and what is unclear."""

    entries: Sequence[Entry]
    unmatched: Sequence[str] = ()
    missing: Sequence[Student] = ()
    unclear: Sequence[str] = ()


def discover(
    folder: str | os.PathLike[str], exclude: Collection[str | os.PathLike[str]] = ()
) -> tuple[list[Path], list[str]]:
    """Return the submissions of a class, and the names of what was passed over.

    Each Python file, notebook, zip and folder at the first level is one; hidden ones and those of `exclude` are not.
    """
    outside = {Path(path).resolve() for path in exclude}
    found, passed = [], []
    for path in sorted(Path(folder).iterdir(), key=lambda path: path.name):
        if path.name.startswith(".") or path.name == "__pycache__" or path.resolve() in outside:
            continue
        if path.is_dir() or path.suffix.lower() in SUFFIXES:
            found.append(path)
        else:
            passed.append(path.name)
    return found, passed


def read_roster(path: str | os.PathLike[str]) -> list[Student]:
    """Return the students of a CSV file with the columns id, name and pattern; without a pattern it is *id*.

    Raises:
        RosterError: it cannot be read, lacks the column id, or has an id twice.
    """
    place = Path(path)
    try:
        lines = list(csv.DictReader(place.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise RosterError(f"the roster {place} cannot be read ({error}): give a CSV file in UTF-8") from error
    students: dict[str, Student] = {}
    for number, line in enumerate(lines, 2):
        id = (line.get("id") or "").strip()
        if not id:
            raise RosterError(f"line {number} of the roster {place} has no id: give it columns id, name and pattern")
        if id in students:
            raise RosterError(f"line {number} of the roster {place} repeats the id {id!r}: keep one")
        pattern = (line.get("pattern") or "").strip() or f"*{glob_escaped(id)}*"
        students[id] = Student(id, (line.get("name") or "").strip(), pattern)
    return list(students.values())


def glob_escaped(text: str) -> str:
    """Return a pattern that only this text fits."""
    return re.sub(r"([*?[])", r"[\1]", text)


def matched(paths: Sequence[Path], roster: Sequence[Student] | None) -> Matched:
    """Give every submission its student. What fits nobody is graded under its own name.

    What fits several students, and all submissions of a student who has several, are left out and listed as unclear.
    """
    if roster is None:
        return Matched(_entries([(path.stem, path.stem, path) for path in paths]))
    fits = {path: [s for s in roster if fnmatch.fnmatchcase(path.name.lower(), s.pattern.lower())] for path in paths}
    named, unmatched, missing, unclear = [], [], [], []
    for student in roster:
        own = [path for path in paths if student in fits[path]]
        if not own:
            missing.append(student)
        elif len(own) > 1:
            unclear.append(f"{student.id} has {len(own)}: {', '.join(path.name for path in own)}")
        elif len(fits[own[0]]) == 1:
            named.append((student.id, student.name, own[0]))
    for path in paths:
        if not fits[path]:
            unmatched.append(path.name)
            named.append((path.stem, "", path))
        elif len(fits[path]) > 1:
            unclear.append(f"{path.name} fits {', '.join(student.id for student in fits[path])}")
    return Matched(_entries(named), unmatched, missing, unclear)


def _entries(named: Iterable[tuple[str, str, Path]]) -> list[Entry]:
    """Entries with ids that are file names, none twice on any file system."""
    taken = {name.casefold() for name in RESERVED}
    entries = []
    for wanted, name, path in named:
        base = re.sub(r"[^\w.@+-]+", "_", wanted).strip(".")[:100] or "submission"
        id, number = base, 2
        while id.casefold() in taken:
            id, number = f"{base}-{number}", number + 1
        taken.add(id.casefold())
        entries.append(Entry(id, name, path))
    return entries


def processes(jobs: int) -> Pool:
    """Return what makes a pool of `jobs` processes on this machine."""
    return partial(ProcessPoolExecutor, jobs, multiprocessing.get_context("spawn"), initializer=prepare_worker)


def prepare_worker() -> None:
    """Hold a worker to one thread, and leave it to its parent what an interrupt means: what was begun is finished."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(dict.fromkeys(THREADS, "1"))
    threadpoolctl.threadpool_limits(1)


def grade_class(
    entries: Sequence[Entry],
    assignment: Assignment,
    out: Path,
    pool: Pool,
    done: Callable[[Graded], None],
    *,
    resume: bool = False,
) -> None:
    """Grade all; write out/ID.json of each and call `done` with it, in the order in which they are ready.

    A submission that cannot be graded has a result with `errors`; it stops nothing, and neither does one at which a
    worker dies. With `resume`, results that this assignment would give again are kept.

    Raises:
        KeyboardInterrupt: after all that was being graded has been finished and written.
    """
    waiting = []
    for entry in entries:
        kept = _kept(entry, assignment, out) if resume else None
        if kept:
            done(Graded(entry, kept, reused=True))
        else:
            waiting.append(entry)

    def finish(entry: Entry, grade: Grade) -> None:
        grade.write(out / f"{entry.id}.json")
        done(Graded(entry, grade))

    while waiting:
        waiting = _round(waiting, assignment, pool, finish)
        if waiting:  # a worker died: at the first of them, or not
            suspect, *waiting = waiting
            if _round([suspect], assignment, pool, finish):
                finish(suspect, failed(suspect.path, assignment, "the process that graded it died: grade it alone"))


def _round(
    entries: Sequence[Entry], assignment: Assignment, pool: Pool, finish: Callable[[Entry, Grade], None]
) -> list[Entry]:
    """Grade all in one pool; returns those that have no result because the pool broke."""
    futures: dict[Future[Grade], Entry] = {}
    finished: set[Entry] = set()

    def take(future: Future[Grade]) -> None:
        try:
            grade = future.result()
        except BrokenExecutor:
            return
        except Exception as error:  # a worker was lost, in the words of somebody's pool
            grade = failed(futures[future].path, assignment, f"its worker failed, {type(error).__name__}: {error}")
        finished.add(futures[future])
        finish(futures[future], grade)

    with pool() as executor:
        try:
            with contextlib.suppress(BrokenExecutor):
                for entry in entries:
                    futures[executor.submit(grade_or_fail, entry.path, assignment)] = entry
            for future in as_completed(futures):
                take(future)
        except KeyboardInterrupt:
            executor.shutdown(wait=True, cancel_futures=True)
            for future, entry in futures.items():
                if entry not in finished and future.done() and not future.cancelled():
                    take(future)
            raise
    return [entry for entry in entries if entry not in finished]


def grade_or_fail(path: Path, assignment: Assignment) -> Grade:
    """Grade one submission; whatever stops that becomes the `errors` of its result. This is what workers run."""
    try:
        return assignment.grade(path)
    except (Unreadable, Undecided, ProfileError) as error:
        return failed(path, assignment, str(error))
    except Exception as error:  # of the grader: the rest of the class must not wait for its repair
        return failed(path, assignment, f"the grader failed, {type(error).__name__}: {error}")


def failed(path: Path, assignment: Assignment, error: str) -> Grade:
    """Return the result of what could not be graded: no points, and `errors`, so that it is tried again."""
    given = assignment.given
    names = assignment.names(given) if given else []
    functions = [verdict.blank(given.find(name), "not-found") for name in names] if given else []
    course = {"profile": given.name if given else None, "spec_sha256": assignment.spec.sha256}
    return Grade(course=course, submission={"path": path.name}, functions=functions, errors=[one_line(error)])


def _kept(entry: Entry, assignment: Assignment, out: Path) -> Grade | None:
    """The result that lies there, if grading would give the same again."""
    try:
        grade = Grade.from_dict(json.loads((out / f"{entry.id}.json").read_text(encoding="utf-8")))
        sha256 = archive.read(entry.path).sha256
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    same = (
        grade.submission.get("sha256") == sha256
        and grade.run.get("settings_sha256") == assignment.fingerprint()
        and grade.run.get("seeds") == assignment.seeds(sha256)
        and grade.minrnn_version == Grade().minrnn_version
        and not grade.errors
    )
    return grade if same else None
