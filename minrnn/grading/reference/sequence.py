"""Steps and loops over time of any cell, forward and backward, right and wrong; and the families made of them.

A cell (rnn.py, lstm.py, gru.py) says what one step does. Here is what a course asks of the loop: carry the states
forward, carry their gradients back, add the weights' shares up. A mistake in a step is therefore a mistake in the
sequence too, as it is in a student's file.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minrnn.grading.reference.bug import NONE, Array, Arrays, Bug, Family
from minrnn.grading.reference.carry import incoming, initial_gradients, passed_on, reordered, spoil_cache
from minrnn.grading.reference.tensors import accumulate, finish, input_gradients
from minrnn.grading.reference.units import Delta, Weights, softmax

OPTIONAL = ("c0", "Wy", "by")


def weights_of(cell: Any, inputs: Arrays) -> Weights:
    """The parameters among the inputs."""
    return Weights(*(np.asarray(inputs[name], dtype=np.float64) for name in cell.weights))


def step_family(name: str, cell: Any) -> Family:
    """One step: x (N,D), h_prev and, of an LSTM, c_prev (N,H); with Wy (H,M), by (M,) also y = softmax(h Wy + by)."""
    states = tuple(f"{s}_prev" for s in cell.states)

    def forward(inputs: Arrays, bug: Bug = NONE) -> Arrays:
        new, _ = cell.forward(inputs["x"], tuple(inputs[s] for s in states), weights_of(cell, inputs), bug)
        outputs = dict(zip(cell.states, new, strict=True))
        if bug.forward("wrong-variable-returned"):
            _return_another(outputs, {**inputs, **outputs}, bug)
        return _with_prediction(outputs, inputs, bug)

    def backward(inputs: Arrays, upstream: Arrays, bug: Bug = NONE) -> Arrays:
        w = weights_of(cell, inputs)
        given = tuple(inputs[s] for s in states)
        new, trace = cell.forward(inputs["x"], given, w, bug)
        _spoil_step(trace, bug)
        up = tuple(upstream.get(f"d{s}", np.zeros_like(h)) for s, h in zip(cell.states, new, strict=True))
        ignored = bug.find("upstream-ignored", where="h")
        if ignored:
            up = (np.full_like(up[0], 1.0 if ignored.detail["value"] == "ones" else 0.0), *up[1:])
        delta = cell.backward(up, tuple(np.zeros_like(u) for u in up), trace, w, bug)
        gradients = {"dx": delta.dx}
        gradients |= {f"d{s}": g for s, g in zip(states, delta.dstates, strict=True)} | delta.weights
        return finish(gradients, [delta], inputs, bug)

    def deltas(inputs: Arrays, upstream: Arrays) -> tuple[list[Array], dict[str, Array]]:
        w = weights_of(cell, inputs)
        new, trace = cell.forward(inputs["x"], tuple(inputs[s] for s in states), w, NONE)
        up = tuple(upstream.get(f"d{s}", np.zeros_like(h)) for s, h in zip(cell.states, new, strict=True))
        delta = cell.backward(up, tuple(np.zeros_like(u) for u in up), trace, w, NONE)
        vectors = {s: inputs[s] for s in states} | dict(zip(cell.states, new, strict=True))
        return [delta.da], vectors

    return Family(
        name,
        ("x", *states, *cell.weights, "Wy", "by"),
        (*cell.states, "y"),
        ("dx", *(f"d{s}" for s in states), *(f"d{w}" for w in cell.weights)),
        forward,
        backward,
        ("Wy", "by"),
        cell.gates if len(cell.gates) > 1 else "",
        None if "n" in cell.gates else deltas,  # a GRU has two different deltas
    )


def sequence_family(name: str, cell: Any) -> Family:
    """T steps: x (T,N,D), h0 and, of an LSTM, c0 (N,H; zeros if left out), to h and c (T,N,H)."""
    starts = tuple(f"{s}0" for s in cell.states)

    def forward(inputs: Arrays, bug: Bug = NONE) -> Arrays:
        outputs, _ = run(cell, inputs, bug)
        _return_another(outputs, {**inputs, **outputs}, bug)
        return _with_prediction(outputs, inputs, bug)

    def backward(inputs: Arrays, upstream: Arrays, bug: Bug = NONE) -> Arrays:
        dx_steps, dstarts, deltas = reverse(cell, inputs, upstream, bug)
        gradients = {"dx": dx_steps} | {f"d{s}": g for s, g in zip(starts, dstarts, strict=True)}
        weights = {f"d{n}": np.zeros(np.shape(inputs[n])) for n in cell.weights}
        gradients |= accumulate(deltas, bug, cell.gates) if deltas else weights
        return finish(gradients, list(deltas.values()), inputs, bug)

    def deltas(inputs: Arrays, upstream: Arrays) -> tuple[list[Array], dict[str, Array]]:
        outputs, _ = run(cell, inputs, NONE)
        _, _, steps = reverse(cell, inputs, upstream, NONE)
        vectors = dict(zip(starts, start_of(cell, inputs), strict=True))
        for s in cell.states:
            vectors |= {f"{s}[{t}]": outputs[s][t] for t in range(len(outputs[s]))}
        return [steps[t].da for t in sorted(steps)], vectors

    return Family(
        name,
        ("x", *starts, *cell.weights, "Wy", "by"),
        (*cell.states, "y"),
        ("dx", *(f"d{s}" for s in starts), *(f"d{w}" for w in cell.weights)),
        forward,
        backward,
        OPTIONAL,
        cell.gates if len(cell.gates) > 1 else "",
        None if "n" in cell.gates else deltas,  # a GRU has two different deltas
    )


def start_of(cell: Any, inputs: Arrays) -> tuple[Array, ...]:
    """The initial states; those that are left out are zeros."""
    h0 = np.asarray(inputs["h0"], dtype=np.float64)
    return tuple(np.asarray(inputs.get(f"{s}0", np.zeros_like(h0)), dtype=np.float64) for s in cell.states)


def run(cell: Any, inputs: Arrays, bug: Bug) -> tuple[Arrays, dict[int, Any]]:
    """The forward loop: the states of all steps (T,N,H) by name, and the trace of every step that was made."""
    x = np.asarray(inputs["x"], dtype=np.float64)
    if bug.forward("time-loop-wrong-direction", "x"):
        x = x[::-1]
    w, T = weights_of(cell, inputs), len(x)
    start = tuple(
        np.zeros_like(s) if bug.forward("initial-state-ignored", f"{name}0") else s
        for name, s in zip(cell.states, start_of(cell, inputs), strict=True)
    )
    if bug.forward("initial-cell-wrong", "c0"):
        start = (start[0], start[0])
    if bug.forward("initial-cell-wrong", "h0 c0"):
        start = start[::-1]
    outputs = {s: np.zeros((T, *start[0].shape)) for s in cell.states}
    traces: dict[int, Any] = {}
    skipped = bug.find("time-loop-skips-step", "forward")
    states, order = start, list(range(T))
    if bug.forward("time-loop-wrong-direction", ""):
        order.reverse()
    if skipped and skipped.where == "first":
        order = order[1:]
        states = tuple(np.zeros_like(s) for s in start) if skipped.detail["start"] == "zeros" else start
        if skipped.detail["start"] == "row 0":
            outputs["h"][0] = start[0]
    if skipped and skipped.where == "last":
        order = order[:-1]
    stuck = None if bug.forward("state-not-carried", "rows") else bug.find("state-not-carried", "forward")
    for t in order:
        states, traces[t] = cell.forward(x[t], states, w, bug)
        if bug.forward("wrong-variable-returned", "states"):
            states = states[::-1]
        for name, state in zip(cell.states, states, strict=True):
            outputs[name][t] = state
        if bug.forward("wrong-previous-state", "exchanged"):
            states = states[::-1]
        early = bug.find("wrong-previous-state", "forward", "two before")
        if early:
            before = tuple(outputs[name][t - 1] if t else s0 for name, s0 in zip(cell.states, start, strict=True))
            states = tuple(
                b if name in early.detail["states"] else s
                for name, b, s in zip(cell.states, before, states, strict=True)
            )
        if stuck and ("only" not in stuck.detail or t == order[0]):
            at = tuple(outputs[name][order[0]] for name in cell.states) if "step" in stuck.detail else start
            states = tuple(
                s0 if name in stuck.where else s for name, s0, s in zip(cell.states, at, states, strict=True)
            )
        taken = bug.find("wrong-previous-state", "forward", "carried")
        if taken:  # one state is handed on for both
            states = (states[cell.states.index(taken.detail["vector"])],) * len(states)
    return outputs, traces


def reverse(cell: Any, inputs: Arrays, upstream: Arrays, bug: Bug) -> tuple[Array, tuple[Array, ...], dict[int, Delta]]:
    """Backpropagation through time: dx, the gradients of the initial states, and the gradients of every step made."""
    outputs, traces = run(cell, inputs, bug)
    w, T = weights_of(cell, inputs), len(inputs["x"])
    starts = start_of(cell, inputs)
    spoil_cache(traces, outputs, starts, bug)
    up = [np.asarray(upstream.get(f"d{s}", np.zeros_like(outputs[s])), dtype=np.float64) for s in cell.states]
    zero = tuple(np.zeros_like(s) for s in starts)
    carry = zero
    deltas: dict[int, Delta] = {}
    received: dict[int, tuple[Array, ...]] = {}
    traces = reordered(traces, bug)
    for t in _backward_order(traces, T, bug):
        received[t] = incoming(cell.states, up, t, carry, bug)
        deltas[t] = cell.backward(received[t], carry, traces[t], w, bug)
        carry = passed_on(cell.states, deltas[t].dstates, bug)
    dx = input_gradients(np.asarray(inputs["x"]), deltas, bug)
    return dx, initial_gradients(cell.states, zero, carry, up, received, deltas, bug), deltas


def _backward_order(traces: dict[int, Any], T: int, bug: Bug) -> Sequence[int]:
    made = sorted(traces, reverse=True)
    if bug.backward("time-loop-wrong-direction", ""):
        made.reverse()
    if bug.backward("time-loop-skips-step", "first"):
        made = [t for t in made if t != 0]
    if bug.backward("time-loop-skips-step", "last"):
        made = [t for t in made if t != T - 1]
    return made


def _spoil_step(trace: Any, bug: Bug) -> None:
    """What a step cached by mistake in place of the state it was given."""
    if bug.backward("wrong-previous-state", "h"):
        trace.h_prev = trace.h


def _return_another(outputs: Arrays, known: Arrays, bug: Bug) -> None:
    if bug.forward("state-not-carried", "rows"):  # the variable that is stored never changes
        outputs["h"] = np.broadcast_to(known["h0"], outputs["h"].shape).copy()
    wrong = bug.find("wrong-variable-returned", "forward")
    if bug.forward("time-loop-wrong-direction", "rows"):
        outputs["h"] = outputs["h"][::-1].copy()
    if wrong and wrong.where == "previous":  # the states before the steps
        outputs["h"] = np.concatenate([known["h0"][None], outputs["h"][:-1]])
    if wrong and wrong.where in outputs:
        outputs[wrong.where] = known[wrong.detail["value"]]
        if wrong.detail.get("exchanged"):
            outputs[wrong.detail["value"]] = known[wrong.where]


def _with_prediction(outputs: Arrays, inputs: Arrays, bug: Bug) -> Arrays:
    """The outputs and, where the course has one, y = softmax(h Wy + by)."""
    if "Wy" not in inputs:
        return outputs
    h = outputs["h"]
    shown = bug.find("wrong-previous-state", "forward", "y")
    if shown and shown.detail["vector"] == "c":
        h = outputs["c"]
    elif shown:  # the state before the step
        h = inputs["h_prev"] if h.ndim == 2 else np.concatenate([np.asarray(inputs["h0"])[None], h[:-1]])
    z = h @ inputs["Wy"]
    if not bug.forward("bias-missing", "by"):
        z = z + inputs["by"]
    axis = bug.find("softmax-wrong-axis", "forward")
    if bug.forward("nonlinearity-missing", "y"):
        y = z
    elif axis:
        y = softmax(z, axis=None if axis.detail["axis"] == "all" else -2)  # type: ignore[arg-type]
    else:
        y = softmax(z)
    return {**outputs, "y": y}
