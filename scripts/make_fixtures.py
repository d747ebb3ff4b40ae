"""Write tests/fixtures: numbers computed by PyTorch that the tests compare minrnn with.

    pip install torch numpy
    python scripts/make_fixtures.py

The committed files were made with PyTorch 2.13.0 (CPU). The tests read the files alone and need no PyTorch.
Everything is float64, random with a fixed seed, and small (under 400 KB in all). minrnn is not imported: this is
PyTorch's opinion in PyTorch's layout, gate order and names. d + name is the gradient of name.

optimizers.json
    start (N,), grads (50, N), lr_factors (50,), and `cases`, each with name, rule (class in torch.optim),
    options (its keyword arguments), lr, and params (50, N): the parameters after every step. Step t was made
    with the rate lr · lr_factors[t].

clip.json
    `norm`: cases with name, max_norm, grads (a list of arrays), norm (what clip_grad_norm_ returned), clipped.
    `value`: the same with limit instead of max_norm, and without norm.

kernels.npz, keys "{cell}/{T}x{B}x{D}x{H}/{name}" with cell one of rnn_tanh, rnn_relu, lstm, gru
    A single-layer nn.RNN, nn.LSTM or nn.GRU, time-major.

    Inputs:     x (T,B,D); h0, c0 (B,H);
                weight_ih_l0 (G·H,D), weight_hh_l0 (G·H,H), bias_ih_l0 (G·H,), bias_hh_l0 (G·H,)
    Outputs:    y (T,B,H); hT, cT (B,H)
    Upstream:   dy (T,B,H); dhT, dcT (B,H)
    Gradients:  dx, dh0, dc0, dweight_ih_l0, dweight_hh_l0, dbias_ih_l0, dbias_hh_l0

    G is 1, 4 (i f g o) or 3 (r z n). c0, cT, dcT and dc0 exist for the LSTM alone.

stack.npz, keys "{cell}/{name}" with cell one of rnn_tanh, lstm, gru
    nn.Embedding -> two layers -> nn.Linear -> cross-entropy, the mean over positions whose target is not -100.

    Inputs:     ids, targets (T,B) integer; h0, c0 (2,B,H); encoder.weight (V,E);
                rnn.weight_ih_l0 … rnn.bias_hh_l1; decoder.weight (V,H), decoder.bias (V,)
    Outputs:    logits (T,B,V); loss (); hT, cT (2,B,H)
    Gradients:  of the loss, d + name for h0, c0 and every parameter ("dencoder.weight", "drnn.bias_hh_l1")
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
from torch import nn

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "fixtures"
SEED = 20240607
STEPS = 50
IGNORED = -100

CELLS = {
    "rnn_tanh": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="tanh", **options),
    "rnn_relu": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
    "lstm": nn.LSTM,
    "gru": nn.GRU,
}

# ε is large in some cases, so that its place (inside or outside the root, corrected or not) shows in every
# digit.
OPTIMIZER_CASES = [
    ("sgd", "SGD", 0.1, {}),
    ("sgd_l2", "SGD", 0.1, {"weight_decay": 0.1}),
    ("momentum", "SGD", 0.05, {"momentum": 0.9}),
    ("nesterov", "SGD", 0.05, {"momentum": 0.9, "nesterov": True}),
    ("dampening", "SGD", 0.05, {"momentum": 0.9, "dampening": 0.3}),
    ("momentum_l2", "SGD", 0.05, {"momentum": 0.8, "weight_decay": 0.1}),
    ("adagrad", "Adagrad", 0.1, {}),
    ("adagrad_options", "Adagrad", 0.1, {"lr_decay": 0.1, "initial_accumulator_value": 0.2, "eps": 0.05}),
    ("adagrad_l2", "Adagrad", 0.1, {"weight_decay": 0.1}),
    ("rmsprop", "RMSprop", 0.02, {"alpha": 0.95}),
    ("rmsprop_eps", "RMSprop", 0.02, {"alpha": 0.9, "eps": 0.05}),
    ("rmsprop_momentum", "RMSprop", 0.01, {"alpha": 0.9, "momentum": 0.9, "eps": 0.01}),
    ("rmsprop_centered", "RMSprop", 0.02, {"alpha": 0.9, "centered": True, "eps": 0.01}),
    (
        "rmsprop_everything",
        "RMSprop",
        0.01,
        {"alpha": 0.9, "centered": True, "momentum": 0.8, "weight_decay": 0.1, "eps": 0.01},
    ),
    ("adam", "Adam", 0.02, {}),
    ("adam_eps", "Adam", 0.02, {"betas": (0.8, 0.95), "eps": 0.05}),
    ("adam_l2", "Adam", 0.02, {"weight_decay": 0.1}),
    ("amsgrad", "Adam", 0.02, {"betas": (0.9, 0.8), "eps": 0.01, "amsgrad": True}),
    ("adamw", "AdamW", 0.02, {"weight_decay": 0.3}),
    ("adamw_amsgrad", "AdamW", 0.02, {"betas": (0.9, 0.8), "weight_decay": 0.3, "amsgrad": True}),
]


def optimizers() -> dict:
    """Trajectories of every rule on the same gradients, whose size differs by entry and changes with time."""
    scale = torch.tensor([1.0, 0.1, 1e-3, 1e-6, 10.0])
    wave = torch.tensor([10.0 ** math.sin(t / 8) for t in range(STEPS)])
    start = torch.randn(len(scale))
    grads = torch.randn(STEPS, len(scale)) * scale * wave[:, None]
    grads[10:40, 1] = 0.0  # a parameter that gets no gradient for a while
    factors = [min(1.0, (t + 1) / 8) * (0.3 if 20 <= t < 30 else 1.0) for t in range(STEPS)]
    cases = []
    for name, rule, lr, options in OPTIMIZER_CASES:
        params = start.clone().requires_grad_()
        optimizer = getattr(torch.optim, rule)([params], lr=lr, foreach=False, **options)
        trajectory = []
        for t in range(STEPS):
            optimizer.param_groups[0]["lr"] = lr * factors[t]
            params.grad = grads[t].clone()
            optimizer.step()
            trajectory.append(params.tolist())
        cases.append({"name": name, "rule": rule, "options": options, "lr": lr, "params": trajectory})
    return {"start": start.tolist(), "grads": grads.tolist(), "lr_factors": factors, "cases": cases}


def clipping() -> dict:
    """Clipping by norm far from and within 1e-6 of the threshold, and by value."""
    shapes = [(2, 3), (4,), (1, 2, 2)]
    norm_cases, value_cases = [], []
    for name, size, beyond in [
        ("far_below", 1.0, 5.0),
        ("far_above", 1.0, -2.5),
        ("large_gradient", 1e6, -1e6),
        ("just_below_and_scaled", 1.0, 5e-7),  # norm = max_norm - 5e-7: the 1e-6 still scales it
        ("just_below_and_kept", 1.0, 2e-6),
        ("equal", 1.0, 0.0),
        ("just_above", 1.0, -5e-7),
    ]:
        grads = [torch.randn(shape) * size for shape in shapes]
        max_norm = max(0.25, math.sqrt(sum(float((g * g).sum()) for g in grads)) + beyond)
        clipped = [nn.Parameter(torch.zeros(shape)) for shape in shapes]
        for parameter, g in zip(clipped, grads, strict=True):
            parameter.grad = g.clone()
        norm = nn.utils.clip_grad_norm_(clipped, max_norm)
        norm_cases.append(
            {
                "name": name,
                "max_norm": max_norm,
                "grads": [g.tolist() for g in grads],
                "norm": float(norm),
                "clipped": [p.grad.tolist() for p in clipped],
            }
        )
        nn.utils.clip_grad_value_(clipped, 0.3)
        value_cases.append(
            {
                "name": name,
                "limit": 0.3,
                "grads": norm_cases[-1]["clipped"],
                "clipped": [p.grad.tolist() for p in clipped],
            }
        )
    return {"norm": norm_cases, "value": value_cases}


def state_pair(cell: str, h: torch.Tensor, c: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """The recurrent state as the module takes it."""
    return (h, c) if cell == "lstm" else h


def gradients(objective: torch.Tensor, of: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The gradient of `objective` by every tensor of `of`, under d + name."""
    names = list(of)
    found = torch.autograd.grad(objective, [of[name] for name in names])
    return {f"d{name}": g for name, g in zip(names, found, strict=True)}


def kernel(cell: str, T: int, B: int, D: int, H: int) -> dict[str, torch.Tensor]:
    """One layer of `cell` on random numbers: inputs, outputs, upstream gradients, gradients."""
    module = CELLS[cell](D, H)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.6)
    inputs = {"x": torch.randn(T, B, D), "h0": torch.randn(B, H), "c0": torch.randn(B, H)}
    if cell != "lstm":
        del inputs["c0"]
    for value in inputs.values():
        value.requires_grad_()
    inputs.update(module.named_parameters())

    y, state = module(inputs["x"], state_pair(cell, inputs["h0"][None], inputs.get("c0", inputs["h0"])[None]))
    hT, cT = state if cell == "lstm" else (state, None)
    outputs = {"y": y, "hT": hT[0]} | ({"cT": cT[0]} if cell == "lstm" else {})
    upstream = {f"d{name}": torch.randn_like(value) for name, value in outputs.items()}
    objective = sum((outputs[name] * upstream[f"d{name}"]).sum() for name in outputs)
    return inputs | outputs | upstream | gradients(objective, inputs)


def stack(cell: str, T: int = 6, B: int = 3, V: int = 9, E: int = 5, H: int = 4) -> dict[str, torch.Tensor]:
    """Embedding, two layers of `cell`, decoder and masked cross-entropy: inputs, outputs, gradients."""
    model = nn.ModuleDict({"encoder": nn.Embedding(V, E), "rnn": CELLS[cell](E, H, num_layers=2)})
    model["decoder"] = nn.Linear(H, V)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.6)
    ids, targets = torch.randint(V, (T, B)), torch.randint(V, (T, B))
    targets.view(-1)[1::4] = IGNORED
    inputs = {"h0": torch.randn(2, B, H), "c0": torch.randn(2, B, H)}
    if cell != "lstm":
        del inputs["c0"]
    for value in inputs.values():
        value.requires_grad_()
    inputs.update(model.named_parameters())

    embedded = model["encoder"](ids)
    y, state = model["rnn"](embedded, state_pair(cell, inputs["h0"], inputs.get("c0", inputs["h0"])))
    hT, cT = state if cell == "lstm" else (state, None)
    logits = model["decoder"](y)
    loss = nn.functional.cross_entropy(logits.reshape(T * B, V), targets.reshape(T * B), ignore_index=IGNORED)
    outputs = {"logits": logits, "loss": loss, "hT": hT} | ({"cT": cT} if cell == "lstm" else {})
    return {"ids": ids, "targets": targets} | inputs | outputs | gradients(loss, inputs)


def save_arrays(name: str, groups: dict[str, dict[str, torch.Tensor]]) -> None:
    """Write one .npz with the keys group/name."""
    arrays = {f"{g}/{k}": np.array(v.detach().numpy(), order="C") for g, t in groups.items() for k, v in t.items()}
    np.savez(FOLDER / name, **arrays)


def save_json(name: str, content: dict) -> None:
    """Write one .json; repr of a float keeps all its digits."""
    text = json.dumps({"torch": torch.__version__, **content}, separators=(",", ":"))
    (FOLDER / name).write_text(text.replace('{"name"', '\n{"name"') + "\n", encoding="utf-8")


def main() -> None:
    """Write all files; each topic starts from the seed, so that one can change without the others."""
    torch.set_default_dtype(torch.float64)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, make in (("optimizers.json", optimizers), ("clip.json", clipping)):
        torch.manual_seed(SEED)
        save_json(name, make())
    torch.manual_seed(SEED)
    sizes = [(5, 2, 3, 4), (7, 3, 5, 6)]
    save_arrays("kernels.npz", {f"{c}/{'x'.join(map(str, s))}": kernel(c, *s) for c in CELLS for s in sizes})
    torch.manual_seed(SEED)
    save_arrays("stack.npz", {c: stack(c) for c in ("rnn_tanh", "lstm", "gru")})


if __name__ == "__main__":
    main()
