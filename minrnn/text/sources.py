"""Exactly solvable sources: endless texts whose best possible loss is known.

What it is: generators of characters, each with its cost -ln p(character | all characters before it) in nats
under the true model. The mean cost of a text is the loss no model can beat on it, up to luck; the entropy
rate is its expectation in closed form. A trained network can so be measured in absolute terms.
What it is not: language. The sources test memory and counting, not style.

Drawing, so that everyone gets the same text from the same seed: u = random.Random(seed).random, called once
per choice in the order written here and not at all for a forced character; "A with probability p, else B"
takes A if u() < p, and a uniform choice among k is int(k * u()). (Python promises this sequence for all its
versions.) The strings of a source follow each other without a break; the text is cut after n characters.

Sources: Reber 1967; Hochreiter & Schmidhuber 1997, experiment 1 (embedded Reber); Weiss 1973 (even process,
golden mean); Gers & Schmidhuber 2001 (a^n b^n).
"""

import random
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from math import log

import numpy as np

Draw = Callable[[], float]
Stream = Iterator[tuple[str, float]]

BIT = log(2)  # nats


@dataclass(frozen=True)
class Source:
    """A source: `stream(u)` yields (character, cost in nats) for ever, `rate()` is the entropy rate."""

    name: str
    description: str
    stream: Callable[[Draw], Stream]
    rate: Callable[[], float]

    @property
    def entropy_rate(self) -> float:
        """Expected cost of a character, in nats."""
        return self.rate()

    def generate(self, n: int, seed: int) -> tuple[str, np.ndarray]:
        """Return the first n characters of the text of `seed` and their costs (n,) in nats, float64."""
        pairs = list(islice(self.stream(random.Random(seed).random), n))
        return "".join(character for character, _ in pairs), np.array([cost for _, cost in pairs])


# The Reber automaton: from each state, the two branches (symbol, next state); state 5 is the end.
REBER = (
    (("T", 1), ("P", 2)),
    (("S", 1), ("X", 3)),
    (("T", 2), ("V", 4)),
    (("X", 2), ("S", 5)),
    (("P", 3), ("V", 5)),
)


def reber(u: Draw) -> Stream:
    """B, a walk through the automaton, E. Two characters of context tell the state: no test of memory."""
    while True:
        yield from _reber_string(u)


def embedded_reber(u: Draw) -> Stream:
    """B, T or P, a Reber string, the same T or P again, E: one bit to be kept over a string of any length."""
    while True:
        yield "B", 0.0
        outer = "T" if u() < 0.5 else "P"
        yield outer, BIT
        yield from _reber_string(u)
        yield outer, 0.0
        yield "E", 0.0


def _reber_string(u: Draw) -> Stream:
    yield "B", 0.0
    state = 0
    while state != 5:
        symbol, state = REBER[state][0 if u() < 0.5 else 1]
        yield symbol, BIT
    yield "E", 0.0


def even_process(u: Draw) -> Stream:
    """0, or 11: runs of 1 have even length, which no finite context decides."""
    while True:
        if u() < 0.5:
            yield "0", BIT
        else:
            yield "1", BIT
            yield "1", 0.0


def golden_mean(u: Draw) -> Stream:
    """1, or 01: no two 0 in a row. One character of context suffices."""
    while True:
        if u() < 0.5:
            yield "1", BIT
        else:
            yield "0", BIT
            yield "1", 0.0


def anbn(u: Draw, *, r: float) -> Stream:
    """n times a, n times b, newline, n geometric (each further a with probability r): counting."""
    while True:
        yield "a", 0.0
        n = 1
        while u() < r:
            yield "a", -log(r)
            n += 1
        yield "b", -log(1 - r)
        for _ in range(n - 1):
            yield "b", 0.0
        yield "\n", 0.0


def dyck(u: Draw, *, kinds: int, depth: int, p: float = 0.5) -> Stream:
    """Balanced brackets of some kinds, at most `depth` open; a newline where the empty stack would be closed."""
    opening, closing = "([{<"[:kinds], ")]}>"[:kinds]
    stack: list[str] = []  # what closes the open brackets
    while True:
        if len(stack) == depth:
            yield stack.pop(), 0.0
        elif u() < p:
            kind = int(kinds * u())
            stack.append(closing[kind])
            yield opening[kind], -log(p / kinds)
        else:
            yield (stack.pop() if stack else "\n"), -log(1 - p)


def copy(u: Draw, *, letters: str, length: int) -> Stream:
    """w#w and a newline, w uniform: a letter of the second w stands `length` + 1 characters after its model."""
    while True:
        word = [letters[int(len(letters) * u())] for _ in range(length)]
        for letter in word:
            yield letter, log(len(letters))
        for symbol in ("#", *word, "\n"):
            yield symbol, 0.0


def markov(u: Draw, *, order: int, letters: str, alpha: float) -> Stream:
    """The last `order` characters decide the distribution of the next, by the table of `markov_table`."""
    table = markov_table(order, len(letters), alpha)
    costs = (-np.log(table)).tolist()
    # The last cumulative sum is 1 but for rounding; without it every u in [0, 1) finds a symbol.
    cumulative = table.cumsum(axis=1)[:, :-1].tolist()
    context = 0  # the first characters follow "aaa"
    while True:
        symbol = bisect_right(cumulative[context], u())
        yield letters[symbol], costs[context][symbol]
        context = (context * len(letters) + symbol) % len(table)


@cache
def markov_table(order: int, size: int, alpha: float) -> np.ndarray:
    """Return p(next | context), (size**order, size); in a context the oldest character is most significant.

    Drawn once and for all by NumPy's legacy generator, whose sequence is frozen.
    """
    return np.random.RandomState(0).dirichlet([alpha] * size, size=size**order)


def dyck_rate(*, kinds: int, depth: int, p: float = 0.5) -> float:
    """Every step makes one draw (and opening one more), except at full depth, where the next is forced."""
    r = p / (1 - p)  # stationary weight of depth d: r^d below the bound, p r^(depth-1) at it
    full = p * r ** (depth - 1)
    forced = full / (sum(r**d for d in range(depth)) + full)
    return (1 - forced) * (_binary_entropy(p) + p * log(kinds))


def markov_rate(*, order: int, size: int, alpha: float) -> float:
    """The entropies of the rows, weighted by the stationary distribution of the contexts."""
    table = markov_table(order, size, alpha)
    contexts = len(table)
    successor = (np.arange(contexts)[:, None] * size + np.arange(size)) % contexts  # (contexts, size)
    system = np.eye(contexts)
    np.subtract.at(system, (successor, np.arange(contexts)[:, None]), table)  # pi - P^T pi = 0 ...
    system[-1] = 1  # ... of which one equation is redundant and gives way to sum(pi) = 1
    stationary = np.linalg.solve(system, np.eye(contexts)[-1])
    return float(-stationary @ (table * np.log(table)).sum(axis=1))


def _binary_entropy(p: float) -> float:
    return -p * log(p) - (1 - p) * log(1 - p)


def _markov(order: int, alpha: float) -> Source:
    return Source(
        f"markov-{order}",
        f"order-{order} Markov chain over abcd, Dirichlet({alpha:g}) rows",
        partial(markov, order=order, letters="abcd", alpha=alpha),
        partial(markov_rate, order=order, size=4, alpha=alpha),
    )


def _dyck(name: str, depth: int) -> Source:
    return Source(
        name,
        f"balanced () and [], at most {depth} open: a bounded stack",
        partial(dyck, kinds=2, depth=depth),
        partial(dyck_rate, kinds=2, depth=depth),
    )


SOURCES = {
    source.name: source
    for source in (
        Source("reber", "Reber grammar: a finite automaton", reber, lambda: 6 / 8 * BIT),
        Source(
            "embedded-reber",
            "Reber strings in matching brackets T or P",
            embedded_reber,
            lambda: 7 / 12 * BIT,
        ),
        Source("even-process", "bits, runs of 1 of even length", even_process, lambda: 2 / 3 * BIT),
        Source("golden-mean", "bits, no two 0 in a row", golden_mean, lambda: 2 / 3 * BIT),
        Source("anbn", "a^n b^n: counting", partial(anbn, r=0.8), lambda: _binary_entropy(0.8) / (3 - 0.8)),
        _dyck("dyck-2", 3),
        _dyck("dyck-2-deep", 5),
        Source(
            "copy",
            "w#w: repeating a random word",
            partial(copy, letters="ab", length=5),
            lambda: 5 / 12 * BIT,  # length ln(letters) / (2 length + 2)
        ),
        _markov(1, 1.0),
        _markov(2, 0.5),
        _markov(3, 0.3),
    )
}
