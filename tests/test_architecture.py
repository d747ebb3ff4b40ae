"""The layers of the package, held by its imports: who may import whom, who may know NumPy, how large a file may grow.

The tables say what is allowed. Every module must be in LAYERS, so a new file has to be given its place; an upward or a
sideways import is a failure that names both ends. The checker itself is tested on sources written to break the rules.
"""

import ast
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "minrnn"

# Lowest first. A unit may import those in the lines above its own; those in one line do not import each other.
LAYERS = [
    ["minrnn.backend"],
    ["minrnn.kernels", "minrnn.cublas"],
    ["minrnn.gradcheck", "minrnn.optim", "minrnn.text"],
    ["minrnn.model"],
    ["minrnn"],  # the front door, minrnn/__init__.py
    ["minrnn.config", "minrnn.team", "minrnn.graphs"],
    ["minrnn.parallel"],
    ["minrnn.mpi"],
    ["minrnn.build", "minrnn.runs"],
    ["minrnn.evaluate", "minrnn.sample", "minrnn.train"],
    ["minrnn.fit"],
    ["minrnn.grading", "minrnn.inspect"],
    ["minrnn.cli"],
    ["minrnn.__main__"],
]

UNITS = {unit for line in LAYERS for unit in line}

# Units that may import less than the lines above them: only these, and their own modules.
ONLY = {
    "minrnn.gradcheck": set(),
    "minrnn.text": set(),
    "minrnn.optim": {"minrnn.backend"},
    "minrnn.grading": {"minrnn.backend", "minrnn.kernels", "minrnn.gradcheck"},
}

# Packages whose modules are to be read alone: inside them, only these may be imported (and by __init__ all).
SHARED_INSIDE = {"minrnn.kernels": {"minrnn.kernels.linear", "minrnn.kernels.shapes"}}

# Other people's libraries; a unit that is not listed may import the dependencies of the package.
LIBRARIES = {
    "minrnn.backend": {"numpy", "cupy"},
    "minrnn.kernels": set(),
    "minrnn.kernels.dropout": {"numpy"},
    "minrnn.cublas": {"numpy", "cuda"},
    "minrnn.graphs": {"numpy"},
    "minrnn.gradcheck": {"numpy"},
    "minrnn.optim": set(),
    "minrnn.text": {"numpy"},
    "minrnn.model": {"numpy", "safetensors"},
    "minrnn.team": {"numpy"},
    "minrnn.parallel": {"numpy", "threadpoolctl"},
    "minrnn.mpi": {"mpi4py"},
}

# What a kernel may name of NumPy: types, never a function, for arrays may be on a GPU.
NUMPY_NAMES_IN_KERNELS = {"minrnn.kernels.dropout": {"numpy.random.Generator", "numpy.float32"}}

MAX_LINES = 400
STANDARD_LIBRARY = sys.stdlib_module_names


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def longest_prefix(module, names):
    """The most specific of `names` that is the module or a package around it, or None."""
    around = [name for name in names if module == name or module.startswith(f"{name}.")]
    return max(around, key=len, default=None)


def layer_of(module):
    """(index, unit) of a module, or None where nobody gave it a place."""
    if module == "minrnn":
        unit = "minrnn"
    else:
        unit = longest_prefix(module, UNITS - {"minrnn"})
    return next(((k, unit) for k, line in enumerate(LAYERS) if unit in line), None)


def imported_modules(source, module, is_package):
    """Every module that the source imports: at the top, in functions, relative, or by import_module("…")."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".")[: len(module.split(".")) - node.level + is_package]
                base = ".".join([*package, base]).rstrip(".")
            for alias in node.names:
                submodule = f"{base}.{alias.name}"
                found.add(submodule if submodule in MODULES or submodule in UNITS else base)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                found.add(node.args[0].value)
    return found


def broken_rules(source, module, is_package=False):
    """One sentence for every import of the source that the tables forbid."""
    place = layer_of(module)
    if place is None:
        return [f"{module} has no place in the layers: add it to LAYERS in {Path(__file__).name}"]
    layer, unit = place
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    libraries = {d.split(">")[0].replace("-", "_") for d in dependencies}
    listed = longest_prefix(module, LIBRARIES)
    libraries = LIBRARIES[listed] if listed else libraries
    inside = longest_prefix(module, SHARED_INSIDE)

    problems = []
    for target in sorted(imported_modules(source, module, is_package)):
        root = target.split(".")[0]
        if root == "minrnn":
            problem = _broken_rule(module, layer, unit, inside, is_package, target)
        elif root in STANDARD_LIBRARY or root in libraries:
            problem = None
        else:
            problem = f"{module} imports {target}; it may import {sorted(libraries) or 'no library'}"
        if problem:
            problems.append(problem)
    return problems


def _broken_rule(module, layer, unit, inside, is_package, target):
    place = layer_of(target)
    if place is None:
        return f"{module} imports {target}, which has no place in the layers"
    target_layer, target_unit = place
    if target_unit == unit:
        if inside and not is_package and target not in SHARED_INSIDE[inside]:
            return f"{module} imports its sibling {target}; shared are only {sorted(SHARED_INSIDE[inside])}"
        return None
    if target_layer > layer:
        return f"{module} imports {target}, which is above it"
    if target_layer == layer:
        return f"{module} imports {target}, which is beside it"
    if unit in ONLY and target_unit not in ONLY[unit]:
        return f"{module} imports {target}; {unit} may import {sorted(ONLY[unit]) or 'nothing of minrnn'}"
    return None


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downward(module):
    path = MODULES[module]
    assert broken_rules(path.read_text(encoding="utf-8"), module, path.name == "__init__.py") == []


def test_every_layer_that_exists_was_looked_at():
    """The table is about real files: the units that everything stands on are found under their names."""
    assert {"minrnn.backend", "minrnn.kernels", "minrnn.kernels.lstm", "minrnn.gradcheck", "minrnn.model"} <= set(
        MODULES
    )
    assert [layer_of(m)[0] for m in ("minrnn.backend", "minrnn.kernels.gru", "minrnn.model.charrnn")] == [0, 1, 3]


FORBIDDEN = {
    "a kernel imports the trainer": ("minrnn.kernels.lstm", "from minrnn.train import Trainer"),
    "… as a module": ("minrnn.kernels.lstm", "import minrnn.train"),
    "… from the package": ("minrnn.kernels.lstm", "from minrnn import train"),
    "… inside a function": ("minrnn.kernels.lstm", "def f():\n    from minrnn import train\n"),
    "… for its types only": ("minrnn.kernels.lstm", "if TYPE_CHECKING:\n    from minrnn.train import Trainer"),
    "… by a relative import": ("minrnn.kernels.lstm", "from ..train import Trainer"),
    "… by a relative import of the module": ("minrnn.kernels.lstm", "from .. import train"),
    "… by name": ("minrnn.kernels.lstm", "importlib.import_module('minrnn.train')"),
    "… by a dunder": ("minrnn.kernels.lstm", "__import__('minrnn.train')"),
    "a kernel imports the front door": ("minrnn.kernels.lstm", "from minrnn import CharRNN"),
    "a kernel imports the gradient check": ("minrnn.kernels.lstm", "from minrnn import gradcheck"),
    "lstm imports gru": ("minrnn.kernels.lstm", "from minrnn.kernels.gru import gru_forward"),
    "lstm imports rnn by a relative import": ("minrnn.kernels.lstm", "from .rnn import rnn_forward"),
    "lstm imports its package": ("minrnn.kernels.lstm", "from minrnn.kernels import gru_forward"),
    "the shared kernel imports a cell": ("minrnn.kernels.linear", "from minrnn.kernels.lstm import lstm_forward"),
    "a kernel imports NumPy": ("minrnn.kernels.lstm", "import numpy as np"),
    "a kernel imports CuPy": ("minrnn.kernels.lstm", "import cupy"),
    "the backend imports a kernel": ("minrnn.backend", "from minrnn.kernels import linear"),
    "the gradient check imports a kernel": ("minrnn.gradcheck", "from minrnn.kernels import lstm_forward"),
    "the gradient check imports the backend": ("minrnn.gradcheck", "from minrnn.backend import Array"),
    "text imports a kernel": ("minrnn.text.ngram", "from minrnn import kernels"),
    "text imports the backend": ("minrnn.text.batches", "from minrnn import backend"),
    "an optimizer imports a kernel": ("minrnn.optim.adam", "from minrnn.kernels import softmax"),
    "an optimizer imports text": ("minrnn.optim.adam", "from minrnn.text import Batches"),
    "the model imports the trainer": ("minrnn.model.charrnn", "from minrnn.train import Trainer"),
    "the model imports the configuration": ("minrnn.model.charrnn", "from minrnn.config import Config"),
    "the trainer imports the command line": ("minrnn.train", "from minrnn.cli import progress"),
    "the trainer imports the evaluation beside it": ("minrnn.train", "from minrnn.evaluate import evaluate"),
    "grading imports the trainer": ("minrnn.grading.judging.judge", "from minrnn.train import Trainer"),
    "grading imports the model": ("minrnn.grading.judging.judge", "from minrnn import CharRNN"),
    "a dependency that is none": ("minrnn.train", "import torch"),
    "a plotting library at the top of a module": ("minrnn.fit", "import matplotlib.pyplot as plt"),
    "a file without a place": ("minrnn.helpers", "import math"),
    "an import of a file without a place": ("minrnn.cli.train", "import minrnn.helpers"),
}


@pytest.mark.parametrize("rule", FORBIDDEN)
def test_the_checker_sees(rule):
    module, source = FORBIDDEN[rule]
    assert len(broken_rules(source, module)) == 1


ALLOWED = {
    "minrnn.kernels.lstm": "from minrnn import backend\nfrom minrnn.kernels.linear import linear_forward\nimport math",
    "minrnn.kernels.dropout": "import numpy",
    "minrnn.model.charrnn": "from minrnn import backend, kernels\nimport numpy as np\nfrom . import parameters",
    "minrnn.train": "from minrnn import CharRNN\nfrom minrnn.optim import SGD\nfrom minrnn.text import Batches",
    "minrnn.cli.train": "from minrnn import __version__\nfrom minrnn.fit import Fit\nfrom tqdm import tqdm",
    "minrnn.grading.judging.judge": "from minrnn.gradcheck import check_gradients\nfrom minrnn import kernels",
}


@pytest.mark.parametrize("module", ALLOWED)
def test_the_checker_lets_pass_what_points_downward(module):
    assert broken_rules(ALLOWED[module], module) == []


def test_a_package_may_gather_its_modules():
    assert broken_rules("from minrnn.kernels.lstm import lstm_forward", "minrnn.kernels", is_package=True) == []
    assert broken_rules("from .lstm import lstm_forward", "minrnn.kernels", is_package=True) == []


# The kernels know no library.


def library_names(source):
    """Every dotted name that starts at np, numpy, cp or cupy, outside annotations, and the imports themselves."""
    tree = ast.parse(source)
    annotations = set()
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            part = getattr(node, field, None)
            if part is not None:
                annotations.update(id(n) for n in ast.walk(part))
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names = (
        ast.unparse(n)
        for n in ast.walk(tree)
        if isinstance(n, ast.Attribute | ast.Name) and id(n) not in inner | annotations
    )
    return {name for name in names if name.split(".")[0] in ("np", "numpy", "cp", "cupy")}


KERNELS = [module for module in MODULES if module.startswith("minrnn.kernels")]


@pytest.mark.parametrize("module", KERNELS)
def test_kernels_leave_the_library_to_the_backend(module):
    used = library_names(MODULES[module].read_text(encoding="utf-8"))
    assert used <= NUMPY_NAMES_IN_KERNELS.get(module, set()), "a kernel computes with bk.xp, or it cannot run on a GPU"


def test_a_library_call_in_a_kernel_is_seen():
    assert library_names("def f(x: np.ndarray, rng: numpy.random.Generator) -> np.ndarray:\n    return x") == set()
    assert library_names("def f(x):\n    return np.tanh(x)") == {"np.tanh"}
    assert library_names("def f(x):\n    return numpy.linalg.norm(x) + cupy.sum(x)") == {
        "numpy.linalg.norm",
        "cupy.sum",
    }
    assert library_names("f = np") == {"np"}


# Files that can be read.


@pytest.mark.parametrize("module", MODULES)
def test_files_stay_short(module):
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def undocumented(source, module):
    """Public modules, classes, functions and methods without a docstring."""
    tree = ast.parse(source)
    missing = [] if ast.get_docstring(tree) else [module]

    def look(node, name):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not child.name.startswith(
                "_"
            ):
                if not ast.get_docstring(child):
                    missing.append(f"{name}.{child.name}")
                if isinstance(child, ast.ClassDef):
                    look(child, f"{name}.{child.name}")

    look(tree, module)
    return missing


@pytest.mark.parametrize("module", MODULES)
def test_everything_public_is_documented(module):
    assert undocumented(MODULES[module].read_text(encoding="utf-8"), module) == []


def test_a_missing_docstring_is_seen():
    source = "class A:\n    def b(self): pass\n    def _c(self): pass\ndef d():\n    'Text.'\n    def e(): pass\n"
    assert undocumented(source, "m") == ["m", "m.A", "m.A.b"]
