"""Julia Evans' char-rnn on Andersen's fairy tales, and what learning from every character would have given.

One LSTM layer of 150 units reads the text as one stream, in chunks of 10 to 40 characters, every length equally likely;
its state is never reset. AMSGrad with rate 1e-3 makes a step after every chunk.

    last    her loss: that of the last character of the chunk, about one of 25
    all     the same, but the loss is the mean over all characters of the chunk

Curves, in nats per character after every pass over the text: `loss`, the mean that was trained on; `last_character` and
`all_characters`, of the last character of every chunk during the pass, and of the first fifth of the text after it;
`val`, of text that comes after. `dWh` is the mean norm of the gradient of the recurrent weights. After every pass the
model writes 50 characters, at the end 1,000 at temperature 0.1 and at 1; unlike hers, from a state of their own.

Of the text the first 5,000 characters are dropped (in her file they are header and contents) and the next 100,000
learned: in the hour that her 300 passes took, nobody makes the 24 million steps that the whole text would need.
"""

import sys
from collections.abc import Iterator
from itertools import islice

import numpy as np
from common import Run, main

from minrnn import CharRNN
from minrnn.evaluate import evaluate
from minrnn.optim import Adam, grad_norm
from minrnn.sample import sample_text
from minrnn.text import StreamBatches, UniformLength, Vocabulary, streams

FULL = {"skipped": 5_000, "characters": 100_000, "val_characters": 20_000, "hidden_size": 150, "passes": 10}
QUICK = {"skipped": 0, "characters": 20_000, "val_characters": 5_000, "hidden_size": 64, "passes": 3}
WRITTEN = 1_000  # characters of a sample


def last(run: Run) -> None:
    """The loss of the last character of each chunk alone."""
    learn(run, only_last=True)


def every(run: Run) -> None:
    """The mean loss of all characters."""
    learn(run, only_last=False)


def learn(run: Run, *, only_last: bool) -> None:
    """All passes, then the samples."""
    size = QUICK if run.quick else FULL
    vocabulary = fastai_vocabulary(run.text)
    ids = vocabulary.encode(run.text[size["skipped"] :], unknown="replace")
    train, val = ids[: size["characters"]], ids[size["characters"] :][: size["val_characters"]]
    model = CharRNN(
        len(vocabulary), hidden_size=size["hidden_size"], num_layers=1, init="uniform", forget_bias=0.0, seed=run.seed
    )
    batches = StreamBatches(streams(train, 1), UniformLength(10, 40), seed=(run.seed, 1), reset="never")
    run.configure(vocab_size=len(vocabulary), optimizer="amsgrad", lr=1e-3, init="uniform", **size)
    steps = updates(model, batches, only_last)
    start, beginning = evaluate(model, streams(val, 10), 100).nats_per_char, streams(train[: len(train) // 5], 1)
    run.log(epoch=0, val=start)
    for number in range(size["passes"]):
        loss, of_last, dWh = np.mean(list(islice(steps, batches.num_batches(number))), axis=0)
        run.log(
            epoch=number + 1,
            loss=loss,
            last_character=of_last,
            dWh=dWh,
            all_characters=evaluate(model, beginning, 1000).nats_per_char,
            val=evaluate(model, streams(val, 10), 100).nats_per_char,
        )
        rng = np.random.default_rng((run.seed, 3, number))
        run.sample(run.text[0], "".join(sample_text(model, vocabulary, run.text[0], n=50, rng=rng)), epoch=number + 1)
    run.check("loss of the last pass / loss of the first", loss / run.curve[1]["loss"], high=0.95)
    write(run, model, vocabulary)


def updates(model: CharRNN, batches: StreamBatches, only_last: bool) -> Iterator[tuple[float, float, float]]:
    """One update after another, without end: yields its loss, that of the last character of the chunk, and |dWh|.

    PyTorch's LSTM has two biases with equal gradients. minrnn has their sum, which is drawn as the sum of two draws
    (init "uniform") and moves twice as far.
    """
    optimizer = Adam(1e-3, amsgrad=True)
    optimizer.twice = model.second_biases()
    epoch, state = 0, None
    while True:
        for k in range(batches.num_batches(epoch)):
            x, y, _ = batches.get(epoch, k)  # (T,1)
            mask = np.zeros(x.shape)
            mask[-1 if only_last else 0 :] = 1
            loss, state, cache = model.forward(x, y, state, mask=mask)
            model.backward(cache)
            optimizer.step(model.params.flat, model.grads.flat)
            yield float(loss), float(cache.loss.nll[-1, 0]), float(grad_norm(model.grads["rnn.0.Wh"]))
        epoch += 1


def write(run: Run, model: CharRNN, vocabulary: Vocabulary) -> None:
    """Samples: at temperature 0.1 the model repeats itself, at 1 it does not; 1e-7 is the choice of the likeliest."""
    prime, texts, distinct = run.text[0], {}, {}
    for temperature in (0.0, 1e-7, 0.1, 1.0):
        rng = np.random.default_rng((run.seed, 2))
        text = "".join(sample_text(model, vocabulary, prime, n=WRITTEN, temperature=temperature, rng=rng))
        distinct[temperature] = len({text[k : k + 4] for k in range(WRITTEN - 3)}) / (WRITTEN - 3)
        texts[temperature] = text
    for temperature in (0.1, 1.0):
        shown = texts[temperature].replace("_", " ")
        run.sample(prime, shown, temperature=temperature, distinct_4_grams=distinct[temperature])
    differing = sum(a != b for a, b in zip(texts[0.0], texts[1e-7], strict=True))
    run.check("characters at temperature 1e-7 that are not the likeliest", differing, high=0)
    run.check("share of distinct 4-grams at temperature 0.1", distinct[0.1], high=0.4)
    run.check("share of distinct 4-grams at temperature 1", distinct[1.0], low=0.6)


def fastai_vocabulary(text: str) -> Vocabulary:
    """The 400 most frequent characters, <unk>, and 8 or more symbols that the text lacks, up to a multiple of 8.

    fastai has 9 special tokens, of which <unk> is one, and fills up. Here characters for private use take the place of
    the other eight and of the filling.
    """
    kept = Vocabulary.from_text(text, max_size=400, unknown="<unk>")
    others = 8 + -(len(kept) + 8) % 8
    return Vocabulary(kept.characters + "".join(chr(0xE000 + k) for k in range(others)), unknown=kept.unknown)


VARIANTS = {"last": last, "all": every}

if __name__ == "__main__":
    sys.exit(main(__doc__, VARIANTS, stand_in="english.txt"))
