"""The fork server: one for a thread, no part of the grader in it, no part of a submission either."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from minrnn.grading.sandbox import Child, Limits, SandboxError, forks, server

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="submissions run on POSIX systems only")
linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
TELL = "import os\ndef parent():\n    return os.getppid()\ndef answer():\n    return 42\n"


def loaded(**settings):
    child = Child(**settings)
    assert child.load(TELL).ok
    return child


def gone(pid):
    """Whether a process ends within a few seconds."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_the_children_of_a_thread_have_one_server_and_it_is_not_the_grader():
    with loaded() as one, loaded() as two:
        parents = {child.call("parent").value for child in (one, two)}
    with loaded() as three:
        parents.add(three.call("parent").value)
    assert len(parents) == 1
    assert os.getpid() not in parents


def test_a_thread_has_a_server_of_its_own_that_ends_with_it():
    found = []

    def grade():
        with loaded() as child:
            found.append(child.call("parent").value)

    with loaded() as child:
        found.append(child.call("parent").value)
        thread = threading.Thread(target=grade)
        thread.start()
        thread.join()
        mine, other = found
        assert mine != other
        assert gone(other)
        assert child.call("answer").value == 42


def test_a_copy_of_the_grader_starts_a_server_of_its_own_and_leaves_that_of_the_grader():
    """As a pool of processes does that is forked."""
    with loaded() as child:
        server_of_ours = child.call("parent").value
        copy = os.fork()
        if not copy:
            with loaded() as other:
                right = other.call("answer").value == 42 and other.call("parent").value != server_of_ours
            os._exit(0 if right else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]) == 0
        assert child.call("parent").value == server_of_ours
        with loaded() as another:
            assert another.call("parent").value == server_of_ours


def test_a_server_made_of_something_else_is_not_asked(monkeypatch):
    with loaded() as child:
        old = child.call("parent").value
    python, sources = server.ingredients()
    monkeypatch.setattr(server, "ingredients", lambda: (python, sources | {"values": sources["values"] + "\n"}))
    with loaded() as child:
        assert child.call("parent").value != old


@linux
def test_who_kills_the_server_kills_the_children_and_the_next_child_has_a_new_one():
    with loaded() as child:
        old = child.call("parent").value
        os.kill(old, signal.SIGKILL)
        statuses = [child.call("answer").status for _ in range(1000)]  # the kernel needs a moment
        assert set(statuses) <= {"ok", "killed"}
        assert statuses[-1] == "killed"
    with loaded() as child:
        assert child.call("answer").value == 42
        assert child.call("parent").value != old


def tries(child, source, *args):
    """What a function f of this source returns in a child."""
    assert child.load(source).ok
    reply = child.call("f", args)
    assert reply.ok, reply
    return reply.value


def test_a_child_leaves_no_message_for_the_next_one():
    """Locks and flags belong to an open file: one that both children hold would carry them."""
    leave = (
        "import fcntl, os, struct\n"
        "def f():\n"
        "    fcntl.fcntl(0, fcntl.F_SETFL, os.O_APPEND)\n"
        "    fcntl.fcntl(0, 37, struct.pack('hhqqi4x', fcntl.F_RDLCK, 0, 1000, 65, 0))\n"  # F_OFD_SETLK
    )
    find = (
        "import fcntl, os, struct\n"
        "def f():\n"
        "    asked = struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0)\n"
        "    kind = struct.unpack('hhqqi4x', fcntl.fcntl(os.open('/dev/null', os.O_RDWR), 36, asked))[0]\n"
        "    return kind == fcntl.F_UNLCK, fcntl.fcntl(0, fcntl.F_GETFL) & os.O_APPEND\n"
    )
    if sys.platform != "linux":
        pytest.skip("the locks are Linux's")
    with Child() as child:
        tries(child, leave)
    with Child() as child:
        assert tries(child, find) == (True, 0)


def test_children_do_not_draw_the_same_numbers():
    drawn = []
    for _ in range(2):
        with Child() as child:
            source = "import random, numpy as np\ndef f():\n    return random.random(), float(np.random.rand())"
            drawn += tries(child, source)
    assert len(set(drawn)) == 4


@pytest.mark.parametrize("request_", ["fork", "wait"])
@pytest.mark.parametrize("read", [0, 6])
def test_an_interrupted_grader_does_not_take_one_answer_for_another(monkeypatch, request_, read):
    """Ctrl-C between a request and its answer: nothing of the answer is read, or a part of it."""
    receive = forks.receive

    def interrupted(control):
        monkeypatch.setattr(forks, "receive", receive)
        control.recv(read)
        raise KeyboardInterrupt

    with loaded() as first:
        if request_ == "fork":
            monkeypatch.setattr(forks, "receive", interrupted)
            with pytest.raises(KeyboardInterrupt):
                Child()
        else:
            other = loaded()
            monkeypatch.setattr(forks, "receive", interrupted)
            with pytest.raises(KeyboardInterrupt):
                other.close()
            other.close()
        assert first.call("answer").status in ("ok", "killed")
    with Child() as child:
        source = "import os\ndef f():\n    return os.getpid()"
        assert tries(child, source) == child._process.pid


def test_a_child_whose_end_is_interrupted_ends_all_the_same(monkeypatch):
    before = len(os.listdir("/dev/fd"))
    child = loaded()
    pid, killpg = child._process.pid, os.killpg

    def interrupted(*given):
        monkeypatch.setattr(os, "killpg", killpg)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "killpg", interrupted)
    with pytest.raises(KeyboardInterrupt):
        child.close()
    child.close()
    assert gone(pid)
    assert len(os.listdir("/dev/fd")) <= before + 2  # those of the server


def test_who_starts_the_grader_may_ignore_the_ends_of_processes():
    program = (
        "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "from minrnn.grading.sandbox import Child\n"
        "with Child() as child:\n"
        "    child.load('import os\\ndef f():\\n    os._exit(3)')\n"
        "    print(child.call('f').status)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "process-exit\n"


def test_a_machine_that_has_no_process_left_is_quoted_and_the_other_children_live(monkeypatch):
    python, sources = server.ingredients()
    refusing = sources["forks"].replace(
        "def serve(", "def refuse():\n    raise OSError(11, 'no process left')\n\n\ndef serve("
    )
    refusing = refusing.replace("os.fork()", "(os.fork if asked['limits']['cpu_s'] != 7 else refuse)()")
    monkeypatch.setattr(server, "ingredients", lambda: (python, sources | {"forks": refusing}))
    with loaded() as child:
        with pytest.raises(SandboxError, match=r"no child could be started: .*no process left"):
            Child(Limits(cpu_s=7))
        assert child.call("answer").value == 42


@linux
def test_a_child_that_is_traced_by_the_server_does_not_end_it():
    """PTRACE_TRACEME needs no permission of the tracer; a stop is then told as if it were an end."""
    source = (
        "import ctypes, os, signal\n"
        "def f():\n    ctypes.CDLL(None).ptrace(0, 0, 0, 0)\n    os.closerange(3, 64)\n"
        "    os.kill(os.getpid(), signal.SIGUSR1)\n"
    )
    with loaded() as other:
        with Child(sandbox="none") as child:
            assert child.load(source).ok
            assert child.call("f").status == "no-answer"
        assert other.call("answer").value == 42


def test_a_server_whose_children_do_not_start_is_replaced(monkeypatch):
    python, sources = server.ingredients()
    failing = sources["runner"].replace(
        "    warnings.simplefilter", "    raise OSError('too late')\n    warnings.simplefilter"
    )
    monkeypatch.setattr(server, "ingredients", lambda: (python, sources | {"runner": failing}))
    with pytest.raises(SandboxError, match="too late"):
        Child()
    assert not server._OF_THREAD.server.serves()


def test_a_server_that_does_not_answer_is_gone_for_good():
    """Its process may end later than its socket: nobody is to ask it again meanwhile."""
    one = server.Server()
    one._control.shutdown(2)
    with pytest.raises(server.GONE):
        one.wait(1, 0.0)
    assert not one.serves()
    assert one._popen.returncode is not None


def test_a_server_that_ends_while_a_child_is_asked_for_is_the_graders_error(monkeypatch):
    def ended(self, settings, pipes):
        raise EOFError("the other side has closed")

    monkeypatch.setattr(server.Server, "fork", ended)
    with pytest.raises(SandboxError, match="no child could be started: the other side has closed"):
        Child()


def test_the_server_dies_with_its_grader():
    program = (
        "from minrnn.grading.sandbox import Child\n"
        f"child = Child()\nchild.load({TELL!r})\n"
        "print(child.call('parent').value, flush=True)\ninput()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as grader:
        pid = int(grader.stdout.readline())
        os.kill(pid, 0)
        grader.kill()
    assert gone(pid)


@linux
def test_the_server_dies_with_its_grader_even_where_a_copy_of_that_lives_on():
    program = (
        "import os, sys, time\nfrom minrnn.grading.sandbox import Child\n"
        f"child = Child()\nchild.load({TELL!r})\n"
        "copy = os.fork()\n"
        "if not copy: time.sleep(60)\n"
        "print(child.call('parent').value, copy, flush=True)\ninput()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as grader:
        pid, copy = map(int, grader.stdout.readline().split())
        grader.kill()
        try:
            assert gone(pid)
        finally:
            os.kill(copy, signal.SIGKILL)


def test_the_processes_of_a_child_end_with_it():
    with Child(sandbox="none") as child:
        child.load(
            "import os, time\ndef f():\n    pid = os.fork()\n    if not pid:\n        time.sleep(60)\n"
            "        os._exit(0)\n    return pid"
        )
        pid = child.call("f").value
        os.kill(pid, 0)
    assert gone(pid)


@pytest.mark.parametrize("change", ["_OF_THREAD.server.end()", "_OF_THREAD = None"])
def test_a_grader_that_ends_in_order_leaves_no_server(change):
    program = (
        "from minrnn.grading.sandbox import Child, server\n"
        f"with Child() as child:\n    child.load({TELL!r})\n    print(child.call('parent').value, flush=True)\n"
        f"server.{change}\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert gone(int(done.stdout))


@linux
def test_a_child_holds_its_pipes_and_nothing_else():
    with Child(sandbox="none") as child:
        child.load(
            "import os\ndef f():\n    names = (f'/proc/self/fd/{n}' for n in range(64))\n"
            "    return [os.readlink(name) for name in names if os.path.lexists(name)]"
        )
        held = child.call("f").value
    assert len(held) == 5
    assert [name for name in held if not name.startswith("pipe:")] == ["/dev/null"]


def test_what_a_submission_does_to_numpy_is_gone_in_the_next_child():
    with Child() as child:
        child.load("import numpy as np\nnp.tanh = None\nnp.random.seed(0)")
    with Child() as child:
        child.load("import numpy as np\ndef f():\n    return float(np.tanh(0.5))")
        assert child.call("f").value == pytest.approx(0.4621171572600098)


@linux
def test_the_server_knows_nothing_of_the_grader(monkeypatch):
    monkeypatch.setenv("GRADER_SECRET", "s3cret")
    found = []

    def look():
        with loaded() as child:
            pid = child.call("parent").value
            found.append(Path(f"/proc/{pid}/environ").read_bytes())
            found.append(os.readlink(f"/proc/{pid}/cwd"))

    thread = threading.Thread(target=look)  # with a server of its own
    thread.start()
    thread.join()
    assert b"s3cret" not in found[0]
    assert found[1] == "/"
