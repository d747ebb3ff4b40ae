"""Sampling: a trained network writes, one character after the other, one text or a batch of them.

The order of the steps, each on the logits of the last character, in float64:

    ÷ temperature  →  top-k  →  top-p  →  softmax  →  draw with one uniform number  →  feed back

    temperature  0 is greedy: the largest logit, the lowest id of equal ones, and nothing is drawn.
    top-k        keeps exactly k; of equal logits those with the lowest ids.
    top-p        keeps the fewest characters, the most probable first, whose probabilities sum up to at least p: at
                 least one. Measured after the temperature, and on what top-k has left, renormalised.
    draw         bit for bit what numpy.random.Generator.choice(V, p=p) draws.

Without a prime the first character is drawn evenly from the vocabulary (char-rnn) and counts as the first new one. The
unknown symbol stands for no character and is never written: its logit is taken out before everything else.

Every text has a random generator of its own: in a batch it is drawn with the same numbers as alone. What repeats bit
for bit is a text drawn alone, and a whole batch. Between the two, matrix products add up in another order, and logits
differ in their last bits. The text is the same until a number falls between the two roundings of a border: not once in
320,000 characters of a trained LSTM 2 × 128 in float32, but every few hundred if weights are so large that the network
magnifies rounding from step to step.

Arrays stand upright, as in minrnn.kernels.stepper: (V,) for one text and (V,B) for B, and every line serves both.

What this is not: it changes no model. State goes in and comes out.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import copy_context
from functools import partial
from itertools import chain
from typing import Any, Literal

import numpy as np

from minrnn.backend import Array
from minrnn.model import CELLS, CharRNN, State
from minrnn.text import TextError, Vocabulary


class Sampler:
    """A model prepared for single steps: weights copied and rearranged once, the embedding folded in.

    An embedding E (V,E) followed by Wx (E,G·H) is the table E Wx (V,G·H): a character costs one look-up of a row, as
    with one-hot input. Later changes of the model do not reach the sampler. Texts of one sampler do not disturb each
    other: each has a state of its own.
    """

    def __init__(self, model: CharRNN) -> None:
        cell, bk, params = CELLS[model.cell], model.backend, model.params
        stepper = partial(cell.stepper, nonlinearity=model.nonlinearity) if model.cell == "rnn" else cell.stepper
        self.backend, self.vocab_size = bk, model.vocab_size
        with bk.scope():
            weights = [model.layer_params(k) for k in range(model.num_layers)]
            if model.embedding_size:
                table = bk.xp.empty((model.vocab_size, params["rnn.0.Wx"].shape[1]), model.dtype)
                weights[0][0] = bk.matmul(params["embedding.W"], params["rnn.0.Wx"], out=table)  # (V,G·H)
            self.layers = [stepper(*w, ids=k == 0) for k, w in enumerate(weights)]
            self.decoder = params["decoder.W"].T.copy(), params["decoder.b"].copy()  # (V,H), (V,)
        self.zero_state = model.zero_state(1)
        self._text = _Texts(self, 1)

    def feed(self, id: int, state: State) -> tuple[np.ndarray, State]:
        """Read one character. Returns the logits (V,) of the next one, float64 on the host, and the new state.

        Raises IndexError for an id outside 0 … V-1.
        """
        self._check(id)
        text = self._text
        text.go_on_from(chain.from_iterable(state))
        text.read(id)
        with self.backend.scope():
            arrays = (array.copy()[None] for array in text.state)  # (1,H)
            return text.logits, tuple(tuple(next(arrays) for _ in layer) for layer in state)

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

        top_k None keeps all. `never` is an id that is not to be drawn: the unknown symbol. Raises, at once, ValueError
        for settings out of range and IndexError for a prime outside 0 … V-1; while it runs, FloatingPointError when the
        network puts out what is not a number.
        """
        choice: Any = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "never": never}
        return (id for (id,) in self.generate_batch(prime, n, rngs=[rng], **choice))

    def generate_batch(
        self,
        prime: Sequence[int] | np.ndarray,
        n: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        never: int | None = None,
        rngs: Sequence[np.random.Generator],
    ) -> Iterator[list[int]]:
        """Like generate, a text for each of the generators `rngs`, all at once: yields n times the next id of each."""
        check_choice(temperature, top_k, top_p)
        if n < 0:
            raise ValueError(f"n = {n} new characters must be at least 0")
        if not rngs:
            raise ValueError("rngs is empty: every text needs a random generator of its own")
        ids = [int(id) for id in prime]
        for id in ids:
            self._check(id)
        rng = rngs[0] if len(rngs) == 1 else _Generators(rngs)
        choose = partial(_choose, temperature=temperature, top_k=top_k, top_p=top_p, never=never, rng=rng)
        return self._generate(ids, n, choose, len(rngs))

    def _generate(self, prime: list[int], n: int, choose: Callable[..., Any], count: int) -> Iterator[list[int]]:
        texts = _Texts(self, 1)
        for id in prime:
            texts.read(id)
        if count > 1:
            alone, texts = texts, _Texts(self, count)
            texts.go_on_from(alone.state)
            texts.logits[...] = alone.logits[:, None]
        first = choose if prime else partial(choose, temperature=1.0, top_k=None, top_p=1.0)  # of equal logits: evenly
        ids: Any = None
        for k in range(n):
            if k > 0:
                texts.read(ids)
            ids = texts.run(choose if k else first, texts.logits)
            yield ids.tolist() if count > 1 else [int(ids)]

    def _check(self, id: int) -> None:
        if not 0 <= id < self.vocab_size:
            raise IndexError(f"id {id} is outside the vocabulary, 0 … {self.vocab_size - 1}")


class _Texts:
    """Texts on their way through a network, side by side: their state, and the logits of the characters to come."""

    def __init__(self, sampler: Sampler, count: int) -> None:
        bk, xp, (W, b) = sampler.backend, sampler.backend.xp, sampler.decoder
        (V, H), alone, texts = W.shape, count == 1, () if count == 1 else (count,)
        with bk.scope():
            h = xp.zeros((len(sampler.layers) * H, *texts), W.dtype)  # the h of a layer is the x of the next, in place
            layers = [layer.start(h[max(k - 1, 0) * H : (k + 1) * H]) for k, layer in enumerate(sampler.layers)]
            inputs = [layer.inputs if alone else layer.inputs.T.copy() for layer in sampler.layers]
            scores, b = xp.empty((V, *texts), W.dtype), b.reshape(V, *[1] * len(texts))
        above = [(layer.step, x[0] if alone else x) for layer, x in zip(layers[1:], inputs[1:], strict=True)]
        first, table, top = layers[0].step, inputs[0], h[-H:]

        def feed(ids: Any) -> np.ndarray:
            with bk.scope():
                first(table[ids] if alone else xp.take(table, bk.from_host(ids), axis=1))
                for step, bias in above:
                    step(bias)
                xp.dot(W, top, scores)
                xp.add(scores, b, scores)
            return bk.to_host(scores).astype(np.float64)  # (V,) or (V,B)

        self.state = [array for layer in layers for array in layer.state]  # (H,) or (H,B)
        self.logits = np.zeros((V, *texts))
        self._backend, self._feed = bk, feed
        # A context is where NumPy keeps what to do about overflow. No caller is ever in this one, so it is entered for
        # good: once, and not at every character.
        context = copy_context()
        context.run(bk.extremes_are_fine().__enter__)
        self.run = context.run

    def go_on_from(self, state: Iterable[Array]) -> None:
        """Take over the state of one text, arrays of H numbers, for all."""
        with self._backend.scope():
            for place, value in zip(self.state, state, strict=True):
                place.T[...] = value.reshape(-1)  # .T is (H,) or (B,H)

    def read(self, ids: Any) -> None:
        """Go on by one character: an id, or an array of one for each text."""
        self.logits = self.run(self._feed, ids)


class _Generators:
    """The random generators of several texts, a number from each at a time."""

    def __init__(self, rngs: Sequence[np.random.Generator]) -> None:
        self.rngs = rngs

    def random(self) -> np.ndarray:
        return np.array([rng.random() for rng in self.rngs])  # (B,)


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
    """The distribution from which the next character is drawn: logits (V,) or (V,B), and a temperature above 0."""
    with np.errstate(over="ignore"):  # a tiny temperature sends all but the largest to −inf, which is right
        return _softmax(logits - logits.max(axis=0), temperature, top_k, top_p)


def _softmax(z: np.ndarray, temperature: float, top_k: int | None, top_p: float) -> np.ndarray:
    """`probabilities` of logits z whose largest is 0, in place; whoever calls it has seen to overflow."""
    z /= temperature
    choosy = top_k is not None or top_p < 1
    if choosy:
        kept = np.argsort(-z, axis=0, kind="stable")[:top_k]  # the most probable first, of equal ones the lowest id
        at = (kept, *(np.arange(B) for B in z.shape[1:]))  # their places
    p = np.exp(z, z)
    if choosy:
        q = p[at]
        if top_p < 1:
            reached = np.add.accumulate(q)
            q[1:][reached[:-1] / reached[-1] >= top_p] = 0.0  # nothing after the first sum that is >= top_p
        p.fill(0.0)
        p[at] = q
    p /= np.add.reduce(p)
    return p


def draw(p: np.ndarray, rng: Any) -> Any:
    """An index drawn with the probabilities p (V,) and one uniform number of `rng`; B of them for p (V,B)."""
    reached = np.add.accumulate(p)
    reached /= reached[-1]
    return (reached > rng.random()).argmax(axis=0)


def _choose(
    logits: np.ndarray, *, temperature: float, top_k: int | None, top_p: float, never: int | None, rng: Any
) -> Any:
    """The next id for logits (V,), which are overwritten, or B of them for (V,B)."""
    if never is not None:
        logits[never] = -np.inf
    largest = np.maximum.reduce(logits)  # a NaN or +inf anywhere is the maximum
    if not (math.isfinite(largest) if largest.ndim == 0 else np.isfinite(largest).all()):
        raise FloatingPointError(
            "the network puts out values that are not finite: it has diverged, use another checkpoint"
        )
    if temperature == 0:
        return logits.argmax(axis=0)
    logits -= largest
    return draw(_softmax(logits, temperature, top_k, top_p), rng)


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
    _check_stop(vocabulary, stop)
    ids = Sampler(model).generate(
        vocabulary.encode(prime, unknown),
        n,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        never=vocabulary.unknown_id,
        rng=rng,
    )
    return (character for (character,) in _characters(([id] for id in ids), vocabulary, stop))


def sample_texts(
    model: CharRNN,
    vocabulary: Vocabulary,
    prime: str = "",
    *,
    n: int = 500,
    stop: str | None = None,
    rngs: Sequence[np.random.Generator],
    unknown: Literal["error", "skip", "replace"] = "error",
    **choice: Any,
) -> Iterator[list[str]]:
    """Like sample_text, a text for each of the generators `rngs`, all at once: yields the next character of each.

    A text that `stop` has ended goes on with empty strings until all have ended. `choice`: temperature, top_k, top_p.
    """
    _check_stop(vocabulary, stop)
    ids = Sampler(model).generate_batch(
        vocabulary.encode(prime, unknown), n, never=vocabulary.unknown_id, rngs=rngs, **choice
    )
    return _characters(ids, vocabulary, stop)


def _check_stop(vocabulary: Vocabulary, stop: str | None) -> None:
    if stop is not None and not (stop and set(stop) <= set(vocabulary.characters)):
        raise TextError(f"the stop string {stop!r} can never be written: it is empty or not made of the vocabulary")


def _characters(steps: Iterator[list[int]], vocabulary: Vocabulary, stop: str | None) -> Iterator[list[str]]:
    """The characters of every text, until all have written `stop`."""
    written: list[str] | None = None  # the ends of the texts, as far as `stop` reaches
    for ids in steps:
        characters = [vocabulary.symbols[id] for id in ids]
        if stop is not None:
            written = written or [""] * len(ids)
            characters = ["" if end == stop else character for end, character in zip(written, characters, strict=True)]
            written = [(end + c)[-len(stop) :] for end, c in zip(written, characters, strict=True)]
        yield characters
        if written and all(end == stop for end in written):
            return
