"""Every gradient of every recurrence against central differences, and the ways to lose a term of one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minrnn.gradcheck import check_gradients

sizes = st.integers(1, 7)
seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=40)
@given(T=sizes, B=sizes, D=sizes, H=sizes, seed=seeds)
def test_every_gradient_agrees_with_differences(cell, T, B, D, H, seed):
    rng = np.random.default_rng(seed)
    args = cell.draw(rng, T, B, D, H)
    report = check_gradients(cell.forward, cell.backward, args, names=cell.names, rng=rng)
    assert len(report.rows) == len(args)
    assert report.ok and report.max_error <= 1e-7, f"\n{report}"


@settings(max_examples=25)
@given(T=sizes, B=sizes, D=sizes, H=sizes, seed=seeds)
def test_every_gradient_agrees_with_differences_for_ids(cell, T, B, D, H, seed):
    rng = np.random.default_rng(seed)
    args = cell.draw(rng, T, B, D, H, ids=True)
    report = check_gradients(cell.forward, cell.backward, args, names=cell.names, rng=rng)
    assert len(report.rows) == len(args) - 1  # ids have no gradient
    assert report.ok and report.max_error <= 1e-7, f"\n{report}"


@settings(max_examples=25)
@given(B=sizes, D=sizes, H=sizes, seed=seeds)
def test_step_gradients_agree_with_differences(cell, B, D, H, seed):
    rng = np.random.default_rng(seed)
    args = cell.draw(rng, 1, B, D, H)
    args[0] = args[0][0]
    report = check_gradients(cell.step_forward, cell.step_backward, args, names=cell.names, rng=rng)
    assert len(report.rows) == len(args)
    assert report.ok and report.max_error <= 1e-7, f"\n{report}"


@settings(max_examples=25)
@given(T=sizes, B=sizes, D=sizes, H=sizes, seed=seeds)
def test_ids_are_one_hot_rows(cell, assert_close, T, B, D, H, seed):
    rng = np.random.default_rng(seed)
    args, upstreams = cell.draw(rng, T, B, D, H, ids=True), cell.draw_upstreams(rng, T, B, H)
    by_ids = cell.run(args, upstreams)
    dense = cell.run([np.eye(D)[args[0]], *args[1:]], upstreams)
    assert by_ids.pop("dx") is None
    for name, value in by_ids.items():
        assert_close(value, dense[name], 1e-13, name)


def test_repeated_ids_add_up_in_dWx(cell, rng, assert_close):
    T, B, D, H = 6, 3, 4, 5
    args, upstreams = cell.draw(rng, T, B, D, H, ids=True), cell.draw_upstreams(rng, T, B, H)
    args[0] = np.full((T, B), 2)
    found = cell.run(args, upstreams)
    assert_close(found["dWx"][2], found["db"], 1e-13, "the only row in use")
    assert np.all(np.delete(found["dWx"], 2, axis=0) == 0.0)


def test_initial_state_reaches_dWh(cell, rng, assert_close):
    """With T = 1 and B = 1 the only term of dWh is the one of the initial state, h0ᵀ da: often dropped."""
    if cell.name == "gru_before":
        pytest.skip("its block n multiplies r ∘ h0: see test_gru_before.py")
    args, upstreams = cell.draw(rng, 1, 1, 3, 5), cell.draw_upstreams(rng, 1, 1, 5)
    found = cell.run(args, upstreams)
    recurrent_db = np.concatenate([found["db"][:10], found["dbhn"]]) if cell.recurrent_bias else found["db"]
    assert np.any(found["dWh"] != 0.0)
    assert_close(found["dWh"], np.outer(args[1][0], recurrent_db), 1e-13, "dWh")


def test_final_state_upstream_is_an_upstream_of_the_last_output(cell, rng, assert_close):
    """hT is h[T−1]: its upstream, given alone, must act like the same upstream on the last output."""
    T, B, D, H = 4, 3, 5, 2
    args = cell.draw(rng, T, B, D, H)
    dhT, *others = [rng.standard_normal((B, H)), *[None] * (len(cell.states) - 1)]
    dh = np.zeros((T, B, H))
    dh[-1] = dhT
    as_state, as_output = cell.run(args, [None, dhT, *others]), cell.run(args, [dh, None, *others])
    for name in as_state:
        assert_close(as_state[name], as_output[name], 0.0, name)
    both = cell.run(args, [dh, dhT, *others])
    for name in (n for n in both if n.startswith("d")):
        assert_close(both[name], 2.0 * as_state[name], 1e-13, name)


def test_each_upstream_alone_reaches_the_initial_state_and_the_first_input(cell, rng):
    """T = 4, the loss on one output only, at the last step: what is lost on the way back shows in dx[0] and dh0."""
    args = cell.draw(rng, 4, 3, 5, 6)

    for kept in range(1 + len(cell.states)):

        def forward(*args, kept=kept):
            *outputs, cache = cell.forward(*args)
            last = outputs[0][-1] if kept == 0 else outputs[kept]
            return last, cache

        def backward(dlast, cache, kept=kept):
            upstreams = [None] * (1 + len(cell.states))
            upstreams[kept] = dlast
            if kept == 0:
                upstreams[0] = np.zeros((4, 3, 6))
                upstreams[0][-1] = dlast
            return cell.backward(*upstreams, cache)

        report = check_gradients(forward, backward, args, names=cell.names, rng=rng)
        assert report.ok and report.max_error <= 1e-7, f"\n{report}"
        assert all(row.largest > 0.0 for row in report.rows)


def test_none_upstream_means_zeros(cell, rng):
    T, B, D, H = 4, 3, 5, 2
    args, upstreams = cell.draw(rng, T, B, D, H), cell.draw_upstreams(rng, T, B, H)
    for missing in range(len(upstreams)):
        given_none = [None if k == missing else u for k, u in enumerate(upstreams)]
        given_zeros = [np.zeros_like(u) if k == missing else u for k, u in enumerate(upstreams)]
        by_none, by_zeros = cell.run(args, given_none), cell.run(args, given_zeros)
        for name in by_none:
            np.testing.assert_array_equal(by_none[name], by_zeros[name], name)


@pytest.mark.parametrize("ids", [False, True], ids=["dense", "ids"])
def test_no_upstream_at_all_means_no_gradient(cell, rng, ids):
    args = cell.draw(rng, 4, 3, 5, 2, ids=ids)
    found = cell.run(args, [None] * (1 + len(cell.states)))
    for name in cell.names[ids:]:
        assert np.all(found[f"d{name}"] == 0.0), f"d{name} is not zero"


def test_step_with_none_upstreams(cell, rng):
    args = cell.draw(rng, 1, 3, 5, 2)
    *_, cache = cell.step_forward(args[0][0], *args[1:])
    for gradient in cell.step_backward(*[None] * len(cell.states), cache):
        assert np.all(gradient == 0.0)


def test_gradients_are_overwritten_not_added_up(cell, rng):
    args, upstreams = cell.draw(rng, 4, 3, 5, 2), cell.draw_upstreams(rng, 4, 3, 2)
    *_, cache = cell.forward(*args)
    first = cell.backward(*upstreams, cache)
    second = cell.backward(*upstreams, cache)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
