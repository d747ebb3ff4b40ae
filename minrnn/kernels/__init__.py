"""The mathematics: pure functions on plain arrays, one operation a file, forward and backward side by side.

The protocol that every pair follows:

* `*outputs, cache = foo_forward(*inputs, *params, ws=None)`: the cache comes last, a NamedTuple to be opened and read.
* `*gradients = foo_backward(*upstreams, cache, out=None)`: one upstream for each output, in their order, any of them
  None for zeros; one gradient for each argument of the forward, in argument order (None for integers).
* Nothing that the caller owns is written. The backward may be called twice; the cache survives it.
* State goes in (h0, c0) and comes out (hT, cT, as copies), and so do its gradients.
* Gradients are overwritten, not added up. `out=` names where those of the parameters go.
* The array library and the dtype are those of the weights. Sequences are time-major: (T, B, ·).
* `ws=` takes buffers made once by foo_workspace; outputs are then views that are good until its next use.

T time steps, B batch, D input width, H hidden width, V vocabulary.
"""

from minrnn.kernels.activation import (
    relu_backward,
    relu_forward,
    sigmoid_backward,
    sigmoid_forward,
    tanh_backward,
    tanh_forward,
)
from minrnn.kernels.dropout import dropout_backward, dropout_forward
from minrnn.kernels.gru import gru_backward, gru_forward, gru_step_backward, gru_step_forward, gru_workspace
from minrnn.kernels.gru_before import (
    gru_before_backward,
    gru_before_forward,
    gru_before_step_backward,
    gru_before_step_forward,
    gru_before_workspace,
)
from minrnn.kernels.linear import linear_backward, linear_forward
from minrnn.kernels.lstm import (
    lstm_backward,
    lstm_forward,
    lstm_step_backward,
    lstm_step_forward,
    lstm_workspace,
)
from minrnn.kernels.rnn import rnn_backward, rnn_forward, rnn_step_backward, rnn_step_forward, rnn_workspace
from minrnn.kernels.softmax import (
    log_softmax,
    softmax,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
    softmax_workspace,
)
from minrnn.kernels.stepper import Stepper, gru_before_stepper, gru_stepper, lstm_stepper, rnn_stepper

__all__ = [
    "Stepper",
    "dropout_backward",
    "dropout_forward",
    "gru_backward",
    "gru_before_backward",
    "gru_before_forward",
    "gru_before_step_backward",
    "gru_before_step_forward",
    "gru_before_stepper",
    "gru_before_workspace",
    "gru_forward",
    "gru_step_backward",
    "gru_step_forward",
    "gru_stepper",
    "gru_workspace",
    "linear_backward",
    "linear_forward",
    "log_softmax",
    "lstm_backward",
    "lstm_forward",
    "lstm_step_backward",
    "lstm_step_forward",
    "lstm_stepper",
    "lstm_workspace",
    "relu_backward",
    "relu_forward",
    "rnn_backward",
    "rnn_forward",
    "rnn_step_backward",
    "rnn_step_forward",
    "rnn_stepper",
    "rnn_workspace",
    "sigmoid_backward",
    "sigmoid_forward",
    "softmax",
    "softmax_cross_entropy_backward",
    "softmax_cross_entropy_forward",
    "softmax_workspace",
    "tanh_backward",
    "tanh_forward",
]
