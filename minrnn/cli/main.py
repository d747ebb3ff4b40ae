"""The command `minrnn`: finds the subcommand, runs it, and turns every expected failure into one line and a code.

    0 success                                   4 training diverged; the last good checkpoint is named
    1 a check failed                            5 the device or the sandbox is missing, or memory is exhausted
    2 usage or configuration                    130 / 143 interrupted (SIGINT / SIGTERM), after saving
    3 bad input: file, encoding, vocabulary, checkpoint, submission

stdout carries the product (text, JSON, tables), stderr everything else. An unexpected error keeps its traceback: it is
a bug, and the traceback is what a report of it needs.
"""

import argparse
import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial

from minrnn.cli import ranks

COMMANDS = {  # name: what it does; the module of the same name has add_arguments(parser) and run(args) -> exit code
    "train": "train a network on text",
    "sample": "write text with a trained network",
    "eval": "measure a trained network on text",
    "gradcheck": "check every backward pass against numerical gradients",
    "info": "describe a run or a checkpoint",
    "plot": "draw loss curves of one or more runs",
    "corpus": "list texts by name, or write one to a file",
    "grade": "find what is wrong in hand-written backward passes, and why",
    "doctor": "report versions, BLAS, threads and GPU",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv[:1] == ["train"] and ranks.launched()[1] > 1:
        return _guarded(partial(ranks.main, command=partial(_guarded, _dispatch)), argv)
    return _guarded(_dispatch, argv)


def _guarded(command: Callable[[Sequence[str]], int], argv: Sequence[str]) -> int:
    try:
        return command(argv)
    except BrokenPipeError:  # the reader has closed the pipe: it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        print(f"minrnn: error: {str(error) or type(error).__name__}", file=sys.stderr)
        return code


def _dispatch(argv: Sequence[str]) -> int:
    from minrnn import __version__  # noqa: PLC0415 (a usage error needs no NumPy)

    if argv[:1] and argv[0] in COMMANDS:  # only the command that runs is imported: --help stays fast
        name, summary = argv[0], COMMANDS[argv[0]]
        parser = argparse.ArgumentParser(
            prog=f"minrnn {name}", description=f"{summary[0].upper()}{summary[1:]}.", allow_abbrev=False
        )
        module = importlib.import_module(f"minrnn.cli.{name}")
        module.add_arguments(parser)
        if getattr(module, "HAS_SUBCOMMANDS", False):
            args = parser.parse_args(argv[1:])
        else:
            args = parser.parse_intermixed_args(argv[1:])  # options and files in any order
    else:
        parser = argparse.ArgumentParser(
            prog="minrnn",
            description="Character-level recurrent networks in plain NumPy.",
            epilog="examples:\n  minrnn train book.txt --out runs/book\n  minrnn sample runs/book -n 500\n\n"
            "`minrnn COMMAND --help` shows the options of a command.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        parser.add_argument("--version", action="version", version=f"minrnn {__version__}")
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        for name, summary in COMMANDS.items():
            commands.add_parser(name, help=summary)
        parser.parse_args(argv)  # ends with the help, the version or an error
        raise AssertionError("unreachable: every known command is handled above")
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # a test's replacement may have no encoding to change
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    code: int = module.run(args)
    sys.stdout.flush()
    return code


def _exit_code(error: Exception) -> int | None:
    """The documented code of an expected error; None for one that is a bug."""
    from minrnn.backend import BackendError  # noqa: PLC0415
    from minrnn.config import ConfigError  # noqa: PLC0415
    from minrnn.grading.courses.table import ProfileError  # noqa: PLC0415
    from minrnn.grading.coursework.assignment import Undecided  # noqa: PLC0415
    from minrnn.grading.loading.submission import Unreadable  # noqa: PLC0415
    from minrnn.grading.sandbox import SandboxError  # noqa: PLC0415
    from minrnn.model.checkpoint import CheckpointError  # noqa: PLC0415
    from minrnn.parallel import WorkerDied  # noqa: PLC0415
    from minrnn.text import TextError  # noqa: PLC0415
    from minrnn.train import Diverged  # noqa: PLC0415

    for kinds, code in (
        ((ConfigError, ProfileError), 2),
        ((TextError, CheckpointError, Unreadable, Undecided, OSError), 3),
        ((Diverged, FloatingPointError), 4),
        ((BackendError, WorkerDied, SandboxError, MemoryError), 5),
        (ImportError, 2),  # an extra that is not installed; the message names it
    ):
        if isinstance(error, kinds):
            return code
    return None


if __name__ == "__main__":
    sys.exit(main())
