"""`minrnn sample`: text on stdout, character by character as the network writes it, after the prime it was given.

Several samples are told apart by lines such as `--- sample 2 ---` on stdout, because nothing else could; a single one
is the bare text. Only on a terminal is a newline added at its end: in a file or a pipe every character is text. They
are drawn side by side, which takes a fraction of the time: the first is printed as it comes, the others after it. The
number of samples does not change their texts, up to rounding: see minrnn.sample.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from minrnn.cli.options import add_device, add_run, add_unknown, check_unknown, load, normalized
from minrnn.config import ConfigError
from minrnn.model.checkpoint import CheckpointError
from minrnn.sample import check_choice, sample_rng, sample_texts
from minrnn.text import read_text

TOGETHER = 64  # samples that are drawn side by side


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The network, the prime, how to choose characters, and when to stop."""
    add_run(parser)
    parser.add_argument("-n", type=int, default=500, metavar="N", help="new characters to write (default: 500)")
    parser.add_argument("--prime", metavar="TEXT", help="text to go on from; printed first, not counted in N")
    parser.add_argument("--prime-file", metavar="FILE", help="the same, from a file")
    parser.add_argument(
        "--temperature",
        type=float,
        metavar="T",
        help="below 1 is bolder, above 1 more varied, 0 is greedy (default: 1)",
    )
    parser.add_argument("--top-k", type=int, metavar="K", help="choose among the K most probable characters only")
    parser.add_argument(
        "--top-p", type=float, metavar="P", help="choose among the fewest characters that have probability P together"
    )
    parser.add_argument("--greedy", action="store_true", help="always the most probable character")
    parser.add_argument("--stop", metavar="STR", help="stop as soon as the new text ends with STR, which is printed")
    parser.add_argument(
        "--num", type=int, default=1, metavar="NUM", help="samples to write, drawn side by side (default: 1)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the random numbers (default: 0)")
    add_unknown(parser)
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    """Write the samples."""
    choice = _choice(args)
    for name, value, least in (("-n", args.n, 0), ("--num", args.num, 1), ("--seed", args.seed, 0)):
        if value < least:
            raise ConfigError(f"{name} {value} must be at least {least}")
    if args.prime is not None and args.prime_file is not None:
        raise ConfigError("--prime and --prime-file exclude each other: give one of them")
    model, vocabulary, config, _, path = load(args)
    check_unknown(args.unknown, vocabulary)
    prime = read_text(args.prime_file) if args.prime_file is not None else args.prime or ""
    prime = normalized(prime, config)
    for begin in range(0, args.num, TOGETHER):
        numbers = range(begin, min(begin + TOGETHER, args.num))
        rngs = [sample_rng(args.seed, number) for number in numbers]
        steps = sample_texts(
            model, vocabulary, prime, n=args.n, stop=args.stop, rngs=rngs, unknown=args.unknown, **choice
        )
        for number, characters in zip(numbers, _one_by_one(steps, len(numbers)), strict=True):
            if args.num > 1:
                print(f"--- sample {number + 1} ---", flush=True)
            print(prime, end="", flush=True)
            last = prime[-1:]
            try:
                for character in characters:
                    print(character, end="", flush=True)
                    last = character or last
            except FloatingPointError as error:
                raise CheckpointError(f"{path}: {error}") from error
            if last != "\n" and (number + 1 < args.num or sys.stdout.isatty()):
                print(flush=True)
    return 0


def _one_by_one(steps: Iterator[list[str]], count: int) -> Iterator[Iterable[str]]:
    """The characters of the first text as they come, which draws those of the others, then those of each other one."""
    others: list[list[str]] = [[] for _ in range(count - 1)]

    def first() -> Iterator[str]:
        for character, *rest in steps:
            for text, c in zip(others, rest, strict=True):
                text.append(c)
            yield character

    yield first()
    yield from others


def _choice(args: argparse.Namespace) -> dict[str, Any]:
    """temperature, top_k and top_p. Raises ConfigError for values out of range or flags that have no effect."""
    given = {name: getattr(args, name) for name in ("temperature", "top_k", "top_p") if getattr(args, name) is not None}
    greedy = args.greedy or given.get("temperature") == 0
    choosing = [f"--{name.replace('_', '-')}" for name in given if args.greedy or name != "temperature"]
    if greedy and choosing:
        cause = "--greedy" if args.greedy else "--temperature 0"
        raise ConfigError(f"{cause} always takes the most probable character: leave out {' and '.join(choosing)}")
    choice = {"temperature": 0.0 if greedy else 1.0, "top_k": None, "top_p": 1.0} | given
    try:
        check_choice(**choice)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return choice
