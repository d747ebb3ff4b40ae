"""Submissions that attack the grader: each is contained, each is reported for what it did, and the grader goes on.

Every attack runs at load time and inside a call. None of them can do harm where the jail fails: signals are such that
their target survives, files are those of the test.
"""

import os
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from minrnn.grading.sandbox import Child, Handle, Limits, probe

WALL_S = 1.5
SECRET = "expected values 3.14159"
LAYERS = probe()["layers"] if sys.platform != "win32" else {}


def needs(*layers):
    """Skips an attack that only these layers stop, where the machine does not have them."""
    missing = [layer for layer in layers if LAYERS.get(layer) != "on"]
    return pytest.mark.skipif(bool(missing), reason=f"not available here: {', '.join(missing)}")


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
}

# Those that a layer of the kernel answers with an exception of the submission.
REFUSED = {
    "a fork": ("import os\nif os.fork() == 0: os._exit(0)", ["seccomp"], "PermissionError"),
    "a fork bomb": ("import os\nwhile True:\n    if os.fork() == 0: os._exit(0)", ["seccomp"], "PermissionError"),
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
    "a new file in its own folder": ("open('here', 'w').write('x' * 100)", ["landlock"], "PermissionError"),
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
    "tracing the parent": (
        "import ctypes, os\nc = ctypes.CDLL(None, use_errno=True)\n"
        "if c.ptrace(16, os.getppid(), 0, 0) < 0: raise OSError(ctypes.get_errno(), 'ptrace')",
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
    return {
        "ANSWERS": str(answers),
        "LINK": str(tmp_path / "link"),
        "NEW": str(tmp_path / "new"),
        "HOME": str(Path.home()),
        "GRADER": str(Path(sys.modules["minrnn.grading.sandbox"].__file__)),
    }


@pytest.fixture(scope="module")
def jailed():
    """One child for all attacks that are refused: after each it must answer as before."""
    with Child(Limits(wall_s=60)) as child:
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
    limits = Limits(wall_s=WALL_S if "timeout" in statuses else 10)
    with Child(limits) as child:
        began = time.monotonic()
        reply = attacked(child, where, source)
        assert time.monotonic() - began < limits.wall_s + 3
        assert reply.status in statuses
        assert exception in (None, reply.exception and reply.exception.type)
        assert reply.value is None
        if reply.exception is None and reply.status != "memory":  # the child is dead: it stays so, and says so
            assert child.call("ok", (1,)).status == child.load("a = 1").status == reply.status
            assert [r.status for r in child.call_many("ok", [(1,), (2,)])] == [reply.status] * 2


@WHERE
@pytest.mark.parametrize("name", [pytest.param(name, marks=needs(*REFUSED[name][1])) for name in REFUSED])
def test_an_attack_on_the_system_is_refused_and_the_child_goes_on(jailed, name, where, files):
    source, _, exception = REFUSED[name]
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


@pytest.mark.parametrize("name", ["endless loop", "sleeping", "memory", "output", "os._exit"])
def test_without_any_layer_of_the_kernel_time_memory_and_output_still_hold(name):
    source, statuses, _ = ATTACKS[name]
    limits = Limits(wall_s=WALL_S if "timeout" in statuses else 10)
    with Child(limits, sandbox=["rlimits"]) as child:
        assert child.layers["seccomp"] == child.layers["landlock"] == "off"
        assert attacked(child, "call", source).status in statuses


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
    "counts of text": "forge(33, ID, HEAD | {'calls': {'f': 'many'}}, 1)",
    "bytes": "[os.write(fd, b'A' * 4000) for fd in range(3, 64) if not call(os.write, fd, b'')]",
    "a frame that promises an exabyte": (
        "[call(os.write, fd, protocol.HEAD.pack(b'MRG1', 33, ID, 10, 1 << 60)) for fd in range(3, 64)]"
    ),
}
CALL = "def call(f, *a):\n    try:\n        return f(*a)\n    except OSError as e:\n        return e\n"


@WHERE
@pytest.mark.parametrize("name", FORGED)
def test_a_forged_frame_ends_the_child(name, where):
    with Child(Limits(wall_s=3)) as child:
        source = FORGERY + CALL + f"ID = {1 if where == 'load' else 2}\n" + FORGED[name]
        assert attacked(child, where, source).status == "malformed"
        assert child.load("a = 1").status == "malformed"


def test_a_forged_frame_that_is_not_finished_is_a_timeout():
    with Child(Limits(wall_s=1)) as child:
        source = FORGERY + CALL + (
            "[call(os.write, fd, protocol.HEAD.pack(b'MRG1', 33, 1, 1000, 0)) for fd in range(3, 64)]\n"
            "import time\ntime.sleep(100)"
        )  # fmt: skip
        assert child.load(source).status == "timeout"


def test_a_callback_that_was_never_asked_for_tells_nothing():
    with Child(Limits(wall_s=3)) as child:
        child.load(FORGERY + "def f():\n    forge(35, 2, {'name': 'step'}, {'args': (), 'kwargs': {}})\n    return 1")
        assert child.call("f").value in (1, None)


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
    with Child(Limits(wall_s=3)) as child:
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
    with Child(Limits(wall_s=5)) as child:
        child.load(source)
        reply = child.call("f")
        pid = reply.value or child._process._popen.pid  # as another user, no thread can be started
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_thread_that_prints_between_calls_is_a_flood_at_the_next_one():
    source = (
        "import threading\n"
        "def spin():\n    while True: print('x' * 1000)\n"
        "def f():\n    threading.Thread(target=spin).start()\n    return 1\n"
    )
    with Child(Limits(wall_s=5)) as child:
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
