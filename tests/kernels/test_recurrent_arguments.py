"""What a recurrence accepts and what it refuses: dtypes, memory layouts, shapes, ids."""

import numpy as np
import pytest

SIZES = {"T": 4, "B": 3, "D": 5, "H": 2}
T, B, D, H = SIZES.values()
BY_IDS = pytest.mark.parametrize("ids", [False, True], ids=["dense", "ids"])


def cast(arrays, dtype):
    return [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]


@BY_IDS
@pytest.mark.parametrize("with_workspace", [False, True], ids=["pure", "workspace"])
def test_float32_stays_float32_and_is_accurate(cell, rng, assert_close, ids, with_workspace):
    args = cast(cell.draw(rng, 20, 3, 5, 8, ids=ids), np.float32)
    upstreams = cast(cell.draw_upstreams(rng, 20, 3, 8), np.float32)
    Wx, Wh = (args[cell.names.index(name)] for name in ("Wx", "Wh"))
    ws = cell.workspace(20, 3, Wx, Wh, needs_dx=not ids) if with_workspace else None
    found = cell.run(args, upstreams, ws=ws)
    exact = cell.run(cast(args, np.float64), cast(upstreams, np.float64))
    for name in (name for name in found if exact[name] is not None):
        assert found[name].dtype == np.float32, name
        assert exact[name].dtype == np.float64, name
        assert_close(found[name], exact[name], 1e-5, name)


def test_every_array_of_the_cache_has_the_dtype_of_the_weights(cell, rng, arrays_in):
    args = cast(cell.draw(rng, **SIZES), np.float32)
    *_, cache = cell.forward(*args)
    cell.backward(*cast(cell.draw_upstreams(rng, T, B, H), np.float32), cache)
    steps = [list(step) for step in cache.ws.steps]
    assert {a.dtype for a in arrays_in([list(cache), steps])} == {np.dtype(np.float32)}


@pytest.mark.parametrize("dtype", [np.float64, np.float16], ids=lambda d: d.__name__)
def test_the_dtype_is_that_of_the_weights(cell, rng, dtype):
    """Input, states and upstreams of another precision follow the weights, and so do their gradients."""
    args, upstreams = cell.draw(rng, **SIZES), cast(cell.draw_upstreams(rng, T, B, H), dtype)
    n = 1 + len(cell.states)
    args = [*cast(args[:n], dtype), *cast(args[n:], np.float32)]
    found = cell.run(args, upstreams)
    same = cell.run(cast(args, np.float32), cast(upstreams, np.float32))
    for name, value in found.items():
        assert value.dtype == np.float32, name
        np.testing.assert_allclose(value, same[name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.int64], ids=lambda d: d.__name__)
def test_ids_of_any_integer_type(cell, rng, dtype):
    args, upstreams = cell.draw(rng, **SIZES, ids=True), cell.draw_upstreams(rng, T, B, H)
    expected = cell.run(args, upstreams)
    found = cell.run([args[0].astype(dtype), *args[1:]], upstreams)
    for name in (name for name in found if expected[name] is not None):
        np.testing.assert_array_equal(found[name], expected[name], name)


def strided(a):
    """The same values in memory with gaps, in reversed order of axes."""
    big = np.zeros([2 * n for n in a.shape[::-1]], a.dtype)
    view = big[tuple([slice(None, None, 2)] * a.ndim)].T
    view[...] = a
    assert a.size < 2 or not (view.flags.c_contiguous or view.flags.f_contiguous)
    return view


@BY_IDS
def test_inputs_states_biases_and_upstreams_may_have_any_layout(cell, rng, assert_close, ids):
    args, upstreams = cell.draw(rng, **SIZES, ids=ids), cell.draw_upstreams(rng, T, B, H)
    expected = cell.run(args, upstreams)
    scattered = [a if name in ("Wx", "Wh") else strided(a) for name, a in zip(cell.names, args, strict=True)]
    found = cell.run(scattered, [strided(u) for u in upstreams])
    for name in (name for name in found if expected[name] is not None):
        assert_close(found[name], expected[name], 1e-14, name)


def test_weights_may_be_transposes(cell, rng, assert_close):
    args, upstreams = cell.draw(rng, **SIZES), cell.draw_upstreams(rng, T, B, H)
    expected = cell.run(args, upstreams)
    transposed = [np.asfortranarray(a) if a.ndim == 2 else a for a in args]
    found = cell.run(transposed, upstreams)
    for name in found:
        assert_close(found[name], expected[name], 1e-13, name)


@pytest.mark.parametrize("name", ["Wx", "Wh"])
def test_weights_cut_from_a_wider_matrix_are_refused(cell, rng, name):
    """They would be copied at every step without a word."""
    if (cell.name, name) == ("gru_before", "Wh"):
        pytest.skip("its blocks are copied once for all steps, from any layout")
    args = cell.draw(rng, **SIZES)
    k = cell.names.index(name)
    args[k] = np.concatenate([args[k], args[k]], axis=1)[:, : args[k].shape[1]]
    with pytest.raises(ValueError, match="contiguous"):
        cell.forward(*args)


def wrong_shapes(cell):
    """Argument name -> shapes that must be refused, most of which NumPy would broadcast without a word."""
    shapes = cell.shapes(**SIZES)
    wrong = {}
    for name in cell.names:
        shape = shapes[name]
        wider = (*shape[:-1], shape[-1] + 1)
        wrong[name] = [wider, (1, *shape), shape[1:]]
    for name in cell.state_names:
        wrong[name] += [(1, H), (H, B), (B, 1)]
    wrong["b"] += [(1,)]
    wrong["x"] = [(T, B, D + 1), (T, B, D, 1), (T, B), (0, B, D)]
    wrong["Wx"] = [(D, cell.gates * H + 1), (D, 1)]
    wrong["Wh"] = [(H, cell.gates * H + 1), (H, 1)] if cell.gates > 1 else [(H, H + 1)]
    return [(name, shape) for name in cell.names for shape in wrong[name]]


def test_wrong_shape_of_an_argument_is_named(cell, rng):
    args = cell.draw(rng, **SIZES)
    for name, shape in wrong_shapes(cell):
        bad = list(args)
        bad[cell.names.index(name)] = np.zeros(shape)
        with pytest.raises(ValueError, match=rf"^{name}\b"):
            cell.forward(*bad)


def test_ids_of_wrong_shape_are_named(cell, rng):
    args = cell.draw(rng, **SIZES, ids=True)
    for shape in [(T,), (T, B, 1), (T, B, D), (0, B)]:
        with pytest.raises(ValueError, match=r"^x\b"):
            cell.forward(np.zeros(shape, np.int64), *args[1:])


def test_wrong_shape_of_an_upstream_is_named(cell, rng):
    *_, cache = cell.forward(*cell.draw(rng, **SIZES))
    for k, name in enumerate(cell.upstream_names):
        shape = cell.shapes(**SIZES)[name]
        for wrong in [(*shape[:-1], 1), (1, *shape[1:]), shape[1:], (*shape[:-1], shape[-1] + 1), (T + 1, *shape[1:])]:
            upstreams = cell.draw_upstreams(rng, T, B, H)
            upstreams[k] = np.zeros(wrong)
            with pytest.raises(ValueError, match=rf"^{name}\b"):
                cell.backward(*upstreams, cache)


def test_workspace_of_another_size_is_refused(cell, rng):
    args = cell.draw(rng, **SIZES)
    Wx, Wh = (args[cell.names.index(name)] for name in ("Wx", "Wh"))
    for t, b in [(T + 1, B), (T - 1, B), (T, B + 1), (B, T)]:
        with pytest.raises(ValueError, match=r"^ws\b"):
            cell.forward(*args, ws=cell.workspace(t, b, Wx, Wh))


def test_workspace_of_another_dtype_is_refused(cell, rng):
    args = cell.draw(rng, **SIZES)
    Wx, Wh = (args[cell.names.index(name)] for name in ("Wx", "Wh"))
    with pytest.raises(ValueError, match="dtype"):
        cell.forward(*cast(args, np.float32), ws=cell.workspace(T, B, Wx, Wh))


@pytest.mark.parametrize("bad", [-1, D, D + 100])
def test_ids_outside_the_rows_are_refused(cell, rng, bad):
    """Negative ids too: NumPy would count them from the end."""
    args = cell.draw(rng, **SIZES, ids=True)
    args[0][T - 1, B - 1] = bad
    with pytest.raises(IndexError, match=str(bad)):
        cell.forward(*args)


def test_ids_may_use_the_first_and_the_last_row(cell, rng):
    args = cell.draw(rng, **SIZES, ids=True)
    args[0][...] = np.arange(T * B).reshape(T, B) % D
    cell.forward(*args)


def test_a_single_step_a_single_sequence_a_single_unit(cell, rng):
    found = cell.run(cell.draw(rng, 1, 1, 1, 1), cell.draw_upstreams(rng, 1, 1, 1))
    assert all(np.all(np.isfinite(value)) for value in found.values())


@BY_IDS
def test_an_empty_batch_has_zero_parameter_gradients(cell, rng, ids):
    args, upstreams = cell.draw(rng, 4, 0, 5, 2, ids=ids), cell.draw_upstreams(rng, 4, 0, 2)
    found = cell.run(args, upstreams)
    assert found["h"].shape == (4, 0, 2)
    for name in cell.param_names:
        assert np.all(found[f"d{name}"] == 0.0), name
