"""A right submission in the protocol of minrnn's kernels, written without them."""

# ruff: noqa

import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def linear_forward(x, W, b):
    return x @ W + b, (x, W)


def linear_backward(dy, cache):
    x, W = cache
    return dy @ W.T, np.tensordot(x, dy, ((0, 1), (0, 1))), dy.sum((0, 1))


def rnn_forward(x, h0, Wx, Wh, b):
    h = [h0]
    for row in x:
        h.append(np.tanh(row @ Wx + h[-1] @ Wh + b))
    return np.stack(h[1:]), h[-1], (x, h, Wx, Wh)


def rnn_backward(dh, dhT, cache):
    x, h, Wx, Wh = cache
    carry, da = dhT, np.empty_like(dh)
    for t in reversed(range(len(x))):
        da[t] = (dh[t] + carry) * (1 - h[t + 1] ** 2)
        carry = da[t] @ Wh.T
    dWx = np.einsum("tnd,tnh->dh", x, da)
    dWh = np.einsum("tnd,tnh->dh", np.stack(h[:-1]), da)
    return da @ Wx.T, carry, dWx, dWh, da.sum((0, 1))


def lstm_forward(x, h0, c0, Wx, Wh, b):
    h, c, gates = [h0], [c0], []
    for row in x:
        i, f, o, g = np.split(row @ Wx + h[-1] @ Wh + b, 4, axis=1)
        i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
        gates.append((i, f, o, g))
        c.append(f * c[-1] + i * g)
        h.append(o * np.tanh(c[-1]))
    return np.stack(h[1:]), h[-1], c[-1], (x, h, c, gates, Wx, Wh)


def lstm_backward(dh, dhT, dcT, cache):
    x, h, c, gates, Wx, Wh = cache
    carry, dc, da = dhT, dcT, []
    for t in reversed(range(len(x))):
        i, f, o, g = gates[t]
        d, tc = dh[t] + carry, np.tanh(c[t + 1])
        dc = dc + d * o * (1 - tc**2)
        parts = dc * g * i * (1 - i), dc * c[t] * f * (1 - f), d * tc * o * (1 - o), dc * i * (1 - g**2)
        da.insert(0, np.hstack(parts))
        carry, dc = da[0] @ Wh.T, dc * f
    da = np.stack(da)
    dWx = np.einsum("tnd,tnh->dh", x, da)
    dWh = np.einsum("tnd,tnh->dh", np.stack(h[:-1]), da)
    return da @ Wx.T, carry, dc, dWx, dWh, da.sum((0, 1))


def gru_forward(x, h0, Wx, Wh, b, bhn):
    h, steps = [h0], []
    for row in x:
        ar, az, an = np.split(row @ Wx + b, 3, axis=1)
        vr, vz, vn = np.split(h[-1] @ Wh, 3, axis=1)
        r, z = sigmoid(ar + vr), sigmoid(az + vz)
        n = np.tanh(an + r * (vn + bhn))
        steps.append((r, z, n, vn + bhn))
        h.append((1 - z) * n + z * h[-1])
    return np.stack(h[1:]), h[-1], (x, h, steps, Wx, Wh)


def gru_backward(dh, dhT, cache):
    x, h, steps, Wx, Wh = cache
    carry, da, dv = dhT, [], []
    for t in reversed(range(len(x))):
        r, z, n, q = steps[t]
        d = dh[t] + carry
        dan = d * (1 - z) * (1 - n**2)
        dz = d * (h[t] - n) * z * (1 - z)
        dr = dan * q * r * (1 - r)
        da.insert(0, np.hstack((dr, dz, dan)))
        dv.insert(0, np.hstack((dr, dz, dan * r)))
        carry = d * z + dv[0] @ Wh.T
    da, dv = np.stack(da), np.stack(dv)
    dWx = np.einsum("tnd,tnh->dh", x, da)
    dWh = np.einsum("tnd,tnh->dh", np.stack(h[:-1]), dv)
    H = Wh.shape[0]
    return da @ Wx.T, carry, dWx, dWh, da.sum((0, 1)), dv.sum((0, 1))[2 * H :]


def gru_before_forward(x, h0, Wx, Wh, b):
    H, h, steps = h0.shape[1], [h0], []
    for row in x:
        a = row @ Wx + b
        rz = sigmoid(a[:, : 2 * H] + h[-1] @ Wh[:, : 2 * H])
        r, z = rz[:, :H], rz[:, H:]
        n = np.tanh(a[:, 2 * H :] + (r * h[-1]) @ Wh[:, 2 * H :])
        steps.append((r, z, n))
        h.append((1 - z) * n + z * h[-1])
    return np.stack(h[1:]), h[-1], (x, h, steps, Wx, Wh)


def gru_before_backward(dh, dhT, cache):
    x, h, steps, Wx, Wh = cache
    H = Wh.shape[0]
    carry, da, dWh = dhT, [], np.zeros_like(Wh)
    for t in reversed(range(len(x))):
        r, z, n = steps[t]
        d = dh[t] + carry
        dan = d * (1 - z) * (1 - n**2)
        dq = dan @ Wh[:, 2 * H :].T
        drz = np.hstack((dq * h[t] * r * (1 - r), d * (h[t] - n) * z * (1 - z)))
        da.insert(0, np.hstack((drz, dan)))
        dWh += np.hstack((h[t].T @ drz, (r * h[t]).T @ dan))
        carry = d * z + drz @ Wh[:, : 2 * H].T + dq * r
    da = np.stack(da)
    return da @ Wx.T, carry, np.einsum("tnd,tnh->dh", x, da), dWh, da.sum((0, 1))


def softmax_cross_entropy_forward(logits, targets, mask):
    z = logits - logits.max(-1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(-1, keepdims=True))
    chosen = np.take_along_axis(logp, targets[..., None], -1)[..., 0]
    return -(mask * chosen).sum() / mask.sum(), (logp, targets, mask)


def softmax_cross_entropy_backward(dloss, cache):
    logp, targets, mask = cache
    d = np.exp(logp) - np.eye(logp.shape[-1])[targets]
    return dloss * d * (mask / mask.sum())[..., None], None, None
