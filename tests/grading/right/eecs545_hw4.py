"""A right submission for eecs545-hw4: time-major recurrence, batch-major layers around it."""

# ruff: noqa

import numpy as np


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    next_h = np.tanh(x @ Wx + prev_h @ Wh + b)
    return next_h, [x, prev_h, Wx, Wh, next_h]


def rnn_step_backward(dnext_h, cache):
    x, prev_h, Wx, Wh, next_h = cache
    da = dnext_h * (1 - next_h * next_h)
    return da @ Wx.T, da @ Wh.T, x.T @ da, prev_h.T @ da, np.sum(da, 0)


def rnn_forward(x, h0, Wx, Wh, b):
    h, cache, last = np.empty((len(x), *h0.shape)), [], h0
    for t, row in enumerate(x):
        last, c = rnn_step_forward(row, last, Wx, Wh, b)
        h[t] = last
        cache.append(c)
    return h, cache


def rnn_backward(dh, cache):
    x, h0, Wx, Wh, _ = cache[0]
    dx, dnext = np.empty((len(dh), *x.shape)), np.zeros_like(h0)
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wh.shape[0])
    for t in range(len(dh) - 1, -1, -1):
        dx[t], dnext, wx, wh, bias = rnn_step_backward(dh[t] + dnext, cache[t])
        dWx += wx
        dWh += wh
        db += bias
    return dx, dnext, dWx, dWh, db


def word_embedding_forward(x, W):
    return W[x, :], (x, W)


def word_embedding_backward(dout, cache):
    x, W = cache
    dW = np.zeros_like(W)
    for n in range(x.shape[0]):
        for t in range(x.shape[1]):
            dW[x[n, t]] += dout[n, t]
    return dW


def temporal_fc_forward(x, w, b):
    N, T, D = x.shape
    return x.reshape(-1, D).dot(w).reshape(N, T, -1) + b, (x, w)


def temporal_fc_backward(dout, cache):
    x, w = cache
    rows = dout.reshape(-1, dout.shape[2])
    return rows.dot(w.T).reshape(x.shape), x.reshape(len(rows), -1).T.dot(rows), rows.sum(0)


def temporal_softmax_loss(x, y, mask, verbose=False):
    N, T, V = x.shape
    rows, wanted, weight = x.reshape(N * T, V), y.ravel(), mask.ravel()
    z = rows - rows.max(1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(1, keepdims=True))
    loss = -(weight * logp[np.arange(N * T), wanted]).sum() / N
    d = np.exp(logp)
    d[np.arange(N * T), wanted] -= 1
    return loss, (d * weight[:, None] / N).reshape(N, T, V)
