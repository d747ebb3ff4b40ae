"""Who owns which memory: nothing of the caller's is written, a workspace may be dirty, its outputs are views."""

import numpy as np
import pytest

SIZES = {"T": 4, "B": 3, "D": 5, "H": 2}
T, B, D, H = SIZES.values()
BY_IDS = pytest.mark.parametrize("ids", [False, True], ids=["dense", "ids"])


def workspace(cell, args, ids=False, dirt=np.nan):
    """A workspace whose every buffer is full of dirt."""
    Wx, Wh = (args[cell.names.index(name)] for name in ("Wx", "Wh"))
    ws = cell.workspace(T, B, Wx, Wh, needs_dx=not ids)
    for buffer in ws:
        if isinstance(buffer, np.ndarray):
            buffer.fill(dirt)
    return ws


def flat_out(cell, args):
    """Views of one flat vector of NaN, one for every parameter; and the vector."""
    params = args[1 + len(cell.states) :]
    flat = np.full(sum(p.size for p in params), np.nan, params[0].dtype)
    ends = np.cumsum([p.size for p in params])
    return tuple(flat[e - p.size : e].reshape(p.shape) for p, e in zip(params, ends, strict=True)), flat


def assert_same(found, expected):
    """Bit for bit, and None where None was."""
    assert found.keys() == expected.keys()
    for name in found:
        if expected[name] is None:
            assert found[name] is None, name
        else:
            np.testing.assert_array_equal(found[name], expected[name], name)


@BY_IDS
@pytest.mark.parametrize("with_workspace", [False, True], ids=["pure", "workspace"])
def test_nothing_of_the_callers_is_written(cell, rng, ids, with_workspace):
    args, upstreams = cell.draw(rng, **SIZES, ids=ids), cell.draw_upstreams(rng, T, B, H)
    before = [a.copy() for a in [*args, *upstreams]]
    expected = cell.run(args, upstreams)
    for array, copy in zip([*args, *upstreams], before, strict=True):
        np.testing.assert_array_equal(array, copy)
        array.setflags(write=False)
    ws = workspace(cell, args, ids) if with_workspace else None
    assert_same(cell.run(args, upstreams, ws=ws), expected)


def test_steps_write_nothing_of_the_callers(cell, rng):
    args, upstreams = cell.draw(rng, 1, B, D, H), cell.draw_upstreams(rng, 1, B, H)[1:]
    args[0] = args[0][0]
    for array in [*args, *upstreams]:
        array.setflags(write=False)
    *_, cache = cell.step_forward(*args)
    cell.step_backward(*upstreams, cache)


@BY_IDS
@pytest.mark.parametrize("dirt", [np.nan, 1e300])
def test_dirty_workspace_changes_nothing(cell, rng, ids, dirt):
    args, upstreams = cell.draw(rng, **SIZES, ids=ids), cell.draw_upstreams(rng, T, B, H)
    assert_same(cell.run(args, upstreams, ws=workspace(cell, args, ids, dirt)), cell.run(args, upstreams))


def test_dirty_workspace_changes_nothing_without_upstreams(cell, rng):
    args = cell.draw(rng, **SIZES)
    missing = [None] * (1 + len(cell.states))
    assert_same(cell.run(args, missing, ws=workspace(cell, args)), cell.run(args, missing))


def test_workspace_that_served_another_call_changes_nothing(cell, rng):
    first, second = cell.draw(rng, **SIZES), cell.draw(rng, **SIZES)
    upstreams = cell.draw_upstreams(rng, T, B, H)
    ws = workspace(cell, first)
    cell.run(first, cell.draw_upstreams(rng, T, B, H), ws=ws)
    assert_same(cell.run(second, upstreams, ws=ws), cell.run(second, upstreams))


def test_workspace_of_float_input_serves_ids_and_back(cell, rng):
    """needs_dx only says whether a buffer for dx is there: either kind of input works with either workspace."""
    upstreams = cell.draw_upstreams(rng, T, B, H)
    for ids in (False, True):
        args = cell.draw(rng, **SIZES, ids=ids)
        assert_same(cell.run(args, upstreams, ws=workspace(cell, args, not ids)), cell.run(args, upstreams))


def test_outputs_with_a_workspace_are_views_of_it(cell, rng, arrays_in):
    """The one aliasing in the design: h and dx live in the workspace, or nothing would be saved by having one."""
    args, upstreams = cell.draw(rng, **SIZES), cell.draw_upstreams(rng, T, B, H)
    ws = workspace(cell, args)
    found = cell.run(args, upstreams, ws=ws)
    assert np.shares_memory(found["h"], ws.h)
    assert np.shares_memory(found["dx"], ws.dx)


def test_states_and_state_gradients_survive_the_next_use_of_the_workspace(cell, rng):
    args, upstreams = cell.draw(rng, **SIZES), cell.draw_upstreams(rng, T, B, H)
    ws = workspace(cell, args)
    found = cell.run(args, upstreams, ws=ws)
    kept = [f"{s}T" for s in cell.states] + [f"d{name}" for name in cell.names[1:]]
    before = {name: found[name].copy() for name in kept}
    cell.run(cell.draw(rng, **SIZES), cell.draw_upstreams(rng, T, B, H), ws=ws)
    for name in kept:
        np.testing.assert_array_equal(found[name], before[name], name)


@BY_IDS
def test_out_names_where_parameter_gradients_go(cell, rng, ids):
    """Views of one flat vector that holds NaN: overwritten, not added to, and returned as they are."""
    args, upstreams = cell.draw(rng, **SIZES, ids=ids), cell.draw_upstreams(rng, T, B, H)
    expected = cell.run(args, upstreams)
    for ws in (None, workspace(cell, args, ids)):
        out, flat = flat_out(cell, args)
        found = cell.run(args, upstreams, ws=ws, out=out)
        assert_same(found, expected)
        assert np.all(np.isfinite(flat))
        for name, view in zip(cell.param_names, out, strict=True):
            assert found[f"d{name}"] is view, name


@BY_IDS
def test_no_upstream_overwrites_out_with_zeros(cell, rng, ids):
    args = cell.draw(rng, **SIZES, ids=ids)
    out, flat = flat_out(cell, args)
    cell.run(args, [None] * (1 + len(cell.states)), out=out)
    assert np.all(flat == 0.0)


def test_pure_calls_never_share_memory(cell, rng, arrays_in):
    args, upstreams = cell.draw(rng, **SIZES), cell.draw_upstreams(rng, T, B, H)
    *first, first_cache = cell.forward(*args)
    *second, second_cache = cell.forward(*args)
    results = [
        *first,
        *second,
        *cell.backward(*upstreams, first_cache),
        *cell.backward(*upstreams, first_cache),
        *cell.backward(*upstreams, second_cache),
    ]
    for k, a in enumerate(results):
        for b in [*results[:k], *args, *upstreams]:
            assert not np.shares_memory(a, b), f"result {k}"


def test_second_forward_leaves_the_first_one_and_its_cache_alone(cell, rng):
    args, upstreams = cell.draw(rng, **SIZES), cell.draw_upstreams(rng, T, B, H)
    expected = cell.run(args, upstreams)
    *outputs, cache = cell.forward(*args)
    cell.run(cell.draw(rng, **SIZES), cell.draw_upstreams(rng, T, B, H))
    found = dict(zip(expected, [*outputs, *cell.backward(*upstreams, cache)], strict=True))
    assert_same(found, expected)


def test_second_backward_with_other_upstreams_leaves_the_first_result_alone(cell, rng):
    args, upstreams = cell.draw(rng, **SIZES), cell.draw_upstreams(rng, T, B, H)
    *_, cache = cell.forward(*args)
    first = cell.backward(*upstreams, cache)
    before = [g.copy() for g in first]
    other = cell.backward(*cell.draw_upstreams(rng, T, B, H), cache)
    for g, copy, h in zip(first, before, other, strict=True):
        np.testing.assert_array_equal(g, copy)
        assert np.any(g != h)


@pytest.mark.parametrize("with_workspace", [False, True], ids=["pure", "workspace"])
def test_cache_survives_backward(cell, rng, arrays_in, with_workspace):
    """Whatever upstream came before, a backward gives what a first one gives; the histories are untouched."""
    args, upstreams = cell.draw(rng, **SIZES), cell.draw_upstreams(rng, T, B, H)
    expected = cell.run(args, upstreams)
    *outputs, cache = cell.forward(*args, ws=workspace(cell, args) if with_workspace else None)
    histories = arrays_in([part for name, part in cache._asdict().items() if name not in ("ws", "input")])
    before = [a.copy() for a in histories]
    cell.backward(*cell.draw_upstreams(rng, T, B, H), cache)
    cell.backward(*[None] * len(upstreams), cache)
    for a, copy in zip(histories, before, strict=True):
        np.testing.assert_array_equal(a, copy)
    assert_same(dict(zip(expected, [*outputs, *cell.backward(*upstreams, cache)], strict=True)), expected)


def test_step_caches_are_independent(cell, rng):
    """A loop keeps one cache a step; none may change when the next step runs."""
    args = cell.draw(rng, **SIZES)
    n = len(cell.states)
    upstreams = cell.draw_upstreams(rng, T, B, H)[1:]
    *states, cache = cell.step_forward(args[0][0], *args[1:])
    expected = [g.copy() for g in cell.step_backward(*upstreams, cache)]
    kept = [s.copy() for s in states]
    cell.step_forward(args[0][1], *states, *args[1 + n :])
    for s, copy in zip(states, kept, strict=True):
        np.testing.assert_array_equal(s, copy)
    for g, e in zip(cell.step_backward(*upstreams, cache), expected, strict=True):
        np.testing.assert_array_equal(g, e)


def test_histories_of_states_start_with_the_initial_state(cell, rng):
    """T+1 rows, row 0 the initial state: what the readers of a cache rely on."""
    args = cell.draw(rng, **SIZES)
    h, *_, cache = cell.forward(*args)
    for s, name in zip(cell.states, cell.state_names, strict=True):
        history = getattr(cache, s)
        assert history.shape == (T + 1, B, H)
        np.testing.assert_array_equal(history[0], args[cell.names.index(name)])
    np.testing.assert_array_equal(cache.h[1:], h)
