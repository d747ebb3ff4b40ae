"""A tanh RNN on song lyrics: from scratch with plain SGD, and its nn.RNN counterpart with Adam.

Of the first 10,000 characters, line ends read as spaces, batches of 32 rows of 35 characters are learned by heart:

    random        windows at multiples of 35, shuffled; every batch starts from zero state
    consecutive   32 streams; the state is carried from batch to batch and starts from zero in every epoch
    adam          consecutive, as nn.RNN and Adam do it: PyTorch's initial values, two biases, a state that is carried
                  from epoch to epoch too, and no clipping (the program calls it, but on an exhausted iterator)

The figure is the perplexity of an epoch: exp of the mean loss of its batches, while the weights change. Nothing is held
out. Plain SGD has the rate 100 and a gradient whose norm is clipped to 0.01, which makes steps of length 1 along it.
(minrnn divides by the norm + 1e-6, as PyTorch does, the program by the norm: a step is shorter by at most 0.0001.)
"""

import argparse
import math
import sys

import numpy as np
from common import Run, main, rows

from minrnn import CharRNN
from minrnn.evaluate import Evaluation
from minrnn.optim import SGD, Adam, Constant
from minrnn.sample import sample_text
from minrnn.text import FixedLength, StreamBatches, Vocabulary, WindowBatches, witten_bell
from minrnn.train import Trainer

FULL = {"characters": 10_000, "hidden_size": 256, "batch_size": 32, "seq_length": 35, "epochs": 250, "report_every": 50}
QUICK = FULL | {"characters": 1_500, "hidden_size": 64, "batch_size": 4, "epochs": 80, "report_every": 20}


def random(run: Run) -> None:
    """The RNN from scratch on shuffled windows."""
    ids, vocabulary, size = prepare(run)
    batches = WindowBatches(ids, size["batch_size"], size["seq_length"], seed=(run.seed, 1), random_offset=False)
    model = from_scratch(run, vocabulary)
    learn(run, Trainer(model, batches, SGD(100.0), Constant(100.0), clip_norm=0.01), vocabulary)


def consecutive(run: Run) -> None:
    """The RNN from scratch on parallel streams."""
    ids, vocabulary, size = prepare(run)
    batches = StreamBatches(rows(ids, size["batch_size"]), FixedLength(size["seq_length"]), reset="epoch")
    model = from_scratch(run, vocabulary)
    learn(run, Trainer(model, batches, SGD(100.0), Constant(100.0), clip_norm=0.01), vocabulary)


def adam(run: Run) -> None:
    """nn.RNN and Adam on parallel streams.

    nn.RNN has two biases with equal gradients. minrnn has their sum, which is drawn as the sum of two draws (init
    "uniform") and moves twice as far.
    """
    ids, vocabulary, size = prepare(run)
    batches = StreamBatches(rows(ids, size["batch_size"]), FixedLength(size["seq_length"]), reset="never")
    model = CharRNN(
        len(vocabulary), hidden_size=size["hidden_size"], num_layers=1, cell="rnn", init="uniform", seed=run.seed
    )
    run.configure(init="uniform", optimizer="adam", lr=1e-3, two_biases=True)
    optimizer = Adam(1e-3)
    optimizer.twice = model.second_biases()
    learn(run, Trainer(model, batches, optimizer, Constant(1e-3)), vocabulary)


def prepare(run: Run) -> tuple[np.ndarray, Vocabulary, dict[str, int]]:
    """The ids of the text, its vocabulary, and the sizes of this mode."""
    size = QUICK if run.quick else FULL
    text = run.use(run.text.replace("\n", " ").replace("\r", " ")[: size["characters"]])
    vocabulary = Vocabulary.from_text(text)
    run.configure(cell="rnn", num_layers=1, vocab_size=len(vocabulary), **size)
    return vocabulary.encode(text), vocabulary, size


def from_scratch(run: Run, vocabulary: Vocabulary) -> CharRNN:
    """Weights from N(0, 0.01), one bias, which starts from zero."""
    run.configure(init="normal", optimizer="sgd", lr=100.0, clip_norm=0.01)
    hidden_size = run.configuration["hidden_size"]
    return CharRNN(len(vocabulary), hidden_size=hidden_size, num_layers=1, cell="rnn", init="normal", seed=run.seed)


def learn(run: Run, trainer: Trainer, vocabulary: Vocabulary) -> None:
    """All epochs; a perplexity and two greedy continuations now and then; the pass line."""
    perplexity = math.inf
    for epoch in range(1, run.configuration["epochs"] + 1):
        nats, characters = 0.0, 0
        for _ in range(trainer.batches.num_batches(trainer.epoch)):
            step = trainer.train_step()
            nats += float(step.loss) * step.characters
            characters += step.characters
        perplexity = Evaluation(nats / characters, characters).perplexity
        if epoch in (1, 10) or epoch % run.configuration["report_every"] == 0:
            run.log(epoch=epoch, perplexity=perplexity)
            for prefix in run.options.prefix or [run.text[:2], run.text[:3]]:
                run.sample(prefix, continuation(trainer.model, vocabulary, prefix), epoch=epoch)
    check_perplexity(run, perplexity, vocabulary)


def continuation(model: CharRNN, vocabulary: Vocabulary, prefix: str) -> str:
    """The 50 most likely characters after the prefix, one after the other."""
    rng, unknown = np.random.default_rng(0), "error" if vocabulary.unknown is None else "replace"
    return "".join(sample_text(model, vocabulary, prefix, n=50, temperature=0, rng=rng, unknown=unknown))


def check_perplexity(run: Run, perplexity: float, vocabulary: Vocabulary) -> None:
    """The pass line for any text: a tenth of the perplexity that counting characters reaches."""
    ids = vocabulary.encode(run.text)
    unigram = math.exp(witten_bell(ids, ids, len(vocabulary), 0)[0])
    run.check("last perplexity / that of counting single characters", perplexity / unigram, high=0.1)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which texts the model goes on from."""
    parser.add_argument("--prefix", action="append", help="default: the first two characters, and the first three")


VARIANTS = {"random": random, "consecutive": consecutive, "adam": adam}

if __name__ == "__main__":
    sys.exit(main(__doc__, VARIANTS, stand_in="chinese.txt", add_options=add_options))
