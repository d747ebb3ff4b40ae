"""A right submission for cs231n-a3, with habits that students have: upstream changed in place, a cache used up."""

# ruff: noqa

import numpy as np


def affine_forward(x, w, b):
    out = x.reshape(x.shape[0], -1).dot(w) + b
    return out, (x, w, b)


def affine_backward(dout, cache):
    x, w, b = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    return dx, dw, dout.sum(axis=0)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    next_h = np.tanh(prev_h.dot(Wh) + x.dot(Wx) + b)
    cache = (x, prev_h, Wx, Wh, next_h)
    return next_h, cache


def rnn_step_backward(dnext_h, cache):
    x, prev_h, Wx, Wh, next_h = cache
    da = (1 - next_h**2) * dnext_h
    return da.dot(Wx.T), da.dot(Wh.T), x.T.dot(da), prev_h.T.dot(da), da.sum(axis=0)


def rnn_forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    h = np.zeros((N, T, h0.shape[1]))
    caches = []
    state = h0
    for t in range(T):
        state, c = rnn_step_forward(x[:, t], state, Wx, Wh, b)
        h[:, t] = state
        caches.append(c)
    return h, caches


def rnn_backward(dh, cache):
    N, T, H = dh.shape
    dx, dWx, dWh, db, carry = [], 0, 0, 0, np.zeros((N, H))
    for t in range(T - 1, -1, -1):
        dxt, carry, a, b, c = rnn_step_backward(dh[:, t] + carry, cache[t])
        dx.insert(0, dxt)
        dWx, dWh, db = dWx + a, dWh + b, db + c
    return np.stack(dx, axis=1), carry, dWx, dWh, db


def word_embedding_forward(x, W):
    return W[x], (x, W.shape)


def word_embedding_backward(dout, cache):
    x, shape = cache
    dW = np.zeros(shape)
    np.add.at(dW, x, dout)
    return dW


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    a = x.dot(Wx) + prev_h.dot(Wh) + b
    ai, af, ao, ag = np.split(a, 4, axis=1)
    i, f, o, g = sigmoid(ai), sigmoid(af), sigmoid(ao), np.tanh(ag)
    next_c = f * prev_c + i * g
    next_h = o * np.tanh(next_c)
    return next_h, next_c, dict(x=x, h=prev_h, c=prev_c, Wx=Wx, Wh=Wh, i=i, f=f, o=o, g=g, nc=next_c)


def lstm_step_backward(dnext_h, dnext_c, cache):
    k = cache
    tc = np.tanh(k["nc"])
    dnext_c += dnext_h * k["o"] * (1 - tc**2)
    do = dnext_h * tc * k["o"] * (1 - k["o"])
    df = dnext_c * k["c"] * k["f"] * (1 - k["f"])
    di = dnext_c * k["g"] * k["i"] * (1 - k["i"])
    dg = dnext_c * k["i"] * (1 - k["g"] ** 2)
    da = np.hstack([di, df, do, dg])
    return da @ k["Wx"].T, da @ k["Wh"].T, dnext_c * k["f"], k["x"].T @ da, k["h"].T @ da, da.sum(0)


def lstm_forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    h, c, hs, cache = h0, np.zeros_like(h0), [], []
    for t in range(T):
        h, c, k = lstm_step_forward(x[:, t, :], h, c, Wx, Wh, b)
        hs.append(h)
        cache.append(k)
    return np.array(hs).transpose(1, 0, 2), cache


def lstm_backward(dh, cache):
    N, T, H = dh.shape
    dhn, dcn = np.zeros((N, H)), np.zeros((N, H))
    dWx = dWh = db = 0
    dx = [None] * T
    for t in reversed(range(T)):
        dx[t], dhn, dcn, a, b, c = lstm_step_backward(dh[:, t] + dhn, dcn, cache.pop())
        dWx, dWh, db = dWx + a, dWh + b, db + c
    return np.array(dx).transpose(1, 0, 2), dhn, dWx, dWh, db


def temporal_affine_forward(x, w, b):
    N, T, D = x.shape
    return (x.reshape(N * T, D) @ w).reshape(N, T, -1) + b, (x, w)


def temporal_affine_backward(dout, cache):
    x, w = cache
    return dout @ w.T, np.einsum("ntd,ntm->dm", x, dout), dout.sum(axis=(0, 1))


def temporal_softmax_loss(x, y, mask, verbose=False):
    N, T, V = x.shape
    p = np.exp(x - x.max(axis=2, keepdims=True))
    p /= p.sum(axis=2, keepdims=True)
    n, t = np.indices(y.shape)
    loss = -np.sum(mask * np.log(p[n, t, y])) / N
    p[n, t, y] -= 1
    return loss, p * mask[:, :, None] / N


def sgd(w, dw, config=None):
    config = config or {"learning_rate": 0.01}
    w -= config["learning_rate"] * dw
    return w, config


def sgd_momentum(w, dw, config=None):
    v = config.get("velocity", np.zeros_like(w))
    config["velocity"] = config["momentum"] * v - config["learning_rate"] * dw
    return w + config["velocity"], config


def rmsprop(w, dw, config=None):
    rate = config["decay_rate"]
    config["cache"] = rate * config["cache"] + (1 - rate) * dw**2
    return w - config["learning_rate"] * dw / (np.sqrt(config["cache"]) + config["epsilon"]), config


def adam(w, dw, config=None):
    config["t"] += 1
    t, b1, b2 = config["t"], config["beta1"], config["beta2"]
    config["m"] = b1 * config["m"] + (1 - b1) * dw
    config["v"] = b2 * config["v"] + (1 - b2) * dw * dw
    m, v = config["m"] / (1 - b1**t), config["v"] / (1 - b2**t)
    return w - config["learning_rate"] * m / (np.sqrt(v) + config["epsilon"]), config
