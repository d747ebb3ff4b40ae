"""`minrnn corpus`: `list` names the texts that can be had without looking for any, `write` puts one into a file."""

import argparse
import os
import sys
from pathlib import Path

from minrnn.config import ConfigError
from minrnn.text import CORPORA, corpus_text

HAS_SUBCOMMANDS = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The two subcommands."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list | write")
    actions.add_parser("list", help="list texts by name", allow_abbrev=False)
    write = actions.add_parser("write", help="write one", allow_abbrev=False)
    write.add_argument("name", metavar="NAME", help="a name from `minrnn corpus list`")
    write.add_argument("-n", type=int, metavar="N", help="characters (default: all; of a generated text 100,000)")
    write.add_argument("--seed", type=int, metavar="S", help="of a generated text (default: 1)")
    write.add_argument("-o", "--output", metavar="FILE", help="file to write (default: stdout)")
    write.add_argument("--force", action="store_true", help="replace FILE if it exists")


def run(args: argparse.Namespace) -> int:
    """List the texts or write one."""
    if args.action == "list":
        width = max(map(len, CORPORA))
        for corpus in CORPORA.values():
            print(f"{corpus.name:<{width}}  {corpus.kind:<9}  {corpus.size:>15}  {corpus.description}")
        return 0
    if args.n is not None and not 1 <= args.n <= sys.maxsize:
        raise ConfigError(f"-n {args.n} must be from 1 to {sys.maxsize}")
    if args.seed is not None and args.seed < 0:
        raise ConfigError(f"--seed {args.seed} must be at least 0")
    if args.seed is not None and args.name in CORPORA and CORPORA[args.name].kind != "generated":
        raise ConfigError(f"--seed has no effect on {args.name}, which is not generated: leave it out")
    if args.output is not None and Path(args.output).exists() and not args.force:
        raise ConfigError(f"{args.output} exists: add --force to replace it, or choose another name")
    text = corpus_text(args.name, args.n, 1 if args.seed is None else args.seed)
    if args.output is None:
        sys.stdout.write(text)
    else:
        _write(Path(args.output), text)
    return 0


def _write(path: Path, text: str) -> None:
    """All or nothing: written beside its place, then renamed."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_bytes(text.encode("utf-8"))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
