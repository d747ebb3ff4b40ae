"""A right submission for min-char-rnn: it reads a file and trains where it is imported, which is left out."""

# ruff: noqa

import numpy as np

data = open("input.txt").read()
chars = sorted(set(data))
hidden_size, vocab_size = 100, len(chars)
Wxh = np.random.randn(hidden_size, vocab_size) * 0.01


def lossFun(inputs, targets, hprev):
    h, xs, hs, ps = hprev, [], [np.copy(hprev)], []
    loss = 0.0
    for i, k in zip(inputs, targets, strict=True):
        x = np.zeros((vocab_size, 1))
        x[i] = 1
        h = np.tanh(Wxh @ x + Whh @ h + bh)
        z = Why @ h + by
        p = np.exp(z) / np.exp(z).sum()
        loss -= np.log(p[k, 0])
        xs.append(x), hs.append(h), ps.append(p)
    gradients = [np.zeros_like(W) for W in (Wxh, Whh, Why, bh, by)]
    carry = np.zeros_like(h)
    for t in range(len(inputs) - 1, -1, -1):
        dz = ps[t].copy()
        dz[targets[t]] -= 1
        da = (Why.T @ dz + carry) * (1 - hs[t + 1] ** 2)
        carry = Whh.T @ da
        for total, part in zip(gradients, (da @ xs[t].T, da @ hs[t].T, dz @ hs[t + 1].T, da, dz), strict=True):
            total += part
    for gradient in gradients:
        np.clip(gradient, -5, 5, out=gradient)
    return loss, *gradients, hs[-1]


def sample(h, seed_ix, n):
    ixes, ix = [], seed_ix
    while len(ixes) < n:
        x = np.zeros((vocab_size, 1))
        x[ix] = 1
        h = np.tanh(Wxh @ x + Whh @ h + bh)
        y = Why @ h + by
        p = np.exp(y) / np.exp(y).sum()
        ix = np.random.choice(vocab_size, p=p.ravel())
        ixes.append(ix)
    return ixes


while True:
    lossFun([0], [0], np.zeros((hidden_size, 1)))
