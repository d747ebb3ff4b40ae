"""PyTorch's side: nn.LSTM, nn.GRU or nn.RNN, a linear decoder, cross_entropy, autograd, clip_grad_norm_ and Adam.

Adam is the fused one, the fastest that PyTorch has on a CPU. Variants of training are the input: one-hot vectors, made
in the step (the ids are the data), or an nn.Embedding of the same width, so that the layers are the same. Those of
sampling are nn.LSTM, called for one step, and nn.LSTMCell, both with such an embedding.
"""

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchlib.configurations import CLIP_NORM, LEARNING_RATE, Configuration
from benchlib.timing import time_steps

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class TorchCharRNN(nn.Module):
    """ids (T,B) to logits (T,B,V); state in, state out."""

    def __init__(self, c: Configuration, embedded: bool) -> None:
        super().__init__()
        self.vocab_size = c.vocab_size
        self.embedding = nn.Embedding(c.vocab_size, c.vocab_size) if embedded else None
        self.rnn = CELLS[c.cell](c.vocab_size, c.hidden_size, c.num_layers)
        self.decoder = nn.Linear(c.hidden_size, c.vocab_size)

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One chunk."""
        inputs = self.embedding(x) if self.embedding else F.one_hot(x, self.vocab_size).float()
        h, state = self.rnn(inputs, state)
        return self.decoder(h), state


def versions() -> dict[str, str]:
    """Of PyTorch, and how many threads it took from the environment."""
    return {"torch": f"{torch.__version__} ({torch.get_num_threads()} threads)"}


def train(configuration: dict[str, Any], variant: str) -> dict[str, Any]:
    """Time one training step."""
    c = Configuration(**configuration)
    torch.manual_seed(0)
    model = TorchCharRNN(c, embedded=variant == "embedding")
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE, fused=True)
    chunks = itertools.cycle(torch.randint(c.vocab_size, (c.chunks, 2, c.seq_length, c.batch_size)))
    state, loss = None, 0.0

    def step() -> None:
        nonlocal state, loss
        x, y = next(chunks)
        logits, after = model(x, state)
        value = F.cross_entropy(logits.view(-1, c.vocab_size), y.reshape(-1))
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        state = after.detach() if isinstance(after, Tensor) else tuple(s.detach() for s in after)
        loss = value.item()

    return time_steps(step) | {"loss": loss}


@torch.inference_mode()
def sample(configuration: dict[str, Any], variant: str) -> dict[str, Any]:
    """Time one step of sampling: the network, softmax and multinomial. Ids stay tensors: nothing waits to read them."""
    c = Configuration(**configuration)
    torch.manual_seed(0)
    model = TorchCharRNN(c, embedded=True)
    x = torch.zeros(c.batch_size, dtype=torch.long)
    advance = _sequence(model) if variant == "nn.LSTM" else _cells(model, c)

    def step() -> None:
        nonlocal x
        p = torch.softmax(model.decoder(advance(model.embedding(x))), dim=-1)  # (B,V)
        x = torch.multinomial(p, 1)[:, 0]  # (B,)

    return time_steps(step, warmup=100, least=500)


def _sequence(model: TorchCharRNN) -> Any:
    """nn.LSTM for a sequence of length 1: (B,E) to (B,H)."""
    state = None

    def advance(x: Tensor) -> Tensor:
        nonlocal state
        h, state = model.rnn(x[None], state)
        return h[0]

    return advance


def _cells(model: TorchCharRNN, c: Configuration) -> Any:
    """One nn.LSTMCell a layer: (B,E) to (B,H)."""
    widths = [c.vocab_size] + [c.hidden_size] * (c.num_layers - 1)
    cells = [nn.LSTMCell(width, c.hidden_size) for width in widths]
    states: list[Any] = [None] * c.num_layers

    def advance(x: Tensor) -> Tensor:
        for k, cell in enumerate(cells):
            states[k] = cell(x, states[k])
            x = states[k][0]
        return x

    return advance
