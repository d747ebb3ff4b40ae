"""CharRNN against a PyTorch stack: embedding, two layers, decoder, masked cross-entropy."""

from pathlib import Path

import numpy as np
import pytest

from minrnn import CharRNN

FIXTURES = Path(__file__).parent.parent / "fixtures" / "stack.npz"
IGNORED = -100
GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1}


def matrix(weight, cell):
    """PyTorch's (G·H, in) or (G·H,) in the layout of minrnn; the LSTM's blocks i f g o become i f o g."""
    if cell == "lstm":
        i, f, g, o = np.split(weight, 4)
        weight = np.concatenate([i, f, o, g])
    return weight.T


@pytest.fixture(params=GATES)
def case(request):
    with np.load(FIXTURES) as file:
        cell = request.param
        return cell, {name.removeprefix(f"{cell}/"): file[name] for name in file if name.startswith(f"{cell}/")}


def layout(cell, f, of, bias):
    """Parameters or gradients of the fixture under the names of minrnn; `bias(b_ih, b_hh)` makes b of the two."""
    named = {"embedding.W": f[f"{of}encoder.weight"]}
    for k in (0, 1):
        ih, hh = f[f"{of}rnn.bias_ih_l{k}"], f[f"{of}rnn.bias_hh_l{k}"]
        named[f"rnn.{k}.Wx"] = matrix(f[f"{of}rnn.weight_ih_l{k}"], cell)
        named[f"rnn.{k}.Wh"] = matrix(f[f"{of}rnn.weight_hh_l{k}"], cell)
        named[f"rnn.{k}.b"] = matrix(bias(ih, hh), cell)
        if cell == "gru":
            named[f"rnn.{k}.bhn"] = hh[len(hh) // 3 * 2 :]
    return named | {"decoder.W": f[f"{of}decoder.weight"].T, "decoder.b": f[f"{of}decoder.bias"]}


def test_stack_agrees_with_pytorch(case, assert_close):
    cell, f = case
    (V, E), H = f["encoder.weight"].shape, f["h0"].shape[2]
    model = CharRNN(V, cell=cell.split("_")[0], hidden_size=H, embedding_size=E, dtype="float64")

    def two_biases(ih, hh):
        kept = np.where(np.arange(len(hh)) < len(hh) // 3 * 2, hh, 0) if cell == "gru" else hh
        return ih + kept

    params = layout(cell, f, "", two_biases)
    assert set(params) == set(model.params)
    for name, value in params.items():
        model.params[name][...] = value
    names = ("h", "c") if cell == "lstm" else ("h",)
    state = tuple(tuple(f[f"{n}0"][k] for n in names) for k in (0, 1))
    mask = f["targets"] != IGNORED
    loss, after, cache = model.forward(f["ids"], np.where(mask, f["targets"], 0), state, mask=mask)
    dstate = model.backward(cache)

    p = np.exp(f["logits"] - f["logits"].max(-1, keepdims=True))
    assert_close(loss, f["loss"], 1e-12, "loss")
    assert_close(cache.loss.p, p / p.sum(-1, keepdims=True), 1e-12, "probabilities")
    for k in (0, 1):
        for j, n in enumerate(names):
            assert_close(after[k][j], f[f"{n}T"][k], 1e-12, f"{n}T of layer {k}")
            assert_close(dstate[k][j], f[f"d{n}0"][k], 1e-12, f"d{n}0 of layer {k}")
    for name, gradient in layout(cell, f, "d", lambda ih, hh: ih).items():
        assert_close(model.grads[name], gradient, 1e-12, name)
