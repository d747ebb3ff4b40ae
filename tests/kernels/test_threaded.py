"""Kernels whose rows are shared between threads compute what one thread computes, every gradient included."""

import warnings
from itertools import combinations

import numpy as np
import pytest

from minrnn import backend, kernels
from minrnn.gradcheck import check_gradients

T, D, H = 5, 4, 3
BY_IDS = pytest.mark.parametrize("ids", [False, True], ids=["dense", "ids"])
ODD = pytest.mark.parametrize(("n", "B"), [(2, 2), (2, 7), (2, 31), (3, 5), (4, 3)])


@pytest.fixture(autouse=True)
def alone_until_shared(share):
    """One thread, until a test asks for more."""
    share(1)


@ODD
@BY_IDS
@pytest.mark.parametrize("with_workspace", [False, True], ids=["pure", "workspace"])
def test_recurrence_in_parts_is_the_whole_recurrence(cell, rng, share, assert_close, n, B, ids, with_workspace):
    args, upstreams = cell.draw(rng, T, B, D, H, ids=ids), cell.draw_upstreams(rng, T, B, H)
    alone = cell.run(args, upstreams)
    share(n)
    Wx, Wh = (args[cell.names.index(name)] for name in ("Wx", "Wh"))
    ws = cell.workspace(T, B, Wx, Wh, needs_dx=not ids)
    assert len(ws.parts) == min(n, B)
    for _ in range(2):
        shared = cell.run(args, upstreams, ws=ws if with_workspace else None)
        for name, value in alone.items():
            if value is None:
                assert shared[name] is None, name
            else:
                assert_close(shared[name], value, 1e-12, name)


@BY_IDS
def test_every_gradient_of_shared_rows_agrees_with_differences(cell, rng, share, ids):
    args = cell.draw(rng, 3, 5, D, H, ids=ids)
    share(2)
    report = check_gradients(cell.forward, cell.backward, args, names=cell.names, rng=rng)
    assert report.ok and report.max_error <= 1e-7, f"\n{report}"


def test_parts_share_no_memory_that_they_write(cell, rng, share, arrays_in):
    """What two threads write to at once goes wrong only now and then: no result shows it reliably."""
    B = 7
    args = cell.draw(rng, T, B, D, H)
    share(3)
    ws = cell.workspace(T, B, *(args[cell.names.index(name)] for name in ("Wx", "Wh")))
    assert [row for part in ws.parts for row in range(B)[part.rows]] == list(range(B))
    parts = [arrays_in([[value for value in part if not isinstance(value, slice)]]) for part in ws.parts]
    assert len(parts) == 3
    for one, other in combinations(parts, 2):
        for a in one:
            for b in other:
                assert not np.shares_memory(a, b)


def test_a_workspace_of_many_parts_serves_where_there_is_one_thread_only(cell, rng, share, assert_close):
    B = 5
    args, upstreams = cell.draw(rng, T, B, D, H), cell.draw_upstreams(rng, T, B, H)
    expected = cell.run(args, upstreams)
    share(2)
    ws = cell.workspace(T, B, *(args[cell.names.index(name)] for name in ("Wx", "Wh")))
    found = []
    backend.of(args[0]).run([lambda: found.append(cell.run(args, upstreams, ws=ws)), lambda: None])
    for name, value in expected.items():
        assert_close(found[0][name], value, 1e-12, name)


def test_results_of_shared_rows_are_the_same_bit_for_bit_at_every_run(cell, rng, share):
    """Long enough for the threads to overtake each other."""
    size = {"T": 20, "B": 33, "D": 6, "H": 40}
    args = [a.astype(np.float32) for a in cell.draw(rng, **size)]
    upstreams = [a.astype(np.float32) for a in cell.draw_upstreams(rng, size["T"], size["B"], size["H"])]
    share(2)
    first = {name: value.copy() for name, value in cell.run(args, upstreams).items()}
    for _ in range(5):
        for name, value in cell.run(args, upstreams).items():
            np.testing.assert_array_equal(value, first[name], name)


@pytest.mark.parametrize("n", [1, 2])
def test_saturated_float32_gates_warn_in_no_thread(cell, rng, share, n):
    """e^-a overflows from a = -89 on. The caller is strict about everything else, and stays so."""
    B = 6
    args, upstreams = cell.draw(rng, T, B, D, H), cell.draw_upstreams(rng, T, B, H)
    args, upstreams = ([a.astype(np.float32) for a in arrays] for arrays in (args, upstreams))
    args[0][:, ::2] *= 1e4
    args[0][:, 1::2] *= -1e4
    share(n)
    with warnings.catch_warnings(), np.errstate(divide="raise", invalid="raise"):
        warnings.simplefilter("error")
        found = cell.run(args, upstreams)
        for name, value in found.items():
            assert np.isfinite(value).all(), name
        with pytest.raises(RuntimeWarning, match="overflow"):
            np.exp(np.full(3, 1000.0))


@pytest.mark.parametrize(("N", "M"), [(7, 3), (3, 7), (1, 5), (5, 1), (8, 8)])
@BY_IDS
@pytest.mark.parametrize("n", [2, 3])
def test_affine_map_in_parts_is_the_whole_map(rng, share, assert_close, N, M, ids, n):
    """More rows than columns and fewer: a product is cut along the longer side of its result."""
    x = rng.integers(0, D, N) if ids else rng.standard_normal((N, D))
    W, b, dy = rng.standard_normal((D, M)), rng.standard_normal(M), rng.standard_normal((N, M))

    def run():
        y, cache = kernels.linear_forward(x, W, b)
        return [y, *kernels.linear_backward(dy, cache)]

    alone = run()
    share(n)
    for name, found, expected in zip(("y", "dx", "dW", "db"), run(), alone, strict=True):
        if expected is None:
            assert found is None
        else:
            assert_close(found, expected, 1e-12, name)


@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize(("M", "N"), [(9, 2), (2, 9), (1, 1), (5, 5)])
def test_product_in_parts_fills_every_entry(rng, share, assert_close, layout, M, N):
    a, b = rng.standard_normal((M, 4)), rng.standard_normal((4, N))
    out = np.full((M, N), np.nan, order=layout)
    share(3)
    assert backend.get().matmul(a, b, out=out) is out
    assert_close(out, a @ b, 1e-13)


def test_rows_summed_in_parts_reach_every_id(rng, share, assert_close):
    ids, rows = np.array([5, 0, 5, 2, 3, 2, 5, 9]), rng.standard_normal((8, 3))
    expected = np.zeros((10, 3))
    np.add.at(expected, ids, rows)
    share(3)
    assert_close(backend.get().sum_rows(rows, ids, out=np.full((10, 3), np.nan)), expected, 1e-13)


def test_a_gpu_gets_all_rows_at_once(share):
    """It shares the work by itself, and many small kernels in place of one are slower."""
    share(4)
    assert backend.CupyBackend.parts(None, 9, 1e12) == [slice(0, 9)]
