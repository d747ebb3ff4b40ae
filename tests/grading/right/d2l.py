"""A right submission for d2l, functions and classes, in NumPy."""

# ruff: noqa

import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def rnn(inputs, state, params):
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    outputs = []
    for X in inputs:
        H = np.tanh(X @ W_xh + H @ W_hh + b_h)
        outputs.append(H @ W_hq + b_q)
    return np.concatenate(outputs, axis=0), (H,)


def lstm(inputs, state, params):
    W_xi, W_hi, b_i, W_xf, W_hf, b_f, W_xo, W_ho, b_o, W_xc, W_hc, b_c, W_hq, b_q = params
    (H, C) = state
    outputs = []
    for X in inputs:
        I = sigmoid(X @ W_xi + H @ W_hi + b_i)
        F = sigmoid(X @ W_xf + H @ W_hf + b_f)
        O = sigmoid(X @ W_xo + H @ W_ho + b_o)
        C = F * C + I * np.tanh(X @ W_xc + H @ W_hc + b_c)
        H = O * np.tanh(C)
        outputs.append(H @ W_hq + b_q)
    return np.concatenate(outputs, axis=0), (H, C)


def gru(inputs, state, params):
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    outputs = []
    for X in inputs:
        Z = sigmoid(X @ W_xz + H @ W_hz + b_z)
        R = sigmoid(X @ W_xr + H @ W_hr + b_r)
        H = Z * H + (1 - Z) * np.tanh(X @ W_xh + (R * H) @ W_hh + b_h)
        outputs.append(H @ W_hq + b_q)
    return np.concatenate(outputs, axis=0), (H,)


class RNNScratch:
    def __init__(self, num_inputs, num_hiddens, sigma=0.01):
        self.W_xh = np.random.randn(num_inputs, num_hiddens) * sigma
        self.W_hh = np.random.randn(num_hiddens, num_hiddens) * sigma
        self.b_h = np.zeros(num_hiddens)

    def forward(self, inputs, state=None):
        outputs = []
        for X in inputs:
            state = np.tanh(X @ self.W_xh + state @ self.W_hh + self.b_h)
            outputs.append(state)
        return outputs, state


class LSTMScratch:
    def __init__(self, num_inputs, num_hiddens, sigma=0.01):
        pass

    def forward(self, inputs, H_C=None):
        H, C = H_C
        outputs = []
        for X in inputs:
            I = sigmoid(X @ self.W_xi + H @ self.W_hi + self.b_i)
            F = sigmoid(X @ self.W_xf + H @ self.W_hf + self.b_f)
            O = sigmoid(X @ self.W_xo + H @ self.W_ho + self.b_o)
            C = F * C + I * np.tanh(X @ self.W_xc + H @ self.W_hc + self.b_c)
            H = O * np.tanh(C)
            outputs.append(H)
        return outputs, (H, C)


class GRUScratch:
    def __init__(self, num_inputs, num_hiddens, sigma=0.01):
        pass

    def forward(self, inputs, H=None):
        outputs = []
        for X in inputs:
            Z = sigmoid(X @ self.W_xz + H @ self.W_hz + self.b_z)
            R = sigmoid(X @ self.W_xr + H @ self.W_hr + self.b_r)
            H = Z * H + (1 - Z) * np.tanh(X @ self.W_xh + (R * H) @ self.W_hh + self.b_h)
            outputs.append(H)
        return outputs, H


def predict_ch8(prefix, num_preds, net, vocab, device):
    state = net.begin_state(batch_size=1, device=device)
    outputs = [vocab[prefix[0]]]
    for token in prefix[1:]:
        _, state = net(np.array([outputs[-1:]]), state)
        outputs.append(vocab[token])
    for _ in range(num_preds):
        y, state = net(np.array([outputs[-1:]]), state)
        outputs.append(int(y.argmax(axis=1).item()))
    return "".join(vocab.idx_to_token[i] for i in outputs)


def grad_clipping(net, theta):
    norm = np.sqrt(sum((p.grad**2).sum() for p in net.params))
    if norm > theta:
        for p in net.params:
            p.grad[:] *= theta / norm
