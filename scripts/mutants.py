"""Apply the wrong edits of tests/mutants.txt one at a time and see whether the tests notice each.

    python scripts/mutants.py                     # all of them, one after the other
    python scripts/mutants.py --jobs 2 --only lstm
    python scripts/mutants.py --check             # only that every edit still fits the source: no tests are run

A suite that passes says little; one that fails on every wrong edit says what it protects from. This is not random
mutation: every line of the list is a mistake that somebody made or would make.

The edits are made in a copy of the project; the project itself is only read. An edit is noticed if a test fails, or
hangs. Exit code 1 if one survives, 2 if the list or the unmodified project is not in order.
"""

import argparse
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "tests" / "mutants.txt"
SEPARATOR = " :: "
PYTEST = ["-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", "--hypothesis-profile=mutants"]
TIMEOUT = 300.0  # seconds; the unmodified tests need a tenth of it


class ListError(Exception):
    """A line of the list does not fit the source; the message names it."""


@dataclass(frozen=True)
class Mutant:
    """One wrong edit: `old` becomes `new` in `file`, and `tests` must notice."""

    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file}: {self.old}  →  {self.new}"

    def apply(self, source: str) -> str:
        """Return the edited source. Raises ListError where the old text is not there exactly once."""
        if source.count(self.old) != 1:
            raise ListError(f"{self}\n  the old text occurs {source.count(self.old)} times, must be exactly once")
        edited = source.replace(self.old, self.new)
        if edited == source:
            raise ListError(f"{self}\n  changes nothing")
        try:
            compile(edited, self.file, "exec")
        except SyntaxError as e:
            raise ListError(f"{self}\n  is not Python any more: {e}") from e
        return edited


def read_list(text: str) -> list[Mutant]:
    """The mutants of a list, in order. Raises ListError for a line that is none of comment, [tests] and edit."""
    mutants: list[Mutant] = []
    tests: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()  # noqa: PLW2901
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            tests = tuple(line[1:-1].split())
            continue
        parts = [part.strip() for part in line.split(SEPARATOR)]
        if len(parts) != 3 or not all(parts) or not tests:
            raise ListError(
                f"line {number}: expected `file{SEPARATOR}old{SEPARATOR}new` below a line `[tests]`: {line}"
            )
        mutants.append(Mutant(*parts, tests))
    return mutants


def environment(copy: Path) -> dict[str, str]:
    """Variables that make Python import the copy, never a stale .pyc, on one thread."""
    fixed = {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **fixed, **threads}


def run_tests(copy: Path, tests: Iterable[str]) -> tuple[int | None, str]:
    """Exit code of pytest in the copy (None: it hung), and the name of the first failing test, or the output."""
    command = [sys.executable, *PYTEST, *tests]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment(copy), capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return None, "hangs"
    failed = [
        line.split(" - ")[0].removeprefix("FAILED ") for line in done.stdout.splitlines() if line.startswith("FAILED")
    ]
    return done.returncode, failed[0] if failed else done.stdout[-2000:] + done.stderr[-2000:]


def make_copy(folder: str, number: int) -> Path:
    """A copy of the project without history, caches and runs."""
    ignored = shutil.ignore_patterns(".*", "__pycache__", "runs", "build", "dist")
    return Path(shutil.copytree(ROOT, Path(folder) / f"copy{number}", ignore=ignored))


def check_unmodified(copy: Path, suites: Iterable[tuple[str, ...]]) -> None:
    """Raises ListError unless the copy is what gets imported and all its tests pass: else a failure proves nothing."""
    where = subprocess.run(
        [sys.executable, "-c", "import minrnn; print(minrnn.__file__)"],
        cwd=copy,
        env=environment(copy),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if not Path(where.strip()).is_relative_to(copy):
        raise ListError(f"the tests would import {where.strip()}, not the copy in {copy}")
    for tests in suites:
        start = time.perf_counter()
        code, what = run_tests(copy, tests)
        if code != 0:
            raise ListError(f"unmodified, {' '.join(tests)} must pass first: {what}")
        print(f"unmodified {time.perf_counter() - start:6.1f} s  {' '.join(tests)}", flush=True)


def verdict(mutant: Mutant, copies: "queue.Queue[Path]") -> bool:
    """Apply one mutant in a free copy, run its tests, put the source back. Whether it was noticed."""
    copy = copies.get()
    path = copy / mutant.file
    source = path.read_text(encoding="utf-8")
    start = time.perf_counter()
    try:
        path.write_text(mutant.apply(source), encoding="utf-8")
        code, what = run_tests(copy, mutant.tests)
    finally:
        path.write_text(source, encoding="utf-8")
        copies.put(copy)
    noticed = code in (1, None)
    word = "noticed" if noticed else "SURVIVES" if code == 0 else f"BROKEN (pytest exit code {code})"
    print(f"{word:10} {time.perf_counter() - start:6.1f} s  {mutant}\n{'':20} {what if code else ''}", flush=True)
    return noticed


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="See whether the tests notice every wrong edit of tests/mutants.txt.")
    parser.add_argument("--only", default="", metavar="TEXT", help="only mutants whose line contains TEXT")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="tests run at the same time (default 1)")
    parser.add_argument("--check", action="store_true", help="only check that every edit fits the source")
    options = parser.parse_args()
    try:
        mutants = [m for m in read_list(LIST.read_text(encoding="utf-8")) if options.only in str(m)]
        for mutant in mutants:
            mutant.apply((ROOT / mutant.file).read_text(encoding="utf-8"))
        if options.check:
            print(f"{len(mutants)} edits fit the source")
            return 0
        with tempfile.TemporaryDirectory() as folder:
            copies: queue.Queue[Path] = queue.Queue()
            for number in range(options.jobs):
                copies.put(make_copy(folder, number))
            check_unmodified(copies.queue[0], dict.fromkeys(mutant.tests for mutant in mutants))
            with ThreadPoolExecutor(options.jobs) as pool:
                noticed = list(pool.map(lambda mutant: verdict(mutant, copies), mutants))
    except ListError as e:
        print(e, file=sys.stderr)
        return 2
    survivors = [mutant for mutant, seen in zip(mutants, noticed, strict=True) if not seen]
    print(f"\n{len(mutants) - len(survivors)} of {len(mutants)} wrong edits noticed")
    for mutant in survivors:
        print(f"not noticed: {mutant}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
