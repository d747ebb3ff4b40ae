"""Ranks of mpiexec: the run that one process makes, whatever their number; and what is said when one dies.

What concerns processes alone (watchers, signals, codes) is tested with an mpi4py made for it, so without MPI. The rest
needs `pip install 'minrnn[mpi]'`, or mpi4py and the mpiexec of its MPI library.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import minrnn
from minrnn.cli.main import main
from minrnn.cli.ranks import launched
from minrnn.model.checkpoint import load_checkpoint
from minrnn.runs import read_metrics

ROOT = Path(minrnn.__file__).parents[1]
PATIENCE = 120.0  # seconds; MPI is slow to start where there are fewer cores than ranks
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
LAUNCHED = "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMI_RANK", "PMI_SIZE"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="ranks are watched on POSIX systems only")
needs_mpi = pytest.mark.skipif(
    not (find_spec("mpi4py") and MPIEXEC),
    reason=f"needs pip install 'minrnn[mpi]': {'no mpiexec' if find_spec('mpi4py') else 'no mpi4py'}",
)


@pytest.fixture
def begin(tmp_path):
    """begin(command, **environment): a process whose whole session is gone after the test."""
    started = []

    def start(command, **environment):
        clean = {name: value for name, value in os.environ.items() if name not in LAUNCHED}
        open_mpi = {
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        }
        path = os.pathsep.join([environment.pop("PYTHONPATH", ""), str(ROOT)]).strip(os.pathsep)
        process = subprocess.Popen(
            list(map(str, command)),
            env=clean | open_mpi | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": path} | environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def end(process):
    """Exit code, stdout, stderr."""
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def wait_for(condition):
    limit = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < limit, "waited for too long"
        time.sleep(0.02)
    return found


def running(pid):
    """Whether there is such a process; one that nobody has waited for yet has ended all the same."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/status")
    return not (status.exists() and "State:\tZ" in status.read_text())


# Who is who, without MPI.


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, (0, 1)),
        ({"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "3"}, (2, 3)),
        ({"PMI_RANK": "1", "PMI_SIZE": "4"}, (1, 4)),
        ({"PMI_RANK": "0", "PMI_SIZE": "1"}, (0, 1)),
        ({"PMI_RANK": "1"}, (0, 1)),
        ({"PMI_RANK": "x", "PMI_SIZE": "2"}, (0, 1)),
    ],
)
def test_the_launcher_says_how_many(variables, expected, monkeypatch):
    for name in LAUNCHED:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert launched() == expected


@pytest.mark.parametrize("size", [None, "1"])
def test_one_process_is_a_run_without_mpi(size, monkeypatch, tmp_path):
    """Else training would be slower to start, and need mpi4py."""
    for name in LAUNCHED:
        monkeypatch.delenv(name, raising=False)
    if size:
        monkeypatch.setenv("PMI_RANK", "0")
        monkeypatch.setenv("PMI_SIZE", size)
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.setattr(subprocess, "Popen", None)
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be " * 30)
    assert main(["train", str(text), "--out", str(tmp_path / "run"), "--hidden", "3", "--steps", "2", "--quiet"]) == 0


@pytest.fixture
def rank(tmp_path, begin):
    """rank(mpi, argv=…, number=…): a rank of two, in which `from mpi4py import MPI` runs the code `mpi`."""

    def start(mpi, argv=("--help",), number=0):
        package = tmp_path / "fake" / "mpi4py"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "MPI.py").write_text(mpi)
        variables = {"PMI_RANK": str(number), "PMI_SIZE": "2", "PYTHONPATH": str(package.parent)}
        return begin([sys.executable, "-m", "minrnn", "train", *argv], **variables)

    return start


def error_of(process, code):
    """The one line on stderr of a process that must end with this code and without output."""
    found, out, err = end(process)
    assert (found, out) == (code, "") and err.startswith("minrnn: error: ") and err.count("\n") == 1, (found, out, err)
    return err


def test_missing_mpi4py_is_told_with_the_way_out(rank):
    assert "pip install 'minrnn[mpi]'" in error_of(rank("raise ImportError"), 2)


def test_a_missing_mpi_library_is_told_with_the_way_out(rank):
    err = error_of(rank("raise RuntimeError('cannot load MPI library')"), 5)
    assert "cannot load MPI library" in err and "pip install 'minrnn[mpi]'" in err


def test_the_mpiexec_of_another_library_is_told(rank):
    """Else every process would train alone, and write into one folder."""
    mpi = "class COMM_WORLD: rank, size = 0, 1\ndef Get_library_version(): return 'Some MPI 7\\nmore'"
    err = error_of(rank(mpi), 5)
    assert "2 processes" in err and "Some MPI 7," in err and "sees 1" in err


def test_a_killed_rank_gets_last_words_and_the_documented_code(rank):
    err = error_of(rank("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", number=1), 5)
    assert "rank 1 of 2" in err and "SIGKILL" in err and "--resume" in err


STUCK = "import os, time; open('pid.tmp', 'w').write(str(os.getpid())); os.rename('pid.tmp', 'pid'); time.sleep(1000)"


def pid_of_the_rank(folder):
    wait_for((folder / "pid").exists)
    return int((folder / "pid").read_text())


def test_a_rank_ends_with_its_watcher(rank, tmp_path):
    """mpiexec kills what it has started; the rank itself must not stay behind."""
    process = rank(STUCK)
    pid = pid_of_the_rank(tmp_path)
    assert pid != process.pid
    process.kill()
    wait_for(lambda: not running(pid))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_the_rank_through_its_watcher(number, rank, tmp_path):
    process = rank(STUCK)
    pid = pid_of_the_rank(tmp_path)
    assert os.getsid(pid) != os.getsid(process.pid)  # else a terminal would send it a second one: leave at once
    process.send_signal(number)
    code, out, err = end(process)
    assert (code, out) == (128 + number, "") and "memory" not in err


# The mathematics, with MPI.

ENGINE = """
import sys
import numpy as np
from minrnn import CharRNN, mpi
from minrnn.cli.ranks import launched

ranks = mpi.join(launched()[1])
if ranks.rank:
    sys.exit(ranks.serve())

V, T = 7, 5
rng = np.random.default_rng(1)

def network(**settings):
    return CharRNN(V, hidden_size=4, dtype="float64", seed=3, **settings)

def close(a, b):
    assert a.shape == b.shape and np.abs(a - b).max() <= 1e-13, np.abs(a - b).max()

for cell in ("lstm", "gru"):
    alone, model, state = network(cell=cell), network(cell=cell), None
    model.params.flat[...] = alone.params.flat[...] = rng.standard_normal(alone.params.flat.size)  # not of the seed
    with mpi.sharing(model, T, 7) as engine:
        assert engine is not model
        for B in (7, 7, 2, 1, 7):  # fewer rows than ranks: nothing may be left of the former gradient
            x, y = rng.integers(V, size=(2, T, B))
            before = state if B == 7 else None
            loss, after = alone.gradient(x, y, before, dloss=2.5)
            found, found_after = engine.gradient(x, y, before, dloss=2.5)
            close(found, loss)
            close(model.grads.flat, alone.grads.flat)
            for a, b in zip(sum(after, ()), sum(found_after, ()), strict=True):
                close(a, b)
            state = after if B == 7 else state
            for m in (alone, model):
                m.params.flat[...] -= 0.3 * m.grads.flat
            close(engine.nll(x, y, before)[0], alone.nll(x, y, before)[0])
        for place in (0, B - 1):  # the leading rank's row, and the last one's
            wrong = x.copy()
            wrong[2, place] = V
            try:
                engine.gradient(wrong, y)
                raise AssertionError("accepted")
            except IndexError as error:
                assert "0 … 6" in str(error)
        assert not ranks.adrift
        close(engine.gradient(x, y)[0], alone.gradient(x, y)[0])

masks = []
for seed in (1, 1, 2):
    model = network(dropout=0.5)
    with mpi.sharing(model, T, 7) as engine:
        engine.gradient(x, y, rng=np.random.default_rng(seed))
    masks.append(model.grads.flat.copy())
assert (masks[0] == masks[1]).all() and (masks[0] != masks[2]).any()

print("all is well")
ranks.end(0)
"""


@needs_mpi
@pytest.mark.parametrize("ranks", [2, 3])
def test_gradient_loss_state_and_errors_are_those_of_one_process(ranks, begin, tmp_path):
    (tmp_path / "engine.py").write_text(ENGINE)
    code, out, err = end(begin([MPIEXEC, "-n", ranks, sys.executable, "engine.py"]))
    assert (code, out, err) == (0, "all is well\n", "")


# Runs, with MPI.

OPTIONS = {"hidden": 6, "seq": 5, "batch": 7, "lr": 0.01, "dtype": "float64"}
OFTEN = {"log-every": 1, "eval-every": 5, "save-every": 5, "sample-every": 0}


@pytest.fixture
def train(begin, tmp_path):
    """train(ranks, *options): `minrnn train` by so many ranks, or one process without mpiexec."""
    text = tmp_path / "text.txt"
    text.write_text("".join(np.random.default_rng(0).choice(list("abcd \n"), size=1500)))

    def start(ranks, *options):
        launcher = [] if ranks == 1 else [MPIEXEC, "-n", ranks]
        files = [] if "--resume" in options else [text]
        if files:
            files += [word for name, value in (OPTIONS | OFTEN).items() for word in (f"--{name}", value)]
        return begin([*launcher, sys.executable, "-m", "minrnn", "train", *files, *options, "--quiet"])

    return start


def kept(run):
    """The arrays of the last checkpoint, and the numbers of all lines of metrics that are not clocks."""
    lines = [line for line in read_metrics(run) if "event" not in line]
    names = "step", "loss", "grad_norm", "clipped", "val_loss"
    return load_checkpoint(run / "last.safetensors")[0], [[line.get(n, 0.0) for n in names] for line in lines]


def assert_same(run, reference, assert_close, tolerance=1e-10):
    (arrays, lines), (expected, expected_lines) = kept(run), kept(reference)
    assert arrays.keys() == expected.keys() and "state.0.h" in arrays
    for name, array in expected.items():
        assert_close(arrays[name], array, tolerance, name)
    assert len(lines) == 24  # 20 logs, 4 evaluations
    assert_close(lines, expected_lines, tolerance)


@needs_mpi
def test_twenty_steps_are_those_of_one_process_and_of_every_resumption(train, tmp_path, assert_close):
    for ranks in (1, 2, 3):
        assert end(train(ranks, "--steps", 20, "--out", f"{ranks}")) == (0, "", "")
    for ranks in (2, 3):  # 7 rows: 3 + 4, 2 + 2 + 3
        assert_same(tmp_path / f"{ranks}", tmp_path / "1", assert_close)
    assert end(train(2, "--steps", 8, "--out", "cut")) == (0, "", "")
    shutil.copytree(tmp_path / "cut", tmp_path / "again")
    for ranks, steps in ((1, 14), (3, 20)):
        assert end(train(ranks, "--resume", "cut", "--steps", steps)) == (0, "", "")
    lines = [line for line in read_metrics(tmp_path / "cut") if "val_loss" in line]
    assert [line["step"] for line in lines] == [5, 8, 10, 14, 15, 20]
    arrays, expected = kept(tmp_path / "cut")[0], kept(tmp_path / "1")[0]
    for name, array in expected.items():
        assert_close(arrays[name], array, 1e-10, name)
    assert end(train(2, "--resume", "again", "--steps", 20)) == (0, "", "")
    for name, array in kept(tmp_path / "2")[0].items():  # of the same number, bit for bit
        np.testing.assert_array_equal(kept(tmp_path / "again")[0][name], array)


def pids():
    """{rank: pid} of the ranks of this test: those that have a watcher, in this very folder."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            pairs = (pair.split("=", 1) for pair in (process / "environ").read_text().split("\0") if "=" in pair)
            variables, folder = dict(pairs), os.readlink(process / "cwd")
        except OSError:  # it has ended, or is somebody else's
            continue
        if "MINRNN_WATCHER" in variables:
            number = variables.get("PMI_RANK") or variables["OMPI_COMM_WORLD_RANK"]
            found[folder, int(number)] = int(process.name)
    return found


@pytest.fixture
def endless(train, tmp_path):
    """endless(): a run by two ranks that has saved a checkpoint, and the process of each rank."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("this system does not show the environment of a process")

    def start():
        process = train(2, "--steps", 10**6, "--out", "run")
        wait_for(lambda: (tmp_path / "run" / "last.safetensors").exists() or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        found = pids()
        return process, [found[str(tmp_path), rank] for rank in (0, 1)]

    return start


@needs_mpi
@pytest.mark.parametrize("victim", [0, 1])
def test_a_dead_rank_ends_all_with_a_message_a_code_and_an_intact_checkpoint(victim, endless, train, tmp_path):
    process, members = endless()
    begin = time.monotonic()
    os.kill(members[victim], signal.SIGKILL)
    code, _, err = end(process)
    assert time.monotonic() - begin < 10
    assert code == 5
    assert err.count("minrnn: error: ") == 1 and f"rank {victim} of 2 was ended by SIGKILL" in err and "--resume" in err
    wait_for(lambda: not any(map(running, members)))
    step = load_checkpoint(tmp_path / "run" / "last.safetensors")[1]["trainer"]["step"]
    assert step >= 5 and step % 5 == 0
    assert end(train(2, "--resume", "run", "--steps", step + 2))[0] == 0


@needs_mpi
def test_an_interrupted_run_is_saved_by_all_together(endless, tmp_path):
    process, members = endless()
    os.kill(members[1], signal.SIGINT)  # as mpiexec sends it to all; those that serve wait for rank 0
    os.kill(members[0], signal.SIGINT)
    code, _, err = end(process)
    assert code == 130 and err.count("minrnn train --resume run") == 1
    content = load_checkpoint(tmp_path / "run" / "last.safetensors")[1]
    logged = [line["step"] for line in read_metrics(tmp_path / "run") if "loss" in line]
    assert content["trainer"]["step"] >= logged[-1]
    wait_for(lambda: not any(map(running, members)))


@needs_mpi
@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--lr", 1e30, "--optimizer", "sgd", "--clip-norm", 0], 4, "diverged"),
        (["--cell", "none"], 2, "--cell"),
        (["--device", "cupy:x"], 5, "unknown device"),
    ],
)
def test_what_ends_the_leading_rank_ends_all_with_its_code_and_one_message(options, code, words, train):
    found, out, err = end(train(2, "--out", "run", *options))
    assert (found, out) == (code, "") and err.count("error: ") == 1 and words in err
    assert "abort" not in err.lower()
