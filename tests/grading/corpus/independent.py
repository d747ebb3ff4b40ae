"""Runs the programs of the corpus without the grader, and says what they should compute: minrnn.kernels, differences.

A `Course` knows how its functions are called (fresh arrays and a fresh cache each time), and how the right answers
follow from minrnn.kernels through its layout. Answers are {function: {tensor: array}}; a function that raises has the
exception in the place of its tensors.
"""

import contextlib
import io
import itertools
import sys
import types
from dataclasses import dataclass, field

import numpy as np

from minrnn import kernels

Arrays = dict[str, np.ndarray]
Answers = dict[str, Arrays | Exception]
EPS = 1e-5
SUPPLIED = """
import numpy as np
def sigmoid(x):
    return 1 / (1 + np.exp(-x))
def softmax(x):
    e = np.exp(x - np.max(x))
    return e / e.sum(axis=0)
class Tanh:
    pass
"""


def load(source: str) -> dict:
    """Execute a program, the modules that its course supplies beside it."""
    names = ("rnn_utils", "activation")
    for name in names:
        sys.modules[name] = types.ModuleType(name)
        exec(SUPPLIED, sys.modules[name].__dict__)
    namespace: dict = {"__name__": "submission"}
    try:
        exec(compile(source, "submission", "exec"), namespace)
    finally:
        for name in names:
            del sys.modules[name]
    return namespace


@dataclass(frozen=True)
class Pair:
    """A forward and its backward; `backward` is "" where the forward itself returns the gradients of its loss."""

    forward: str
    backward: str
    arguments: str  # names of inputs
    outputs: str
    upstreams: str  # names of inputs, one for each of the first outputs
    gradients: dict[str, str]  # name of the gradient: the input that it belongs to
    scale: dict[str, float] = field(default_factory=dict)  # of a gradient, where the course divides it


def called(function, *arguments):
    """Call with deep copies, nothing printed."""
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
        return function(*[_copied(argument) for argument in arguments])


def _copied(value):
    if isinstance(value, dict):
        return {key: item.copy() for key, item in value.items()}
    return value.copy() if isinstance(value, np.ndarray) else value


def named(names: str, values) -> Arrays:
    """Arrays by name; None stays None."""
    return {k: v if v is None else np.array(v, float) for k, v in zip(names.split(), values, strict=True)}


class Course:
    """How CS231n calls: outputs and a cache come back as a tuple, gradients as a tuple or alone."""

    pairs: tuple[Pair, ...] = ()

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.inputs = self.make()

    def normal(self, *shape: int) -> np.ndarray:
        return self.rng.normal(size=shape) * 0.6

    def make(self) -> dict:
        """The inputs and upstreams, by name."""
        raise NotImplementedError

    def expected(self) -> Answers:
        """What minrnn.kernels compute, in the layout of the course."""
        raise NotImplementedError

    def forward(self, program: dict, pair: Pair, inputs: dict) -> tuple[Arrays, object]:
        """The outputs and the cache."""
        *outputs, cache = called(program[pair.forward], *(inputs[name] for name in pair.arguments.split()))
        return named(pair.outputs, outputs), cache

    def backward(self, program: dict, pair: Pair, inputs: dict) -> Arrays:
        """The gradients, after a forward of its own."""
        _, cache = self.forward(program, pair, inputs)
        with contextlib.redirect_stdout(io.StringIO()):
            found = program[pair.backward](*(inputs[name].copy() for name in pair.upstreams.split()), cache)
        return named(" ".join(pair.gradients), found if isinstance(found, tuple) else (found,))

    def defines(self, program: dict, name: str) -> bool:
        """Whether the program has this function."""
        return name in program

    def answers(self, program: dict) -> Answers:
        """What a program computes."""
        found: Answers = {}
        for pair in self.pairs:
            if self.defines(program, pair.forward):
                found[pair.forward] = _safe(lambda p=pair: self.forward(program, p, self.inputs)[0])
            if pair.backward and self.defines(program, pair.backward):
                found[pair.backward] = _safe(lambda p=pair: self.backward(program, p, self.inputs))
        return found

    def differences(self, program: dict, pair: Pair) -> Arrays:
        """Gradients of the program's own forward, by central differences."""
        inputs = {name: _copied(value) for name, value in self.inputs.items()}

        def total() -> float:
            outputs, _ = self.forward(program, pair, inputs)
            if not pair.upstreams:
                return float(outputs["loss"])
            pairs = zip(outputs.values(), pair.upstreams.split(), strict=False)
            return sum(float(np.sum(value * inputs[name])) for value, name in pairs)

        found = {}
        for gradient, path in pair.gradients.items():
            value = inputs
            for key in path.split("."):
                value = value[key]
            slope = np.zeros(value.shape)
            for index in itertools.product(*map(range, value.shape)):
                old = value[index]
                value[index] = old + EPS
                up = total()
                value[index] = old - EPS
                slope[index] = (up - total()) / (2 * EPS)
                value[index] = old
            found[gradient] = slope * pair.scale.get(gradient, 1.0)
        return found


def _safe(call) -> Arrays | Exception:
    try:
        return call()
    except Exception as error:  # a student's program may raise anything
        return error


def difference(a: Arrays | Exception, b: Arrays | Exception) -> float:
    """The largest relative distance of two answers; inf where the shapes differ or one raises."""
    if isinstance(a, Exception) or isinstance(b, Exception):
        return 0.0 if type(a) is type(b) else np.inf
    worst = 0.0
    for name in a.keys() | b.keys():
        x, y = a.get(name), b.get(name)
        if x is None or y is None or x.shape != y.shape:
            worst = max(worst, 0.0 if x is None and y is None else np.inf)
            continue
        size = max(np.linalg.norm(x), np.linalg.norm(y), 1e-12)
        distance = np.linalg.norm(x - y) / size
        worst = max(worst, np.inf if np.isnan(distance) else distance)
    return worst


def _pair(stem: str, arguments: str, outputs: str, upstreams: str, gradients: str) -> Pair:
    wrt = dict(item.split(":") for item in gradients.split())
    return Pair(f"{stem}_forward", f"{stem}_backward", arguments, outputs, upstreams, wrt)


class CS231n(Course):
    """Assignment 3: (N, T, D), blocks i f o g."""

    pairs = (
        _pair("affine", "x4 w4 b4", "out", "dout4", "dx:x4 dw:w4 db:b4"),
        _pair("rnn_step", "x1 h0 Rx Rh rb", "next_h", "dh1", "dx:x1 dprev_h:h0 dWx:Rx dWh:Rh db:rb"),
        _pair("rnn", "x h0 Rx Rh rb", "h", "dh", "dx:x dh0:h0 dWx:Rx dWh:Rh db:rb"),
        _pair("word_embedding", "ids W", "out", "dout", "dW:W"),
        _pair(
            *("lstm_step", "x1 h0 c0 Lx Lh lb", "next_h next_c", "dh1 dc1"),
            "dx:x1 dprev_h:h0 dprev_c:c0 dWx:Lx dWh:Lh db:lb",
        ),
        _pair("lstm", "x h0 Lx Lh lb", "h", "dh", "dx:x dh0:h0 dWx:Lx dWh:Lh db:lb"),
        _pair("temporal_affine", "x w b", "out", "dout3", "dx:x dw:w db:b"),
        Pair("temporal_softmax_loss", "", "logits y mask", "loss dx", "", {"dx": "logits"}),
    )

    def make(self) -> dict:
        N, T, D, H, V, M = 3, 4, 5, 7, 6, 8
        n = self.normal
        return {
            **{"x4": n(N, 2, 3), "w4": n(6, M), "b4": n(M), "dout4": n(N, M)},
            **{"x1": n(N, D), "h0": n(N, H), "c0": n(N, H), "dh1": n(N, H), "dc1": n(N, H)},
            **{"x": n(N, T, D), "dh": n(N, T, H), "Rx": n(D, H), "Rh": n(H, H), "rb": n(H)},
            **{"Lx": n(D, 4 * H), "Lh": n(H, 4 * H), "lb": n(4 * H)},
            **{"ids": self.rng.integers(V, size=(N, T)), "W": n(V, D), "dout": n(N, T, D)},
            **{"w": n(D, M), "b": n(M), "dout3": n(N, T, M)},
            **{"logits": n(N, T, V), "y": self.rng.integers(V, size=(N, T)), "mask": self.rng.random((N, T)) < 0.7},
        }

    def forward(self, program: dict, pair: Pair, inputs: dict) -> tuple[Arrays, object]:
        if pair.backward:
            return super().forward(program, pair, inputs)
        return named(pair.outputs, called(program[pair.forward], *(inputs[k] for k in pair.arguments.split()))), None

    def expected(self) -> Answers:
        i = types.SimpleNamespace(**self.inputs)

        def swap(a):
            return a.swapaxes(0, 1)

        flat = i.x4.reshape(3, 6)
        h1, rnn1 = kernels.rnn_step_forward(i.x1, i.h0, i.Rx, i.Rh, i.rb)
        h, _, rnn = kernels.rnn_forward(swap(i.x), i.h0, i.Rx, i.Rh, i.rb)
        lh1, lc1, lstm1 = kernels.lstm_step_forward(i.x1, i.h0, i.c0, i.Lx, i.Lh, i.lb)
        lh, _, _, lstm = kernels.lstm_forward(swap(i.x), i.h0, np.zeros_like(i.h0), i.Lx, i.Lh, i.lb)
        dx, dh0, *weights = kernels.rnn_backward(swap(i.dh), None, rnn)
        ldx, ldh0, _, *lweights = kernels.lstm_backward(swap(i.dh), None, None, lstm)
        onehot = np.eye(len(i.W))[i.ids]
        loss, softmax = kernels.softmax_cross_entropy_forward(swap(i.logits), swap(i.y), swap(i.mask).astype(float))
        kept = i.mask.sum() / len(i.mask)  # the course: sum over time, mean over the batch
        by_pair = (
            ([flat @ i.w4 + i.b4], [(i.dout4 @ i.w4.T).reshape(i.x4.shape), flat.T @ i.dout4, i.dout4.sum(0)]),
            ([h1], kernels.rnn_step_backward(i.dh1, rnn1)),
            ([swap(h)], [swap(dx), dh0, *weights]),
            ([onehot @ i.W], [np.einsum("ntv,ntd->vd", onehot, i.dout)]),
            ([lh1, lc1], kernels.lstm_step_backward(i.dh1, i.dc1, lstm1)),
            ([swap(lh)], [swap(ldx), ldh0, *lweights]),
            ([i.x @ i.w + i.b], [i.dout3 @ i.w.T, np.einsum("ntd,ntm->dm", i.x, i.dout3), i.dout3.sum((0, 1))]),
            ([loss * kept, swap(kernels.softmax_cross_entropy_backward(kept, softmax)[0])], []),
        )
        return by_function(self.pairs, by_pair)


def by_function(pairs, values) -> Answers:
    """Answers from the outputs and the gradients of each pair."""
    found: Answers = {}
    for pair, (outputs, gradients) in zip(pairs, values, strict=True):
        found[pair.forward] = named(pair.outputs, outputs)
        if pair.backward:
            found[pair.backward] = named(" ".join(pair.gradients), gradients)
    return found
