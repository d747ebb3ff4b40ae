"""The counting model to beat: interpolated n-grams with Witten-Bell weights.

What it is: the loss of models that only count, one for each number of characters of context. A network that
does not beat the row of two has a bug; one that beats the best row has learned more than counting.
What it is not: a model to keep. Nothing is stored; training counts and held-out losses come from one pass.

    p(x | c) = (N(c x) + T(c) p(x | c')) / (N(c) + T(c))                                                (1)

N counts in the training text, T(c) is the number of different characters seen after the context c, and c' is
c without its oldest character. A context never seen in training passes p(x | c') on; below the empty context
stands the uniform 1/V. Contexts do not reach over the start of a row: there the longest one available is
used. (Witten & Bell 1991, method C, interpolated.)

Characters are never looped over. An n-gram gets a number, the rank of (number of its first n-1 characters,
last character) among all such pairs of the training text; the rank of a context then leads to the rank of its
continuation. This takes about 110 bytes of memory for every character of the training text.
"""

import numpy as np

from minrnn.text.errors import TextError


def witten_bell(train: np.ndarray, held_out: np.ndarray, vocab_size: int, max_order: int = 6) -> np.ndarray:
    """Return nats per character of held_out with 0, 1, ... max_order characters of context, (max_order + 1,).

    Args:
        train, held_out: ids below vocab_size, (N,) or (rows, N). All held-out characters are scored, the first
            included.
        vocab_size: V.
        max_order: the longest context.

    Raises:
        TextError: nothing is held out.
    """
    train, held_out = (np.atleast_2d(ids).astype(np.int64) for ids in (train, held_out))
    if held_out.size == 0:
        raise TextError("there is no held-out character to score; hold out a part of the text")
    nats = np.empty(max_order + 1)
    p = np.full(held_out.shape, 1 / vocab_size)
    context, held_context, contexts = np.zeros_like(train), np.zeros_like(held_out), 1  # number 0: the empty one
    for order in range(max_order + 1):
        # Columns before `order` have a shorter context and keep its p.
        pair = context * vocab_size + train[:, order:]  # (rows, N-order)
        grams, gram, count = np.unique(pair, return_inverse=True, return_counts=True)
        held_pair = np.where(held_context < 0, -1, held_context * vocab_size + held_out[:, order:])
        held_gram = _rank(grams, held_pair)  # -1: not in the training text

        # One more entry behind the last, 0: that is what the number -1 finds.
        times = np.append(count, 0)  # N(c x)
        total = np.bincount(grams // vocab_size, weights=count, minlength=contexts + 1)  # N(c)
        distinct = np.bincount(grams // vocab_size, minlength=contexts + 1)  # T(c)
        shorter = p[:, order:]  # p(x | c'), a view
        seen = total[held_context] > 0
        c = held_context[seen]
        shorter[seen] = (times[held_gram[seen]] + distinct[c] * shorter[seen]) / (total[c] + distinct[c])  # (1)
        nats[order] = -np.log(p).mean()

        # The context of the next column and order is the n-gram that ends here.
        context, held_context = gram.reshape(pair.shape)[:, :-1], held_gram[:, :-1]
        contexts = len(grams)
    return nats


def _rank(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The index of each value in `ordered`, or -1 where it is not there; `ordered` has no negative entry."""
    place = np.searchsorted(ordered, values)
    return np.where(np.append(ordered, -2)[place] == values, place, -1)
