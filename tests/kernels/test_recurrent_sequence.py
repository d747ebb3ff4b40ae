"""A sequence is a loop over steps, and a sequence in chunks is the whole sequence: values and gradients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sizes = st.integers(1, 7)
seeds = st.integers(0, 2**32 - 1)


def run_by_steps(cell, args, upstreams):
    """The same as Cell.run, by one step kernel after the other; parameter gradients add up."""
    x, (dh, *d_states) = args[0], upstreams
    n = len(cell.states)
    states, params = args[1 : 1 + n], args[1 + n :]
    outputs, caches = [], []
    for x_t in x:
        *states, cache = cell.step_forward(x_t, *states, *params)
        outputs.append(states[0])
        caches.append(cache)
    dx, d_params = [], [np.zeros_like(p) for p in params]
    for dh_t, cache in zip(dh[::-1], caches[::-1], strict=True):
        dx_t, *rest = cell.step_backward(dh_t + d_states[0], *d_states[1:], cache)
        d_states, d_params = rest[:n], [total + d for total, d in zip(d_params, rest[n:], strict=True)]
        dx.append(dx_t)
    dx = None if dx[0] is None else np.stack(dx[::-1])
    names = ["h", *(f"{s}T" for s in cell.states), *(f"d{name}" for name in cell.names)]
    return dict(zip(names, [np.stack(outputs), *states, dx, *d_states, *d_params], strict=True))


@settings(max_examples=25)
@given(T=sizes, B=sizes, D=sizes, H=sizes, ids=st.booleans(), seed=seeds)
def test_sequence_is_a_loop_over_steps(cell, assert_close, T, B, D, H, ids, seed):
    rng = np.random.default_rng(seed)
    args, upstreams = cell.draw(rng, T, B, D, H, ids), cell.draw_upstreams(rng, T, B, H)
    whole, by_steps = cell.run(args, upstreams), run_by_steps(cell, args, upstreams)
    for name in whole:
        if name == "dx" and ids:
            assert whole[name] is by_steps[name] is None
        else:
            assert_close(whole[name], by_steps[name], 1e-13, name)


@settings(max_examples=25)
@given(data=st.data(), T=st.integers(2, 9), B=sizes, D=sizes, H=sizes, seed=seeds)
def test_chunks_are_the_whole_sequence(cell, assert_close, data, T, B, D, H, seed):
    """State handed on forwards, state gradients handed on backwards: truncation is the caller's choice, not ours."""
    rng = np.random.default_rng(seed)
    args, (dh, *d_final) = cell.draw(rng, T, B, D, H), cell.draw_upstreams(rng, T, B, H)
    whole = cell.run(args, [dh, *d_final])
    n = len(cell.states)
    x, states, params = args[0], args[1 : 1 + n], args[1 + n :]
    cuts = sorted(data.draw(st.sets(st.integers(1, T - 1), max_size=3), label="cuts"))
    chunks = [slice(a, b) for a, b in zip([0, *cuts], [*cuts, T], strict=True)]

    outputs, caches = [], []
    for chunk in chunks:
        h, *states, cache = cell.forward(x[chunk], *states, *params)
        outputs.append(h)
        caches.append(cache)
    assert_close(np.concatenate(outputs), whole["h"], 1e-13, "h")
    for s, final in zip(cell.states, states, strict=True):
        assert_close(final, whole[f"{s}T"], 1e-13, f"{s}T")

    dx, d_states, d_params = [], d_final, [np.zeros_like(p) for p in params]
    for chunk, cache in zip(chunks[::-1], caches[::-1], strict=True):
        dx_chunk, *rest = cell.backward(dh[chunk], *d_states, cache)
        d_states, d_params = rest[:n], [total + d for total, d in zip(d_params, rest[n:], strict=True)]
        dx.append(dx_chunk)
    assert_close(np.concatenate(dx[::-1]), whole["dx"], 1e-13, "dx")
    for name, gradient in zip([*cell.state_names, *cell.param_names], [*d_states, *d_params], strict=True):
        assert_close(gradient, whole[f"d{name}"], 1e-13, f"d{name}")


def test_final_state_is_the_last_output(cell, rng):
    h, hT, *_ = cell.forward(*cell.draw(rng, 4, 3, 5, 2))
    np.testing.assert_array_equal(hT, h[-1])


def test_zero_state_is_a_state_like_any_other(cell, rng, assert_close):
    """One step from zeros, then the rest, is the whole: no first step that treats a fresh state in a way of its own."""
    args = cell.draw(rng, 3, 2, 4, 5)
    n = len(cell.states)
    x, zeros, params = args[0], [np.zeros((2, 5))] * n, args[1 + n :]
    h, *_ = cell.forward(x, *zeros, *params)
    first, *states, _ = cell.forward(x[:1], *zeros, *params)
    rest, *_ = cell.forward(x[1:], *states, *params)
    assert_close(np.concatenate([first, rest]), h, 1e-13)


@pytest.mark.parametrize("ids", [False, True], ids=["dense", "ids"])
def test_each_sequence_of_a_batch_is_alone(cell, rng, assert_close, ids):
    """Row b of every output and of every state gradient is what a batch of row b alone gives."""
    T, B, D, H = 4, 3, 5, 2
    args, upstreams = cell.draw(rng, T, B, D, H, ids), cell.draw_upstreams(rng, T, B, H)
    whole = cell.run(args, upstreams)
    n = 1 + len(cell.states)
    for row in range(B):
        one = slice(row, row + 1)
        alone = cell.run(
            [args[0][:, one], *(s[one] for s in args[1:n]), *args[n:]],
            [upstreams[0][:, one], *(u[one] for u in upstreams[1:])],
        )
        assert_close(whole["h"][:, one], alone["h"], 1e-13, "h")
        for name in cell.state_names:
            assert_close(whole[f"d{name}"][one], alone[f"d{name}"], 1e-13, f"d{name}")
