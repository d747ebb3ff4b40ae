"""Repairs: each makes what it is for run, keeps every line in its place, and leaves mathematics alone."""

import io
import time
from contextlib import redirect_stdout

import numpy as np
import pytest

from minrnn.grading.loading.python2 import modernise
from minrnn.grading.loading.repair import fault_of, ladder, mend


def printed(text, **names):
    out = io.StringIO()
    with redirect_stdout(out):
        exec(text, {"np": np, **names})
    return out.getvalue()


PRINTS = {
    'print "a", 1': "a 1\n",
    'print "a",\nprint "b"': "a b\n",
    "print": "\n",
    'print "%d and %s" % (1, "x")': "1 and x\n",
    'print ("a %d") % 3': "a 3\n",
    'print("a")': "a\n",
    'print ("a", 1)[0]': "a\n",
    "print -1": "-1\n",
    "print [1, 2][0]": "1\n",
    "if 1: print 'a'; print 'b'": "a\nb\n",
    "for k in range(2): print k,": "0 1 ",
    "print 'a; b: c' ; print 2": "a; b: c\n2\n",
    "print 'x', # print 'y'\nprint 'z'": "x z\n",
    'print "a", (1 +\n   2)': "a 3\n",
    "print 'a' \\\n  'b'": "ab\n",
    "import sys\nprint >>sys.stdout, 'a', 2": "a 2\n",
    "import sys\nprint >>sys.stdout": "\n",
    "print '''a\nprint b'''": "a\nprint b\n",
    "print `1 + 2`": "3\n",
    "f = lambda: 3\nprint f()": "3\n",
    "print {1: 'a'}[1]": "a\n",
    "x = `lambda: 3`[:9]\nprint x": "<function\n",
}


@pytest.mark.parametrize("text", PRINTS)
def test_print_says_what_python_2_said(text):
    modern, _ = modernise(text)
    assert printed(modern) == PRINTS[text]
    assert modern.count("\n") == text.count("\n")


OTHERS = {
    "for k in xrange(2): print(k)": "0\n1\n",
    "print(unichr(97))": "a\n",
    "try:\n  1 / 0\nexcept ZeroDivisionError, e:\n  print(e)": "division by zero\n",
    "try:\n  1 / 0\nexcept (ValueError, ZeroDivisionError), e:\n  print(type(e).__name__)": "ZeroDivisionError\n",
    "try:\n  raise ValueError, 'no ' + 'way'\nexcept ValueError as e: print(e)": "no way\n",
    "print(1 <> 2)": "True\n",
    "print(10L)": "10\n",
    "for k, v in {1: 2}.iteritems(): print(k, v)": "1 2\n",
}


@pytest.mark.parametrize("text", OTHERS)
def test_python_2_runs(text):
    assert printed(modernise(text)[0]) == OTHERS[text]


@pytest.mark.parametrize(
    "text",
    [
        "print(x)\nprint(a, end='')\nprint = 3\nx.print(4)\nprint.y",
        "s = 'print x; xrange'  # print x\n'''\nprint y\n'''",
        "except_ = 1\nraise_, y = 2, 3\nprinted = x",
        "try:\n  pass\nexcept (A, B) as e:\n  raise ValueError(e, 1)",
        "print(\n  a,\n  b)",
        "def f(print): return print",
    ],
)
def test_python_3_is_left_as_it_is(text):
    assert modernise(text) == (text, [])


def test_what_was_repaired_is_said_with_its_line():
    _, changes = modernise("x = 1\n\nfor i in xrange(3):\n    print i\n")
    assert changes == ["xrange (line 3)", "print statement (line 4)"]


def test_a_file_that_parses_is_not_touched():
    text = "def f(x):\n    return x / 2\n"
    mended = mend(text)
    assert (mended.text, mended.repairs, mended.errors) == (text, [], [])


def test_a_python_2_file_is_repaired_whole():
    mended = mend("def f(x):\n    print 'x'\n    return x\n")
    assert mended.text == "def f(x):\n    print('x')\n    return x\n"
    assert [note.code for note in mended.repairs] == ["python2-syntax"]
    assert "print statement (line 2)" in mended.repairs[0].message


BROKEN = {
    "a colon is missing": "def bad(x)\n    return x\n",
    "a bracket is open": "def bad(x):\n    return (x\n",
    "a bracket too many": "def bad(x):\n    return x)\n",
    "a string is open": "def bad(x):\n    return 'x\n",
    "a docstring is open": "def bad(x):\n    '''Doc.\n    return x\n",
    "indentation": "def bad(x):\n    y = x\n   return y\n",
    "half a line": "def bad(x):\n    y = x +\n    return y\n",
    "refused by the compiler alone": "def bad(x, x):\n    return x\n",
    "nested too deeply": f"def bad(x):\n    return {'(' * 500}x{')' * 500}\n",
    "an endless sum of signs": f"def bad(x):\n    return {'-' * 15000}x\n",
}


@pytest.mark.parametrize("fault", BROKEN)
def test_one_broken_function_costs_no_other(fault):
    before, after = "import os\ndef first(x):\n    return 1\n", "def last(x):\n    print 'py2'\n    return 2\nK = 3\n"
    mended = mend(before + BROKEN[fault] + after)
    assert mended.text.count("\n") == (before + BROKEN[fault] + after).count("\n")
    found = {}
    exec(mended.text, found)
    assert (found["first"](0), found["last"](0), found["K"]) == (1, 2, 3)
    assert "bad" not in found
    assert list(mended.broken) == ["bad"]
    error = mended.broken["bad"]
    assert error.type in ("SyntaxError", "IndentationError")
    assert 4 <= error.line <= 4 + BROKEN[fault].count("\n")
    assert "line" not in error.text  # it would count from the start of the piece
    assert (
        mended.repairs[0].message
        == f"Python 2 was repaired: print statement (line {5 + BROKEN[fault].count(chr(10))})."
    )


def test_decorators_and_branches_stay_with_their_statement():
    text = "@property\n# why\ndef f(x):\n    return 1\nif f:\n    y = 1\nelse:\n    y = 2\ndef bad(:\n    pass\n"
    found = {}
    exec(mend(text).text, found)
    assert isinstance(found["f"], property)
    assert found["y"] == 1


def test_a_broken_decorator_costs_itself():
    mended = mend("@static(\ndef f(x):\n    return x\n")
    assert mended.text == "\ndef f(x):\n    return x\n"
    assert [error.line for error in mended.errors] == [1]


def test_a_future_import_after_a_broken_piece_is_no_fault_of_the_grader():
    mended = mend("def bad(:\n    pass\nx = 1\nfrom __future__ import division\ny = 2\n")
    assert [node.lineno for node in mended.tree.body] == [3, 4, 5]


@pytest.mark.parametrize(
    "text",
    [
        "'''" * 30_000 + "\\",
        "lambda:" * 20_000,
        "print " * 20_000,
        "(" * 30_000,
        "def f(:\n" * 5_000,
        "`" * 30_000,
        "#" * 200_000,
    ],
    ids=lambda text: text[:8].strip(),
)
def test_hostile_texts_take_no_time(text):
    start = time.process_time()
    mend(text)
    assert time.process_time() - start < 5  # a tenth of that as it is; minutes where a step is quadratic


def climb(source):
    return [(note.code if note else None, text) for text, note in ladder(source)]


def test_a_source_without_faults_has_one_rung():
    source = "import numpy as np\ndef f(x):\n    return np.exp(x) / np.sum(np.exp(x))\n"
    assert climb(source) == [(None, source)]


def test_rungs_come_in_order_and_add_up():
    source = (
        "import numpy as np\nimport lib2to3.pgen2\n"
        "def f(x):\n    for t in xrange(x.shape[0] / 2):\n        y = np.zeros(t, dtype=np.float)\n    return y\n"
    )
    rungs = climb(source)
    codes = [None, "python2-syntax", "python2-division", "removed-numpy-api", "missing-module"]
    assert [code for code, _ in rungs] == codes
    found = {}
    exec(rungs[-1][1], found)
    assert found["f"](np.ones(6)).shape == (2,)
    assert all(text.count("\n") == source.count("\n") for _, text in rungs)


SIZES = {
    "x[: H / 2]": "x[: H // 2]",
    "x[:, H / 2]": "x[:, H // 2]",
    "x[N / 2, 1 : H / 4 * 2]": "x[N // 2, 1 : H // 4 * 2]",
    "x[-(H / 2) :]": "x[-(H // 2) :]",
    "range(N / 2)": "range(N // 2)",
    "np.zeros((N, H / 4))": "np.zeros((N, H // 4))",
    "np.zeros(shape=(N, H / 4))": "np.zeros(shape=(N, H // 4))",
    "x.reshape(N, H / 2, 2)": "x.reshape(N, H // 2, 2)",
    "np.split(x / 2, H / 4, axis=1)": "np.split(x / 2, H // 4, axis=1)",
    "np.random.randn(H / 4, N)": "np.random.randn(H // 4, N)",
    "(H) / (4), x[(H) / # a / b\n (4)]": "(H) / (4), x[(H) // # a / b\n (4)]",
    "x[(H # a / b\n ) / 4]": "x[(H # a / b\n ) // 4]",
    "'é/é', x[H / 2]": "'é/é', x[H // 2]",
}


@pytest.mark.parametrize("text", SIZES)
def test_divisions_of_sizes_are_whole(text):
    assert climb(f"def f(x, N, H):\n  return ({text})\n")[1] == (
        "python2-division",
        f"def f(x, N, H):\n  return ({SIZES[text]})\n",
    )


NAMES = {
    "H = x.shape[1] / 4\n  return x[:, :H]": "H = x.shape[1] // 4\n  return x[:, :H]",
    "N, H = 3, x.shape[1] / 4\n  return x[:, :H]": "N, H = 3, x.shape[1] // 4\n  return x[:, :H]",
    "H = x.shape[1]\n  H /= 4\n  return np.zeros(H)": "H = x.shape[1]\n  H //= 4\n  return np.zeros(H)",
    "n = len(x) / 2\n  m = n + 1\n  return range(m)": "n = len(x) // 2\n  m = n + 1\n  return range(m)",
}


@pytest.mark.parametrize("text", NAMES)
def test_divisions_reach_sizes_through_names(text):
    assert climb(f"def f(x):\n  {text}\n")[1][1] == f"def f(x):\n  {NAMES[text]}\n"


@pytest.mark.parametrize(
    "text",
    [
        "x / N",
        "np.zeros(N) / N",
        "x[N] / x[0]",
        "x[np.argmax(p / N)]",
        "np.arange(0, 1, 1 / N)",
        "np.full((N, 2), 1 / N)",
        "np.random.choice(range(N), p=p / N)",
        "x[:, t] - dout / N",
        "lambda a: a / N",
    ],
)
def test_no_formula_is_touched(text):
    assert (
        len(
            climb(f"def f(x, N, p, t, dout):\n  p = np.exp(x) / np.sum(x)\n  ix = p.argmax()\n  return x[ix], {text}\n")
        )
        == 1
    )


def test_removed_names_are_replaced_under_every_alias():
    source = (
        "import numpy as np, numpy\ndef f(x):\n  return np.float(x), numpy.int(x), x.float, np.Inf, np.float32(x)\n"
    )
    code, text = climb(source)[1]
    assert code == "removed-numpy-api"
    assert text.splitlines()[2] == "  return float(x), int(x), x.float, np.inf, np.float32(x)"
    assert "numpy.inf" in climb("import numpy\nx = numpy.Inf\n")[1][1]


def test_every_replacement_exists_in_numpy():
    from minrnn.grading.loading.repair import REMOVED

    for new in REMOVED.values():
        eval(new, {"np": np})


def test_a_list_of_index_arrays_is_a_tuple_again():
    source = (
        "import numpy as np\ndef f(a, i, j, v):\n  np.add.at(a, [i, j], v)\n  np.add.at(a, [i, j,], v)\n  return a\n"
    )
    code, text = climb(source)[1]
    assert code == "removed-numpy-api"
    found = {}
    exec(text, found)
    assert found["f"](np.zeros((2, 2)), np.array([0, 0]), np.array([1, 1]), 1.0).tolist() == [[0, 4], [0, 0]]


def test_a_list_of_numbers_is_an_index_and_stays():
    assert len(climb("import numpy as np\nnp.add.at(a, [0, 1], v)\n")) == 1


def test_only_unused_imports_are_dropped():
    source = "from lib import a\nimport numpy as np; import x.y\nfrom z import *\ndef f():\n  import q\n  return np\n"
    code, text = climb(source)[-1]
    assert code == "missing-module"
    assert text == "pass\nimport numpy as np; pass\nfrom z import *\ndef f():\n  import q\n  return np\n"


def test_an_unused_import_on_several_lines_keeps_them():
    code, text = climb("from lib import (a,\n  b)\nx = 1\n")[1]
    assert (code, text) == ("missing-module", "pass\n\nx = 1\n")


def test_the_ladder_takes_text_that_does_not_parse():
    assert [code for code, _ in climb("print 'a'\nx = )\n")] == [None, "python2-syntax"]


def raised_by(source):
    try:
        exec(source, {"np": np})
    except Exception as error:
        return type(error).__name__, str(error)


FAULTS = {
    "range(4 / 2)": "python2-division",
    "np.zeros(4 / 2)": "python2-division",
    "[1, 2][: 2 / 2]": "python2-division",
    "xrange(3)": "python2-syntax",
    "{}.iteritems()": "python2-syntax",
    "print ('a %d') % 3": "python2-syntax",
    "np.float(3)": "removed-numpy-api",
    "np.array([[1], [1, 2]])": "ragged-array",
    "import no_such_module": "missing-module",
    "from math import no_such_name": "missing-module",
    "undefined": None,
    "np.ones(3) @ np.ones(4)": None,
    "np.ones(3)[1.5]": None,
    "[1] * 1.5": None,
    "None + 1": None,
    "int('x')": None,
}


@pytest.mark.parametrize("source", FAULTS)
@pytest.mark.filterwarnings("ignore")
def test_faults_of_the_environment_are_told_from_others(source):
    assert fault_of(*raised_by(source)) == FAULTS[source]
