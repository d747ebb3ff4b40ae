"""What a backward loop reads from the forward and hands from step to step, right and wrong. Not the loop itself.

For each state s of the cell, the gradient that a step receives is the upstream of its output plus the carry from step
t+1, and what it hands on is the gradient of the state that it was given.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minrnn.grading.reference.bug import Array, Arrays, Bug
from minrnn.grading.reference.units import Delta

CARRY_CODES = {"h": "missing-hidden-carry", "c": "missing-cell-carry"}


def spoil_cache(traces: dict[int, Any], outputs: Arrays, starts: tuple[Array, ...], bug: Bug) -> None:
    """Put into the traces what a mistaken forward leaves there: another vector than the state before the step."""
    for code in ("cached-view-overwritten", "wrong-previous-state", "initial-state-ignored"):
        wrong = bug.find(code)
        if wrong and wrong.where in ("h", "c", "h0", "c0") and traces:
            _spoil(traces, wrong.where[0], str(wrong.detail["vector"]), outputs, starts)


def _spoil(traces: dict[int, Any], state: str, vector: str, outputs: Arrays, starts: tuple[Array, ...]) -> None:
    name, first, last = f"{state}_prev", min(traces), max(traces)
    right = {t: getattr(traces[t], name) for t in traces}
    start, own = starts["hc".index(state)], outputs[state]
    at_first = {
        "last": own[last],  # a view of the last row, or the index −1
        "first": own[first],  # a view of the first row
        "before last": right[last],
        "zeros": np.zeros_like(start),
    }
    if vector in at_first:
        setattr(traces[first], name, at_first[vector])
        return
    for t, trace in traces.items():
        every = {
            "next": own[t],
            "final": own[last],  # one array was used for all steps
            "start": start,
            "two before": right[max(t - 1, first)],
        }
        setattr(trace, name, every[vector])


def reordered(traces: dict[int, Any], bug: Bug) -> dict[int, Any]:
    """The traces by the step that reads them."""
    if bug.backward("cached-view-overwritten", "cache"):
        return dict.fromkeys(traces, traces[max(traces)])
    steps = sorted(traces)
    if bug.backward("time-loop-wrong-direction", "caches"):
        return {t: traces[other] for t, other in zip(steps, steps[::-1], strict=True)}
    wrong = bug.find("cache-order-mismatch", where="steps")
    if wrong is None:
        return traces
    shifted = {"next": [*steps[1:], steps[-1]], "previous": [steps[-1], *steps[:-1]]}
    return {t: traces[other] for t, other in zip(steps, shifted[wrong.detail["order"]], strict=True)}


def incoming(states: Sequence[str], up: list[Array], t: int, carry: tuple[Array, ...], bug: Bug) -> tuple[Array, ...]:
    """The gradients that step t receives: upstream + carry, for every state."""
    return tuple(_incoming(s, u, t, c, bug) for s, u, c in zip(states, up, carry, strict=True))


def _incoming(state: str, up: Array, t: int, carry: Array, bug: Bug) -> Array:
    own = up[t]
    if state == "h":
        if bug.backward("upstream-last-step-only", "h"):
            own = own if t == len(up) - 1 else np.zeros_like(own)
        if bug.backward("upstream-last-step-only", "every step"):
            own = up[-1]
        if bug.backward("upstream-last-step-only", "first row"):
            own = up[0]
        ignored = bug.find("upstream-ignored", where="h")
        if ignored:
            own = np.full_like(own, 1.0 if ignored.detail["value"] == "ones" else 0.0)
        if bug.backward("gradient-added-to-itself", "upstream"):
            own = 2 * own
        if bug.backward("gradient-added-to-itself", "last upstream") and t == len(up) - 1:
            own = 2 * own
        if bug.backward("sign-flipped", "upstream"):
            own = -own
    if bug.backward("missing-time-carry") or bug.backward(CARRY_CODES[state], where=""):
        return own
    if bug.backward("mean-instead-of-sum", f"incoming {state}"):
        return (own + carry) / 2
    return own + carry


def passed_on(states: Sequence[str], dstates: tuple[Array, ...], bug: Bug) -> tuple[Array, ...]:
    """The new carry: the gradients of the states that the step was given."""
    new = []
    for state, dstate in zip(states, dstates, strict=True):
        given = dstate
        if bug.backward("sign-flipped", f"carry {state}"):
            given = -given
        if bug.backward("gradient-added-to-itself", f"twice {state}"):
            given = 2 * given
        new.append(given)
    return tuple(new)


def initial_gradients(
    states: Sequence[str],
    zero: tuple[Array, ...],
    carry: tuple[Array, ...],
    up: list[Array],
    received: dict[int, tuple[Array, ...]],
    deltas: dict[int, Delta],
    bug: Bug,
) -> tuple[Array, ...]:
    """Gradients of the initial states: what the step t = 0 hands on."""
    found = []
    for k, state in enumerate(states):
        wrong = bug.find("initial-state-gradient-not-set", where=f"d{state}0")
        steps = sorted(deltas)
        if wrong and steps:
            found.append(
                {
                    "zeros": zero[k],
                    "one step early": deltas[steps[min(1, len(steps) - 1)]].dstates[k] if len(steps) > 1 else zero[k],
                    "step T-1": deltas[steps[-1]].dstates[k],
                    "all steps": sum((deltas[t].dstates[k] for t in steps), zero[k]),
                    "upstream": up[k][0],
                    "upstream too": carry[k] + up[k][0],
                    "received": received[steps[0]][k],
                    "delta": deltas[steps[0]].da,  # what a step in place makes of the upstream, with one gate
                }[wrong.detail["value"]]
            )
        else:
            found.append(carry[k])
    return tuple(found)
