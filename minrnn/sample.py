"""Sampling: a trained network writes, one character after the other.

The order of the steps, each on the logits of the last character, in float64:

    ÷ temperature  →  top-k  →  top-p  →  softmax  →  draw with one uniform number  →  feed back

    temperature  0 is greedy: the largest logit, the lowest id of equal ones, and nothing is drawn.
    top-k        keeps exactly k; of equal logits those with the lowest ids.
    top-p        keeps the fewest characters, the most probable first, whose probabilities sum up to at least p: at
                 least one. Measured after the temperature, and on what top-k has left, renormalised.
    draw         bit for bit what numpy.random.Generator.choice(V, p=p) draws.

Without a prime the first character is drawn evenly from the vocabulary (char-rnn) and counts as the first new one. The
unknown symbol stands for no character and is never written: its logit is taken out before everything else.

What this is not: it changes no model. State goes in and comes out, and every sample has a random generator of its own.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal

import numpy as np

from minrnn.kernels import linear_forward
from minrnn.model import CELLS, CharRNN, State
from minrnn.text import TextError, Vocabulary


class Sampler:
    """A model prepared for single steps of one text: weights copied and buffers made once, the embedding folded in.

    An embedding E (V,E) followed by Wx (E,G·H) is the table E Wx (V,G·H): a character costs one look-up of a row, as
    with one-hot input. Later changes of the model do not reach the sampler.
    """

    def __init__(self, model: CharRNN) -> None:
        cell, bk, params = CELLS[model.cell], model.backend, model.params
        run = cell.forward  # on sequences of length 1, in workspaces made once
        self._run = partial(run, nonlinearity=model.nonlinearity) if model.cell == "rnn" else run
        self._backend, self.vocab_size = bk, model.vocab_size
        with bk.scope():
            self._layers = [[w.copy() for w in model.layer_params(k)] for k in range(model.num_layers)]
            if model.embedding_size:
                table = bk.xp.empty((model.vocab_size, params["rnn.0.Wx"].shape[1]), model.dtype)
                self._layers[0][0] = bk.matmul(params["embedding.W"], params["rnn.0.Wx"], out=table)  # (V,G·H)
            self._workspaces = [cell.workspace(1, 1, w[0], w[1], needs_dx=False) for w in self._layers]
            self._decoder = params["decoder.W"].copy(), params["decoder.b"].copy()
        self._ids = bk.from_host(np.arange(model.vocab_size)[:, None, None])  # row v: the text (1,1) that is v
        self.zero_state = model.zero_state(1)

    def feed(self, id: int, state: State) -> tuple[np.ndarray, State]:
        """Read one character. Returns the logits (V,) of the next one, float64 on the host, and the new state.

        Raises IndexError for an id outside 0 … V-1.
        """
        if not 0 <= id < self.vocab_size:
            raise IndexError(f"id {id} is outside the vocabulary, 0 … {self.vocab_size - 1}")
        x, new = self._ids[id], []
        with self._backend.scope():
            for before, weights, ws in zip(state, self._layers, self._workspaces, strict=True):
                x, *after, _ = self._run(x, *before, *weights, ws=ws)  # (1,1,H)
                new.append(tuple(after))
            logits, _ = linear_forward(x, *self._decoder)  # (1,1,V)
        return self._backend.to_host(logits)[0, 0].astype(np.float64), tuple(new)

    def generate(
        self,
        prime: Sequence[int] | np.ndarray,
        n: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        never: int | None = None,
        rng: np.random.Generator,
    ) -> Iterator[int]:
        """Read the ids of `prime` from zero state, then yield n new ids; see the top of this file.

        top_k None keeps all. `never` is an id that is not to be drawn: the unknown symbol. Raises ValueError, at once,
        for settings out of range; while it runs, FloatingPointError when the network puts out what is not a number.
        """
        check_choice(temperature, top_k, top_p)
        if n < 0:
            raise ValueError(f"n = {n} new characters must be at least 0")
        choose = partial(_choose, temperature=temperature, top_k=top_k, top_p=top_p, never=never, rng=rng)
        return self._generate([int(id) for id in prime], n, choose, rng)

    def _generate(self, prime: list[int], n: int, choose: partial[int], rng: np.random.Generator) -> Iterator[int]:
        state, logits = self.zero_state, np.zeros(self.vocab_size)
        for id in prime:
            logits, state = self.feed(id, state)
        for k in range(n):
            if k == 0 and not prime:
                id = choose(logits, temperature=1.0, top_k=None, top_p=1.0)  # of equal logits: evenly
            else:
                id = choose(logits)
            yield id
            if k < n - 1:
                logits, state = self.feed(id, state)


def check_choice(temperature: float, top_k: int | None, top_p: float) -> None:
    """Raise ValueError unless temperature is finite and at least 0, top_k at least 1 (or None), and top_p in (0, 1]."""
    if not (math.isfinite(temperature) and temperature >= 0):
        raise ValueError(f"temperature = {temperature} must be a finite number of at least 0; 0 is greedy")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k = {top_k} must be at least 1")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p = {top_p} must be above 0 and at most 1")


def probabilities(
    logits: np.ndarray, *, temperature: float = 1.0, top_k: int | None = None, top_p: float = 1.0
) -> np.ndarray:
    """The distribution (V,) from which the next character is drawn, for logits (V,) and a temperature above 0."""
    with np.errstate(over="ignore"):  # a tiny temperature sends all but the largest to −inf, which is right
        z = (logits - logits.max()) / temperature
    p = np.exp(z)
    if top_k is not None or top_p < 1:
        kept = np.argsort(-z, kind="stable")[:top_k]  # the most probable first, of equal ones the lowest id
        if top_p < 1:
            reached = np.cumsum(p[kept])
            kept = kept[: np.searchsorted(reached / reached[-1], top_p) + 1]  # up to the first sum that is >= top_p
        all_p, p = p, np.zeros_like(p)
        p[kept] = all_p[kept]
    return p / p.sum()


def draw(p: np.ndarray, rng: np.random.Generator) -> int:
    """An index drawn with the probabilities p (V,) and one uniform number of `rng`."""
    reached = np.cumsum(p)
    return int(np.searchsorted(reached / reached[-1], rng.random(), side="right"))


def _choose(
    logits: np.ndarray,
    *,
    temperature: float,
    top_k: int | None,
    top_p: float,
    never: int | None,
    rng: np.random.Generator,
) -> int:
    if not np.isfinite(logits.max()):  # a NaN or +inf anywhere is the maximum
        raise FloatingPointError(
            "the network puts out values that are not finite: it has diverged, use another checkpoint"
        )
    if never is not None:
        logits[never] = -np.inf
    if temperature == 0:
        return int(logits.argmax())
    return draw(probabilities(logits, temperature=temperature, top_k=top_k, top_p=top_p), rng)


def sample_rng(seed: int, number: int = 0) -> np.random.Generator:
    """The generator of sample `number` of a series: every sample can be had again without those before it."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))


def sample_text(
    model: CharRNN,
    vocabulary: Vocabulary,
    prime: str = "",
    *,
    n: int = 500,
    stop: str | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    rng: np.random.Generator,
    unknown: Literal["error", "skip", "replace"] = "error",
) -> Iterator[str]:
    """Yield n characters that `model` writes after `prime`, which is read but not part of them.

    Ends early, right after the last character of `stop`, once the new characters hold it. `unknown` says what happens
    to characters of the prime that the vocabulary lacks (Vocabulary.encode). Raises, at once, TextError for a prime or
    a stop string that does not fit the vocabulary and ValueError for settings out of range; while it runs,
    FloatingPointError like Sampler.generate.
    """
    if stop is not None and not (stop and set(stop) <= set(vocabulary.characters)):
        raise TextError(f"the stop string {stop!r} can never be written: it is empty or not made of the vocabulary")
    ids = Sampler(model).generate(
        vocabulary.encode(prime, unknown),
        n,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        never=vocabulary.unknown_id,
        rng=rng,
    )
    characters = (vocabulary.symbols[id] for id in ids)
    return characters if stop is None else _until(characters, stop)


def _until(characters: Iterator[str], stop: str) -> Iterator[str]:
    written = ""
    for character in characters:
        yield character
        written = (written + character)[-len(stop) :]
        if written == stop:
            return
