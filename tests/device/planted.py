"""Plants one mistake at a time: the package is imported anew, in memory, with one file edited."""

import importlib
import importlib.util
import sys
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path

import fakecupy
import numpy as np

import minrnn

PACKAGE = Path(minrnn.__file__).parent


def faults(file):
    """The lines of a list of faults: file, old text, new text, what is said."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [line.split(" :: ") for line in lines if line and not line.startswith("#")]


class Edited(SourceFileLoader):
    """Imports a file with one edit, and with the name `np`."""

    def __init__(self, name, path, old, new):
        super().__init__(name, path)
        self.edit = old, new

    def get_code(self, fullname):
        source, (old, new) = Path(self.path).read_text(encoding="utf-8"), self.edit
        assert source.count(old) == 1, f"{old!r} occurs {source.count(old)} times in {self.path}"
        return compile(source.replace(old, new), self.path, "exec")

    def exec_module(self, module):
        module.np = np
        super().exec_module(module)


class Finder:
    """Finds the one module that is edited."""

    def __init__(self, loader):
        self.loader = loader

    def find_spec(self, name, path=None, target=None):
        if name != self.loader.name:
            return None
        return importlib.util.spec_from_file_location(name, self.loader.path, loader=self.loader)


@contextmanager
def package(file=None, old="", new=""):
    """`import minrnn` gives a package of its own inside the block, with one file edited."""
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "minrnn"}
    path = list(sys.meta_path)
    if file:
        name = "minrnn." + file.removesuffix(".py").replace("/", ".")
        sys.meta_path.insert(0, Finder(Edited(name, str(PACKAGE / file), old, new)))
    try:
        importlib.import_module("minrnn.backend").register("fakecupy", lambda: fakecupy)
        yield
    finally:
        sys.meta_path[:] = path
        for name in [name for name in sys.modules if name.split(".")[0] == "minrnn"]:
            del sys.modules[name]
        sys.modules.update(before)


def trainer(cell, T, device):
    """Everything that an update has, in the package that is imported now."""
    from minrnn import CharRNN
    from minrnn.optim import Adam, Constant
    from minrnn.text import FixedLength, StreamBatches, streams
    from minrnn.train import Trainer

    model = CharRNN(40, hidden_size=3, cell=cell, dropout=0.2, device=device)
    ids = (np.arange(2 * 40) % 40).astype("uint8")
    batches = StreamBatches(streams(ids, 2), FixedLength(T))
    return Trainer(model, batches, Adam(0.01), Constant(0.01), clip_norm=0.1, clip_value=0.01)
