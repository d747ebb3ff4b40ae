"""A right submission for cmu-11785."""

# ruff: noqa

import sys

import numpy as np

sys.path.append("mytorch")
from nn.activation import *


class RNNCell:
    def __init__(self, input_size, hidden_size):
        self.activation = Tanh()
        self.W_ih = np.random.randn(hidden_size, input_size)
        self.W_hh = np.random.randn(hidden_size, hidden_size)
        self.b_ih = np.random.randn(hidden_size)
        self.b_hh = np.random.randn(hidden_size)
        self.zero_grad()

    def init_weights(self, W_ih, W_hh, b_ih, b_hh):
        self.W_ih, self.W_hh, self.b_ih, self.b_hh = W_ih, W_hh, b_ih, b_hh

    def zero_grad(self):
        self.dW_ih, self.dW_hh = np.zeros_like(self.W_ih), np.zeros_like(self.W_hh)
        self.db_ih, self.db_hh = np.zeros_like(self.b_ih), np.zeros_like(self.b_hh)

    def forward(self, x, h_prev_t):
        return self.activation.forward(x @ self.W_ih.T + self.b_ih + h_prev_t @ self.W_hh.T + self.b_hh)

    def backward(self, delta, h_t, h_prev_l, h_prev_t):
        dz = self.activation.backward(delta, state=h_t)
        n = len(delta)
        self.dW_ih += dz.T @ h_prev_l / n
        self.dW_hh += dz.T @ h_prev_t / n
        self.db_ih += dz.mean(axis=0)
        self.db_hh += dz.mean(axis=0)
        return dz @ self.W_ih, dz @ self.W_hh


class GRUCell:
    def __init__(self, in_dim, hidden_dim):
        self.d, self.h = in_dim, hidden_dim
        self.r_act, self.z_act, self.h_act = Sigmoid(), Sigmoid(), Tanh()

    def init_weights(self, Wrx, Wzx, Wnx, Wrh, Wzh, Wnh, brx, bzx, bnx, brh, bzh, bnh):
        weights = dict(locals())
        weights.pop("self")
        for name, value in weights.items():
            setattr(self, name, value)
            setattr(self, "d" + name, np.zeros_like(value))

    def forward(self, x, h_prev_t):
        self.x, self.hidden = x, h_prev_t
        self.r = self.r_act.forward(self.Wrx @ x + self.brx + self.Wrh @ h_prev_t + self.brh)
        self.z = self.z_act.forward(self.Wzx @ x + self.bzx + self.Wzh @ h_prev_t + self.bzh)
        self.q = self.Wnh @ h_prev_t + self.bnh
        self.n = self.h_act.forward(self.Wnx @ x + self.bnx + self.r * self.q)
        return (1 - self.z) * self.n + self.z * h_prev_t

    def backward(self, delta):
        dn = delta * (1 - self.z) * (1 - self.n**2)
        dz = delta * (self.hidden - self.n) * self.z * (1 - self.z)
        dr = dn * self.q * self.r * (1 - self.r)
        dq = dn * self.r
        self.dWnx += np.outer(dn, self.x)
        self.dWzx += np.outer(dz, self.x)
        self.dWrx += np.outer(dr, self.x)
        self.dWnh += np.outer(dq, self.hidden)
        self.dWzh += np.outer(dz, self.hidden)
        self.dWrh += np.outer(dr, self.hidden)
        self.dbnx, self.dbnh = self.dbnx + dn, self.dbnh + dq
        self.dbzx, self.dbzh = self.dbzx + dz, self.dbzh + dz
        self.dbrx, self.dbrh = self.dbrx + dr, self.dbrh + dr
        dx = dn @ self.Wnx + dz @ self.Wzx + dr @ self.Wrx
        dh = delta * self.z + dq @ self.Wnh + dz @ self.Wzh + dr @ self.Wrh
        return dx[None], dh[None]
