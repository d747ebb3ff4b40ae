"""What an import of a submission leads to: a library that is here, a file beside it, ready-made gradients, nothing.

What it is: the allow-list, and small stand-ins for what old homework imports of Python-2 helpers and SciPy.
What it is not: a guard. A refused import is left out and reported; what keeps hostile code in is the sandbox.
"""

import ast
import sys
from collections.abc import Collection, Iterator, Mapping

# Libraries that differentiate, or bring the cells that were to be written.
FORBIDDEN = {
    *("torch", "tensorflow", "keras", "tf_keras", "jax", "flax", "haiku", "autograd", "theano", "mxnet", "chainer"),
    *("paddle", "tinygrad", "mindspore", "caffe2", "cntk", "pytorch_lightning", "minrnn"),
}
# Modules of the standard library that open windows, pages or games when they are imported.
_UNWANTED = {"antigravity", "this", "idlelib", "turtle", "turtledemo", "tkinter"}

_EXPIT = """
def expit(x):
    e = np.exp(-np.abs(x))
    return np.where(np.asarray(x) >= 0, 1 / (1 + e), e / (1 + e))
"""
_SOFTMAX = """
def logsumexp(a, axis=None, keepdims=False):
    top = np.max(a, axis=axis, keepdims=True)
    total = np.log(np.sum(np.exp(a - top), axis=axis, keepdims=True)) + top
    return total if keepdims else np.squeeze(total, axis=axis)[()]

def log_softmax(x, axis=None):
    return x - logsumexp(x, axis=axis, keepdims=True)

def softmax(x, axis=None):
    return np.exp(log_softmax(x, axis=axis))
"""
_PYTHON2 = "xrange = range\nunicode = str\nbasestring = str\nlong = int\nraw_input = input\nunichr = chr\n"
_SIX = "def iteritems(d):\n    return iter(d.items())\n\ndef itervalues(d):\n    return iter(d.values())\n"

# Stand-ins by the name under which they are imported; a package is made of the dots by whoever loads them.
SHIMS = {
    "past.builtins": _PYTHON2 + "range, map, zip, filter = range, map, zip, filter\n",
    "six.moves": _PYTHON2 + "range, map, zip, filter = range, map, zip, filter\n",
    "six": _SIX,
    "scipy.special": "import numpy as np\n" + _EXPIT + _SOFTMAX,
}


def is_here(module: str, allow: Collection[str] = ()) -> bool:
    """Return whether a module can be imported where submissions run: NumPy, most of the standard library, `allow`."""
    root = module.split(".", maxsplit=1)[0]
    if root in allow or module in allow or module in SHIMS:
        return True
    return root not in FORBIDDEN and (root == "numpy" or root in sys.stdlib_module_names - _UNWANTED)


def is_forbidden(module: str) -> bool:
    """Return whether a module brings ready-made gradients."""
    return module.split(".", maxsplit=1)[0] in FORBIDDEN


def imported(tree: ast.AST) -> list[str]:
    """Every module that is imported anywhere in the tree, also by `__import__("…")`, in order and each once."""
    return list(dict.fromkeys(_imported(tree)))


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.args[0].value


def sibling(module: str, paths: Mapping[str, str]) -> str | None:
    """Return the file that a module's name means: the same path, else one that ends so, else one with the last name.

    A module of the standard library is meant only by its very path.

    Args:
        module: name with dots, without those of a relative import.
        paths: files by their path with dots, such as "hw3.rnn_layers".
    """
    if not module or module.split(".", maxsplit=1)[0] == "numpy":
        return None
    last = module.rsplit(".", maxsplit=1)[-1]
    for fits in (
        lambda path: path == module,
        lambda path: path.endswith("." + module),
        lambda path: path.split(".")[-1] == last,
    ):
        found = sorted((path for path in paths if fits(path)), key=lambda path: (path.count("."), path))
        if found:
            return paths[found[0]]
        if module.split(".", maxsplit=1)[0] in sys.stdlib_module_names:
            return None
    return None
