"""The fork server: one for a thread, no part of the grader in it, no part of a submission either."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from minrnn.grading.sandbox import Child, SandboxError, server

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
