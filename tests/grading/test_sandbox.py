"""The child that runs a submission: what goes in, comes out, is kept and is reported; and the jail around it.

Hostile submissions are in test_attacks.py, forged frames in test_protocol.py.
"""

import math
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from minrnn.grading.sandbox import LAYERS, Child, Handle, Limits, Malformed, SandboxError, jail, probe
from minrnn.grading.sandbox import child as parent
from minrnn.grading.sandbox import clocks as clocks_module
from minrnn.grading.sandbox import process as process_module
from minrnn.grading.sandbox import server as server_module
from minrnn.grading.sandbox.clocks import BUSY_S, Clocks

linux = pytest.mark.skipif(sys.platform != "linux", reason="a layer of Linux")

SOURCE = """\
import numpy as np

counter = 0

def step(x, prev_h, W):
    global counter
    counter += 1
    print("step", counter)
    next_h = np.tanh(x @ W + prev_h)
    return next_h, (x, next_h, W)

def step_backward(dnext_h, cache):
    x, h, W = cache
    dnext_h *= 1 - h * h
    return dnext_h @ W.T, dnext_h, x.T @ dnext_h

def forward(x, h0, W):
    caches, h = [], h0
    for x_t in x:
        h, cache = step(x_t, h, W)
        caches.append(cache)
    return h, caches

def backward(dh, caches):
    for cache in reversed(caches):
        dx, dh, dW = step_backward(dh, cache)
    return dx, dh, dW

def numeric_backward(x, h0, W):
    return sum(forward(x, h0, W)[0].sum() for _ in range(6))

def popping(cache):
    return cache.pop()

def fails(x):
    y = x + 1
    return undefined + y

class Cell:
    bias = 1.0
    def __init__(self, size):
        self.W = np.zeros((size, size))
    def forward(self, x):
        return x @ self.W + self.bias

def draw(n):
    return np.random.rand(n), [int(np.random.choice(9)) for _ in range(3)]
"""


@pytest.fixture(scope="module")
def process():
    """One process for the tests that leave it alive."""
    with Child(Limits(cpu_s=60, wall_s=300)) as child:
        yield child


@pytest.fixture
def child(process):
    assert process.load(SOURCE).ok
    return process


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return rng.standard_normal((3, 4)), rng.standard_normal((3, 4)), rng.standard_normal((4, 4))


def define(child, source):
    reply = child.load("import numpy as np\n" + source)
    assert reply.ok, reply


# Calls


def test_a_call_gives_exactly_what_the_function_gives(child, arrays):
    x, h, W = arrays
    reply = child.call("step", (x, h, W), keep=(1,))
    assert (reply.status, reply.exception, reply.mutated) == ("ok", None, ())
    assert np.array_equal(reply.value[0], np.tanh(x @ W + h))
    assert isinstance(reply.value[1], Handle)
    assert reply.value[1].kind == "tuple"
    assert 0 < reply.seconds < 5


def test_a_kept_cache_is_the_same_object_when_it_comes_back(child):
    define(child, "def make():\n    c = [1]\n    return 0, c\ndef use(c):\n    c.append(2)\n    return len(c)")
    cache = child.call("make", keep=(1,)).value[1]
    assert [child.call("use", (cache,)).value for _ in range(3)] == [2, 3, 4]


def test_nothing_kept_is_sent_and_none_stays_visible(child):
    define(child, "def f():\n    return np.ones(2), None, [np.ones(3)] * 1000")
    value = child.call("f", keep=(1, 2)).value
    assert value[1] is None
    assert isinstance(value[2], Handle)


def test_every_call_gets_fresh_arrays(child, arrays):
    """A grader that sends the same memory twice fails honest files that work in place."""
    d = np.ones((3, 4))
    cache = child.call("step", arrays, keep=(1,)).value[1]
    first, second = (child.call("step_backward", (d, cache)) for _ in range(2))
    assert first.mutated == second.mutated == ("0",)
    for a, b in zip(first.value, second.value, strict=True):
        assert np.array_equal(a, b)
    assert np.array_equal(d, np.ones((3, 4)))


def test_changed_arguments_are_named_by_their_paths(child):
    define(
        child,
        "def f(x, params, ids, keep, *, config):\n"
        "    x += 1; params['Wax'][0, 0] = 5; params['ba'] = params['ba'] * 1; ids.append(1)\n"
        "    config['state'] = 1; keep = keep * 2",
    )
    params = {"Wax": np.zeros((2, 2)), "ba": np.zeros(2), "by": np.full(2, np.nan)}
    reply = child.call("f", (np.zeros(2), params, [1, 2], np.ones(2)), {"config": {"lr": 0.1}})
    assert reply.mutated == ("0", "1.Wax", "2", "config")


def test_a_change_of_shape_or_dtype_alone_is_a_change(child):
    define(child, "def f(x, y):\n    x.shape = (4, 1)\n    y.dtype = np.int64")
    assert child.call("f", (np.zeros(4), np.zeros(2))).mutated == ("0", "1")


def test_values_of_every_kind_come_back_plain(child):
    define(
        child,
        "class Own(np.ndarray): pass\n"
        "def f():\n"
        "    return {'half': np.zeros(2, np.float16), 'sub': np.ones(2).view(Own), 'strided': np.arange(6)[::2],\n"
        "            'loss': np.float64(2.5), 'id': np.int32(3), 'flag': np.bool_(True), 'u': np.uint8([255]),\n"
        "            'big': np.arange(2, dtype='>f8'), 'matrix': np.matrix([[1.0]])}",
    )
    value = child.call("f").value
    assert {k: (type(v), v.dtype.str) for k, v in value.items() if isinstance(v, np.ndarray)} == {
        "half": (np.ndarray, "<f4"),
        "sub": (np.ndarray, "<f8"),
        "strided": (np.ndarray, "<i8"),
        "u": (np.ndarray, "<i4"),
        "big": (np.ndarray, "<f8"),
        "matrix": (np.ndarray, "<f8"),
    }
    assert [value[k].tolist() for k in ("strided", "u", "big")] == [[0, 2, 4], [255], [0.0, 1.0]]
    assert [(type(value[k]), value[k]) for k in ("loss", "id", "flag")] == [(float, 2.5), (int, 3), (bool, True)]


def test_what_cannot_be_sent_is_named_by_its_type(child):
    define(child, "def f():\n    return np.array([None]), 1j, {1: 2}, (lambda: 0), object, np.zeros(2, complex)")
    value = child.call("f").value
    assert all(isinstance(v, Handle) for v in value)
    assert [v.kind for v in value] == [
        "ndarray of dtype object", "complex", "dict", "function", "type", "ndarray of dtype complex128",
    ]  # fmt: skip


def test_a_result_too_large_for_a_frame_is_malformed_and_the_child_goes_on(child):
    define(
        child,
        "def f():\n    return [np.zeros(1)] * 65\ndef g():\n    return np.zeros((1,) * 5)\ndef ok():\n    return 1",
    )
    assert child.call("f").status == "malformed"
    assert "65 arrays" in child.call("f").exception.text
    assert child.call("g").status == "malformed"
    assert child.call("ok").value == 1


def test_a_list_that_contains_itself_ends(child):
    define(child, "def f():\n    a = []\n    a.append(a)\n    return a")
    assert child.call("f").status in ("ok", "malformed")


def test_an_exception_has_type_line_and_text(child):
    reply = child.call("fails", (1,))
    assert reply.status == "exception"
    assert (reply.exception.type, reply.exception.line) == (
        "NameError",
        SOURCE[: SOURCE.index("undefined")].count("\n") + 1,
    )
    assert reply.exception.text == "name 'undefined' is not defined"


def test_the_line_of_an_exception_inside_numpy_is_the_line_of_the_submission(child):
    define(child, "def f(x):\n\n    return np.linalg.inv(x)\n")
    assert child.call("f", (np.zeros((2, 2)),)).exception.line == 4


def test_a_syntax_error_has_its_line(child):
    reply = child.load("a = 1\n\nprint 'two'\n")
    assert (reply.status, reply.exception.type, reply.exception.line) == ("exception", "SyntaxError", 3)


def test_a_missing_name_is_a_name_error(child):
    reply = child.call("lstm_forward", ())
    assert (reply.exception.type, reply.exception.line) == ("NameError", None)


def test_wrong_arguments_are_the_exception_of_the_call(child):
    assert child.call("step", ()).exception.type == "TypeError"


@pytest.mark.parametrize("text", ["'x' * 100000", "'\\x1b[2J\\x07red'", "'\\ud800'"])
def test_the_text_of_an_exception_is_bounded_and_harmless(child, text):
    define(child, f"def f():\n    raise ValueError({text})")
    shown = child.call("f").exception.text
    assert len(shown) <= 2048
    assert "\x1b" not in shown
    assert shown.encode("utf-8")


def test_an_exception_whose_text_raises_is_still_reported(child):
    define(child, "class E(Exception):\n    def __str__(self): raise SystemExit\ndef f():\n    raise E")
    assert child.call("f").exception.type == "E"


def test_sys_exit_ends_the_call_only(child):
    define(child, "import sys\ndef f():\n    sys.exit(0)\ndef g():\n    return 1")
    reply = child.call("f")
    assert (reply.status, reply.exception.type, reply.exception.line) == ("process-exit", "SystemExit", 4)
    assert child.call("g").value == 1


def test_printed_text_is_kept_for_its_call_without_control_characters(child):
    define(child, "import sys\ndef f(s):\n    print(s)\n    print('err', file=sys.stderr)\n    return 0")
    assert child.call("f", ("one\x1b[31m\x00",)).stdout_tail == "one[31m\nerr\n"
    assert child.call("f", ("two",)).stdout_tail == "two\nerr\n"
    assert child.call("f", ("x" * 5000 + "end",)).stdout_tail.endswith("xend\nerr\n")
    assert len(child.call("f", ("x" * 5000,)).stdout_tail) <= 2048


def test_warnings_are_not_output(child):
    define(child, "def f():\n    return np.log(np.zeros(1)) / 0")
    assert child.call("f").stdout_tail == ""


def test_calls_of_the_functions_are_counted(child, arrays):
    x, h, W = arrays
    reply = child.call("numeric_backward", (x[None].repeat(5, 0), h, W))
    assert reply.forward_calls == {"numeric_backward": 1, "forward": 6, "step": 30}


def test_a_seed_makes_draws_repeatable(child):
    first, again, other = (child.call("draw", (4,), seed=s).value for s in (1, 1, 2))
    assert np.array_equal(first[0], again[0])
    assert first[1] == again[1]
    assert not np.array_equal(first[0], other[0])
    np.random.seed(1)
    assert np.array_equal(first[0], np.random.rand(4))


def test_arguments_that_cannot_be_sent_are_the_callers_error_and_cost_nothing(child):
    with pytest.raises(Malformed):
        child.call("step", (object(),))
    assert child.call("draw", (1,)).ok


# Objects, globals, modules


def test_a_class_is_made_used_and_changed(child):
    cell = child.call("new:Cell", (2,)).value
    assert cell.kind == "Cell"
    assert child.set(cell, "W", np.eye(2) * 3).ok
    assert child.call(f"{cell.id}.forward", (np.ones((1, 2)),)).value.tolist() == [[4, 4]]
    assert child.get(cell, "W").value.tolist() == [[3, 0], [0, 3]]
    assert child.get(cell, "W.shape").value == (2, 2)
    assert child.get(cell, "missing").exception.type == "AttributeError"


def test_two_instances_have_their_own_attributes(child):
    a, b = (child.call("new:Cell", (2,)).value for _ in range(2))
    child.set(a, "bias", 5.0)
    assert [child.get(c, "bias").value for c in (a, b)] == [5.0, 1.0]


def test_a_put_tree_shows_what_was_done_to_it(child):
    define(child, "def optimize(p):\n    p['W'] -= 1\n    return None")
    kept = child.put({"W": np.ones(2)}).value
    assert child.call("optimize", (kept,)).value is None
    assert child.get(kept).value["W"].tolist() == [0, 0]


def test_globals_can_be_set(child):
    define(child, "def loss():\n    return Wxh.sum() + hidden_size")
    assert child.call("loss").exception.type == "NameError"
    child.set_globals({"Wxh": np.ones((2, 3)), "hidden_size": 4})
    assert child.call("loss").value == 10


def test_modules_that_are_sent_can_be_imported_and_only_those(child):
    source = "from utils import *\nimport cs231n.layers as L\ndef f():\n    return sigmoid(0), L.two"
    reply = child.load(source, {"utils": "def sigmoid(x):\n    return 7\n", "cs231n.layers": "two = 2\n"})
    assert reply.ok, reply
    assert child.call("f").value == (7, 2)
    assert child.load("import utils").exception.type == "ModuleNotFoundError"


@pytest.mark.parametrize("name", ["torch", "minrnn", "pytest", "matplotlib", "no_such_module"])
def test_installed_packages_other_than_numpy_are_not_there(child, name):
    reply = child.load(f"import {name}")
    assert (reply.exception.type, reply.exception.text) == ("ModuleNotFoundError", f"No module named {name!r}")


def test_the_standard_library_and_all_of_numpy_are_there(child):
    names = (
        "copy, math, random, collections, itertools, functools, json, hashlib, typing, dataclasses, unittest, decimal"
    )
    reply = child.load(
        f"import {names}, numpy.testing, numpy.random, numpy.polynomial, numpy.ma, numpy.fft\nimport csv, bz2"
    )
    assert reply.ok, reply


def test_loading_again_starts_from_nothing(child):
    define(child, "a = 1\ndef f():\n    return a")
    define(child, "def g():\n    return a")
    assert child.call("f").exception.type == "NameError"
    assert child.call("g").exception.type == "NameError"


# Batches


def test_a_batch_gives_what_single_calls_give_in_order(child, arrays):
    x, h, W = arrays
    items = [(x + k, h, W) for k in range(300)]
    replies = child.call_many("step", items, keep=(1,))
    assert len(replies) == 300
    for k in (0, 127, 128, 299):
        assert np.array_equal(replies[k].value[0], np.tanh((x + k) @ W + h))
        assert replies[k].value[1] is None


def test_one_failure_in_a_batch_is_one_failure(child):
    define(child, "def f(n):\n    return 1 // n")
    replies = child.call_many("f", [(1,), (0,), (2,)])
    assert [r.status for r in replies] == ["ok", "exception", "ok"]
    assert replies[1].exception.type == "ZeroDivisionError"


def test_printing_in_a_batch_is_no_flood(child):
    define(child, "def f(n):\n    print('x' * 10000)\n    return n")
    assert [r.value for r in child.call_many("f", [(k,) for k in range(50)])] == list(range(50))


def test_a_child_that_dies_in_a_batch_answers_for_all_of_it():
    with Child() as child:
        define(child, "import os\ndef f(n):\n    if n == 200: os._exit(3)\n    return n")
        statuses = [r.status for r in child.call_many("f", [(k,) for k in range(300)])]
    assert statuses == ["ok"] * 128 + ["process-exit"] * 172


def test_an_empty_batch(child):
    assert child.call_many("step", []) == []


# Replaced functions


def test_a_replaced_step_computes_in_the_parent_and_keeps_the_identity_of_caches(child, arrays):
    x, h0, W = arrays
    seen = {}

    def step(args, kwargs):
        seen[f"p{len(seen)}"] = args
        return args[1] + 1.0, Handle(f"p{len(seen) - 1}")

    order = []

    def step_backward(args, kwargs):
        order.append(args[1].id)
        inputs = seen[args[1].id]
        return inputs[0], args[0] + 1.0, inputs[2]

    assert child.replace("step", step).ok
    assert child.replace("step_backward", step_backward).ok
    sequence = np.stack([x, 2 * x, 3 * x])
    h, caches = child.call("forward", (sequence, h0, W), keep=(1,)).value
    assert np.array_equal(h, h0 + 3)
    assert [len(seen), seen["p1"][0].tolist()] == [3, (2 * x).tolist()]
    dx, dh, _ = child.call("backward", (np.zeros((3, 4)), caches)).value
    assert order == ["p2", "p1", "p0"]
    assert np.array_equal(dx, x)
    assert np.array_equal(dh, np.full((3, 4), 3.0))


def test_a_callback_that_raises_is_an_exception_in_the_child_only(child):
    define(
        child,
        "def step(x):\n    return x\n"
        "def safe(x):\n    try:\n        return step(x)\n    except RuntimeError as e:\n        return str(e)",
    )
    child.replace("step", lambda args, kwargs: 1 / 0)
    assert child.call("step", (1,)).exception.type == "RuntimeError"
    assert child.call("safe", (1,)).value == "ZeroDivisionError: division by zero"


def test_a_loop_that_looks_inside_a_replaced_cache_gets_an_exception(child):
    define(child, "def step():\n    pass\ndef forward():\n    h, (a, b) = step()\n    return h")
    child.replace("step", lambda args, kwargs: (1.0, Handle("p0")))
    assert child.call("forward").exception.type == "TypeError"


def test_keyword_arguments_reach_the_callback(child):
    define(child, "def f():\n    return step(1, prev_h=2)")
    child.replace("step", lambda args, kwargs: (list(args), kwargs))
    assert child.call("f").value == ([1], {"prev_h": 2})


# Ends and limits


def test_the_time_limit_holds_for_all_calls_together():
    with Child(Limits(wall_s=1)) as child:
        define(child, "import time\ndef f():\n    time.sleep(0.3)\n    return 1")
        statuses = [child.call("f").status for _ in range(5)]
    assert statuses == ["ok", "ok", "ok", "timeout", "timeout"]


LOOP = "while True: pass"
DEAF_LOOP = "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"


@pytest.mark.parametrize("source", [LOOP, DEAF_LOOP])
def test_the_kernels_cpu_limit_ends_a_loop_and_is_called_a_time_limit(source, monkeypatch):
    """Without the parent's own look at the CPU time: by SIGXCPU, or by the SIGKILL that follows."""
    monkeypatch.setattr(Clocks, "late", lambda self, silent: time.monotonic() > self.deadline)
    with Child(Limits(cpu_s=1, wall_s=100)) as child:
        if child.layers["rlimits"] != "on":
            pytest.skip(f"not available here: {child.notes}")
        began = time.monotonic()
        assert child.load(source).status == "timeout"
        assert time.monotonic() - began < 60
        assert child.load("a = 1").status == "timeout"


@linux
@pytest.mark.parametrize(
    "source", [LOOP, "import threading\nthreading.Thread(target=lambda: exec('while 1: 0')).start()"]
)
def test_the_parent_ends_a_loop_where_the_kernel_has_no_limit(source):
    with Child(Limits(cpu_s=1, wall_s=100), sandbox="none") as child:
        began = time.monotonic()
        child.load(source)
        assert child.load("import time\ntime.sleep(1000)").status == "timeout"
        assert time.monotonic() - began < 60


@linux
@pytest.mark.parametrize(
    "nap", ["time.sleep(1000)", "while True: time.sleep(0.05)", "threading.Event().wait()", "os.read(os.pipe()[0], 1)"]
)
def test_a_sleeper_is_ended_long_before_the_wall_clock(nap):
    with Child(Limits(cpu_s=1, wall_s=100)) as child:
        define(child, f"import os, threading, time\ndef f():\n    {nap}")
        began = time.monotonic()
        assert child.call("f").status == "timeout"
        assert time.monotonic() - began < 30


def test_the_time_between_requests_is_nobodys_sleep():
    """Neither that of the grader, nor that in which a replaced function computes in the grader."""
    with Child(Limits(cpu_s=1)) as child:
        define(child, "def f():\n    return step(1)")
        child.replace("step", lambda args, kwargs: time.sleep(1.3) or 2)
        time.sleep(1.3)
        assert child.call("f").value == 2


def test_a_right_answer_on_a_busy_machine_is_not_late():
    """The machine gives the child a quarter of its time: it computes less than it may, and takes longer than that."""
    limits = Limits(cpu_s=2, wall_s=100)
    with Child(limits) as child:
        define(
            child,
            "import time\ndef f(seconds):\n    end = time.process_time() + seconds\n"
            "    while time.process_time() < end: pass\n    return 'right'",
        )
        pid, done = child._process.pid, threading.Event()

        def hinder():
            while not done.is_set():
                os.kill(pid, signal.SIGSTOP)
                time.sleep(0.9)
                os.kill(pid, signal.SIGCONT)
                time.sleep(0.3)

        others = threading.Thread(target=hinder)
        others.start()
        try:
            reply = child.call("f", (0.8,))
        finally:
            done.set()
            others.join()
        assert (reply.status, reply.value) == ("ok", "right")
        assert reply.seconds > limits.cpu_s


class Time:
    """A clock and the CPU time of a process, set by hand."""

    def __init__(self, monkeypatch):
        self.now, self.used = 1000.0, 5.0
        monkeypatch.setattr(clocks_module.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(clocks_module, "cpu_seconds", lambda pid: self.used)


@pytest.fixture
def by_hand(monkeypatch):
    with monkeypatch.context() as patch:
        yield Time(patch)


def started(cpu_s=10, wall_s=60):
    clocks = Clocks(1)
    clocks.allow(cpu_s)
    clocks.deadline = clocks_module.time.monotonic() + wall_s
    clocks.wake()
    return clocks


def seconds_until_late(by_hand, clocks, computes, silent=True):
    """Seconds by the clock after which the process is late that computes so much in each of them."""
    for second in range(1, 1000):
        by_hand.now += 1
        by_hand.used += computes
        if clocks.late(silent):
            return second
    return None


@pytest.mark.parametrize(
    ("computes", "silent", "late"),
    [(1.0, True, 11), (0.25, True, 41), (0.02, True, 61), (0.0, True, 11), (0.0005, True, 11), (0.0, False, 61)],
    ids=["a loop", "a loop on a busy machine", "on a very busy one", "asleep", "naps", "waits to be heard"],
)
def test_the_clocks(by_hand, computes, silent, late):
    assert seconds_until_late(by_hand, started(), computes, silent) == late


def test_only_the_wall_clock_counts_where_cpu_times_are_unknown(by_hand):
    by_hand.used = math.nan
    assert seconds_until_late(by_hand, started(), 0.0) == 61


def test_starting_is_no_sleep_and_costs_no_cpu_time(by_hand):
    clocks = Clocks(1)
    assert seconds_until_late(by_hand, clocks, 0.0) == clocks_module.START_S + 1
    clocks.allow(10)
    by_hand.used += 9.9
    clocks.deadline = by_hand.now + 60
    assert not clocks.late(silent=True)


def test_every_request_wakes(by_hand):
    clocks = started()
    for _ in range(5):
        assert seconds_until_late(by_hand, clocks, 0.0) == 11
        clocks.deadline = by_hand.now + 60
        clocks.wake()


@linux
def test_the_cpu_time_of_another_process_is_read_as_it_reads_it_itself():
    with Child(sandbox="none") as child:
        define(child, "import time\ndef f():\n    sum(range(10**6))\n    return time.process_time()")
        itself = child.call("f").value
        assert itself <= clocks_module.cpu_seconds(child._process.pid) < itself + 0.5
    assert math.isnan(clocks_module.cpu_seconds(child._process.pid))
    assert BUSY_S < 0.1


def test_a_child_that_is_killed_by_another_is_not_called_late():
    """As the kernel does that is short of memory."""
    with Child() as child:
        define(child, "def f():\n    tell()\n    while True: pass")
        child.replace("tell", lambda args, kwargs: os.kill(child._process.pid, signal.SIGKILL))
        assert child.call("f").status == "killed"


def test_the_memory_limit_is_reported_and_the_child_goes_on(child):
    define(child, "def f():\n    return np.ones(2**40)\ndef g():\n    return 1")
    assert child.call("f").status == "memory"
    assert child.call("g").value == 1


def test_the_memory_limit_is_that_of_the_child_and_not_of_the_machine(child):
    """2 GiB that nobody touches: any machine gives them, and the limit of 1 GiB does not."""
    if child.layers["rlimits"] != "on":
        pytest.skip("not available here: rlimits")
    define(child, "def f():\n    return len(np.empty(2**28))")
    assert child.call("f").status == "memory"


def test_a_closed_child_answers_no_answer_and_is_gone():
    with Child(Limits()) as child:
        define(child, "import os\ndef pid():\n    return os.getpid(), os.getcwd()")
        pid, folder = child.call("pid").value
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert folder == "/"
    assert child.call("pid").status == "no-answer"
    child.close()


def test_children_leave_no_descriptor_and_no_folder_behind(monkeypatch, tmp_path):
    def count():
        return len(os.listdir("/dev/fd"))

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Child():
        pass
    before = count()
    for source in ("a = 1", "import os\nos._exit(0)", "while True: print('x' * 1000)"):
        with Child() as child:
            child.load(source)
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(SandboxError):
        Child(sandbox="none")
    assert count() == before
    assert list(tmp_path.iterdir()) == []


def test_a_child_dies_with_its_grader(tmp_path):
    """A killed grader leaves no loop behind that burns a core."""
    program = (
        "from minrnn.grading.sandbox import Child\n"
        "child = Child()\n"
        "child.load('import os\\ndef f():\\n    tell(os.getpid())\\n    while True: pass')\n"
        "child.replace('tell', lambda args, kwargs: print(args[0], flush=True))\n"
        "child.call('f')\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment
    ) as grader:
        pid = int(grader.stdout.readline())
        os.kill(pid, 0)
        grader.kill()
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            assert list(tmp_path.iterdir()) == []
            return
        time.sleep(0.05)
    raise AssertionError("the child still runs")


def test_a_child_that_cannot_start_is_the_graders_error(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(SandboxError, match="no child could be started"):
        Child(sandbox="none")


def test_an_interpreter_that_prints_and_leaves_is_quoted(monkeypatch, tmp_path):
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho broken pipe dream\nexit 3\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(SandboxError, match="broken pipe dream"):
        Child(sandbox="none")


def test_the_environment_of_the_grader_does_not_enter(monkeypatch):
    monkeypatch.setenv("GRADER_SECRET", "s3cret")
    with Child() as child:
        define(child, "import os\ndef f():\n    return dict(os.environ)")
        environment = child.call("f").value
    assert "s3cret" not in str(environment)
    assert environment["OPENBLAS_NUM_THREADS"] == "1"


# Layers


def test_the_report_is_the_object_of_the_schema():
    report = probe()
    assert report.keys() == {"mode", "layers", "landlock_abi", "limits", "notes"}
    assert list(report["layers"]) == ["process", "rlimits", "namespaces", "landlock", "seccomp", "uid_drop"]
    assert set(report["layers"].values()) <= {"on", "off", "unavailable"}
    assert report["layers"]["process"] == "on"
    assert report["limits"] == {"cpu_s": 10, "wall_s": 60, "memory_mib": 1024, "output_kib": 64}
    refused = [layer for layer, state in report["layers"].items() if state == "unavailable"]
    assert sorted(note.split(":")[0] for note in report["notes"]) == sorted(refused)


@pytest.mark.parametrize("layer", ["rlimits", "namespaces", "landlock", "seccomp", "uid_drop"])
def test_a_layer_that_is_switched_off_is_reported_off_and_the_rest_holds(layer, arrays):
    everything = probe()["layers"]
    with Child(sandbox=[name for name in LAYERS if name != layer]) as child:
        assert child.layers == everything | {layer: "off"}
        assert child.load(SOURCE).ok
        assert child.call("step", arrays, keep=(1,)).ok


STEPS = {
    "rlimits": "set_limits",
    "namespaces": "enter_namespaces",
    "landlock": "restrict_files",
    "seccomp": "filter_calls",
}


def refuse(monkeypatch, *layers):
    """A machine that refuses these layers: the step of the jail fails as the kernel would make it fail."""
    refusals = "".join(
        f"\ndef {STEPS[layer]}(*given):\n    raise Unavailable(1, 'refused here')\n"
        for layer in layers
        if layer in STEPS
    )
    python, sources = server_module.ingredients()
    changed = sources | {"jail": sources["jail"] + refusals}
    monkeypatch.setattr(server_module, "ingredients", lambda: (python, changed))
    if "uid_drop" in layers:
        monkeypatch.setattr(parent, "why_user_stays", lambda: "other users cannot read /home/teacher")


@pytest.mark.parametrize("layer", ["rlimits", "namespaces", "landlock", "seccomp", "uid_drop"])
def test_a_layer_that_the_machine_refuses_is_reported_unavailable_and_the_rest_holds(layer, arrays, monkeypatch):
    everything = probe()["layers"]
    refuse(monkeypatch, layer)
    with Child() as child:
        report = child.report()
        assert report["layers"] == everything | {layer: "unavailable"}
        assert len([note for note in report["notes"] if note.startswith(f"{layer}: ")]) == 1
        assert (report["landlock_abi"] is None) == (report["layers"]["landlock"] != "on")
        assert child.load(SOURCE).ok
        assert child.call("step", arrays, keep=(1,)).ok


def test_a_machine_that_refuses_everything_still_runs_submissions_and_says_so(arrays, monkeypatch):
    refuse(monkeypatch, *STEPS, "uid_drop")
    with Child() as child:
        report = child.report()
        assert report["mode"] == "none"
        assert report["layers"] == {"process": "on"} | dict.fromkeys([*STEPS, "uid_drop"], "unavailable")
        assert len(report["notes"]) == 5
        assert child.load(SOURCE).ok
        assert child.call("step", arrays, keep=(1,)).ok


@linux
def test_where_namespaces_are_refused_privileges_are_given_up_all_the_same():
    source = server_module.ingredients()[1]["jail"]
    assert "capset" in source
    program = (
        "import os, sys; from pathlib import Path\n"
        "class Libc:\n"
        "    def __getattr__(self, name): return getattr(real, name)\n"
        "    def unshare(self, flags): return -1\n"
        f"exec({source!r})\n"
        "real = _libc(); _libc = Libc\n"
        "try: enter_namespaces()\n"
        "except Unavailable: pass\n"
        "print(Path('/proc/self/status').read_text().split('CapEff:')[1].split()[0])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout, 16) == 0


def test_no_sandbox_is_said_to_be_none():
    report = probe("none")
    assert report["mode"] == "none"
    assert set(list(report["layers"].values())[1:]) == {"off"}


@pytest.mark.parametrize("sandbox", ["bwrap", "", ["landlok"]])
def test_an_unknown_sandbox_is_refused(sandbox):
    with pytest.raises(ValueError, match=r"there (is|are) no"):
        Child(sandbox=sandbox)


@linux
def test_only_the_wanted_layers_are_applied_by_the_kernel():
    """Beside what holds for the grader itself: a container may have put it under a filter already."""

    def states(pid):
        status = Path(f"/proc/{pid}/status").read_text()
        found = {line.split(":")[0]: line.split()[1] for line in status.splitlines() if len(line.split()) > 1}
        return found, os.readlink(f"/proc/{pid}/ns/net")

    def of_child(sandbox):
        with Child(sandbox=sandbox) as child:
            return states(child._process.pid)

    layers = probe()["layers"]
    own, own_network = states("self")
    jailed, its_network = of_child([layer for layer in LAYERS if layer != "uid_drop"])
    if "Seccomp_filters" in own:  # since Linux 5.9
        assert int(jailed["Seccomp_filters"]) - int(own["Seccomp_filters"]) == (layers["seccomp"] == "on")
    if "on" in (layers["seccomp"], layers["landlock"]):
        assert jailed["NoNewPrivs"] == "1"
    assert (its_network != own_network) == (layers["namespaces"] == "on")
    assert int(jailed["CapEff"], 16) == 0
    free, its_network = of_child("none")
    assert its_network == own_network
    assert [free.get(key) for key in ("Seccomp", "Seccomp_filters", "NoNewPrivs")] == [
        own.get(key) for key in ("Seccomp", "Seccomp_filters", "NoNewPrivs")
    ]


def test_root_that_a_container_keeps_from_changing_users_stays_root(monkeypatch):
    def denied(*given, user, **others):
        assert user == process_module.NOBODY
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(process_module.os, "geteuid", lambda: 0)
    for place, name in ((sys, "executable"), (np, "__file__")):
        monkeypatch.setattr(place, name, "/bin/sh")  # everybody can read it
    monkeypatch.setattr(process_module.sysconfig, "get_path", lambda name: "/bin")
    monkeypatch.setattr(process_module.subprocess, "run", denied)
    assert "Operation not permitted" in process_module.why_user_stays.__wrapped__()
    monkeypatch.setattr(process_module.subprocess, "run", lambda *given, **others: None)
    assert process_module.why_user_stays.__wrapped__() is None


@linux
@pytest.mark.skipif("sys.platform != 'linux' or os.geteuid() != 0")
def test_the_user_is_dropped_where_that_user_can_read_the_interpreter():
    with Child() as child:
        status = Path(f"/proc/{child._process.pid}/status").read_text()
        user = next(line.split()[1] for line in status.splitlines() if line.startswith("Uid"))
        assert user == {"on": "65534", "unavailable": "0"}[child.layers["uid_drop"]]


def test_a_folder_that_holds_installed_packages_is_readable_without_them(tmp_path):
    for name in ("site-packages", "dist-packages", "python3.12", "encodings"):
        (tmp_path / name).mkdir()
    (tmp_path / "os.py").touch()
    allowed = {os.path.relpath(path, tmp_path): rights for path, rights in jail._without_packages(str(tmp_path))}
    read, listing = jail.READ_FILE, jail.READ_DIR
    assert allowed == {".": listing, "encodings": read | listing, "os.py": read}
    assert list(jail._without_packages(str(tmp_path / "encodings"))) == [(str(tmp_path / "encodings"), read | listing)]


def judged(machine, arch, number, flags=0, second=0):
    """What the filter says of a system call, by a reading of its program with the meaning that the kernel gives it."""
    program = list(struct.iter_unpack("=HBBI", jail.filter_program(machine)))
    data = struct.pack("=IIQ6Q", number, arch, 0, flags, second, 0, 0, 0, 0)
    place = accumulator = 0
    while True:
        code, yes, no, k = program[place]
        place += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, k)
            case 0x06:
                return {0x80000000: "kill", 0x7FFF0000: "allow", 0x00050001: "EPERM", 0x00050026: "ENOSYS"}[k]
            case 0x15 | 0x35 | 0x45:
                holds = {0x15: accumulator == k, 0x35: accumulator >= k, 0x45: bool(accumulator & k)}[code]
                place += yes if holds else no


X86, ARM = ("x86_64", 0xC000003E), ("aarch64", 0xC00000B7)
CALLS = {
    "read": (0, 63, "allow"),
    "openat": (257, 56, "allow"),
    "mmap": (9, 222, "allow"),
    "exit_group": (231, 94, "allow"),
    "getrandom": (318, 278, "allow"),
    "futex": (202, 98, "allow"),
    "socket": (41, 198, "EPERM"),
    "shmget": (29, 194, "EPERM"),
    "execve": (59, 221, "EPERM"),
    "kill": (62, 129, "EPERM"),
    "ptrace": (101, 117, "EPERM"),
    "semget": (64, 190, "EPERM"),
    "move_pages": (279, 239, "EPERM"),
    "setpriority": (141, 140, "EPERM"),
    "fcntl": (72, 25, "allow"),
    "prctl": (157, 167, "allow"),
    "clone3": (435, 435, "ENOSYS"),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_filter_on_both_architectures(name):
    x86, arm, verdict = CALLS[name]
    assert (judged(*X86, x86), judged(*ARM, arm)) == (verdict, verdict)


@pytest.mark.parametrize(("arch", "clone"), [(X86, 56), (ARM, 220)], ids=["x86-64", "aarch64"])
def test_clone_makes_threads_and_no_processes(arch, clone):
    assert judged(*arch, clone, flags=0x3D0F00) == "allow"  # what pthread_create asks for
    assert judged(*arch, clone, flags=17) == "EPERM"  # SIGCHLD: a fork


@pytest.mark.parametrize(("arch", "fcntl", "prctl"), [(X86, 72, 157), (ARM, 25, 167)], ids=["x86-64", "aarch64"])
def test_only_some_arguments_of_a_call_are_denied(arch, fcntl, prctl):
    """The owner and the signal of a file (also with rubbish in the upper half), and outliving the grader."""
    commands = {command: judged(*arch, fcntl, second=command) for command in range(1040)}
    assert [command for command, verdict in commands.items() if verdict != "allow"] == [8, 10, 15]
    assert commands[8] == judged(*arch, fcntl, second=8 | 1 << 40) == "EPERM"
    assert [option for option in range(80) if judged(*arch, prctl, option) != "allow"] == [1]
    assert judged(*arch, fcntl, flags=8) == judged(*arch, prctl, second=1) == "allow"


def test_a_foreign_abi_is_killed():
    """A 32-bit or x32 call has other numbers: 59 is no execve there."""
    assert judged("x86_64", 0x40000003, 11) == "kill"
    assert judged("aarch64", 0x40000028, 11) == "kill"
    assert judged(*X86, 0x40000000 + 59) == "kill"
    assert judged(*X86, 0x40000000 + 0) == "kill"
