#!/usr/bin/env python3
"""What `minrnn grade` says of the LSTM that thinc 9.1 publishes, beside what differences by hand say of it.

thinc has two: a compiled one for NumPy arrays (NumpyOps), and one in Python that its other backends inherit (Ops). Both
are wrapped as a submission of two functions, for which thinc_lstm.toml is the profile. No line of thinc is in this
folder: the Python functions are read from the installed package when the script runs, the compiled ones are imported.
Installed packages are out of reach inside the sandbox, so the compiled LSTM is graded with `--sandbox none`.

    python -m pip install "thinc<9.2"
    python scripts/grading/thinc_lstm.py [--keep FOLDER]

By hand: the gradient with respect to the sums that the gates are made of, at every step, by central differences of a
forward pass that is written out here. Whatever a backward pass returns is a sum of products of these and the inputs.

Exit codes: 0 the report finds the tensors that are wrong by hand, no more and no less, and the causes written here give
their numbers; 1 it does not; 2 thinc is not installed.
"""

import argparse
import importlib
import importlib.util
import inspect
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

PROFILE = Path(__file__).with_name("thinc_lstm.toml")
SINGLE = 1e-5  # relative: thinc computes in float32
T, N, D, H = 4, 3, 5, 7

FUNCTIONS = (
    *("lstm_forward_training", "backprop_lstm", "backprop_lstm_gates", "sigmoid", "dsigmoid", "dtanh"),
    *("_split_weights", "_transpose_weights", "_untranspose_unsplit_weights"),
)
PYTHON = """\
from typing import List, Tuple, cast

import numpy as np

Floats1d = Floats2d = Floats3d = Floats4d = Ints1d = ArrayT = object


def get_array_module(array):
    return np

"""
COMPILED = """\
import numpy as np
from thinc_compiled import ops
"""
MODULE = """\
import sys

sys.path.append({folder!r})
from thinc.backends import NumpyOps

ops = NumpyOps()
"""
ADAPTER = """

def lstm_forward(x, Wx, Wh, b):
    steps, rows, inputs = x.shape
    units = Wh.shape[1]
    params = np.concatenate([Wx.ravel(), b, Wh.ravel(), np.zeros(4 * units)]).astype("f")
    zeros, lengths = np.zeros((1, 1, units), "f"), np.full(steps, rows, "i")
    packed = x.reshape(steps * rows, inputs).astype("f")
    h, state = {prefix}lstm_forward_training(params, zeros, zeros, packed, lengths)
    return h.reshape(steps, rows, units), (params, lengths, state)


def lstm_backward(dh, cache):
    params, lengths, state = cache
    units, inputs = dh.shape[2], state[3].shape[1]
    dx, dparams = {prefix}backprop_lstm(dh.reshape(-1, units).astype("f"), lengths, params, state)
    dWx, db, dWh, _ = np.split(dparams, np.cumsum([4 * units * inputs, 4 * units, 4 * units * units]))
    return dx.reshape(len(lengths), -1, inputs), dWx.reshape(-1, inputs), dWh.reshape(-1, units), db
"""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Defect:
    """A cause in words, what thinc returned, and what it has to be if that is the cause."""

    text: str
    found: np.ndarray
    expected: np.ndarray


def definition(v: Arrays, nudge: np.ndarray | float = 0.0) -> np.ndarray:
    """The states h (T,N,H) of an LSTM that starts from zero; `nudge` (T,N,4H) is added to the sums of the gates."""
    h, c, states = np.zeros((N, H)), np.zeros((N, H)), []
    nudges = np.broadcast_to(nudge, (T, N, 4 * H))
    for t in range(T):
        f, i, o, g = np.split(v["x"][t] @ v["Wx"].T + h @ v["Wh"].T + v["b"] + nudges[t], 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.array(states)


def sigmoid(a: np.ndarray) -> np.ndarray:
    """The logistic function."""
    return 1 / (1 + np.exp(-a))


def sums_by_hand(v: Arrays, step: float = 1e-5) -> np.ndarray:
    """da (T,N,4H), the gradient of Σ dh h with respect to the sums of the gates, by central differences."""
    da = np.zeros((T, N, 4 * H))
    for k in range(da.size):
        nudge = np.zeros(da.shape)
        nudge.flat[k] = step
        da.flat[k] = np.sum(v["dh"] * (definition(v, nudge) - definition(v, -nudge))) / (2 * step)
    return da


def by_hand(v: Arrays, da: np.ndarray) -> Arrays:
    """All that the two functions should return."""
    h = definition(v)
    before = np.concatenate([np.zeros((1, N, H)), h[:-1]])
    return {"h": h, "dx": da @ v["Wx"], "dWx": outer(da, v["x"]), "dWh": outer(da, before), "db": da.sum((0, 1))}


def outer(da: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Σ over steps and batch of the products of two rows."""
    return np.einsum("tng,tnk->gk", da, rows)


def defects_of_compiled(v: Arrays, got: Arrays, da: np.ndarray) -> Iterator[Defect]:
    """The three mistakes of NumpyOps.backprop_lstm; together they are all that is wrong."""
    late = np.concatenate([np.zeros((1, N, 4 * H)), da[1:]])  # no gate gradient at t = 0
    yield Defect("dx has no term of t = 0, and is right elsewhere", got["dx"], late @ v["Wx"])
    yield Defect("dWx has no term of t = 0, and Wx is added to it", got["dWx"], outer(late, v["x"]) + v["Wx"])
    yield Defect("db has no term of t = 0, and b is added to it", got["db"], late.sum((0, 1)) + v["b"])
    text = "dWh has no term of t = 0, Wh is added to it, and h of step t stands in the place of that of t - 1"
    yield Defect(text, got["dWh"], outer(late, definition(v)) + v["Wh"])


def defects_of_python(v: Arrays, got: Arrays, da: np.ndarray) -> Iterator[Defect]:
    """The two mistakes of the functions that Ops has."""
    first = definition(v)
    first[:, 1:] = 0
    yield Defect("h is computed for the first sequence of the batch only, and zero for the others", got["h"], first)
    for name in ("dx", "dWx", "dWh", "db"):
        text = f"{name} is zero: the gradients of the gates are never stored where it is computed from"
        yield Defect(text, got[name], np.zeros(got[name].shape))


@dataclass(frozen=True)
class Published:
    """One of thinc's LSTMs: the submission, what grading it needs, what is wrong with it."""

    title: str
    file: str
    source: str
    options: tuple[str, ...]
    defects: Callable[[Arrays, Arrays, np.ndarray], Iterator[Defect]]


def published(folder: Path) -> list[Published]:
    """Both LSTMs of the installed thinc; what the compiled one imports is written into the folder."""
    base = importlib.import_module("thinc.backends.ops")
    site = Path(str(base.__file__)).parents[2]
    (folder / "thinc_compiled.py").write_text(MODULE.format(folder=str(site)), encoding="utf-8")
    (folder / "compiled.toml").write_text('[modules]\nallow = ["thinc_compiled"]\n', encoding="utf-8")
    functions = "\n\n".join(inspect.getsource(getattr(base, name)) for name in FUNCTIONS)
    compiled = ("--spec", str(folder / "compiled.toml"), "--sandbox", "none", "--timeout", "60")
    return [
        Published(
            "NumpyOps, compiled", "compiled.py", COMPILED + ADAPTER.format(prefix="ops."), compiled, defects_of_compiled
        ),
        Published("Ops, in Python", "python.py", PYTHON + functions + ADAPTER.format(prefix=""), (), defects_of_python),
    ]


def grade(file: Path, options: tuple[str, ...], *form: str) -> str:
    """The report of `minrnn grade` by the profile beside this script."""
    command = [sys.executable, "-m", "minrnn", "grade", str(file), "--profile", str(PROFILE), *options, *form]
    done = subprocess.run([*command, "--exit-zero"], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def imported(file: Path) -> ModuleType:
    """The submission as a module of this process."""
    spec = importlib.util.spec_from_file_location(f"submission_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answers(module: Any, v: Arrays) -> Arrays:
    """What a submission returns, by name."""
    h, cache = module.lstm_forward(v["x"], v["Wx"], v["Wh"], v["b"])
    gradients = module.lstm_backward(v["dh"], cache)
    return {"h": h} | dict(zip(("dx", "dWx", "dWh", "db"), gradients, strict=True))


def error(a: np.ndarray, b: np.ndarray) -> float:
    """‖a − b‖ / ‖b‖, or ‖a‖ where b is zero."""
    return float(np.linalg.norm(a - b) / (np.linalg.norm(b) or 1.0))


def inputs(seed: int = 0) -> Arrays:
    """Random inputs, in numbers that float32 has."""
    rng = np.random.default_rng(seed)
    shapes = {"x": (T, N, D), "Wx": (4 * H, D), "Wh": (4 * H, H), "b": (4 * H,), "dh": (T, N, H)}
    return {name: (rng.standard_normal(shape) / 2).astype("f").astype(float) for name, shape in shapes.items()}


def compared(one: Published, folder: Path) -> bool:
    """Grade one LSTM, print the report and what differences say; whether they agree."""
    file = folder / one.file
    file.write_text(one.source, encoding="utf-8")
    print(f"== thinc's {one.title} ==\n")
    print(grade(file, one.options, "--hints", "2"))
    document = json.loads(grade(file, one.options, "--format", "native"))
    reported = {o["name"] for f in document["functions"] for o in f["outputs"] if o["status"] != "correct"}
    v = inputs()
    got, da = answers(imported(file), v), sums_by_hand(v)
    wrong = {name for name, right in by_hand(v, da).items() if error(got[name], right) > SINGLE}
    print(f"wrong by hand: {', '.join(sorted(wrong)) or '-'}; in the report: {', '.join(sorted(reported)) or '-'}")
    causes = list(one.defects(v, got, da))
    for cause in causes:
        print(f"  {cause.text} (to {error(cause.found, cause.expected):.0e})")
    print()
    return reported == wrong and all(error(cause.found, cause.expected) <= SINGLE for cause in causes)


def main() -> int:
    """Compare both, and say whether the grader found what there is."""
    parser = argparse.ArgumentParser(description="What `minrnn grade` finds in thinc's LSTM, held against differences.")
    parser.add_argument("--keep", metavar="FOLDER", help="write the submissions there, and leave them")
    keep = parser.parse_args().keep
    if importlib.util.find_spec("thinc") is None:
        print('thinc is not installed: python -m pip install "thinc<9.2"', file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(keep or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        sys.path.append(str(folder))  # for thinc_compiled
        agreed = [compared(one, folder) for one in published(folder)]
    print(
        "the report finds what is wrong, and nothing else" if all(agreed) else "the report and the differences differ"
    )
    return 0 if all(agreed) else 1


if __name__ == "__main__":
    sys.exit(main())
