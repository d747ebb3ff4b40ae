"""Whether a function that writes text draws its ids, and with the right chances.

It is called many times with a network that forgets, so that its ids are independent draws from known chances p. Their
frequencies q are held against p: of n draws among V = k + 1 ids, n · KL(q, p) exceeds d > k with a probability below
exp(−d) (e d / k)^k, whatever p and n are (Agrawal, Finite-sample concentration of the multinomial in relative entropy,
2020). So a right function fails once in 1e9 times at most.

Not a check of the network: that is done where it leaves no choice (minrnn.grading.courses.sampling).
"""

import math
from collections.abc import Iterator

import numpy as np

from minrnn.grading.courses import sampling
from minrnn.grading.judging import calls
from minrnn.grading.judging.calls import Session
from minrnn.grading.judging.trials import Unit
from minrnn.grading.outcome.codes import CODES
from minrnn.grading.outcome.result import Diagnosis
from minrnn.grading.reference import Array
from minrnn.grading.sandbox import Child, Reply

DRAWS = 2000  # at least, in all calls
LENGTH = 50  # of one call, where the function is told one
BATCH, BATCHES = 64, 16
FALSE_ALARM = 1e-9


def examine(child: Child, unit: Unit, seed: int) -> tuple[Reply | None, Diagnosis | None]:
    """A call that failed, if one did; else what is wrong with the draws, if anything is."""
    layout, carried, constants = unit.setting({"T": LENGTH})
    inputs, chances = sampling.flat(layout, carried, constants, seed)
    session = Session(child, unit.profile, layout)
    first = session.call(unit.first, inputs)
    if not first.ok:
        return first.reply, None
    texts: list[Array] = []
    for reply in _replies(session, unit, inputs):
        if not reply.ok:
            return reply, None
        ids = dict(calls.taken(unit.first.returns, reply.value))[unit.first.answered()[0].name]
        texts.append(np.reshape(ids, -1)[: int(inputs["count"])] if isinstance(ids, np.ndarray) else np.zeros(0))
        if sum(map(len, texts)) >= DRAWS:
            break
    return None, cause_of(texts, chances)


def _replies(session: Session, unit: Unit, inputs: dict[str, object]) -> Iterator[Reply]:
    """Calls that differ by the seed that they are given, where the function is given one."""
    for batch in range(BATCHES):
        seeds = [1000 * (batch * BATCH + k) for k in range(BATCH)]
        arguments = [session.arguments(unit.first, {**inputs, "seed": seed}) for seed in seeds]
        yield from session.child.call_many(session.target(unit.first), arguments)


def cause_of(texts: list[Array], chances: Array) -> Diagnosis | None:
    """What is wrong with the ids of all calls, for the chances of every id."""
    drawn = np.concatenate(texts).astype(np.int64)
    V = len(chances)
    if not len(drawn) or not ((drawn >= 0) & (drawn < V)).all():
        return _cause("sample-wrong-distribution")
    counts = np.bincount(drawn, minlength=V)
    if fits(counts, chances):
        return None
    if all(len(set(text.tolist())) == 1 for text in texts):
        return _cause("sample-not-drawn" if len(set(drawn.tolist())) == 1 else "sample-same-draw")
    return _cause("sample-equal-chances" if fits(counts, np.full(V, 1 / V)) else "sample-wrong-distribution")


def fits(counts: Array, chances: Array) -> bool:
    """Whether counts may come from these chances: with a probability of 1 − FALSE_ALARM they do if they are theirs."""
    n, k, seen = counts.sum(), len(chances) - 1, counts > 0
    d = float((counts[seen] * np.log(counts[seen] / n / chances[seen])).sum())
    return d <= k or k * (1 + math.log(d / k)) - d > math.log(FALSE_ALARM)


def _cause(code: str) -> Diagnosis:
    return Diagnosis(code, CODES[code].what, "", "static")
