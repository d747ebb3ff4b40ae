"""What the five systems published, and how near a reproduction must come: the one place where these numbers are.

A Figure is a number at one place of a learning curve. `published` is what the source printed, or, for public texts that
stand in for one that only its author has, what an independent program in PyTorch measured; `source` says which. The
band low … high is for the median of three seeds.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# The number of distinct characters in the part that a recipe uses tells which text it is; of the lyrics, which are not
# public, little else is known.
TEXTS = {
    1027: "lyrics",  # the first 10,000 characters
    1447: "lyrics",  # 20,000
    980: "Mencius",
    1410: "Mencius",
    1002: "Analects",
    1296: "Analects",
    79: "Andersen",
    65: "tiny Shakespeare",
    84: "Nietzsche",
}


Band = Callable[[float, float], tuple[float, float]]  # of a place and the published value there: low and high


@dataclass(frozen=True)
class Row:
    """A line of the table: what a variant of a recipe reproduces, and the metrics of its curve that are shown."""

    recipe: str
    variant: str
    system: str
    model: str
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class Figure:
    """A published value of `metric` at the place axis = at of a curve, and its band."""

    recipe: str
    variant: str
    text: str
    axis: str  # "epoch" or "step"
    at: float
    metric: str
    published: float
    low: float
    high: float
    source: str


def text_name(text: str) -> str | None:
    """The name under which the figures know a text, None for any other."""
    return TEXTS.get(len(set(text)))


def figures_for(recipe: str, variant: str, distinct: int) -> list[Figure]:
    """The figures that a run of this variant must meet on a text with so many distinct characters."""
    return [f for f in FIGURES if (f.recipe, f.variant, f.text) == (recipe, variant, TEXTS.get(distinct))]


def _curve(
    recipe: str,
    variant: str,
    text: str,
    metric: str,
    points: dict[float, float],
    band: Band,
    source: str,
    axis: str = "epoch",
) -> list[Figure]:
    return [Figure(recipe, variant, text, axis, at, metric, y, *band(at, y), source) for at, y in points.items()]


def _perplexity(at: float, y: float) -> tuple[float, float]:
    """±8 % up to epoch 150 and ±4 % later, the spread of two published runs; near the floor of 1, ±0.02."""
    width = 0.02 if y < 1.1 else y * (0.08 if at <= 150 else 0.04)
    return y - width, y + width


def _within(share: float = 0.0, absolute: float = 0.0) -> Band:
    return lambda at, y: (y * (1 - share) - absolute, y * (1 + share) + absolute)


def _at_most(slack: float = 0.0) -> Band:
    return lambda at, y: (-math.inf, y + slack)


def _lstm_random(at: float, y: float) -> tuple[float, float]:
    """The first windows are still being learned at epoch 50, ±8 %; from then on ±0.01."""
    return _within(0.08)(at, y) if at <= 50 else _within(absolute=0.01)(at, y)


def _lyrics(recipe: str, variant: str, text: str, values: Sequence[float], band: Band, source: str) -> list[Figure]:
    """Perplexities after every 50 epochs."""
    points = {50.0 * (k + 1): value for k, value in enumerate(values)}
    return _curve(f"lyrics_{recipe}", variant, text, "perplexity", points, band, source)


RNN = "RNN from scratch and nn.RNN on song lyrics: training perplexity printed in the notebook"
LSTM = "LSTM from scratch on song lyrics: training perplexity printed in the notebook"
TWIN = "the same program in PyTorch, written and run for this comparison"
SHAKESPEARE = "names of public char-rnn checkpoints"
EVANS = f"Julia Evans' recipe; {TWIN} on the first 100,000 characters"
FASTAI = "fast.ai 2018, lesson 6: losses printed in the notebook"

FIGURES: list[Figure] = [
    # RNN from scratch, and its nn.RNN counterpart (adam), 10,000 characters
    *_lyrics("rnn", "random", "lyrics", (68.140465, 9.410330, 2.843535, 1.579061, 1.298882), _perplexity, RNN),
    *_lyrics("rnn", "random", "Mencius", (65, 21.5, 7.2, 3.5, 2.38), _perplexity, TWIN),
    *_lyrics("rnn", "consecutive", "lyrics", (59.464333, 6.875133, 1.996478, 1.273193, 1.154581), _perplexity, RNN),
    *_lyrics("rnn", "consecutive", "Mencius", (65, 21.6, 8.2, 4.2, 2.70), _perplexity, TWIN),
    *_lyrics("rnn", "consecutive", "Analects", (43.4, 15.2, 6.18, 3.28, 2.26), _perplexity, TWIN),
    *_lyrics("rnn", "adam", "lyrics", (10.670113, 1.287391, 1.066364, 1.033532, 1.021737), _perplexity, RNN),
    *_lyrics("rnn", "adam", "Mencius", (29, 2.62, 1.223, 1.068, 1.036), _perplexity, TWIN),
    # LSTM from scratch, 20,000 characters
    *_lyrics("lstm", "random", "lyrics", (1.070160, 1.057306, 1.054995, 1.053482, 1.053013), _perplexity, LSTM),
    *_lyrics("lstm", "random", "Mencius", (1.493, 1.072, 1.064, 1.061, 1.0605), _lstm_random, TWIN),
    *_lyrics("lstm", "corrected", "Mencius", (69.1, 26.6, 11.06), _perplexity, TWIN),
    *_lyrics(
        "lstm", "consecutive", "lyrics", (109.663761, 11.054566, 2.629018, 1.417030, 1.167032), _within(0.1), LSTM
    ),
    *_lyrics("lstm", "consecutive", "Mencius", (67.1, 26.31, 11.34, 5.48, 3.003), _within(0.1), TWIN),
    # Andersen's tales, loss of the last character of a chunk, ten passes
    *_curve("andersen", "last", "Andersen", "last_character", {10: 1.993}, _within(absolute=0.05), EVANS),
    *_curve("andersen", "last", "Andersen", "all_characters", {10: 1.973}, _within(absolute=0.05), EVANS),
    # char-rnn
    *_curve(
        "charrnn",
        "lstm",
        "tiny Shakespeare",
        "val",
        {1000: 1.78, 3000: 1.466, 14000: 1.396},
        _at_most(),
        SHAKESPEARE,
        "step",
    ),
    # fast.ai's ladder: the last validation loss of each rung; three_char validated on one sample, so its training loss
    *_curve("fastai", "three_char", "Nietzsche", "train", {2: 1.84525}, _at_most(0.03), FASTAI),
    *_curve("fastai", "loop", "Nietzsche", "val", {2: 1.75103}, _at_most(0.01), FASTAI),
    *_curve("fastai", "concat", "Nietzsche", "val", {2: 1.69936}, _at_most(0.01), FASTAI),
    *_curve("fastai", "rnn", "Nietzsche", "val", {6: 1.5039}, _at_most(0.01), FASTAI),
    *_curve("fastai", "multi_output", "Nietzsche", "val", {5: 2.00106}, _at_most(0.01), FASTAI),
    *_curve("fastai", "identity", "Nietzsche", "val", {8: 1.83801}, _at_most(0.01), FASTAI),
    *_curve("fastai", "stateful", "Nietzsche", "val", {8: 1.486}, _at_most(0.01), FASTAI),
    *_curve("fastai", "cell_loop", "Nietzsche", "val", {4: 1.54217}, _at_most(0.01), FASTAI),
    *_curve("fastai", "gru", "Nietzsche", "val", {9: 1.36969}, _at_most(0.01), FASTAI),
    *_curve("fastai", "lstm", "Nietzsche", "val", {17: 1.31518}, _at_most(), FASTAI),
]

SCRATCH_RNN, SCRATCH_LSTM = "RNN from scratch, song lyrics", "LSTM from scratch, song lyrics"
ANDERSEN, NIETZSCHE = "Julia Evans' char-rnn, Andersen", "fast.ai lesson 6, Nietzsche"

ROWS = [
    Row("charrnn", "lstm", "karpathy/char-rnn, tiny Shakespeare", "LSTM 2 × 128", ("val",)),
    Row("lyrics_rnn", "random", SCRATCH_RNN, "tanh RNN 256, SGD, random windows", ("perplexity",)),
    Row("lyrics_rnn", "consecutive", SCRATCH_RNN, "tanh RNN 256, SGD, consecutive", ("perplexity",)),
    Row("lyrics_rnn", "adam", SCRATCH_RNN, "nn.RNN 256, Adam, consecutive", ("perplexity",)),
    Row("lyrics_lstm", "random", SCRATCH_LSTM, "LSTM 256, SGD, random windows as published", ("perplexity",)),
    Row("lyrics_lstm", "corrected", SCRATCH_LSTM, "LSTM 256, SGD, random windows", ("perplexity",)),
    Row("lyrics_lstm", "consecutive", SCRATCH_LSTM, "LSTM 256, SGD, consecutive", ("perplexity",)),
    Row(
        "andersen",
        "last",
        ANDERSEN,
        "LSTM 150, loss of the last character",
        ("last_character", "all_characters", "val"),
    ),
    Row("andersen", "all", ANDERSEN, "LSTM 150, loss of all characters", ("last_character", "all_characters", "val")),
    Row("fastai", "three_char", NIETZSCHE, "three characters", ("train",)),
    Row("fastai", "loop", NIETZSCHE, "loop, add", ("val",)),
    Row("fastai", "concat", NIETZSCHE, "loop, concatenate", ("val",)),
    Row("fastai", "rnn", NIETZSCHE, "nn.RNN, last output", ("val",)),
    Row("fastai", "multi_output", NIETZSCHE, "nn.RNN, all outputs", ("val",)),
    Row("fastai", "identity", NIETZSCHE, "the same, identity", ("val",)),
    Row("fastai", "stateful", NIETZSCHE, "stateful nn.RNN", ("val",)),
    Row("fastai", "cell_loop", NIETZSCHE, "loop over nn.RNNCell", ("val",)),
    Row("fastai", "gru", NIETZSCHE, "GRU 256", ("val",)),
    Row("fastai", "lstm", NIETZSCHE, "LSTM 2 × 512, dropout, warm restarts", ("val",)),
]
