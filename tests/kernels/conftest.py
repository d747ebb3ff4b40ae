"""The five recurrences as values of one type, so that a property is written once and holds for each of them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest

from minrnn import kernels as k


@dataclass(frozen=True)
class Cell:
    """A recurrence: its functions, and what its arguments are called and shaped."""

    name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    step_forward: Callable[..., Any]
    step_backward: Callable[..., Any]
    workspace: Callable[..., Any]
    gates: int
    states: tuple[str, ...] = ("h",)
    recurrent_bias: bool = False

    @property
    def state_names(self):
        return [f"{s}0" for s in self.states]

    @property
    def param_names(self):
        return ["Wx", "Wh", "b", "bhn"] if self.recurrent_bias else ["Wx", "Wh", "b"]

    @property
    def names(self):
        return ["x", *self.state_names, *self.param_names]

    @property
    def upstream_names(self):
        return ["dh", *(f"d{s}T" for s in self.states)]

    def shapes(self, T, B, D, H):
        """Name -> shape of every argument and every upstream."""
        G = self.gates
        state, params = (B, H), {"Wx": (D, G * H), "Wh": (H, G * H), "b": (G * H,), "bhn": (H,)}
        return {
            "x": (T, B, D),
            **dict.fromkeys(self.state_names, state),
            **{name: params[name] for name in self.param_names},
            "dh": (T, B, H),
            **{f"d{s}T": state for s in self.states},
        }

    def draw(self, rng, T, B, D, H, ids=False):
        """Arguments of the forward, in order: nothing is zero, neither the biases nor the initial state.

        Matrices are scaled by 1/√(rows): with ordinary weights a recurrence is not chaotic, and differences are exact
        to 1e-8.
        """
        shapes = self.shapes(T, B, D, H)
        args = [rng.standard_normal(shapes[name]) for name in self.names]
        args = [a / np.sqrt(len(a)) if name in ("Wx", "Wh") else a for name, a in zip(self.names, args, strict=True)]
        if ids:
            args[0] = rng.integers(0, D, (T, B))
        return args

    def draw_upstreams(self, rng, T, B, H):
        """One random upstream for every output, the final state included."""
        shapes = self.shapes(T, B, 1, H)
        return [rng.standard_normal(shapes[name]) for name in self.upstream_names]

    def run(self, args, upstreams, ws=None, out=None):
        """All outputs and all gradients by name, from one forward and one backward."""
        *outputs, cache = self.forward(*args, ws=ws)
        gradients = self.backward(*upstreams, cache, out=out)
        names = ["h", *(f"{s}T" for s in self.states), *(f"d{name}" for name in self.names)]
        return dict(zip(names, [*outputs, *gradients], strict=True))


CELLS = [
    Cell(
        "lstm",
        k.lstm_forward,
        k.lstm_backward,
        k.lstm_step_forward,
        k.lstm_step_backward,
        k.lstm_workspace,
        4,
        ("h", "c"),
    ),
    Cell(
        "gru",
        k.gru_forward,
        k.gru_backward,
        k.gru_step_forward,
        k.gru_step_backward,
        k.gru_workspace,
        3,
        recurrent_bias=True,
    ),
    Cell(
        "gru_before",
        k.gru_before_forward,
        k.gru_before_backward,
        k.gru_before_step_forward,
        k.gru_before_step_backward,
        k.gru_before_workspace,
        3,
    ),
    *(
        Cell(
            f"rnn_{f}",
            partial(k.rnn_forward, nonlinearity=f),
            k.rnn_backward,
            partial(k.rnn_step_forward, nonlinearity=f),
            k.rnn_step_backward,
            k.rnn_workspace,
            1,
        )
        for f in ("tanh", "relu")
    ),
]


@pytest.fixture(params=CELLS, ids=lambda cell: cell.name, scope="module")
def cell(request):
    return request.param


@pytest.fixture(scope="session")
def arrays_in():
    """arrays_in(value): every array inside tuples, lists and dictionaries, to any depth."""

    def walk(value):
        if isinstance(value, np.ndarray):
            return [value]
        if isinstance(value, dict):
            value = value.values()
        elif not isinstance(value, tuple | list):
            return []
        return [a for part in value for a in walk(part)]

    return walk
