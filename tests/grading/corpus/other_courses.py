"""The courses of the corpus beside CS231n, called and computed as independent.py says."""

import contextlib
import io

import numpy as np
from independent import Answers, Arrays, Course, CS231n, Pair, by_function, called, named

from minrnn import kernels

CELL = "dxt:xt da_prev:a_prev "
RNN = "dWax:rnn.Wax dWaa:rnn.Waa dba:rnn.ba"
GATES = "f i c o"
LSTM = " ".join(f"dW{k}:lstm.W{k} db{k}:lstm.b{k}" for k in GATES.split())


def _pair(forward: str, arguments: str, outputs: str, upstreams: str, gradients: str) -> Pair:
    wrt = dict(item.split(":") for item in gradients.split())
    return Pair(forward, forward.replace("forward", "backward"), arguments, outputs, upstreams, wrt)


def _softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z)
    return e / e.sum(axis=0)


class Coursera(Course):
    """(features, examples, time), parameters in a dict, four gates f i c o over [a; x]."""

    pairs = (
        _pair("rnn_cell_forward", "xt a_prev rnn", "a_next yt_pred", "da_next", CELL + RNN),
        _pair("rnn_forward", "x a_prev rnn", "a y_pred", "da", "dx:x da0:a_prev " + RNN),
        _pair(
            *("lstm_cell_forward", "xt a_prev c_prev lstm", "a_next c_next yt_pred", "da_next dc_next"),
            CELL + "dc_prev:c_prev " + LSTM,
        ),
        _pair("lstm_forward", "x a_prev lstm", "a y c", "da", "dx:x da0:a_prev " + LSTM),
    )

    def make(self) -> dict:
        X, N, T, A, Y = 3, 4, 5, 6, 2
        n = self.normal
        rnn = {"Wax": n(A, X), "Waa": n(A, A), "Wya": n(Y, A), "ba": n(A, 1), "by": n(Y, 1)}
        lstm = {f"W{k}": n(A, A + X) for k in "fico"} | {f"b{k}": n(A, 1) for k in "fico"}
        return {
            **{"xt": n(X, N), "a_prev": n(A, N), "c_prev": n(A, N), "x": n(X, N, T), "da_next": n(A, N)},
            **{"dc_next": n(A, N), "da": n(A, N, T), "rnn": rnn, "lstm": {**lstm, "Wy": n(Y, A), "by": n(Y, 1)}},
        }

    def backward(self, program: dict, pair: Pair, inputs: dict) -> Arrays:
        _, cache = self.forward(program, pair, inputs)
        with contextlib.redirect_stdout(io.StringIO()):
            found = program[pair.backward](*(inputs[name].copy() for name in pair.upstreams.split()), cache)
        return {name: value if value is None else np.array(value, float) for name, value in found.items()}

    def expected(self) -> Answers:
        i = self.inputs
        x, dh = i["x"].transpose(2, 1, 0), i["da"].transpose(2, 1, 0)
        h0, c0 = i["a_prev"].T, i["c_prev"].T
        r, m = i["rnn"], i["lstm"]
        wr = (r["Wax"].T, r["Waa"].T, r["ba"][:, 0])
        A = len(h0.T)
        W = np.vstack([m["W" + k] for k in "ifoc"]).T
        wl = (W[A:].copy(), W[:A].copy(), np.vstack([m["b" + k] for k in "ifoc"])[:, 0])
        h1, rnn1 = kernels.rnn_step_forward(i["xt"].T, h0, *wr)
        h, _, rnn = kernels.rnn_forward(x, h0, *wr)
        lh1, lc1, lstm1 = kernels.lstm_step_forward(i["xt"].T, h0, c0, *wl)
        lh, _, _, lstm = kernels.lstm_forward(x, h0, np.zeros_like(h0), *wl)

        def of_rnn(dx, dh_prev, dWx, dWh, db) -> list:
            return [dx.T if dx.ndim == 2 else dx.transpose(2, 1, 0), dh_prev.T, dWx.T, dWh.T, db[:, None]]

        def of_lstm(dWx, dWh, db) -> list:
            dW = dict(zip("ifoc", np.split(np.vstack([dWh, dWx]).T, 4), strict=True))
            b = dict(zip("ifoc", np.split(db[:, None], 4), strict=True))
            return [item for k in "fico" for item in (dW[k], b[k])]

        def scores(Wy, h):
            return np.stack([_softmax(m_t) for m_t in np.einsum("ya,tna->tyn", Wy, h) + r_by], -1)

        r_by = r["by"]
        y1, y = scores(r["Wya"], h1[None])[..., 0], scores(r["Wya"], h)
        r_by = m["by"]
        ly1, ly = scores(m["Wy"], lh1[None])[..., 0], scores(m["Wy"], lh)
        ldx1, ldh1, ldc1, *lw1 = kernels.lstm_step_backward(i["da_next"].T, i["dc_next"].T, lstm1)
        ldx, ldh0, _, *lw = kernels.lstm_backward(dh, None, None, lstm)
        c = lstm.c[1:]
        return by_function(
            self.pairs,
            (
                ([h1.T, y1], of_rnn(*kernels.rnn_step_backward(i["da_next"].T, rnn1))),
                ([h.transpose(2, 1, 0), y], of_rnn(*kernels.rnn_backward(dh, None, rnn))),
                ([lh1.T, lc1.T, ly1], [ldx1.T, ldh1.T, ldc1.T, *of_lstm(*lw1)]),
                ([lh.transpose(2, 1, 0), ly, c.transpose(2, 1, 0)], [ldx.transpose(2, 1, 0), ldh0.T, *of_lstm(*lw)]),
            ),
        )


RNN_CELL = "W_ih W_hh b_ih b_hh"
GRU_CELL = "Wrx Wzx Wnx Wrh Wzh Wnh brx bzx bnx brh bzh bnh"


class CMU(Course):
    """Two classes; parameter gradients are added to attributes, twice here, the RNN's divided by N."""

    pairs = (
        Pair(
            *("RNNCell.forward", "RNNCell.backward", "x h", "h_t", "delta"),
            {"dx": "x", "dh": "h", **{"d" + name: name for name in RNN_CELL.split()}},
            {"d" + name: 1 / 3 for name in RNN_CELL.split()},
        ),
        Pair(
            *("GRUCell.forward", "GRUCell.backward", "x1 h1", "h_t", "delta1"),
            {"dx": "x1", "dh": "h1", **{"d" + name: name for name in GRU_CELL.split()}},
        ),
    )

    def make(self) -> dict:
        N, D, H = 3, 5, 7
        n = self.normal
        inputs = {"x": n(N, D), "h": n(N, H), "delta": n(N, H), "x1": n(D), "h1": n(H), "delta1": n(H)}
        inputs |= {"W_ih": n(H, D), "W_hh": n(H, H), "b_ih": n(H), "b_hh": n(H)}
        for name in GRU_CELL.split():
            inputs[name] = n(H) if name[0] == "b" else n(H, D if name[2] == "x" else H)
        return inputs

    def defines(self, program: dict, name: str) -> bool:
        return name.partition(".")[0] in program

    def forward(self, program: dict, pair: Pair, inputs: dict) -> tuple[Arrays, object]:
        name = pair.forward.split(".")[0]
        weights = (RNN_CELL if name == "RNNCell" else GRU_CELL).split()
        cell = program[name](5, 7)
        cell.init_weights(*(inputs[weight].copy() for weight in weights))
        cell.zero_grad()
        h_t = called(cell.forward, *(inputs[argument] for argument in pair.arguments.split()))
        return {"h_t": np.array(h_t)}, (cell, h_t)

    def backward(self, program: dict, pair: Pair, inputs: dict) -> Arrays:
        _, (cell, h_t) = self.forward(program, pair, inputs)
        extra = (h_t, inputs["x"], inputs["h"]) if pair.forward.startswith("RNN") else ()
        for _ in range(2):
            dx, dh = called(cell.backward, inputs[pair.upstreams], *extra)
        found = {"dx": np.asarray(dx), "dh": np.asarray(dh)}
        if pair.forward.startswith("GRU"):
            assert dx.shape == (1, 5) and dh.shape == (1, 7)
            found = {name: value[0] for name, value in found.items()}
        return found | {name: getattr(cell, name) / 2 for name in pair.gradients if name not in ("dx", "dh")}

    def expected(self) -> Answers:
        i = self.inputs
        h_t, rnn = kernels.rnn_step_forward(i["x"], i["h"], i["W_ih"].T, i["W_hh"].T, i["b_ih"] + i["b_hh"])
        dx, dh, dWx, dWh, db = kernels.rnn_step_backward(i["delta"], rnn)

        def side(kind):
            return np.vstack([i[f"W{k}{kind}"] for k in "rzn"]).T

        b = np.concatenate([i["brx"] + i["brh"], i["bzx"] + i["bzh"], i["bnx"]])
        g_t, gru = kernels.gru_step_forward(i["x1"][None], i["h1"][None], side("x"), side("h"), b, i["bnh"])
        gdx, gdh, gWx, gWh, gb, gbhn = kernels.gru_step_backward(i["delta1"][None], gru)
        gb_r, gb_z, gb_n = np.split(gb, 3)
        weights = [*np.split(gWx.T, 3), *np.split(gWh.T, 3), gb_r, gb_z, gb_n, gb_r, gb_z, gbhn]
        return by_function(
            self.pairs,
            (
                ([h_t], [dx, dh, dWx.T / 3, dWh.T / 3, db / 3, db / 3]),
                ([g_t[0]], [gdx[0], gdh[0], *weights]),
            ),
        )


class CharRNN(Course):
    """min-char-rnn: weights in the globals, loss and gradients in one function. The gradients stay below the clip."""

    pairs = (
        Pair(
            *("lossFun", "", "inputs targets hprev", "loss dWxh dWhh dWhy dbh dby h", ""),
            {"dWxh": "Wxh", "dWhh": "Whh", "dWhy": "Why", "dbh": "bh", "dby": "by"},
        ),
    )

    def make(self) -> dict:
        V, H = 6, 7
        n = self.normal
        weights = {"Wxh": n(H, V), "Whh": n(H, H), "Why": n(V, H), "bh": n(H, 1), "by": n(V, 1)}
        return {**weights, "inputs": [2, 0, 2, 5, 3], "targets": [0, 2, 5, 3, 3], "hprev": n(H, 1)}

    def forward(self, program: dict, pair: Pair, inputs: dict) -> tuple[Arrays, object]:
        program |= {name: inputs[name].copy() for name in ("Wxh", "Whh", "Why", "bh", "by")}
        program |= {"hidden_size": 7, "vocab_size": 6}
        found = called(program["lossFun"], list(inputs["inputs"]), list(inputs["targets"]), inputs["hprev"])
        return named(pair.outputs, found), None

    def expected(self) -> Answers:
        i = self.inputs
        ids, targets = np.array(i["inputs"])[:, None], np.array(i["targets"])[:, None]
        h, hT, rnn = kernels.rnn_forward(ids, i["hprev"].T, i["Wxh"].T, i["Whh"].T, i["bh"][:, 0])
        logits = h @ i["Why"].T + i["by"][:, 0]
        loss, softmax = kernels.softmax_cross_entropy_forward(logits, targets)
        dy, *_ = kernels.softmax_cross_entropy_backward(float(len(ids)), softmax)  # the sum over time, not the mean
        _, _, dWx, dWh, db = kernels.rnn_backward(dy @ i["Why"], None, rnn)
        dWhy = np.einsum("tnv,tnh->vh", dy, h)
        values = (loss * len(ids), dWx.T, dWh.T, dWhy, db[:, None], dy.sum((0, 1))[:, None], hT.T)
        found = named(self.pairs[0].outputs, values)
        assert all(np.abs(found[name]).max() < 5 for name in self.pairs[0].gradients), "the clip would hide something"
        return {"lossFun": found}


COURSES: dict[str, type[Course]] = {
    "cs231n-a3": CS231n,
    "coursera-rnn": Coursera,
    "cmu-11785": CMU,
    "min-char-rnn": CharRNN,
}
