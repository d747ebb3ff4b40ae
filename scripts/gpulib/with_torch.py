"""PyTorch's side: nn.LSTM, nn.GRU or nn.RNN on the GPU, TF32 off and on. Prints ms of an update as JSON.

nn.LSTM takes TF32 unless it is told not to (torch.backends.cudnn.allow_tf32), so both are measured.
"""

import itertools
import json
import sys
import time
from typing import Any

import torch
from benchlib.configurations import CLIP_NORM, LEARNING_RATE, Configuration
from benchlib.with_torch import TorchCharRNN
from torch import Tensor, nn
from torch.nn import functional as F


def milliseconds(c: Configuration, tf32: bool, number: int = 20) -> float:
    """Of one update; the loss is not read."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    model = TorchCharRNN(c, embedded=True).cuda()
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE, fused=True)
    chunks = itertools.cycle(torch.randint(c.vocab_size, (4, 2, c.seq_length, c.batch_size)).cuda())
    state: Any = None

    def step() -> None:
        nonlocal state
        x, y = next(chunks)
        logits, after = model(x, state)
        optimizer.zero_grad()
        F.cross_entropy(logits.view(-1, c.vocab_size), y.reshape(-1)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        state = after.detach() if isinstance(after, Tensor) else tuple(s.detach() for s in after)

    for _ in range(3):
        step()
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(number):
        step()
    torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - begin) / number


if __name__ == "__main__":
    configuration = Configuration(**json.loads(sys.argv[1]))
    print(
        json.dumps(
            {
                f"PyTorch {torch.__version__}, TF32 {'on' if tf32 else 'off'}, ms": milliseconds(configuration, tf32)
                for tf32 in (False, True)
            }
        )
    )
