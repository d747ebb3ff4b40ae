"""The simple recurrence against its equations, with tanh and with relu."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minrnn import kernels

sizes = st.integers(1, 7)
seeds = st.integers(0, 2**32 - 1)
NONLINEARITIES = {"tanh": np.tanh, "relu": lambda a: np.where(a > 0.0, a, 0.0)}
each_nonlinearity = pytest.mark.parametrize("nonlinearity", NONLINEARITIES)


def draw(rng, T, B, D, H):
    args = [rng.standard_normal(s) for s in [(T, B, D), (B, H), (D, H), (H, H), (H,)]]
    args[3] /= np.sqrt(H)
    return args


@each_nonlinearity
@settings(max_examples=25)
@given(T=sizes, B=sizes, D=sizes, H=sizes, seed=seeds)
def test_forward_is_the_equations_step_by_step(nonlinearity, assert_close, T, B, D, H, seed):
    x, h0, Wx, Wh, b = draw(np.random.default_rng(seed), T, B, D, H)
    expected, h = [], h0
    for t in range(T):
        h = NONLINEARITIES[nonlinearity](x[t] @ Wx + h @ Wh + b)
        expected.append(h)
    h, hT, _ = kernels.rnn_forward(x, h0, Wx, Wh, b, nonlinearity)
    assert_close(h, expected, 1e-12, "h")
    assert_close(hT, expected[-1], 1e-12, "hT")


def test_tanh_is_the_default(rng):
    args = draw(rng, 3, 2, 4, 5)
    np.testing.assert_array_equal(kernels.rnn_forward(*args)[0], kernels.rnn_forward(*args, "tanh")[0])
    x, *rest = args
    np.testing.assert_array_equal(
        kernels.rnn_step_forward(x[0], *rest)[0], kernels.rnn_step_forward(x[0], *rest, "tanh")[0]
    )


def test_relu_has_no_gradient_at_its_kink(rng):
    """All pre-activations exactly 0: PyTorch's convention is a derivative of 0 there, not 1 and not ½."""
    T, B, D, H = 3, 2, 4, 5
    x, h0, Wx, Wh = rng.standard_normal((T, B, D)), np.zeros((B, H)), np.zeros((D, H)), rng.standard_normal((H, H))
    *_, cache = kernels.rnn_forward(x, h0, Wx, Wh, np.zeros(H), "relu")
    for gradient in kernels.rnn_backward(np.ones((T, B, H)), np.ones((B, H)), cache):
        assert np.all(gradient == 0.0)


def test_relu_passes_positive_states_and_their_gradient_unchanged(rng):
    """Wh = 1, no input: a positive state is carried for ever, as the identity start of an IRNN wants it."""
    T, B, D, H = 50, 2, 3, 4
    h0, dhT = rng.uniform(0.1, 2.0, (B, H)), rng.standard_normal((B, H))
    _, hT, cache = kernels.rnn_forward(np.zeros((T, B, D)), h0, np.zeros((D, H)), np.eye(H), np.zeros(H), "relu")
    np.testing.assert_array_equal(hT, h0)
    _, dh0, *_ = kernels.rnn_backward(None, dhT, cache)
    np.testing.assert_array_equal(dh0, dhT)


def test_unknown_nonlinearity_is_named(rng):
    with pytest.raises(ValueError, match=r"'sigmoid'.*'tanh'.*'relu'"):
        kernels.rnn_forward(*draw(rng, 3, 2, 4, 5), "sigmoid")
