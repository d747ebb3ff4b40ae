"""Single steps for inference: what they compute is what the forward of the cell computes."""

import warnings
from functools import partial

import numpy as np
import pytest

from minrnn import backend
from minrnn import kernels as k

STEPPERS = {
    "lstm": k.lstm_stepper,
    "gru": k.gru_stepper,
    "gru_before": k.gru_before_stepper,
    "rnn_tanh": partial(k.rnn_stepper, nonlinearity="tanh"),
    "rnn_relu": partial(k.rnn_stepper, nonlinearity="relu"),
}
T, D, H = 6, 5, 4


def upright(rows):
    """(B,N) → (N,) for one text, (N,B) for more, contiguous."""
    return np.array(rows[0] if len(rows) == 1 else rows.T, order="C")


def start(cell, args, ids):
    """A stepper of the parameters in `args` on its way from the initial state there, and its memory [x h]."""
    x, *rest = args
    states, params = rest[: len(cell.states)], rest[len(cell.states) :]
    stepper = STEPPERS[cell.name](*params, ids=ids)
    B, width = states[0].shape
    xh = upright(np.zeros((B, (0 if ids else x.shape[-1]) + width), params[0].dtype))
    steps = stepper.start(xh)
    for place, value in zip(steps.state, states, strict=True):
        place[...] = upright(value)
    return stepper, steps, xh


def advance(stepper, steps, xh, x):
    """One step with ids (B,) or inputs (B,D)."""
    if x.ndim == 1:
        steps.step(upright(stepper.inputs[x]))
    else:
        xh[: x.shape[1]] = upright(x)
        steps.step(upright(np.repeat(stepper.inputs, len(x), axis=0)))


@pytest.fixture(params=[True, False], ids=["ids", "inputs"])
def ids(request):
    return request.param


@pytest.mark.parametrize("B", [1, 3])
def test_every_step_is_that_of_the_forward(cell, B, ids, rng, assert_close):
    args = cell.draw(rng, T, B, D, H, ids=ids)
    h, *finals, _ = cell.forward(*args)
    stepper, steps, xh = start(cell, args, ids)
    for t in range(T):
        advance(stepper, steps, xh, args[0][t])
        assert_close(steps.state[0], upright(h[t]), name=f"h[{t + 1}]")
    for found, final in zip(steps.state, finals, strict=True):
        assert_close(found, upright(final))


def test_bias_alone_is_given_as_a_column_for_all_texts(cell, rng, assert_close):
    args = cell.draw(rng, 1, 3, D, H)
    stepper, steps, xh = start(cell, args, ids=False)
    xh[:D] = args[0][0].T
    steps.step(stepper.inputs.T.copy())  # (G·H,1)
    assert_close(steps.state[0].T, cell.forward(*args)[0][0])


def test_layers_pass_h_on_in_place(cell, rng, assert_close):
    lower, upper = cell.draw(rng, T, 1, D, H, ids=True), cell.draw(rng, T, 1, H, H)
    n = 1 + len(cell.states)
    for state in (*lower[1:n], *upper[1:n]):
        state[...] = 0.0
    middle, *_ = cell.forward(*lower)
    upper[0] = middle
    h, *_ = cell.forward(*upper)
    memory = np.zeros(2 * H)
    first, second = STEPPERS[cell.name](*lower[n:], ids=True), STEPPERS[cell.name](*upper[n:], ids=False)
    below, above = first.start(memory[:H]), second.start(memory)
    for t in range(T):
        below.step(first.inputs[lower[0][t, 0]])
        above.step(second.inputs[0])
        assert_close(memory, np.concatenate([middle[t, 0], h[t, 0]]))


@pytest.mark.parametrize("B", [1, 3])
def test_saturated_gates_are_0_and_1_and_nothing_warns_or_becomes_nan(cell, B, ids, rng, assert_close):
    args = cell.draw(rng, T, B, D, H, ids=ids)
    for name, value in zip(cell.names, args, strict=True):
        if name in ("Wx", "b"):
            value[...] *= 3000  # e^-a is infinite or 0
    h, *_ = cell.forward(*args)
    with warnings.catch_warnings(), backend.get().extremes_are_fine():
        warnings.simplefilter("error")
        stepper, steps, xh = start(cell, args, ids)
        for t in range(T):
            advance(stepper, steps, xh, args[0][t])
            assert_close(steps.state[0], upright(h[t]), 1e-12)


@pytest.mark.parametrize("size", [1, 4])
def test_later_changes_of_the_weights_do_not_reach_it(cell, ids, size, rng):
    args = cell.draw(rng, 1, 1, size, size, ids=ids)
    stepper, steps, xh = start(cell, args, ids)
    again = start(cell, args, ids)
    advance(stepper, steps, xh, args[0][0])
    for weight in args[1:]:
        weight[...] = np.nan
    advance(*again, args[0][0])
    np.testing.assert_array_equal(again[1].state, steps.state)


@pytest.mark.parametrize("B", [1, 3])
def test_two_texts_of_one_stepper_do_not_share_buffers(cell, B, ids, rng):
    args = cell.draw(rng, T, B, D, H, ids=ids)
    stepper, alone, xh = start(cell, args, ids)
    for t in range(T):
        advance(stepper, alone, xh, args[0][t])
    memory, other_memory = np.zeros_like(xh), np.ones_like(xh)
    steps, other = stepper.start(memory), stepper.start(other_memory)
    for place, value in zip(steps.state, args[1:], strict=False):
        place[...] = upright(value)
    for t in range(T):
        advance(stepper, steps, memory, args[0][t])
        advance(stepper, other, other_memory, args[0][T - 1 - t])
    np.testing.assert_array_equal(steps.state, alone.state)


@pytest.mark.parametrize("B", [1, 3])
def test_a_state_that_is_put_back_leads_to_the_same_bits(cell, B, ids, rng):
    args = cell.draw(rng, T, B, D, H, ids=ids)
    args = [a if a.dtype.kind == "i" else a.astype(np.float32) for a in args]
    stepper, steps, xh = start(cell, args, ids)
    advance(stepper, steps, xh, args[0][0])
    before = [array.copy() for array in steps.state]
    runs = []
    for _ in range(2):
        for place, value in zip(steps.state, before, strict=True):
            place[...] = value
        for t in range(1, T):
            advance(stepper, steps, xh, args[0][t])
        runs.append([array.copy() for array in steps.state])
    np.testing.assert_array_equal(runs[0], runs[1])
    assert all(array.dtype == np.float32 for array in runs[0])


def test_c_begins_at_zero_whatever_was_in_memory(cell, rng):
    args = cell.draw(rng, 1, 1, D, H)
    stepper, _, xh = start(cell, args, ids=False)
    for _ in range(20):
        used = stepper.start(xh)
        assert all(not array.any() for array in used.state[1:])
        for array in used.state[1:]:
            array[...] = np.nan  # likely to be handed out again
        del used


def test_wrong_shapes_are_named(cell, rng):
    n = 1 + len(cell.states)
    params = cell.draw(rng, 1, 1, D, H)[n:]
    for place, name in enumerate(cell.param_names):
        wrong = [*params]
        wrong[place] = np.concatenate([params[place]] * 2, axis=-1)
        with pytest.raises(ValueError, match=rf"^{name} has shape"):
            STEPPERS[cell.name](*wrong, ids=False)
    for ids, rows in ((False, H), (True, D + H)):
        with pytest.raises(ValueError, match=r"^xh has shape"):
            STEPPERS[cell.name](*params, ids=ids).start(np.zeros(rows))
