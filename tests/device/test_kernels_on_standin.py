"""Every kernel on the stand-in for CuPy: the bits of NumPy, without a wait, a hidden copy or a number in float64."""

from functools import partial

import numpy as np
import pytest

from minrnn import backend
from minrnn import kernels as k

T, B, D, H, V = 4, 3, 5, 2, 6
DTYPE = pytest.mark.parametrize("dtype", ["float32", "float64"])
CELLS = {  # forward, backward, step forward, step backward, workspace, gates, states, parameters
    "lstm": (k.lstm_forward, k.lstm_backward, k.lstm_step_forward, k.lstm_step_backward, k.lstm_workspace, 4, 2, 3),
    "gru": (k.gru_forward, k.gru_backward, k.gru_step_forward, k.gru_step_backward, k.gru_workspace, 3, 1, 4),
    "gru_before": (
        k.gru_before_forward,
        k.gru_before_backward,
        k.gru_before_step_forward,
        k.gru_before_step_backward,
        k.gru_before_workspace,
        3,
        1,
        3,
    ),
    **{
        f"rnn_{f}": (
            partial(k.rnn_forward, nonlinearity=f),
            k.rnn_backward,
            partial(k.rnn_step_forward, nonlinearity=f),
            k.rnn_step_backward,
            k.rnn_workspace,
            1,
            1,
            3,
        )
        for f in ("tanh", "relu")
    },
}


class Draw:
    """The same arrays on every device: each drawn on the host, and moved."""

    def __init__(self, bk, dtype):
        self.bk, self.dtype, self.rng = bk, dtype, np.random.default_rng(5)

    def __call__(self, *shape):
        return self.bk.from_host(self.rng.standard_normal(shape), self.dtype)

    def ids(self, size, *shape):
        return self.bk.from_host(self.rng.integers(0, size, shape))


@DTYPE
@pytest.mark.parametrize("upstreams", [True, False], ids=["upstreams", "none"])
@pytest.mark.parametrize("with_workspace", [True, False], ids=["workspace", "pure"])
@pytest.mark.parametrize("ids", [True, False], ids=["ids", "dense"])
@pytest.mark.parametrize("cell", CELLS)
def test_recurrence(cell, ids, with_workspace, upstreams, dtype, same_on_both):
    forward, backward, _, _, workspace, gates, states, params = CELLS[cell]

    def compute(bk):
        draw = Draw(bk, dtype)
        x = draw.ids(D, T, B) if ids else draw(T, B, D)
        weights = [draw(D, gates * H), draw(H, gates * H), draw(gates * H), draw(H)][:params]
        state = [draw(B, H) for _ in range(states)]
        ws = workspace(T, B, *weights[:2], needs_dx=not ids) if with_workspace else None
        *outputs, cache = forward(x, *state, *weights, ws=ws)
        above = [draw(T, B, H), *(draw(B, H) for _ in state)] if upstreams else [None] * (1 + states)
        return outputs, backward(*above, cache)

    same_on_both(compute)


@DTYPE
@pytest.mark.parametrize("cell", CELLS)
def test_step(cell, dtype, same_on_both):
    _, _, forward, backward, _, gates, states, params = CELLS[cell]

    def compute(bk):
        draw = Draw(bk, dtype)
        weights = [draw(D, gates * H), draw(H, gates * H), draw(gates * H), draw(H)][:params]
        *after, cache = forward(draw(B, D), *(draw(B, H) for _ in range(states)), *weights)
        return after, backward(*(draw(B, H) for _ in range(states)), cache)

    same_on_both(compute)


@DTYPE
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "embedding"])
@pytest.mark.parametrize("ids", [True, False], ids=["ids", "dense"])
def test_linear(ids, bias, dtype, same_on_both):
    def compute(bk):
        draw = Draw(bk, dtype)
        x = draw.ids(D, T, B) if ids else draw(T, B, D)
        y, cache = k.linear_forward(x, draw(D, H), draw(H) if bias else None)
        return y, k.linear_backward(draw(T, B, H), cache), k.linear_backward(None, cache)

    same_on_both(compute)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "int64"])
def test_ids_of_any_integer_type(dtype, same_on_both):
    def compute(bk):
        draw = Draw(bk, "float32")
        ids = bk.from_host(np.array([[3, 0], [3, 4]]), dtype)
        y, cache = k.linear_forward(ids, draw(D, H))
        loss, entropy = k.softmax_cross_entropy_forward(draw(2, 2, V), ids)
        return y, k.linear_backward(draw(2, 2, H), cache), loss, k.softmax_cross_entropy_backward(1.0, entropy)

    same_on_both(compute)


@DTYPE
@pytest.mark.parametrize("with_workspace", [True, False], ids=["workspace", "pure"])
@pytest.mark.parametrize("masked", [True, False], ids=["mask", "plain"])
def test_softmax_cross_entropy(masked, with_workspace, dtype, same_on_both):
    def compute(bk):
        draw = Draw(bk, dtype)
        logits, targets, mask = draw(T, B, V), draw.ids(V, T, B), draw(T, B)
        ws = k.softmax_workspace(T, B, V, logits) if with_workspace else None
        with bk.scope():
            mask = mask * mask if masked else None
        loss, cache = k.softmax_cross_entropy_forward(logits, targets, mask, ws=ws)
        backward = k.softmax_cross_entropy_backward
        return loss, cache.nll, [bk.to_host(backward(dloss, cache)[0]) for dloss in (None, 2.5, loss)]

    same_on_both(compute, allowed=["syncs"])


@DTYPE
def test_softmax(dtype, same_on_both):
    same_on_both(lambda bk: [f(Draw(bk, dtype)(T, B, V)) for f in (k.softmax, k.log_softmax)])


@DTYPE
@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu"])
def test_activation(name, dtype, same_on_both):
    def compute(bk):
        draw = Draw(bk, dtype)
        y, cache = getattr(k, f"{name}_forward")(draw(T, B, D))
        backward = getattr(k, f"{name}_backward")
        return y, backward(draw(T, B, D), cache), backward(None, cache)

    same_on_both(compute)


@DTYPE
@pytest.mark.parametrize("p", [0.0, 0.4])
def test_dropout(p, dtype, same_on_both):
    def compute(bk):
        draw = Draw(bk, dtype)
        y, cache = k.dropout_forward(draw(T, B, D), p, np.random.default_rng(1))
        return y, k.dropout_backward(draw(T, B, D), cache)[0], k.dropout_backward(None, cache)[0]

    _, y, *_ = [None, *same_on_both(compute)]
    assert (y == 0.0).any() == (p > 0.0)


def test_sum_of_rows_agrees_with_that_of_the_host(bk):
    """The one operation that a GPU does in another way, compared with the host's own."""
    rng = np.random.default_rng(0)
    rows, ids, host = rng.standard_normal((200, 3)), rng.integers(0, 9, 200) % 8, backend.get("numpy")
    expected = host.sum_rows(rows, ids, np.full((9, 3), np.nan))
    with bk.scope():
        out = bk.sum_rows(bk.from_host(rows), bk.from_host(ids), bk.xp.empty((9, 3)))
    np.testing.assert_allclose(bk.to_host(out), expected, rtol=0, atol=1e-13)
    assert not expected[8].any() and not bk.to_host(out)[8].any()


def test_sums_of_rows_of_other_shapes_follow_each_other(bk):
    """The one-hot rows are kept: those of other ids, sizes and dtypes must not be taken for them."""
    f, d = "float32", "float64"
    for n, size, dtype in ((4, 3, f), (4, 5, f), (4, 5, d), (6, 5, d), (4, 3, f)):
        for shift in (0, 1):
            ids = (np.arange(n) + shift) % 3
            with bk.scope():
                rows = bk.from_host(np.arange(1.0, n + 1)[:, None], dtype)
                found = bk.to_host(bk.sum_rows(rows, bk.from_host(ids), bk.xp.empty((size, 1), dtype)))
            expected = np.zeros((size, 1), dtype)
            np.add.at(expected, ids, np.arange(1.0, n + 1)[:, None].astype(dtype))
            np.testing.assert_array_equal(found, expected)


def test_layouts_that_a_gpu_would_copy_are_refused_by_both(bk):
    for device in (bk, backend.get("numpy")):
        with device.scope():
            a = device.from_host(np.ones((4, 6)))
            square = device.xp.empty((4, 4))
            with pytest.raises(ValueError, match="contiguous"):
                device.matmul(a[:, :4], square, square)
            with pytest.raises(ValueError, match="one dtype"):
                device.matmul(a, a.T, device.xp.empty((4, 4), "float32"))
