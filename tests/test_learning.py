"""Learning: networks against the best loss that any model can reach on texts whose every cost is known.

Embedded Reber shows that the state is carried; copying a word shows that gradients flow through time. Neither replaces
a gradient check: a wrong gradient of a GRU's reset gate learns both.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from minrnn import CharRNN
from minrnn.config import merge
from minrnn.evaluate import per_character
from minrnn.fit import start
from minrnn.optim import Adam, Cosine
from minrnn.text import FixedLength, StreamBatches, Vocabulary, streams
from minrnn.text.sources import SOURCES
from minrnn.train import Trainer

ROWS, WARM_UP = 20, 100  # of the test text; the start of a row, from zero state, is not scored


def gap_to_optimum(source, cell, *, steps, seq_length, lr=2e-2):
    """Nats per character by which a freshly trained network misses the realised optimum of one test text."""
    text, _ = SOURCES[source].generate(300_000, seed=10)
    vocabulary = Vocabulary(text)
    model = CharRNN(len(vocabulary), hidden_size=32, num_layers=1, cell=cell)
    batches = StreamBatches(streams(vocabulary.encode(text), 32), FixedLength(seq_length))
    trainer = Trainer(model, batches, Adam(lr), Cosine(lr, steps, 0.02 * lr), clip_norm=1.0)
    for _ in range(steps):
        trainer.train_step()
    unseen, costs = SOURCES[source].generate(20_000, seed=1)
    test = streams(vocabulary.encode(unseen), ROWS)
    optimum = costs[1 : test.y.size + 1].reshape(test.y.shape)
    return (per_character(model, test, 100) - optimum)[:, WARM_UP:].mean()


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_embedded_reber_comes_within_a_hundredth_of_the_optimum(cell):
    gap = gap_to_optimum("embedded-reber", cell, steps=500, seq_length=16)
    assert -0.003 < gap < 0.01  # nobody beats the optimum but by luck


@pytest.mark.parametrize(("cell", "steps", "seq_length"), [("lstm", 1000, 25), ("gru", 900, 17)])
def test_copying_a_word_comes_within_a_hundredth_of_the_optimum(cell, steps, seq_length):
    gap = gap_to_optimum("copy", cell, steps=steps, seq_length=seq_length)
    assert -0.003 < gap < 0.01


@pytest.mark.skipif("MINRNN_DATA" not in os.environ, reason="MINRNN_DATA names no folder with tinyshakespeare.txt")
def test_tiny_shakespeare_with_the_settings_of_char_rnn(tmp_path):
    settings = {"split": "rows", "val_frac": 0.05, "optimizer": "rmsprop", "alpha": 0.95, "init": "char-rnn"}
    settings |= {"loss_reduction": "sum_time", "clip_value": 5.0, "steps": 200, "eval_every": 200}
    text = Path(os.environ["MINRNN_DATA"], "tinyshakespeare.txt")
    fit = start(merge(settings, {"files": [str(text)]}), tmp_path / "run")
    first = float(fit.trainer.next_loss())
    list(fit.run())
    assert len(fit.data.vocabulary) == 65 and abs(first - np.log(65)) < 0.1
    assert fit.progress.val_loss <= 2.6
