"""A right submission for coursera-rnn."""

# ruff: noqa

import numpy as np
from rnn_utils import *


def rnn_cell_forward(xt, a_prev, parameters):
    Wax, Waa, ba = parameters["Wax"], parameters["Waa"], parameters["ba"]
    a_next = np.tanh(Wax @ xt + Waa @ a_prev + ba)
    yt_pred = softmax(parameters["Wya"] @ a_next + parameters["by"])
    return a_next, yt_pred, (a_next, a_prev, xt, parameters)


def rnn_forward(x, a0, parameters):
    caches, steps, predictions = [], [], []
    a_next = a0
    for t in range(x.shape[2]):
        a_next, y, cache = rnn_cell_forward(x[:, :, t], a_next, parameters)
        steps.append(a_next)
        predictions.append(y)
        caches.append(cache)
    return np.stack(steps, axis=2), np.stack(predictions, axis=2), (caches, x)


def rnn_cell_backward(da_next, cache):
    a_next, a_prev, xt, parameters = cache
    d = (1 - a_next**2) * da_next
    return {
        "dxt": parameters["Wax"].T @ d,
        "da_prev": parameters["Waa"].T @ d,
        "dWax": d @ xt.T,
        "dWaa": d @ a_prev.T,
        "dba": d.sum(axis=1, keepdims=True),
    }


def rnn_backward(da, caches):
    caches, x = caches
    dx, carry, sums = np.zeros_like(x), 0, {"dWax": 0, "dWaa": 0, "dba": 0}
    for t in reversed(range(da.shape[2])):
        step = rnn_cell_backward(da[:, :, t] + carry, caches[t])
        dx[:, :, t], carry = step["dxt"], step["da_prev"]
        sums = {name: total + step[name] for name, total in sums.items()}
    return {"dx": dx, "da0": carry, **sums}


def lstm_cell_forward(xt, a_prev, c_prev, parameters):
    concat = np.concatenate([a_prev, xt])
    ft, it, ot = (sigmoid(parameters["W" + k] @ concat + parameters["b" + k]) for k in "fio")
    cct = np.tanh(parameters["Wc"] @ concat + parameters["bc"])
    c_next = ft * c_prev + it * cct
    a_next = ot * np.tanh(c_next)
    yt_pred = softmax(parameters["Wy"] @ a_next + parameters["by"])
    return a_next, c_next, yt_pred, (a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters)


def lstm_forward(x, a0, parameters):
    m, T_x = x.shape[1:]
    a, c, y = np.zeros((*a0.shape, T_x)), np.zeros((*a0.shape, T_x)), np.zeros((parameters["Wy"].shape[0], m, T_x))
    caches, a_next, c_next = [], a0, np.zeros_like(a0)
    for t in range(T_x):
        a_next, c_next, y[:, :, t], cache = lstm_cell_forward(x[:, :, t], a_next, c_next, parameters)
        a[:, :, t], c[:, :, t] = a_next, c_next
        caches.append(cache)
    return a, y, c, (caches, x)


def lstm_cell_backward(da_next, dc_next, cache):
    a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters = cache
    n_a = a_next.shape[0]
    dc = dc_next + da_next * ot * (1 - np.tanh(c_next) ** 2)
    d = {
        "f": dc * c_prev * ft * (1 - ft),
        "i": dc * cct * it * (1 - it),
        "c": dc * it * (1 - cct**2),
        "o": da_next * np.tanh(c_next) * ot * (1 - ot),
    }
    both = sum(parameters["W" + k].T @ d[k] for k in d)
    gradients = {"dxt": both[n_a:], "da_prev": both[:n_a], "dc_prev": dc * ft}
    for k in d:
        gradients["dW" + k] = d[k] @ np.concatenate([a_prev, xt]).T
        gradients["db" + k] = d[k].sum(axis=1, keepdims=True)
    return gradients


def lstm_backward(da, caches):
    caches, x = caches
    dx, da_prev, dc_prev, sums = np.zeros_like(x), 0, 0, {}
    for t in reversed(range(da.shape[2])):
        step = lstm_cell_backward(da[:, :, t] + da_prev, dc_prev, caches[t])
        dx[:, :, t], da_prev, dc_prev = step.pop("dxt"), step.pop("da_prev"), step.pop("dc_prev")
        sums = {name: sums.get(name, 0) + part for name, part in step.items()}
    return {"dx": dx, "da0": da_prev, **sums}
