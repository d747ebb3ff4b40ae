"""Rows shared between processes: the gradient that one process makes, and nothing lost when one fails or dies."""

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from minrnn import CharRNN, parallel
from minrnn.cli.main import main
from minrnn.config import merge
from minrnn.fit import resume, start
from minrnn.model.checkpoint import load_checkpoint
from minrnn.optim import SGD, Constant
from minrnn.parallel import RowParallel, WorkerDied, hold_threads, processes_for, sharing
from minrnn.runs import read_metrics
from minrnn.text import FixedLength, StreamBatches, streams
from minrnn.train import Trainer

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes are shared on POSIX systems only")

V, T, B = 7, 5, 6
PATIENCE = 20.0  # seconds


def network(**arguments):
    return CharRNN(V, **{"hidden_size": 4, "dtype": "float64", "seed": 3, "init": "uniform"} | arguments)


def chunk(rng, B=B, T=T):
    return rng.integers(V, size=(T, B)), rng.integers(V, size=(T, B))


def random_state(rng, model, B=B):
    return tuple(tuple(rng.standard_normal(a.shape) for a in layer) for layer in model.zero_state(B))


@pytest.fixture(autouse=True)
def patience():
    """A process that waits for another one for ever fails its test, in place of hanging them all."""

    def enough(*_):
        pytest.fail("waited for another process for too long")  # no Exception: nothing catches it

    before = signal.signal(signal.SIGALRM, enough)
    signal.alarm(3 * int(PATIENCE))
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def opened():
    """opened(model, processes): a RowParallel that is closed after the test."""
    made = []

    def make(model, processes=2):
        made.append(RowParallel(model, processes))
        return made[-1]

    yield make
    for team in made:
        team.close()


def workers(team):
    return team.close.peek()[2][1]


def running(pid):
    """Whether there is such a process; one that nobody has waited for yet has ended all the same."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/status")
    return not (status.exists() and "State:\tZ" in status.read_text())


def record(monkeypatch, thing, name):
    """The first arguments of all calls of a method from now on, as they come."""
    seen, real = [], getattr(thing, name)

    def method(x, *args, **options):
        seen.append(x)
        return real(x, *args, **options)

    monkeypatch.setattr(thing, name, method)
    return seen


# The mathematics.


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize(("processes", "B"), [(2, 6), (2, 7), (3, 7), (4, 4), (3, 2), (2, 1)])
def test_gradient_loss_and_state_are_those_of_all_rows_together(cell, processes, B, rng, opened, assert_close):
    """Also where the shares differ in size, so that each must count with its weight, and where rows are too few."""
    alone, model = network(cell=cell), network(cell=cell)
    team = opened(model, processes)
    state = random_state(rng, alone, B)
    for dloss in (1.0, 2.5):
        x, y = chunk(rng, B)
        loss, after = alone.gradient(x, y, state, dloss=dloss)
        shared_loss, shared_after = team.gradient(x, y, state, dloss=dloss)
        assert_close(shared_loss, loss, 1e-13)
        assert_close(model.grads.flat, alone.grads.flat, 1e-12)
        for layer, shared_layer in zip(after, shared_after, strict=True):
            for a, shared in zip(layer, shared_layer, strict=True):
                assert_close(shared, a, 1e-13)
        state = after


def test_a_missing_state_is_zero_in_every_process(rng, opened, assert_close):
    model = network()
    team, (x, y) = opened(model), chunk(rng)
    loss, _ = team.gradient(x, y)
    assert_close(team.gradient(x, y, model.zero_state(B))[0], loss, 0)


def test_every_process_sees_the_update_of_the_parameters(rng, opened, assert_close):
    """And all of them: the last entry of the vector as well as the first."""
    alone, model = network(), network()
    team = opened(model)
    for _ in range(3):
        x, y = chunk(rng)
        loss, _ = alone.gradient(x, y)
        assert_close(team.gradient(x, y)[0], loss, 1e-12)
        for m in (alone, model):
            m.params.flat[...] -= 3.0 * m.grads.flat
    assert_close(model.params.flat, alone.params.flat, 1e-11)


def test_lengths_and_batches_may_change_from_step_to_step(rng, opened, assert_close):
    alone, model = network(), network()
    team = opened(model)
    for T, B in ((5, 6), (2, 3), (9, 6), (1, 1), (5, 6)):
        x, y = chunk(rng, B, T)
        alone.gradient(x, y)
        team.gradient(x, y)
        assert_close(model.grads.flat, alone.grads.flat, 1e-12)


@pytest.mark.parametrize("B", [1, 5])
def test_nats_of_every_character_come_in_the_order_of_the_rows(B, rng, opened, assert_close):
    alone, model = network(dropout=0.5), network(dropout=0.5)
    state, (x, y) = random_state(rng, alone, B), chunk(rng, B)
    nll, after = alone.nll(x, y, state)
    shared_nll, shared_after = opened(model, 3).nll(x, y, state)
    assert_close(shared_nll, nll, 1e-13)
    assert_close(shared_after[1][1], after[1][1], 1e-13)


def test_results_are_the_same_bit_for_bit_at_every_run(rng, opened):
    x, y = chunk(rng, 33, 20)
    found = []
    for _ in range(2):
        model = network(hidden_size=24, dtype="float32")
        team = opened(model)
        for _ in range(3):
            loss, state = team.gradient(x, y)
        found.append((loss, model.grads.flat.copy(), state[1][1]))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert found[0][0].dtype == np.float32


# Dropout.


def test_masks_differ_between_processes_and_repeat_with_the_seed(rng, opened):
    """Rows that are equal lose different units, also where they are in different processes."""
    model = network(hidden_size=40, dropout=0.5)
    team = opened(model)
    x, y = (np.repeat(a, 2, axis=1) for a in chunk(rng, 1))
    first, after = team.gradient(x, y, rng=np.random.default_rng(5))
    h = after[1][0]  # of the second layer, (2,H)
    assert not np.array_equal(h[0], h[1])
    again, _ = team.gradient(x, y, rng=np.random.default_rng(5))
    other, _ = team.gradient(x, y, rng=np.random.default_rng(6))
    assert first == again != other


def test_without_a_generator_nothing_is_dropped_in_any_process(rng, opened, assert_close):
    alone, model = network(dropout=0.5), network(dropout=0.5)
    x, y = chunk(rng)
    loss, _ = alone.gradient(x, y)
    assert_close(opened(model).gradient(x, y)[0], loss, 1e-13)
    assert_close(model.grads.flat, alone.grads.flat, 1e-12)


def test_without_dropout_the_stream_is_not_drawn_from(rng, opened):
    """So that a run without it is the same in one process and in two."""
    stream = np.random.default_rng(5)
    before = stream.bit_generator.state
    opened(network()).gradient(*chunk(rng), rng=stream)
    assert stream.bit_generator.state == before


# Training.


def test_a_trainer_learns_with_several_processes_what_it_learns_alone(opened, assert_close, monkeypatch):
    ids = np.random.default_rng(0).integers(V, size=400).astype("uint8")
    found = []
    for share in (False, True):
        model = network()
        batches = StreamBatches(streams(ids, B), FixedLength(T), seed=3)
        engine = opened(model) if share else None
        trainer = Trainer(model, batches, SGD(1.0), Constant(1.0), clip_norm=0.1, engine=engine)
        trained, looked_at = record(monkeypatch, model, "gradient"), record(monkeypatch, model, "nll")
        losses = [float(trainer.train_step().loss) for _ in range(30)]
        found.append((losses, model.params.flat.copy(), trainer.state[1][1], trainer.next_loss()))
        assert [x.shape for x in trained] == [(T, B // 2 if share else B)] * 30
        assert [x.shape for x in looked_at] == [(T, B // 2 if share else B)]
    for one, other in zip(*found, strict=True):
        assert_close(one, other, 1e-10)


class Watched(RowParallel):
    """A RowParallel of which one can ask how many were made, and what they were asked."""

    made, asked = [], []

    def __init__(self, *args):
        super().__init__(*args)
        self.made.append((self, list(workers(self))))

    def gradient(self, x, *args, **options):
        self.asked.append("gradient")
        return super().gradient(x, *args, **options)

    def nll(self, x, *args):
        self.asked.append("nll")
        return super().nll(x, *args)


@pytest.fixture
def shared(monkeypatch):
    """Every run is shared by two processes, however small it is; the teams that were made, and what they were asked."""
    monkeypatch.setattr(parallel, "count", lambda: 2)
    monkeypatch.setattr(parallel, "WORTH", 0.0)
    monkeypatch.setattr(parallel, "ROWS", 1)
    monkeypatch.setattr(parallel, "RowParallel", Watched)
    monkeypatch.setattr(Watched, "made", [])
    monkeypatch.setattr(Watched, "asked", [])
    return Watched


@pytest.fixture
def begin(tmp_path):
    """begin(name): a small run with dropout and batches of 5 rows, 12 steps."""
    text = "".join(np.random.default_rng(0).choice(list("abcd \n"), size=600))
    (tmp_path / "text.txt").write_text(text)
    size = {"hidden": 6, "seq": 5, "batch": 5, "dropout": 0.3, "steps": 12}
    often = {"log_every": 3, "eval_every": 4, "save_every": 4, "sample_every": 0}
    return lambda name: start(merge(size | often | {"files": [str(tmp_path / "text.txt")]}), tmp_path / name)


def kept(fit):
    """The arrays of the last checkpoint, and the lines of metrics without those of clocks and of resuming."""
    lines = [line for line in read_metrics(fit.folder) if line.get("event") != "resume"]
    clocks = ("elapsed_s", "chars_per_s")
    return load_checkpoint(fit.folder / "last.safetensors")[0], [
        {name: value for name, value in line.items() if name not in clocks} for line in lines
    ]


def test_a_shared_run_resumes_bit_for_bit_and_leaves_no_process_behind(begin, shared):
    reference = begin("reference")
    kinds = [event.kind for event in reference.run()]
    chunks = -(-reference.data.val.x.shape[1] // 5)
    assert shared.asked.count("gradient") == kinds.count("step") == 12
    assert shared.asked.count("nll") == kinds.count("save") + kinds.count("eval") * (1 + chunks)  # looks first, always

    cut = begin("cut")
    for event in (run := cut.run()):
        if event.kind == "step":
            team, members = shared.made[-1]
            assert cut.trainer.engine is team and [worker.poll() for worker in members] == [None]
        if (event.kind, event.data["step"]) == ("step", 6):
            run.close()
    again = resume(cut.folder, {})
    assert again.trainer.step == 4
    list(again.run())
    (expected, lines), (found, found_lines) = kept(reference), kept(again)
    assert found_lines == lines and found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)

    assert len(shared.made) == 3
    assert all(worker.returncode is not None for _, members in shared.made for worker in members)
    for fit in (reference, cut, again):
        assert fit.trainer.engine is fit.trainer.model


def test_a_run_that_fails_or_is_too_small_leaves_no_process_behind(begin, shared, monkeypatch):
    fit = begin("run")
    run = fit.run()
    next(run)
    with pytest.raises(ZeroDivisionError):
        run.throw(ZeroDivisionError)
    ((_, (worker,)),) = shared.made
    assert worker.returncode is not None and fit.trainer.engine is fit.trainer.model
    operations = 6.0 * fit.trainer.model.params.flat.size * 5 * 5
    for worth, teams in ((1.01 * operations, 1), (0.99 * operations, 2)):
        monkeypatch.setattr(parallel, "WORTH", worth)
        next(begin(f"run{teams}").run())
        assert len(shared.made) == teams


def test_a_process_that_dies_in_a_run_ends_it_with_one_line_and_a_code(begin, shared, monkeypatch, capsys):
    fit = begin("run")

    def run(args):
        for event in fit.run():
            if (event.kind, event.data["step"]) == ("step", 6):
                ((_, (worker,)),) = shared.made
                worker.kill()
                worker.wait()

    monkeypatch.setattr("minrnn.cli.train.run", run)
    assert main(["train", "text.txt", "--out", "run"]) == 5
    error = capsys.readouterr().err
    assert error.startswith("minrnn: error: ") and "MINRNN_THREADS=1" in error and error.count("\n") == 1
    assert resume(fit.folder, {}).trainer.step == 4


def test_sharing_gives_the_model_or_as_many_processes_as_pay(shared, monkeypatch):
    model = network()
    with sharing(model, 5, 1) as engine:
        assert engine is model and not shared.made
    monkeypatch.setattr(parallel, "count", lambda: 3)
    with sharing(model, 5, 6) as engine:
        assert engine is shared.made[0][0] and len(workers(engine)) == 2
    assert all(worker.returncode is not None for worker in shared.made[0][1])


# What can go wrong.


def test_a_model_elsewhere_is_refused_before_a_process_is_started(monkeypatch):
    model = network()
    monkeypatch.setattr(model.backend, "is_gpu", True)
    with pytest.raises(ValueError, match="use the model itself"):
        RowParallel(model, 2)


@pytest.mark.parametrize("place", [0, B - 1])
def test_an_error_arrives_from_whichever_process_and_the_next_step_works(place, rng, opened, assert_close):
    alone, model = network(), network()
    team, (x, y) = opened(model), chunk(rng)
    wrong = x.copy()
    wrong[2, place] = V
    with pytest.raises(IndexError, match=f"0 … {V - 1}"):
        team.gradient(wrong, y)
    alone.gradient(x, y)
    team.gradient(x, y)
    assert_close(model.grads.flat, alone.grads.flat, 1e-12)


@pytest.mark.parametrize("moment", ["before", "during"])
def test_a_dead_process_is_told_with_the_way_out(moment, rng, opened):
    team = opened(network())
    x, y = chunk(rng)
    team.gradient(x, y)
    (worker,) = workers(team)
    if moment == "before":
        worker.kill()
        worker.wait()
    else:
        worker.send_signal(signal.SIGSTOP)
        real = team.model.gradient

        def gradient(*args, **options):
            worker.kill()
            return real(*args, **options)

        team.model.gradient = gradient
    for _ in range(2):
        with pytest.raises(WorkerDied, match="MINRNN_THREADS=1"):
            team.gradient(x, y)


def test_nothing_is_left_running_when_it_is_closed_forgotten_or_its_owner_is_killed(rng):
    team = RowParallel(network(), 3)
    found = list(workers(team))
    assert len(found) == 2 and all(worker.poll() is None for worker in found)
    team.close()
    assert all(worker.returncode is not None for worker in found)
    team.close()  # twice does no harm
    team = RowParallel(network(), 2)
    (worker,) = workers(team)
    del team
    gc.collect()
    assert worker.returncode is not None

    code = """
import os, signal, numpy as np
from minrnn import CharRNN
from minrnn.parallel import RowParallel
team = RowParallel(CharRNN(3), 2)
print(team.close.peek()[2][1][0].pid, flush=True)
x = np.zeros((2, 4), int)
team.gradient(x, x)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == -signal.SIGKILL and done.stderr == ""
    end = time.monotonic() + PATIENCE
    while running(int(done.stdout)):
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("processes", [2, 4])
def test_an_interrupted_step_does_not_answer_the_next_one(processes, rng, opened, assert_close):
    alone, model = network(), network()
    team, (x, y), (x2, y2) = opened(model, processes), chunk(rng), chunk(rng)
    real = model.gradient

    def interrupted(*args, **options):
        raise KeyboardInterrupt

    model.gradient = interrupted
    with pytest.raises(KeyboardInterrupt):
        team.gradient(x, y)
    model.gradient = real
    loss, _ = alone.gradient(x2, y2)
    assert_close(team.gradient(x2, y2)[0], loss, 1e-13)
    assert_close(model.grads.flat, alone.grads.flat, 1e-12)


def test_a_process_that_is_busy_is_not_waited_for():
    with RowParallel(network(), 2) as team:
        (worker,) = workers(team)
        worker.send_signal(signal.SIGSTOP)
    assert worker.returncode == -signal.SIGKILL


def test_files_are_closed_and_memory_is_given_back(rng):
    def once():
        with RowParallel(network(), 3) as team:
            team.gradient(*chunk(rng))
        del team
        gc.collect()
        return len(os.listdir("/dev/fd"))

    assert once() == once()


def test_memory_is_shared_where_it_cannot_be_had_without_a_file(rng, opened, monkeypatch, assert_close):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    alone, model = network(), network()
    team, (x, y) = opened(model), chunk(rng)
    alone.gradient(x, y)
    team.gradient(x, y)
    assert_close(model.grads.flat, alone.grads.flat, 1e-12)


def test_the_keyboard_reaches_the_caller_only(opened):
    """Ctrl-C goes to the foreground group: a process that shares the work must live until the checkpoint is written."""
    (worker,) = workers(opened(network()))
    assert os.getpgid(worker.pid) != os.getpgid(0)


def test_parameters_and_gradients_stay_the_mappings_that_they_were(rng, opened):
    model = network()
    params, before = model.params, model.params.flat.copy()
    opened(model)
    assert model.params is params
    np.testing.assert_array_equal(params.flat, before)
    params["decoder.b"][...] = 7.0
    assert (params.flat[-V:] == 7.0).all()


def test_parameters_written_right_after_opening_are_those_that_count(rng, opened, assert_close):
    """The other processes, which start later, must not bring the former ones back."""
    alone, model = network(), network()
    team, (x, y) = opened(model), chunk(rng)
    for m in (alone, model):
        m.params.flat[...] *= 3.0
    loss, _ = alone.gradient(x, y)
    assert_close(team.gradient(x, y)[0], loss, 1e-13)
    np.testing.assert_array_equal(model.params.flat, alone.params.flat)


# How many.


class Library:
    """A matrix library with a number of threads."""

    def __init__(self, number):
        self.number = number

    def get_num_threads(self):
        return self.number

    def set_num_threads(self, number):
        self.number = number


@pytest.fixture
def libraries(monkeypatch):
    """Two matrix libraries on 4 and 3 threads in place of those of NumPy."""
    found = parallel._Libraries()
    found.all = [Library(4), Library(3)]
    found.before = [4, 3]
    monkeypatch.setattr(parallel, "_libraries", lambda: found)
    return found.all


def test_the_matrix_library_has_one_thread_until_the_last_is_closed(libraries):
    one, other = RowParallel(network(), 1), RowParallel(network(), 1)
    assert [library.number for library in libraries] == [1, 1]
    one.close()
    one.close()
    assert [library.number for library in libraries] == [1, 1]
    other.close()
    assert [library.number for library in libraries] == [4, 3]
    libraries[0].number = 2  # somebody else's wish, later
    RowParallel(network(), 1).close()
    assert [library.number for library in libraries] == [2, 3]


def test_a_limit_lowers_the_threads_of_every_library_and_the_processes_with_them(libraries, monkeypatch):
    monkeypatch.setattr(parallel, "count", parallel.count.__wrapped__)
    monkeypatch.delenv("MINRNN_THREADS", raising=False)
    assert parallel.count() == 4
    hold_threads(3)
    assert [library.number for library in libraries] == [3, 3] and parallel.count() == 3
    RowParallel(network(), 1).close()
    assert [library.number for library in libraries] == [3, 3]
    hold_threads(8)  # it never raises
    assert [library.number for library in libraries] == [3, 3]


def test_the_others_compute_with_one_thread_find_the_package_and_say_nothing(opened, monkeypatch, tmp_path):
    """Else two matrix libraries spin on the same cores; what stdout carries is the caller's."""
    for name in parallel.ONE_THREAD:
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("KEPT", "yes")
    monkeypatch.syspath_prepend(tmp_path)
    (worker,) = workers(opened(network()))
    process = Path(f"/proc/{worker.pid}")
    if not process.exists():
        pytest.skip("this system does not show the environment of a process")
    variables = dict(pair.split("=", 1) for pair in (process / "environ").read_text().split("\0") if pair)
    assert parallel.ONE_THREAD.items() <= variables.items() and variables["KEPT"] == "yes"
    assert variables["PYTHONPATH"].split(os.pathsep)[0] == str(tmp_path)
    assert [os.readlink(process / "fd" / number) for number in "01"] == [os.devnull] * 2


def test_small_steps_and_small_batches_are_not_shared(monkeypatch):
    monkeypatch.setattr(parallel, "count", lambda: 4)
    big = CharRNN(65, hidden_size=128)
    assert processes_for(big, 50, 50) == 4
    assert processes_for(big, 50, 31) == 3
    assert processes_for(big, 50, 16) == 2
    assert processes_for(big, 50, 15) == 1
    assert processes_for(big, 50, 4) == 1
    assert processes_for(big, 2, 50) == 1
    assert processes_for(network(), 50, 50) == 1
    for thing, name, value in (
        (parallel, "count", lambda: 1),
        (big.backend, "is_gpu", True),
        (os, "name", "nt"),
        (sys, "executable", ""),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(thing, name, value)
            found = processes_for(big, 50, 50)
        assert found == 1, name


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"MINRNN_THREADS": "3"}, 3),
        ({"MINRNN_THREADS": "0"}, 1),
        ({"OPENBLAS_NUM_THREADS": "1", "MINRNN_THREADS": "all"}, 1),
        ({"OPENBLAS_NUM_THREADS": "1", "MINRNN_THREADS": "-2"}, 1),
        ({"OPENBLAS_NUM_THREADS": "1"}, 1),
        ({"OPENBLAS_NUM_THREADS": "1", "MINRNN_THREADS": "2"}, 2),
    ],
)
def test_the_environment_says_how_many(variables, expected):
    blas = dict.fromkeys(parallel.ONE_THREAD, "1")
    clean = {name: value for name, value in os.environ.items() if name not in blas}
    if "OPENBLAS_NUM_THREADS" in variables:
        clean |= {name: "1" for name in blas if name != "MINRNN_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", "from minrnn import parallel; print(parallel.count())"],
        env=clean | variables,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert int(done.stdout) == expected
