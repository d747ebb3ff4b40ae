"""The recurrences against numbers that PyTorch computed: fixtures, and anchors that anyone can retype."""

from pathlib import Path

import numpy as np
import pytest

FIXTURES = Path(__file__).parent.parent / "fixtures" / "kernels.npz"
SIZES = ["5x2x3x4", "7x3x5x6"]


def split(array, gates):
    """The gate blocks along the first axis, as PyTorch stores them."""
    return np.split(np.asarray(array), gates)


def matrix(weight, cell):
    """PyTorch's (G·H, in) as Wx or Wh (in, G·H); the LSTM's blocks i f g o become i f o g.

    Where z weighs the candidate its block changes sign: 1 − σ(a) = σ(−a).
    """
    blocks = split(weight, cell.gates)
    if cell.name == "gru_before":
        blocks[1] = -blocks[1]
    if cell.name == "lstm":
        blocks = [blocks[k] for k in (0, 1, 3, 2)]
    return np.concatenate(blocks).T


def biases(b_ih, b_hh, cell):
    """PyTorch's two biases as b, or for the GRU b and bhn."""
    if cell.name == "gru":
        (r, z, n), (hr, hz, hn) = split(b_ih, 3), split(b_hh, 3)
        return [np.concatenate([r + hr, z + hz, n]), hn]
    return [matrix(b_ih + b_hh, cell)]


def bias_gradients(db_ih, db_hh, cell):
    """Gradients of b and bhn in terms of PyTorch's: both of its biases receive the whole gradient."""
    db = matrix(db_ih, cell)
    return [db, split(db_hh, 3)[2]] if cell.name == "gru" else [db]


@pytest.fixture(scope="module")
def fixtures():
    with np.load(FIXTURES) as file:
        return dict(file)


@pytest.mark.parametrize("size", SIZES)
def test_forward_and_every_gradient_agree_with_pytorch(cell, size, fixtures, assert_close):
    if cell.name == "gru_before":
        pytest.skip("PyTorch has no such cell")

    def f(name):
        return fixtures[f"{cell.name}/{size}/{name}"]

    states = [f(name) for name in cell.state_names]
    Wx, Wh = matrix(f("weight_ih_l0"), cell), matrix(f("weight_hh_l0"), cell)
    args = [f("x"), *states, Wx, Wh, *biases(f("bias_ih_l0"), f("bias_hh_l0"), cell)]
    upstreams = [f("dy"), *(f(f"d{s}T") for s in cell.states)]
    found = cell.run(args, upstreams)

    expected = {
        "h": f("y"),
        **{f"{s}T": f(f"{s}T") for s in cell.states},
        "dx": f("dx"),
        **{f"d{name}": f(f"d{name}") for name in cell.state_names},
        "dWx": matrix(f("dweight_ih_l0"), cell),
        "dWh": matrix(f("dweight_hh_l0"), cell),
    }
    expected.update(
        zip(("db", "dbhn"), bias_gradients(f("dbias_ih_l0"), f("dbias_hh_l0"), cell), strict=cell.name == "gru")
    )
    assert set(found) == set(expected)
    for name, reference in expected.items():
        assert_close(found[name], reference, 1e-12, name)


# Inputs are 0.5 sin(k + 0.7 j), j counting entries in C order, so these numbers need no file. Computed with PyTorch.
ANCHORS = {  # objective, Σ h, and the 2-norms of dx, dWx, dWh, db, dh0 and, where there is one, of dc0 or dbhn
    "rnn_tanh": (
        -0.3071387519,
        -16.5852920314,
        0.3210111395,
        0.5342810070,
        0.6977934087,
        0.5638270837,
        0.2585612005,
    ),
    "rnn_relu": (-0.1813673884, 1.0752255376, 0.3543406449, 0.1207362652, 0.3496005803, 0.1638710745, 0.3967097895),
    "lstm": (
        0.3294170691,
        -6.2346621878,
        0.1867512550,
        0.1661953275,
        0.1956211927,
        0.2673951871,
        0.1293356393,
        0.3878865620,
    ),
    "gru": (
        0.5203810603,
        -3.7335566025,
        0.3202330851,
        0.2208542918,
        0.3361213740,
        0.5137733914,
        1.2008429451,
        0.1432963728,
    ),
    "gru_before": (
        0.4327466237,
        -7.7179959278,
        0.3169356337,
        0.2213616080,
        0.3147078346,
        0.4525026900,
        1.1700374328,
    ),
}


def test_anchor_values(cell):
    T, B, D, H = 5, 2, 3, 4
    G = cell.gates

    def fill(k, *shape):
        return 0.5 * np.sin(k + 0.7 * np.arange(np.prod(shape))).reshape(shape)

    Wx, Wh = matrix(fill(1, G * H, D), cell), matrix(fill(2, G * H, H), cell)
    states = [fill(6, B, H), fill(7, B, H)][: len(cell.states)]
    args = [fill(5, T, B, D), *states, Wx, Wh, *biases(fill(3, G * H), fill(4, G * H), cell)]
    upstreams = [fill(8, T, B, H), *[fill(9, B, H), fill(10, B, H)][: len(cell.states)]]
    found = cell.run(args, upstreams)

    objective = sum(np.sum(found[y] * u) for y, u in zip(("h", "hT", "cT"), upstreams, strict=False))
    last = {"lstm": ["dc0"], "gru": ["dbhn"]}.get(cell.name, [])
    norms = [np.linalg.norm(found[name]) for name in ("dx", "dWx", "dWh", "db", "dh0", *last)]
    np.testing.assert_allclose([objective, found["h"].sum(), *norms], ANCHORS[cell.name], rtol=0, atol=6e-11)
