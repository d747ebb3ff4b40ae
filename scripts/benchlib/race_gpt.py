"""The race's other lane: a small GPT in PyTorch with the settings that nanoGPT publishes for a CPU.

Written anew from the description of GPT-2 and of those settings: 4 blocks of width 128 with 4 heads, 64 characters of
context, batches of 12 random windows, no dropout, no biases, token embedding and output layer tied; AdamW with (0.9,
0.99), weight decay 0.1 on the matrices, the gradient clipped to norm 1; 100 steps of warm-up to 1e-3, then a cosine
down to 1e-4, which is reached after `decay_steps` (published: 2000) and kept.

    x ← x + attention(norm(x))        x ← x + W₂ gelu(W₁ norm(x))        logits = norm(x) Eᵀ
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchlib import race_clock

LAYERS, HEADS, WIDTH, CONTEXT, BATCH = 4, 4, 128, 64, 12
PEAK, LAST, WARMUP = 1e-3, 1e-4, 100


class Block(nn.Module):
    """One pre-norm transformer block: (B,T,C) to (B,T,C)."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, bias=False), nn.LayerNorm(WIDTH, bias=False)
        self.qkv, self.attended = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.wide, self.narrow = nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Attention to the past, then the same two layers at every position."""
        B, T, C = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(B, T, 3, HEADS, C // HEADS).permute(2, 0, 3, 1, 4)  # (B,heads,T,C/heads)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(B, T, C)
        x = x + self.attended(a)
        return x + self.narrow(F.gelu(self.wide(self.norm2(x))))


class GPT(nn.Module):
    """ids (B,T) to logits (B,T,V)."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocab_size, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(WIDTH, bias=False)
        for name, p in self.named_parameters():
            if p.ndim == 2:  # what adds into the residual stream starts smaller: 2 additions a block
                into_stream = name.endswith(("attended.weight", "narrow.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * LAYERS) if into_stream else 0.02)

    def forward(self, x: Tensor) -> Tensor:
        """All positions at once."""
        h = self.tokens(x) + self.positions.weight[: x.shape[1]]
        return F.linear(self.norm(self.blocks(h)), self.tokens.weight)


def learning_rate(step: int, decay_steps: int) -> float:
    """Of the update after `step` others."""
    if step < WARMUP:
        return PEAK * (step + 1) / (WARMUP + 1)
    done = min(1.0, (step - WARMUP) / max(1, decay_steps - WARMUP))
    return LAST + 0.5 * (1 + math.cos(math.pi * done)) * (PEAK - LAST)


def race(data: str, decay_steps: int, seconds: int, every: int) -> dict[str, Any]:
    """Train on the first nine tenths of the text in the file `data`.

    Every evaluation runs over the whole held-out tenth in blocks of 64 characters that do not overlap, and counts all
    positions alike, as nanoGPT does with random blocks.
    """
    torch.manual_seed(1337)
    text = Path(data).read_bytes().decode("utf-8")
    index = {character: id for id, character in enumerate(sorted(set(text)))}
    ids = torch.tensor([index[character] for character in text])
    cut = int(0.9 * len(ids))
    learned, held_out = ids[:cut], ids[cut:]
    model = GPT(len(index))
    matrices = [p for p in model.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.99), fused=True)
    window, step = torch.arange(CONTEXT), 0

    def loss(x: Tensor, y: Tensor, reduction: str = "mean") -> Tensor:
        return F.cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction=reduction)

    def train_step() -> None:
        nonlocal step
        at = torch.randint(len(learned) - CONTEXT, (BATCH, 1)) + window  # (B,T)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, decay_steps)
        optimizer.zero_grad()
        loss(learned[at], learned[at + 1]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1

    used = (len(held_out) - 1) // CONTEXT * CONTEXT
    blocks = zip(
        held_out[:used].view(-1, CONTEXT).split(64), held_out[1 : used + 1].view(-1, CONTEXT).split(64), strict=True
    )
    batches = list(blocks)

    @torch.inference_mode()
    def evaluate() -> float:
        return sum(loss(x, y, "sum").item() for x, y in batches) / used

    points = race_clock.run(train_step, evaluate, seconds=seconds, every=every)
    return {"parameters": sum(p.numel() for p in model.parameters()), "scored": used, "points": points}
