"""From settings to the parts of a training run: text, vocabulary, split, batches, model, optimizer, schedule.

Every random stream comes from the one seed: initialisation from the seed itself, data order, dropout and samples from
(seed, number of the stream), so that drawing more from one never moves another.

What this is not: it trains nothing and writes nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from minrnn.config import Config
from minrnn.model import CharRNN
from minrnn.optim import (
    OPTIMIZERS,
    Constant,
    Cosine,
    CosineRestarts,
    ExponentialAfterEpoch,
    LinearWarmup,
    Optimizer,
    Schedule,
)
from minrnn.text import (
    SPLITS,
    Batches,
    FixedLength,
    Split,
    Spool,
    StreamBatches,
    Streams,
    TextError,
    Vocabulary,
    WindowBatches,
    beginnings,
    count_characters,
    largest_batch,
    map_ids,
    normalize_blocks,
    read_blocks,
    stdlib_text,
)

# Called now and then with what is being done, and the numbers of bytes done and in all; 0 in all: nobody knows.
Report = Callable[[str, int, int], None]

DATA_STREAM, DROPOUT_STREAM, SAMPLE_STREAM = 1, 2, 3
MOST_CHARACTERS = 30_000  # distinct; Chinese novels have 3,000 to 8,000


@dataclass(frozen=True, eq=False)
class Data:
    """A text, ready to be learned. Its ids are in a file that is mapped; nothing holds the text itself."""

    characters: int
    sha256: str  # of its UTF-8 bytes, after normalisation
    vocabulary: Vocabulary
    split: Split
    val: Streams | None  # of the split, the part that is evaluated during training
    batches: Batches
    batch_size: int  # smaller than the one asked for where the text is short


def text_blocks(files: Sequence[str], config: Config, report: Report | None = None) -> Iterator[str]:
    """The text of `files`, of the standard library if there are none, normalised as the settings say, in blocks.

    Raises TextError, or ImportError for a missing extra.
    """
    blocks = read_blocks(files, report and partial(report, "reading")) if files else iter([stdlib_text().text])
    return normalize_blocks(blocks, lowercase=config.lowercase, nfc=config.nfc, ascii=config.ascii)


def load_data(config: Config, report: Report | None = None) -> Data:
    """Read, encode, split and batch the text that the settings name.

    Raises TextError for a text that is missing, unreadable or too short, or that has so many distinct characters that
    something must be wrong with it, and where the temporary folder has no room for it.
    """
    with Spool() as spool:
        counts = count_characters(spool.keep(text_blocks(config.files, config, report)))
        vocabulary = make_vocabulary(counts, config)
        again = spool.blocks(report and partial(report, "encoding"))
        ids = map_ids(
            vocabulary.encode_blocks(again, "error" if vocabulary.unknown is None else "replace"), vocabulary.id_type
        )
    T, val_frac = config.seq, config.val_frac
    batch_size = largest_batch(config.split, len(ids), batch_size=config.batch, seq_length=T, val_frac=val_frac)
    split = SPLITS[config.split](ids, batch_size=batch_size, seq_length=T, val_frac=val_frac)
    seed = (config.seed, DATA_STREAM)
    batches: Batches
    if config.batches == "random":
        rows, length = split.train_ids.shape
        batch_size = max(1, min(batch_size, rows * ((length - 1) // T)))  # no more than there are windows
        batches = WindowBatches(split.train_ids, batch_size, T, seed=seed)
    else:
        batches = StreamBatches(split.train, FixedLength(T), seed=seed, reset=config.reset)
    val = split.val and beginnings(split.val, config.eval_chars)
    return Data(len(ids), spool.sha256, vocabulary, split, val, batches, batch_size)


def make_vocabulary(counts: np.ndarray, config: Config) -> Vocabulary:
    """The characters that were counted, held-out part included, as the settings limit them. Raises TextError."""
    limited = config.vocab_min_freq > 1 or config.vocab_max_size > 0
    vocabulary = Vocabulary.from_counts(
        counts,
        min_freq=config.vocab_min_freq,
        max_size=config.vocab_max_size or None,
        unknown="<unk>" if limited else None,
    )
    if len(vocabulary) > MOST_CHARACTERS and not config.vocab_max_size:
        # Wx, decoder, their gradients and two moments; logits, probabilities and gradient of one chunk
        numbers = 4 * len(vocabulary) * 5 * config.hidden + 3 * config.seq * config.batch * len(vocabulary)
        gigabytes = numbers * (4 if config.dtype == "float32" else 8) / 1e9
        raise TextError(
            f"the text has {len(vocabulary):,} distinct characters, for which training would take about "
            f"{gigabytes:.1f} GB of memory; check its encoding, or keep the most frequent with vocab_max_size"
        )
    return vocabulary


def make_model(config: Config, vocab_size: int) -> CharRNN:
    """A freshly initialised network."""
    return CharRNN(
        vocab_size,
        hidden_size=config.hidden,
        num_layers=config.layers,
        cell=config.cell,
        nonlinearity=config.nonlinearity,
        embedding_size=config.embed,
        dropout=config.dropout,
        dropout_places=config.dropout_places,
        init=config.init,
        forget_bias=config.forget_bias,
        seed=config.seed,
        dtype=config.dtype,
        device=config.device,
    )


def make_optimizer(config: Config, model: CharRNN) -> Optimizer:
    """The update rule for this model with its options, without state."""
    options: dict[str, object] = {"weight_decay": config.weight_decay}
    if config.optimizer in ("sgd", "rmsprop"):
        options["momentum"] = config.momentum
    if config.optimizer == "rmsprop":
        options["alpha"] = config.alpha
    if config.optimizer in ("adam", "amsgrad", "adamw"):
        options["betas"] = config.beta1, config.beta2
    optimizer = OPTIMIZERS[config.optimizer](config.lr, **options)
    if config.two_biases:
        optimizer.twice = model.second_biases()
    return optimizer


def total_steps(config: Config, batches: Batches) -> int | None:
    """The number of updates that the settings ask for; None where only the clock ends the run."""
    if config.steps or not config.epochs:
        return config.steps or None
    return sum(batches.num_batches(epoch) for epoch in range(config.epochs))


def make_schedule(config: Config, batches: Batches) -> Schedule:
    """The learning rate as a function of the number of updates made."""
    epoch = batches.num_batches(0)
    schedule: Schedule
    if config.schedule == "exponential":
        schedule = ExponentialAfterEpoch(config.lr, config.decay, config.decay_after, epoch)
    elif config.schedule == "cosine":
        total = total_steps(config, batches) or 1
        schedule = Cosine(config.lr, max(total - config.warmup, 1), config.lr_min)
    elif config.schedule == "restarts":
        schedule = CosineRestarts(config.lr, config.cycle or epoch, config.cycle_mult, config.lr_min)
    else:
        schedule = Constant(config.lr)
    return LinearWarmup(schedule, config.warmup) if config.warmup else schedule
