"""The fast.ai sequence on Nietzsche: ten networks from three characters to a two-layer LSTM with warm restarts.

Six rungs read windows of the text, each from zero state; one window in five, drawn at random, is held out:

    three_char    three characters, the fourth is learned; add cell of fastai_models.py
    loop          eight characters, the ninth is learned; the same cell
    concat        the same with the concat cell
    rnn           the same with a tanh RNN. Windows of these three overlap: what is held out has neighbours in training
    multi_output  windows that do not overlap; after each character the next one is learned
    identity      the same, the recurrent matrix starting as the identity

Four read 64 streams of the lower-cased text in chunks of random length. Their state is never reset: it goes from
training into validation and from there into the next epoch.

    stateful      tanh RNN
    cell_loop     the same network and text in fewer epochs: there a loop over nn.RNNCell, here one kernel anyway
    gru           GRU
    lstm          LSTM of two layers, dropout between them, weight decay; two epochs at a constant rate, then cosine
                  annealing with warm restarts, and a checkpoint at the end of every cycle

PyTorch's cells have two biases with equal gradients. minrnn has their sum, which moves twice as far.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import Run, main
from fastai_data import Chunks, Windows, consecutive, nominal, overlapping, padded_vocabulary, streams, three_characters
from fastai_models import ADD, CONCAT, Cell, Network

from minrnn import CharRNN
from minrnn.model.checkpoint import save_checkpoint
from minrnn.optim import Adam, Constant, CosineRestarts, LowStart, Schedule
from minrnn.runs import host_parameters
from minrnn.sample import sample_text
from minrnn.text import Vocabulary

FULL = {"hidden_size": 256, "embedding_size": 42, "batch_size": 512, "streams": 64, "lstm_hidden_size": 512}
QUICK = {"hidden_size": 64, "embedding_size": 24, "batch_size": 64, "streams": 16, "lstm_hidden_size": 64}

Plan = Sequence[tuple[int, float]]  # epochs and rate of each fit


class Learner:
    """A network, its Adam and what it learns. `fit` is called once for every rate: moments and state go on."""

    def __init__(self, run: Run, model: Any, data: Windows | Chunks, weight_decay: float = 0.0) -> None:
        self.run, self.model, self.data = run, model, data
        self.adam = Adam(weight_decay=weight_decay)
        self.adam.twice = model.second_biases()
        run.configure(two_biases=bool(self.adam.twice))
        self.rng = np.random.default_rng([run.seed, 2])  # of dropout
        self.state: Any = None
        self.epoch = 0

    def fit(self, epochs: int, schedule: Schedule, after_step: Callable[[int], None] = lambda step: None) -> None:
        """Epochs at the rates of `schedule`, which counts from here; so does the running mean of the loss."""
        step, mean = 0, 0.0
        for _ in range(epochs):
            for x, y in self.data.training(self.epoch):
                mean = 0.98 * mean + 0.02 * self.step(x, y, schedule(step))
                after_step(step)
                step += 1
            val = self.validate()
            self.epoch += 1
            self.run.log(epoch=self.epoch, train=mean / (1 - 0.98**step), val=val, steps=step)

    def step(self, x: np.ndarray, y: np.ndarray, lr: float) -> float:
        """One update."""
        loss, cache = self.loss(x, y, self.rng)
        self.model.backward(cache)
        self.adam.step(self.model.params.flat, self.model.grads.flat, lr)
        return loss

    def validate(self) -> float:
        """The mean over all held-out characters that count."""
        parts = [(self.loss(x, y)[0], x.size) for x, y in self.data.validation(self.epoch)]
        return sum(loss * n for loss, n in parts) / sum(n for _, n in parts)

    def loss(self, x: np.ndarray, y: np.ndarray, rng: np.random.Generator | None = None) -> tuple[float, Any]:
        """Of one batch, with the cache. The state goes on, but for windows."""
        loss, after, cache = self.model.forward(x, y, self.state, mask=self.data.mask_for(x), rng=rng)
        self.state = after if isinstance(self.data, Chunks) else None
        return float(loss), cache


def sizes(run: Run, **settings: Any) -> dict[str, int]:
    """The sizes of this mode, noted with the other settings of the run."""
    size = QUICK if run.quick else FULL
    run.configure(optimizer="adam", init="uniform", **(size | settings))
    return size


def learn_windows(run: Run, cut: Callable[..., Windows], cell: Cell | str, plan: Plan, identity: bool = False) -> None:
    """A rung that reads the windows that `cut` makes."""
    size = sizes(run, plan=plan)
    vocabulary = padded_vocabulary(run.text)
    shape = {"seed": run.seed, "hidden_size": size["hidden_size"], "embedding_size": size["embedding_size"]}
    if isinstance(cell, Cell):
        model: Any = Network(cell, len(vocabulary), **shape)
    else:
        model = CharRNN(len(vocabulary), cell=cell, num_layers=1, **shape)
    if identity:
        model.params["rnn.0.Wh"][...] = np.eye(size["hidden_size"])
    data = cut(vocabulary.encode(run.text), size["batch_size"], run.seed)
    learner = Learner(run, model, data)
    for epochs, lr in plan:
        learner.fit(epochs, Constant(lr))
    for prime in ("for thos", "part of ", "queens a"):
        run.sample(prime, greedy(model, vocabulary, prime, len(data.x), 40), temperature=0)


def greedy(model: Any, vocabulary: Vocabulary, prime: str, window: int, n: int) -> str:
    """The n most probable next characters, each from zero state and the last `window` characters."""
    text = prime
    for _ in range(n):
        ids = vocabulary.encode(text[-window:], "skip")[:, None].astype(np.intp)  # (T,1)
        *_, cache = model.forward(ids, ids)
        text += vocabulary.symbols[cache.loss.p[-1, 0].argmax()]
    return text[len(prime) :]


def learn_streams(run: Run, cell: str, plan: Plan, weight_decay: float = 0.0, **shape: Any) -> Learner:
    """A rung that reads streams; returns the learner, for further fits."""
    size = sizes(run, cell=cell, plan=plan, weight_decay=weight_decay, **shape)
    shape = {"num_layers": 1, "hidden_size": size["hidden_size"], "embedding_size": size["embedding_size"]} | shape
    data = streams(run.text, size["streams"], run.seed)
    model = CharRNN(len(data.vocabulary), cell=cell, forget_bias=0.0, seed=run.seed, **shape)
    learner = Learner(run, model, data, weight_decay)
    for epochs, lr in plan:
        learner.fit(epochs, Constant(lr))
    return learner


def write(run: Run, learner: Learner) -> None:
    """What a network of streams goes on to write, drawn from its probabilities, each character read once."""
    rng = np.random.default_rng([run.seed, 5])
    text = sample_text(learner.model, learner.data.vocabulary, "for thos", n=400, rng=rng, unknown="skip")
    run.sample("for thos", "".join(text), temperature=1)


def pass_line(run: Run, line: float, metric: str = "val") -> None:
    """Quick runs were seen about a tenth below this loss; full runs are compared with what was published."""
    if run.quick:
        run.check(f"{metric} of the last epoch", run.curve[-1][metric], high=line)


def three_char(run: Run) -> None:
    """Three characters in, the fourth out. Of its validation, one sample, nothing can be said."""
    learn_windows(run, three_characters, ADD, [(1, 1e-2), (1, 1e-3)])
    pass_line(run, 2.25, "train")


def loop(run: Run) -> None:
    """Eight characters in, the ninth out."""
    learn_windows(run, overlapping, ADD, [(1, 1e-2), (1, 1e-3)])
    pass_line(run, 2.1)


def concat(run: Run) -> None:
    """State and character side by side."""
    learn_windows(run, overlapping, CONCAT, [(1, 1e-3), (1, 1e-4)])
    pass_line(run, 2.5)


def rnn(run: Run) -> None:
    """nn.RNN, of which the last output counts."""
    learn_windows(run, overlapping, "rnn", [(4, 1e-3), (2, 1e-4)])
    pass_line(run, 2.15)


def multi_output(run: Run) -> None:
    """nn.RNN, of which all outputs count."""
    learn_windows(run, consecutive, "rnn", [(4, 1e-3), (1, 1e-4)])
    pass_line(run, 2.6)


def identity(run: Run) -> None:
    """The same, with the identity for a recurrent matrix to start from, at ten times the rate."""
    learn_windows(run, consecutive, "rnn", [(4, 1e-2), (4, 1e-3)], identity=True)
    pass_line(run, 2.15)


def stateful(run: Run) -> None:
    """nn.RNN with a state that is never reset."""
    write(run, learn_streams(run, "rnn", [(4, 1e-3), (4, 1e-4)]))
    pass_line(run, 2.15)


def cell_loop(run: Run) -> None:
    """nn.RNNCell in a loop: the mathematics of `stateful`, for four epochs."""
    write(run, learn_streams(run, "rnn", [(4, 1e-3)]))
    pass_line(run, 2.2)


def gru(run: Run) -> None:
    """nn.GRU."""
    write(run, learn_streams(run, "gru", [(6, 1e-3), (3, 1e-4)]))
    pass_line(run, 2.0)


def lstm(run: Run) -> None:
    """Two layers: two epochs at a constant rate, then cosine annealing with restarts, which counts its own steps."""
    epochs = 3 if run.quick else run.options.restart_epochs
    hidden_size = (QUICK if run.quick else FULL)["lstm_hidden_size"]
    shape = {"num_layers": 2, "hidden_size": hidden_size, "dropout": 0.5, "dropout_places": "between"}
    learner = learn_streams(run, "lstm", [(2, 1e-2)], weight_decay=1e-5, **shape)
    schedule, cosine = restarts(1e-2, nominal(learner.data.train))
    kept = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = run.options.checkpoints or Path(temporary)

        def keep(step: int) -> None:
            cycle, *_ = position = cosine.position(step)
            if position.is_last:
                kept.append(folder / f"cyc_{cycle}.safetensors")
                content = {
                    "model": learner.model.settings,
                    "vocabulary": learner.data.vocabulary.to_json(),
                    "config": {},
                }
                save_checkpoint(kept[-1], host_parameters(learner.model), content)

        learner.fit(epochs, schedule, keep)
    run.configure(restart_epochs=epochs, cycle=cosine.cycle)
    # Epochs have fewer batches than announced: after 1, 3, 7, 15, … the last cycle lacks some steps and is not kept.
    run.check("cycles kept", len(kept), low=(epochs + 1).bit_length() - 2, high=(epochs + 1).bit_length() - 2)
    write(run, learner)
    pass_line(run, 2.2)


def restarts(lr: float, cycle: int) -> tuple[Schedule, CosineRestarts]:
    """Cycles of doubling length; the first twentieth of the first one, not longer for it, at a hundredth of lr."""
    cosine = CosineRestarts(lr, cycle, 2)
    return LowStart(cosine, -(-cycle // 20), 0.01), cosine


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the LSTM alone needs."""
    parser.add_argument("--restart-epochs", type=int, default=15, help="of the LSTM: 15, or 63 for two more cycles")
    parser.add_argument("--checkpoints", type=Path, metavar="FOLDER", help="keep those of the LSTM's cycles there")


RUNGS = (three_char, loop, concat, rnn, multi_output, identity, stateful, cell_loop, gru, lstm)
VARIANTS = {rung.__name__: rung for rung in RUNGS}

if __name__ == "__main__":
    sys.exit(main(__doc__, VARIANTS, stand_in="english.txt", add_options=add_options))
