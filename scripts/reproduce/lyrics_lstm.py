"""An LSTM from scratch on song lyrics, with a tokenizer that has an unknown symbol.

Of the first 20,000 characters, line ends and tabs read as spaces, batches of 32 rows of 35 characters are learned by
heart, as in lyrics_rnn.py, from which the training loop comes:

    random        as published, where the loader takes window j from character j on instead of 35 j: 571 overlapping
                  windows of the first 606 characters. This is why the published perplexity falls so fast.
    corrected     windows at multiples of 35, shuffled; every batch starts from zero state
    consecutive   32 streams; the state is carried from batch to batch and starts from zero in every epoch

All weights come from N(0, 0.01), all biases from zero, that of the forget gate too. The vocabulary keeps the most
frequent --max-vocab characters, reads all others as <unk>, and is kept in the file --vocabulary.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from common import Run, main, rows
from lyrics_rnn import FULL as RNN
from lyrics_rnn import add_options as add_prefix
from lyrics_rnn import learn

from minrnn import CharRNN
from minrnn.optim import SGD, Constant
from minrnn.text import Batches, FixedLength, StreamBatches, Vocabulary, WindowBatches
from minrnn.train import Trainer

FULL = RNN | {"characters": 20_000}
QUICK = FULL | {"characters": 1_500, "hidden_size": 64, "batch_size": 4, "epochs": 60, "report_every": 20}


def random(run: Run) -> None:
    """The published run: what the loader's slip leaves of the text, as many rows of one window each."""
    ids, vocabulary, size = prepare(run)
    T = size["seq_length"]
    windows = np.lib.stride_tricks.sliding_window_view(ids, T + 1)[: (len(ids) - 1) // T]  # (571, T+1)
    train(run, WindowBatches(windows, size["batch_size"], T, seed=(run.seed, 1)), vocabulary)


def corrected(run: Run) -> None:
    """Windows from all over the text."""
    ids, vocabulary, size = prepare(run)
    batches = WindowBatches(ids, size["batch_size"], size["seq_length"], seed=(run.seed, 1), random_offset=False)
    train(run, batches, vocabulary)


def consecutive(run: Run) -> None:
    """Parallel streams."""
    ids, vocabulary, size = prepare(run)
    train(run, StreamBatches(rows(ids, size["batch_size"]), FixedLength(size["seq_length"])), vocabulary)


def prepare(run: Run) -> tuple[np.ndarray, Vocabulary, dict[str, int]]:
    """The ids of the text, its vocabulary, and the sizes of this mode."""
    size = QUICK if run.quick else FULL
    text = run.use(run.text.replace("\n", " ").replace("\t", " ")[: size["characters"]])
    vocabulary = tokenizer(text, run.options.max_vocab, run.options.vocabulary)
    run.configure(cell="lstm", num_layers=1, vocab_size=len(vocabulary), **size)
    return vocabulary.encode(text, unknown="replace"), vocabulary, size


def tokenizer(text: str, max_vocab: int | None, file: Path | None) -> Vocabulary:
    """The vocabulary that `file` holds, or that of the text, which is then written there."""
    if file and file.exists():
        return Vocabulary.from_json(file.read_text(encoding="utf-8"))
    vocabulary = Vocabulary.from_text(text, max_size=max_vocab, unknown="<unk>")
    if file:
        file.write_text(vocabulary.to_json(), encoding="utf-8")
    return vocabulary


def train(run: Run, batches: Batches, vocabulary: Vocabulary) -> None:
    """Plain SGD of rate 100 with the norm of the gradient clipped to 0.01."""
    run.configure(init="normal", forget_bias=0.0, optimizer="sgd", lr=100.0, clip_norm=0.01)
    hidden_size = run.configuration["hidden_size"]
    model = CharRNN(
        len(vocabulary), hidden_size=hidden_size, num_layers=1, init="normal", forget_bias=0.0, seed=run.seed
    )
    learn(run, Trainer(model, batches, SGD(100.0), Constant(100.0), clip_norm=0.01), vocabulary)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The tokenizer's options, and those of lyrics_rnn."""
    add_prefix(parser)
    parser.add_argument("--max-vocab", type=int, help="characters kept, <unk> not counted; default: all")
    parser.add_argument("--vocabulary", type=Path, metavar="FILE.json", help="is read if it exists, else written")


VARIANTS = {"random": random, "corrected": corrected, "consecutive": consecutive}

if __name__ == "__main__":
    sys.exit(main(__doc__, VARIANTS, stand_in="chinese.txt", add_options=add_options))
