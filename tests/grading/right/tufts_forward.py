"""A right submission for tufts-forward: the sigmoid is that of SciPy, which the course asks for and the profile has."""

# ruff: noqa

import numpy as np
from scipy.special import expit as sigmoid


def rnn(wt_h, wt_x, bias, init_state, input_data):
    state = init_state
    outputs = np.zeros((*input_data.shape[:2], len(wt_h)))
    for t in range(input_data.shape[1]):
        state = np.tanh(state @ wt_h + input_data[:, t] @ wt_x + bias)
        outputs[:, t] = state
    return outputs, state


def gru(wtz_h, wtz_x, biasz, wtr_h, wtr_x, biasr, wth_h, wth_x, biash, init_state, input_data):
    state, outputs = init_state, []
    for x in input_data.swapaxes(0, 1):
        z = sigmoid(state @ wtz_h + x @ wtz_x + biasz)
        r = sigmoid(state @ wtr_h + x @ wtr_x + biasr)
        new = np.tanh((r * state) @ wth_h + x @ wth_x + biash)
        state = z * state + (1 - z) * new
        outputs.append(state)
    return np.stack(outputs, axis=1), state
