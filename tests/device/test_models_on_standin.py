"""Networks on the stand-in for CuPy: gradients, evaluation, sampling and gradient checks, with the bits of NumPy."""

import fakecupy
import numpy as np
import pytest

from minrnn import CharRNN
from minrnn.cli import gradcheck
from minrnn.evaluate import evaluate, per_character
from minrnn.kernels import softmax_cross_entropy_forward
from minrnn.model import INITS
from minrnn.sample import Sampler, sample_rng
from minrnn.text import streams

T, B, H, V = 5, 3, 4, 7
KINDS = {
    "lstm": {"cell": "lstm"},
    "gru": {"cell": "gru"},
    "gru-before": {"cell": "gru-before"},
    "rnn_tanh": {"cell": "rnn"},
    "rnn_relu": {"cell": "rnn", "nonlinearity": "relu"},
}
KIND = pytest.mark.parametrize("kind", KINDS)
EMBEDDING = pytest.mark.parametrize("embedding_size", [0, 3], ids=["one-hot", "embedding"])
DTYPE = pytest.mark.parametrize("dtype", ["float32", "float64"])


def network(bk, kind="lstm", **options):
    return CharRNN(V, hidden_size=H, num_layers=2, seed=3, device=bk.name, **KINDS[kind], **options)


def text(bk, seed=0):
    ids = np.random.default_rng(seed).integers(V, size=(2, T, B))
    return bk.from_host(ids[0]), bk.from_host(ids[1])


@DTYPE
@EMBEDDING
@KIND
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_loss_and_gradient_of_two_chunks(kind, embedding_size, dropout, dtype, same_on_both):
    def compute(bk):
        model = network(bk, kind, embedding_size=embedding_size, dropout=dropout, dtype=dtype)
        rng, state, results = np.random.default_rng(2), None, []
        for seed in (0, 1):  # the second one starts from a state, in a workspace that has been used
            loss, state, cache = model.forward(*text(bk, seed), state, rng=rng)
            dstate0 = model.backward(cache, float(T), state)
            with bk.scope():
                results += [loss, state, dstate0, model.grads.flat.copy()]
        return results

    same_on_both(compute)


def test_masked_loss(same_on_both):
    def compute(bk):
        model, mask = network(bk), bk.from_host(np.random.default_rng(1).random((T, B)), "float32")
        loss, _, cache = model.forward(*text(bk), mask=mask)
        model.backward(cache)
        return loss, model.grads.flat

    same_on_both(compute)


@pytest.mark.parametrize("init", INITS)
def test_weights_start_the_same(init, same_on_both):
    kind = "rnn_relu" if init == "identity" else "lstm"
    same_on_both(lambda bk: network(bk, kind, init=init, embedding_size=3).params.flat)


@KIND
def test_evaluation(kind, same_on_both):
    ids = np.random.default_rng(4).integers(V, size=101).astype("uint8")

    def compute(bk):
        model = network(bk, kind)
        result = evaluate(model, streams(ids, 4), seq_length=10)  # 25 columns: a shorter chunk at the end
        return result.nats_per_char, per_character(model, streams(ids, 4), seq_length=10)

    same_on_both(compute, allowed=["syncs"], rounding=1e-6)  # a sum, read once


@EMBEDDING
@KIND
def test_single_steps_and_samples(kind, embedding_size, same_on_both):
    def compute(bk):
        model = network(bk, kind, embedding_size=embedding_size)
        sampler = Sampler(model)
        logits, state = sampler.feed(3, model.zero_state(1))
        again, state = sampler.feed(5, state)
        alone = list(sampler.generate([1, 2], 12, temperature=0.8, top_k=5, rng=sample_rng(0)))
        together = list(sampler.generate_batch([1], 8, top_p=0.9, never=0, rngs=[sample_rng(0, n) for n in range(3)]))
        return logits, again, state, np.array(alone), np.array(together)

    same_on_both(compute, allowed=["syncs"], rounding=1e-6)  # a character is read before the next one is fed


def test_gradients_on_the_device_agree_with_differences(bk):
    rng = np.random.default_rng(0)
    reports = [*gradcheck._pointwise(rng, bk), *gradcheck._recurrent("gru-before", rng, bk)]
    reports += [gradcheck._network("lstm", "tanh", 3, rng, bk), gradcheck._network("rnn", "relu", 0, rng, bk)]
    assert len(reports) == 14
    for name, report in reports:
        assert report.ok, f"{name}\n{report}"


def test_targets_outside_the_vocabulary_are_refused_on_the_host_and_loud_on_the_standin(bk, standin_only):
    """On a GPU nothing looks: ids are checked where text is encoded. The stand-in shows what would be read there."""
    logits, wrong = np.zeros((1, 1, V)), np.array([[V]])
    with pytest.raises(IndexError):
        softmax_cross_entropy_forward(logits, wrong)
    with pytest.raises(fakecupy.Violation, match="wraps"):
        softmax_cross_entropy_forward(bk.from_host(logits), bk.from_host(wrong))
