"""Submissions of every form: what is kept to be executed, what is said of it, and that nothing of it runs here."""

import json
import sys
import types
import zipfile

import numpy as np
import pytest

from minrnn.grading.loading.submission import Unreadable, load


@pytest.fixture
def loaded(tmp_path):
    """loaded(text or bytes, name="work.py", …) → Submission of a file."""

    def write(content, name="work.py", **arguments):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load(path, **arguments)

    return write


@pytest.fixture
def folder(tmp_path):
    """folder({name: text}) → path of a folder with these files."""

    def write(files):
        for name, text in files.items():
            (tmp_path / "hw" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "hw" / name).write_text(text)
        return tmp_path / "hw"

    return write


def notebook(*cells, version=4):
    if version == 4:
        return json.dumps({"nbformat": 4, "cells": [{"cell_type": kind, "source": text} for kind, text in cells]})
    cells = [{"cell_type": kind, "input" if kind == "code" else "source": text} for kind, text in cells]
    return json.dumps({"nbformat": 3, "worksheets": [{"cells": cells}]})


def run(submission, complete=True):
    """Execute the source as a sandbox would, its modules importable; the names it defines."""
    before = dict(sys.modules)
    hidden = {name.split(".")[0] for name in submission.modules} & (sys.stdlib_module_names | {"numpy"})
    assert not hidden, "the library would be imported in its place"
    try:
        for name in sorted(submission.modules):
            parts = name.split(".")
            for k in range(1, len(parts) + 1):
                sys.modules.setdefault(".".join(parts[:k]), types.ModuleType(".".join(parts[:k])))
        done = set()
        for _ in submission.modules:  # siblings that import each other are executed again
            for name, source in submission.modules.items():
                try:
                    exec(source, sys.modules[name].__dict__)
                    done.add(name)
                except (ImportError, ZeroDivisionError):
                    pass
        assert not complete or done == set(submission.modules)
        names = {}
        exec(submission.source, names)
        return names
    finally:
        for name in set(sys.modules) - set(before):
            del sys.modules[name]


def codes(notes):
    return [note.code for note in notes]


# What is kept


def test_nothing_runs_while_loading(loaded, tmp_path):
    trace = tmp_path / "trace"
    evil = f"open({str(trace)!r}, 'w').write('x')"
    loaded(
        f"{evil}\nx = {evil}\ndef f(a={evil}): pass\n@(lambda f: {evil})\ndef g(): pass\nclass C:\n    {evil}\n"
        f"if {evil}: pass\nassert {evil}\nf'{{{evil}}}'\n"
    )
    assert not trace.exists()


def test_definitions_and_constants_are_kept_and_the_rest_is_not(loaded):
    names = run(
        loaded(
            "import numpy as np\nfrom math import sqrt as root\nH = 100; lr = 1e-1\n"
            "A, B = (1, 2), [3]\nM = -H * 2 + 1\n"
            "data = open('input.txt').read()\nvocab = len(data)\nW = np.random.randn(H, vocab) * 0.01\n"
            "eps = np.finfo(np.float64).eps\nact = lambda x: np.tanh(x)\nOLD = H if H > 3 else {'a': np.pi}\n"
            "np.random.seed(0)\nprint('hello')\nwhile True: pass\nfor k in range(3): H += 1\nH += 5\ndel A\n"
            "assert False\nnp.seterr = 3\n"
        )
    )
    names.pop("__builtins__")
    assert set(names) == {"np", "root", "H", "lr", "A", "B", "M", "eps", "act", "OLD"}
    assert (names["H"], names["M"], names["OLD"]) == (100, -199, 100)


def test_lines_stay_where_they_were(loaded):
    text = (
        '"""Doc\nover lines."""\nprint(1)\n\nimport os, torch\nfrom collections import (\n    Counter,\n    deque,\n)\n'
        "x = 3; print(x); y = 4\n@staticmethod\ndef f(a):\n    # é\n    return (a,\n            b)\n\nopen('x')\n\n"
        "class C:\n    def g(self): return 1\n"
    )
    submission = loaded(text)
    lines, kept = text.split("\n"), submission.source.split("\n")
    assert len(kept) == len(lines)
    assert kept[:6] == ["", "", "", "", "import os", "from collections import Counter, deque"]
    assert kept[9] == "x = 3; y = 4"
    assert kept[10:15] == lines[10:15]
    assert kept[15:18] == ["", "", ""]
    assert (submission.functions["f"].line, submission.classes["C"]["g"].line) == (12, 20)


def test_choices_of_imports_are_kept(loaded):
    submission = loaded(
        "import sys\ntry:\n    import no_gpu as np\nexcept ImportError:\n    print('no GPU')\n"
        "    import numpy as np\n"
        "try:\n    xrange\nexcept NameError:\n    xrange = range\n"
        "if sys.version_info[0] >= 3:\n    unicode = str\nelse:\n    def unicode(x): return x\n"
        "if __name__ == '__main__':\n    z = 1\n"
        "    def inner(): return 1\n"
        "try:\n    w = train()\nexcept Exception:\n    w = 3\n"
    )
    names = run(submission)
    assert set(submission.functions) == {"unicode"}
    assert names["np"] is np
    assert (names["xrange"], names["unicode"]) == (range, str)
    assert "z" not in names
    assert "w" not in names


def test_what_a_definition_needs_and_is_not_there_costs_that_definition_alone(loaded):
    submission = loaded(
        "import torch.nn as nn\nimport torch\nSIZE = read_size()\n"
        "class Net(nn.Module):\n    pass\nclass Sub(Net):\n    pass\n"
        "def f(n=SIZE):\n    return n\ndef g(x):\n    return x\n"
        "class Shape:\n    top = torch.zeros(3)\n"
    )
    assert run(submission)["g"](3) == 3
    assert set(submission.functions) == {"g"}
    assert {name: (why.type, why.line, why.text) for name, why in submission.broken.items()} == {
        "Net": ("NameError", 4, "name 'nn' is not defined"),
        "Sub": ("NameError", 6, "name 'Net' is not defined"),
        "f": ("NameError", 8, "name 'SIZE' is not defined"),
        "Shape": ("NameError", 12, "name 'torch' is not defined"),
    }
    assert submission.dropped["nn"] == "torch.nn"


def test_annotations_and_decorators_of_what_is_not_there_are_blanked(loaded):
    submission = loaded(
        "import numpy as np\nfrom numba import njit\n@njit(\n  parallel=True)\n"
        "def f(x: List[\n    str],\n      y: np.ndarray = 3) -> Dict[\n        str, int]:\n    return x + y\n"
        "class Cell:\n    @njit\n    def g(self, other: Cell) -> Cell: return 5\n"
        "    @property\n    def h(self): return self._h\n    @h.setter\n    def h(self, v): self._h = v\n"
    )
    names = run(submission)
    assert names["f"](2) == 5
    assert names["f"].__annotations__ == {"y": np.ndarray}
    cell = names["Cell"]()
    cell.h = 4
    assert (cell.h, cell.g(0)) == (4, 5)
    assert "@h.setter" in submission.source
    assert submission.functions["f"].line == names["f"].__code__.co_firstlineno == 5


def test_a_later_definition_wins_and_is_reported(loaded):
    submission = loaded("def f(x):\n    pass\ndef f(x, y):\n    return x + y\ndef g(): return 1\n")
    assert submission.functions["f"].arguments == ["x", "y"]
    assert not submission.functions["f"].stub
    assert run(submission)["f"](1, 2) == 3
    assert [(note.code, note.message.split()[0]) for note in submission.notes] == [("defined-twice", "f")]


@pytest.mark.parametrize(
    ("text", "trains"),
    [
        ("while True:\n    p = f(p)\n", True),
        ("for k in range(3):\n    f(k)\n", True),
        ("params = model(data, 35000)\n", True),
        ("print(f(3))\nfor k in range(3):\n    print(k)\n", False),
        ("if __name__ == '__main__':\n    model(3)\n", False),
    ],
)
def test_training_at_the_top_level_is_reported(loaded, text, trains):
    submission = loaded(f"def f(x): return x\ndef model(x, n=1): return x\n{text}")
    assert ("trains-at-import" in codes(submission.notes)) == trains


# What is said of functions


def test_functions_are_described(loaded):
    submission = loaded(
        "import numpy as np\nK = 3\ndef step(x): return x\n"
        "def f(a, /, x, *rest, key=K, **more):\n    'Shapes (N, T, D).'\n    y = step(x) + K + Whh\n"
        "    z = [undefined for t in y]\n    def inner(q): return q + y + other\n    return np.tanh(z), inner, len(z)\n"
        "def g(x): pass\nh = f\nsq = lambda u, v: u + missing\n"
    )
    f = submission.functions["f"]
    assert f.arguments == ["a", "x", "*rest", "key", "**more"]
    assert (f.line, f.stub, f.docstring) == (4, False, "Shapes (N, T, D).")
    assert f.free_names == ["Whh", "other", "undefined"]
    assert f.uses == ["step"]
    assert submission.functions["g"].stub
    assert (submission.functions["h"].name, submission.functions["h"].arguments) == ("h", f.arguments)
    sq = submission.functions["sq"]
    assert (sq.arguments, sq.free_names, sq.stub) == (["u", "v"], ["missing"], False)


def test_globals_that_a_function_sets_are_not_free(loaded):
    text = "def f(x):\n    global seen\n    seen = x\n    return seen\n"
    assert loaded(text).functions["f"].free_names == []


def test_names_are_judged_by_the_whole_file(loaded):
    submission = loaded("def f(x): return later(x) + LATE\ndef later(x): return x\nLATE = 3\n")
    assert submission.functions["f"].free_names == []
    assert submission.functions["f"].uses == ["later"]


def test_names_from_a_star_are_known_where_they_can_be(loaded):
    text = "from numpy import *\nfrom math import *\ndef f(x): return tanh(x) + erf(x) + relu(x)\n"
    assert loaded(text).functions["f"].free_names == ["relu"]
    text = "from rnn_utils import *\ndef f(x): return sigmoid(x)\n"
    assert loaded(text).functions["f"].free_names == ["sigmoid"]
    assert loaded(text).dropped == {"*": "rnn_utils"}
    assert loaded(text, allow={"rnn_utils"}).functions["f"].free_names == []


def test_methods_are_described(loaded):
    cell = loaded(
        "class Cell:\n    def __init__(self, d): self.d = d\n    def forward(self, x):\n        pass\n"
    ).classes["Cell"]
    assert list(cell) == ["__init__", "forward"]
    assert cell["forward"].stub
    assert cell["__init__"].arguments == ["self", "d"]


# Imports


def test_imports_are_kept_dropped_and_reported(loaded):
    submission = loaded(
        "import numpy as np, torch\nimport matplotlib.pyplot as plt\nfrom tensorflow import keras\nimport copy\n"
        "from numpy import tanh\nimport antigravity\nfrom utils import softmax\nfrom __future__ import division\n"
        "def f(x):\n    import jax.numpy\n    return __import__('minrnn')\n"
    )
    assert submission.source.split("\n")[:8] == [
        "import numpy as np",
        "",
        "",
        "import copy",
        "from numpy import tanh",
        "",
        "",
        "",
    ]
    assert submission.forbidden == ["torch", "tensorflow", "jax.numpy", "minrnn"]
    assert submission.dropped == {
        "torch": "torch",
        "plt": "matplotlib.pyplot",
        "keras": "tensorflow",
        "antigravity": "antigravity",
        "softmax": "utils",
    }
    assert (
        codes(submission.notes) == ["forbidden-import", "missing-module", "forbidden-import"] + ["missing-module"] * 2
    )
    assert {"numpy", "copy", "utils"} <= set(submission.imports)


def test_a_relative_import_finds_no_library(folder):
    work = load(
        folder({"a.py": "from .math import sqrt\nfrom .b import g\ndef f(x):\n    return sqrt(x)", "b.py": "g = 1"})
    )
    assert work.dropped == {"sqrt": "math"} and "missing-module" in codes(work.notes)


def test_modules_that_are_provided_stay(loaded):
    submission = loaded("from rnn_utils import sigmoid\nimport activation\n", allow={"rnn_utils", "activation"})
    assert submission.source.strip() == "from rnn_utils import sigmoid\nimport activation"
    assert submission.notes == []


def test_helpers_of_python_2_and_scipy_have_stand_ins(loaded):
    names = run(
        loaded(
            "from past.builtins import xrange\nfrom six.moves import range\nimport six\n"
            "from scipy.special import expit, softmax, logsumexp\n"
        )
    )
    assert names["xrange"] is range
    assert list(names["six"].iteritems({1: 2})) == [(1, 2)]
    x = np.array([[1.0, 2, 3], [-800, 0, 800]])
    with np.errstate(over="raise"):
        np.testing.assert_allclose(names["expit"](x)[0], 1 / (1 + np.exp(-x[0])), rtol=1e-15)
        assert names["expit"](x)[1].tolist() == [0, 0.5, 1]
        np.testing.assert_allclose(names["softmax"](x, axis=1).sum(axis=1), 1, rtol=1e-15)
        np.testing.assert_allclose(names["softmax"](x, axis=1)[0], np.exp(x[0]) / np.exp(x[0]).sum(), rtol=1e-14)
        assert names["logsumexp"](x) == 800
        assert names["logsumexp"](x, axis=1).shape == (2,)
    assert loaded("from scipy import special\n").source.strip() == "import scipy.special as special"
    assert codes(loaded("from scipy import optimize\n").notes) == ["missing-module"]


# Encodings and repairs


ENCODED = "# naïve\nname = 'é'\ndef f(x):\n    return x\n"


@pytest.mark.parametrize(
    ("content", "noted"),
    [
        (ENCODED.encode(), False),
        (b"\xef\xbb\xbf" + ENCODED.encode(), False),
        (ENCODED.encode("utf-16"), False),
        (b"# -*- coding: cp1252 -*-\n" + ENCODED.encode("cp1252"), False),
        (ENCODED.encode("latin-1"), True),
        (b"# coding: no-such\n" + ENCODED.encode("latin-1"), True),
        (ENCODED.replace("\n", "\r\n").encode(), False),
        (ENCODED.replace("\n", "\r").encode(), False),
    ],
)
def test_encodings_and_line_ends(loaded, content, noted):
    submission = loaded(content)
    assert run(submission)["name"] == "é"
    assert ("encoding" in codes(submission.notes)) == noted
    assert set(submission.functions) == {"f"}


def test_tabs_are_eight_columns(loaded):
    text = "def f(x):\n        y = x\n\tif y:\n\t    y = '\t'\n        return y\n"
    assert run(loaded(text))["f"](1) == "\t"


@pytest.mark.parametrize("content", [b"\x7fELF\0\0\0", b"def f(x):\0 pass", b"x = 1" + b" " * 30_000])
def test_what_is_no_text_is_unreadable(loaded, content):
    with pytest.raises(Unreadable):
        loaded(content)


def test_python_2_is_repaired_and_noted(loaded):
    submission = loaded("def f(x):\n    print 'x'\n    return x\n")
    assert codes(submission.repairs) == ["python2-syntax"]
    assert run(submission)["f"](3) == 3


def test_a_broken_function_is_reported_and_the_rest_is_kept(loaded):
    submission = loaded("def f(x):\n    return x\ndef g(x:\n    return\ndef h(x):\n    return 2\n")
    assert set(submission.functions) == {"f", "h"}
    assert (submission.broken["g"].type, submission.broken["g"].line) == ("SyntaxError", 3)
    assert codes(submission.notes) == ["syntax-error"]
    assert "line 3" in submission.notes[0].message


def test_a_broken_first_attempt_is_no_fault_of_the_second(loaded):
    submission = loaded("def f(x:\n    return\ndef f(x):\n    return 2\n")
    assert submission.broken == {}
    assert run(submission)["f"](0) == 2


@pytest.mark.parametrize(
    "text",
    ["", "x = " + "1 + " * 4000 + "1\n", f"def f(x):\n    return {' + '.join('x' * 4000)}\n", "def f(" * 50],
    ids=["empty", "deep constant", "deep function", "broken"],
)
def test_strange_files_are_read_or_unreadable_and_nothing_else(loaded, text):
    try:
        loaded(text)
    except Unreadable as error:
        assert "simpler" in str(error)


# Notebooks


@pytest.mark.parametrize("version", [3, 4])
def test_a_notebook_is_its_code_cells(loaded, version):
    text = notebook(
        ("markdown", "def no(x): return 1"),
        ("code", ["def f(x):\n", "    return x"]),
        ("code", "x = 3\nmodel(x)\ndef g(x):\n    return f(x)"),
        version=version,
    )
    submission = loaded(text, "work.ipynb")
    assert submission.kind == "ipynb"
    assert set(submission.functions) == {"f", "g"}
    assert run(submission)["g"](5) == 5
    assert submission.cells_skipped == []
    assert [submission.place(line) for line in (1, 2, 3, 5)] == [
        "cell 1, line 1", "cell 1, line 2", "cell 2, line 1", "cell 2, line 3",
    ]  # fmt: skip
    assert submission.functions["g"].line == 5


def test_a_place_in_a_file_is_its_line(loaded):
    assert loaded("x = 1\n").place(12) == "line 12"


def test_magics_are_dropped_and_what_looks_like_them_is_not(loaded):
    text = notebook(
        (
            "code",
            "%matplotlib inline\n!pip install x\nfiles = !ls\nt = %time 3\n?np.dot\nnp.dot?\nA = 1",
        ),
        ("code", "%%bash\nrm -rf /\ndef no(): pass"),
        ("code", "%%time\ndef f(x):\n    !ls\n    return 'a %d' \\\n        % x"),
        ("code", "B = ('%s'\n% 3)\nC = '''\n%magic\n'''"),
        ("code", "%load_ext q\nD = ('%s'\n% 3)  # why?"),
    )
    submission = loaded(text, "work.ipynb")
    names = run(submission)
    assert names["f"](3) == "a 3"
    assert {key: names[key] for key in "ABCD"} == {"A": 1, "B": "3", "C": "\n%magic\n", "D": "3"}
    assert "no" not in names
    assert submission.cells_skipped == []
    assert submission.repairs == []


def test_a_broken_cell_costs_no_other_and_gives_what_it_can(loaded):
    text = notebook(
        ("code", "def f(x): return 1"),
        ("code", "def g(x): return 2\nNone = 3\ndef bad(:\n    pass"),
        ("code", "print 'x'\ndef h(x): return 3"),
    )
    submission = loaded(text, "work.ipynb")
    assert set(submission.functions) == {"f", "g", "h"}
    assert [skip["index"] for skip in submission.cells_skipped] == [1, 1]
    assert "SyntaxError" in submission.cells_skipped[0]["error"]
    assert submission.place(submission.broken["bad"].line) == "cell 1, line 3"
    found = [note.message for note in submission.notes if note.code == "syntax-error"]
    assert ["cell 1, line 2" in found[0], "cell 1, line 3" in found[1]] == [True, True]
    assert [(note.code, note.message[:6]) for note in submission.repairs] == [("python2-syntax", "Cell 2")]


def test_a_later_cell_wins(loaded):
    submission = loaded(notebook(("code", "def f(x): return 1"), ("code", "def f(x): return 2")), "work.ipynb")
    assert run(submission)["f"](0) == 2
    assert "defined-twice" in codes(submission.notes)


def test_a_future_import_in_a_later_cell_breaks_nothing(loaded):
    text = notebook(("code", "x = 1"), ("code", "from __future__ import division\ndef f(x): return x / 2"))
    assert run(loaded(text, "work.ipynb"))["f"](1) == 0.5


def test_outputs_are_not_trusted(loaded):
    document = json.loads(notebook(("code", "def f(x): return 1")))
    document["cells"][0]["outputs"] = [{"output_type": "stream", "text": "def g(x): return 'all tests passed'"}]
    assert set(loaded(json.dumps(document), "work.ipynb").functions) == {"f"}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "{}", '{"cells": 3}', '{"cells": [3]}', '{"cells": [{"source": "x"}]}', "[" * 100_000,
     '{"cells": [{"cell_type": "code", "source": 3}]}', '{"worksheets": [{}]}', '{"cells": {"a": 1}}'],
    ids=range(12),
)  # fmt: skip
def test_what_is_no_notebook_is_unreadable(loaded, text):
    with pytest.raises(Unreadable, match=r"work\.ipynb is no (JSON|notebook)"):
        loaded(text, "work.ipynb")


def test_a_notebook_of_endless_cells_is_unreadable(loaded):
    with pytest.raises(Unreadable, match="more than 2000 cells"):
        loaded(notebook(*[("code", "x = (1")] * 2001), "work.ipynb")


# Folders and zips


def test_the_file_with_most_of_what_is_asked_for_is_the_submission(folder):
    path = folder({"tools.py": "def a(): pass\ndef b(): pass\ndef c(): pass\n", "hw.py": "K = 1\ndef f(x): return K\n"})
    submission = load(path, wanted={"f", "g"})
    assert (submission.name, submission.kind) == ("hw", "dir")
    assert set(submission.functions) == {"f"}
    assert run(submission)["K"] == 1
    assert "K" not in run(load(path))


def test_what_is_asked_for_in_other_files_is_there_too(folder):
    path = folder(
        {
            "rnn_cell.py": "from activation import *\nclass RNNCell:\n    def forward(self, x): return act(x)\n",
            "gru-cell.py": "class GRUCell:\n    def forward(self, x): return 2\n",
            "random.py": "def sample(h): return 3\n",
            "activation.py": "def act(x): return x + 1\n",
            "broken.py": "def clip(:\n    pass\n",
        }
    )
    submission = load(path, wanted={"RNNCell", "GRUCell", "sample", "clip"})
    names = run(submission)
    assert (names["RNNCell"]().forward(1), names["GRUCell"]().forward(1), names["sample"](0)) == (2, 2, 3)
    assert set(submission.classes) == {"RNNCell", "GRUCell"}
    assert set(submission.functions) == {"sample"}
    assert set(submission.broken) == {"clip"}


def test_a_part_that_fails_to_load_costs_no_other(folder):
    path = folder({"a.py": "def f(x): return 1\ndef f2(x): return 1\n", "b.py": "class G:\n    x = 1 / 0\n"})
    submission = load(path)
    assert run(submission, complete=False)["f"](0) == 1
    assert submission.source.startswith("def f(x)")


def test_imports_of_siblings_are_found_in_every_form(folder):
    path = folder(
        {
            "cs231n/rnn_layers.py": "from .layers import *\nfrom . import layers as L, optim\n"
            "from cs231n.layers import relu\nimport cs231n.layers as M\nfrom layers import relu as r2\n"
            "def f(x): return relu(x) + L.relu(x) + M.relu(x) + r2(x) + optim.sgd(x)\ndef g(x): return 1\n",
            "cs231n/layers.py": "import numpy as np\nopen('no')\ndef relu(x): return x * 2\n",
            "cs231n/optim.py": "from .layers import relu\nfrom .nothing import x\ndef sgd(x): return relu(x)\n",
        }
    )
    submission = load(path, wanted={"f", "g"})
    assert run(submission)["f"](1) == 10
    assert submission.functions["f"].free_names == []
    assert submission.notes == []


def test_a_file_does_not_stand_for_another_of_its_name(folder):
    submission = load(folder({"layers.py": "from course.layers import relu\ndef f(x): return relu(x)\n"}))
    assert submission.modules == {}
    assert codes(submission.notes) == ["missing-module"]


def test_siblings_that_import_each_other_end(folder):
    path = folder(
        {"a.py": "from b import g\ndef f(x): return g(x)\ndef f2(): pass\n", "b.py": "import a\ndef g(x): return 7\n"}
    )
    submission = load(path, wanted={"f"})
    assert set(submission.modules) == {"a", "b"}
    assert run(submission)["f"](0) == 7


def test_a_sibling_is_not_taken_for_a_library(folder):
    path = folder({"hw.py": "import numpy as np\nimport random\nfrom numpy import linalg\ndef f(x): return 1\n",
                   "sub/numpy.py": "K = 1\n", "sub/random.py": "K = 1\n", "sub/linalg.py": "K = 1\n"})  # fmt: skip
    submission = load(path, wanted={"f"})
    assert submission.modules == {}
    assert run(submission)["np"] is np


def test_a_notebook_beside_a_file_is_read_too(folder):
    path = folder(
        {"a.py": "def f(x): return 1\ndef f2(x): return 1\n", "b.ipynb": notebook(("code", "def g(x): return 2"))}
    )
    assert run(load(path, wanted={"f", "f2", "g"}))["g"](0) == 2


def test_a_zip_is_a_folder(tmp_path):
    path = tmp_path / "work.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("hw/a.py", "from hw.b import g\ndef f(x): return g(x)\ndef f2(): pass\n")
        file.writestr("hw/b.py", "def g(x): return 4\n")
    submission = load(path, wanted={"f"})
    assert submission.kind == "zip"
    assert run(submission)["f"](0) == 4


def test_an_empty_folder_is_unreadable(folder):
    with pytest.raises(Unreadable, match=r"no \.py or \.ipynb"):
        load(folder({"readme.txt": "x"}))


def test_what_cannot_be_read_costs_nothing_beside_what_can(folder):
    work = load(folder({"a.py": "def f(x):\n    return x", "b.ipynb": "{", "c.py": "\0"}), wanted=["f"])
    assert list(work.functions) == ["f"]
    assert [note.message.split()[2] for note in work.notes if note.code == "file-skipped"] == ["b.ipynb", "c.py"]
    with pytest.raises(Unreadable, match="no JSON"):
        load(folder({"a.py": "\0", "b.ipynb": "{"}) / "b.ipynb")


def test_a_second_file_with_the_same_functions_is_noted(folder):
    work = load(folder({"a.py": "def f(x):\n    return x", "old.py": "def f(x):\n    return 2 * x"}), wanted=["f"])
    (note,) = [note.message for note in work.notes if note.code == "defined-twice"]
    assert note in ("old.py has f too; what was graded is a.py.", "a.py has f too; what was graded is old.py.")
    assert run(work)["f"](1) == (1 if note.endswith("a.py.") else 2)


def test_left_out_files_are_noted(folder):
    path = folder({"a.py": "def f(x): return 1\n"})
    (path / "b.py").symlink_to(path / "a.py")
    assert codes(load(path).notes) == ["file-skipped"]


# Places

PLACES = """import numpy as np

def step(dh, cache):
    if dh is None:
        return w, x
    x, w = cache
    da = dh * 2
    dx = da @ w.T
    dx *= 1
    grads = {"dW": x.T @ da, "db": da}
    grads["db"] = da.sum(0)

    def helper():
        dx = 0
        return dx

    np.add.at(x, 0,
              dh)
    return (dx, w,
            da.sum(0), -da)

class Cell:
    def backward(self, d):
        self.dW += d
        return d
"""


def test_a_returned_value_has_the_line_that_computes_it(loaded):
    work = loaded(PLACES)
    assert work.computed_at("step", "first", 0) == "line 9", "the last change, and not that of the function inside"
    assert work.computed_at("step", "second", 1) == "line 6"
    assert work.computed_at("step", "third", 2) == "line 20", "an expression stands in the return itself"
    assert work.computed_at("step", "dW", None) == "line 10"
    assert work.computed_at("step", "db", None) == "line 11"
    assert work.computed_at("step", "x", None) == "line 17"
    assert work.computed_at("step", "dV", None) is None
    assert work.computed_at("step", "fifth", 4) is None
    assert work.computed_at("other", "dx", 0) is None
    assert work.computed_at("Cell.backward", "dW", None) == "line 24"
    assert work.find("Cell.backward").line == 23 and work.find("step").line == 3 and work.find("Cell.forward") is None


def test_a_place_in_a_notebook_names_the_cell(loaded):
    cells = [("code", "import numpy as np"), ("markdown", "text"), ("code", "def f(x):\n    y = x\n    return y")]
    assert loaded(notebook(*cells), "work.ipynb").computed_at("f", "out", 0) == "cell 2, line 2"


def test_lines_of_other_files_are_not_given_out_as_the_submissions(folder):
    path = folder(
        {"a.py": "def f(x):\n    return x\ndef g(x):\n    return x\n", "b.py": "\n\n\ndef h(x):\n    return x"}
    )
    work = load(path, wanted=["f", "g", "h"])
    assert work.computed_at("f", "out", 0) == "line 2"
    assert work.computed_at("h", "out", 0) is None


def test_the_whole_file_is_executed_where_that_is_asked_for(loaded):
    text = "steps = []\n\ndef f(x):\n    return x\n\nsteps.append(f(1))\n"
    assert run(loaded(text))["steps"] == []
    work = loaded(text, whole=True)
    assert run(work)["steps"] == [1] and list(work.functions) == ["f"]
