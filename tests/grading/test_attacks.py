"""Submissions that attack the grader: each is contained, each is reported for what it did, and the grader goes on.

Every attack runs at load time and inside a call. None of them can do harm where the jail fails: signals are such that
their target survives, files are those of the test. Where the machine lacks a layer, an attack that only this layer
refuses is run all the same; that the grader goes on is asserted, and the refusal alone is skipped.
"""

import dataclasses
import os
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from minrnn.grading.courses import profile
from minrnn.grading.judging import judge
from minrnn.grading.loading import submission
from minrnn.grading.sandbox import Child, Handle, Limits, probe, server
from minrnn.grading.sandbox import child as parent

SHORT = Limits(cpu_s=1, wall_s=20)
SECRET = "expected values 3.14159"
LAYERS = probe()["layers"] if sys.platform != "win32" else {}


def needs(*layers):
    """Skips what only these layers hold, where the machine does not have them."""
    return pytest.mark.skipif(bool(lacking(layers)), reason=f"not available here: {', '.join(lacking(layers))}")


def lacking(layers):
    """Those of the layers that this machine does not have."""
    return [layer for layer in layers if LAYERS.get(layer) != "on"]


# name: (source, statuses that say what happened, type of the exception or None)
ATTACKS = {
    "sys.exit": ("import sys\nsys.exit(0)", {"process-exit"}, "SystemExit"),
    "os._exit": ("import os\nos._exit(0)", {"process-exit"}, None),
    "endless loop": ("while True: pass", {"timeout"}, None),
    "endless loop that catches everything": (
        "import signal\nfor s in (signal.SIGXCPU, signal.SIGTERM, signal.SIGALRM): signal.signal(s, signal.SIG_IGN)\n"
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        {"timeout"},
        None,
    ),
    "sleeping": ("import time\ntime.sleep(1000)", {"timeout"}, None),
    "threads without end": (
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(1000,)).start()",
        {"timeout", "exception", "memory"},
        None,
    ),
    "recursion": (
        "import sys\nsys.setrecursionlimit(10**9)\ndef deep(n): return deep(n + 1) + deep(n + 2)\ndeep(0)",
        {"exception", "timeout", "memory", "killed"},
        None,
    ),
    "memory": ("held = []\nwhile True: held.append(bytearray(1 << 25))", {"memory"}, "MemoryError"),
    "memory in small pieces": ("held = []\nwhile True: held.append(bytes(2000))", {"memory"}, None),
    "a huge array": ("import numpy\nnumpy.ones((10**6, 10**6))", {"memory"}, "MemoryError"),
    "output": ("while True: print('x' * 1000)", {"output-flood"}, None),
    "output below Python": ("import os\nwhile True: os.write(1, b'x' * 1000)", {"output-flood"}, None),
    "reading standard input": ("input()", {"exception"}, "EOFError"),
    "a crash of the interpreter": ("import ctypes\nctypes.string_at(0)", {"killed"}, None),
    "an alarm": ("import signal, time\nsignal.alarm(1)\ntime.sleep(100)", {"killed"}, None),
    "closing every descriptor": ("import os, time\nos.closerange(0, 64)\ntime.sleep(100)", {"no-answer"}, None),
    "an interrupt": ("raise KeyboardInterrupt", {"exception"}, "KeyboardInterrupt"),
    "the end of a generator": ("raise GeneratorExit", {"exception"}, "GeneratorExit"),
    "an exception that cannot be named": (
        "class M(type):\n    @property\n    def __name__(cls): raise SystemExit\n"
        "class E(BaseException, metaclass=M): pass\nraise E",
        {"process-exit"},
        None,
    ),
    "an exit of a thread": (
        "import os, threading, time\nthreading.Thread(target=os._exit, args=(0,)).start()\ntime.sleep(100)",
        {"process-exit", "exception"},
        None,
    ),
    "an exit when its output is flushed": (
        "import sys\ndef leave(): raise SystemExit\nsys.stdout.flush = leave",
        {"process-exit"},
        None,
    ),
    "a signal handler that does not return": (
        "import signal, time\ndef hang(*a):\n    while True: pass\n"
        "signal.signal(signal.SIGALRM, hang)\nsignal.setitimer(signal.ITIMER_REAL, 0.05)\ntime.sleep(100)",
        {"timeout"},
        None,
    ),
    "a runner that says nothing": (
        "import sys\nsys.modules['sandbox.protocol'].encode = lambda *a: b''",
        {"timeout"},
        None,
    ),
    "a runner that cannot read": (
        "import sys\nsys.modules['sandbox.protocol'].json = sys.modules['sandbox.protocol'].struct = None\n"
        "sys.modules['sandbox.runner'].Runner.answer = None",
        {"ok", "process-exit"},
        None,
    ),
}

# Those that a layer of the kernel answers with an exception of the submission.
REFUSED = {
    "a fork": ("import os\nif os.fork() == 0: os._exit(0)", ["seccomp"], "PermissionError"),
    "a fork bomb": (
        "import os\nfor _ in range(50):\n    if os.fork() == 0: os._exit(0)",
        ["seccomp"],
        "PermissionError",
    ),
    "multiprocessing": (
        "import multiprocessing\nmultiprocessing.get_context('fork').Process(target=int).start()",
        ["seccomp", "landlock"],
        "PermissionError",
    ),
    "a program": ("import subprocess\nsubprocess.run(['/bin/true'])", ["seccomp"], "PermissionError"),
    "a program in place of this one": ("import os\nos.execv('/bin/true', ['true'])", ["seccomp"], "PermissionError"),
    "a shell": ("import os\nassert os.system('exit 0') != 0\nraise PermissionError", ["seccomp"], "PermissionError"),
    "a socket": ("import socket\nsocket.socket()", ["seccomp"], "PermissionError"),
    "a pair of sockets": ("import socket\nsocket.socketpair()", ["seccomp"], "PermissionError"),
    "a download": (
        "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9')",
        ["seccomp", "landlock"],
        "URLError",
    ),
    "a signal to the parent": ("import os\nos.kill(os.getppid(), 18)", ["seccomp"], "PermissionError"),
    "a signal to everybody": ("import os\nos.kill(-1, 0)", ["seccomp"], "PermissionError"),
    "the memory of the parent": ("import os\nopen(f'/proc/{os.getppid()}/mem', 'rb')", ["landlock"], "PermissionError"),
    "the environment of the parent": (
        "import os\nopen(f'/proc/{os.getppid()}/environ', 'rb')",
        ["landlock"],
        "PermissionError",
    ),
    "the folder of the parent": (
        "import os\nos.listdir(f'/proc/{os.getppid()}/cwd/')",
        ["landlock"],
        "PermissionError",
    ),
    "the grader's own source": ("open(GRADER).read()", ["landlock"], "PermissionError"),
    "a file of answers": ("open(ANSWERS).read()", ["landlock"], "PermissionError"),
    "a link to a file of answers": ("open(LINK).read()", ["landlock"], "PermissionError"),
    "the folder of answers": ("import os\nos.listdir(os.path.dirname(ANSWERS))", ["landlock"], "PermissionError"),
    "a user's home": ("import os\nos.listdir(HOME)", ["landlock"], "PermissionError"),
    "a new file": ("open(NEW, 'w').write('x')", ["landlock"], "PermissionError"),
    "a new file in its own folder": ("open(HERE, 'w').write('x' * 100)", ["landlock"], "PermissionError"),
    "overwriting a file": ("open(ANSWERS, 'r+').write('x')", ["landlock"], "PermissionError"),
    "emptying a file": ("import os\nos.truncate(ANSWERS, 0)", ["seccomp"], "PermissionError"),
    "deleting a file": ("import os\nos.unlink(ANSWERS)", ["seccomp"], "PermissionError"),
    "renaming a file": ("import os\nos.rename(ANSWERS, NEW)", ["seccomp"], "PermissionError"),
    "linking a file": ("import os\nos.link(ANSWERS, NEW)", ["seccomp"], "PermissionError"),
    "the rights of a file": ("import os\nos.chmod(ANSWERS, 0o777)", ["seccomp"], "PermissionError"),
    "the times of a file": ("import os\nos.utime(ANSWERS, (0, 0))", ["seccomp"], "PermissionError"),
    "a new folder": ("import os\nos.mkdir(NEW)", ["seccomp"], "PermissionError"),
    "higher limits": (
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))",
        ["seccomp"],
        "ValueError",
    ),
    "a signal to itself": ("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", ["seccomp"], "PermissionError"),
    "a pipe that sends signals to the parent": (
        "import fcntl, os\nfcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, os.getppid())",
        ["seccomp"],
        "PermissionError",
    ),
    "the priority of the parent": (
        "import os\nos.setpriority(os.PRIO_PROCESS, os.getppid(), os.getpriority(os.PRIO_PROCESS, os.getppid()))",
        ["seccomp"],
        "PermissionError",
    ),
    "the cores of the parent": (
        "import os\nos.sched_setaffinity(os.getppid(), os.sched_getaffinity(os.getppid()))",
        ["seccomp"],
        "PermissionError",
    ),
    "outliving the parent": (
        "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\n"
        "if c.prctl(1, 0, 0, 0, 0) < 0: raise OSError(ctypes.get_errno(), 'prctl')",
        ["seccomp"],
        "PermissionError",
    ),
    "a symbolic link": ("import os\nos.symlink(ANSWERS, NEW)", ["seccomp"], "PermissionError"),
    "filling the disk": (
        "for k in range(9):\n    with open(NEW + str(k), 'wb') as f: f.write(bytes(10**6))",
        ["landlock"],
        "PermissionError",
    ),
    "filling the disk with empty files": (
        "for k in range(9): open(NEW + str(k), 'wb').close()",
        ["landlock"],
        "PermissionError",
    ),
    "tracing the parent": (
        "import ctypes, os\nc = ctypes.CDLL(None, use_errno=True)\n"
        "if c.ptrace(0x4206, os.getppid(), 0, 0) < 0: raise OSError(ctypes.get_errno(), 'ptrace')",
        ["seccomp"],
        "PermissionError",
    ),
    "another namespace": (
        "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\n"
        "if c.unshare(0x10000000) < 0: raise OSError(ctypes.get_errno(), 'unshare')",
        ["seccomp"],
        "PermissionError",
    ),
}


@pytest.fixture
def files(tmp_path):
    answers = tmp_path / "answers.txt"
    answers.write_text(SECRET)
    (tmp_path / "link").symlink_to(answers)
    here = f"minrnn-test-{os.getpid()}"
    yield {
        "HERE": here,
        "ANSWERS": str(answers),
        "LINK": str(tmp_path / "link"),
        "NEW": str(tmp_path / "new"),
        "HOME": str(Path.home() if Path.home().is_dir() else "/"),
        "GRADER": str(Path(sys.modules["minrnn.grading.sandbox"].__file__)),
    }
    Path("/", here).unlink(missing_ok=True)


@pytest.fixture(scope="module")
def jailed():
    """One child for all attacks that are refused: after each it must answer as before."""
    with Child(Limits(cpu_s=60, wall_s=600)) as child:
        yield child


def attacked(child, where, source, files=None):
    """The reply to the attack, at load time or inside a call."""
    head = "".join(f"{name} = {value!r}\n" for name, value in (files or {}).items())
    if where == "load":
        return child.load(head + source)
    loaded = child.load(
        f"{head}def attack(x):\n{textwrap.indent(source, '    ')}\n    return x\ndef ok(x): return 2 * x\n"
    )
    assert loaded.ok, loaded
    return child.call("attack", (np.ones(3),))


def assert_the_grader_goes_on():
    """The benign control: a right function in a new child is answered as ever."""
    with Child() as child:
        assert child.load("import numpy as np\ndef f(x, w):\n    return np.tanh(x @ w)").ok
        x, w = np.ones((2, 3)), np.full((3, 4), 0.5)
        assert np.array_equal(child.call("f", (x, w)).value, np.tanh(x @ w))


def test_the_benign_control():
    assert_the_grader_goes_on()


WHERE = pytest.mark.parametrize("where", ["load", "call"])


@WHERE
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_on_the_process_is_contained_and_named(name, where):
    source, statuses, exception = ATTACKS[name]
    if "memory" in statuses and lacking(["rlimits"]):
        pytest.skip("not available here: rlimits, so it would take the memory of the machine")
    with Child(SHORT if "timeout" in statuses else Limits()) as child:
        began = time.monotonic()
        reply = attacked(child, where, source)
        assert time.monotonic() - began < 60
        assert reply.status in statuses
        assert exception in (None, reply.exception and reply.exception.type)
        if reply.status == "ok":  # the attack is on what comes after it
            reply = child.call("ok", (1,))
            assert not reply.ok
        assert reply.value is None
        if reply.exception is None and reply.status != "memory":  # the child is dead: it stays so, and says so
            assert child.call("ok", (1,)).status == child.load("a = 1").status == reply.status
            assert [r.status for r in child.call_many("ok", [(1,), (2,)])] == [reply.status] * 2


@WHERE
@pytest.mark.parametrize("name", REFUSED)
def test_an_attack_on_the_system_is_refused_and_the_child_goes_on(jailed, name, where, files):
    source, layers, exception = REFUSED[name]
    if lacking(layers):
        with Child(SHORT) as child:
            reply = attacked(child, where, source, files)
        assert SECRET not in str(reply)
        assert_the_grader_goes_on()
        pytest.skip(f"it need not be refused, for this machine lacks {', '.join(lacking(layers))}: {reply.status}")
    reply = attacked(jailed, where, source, files)
    assert (reply.status, reply.exception and reply.exception.type) == ("exception", exception), reply
    assert reply.exception.line > len(files)
    assert SECRET not in str(reply)
    assert jailed.load("def ok(): return 1").ok
    assert jailed.call("ok").value == 1
    assert Path(files["ANSWERS"]).read_text() == SECRET
    assert not Path(files["NEW"]).exists()


def test_the_grader_goes_on_after_all_of_them():
    assert_the_grader_goes_on()


OF_EVERY_MACHINE = ("endless loop that catches everything", "sleeping", "output", "os._exit", "sys.exit")
REFUSALS = {
    "rlimits": "def set_limits(*given): raise Unavailable(1, 'refused here')",
    "namespaces": "def enter_namespaces(): raise Unavailable(1, 'refused here')",
    "landlock": "def restrict_files(readable): raise Unavailable(38, 'Landlock: refused here')",
    "seccomp": "def filter_calls(): raise Unavailable(22, 'refused here')",
}


@pytest.mark.parametrize(
    "layers", [*[(layer,) for layer in REFUSALS], ("uid_drop",), (*REFUSALS, "uid_drop")], ids="+".join
)
def test_where_the_machine_refuses_layers_time_output_and_exits_still_hold(layers, monkeypatch):
    python, sources = server.ingredients()
    refusals = "\n".join(REFUSALS.get(layer, "") for layer in layers)
    changed = sources | {"jail": f"{sources['jail']}\n{refusals}\n"}
    monkeypatch.setattr(server, "ingredients", lambda: (python, changed))
    if "uid_drop" in layers:
        monkeypatch.setattr(parent, "why_user_stays", lambda: "other users cannot read /home/teacher")
    memory = () if "rlimits" in layers or lacking(["rlimits"]) else ("memory", "a huge array")
    for name in (*OF_EVERY_MACHINE, *memory):
        source, statuses, _ = ATTACKS[name]
        with Child(SHORT if "timeout" in statuses else Limits()) as child:
            assert {child.layers[layer] for layer in layers} == {"unavailable"}
            assert attacked(child, "call", source).status in statuses
    with Child() as child:
        assert child.load(FORGERY + CALL + "ID = 1\n" + FORGED["bytes"]).status == "malformed"
    assert_the_grader_goes_on()


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        pytest.param(layer, name, marks=needs(layer))
        for layer, name in [
            ("seccomp", "a socket"),
            ("seccomp", "a fork"),
            ("seccomp", "a signal to the parent"),
            ("seccomp", "deleting a file"),
            ("landlock", "a signal to the parent"),
            ("landlock", "a file of answers"),
            ("landlock", "a new file"),
            ("landlock", "deleting a file"),
            ("landlock", "a program in place of this one"),
            ("landlock", "the memory of the parent"),
        ]
    ],
)
def test_each_layer_alone_stops_what_is_its_own(layer, name, files):
    """Where one layer is missing, the others were not leaning on it."""
    with Child(sandbox=["rlimits", layer]) as child:
        reply = attacked(child, "call", REFUSED[name][0], files)
        assert (reply.status, reply.exception.type) == ("exception", "PermissionError")
    assert Path(files["ANSWERS"]).read_text() == SECRET


@needs("namespaces")
def test_the_network_namespace_alone_has_no_way_out():
    source = "import socket\nsocket.create_connection(('192.0.2.1', 9), timeout=5)"
    with Child(sandbox=["namespaces"]) as child:
        reply = attacked(child, "call", source)
        assert (reply.exception.type, "unreachable" in reply.exception.text) == ("OSError", True)


# Answers that are forged


FORGERY = """
import os, sys
protocol = sys.modules["sandbox.protocol"]
def forge(kind, id, header, tree):
    frame = protocol.encode(kind, id, header, tree)
    for fd in range(3, 64):
        try:
            os.write(fd, frame)
        except OSError:
            pass
HEAD = {"status": "ok", "raised": None, "mutated": [], "calls": {}}
"""


def test_a_forged_result_is_an_answer_to_be_compared_and_the_next_one_betrays_it():
    with Child() as child:
        child.load(FORGERY + "def f(x):\n    forge(33, 2, HEAD, 'forged')\n    return x\n")
        reply = child.call("f", (1.0,))
        assert (reply.status, reply.value) == ("ok", "forged")
        assert child.call("f", (1.0,)).status == "malformed"
        assert child.call("f", (1.0,)).status == "malformed"


FORGED = {
    "a frame for another request": "forge(33, 77, HEAD, 1)",
    "a frame of another type": "forge(34, ID, HEAD, 1)",
    "a request": "forge(2, ID, HEAD, 1)",
    "a reply without status": "forge(33, ID, {}, 1)",
    "a status of its own": "forge(33, ID, HEAD | {'status': 'full-marks'}, 1)",
    "a status that only the grader gives": "forge(33, ID, HEAD | {'status': 'timeout'}, 1)",
    "a status that is a list": "forge(33, ID, HEAD | {'status': ['ok']}, 1)",
    "an exception of numbers": "forge(33, ID, HEAD | {'raised': [1, 2, 3]}, 1)",
    "paths of numbers": "forge(33, ID, HEAD | {'mutated': [1]}, 1)",
    "a line that no file has": "forge(33, ID, HEAD | {'status': 'exception', 'raised': ['E', 10**4000, '']}, 1)",
    "a line before the first": "forge(33, ID, HEAD | {'status': 'exception', 'raised': ['E', -3, '']}, 1)",
    "counts of text": "forge(33, ID, HEAD | {'calls': {'f': 'many'}}, 1)",
    "an array that NumPy cannot make": (
        'header = b\'{"tree": {"a": 0}, "arrays": [{"dtype": "f8", '
        '"shape": [0, 67108864, 67108864, 67108864]}]}\'\n'
        "[call(os.write, fd, protocol.HEAD.pack(b'MRG1', 33, ID, len(header), 0) + header) for fd in range(3, 64)]"
    ),
    "bytes": "[os.write(fd, b'A' * 4000) for fd in range(3, 64) if not call(os.write, fd, b'')]",
    "a frame that promises an exabyte": (
        "[call(os.write, fd, protocol.HEAD.pack(b'MRG1', 33, ID, 10, 1 << 60)) for fd in range(3, 64)]"
    ),
}
CALL = "def call(f, *a):\n    try:\n        return f(*a)\n    except OSError as e:\n        return e\n"


@WHERE
@pytest.mark.parametrize("name", FORGED)
def test_a_forged_frame_ends_the_child(name, where):
    with Child() as child:
        source = FORGERY + CALL + f"ID = {1 if where == 'load' else 2}\n" + FORGED[name]
        assert attacked(child, where, source).status == "malformed"
        assert child.load("a = 1").status == "malformed"


def test_a_forged_frame_that_is_not_finished_is_a_timeout():
    with Child(SHORT) as child:
        source = FORGERY + CALL + (
            "[call(os.write, fd, protocol.HEAD.pack(b'MRG1', 33, 1, 1000, 0)) for fd in range(3, 64)]\n"
            "import time\ntime.sleep(100)"
        )  # fmt: skip
        assert child.load(source).status == "timeout"


def test_a_callback_that_was_never_asked_for_tells_nothing():
    with Child() as child:
        child.load(FORGERY + "def f():\n    forge(35, 2, {'name': 'step'}, {'args': (), 'kwargs': {}})\n    return 1")
        assert child.call("f").value in (1, None)


@pytest.mark.parametrize("forged", ["7", "'@0.forward'", "[protocol.Handle('@0')]", "None"])
@pytest.mark.parametrize("request_", ["new", "put"])
def test_an_object_that_is_forged_is_no_object(forged, request_):
    """Who asks for an object goes on to use its handle: nothing else may come back."""
    with Child() as child:
        child.load(
            FORGERY + f"class Cell:\n    def __init__(self): forge(33, 2, HEAD, {forged})\n"
            f"true = protocol.encode\nprotocol.encode = lambda *a: true(*a[:3], {forged})"
        )
        reply = child.call("new:Cell") if request_ == "new" else child.put([1])
        assert (reply.status, reply.value) == ("malformed", None)


def test_calls_of_a_replaced_function_without_end_come_to_one(monkeypatch):
    """Each of them costs the grader time and memory; no right loop makes so many."""
    monkeypatch.setattr(parent, "CALLBACKS", 100)
    seen = []
    with Child() as child:
        child.load("def f():\n    while True: step(1)\ndef few():\n    return [step(1) for _ in range(99)][-1]")
        child.replace("step", lambda args, kwargs: seen.append(args) or 5)
        assert child.call("few").value == 5
        assert child.call("f").status == "malformed"
    assert len(seen) == 99 + 100


def test_an_answer_that_comes_early_or_from_a_thread_is_an_answer_and_the_next_one_betrays_it():
    with Child() as child:
        child.load(FORGERY + "def f():\n    forge(33, 3, HEAD, 'early')\n    return 1\ndef g():\n    return 2")
        assert [child.call("f").status, child.call("g").status] == ["malformed", "malformed"]
    late = (
        "import threading, time\ndef write():\n    time.sleep(0.3)\n    forge(33, 3, HEAD, 'late')\n"
        "def f():\n    threading.Thread(target=write).start()\n    return 1\n"
        "def g():\n    time.sleep(1)\n    return 2"
    )
    with Child() as child:
        child.load(FORGERY + late)
        if child.call("f").ok:  # as another user, no thread can be started
            assert child.call("g").value == "late"
            assert child.call("g").status == "malformed"


@WHERE
def test_a_patched_numpy_changes_only_its_own_answers(where):
    source = (
        "import numpy as np, builtins, sys\n"
        "np.allclose = np.array_equal = np.isclose = lambda *a, **k: True\n"
        "np.array = np.zeros = np.asarray = lambda *a, **k: 42\n"
        "builtins.isinstance = lambda *a: True\n"
        "builtins.len = lambda x: 0\n"
        "sys.modules['numpy'] = sys.modules['json'] = None"
    )
    with Child(SHORT) as child:
        attacked(child, where, source)
    assert np.allclose(1, 2) is False
    assert_the_grader_goes_on()


def test_frames_and_garbage_hold_no_answer():
    """A submission may look at everything in its process: there are its own inputs, and nothing to compare with."""
    source = (
        "import gc, sys\n"
        "def f(x):\n"
        "    seen, frame = [], sys._getframe()\n"
        "    while frame is not None:\n"
        "        seen.append(repr(dict(frame.f_locals)))\n"
        "        frame = frame.f_back\n"
        "    seen += [repr(o) for o in gc.get_objects() if type(o) in (str, dict, list)]\n"
        "    return ' '.join(seen)[:10**6]"
    )
    expected = np.full(3, 0.123456789)
    with Child() as child:
        child.load(source)
        reply = child.call("f", (np.full(3, 0.987654321),))
    assert reply.ok
    assert "0.98765432" in reply.value
    assert str(expected[0]) not in reply.value


def test_threads_left_behind_do_not_outlive_the_child():
    source = (
        "import threading, os\n"
        "def spin():\n    while True: pass\n"
        "def f():\n    threading.Thread(target=spin).start()\n    return os.getpid()\n"
    )
    with Child() as child:
        child.load(source)
        reply = child.call("f")
        pid = reply.value or child._process.pid  # as another user, no thread can be started
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_thread_that_prints_between_calls_is_a_flood_at_the_next_one():
    source = (
        "import threading\n"
        "def spin():\n    while True: print('x' * 1000)\n"
        "def f():\n    threading.Thread(target=spin).start()\n    return 1\n"
    )
    with Child() as child:
        child.load(source)
        first = child.call("f")
        time.sleep(0.2)
        if first.status != "exception":
            assert "output-flood" in (first.status, child.call("f").status, child.call("f").status)


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        ("np.array([None, object()])", "ndarray of dtype object"),
        ("type('Fake', (), {'shape': (3,), 'dtype': np.dtype('f8'), '__array__': lambda s: 1 / 0})()", "Fake"),
        ("np.zeros(3).view([('a', 'f8')])", "ndarray of dtype [('a', '<f8')]"),
        ("np.array(['1.0'])", "ndarray of dtype <U3"),
    ],
)
def test_an_answer_that_is_no_plain_array_stays_in_the_child(result, kind):
    with Child() as child:
        child.load(f"import numpy as np\ndef f():\n    return {result}")
        value = child.call("f").value
        assert (type(value), value.kind) == (Handle, kind)


def test_an_array_subclass_runs_none_of_its_code_in_the_grader():
    source = (
        "import numpy as np\n"
        "class Equal(np.ndarray):\n"
        "    def __eq__(self, other): return True\n"
        "    def __sub__(self, other): return 0 * self\n"
        "    def __array_ufunc__(self, *a, **k): return 0\n"
        "def f():\n    return np.ones(3).view(Equal)"
    )
    with Child() as child:
        child.load(source)
        value = child.call("f").value
    assert type(value) is np.ndarray
    assert (value == 2).tolist() == [False] * 3


@pytest.mark.parametrize("shape", ["(1 << 21,)", "(1,) * 6"])
def test_an_answer_that_is_too_large_is_malformed(shape):
    with Child() as child:
        child.load(f"import numpy as np\ndef f():\n    return np.zeros({shape})")
        assert child.call("f").status == "malformed"


def test_nothing_runs_when_the_child_is_ended(tmp_path):
    """atexit, __del__ and threads that wait for the end get no turn."""
    source = (
        "import atexit, os\n"
        "class Late:\n    def __del__(self): os.write(1, b'late')\n"
        "late = Late()\n"
        "atexit.register(lambda: os.write(1, b'late'))\n"
    )
    with Child(sandbox="none") as child:
        child.load(source)
    assert b"late" not in bytes(child._process.output)


# The grader as a whole


def graded(tmp_path, hostile):
    """The results by name of a step that is right but for what it does beside it; k is the number of its call."""
    path = tmp_path / "hw.py"
    path.write_text(
        "import sys\nimport numpy as np\n"
        "def rnn_step_forward(x, prev_h, Wx, Wh, b):\n"
        "    k = rnn_step_forward.k = getattr(rnn_step_forward, 'k', 0) + 1\n"
        f"{textwrap.indent(hostile, '    ')}\n"
        "    h = np.tanh(x @ Wx + prev_h @ Wh + b)\n"
        "    return h, (x, prev_h, Wx, Wh, h)\n"
        "def rnn_step_backward(dnext_h, cache):\n"
        "    x, prev_h, Wx, Wh, h = cache\n"
        "    da = dnext_h * (1 - h * h)\n"
        "    return da @ Wx.T, da @ Wh.T, x.T @ da, prev_h.T @ da, da.sum(0)\n"
    )
    course = profile.read("cs231n-a3")
    step = dataclasses.replace(course, functions=tuple(f for f in course.functions if f.group == "rnn-step"))
    return {f.name: f for f in judge.grade(submission.load(path), step, seeds=[1, 2, 3]).functions}


def test_a_right_step_is_graded_right(tmp_path):
    """The control of the tests below."""
    assert [f.status for f in graded(tmp_path, "pass").values()] == ["correct", "correct"]


def test_a_forward_that_fails_on_one_seed_only_is_a_failure_like_any(tmp_path):
    forward, backward = graded(tmp_path, "if k == 2: raise ValueError('now and then')").values()
    assert (forward.status, forward.exception.text) == ("crashed", "now and then")
    assert (backward.status, backward.score, backward.blocked_by) == ("not-implemented", 0, forward.name)


def test_an_array_where_the_course_has_a_list_is_compared_with_it(tmp_path):
    """One tensor of three axes, of wrong values: the search for its cause must stand what the right one is made of."""
    path = tmp_path / "hw.py"
    path.write_text("import numpy as np\ndef rnn(inputs, state, params):\n    return np.array(inputs) * 2.0, state\n")
    course = profile.read("d2l")
    course = dataclasses.replace(course, functions=tuple(f for f in course.functions if f.name == "rnn"))
    (result,) = judge.grade(submission.load(path), course, seeds=[1, 2]).functions
    assert (result.status, result.score) == ("wrong", 0)


HOSTILE_VALUES = [
    "10**30", "[10**18, 1.5]", "float('nan')", "'x' * 3000", "{}", "np.full((3, 7), 1e308)", "np.zeros((1000, 1000))",
    "Handle('p0', '\\x1b' * 9)", "(np.zeros((3, 7)),) * 6", "[[1], [2, 3]]", "(np.ones((3, 7)), 5)", "np.zeros((0, 3))",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_no_answer_stops_a_grading_or_gets_points(tmp_path, seed):
    """The runner itself answers at random, with what is no array, no tensor of the course, no handle that exists."""
    forge = (
        "protocol = sys.modules['sandbox.protocol']\n"
        "if k == 1:\n"
        "    import random\n"
        f"    R, true, Handle = random.Random({seed}), protocol.encode, protocol.Handle\n"
        f"    pick = lambda: eval(R.choice({HOSTILE_VALUES}), globals(), {{'Handle': Handle}})\n"
        "    def encode(kind, id, header, tree=None):\n"
        "        tree = [pick() for _ in tree] if kind == 34 else pick()\n"
        "        if kind == 33:\n"
        "            header['raised'] = R.choice([None, ['E', 3, 'Token'], ['\\x1b', None, '\\x07' * 5000]])\n"
        "            header['status'] = R.choice(['ok', 'ok', 'ok', 'exception', 'memory'])\n"
        "            header['mutated'] = R.choice([[], ['', '....', '99']])\n"
        "        try:\n"
        "            return true(kind, id, header, tree)\n"
        "        except protocol.Malformed:\n"
        "            return true(kind, id, header, [None] * len(tree) if kind == 34 else None)\n"
        "    protocol.encode = encode\n"
    )
    results = graded(tmp_path, forge)
    assert [f.score for f in results.values()] == [0, 0]
    assert "\x1b" not in str([dataclasses.asdict(f) for f in results.values() if f.exception])
