"""`minrnn train`: settings from flags, file and defaults; what it prints where; signals; going on."""

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import minrnn
from minrnn.build import load_data
from minrnn.cli.main import main
from minrnn.config import FIELDS, merge, read_toml
from minrnn.evaluate import baseline
from minrnn.model.checkpoint import load_checkpoint
from minrnn.runs import load_model, read_metrics

TEXT = "".join(np.random.default_rng(0).choice(list("abcd \n"), size=600))
SMALL = shlex.split("--hidden 6 --layers 1 --seq 5 --batch 4 --steps 12 --log-every 4 --eval-every 6 --save-every 6")


@pytest.fixture
def train(tmp_path, monkeypatch, capsys):
    """train(*flags): exit code, stdout, stderr of `minrnn train` on 600 characters, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)

    def run(*flags, text="text.txt", small=SMALL):
        code = main(["train", *([text] if text else []), *small, *map(str, flags)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def config_of(folder):
    return merge(read_toml(Path(folder) / "config.toml"))


def test_first_free_folder_is_taken(train, tmp_path):
    for number in ("1", "2", "3"):
        assert train("--quiet") == (0, "", "")
        assert (tmp_path / "runs" / number / "last.safetensors").is_file()


def test_run_can_be_used_from_another_folder(train, tmp_path, monkeypatch):
    train("--out", "a")
    (tmp_path / "c.toml").write_text('files = ["text.txt"]\n')
    train("--config", "c.toml", "--out", "b", text=None)
    for name in ("a", "b"):
        assert config_of(name).files == (str(tmp_path / "text.txt"),)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert train("--resume", "../a", "--steps", "14", text=None, small=[])[0] == 0


VALUES = {
    "dropout_places": "between",
    "cell": "rnn",
    "nonlinearity": "relu",
    "init": "identity",
    "batches": "random",
    "reset": "never",
    "split": "rows",
    "optimizer": "sgd",
    "loss_reduction": "sum_time",
    "schedule": "restarts",
    "dtype": "float64",
    "device": "numpy",
    "time_limit": "1h",
    "hidden": 9,
    "batch": 9,
    "seq": 9,
    "lr": 1e-3,
    "lr_min": 1e-4,
    "clip_norm": 0.0,
    "clip_value": 0.5,
    "epochs": 0,
    "steps": 3,
    "vocab_max_size": 5,
    "ascii": False,  # needs an extra
}


def another(default):
    """A value of the same type that is not the default."""
    kind = type(default)
    return not default if kind is bool else default + 1 if kind is int else default / 2 + 0.0625


def test_every_setting_has_a_flag_that_reaches_the_run(train, tmp_path):
    (tmp_path / "text.txt").write_text(TEXT * 4)
    flags, expected = [], {}
    for name, field in FIELDS.items():
        if name == "files":
            continue
        kind = type(field.default)
        value = VALUES[name] if name in VALUES else another(field.default)
        flag = "--" + name.replace("_", "-")
        flags += ([flag] if value else ["--no-" + flag[2:]]) if kind is bool else [flag, value]
        expected[name] = 3600.0 if name == "time_limit" else value
    assert train(*flags, "--out", "run", "--quiet", small=[])[0] == 0
    found = config_of("run")
    assert {name: getattr(found, name) for name in expected} == expected


def test_flag_wins_over_file_and_file_over_default(train, tmp_path):
    (tmp_path / "c.toml").write_text('hidden = 7\nlr = 0.01\ncell = "gru"\n')
    assert train("--config", "c.toml", "--lr", "0.02", "--out", "run", small=SMALL[2:])[0] == 0
    config = config_of("run")
    assert (config.hidden, config.lr, config.cell, config.dropout) == (7, 0.02, "gru", 0.0)
    assert load_model("run").model.settings["hidden_size"] == 7


def test_flag_with_the_default_value_wins_over_the_file(train, tmp_path):
    (tmp_path / "c.toml").write_text("lowercase = true\nseed = 3\n")
    train("--config", "c.toml", "--no-lowercase", "--seed", "0", "--out", "run")
    assert (config_of("run").lowercase, config_of("run").seed) == (False, 0)


def test_print_config_shows_every_setting_and_its_origin_and_trains_nothing(train, tmp_path):
    (tmp_path / "c.toml").write_text('hidden = 7\nlr = 0.01\ntime_limit = "2m"\n')
    flags = ["--config", "c.toml", "--lr", "0.02", "--cell", "gru", "--print-config"]
    code, out, err = train(*flags, small=[])
    assert (code, err) == (0, "") and not (tmp_path / "runs").exists()
    rows = [line.rsplit(" # ", 1) for line in out.splitlines()]
    origins = {setting.split(" = ")[0]: origin for setting, origin in rows}
    assert list(origins) == list(FIELDS)
    assert {name: origin for name, origin in origins.items() if origin != "default"} == {
        **{"files": "flag", "hidden": "file", "lr": "flag", "cell": "flag", "time_limit": "file"}
    }
    (tmp_path / "printed.toml").write_text(out)  # it is a configuration itself
    config = merge(read_toml(tmp_path / "printed.toml"))
    assert (config.hidden, config.lr, config.cell, config.time_limit, config.epochs) == (7, 0.02, "gru", 120.0, 0)


def test_header_states_the_data_and_the_network(train):
    _, out, err = train("--out", "run")
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == f"text    {os.path.abspath('text.txt')}: 600 characters, 6 distinct"
    assert lines[1] == "split   tail: 540 to learn, 60 held out"
    assert lines[2] == "batch   4 × 5 consecutive, 26 batches an epoch"
    V, H = 6, 6
    parameters = V * 4 * H + H * 4 * H + 4 * H + H * V + V
    assert lines[3].startswith(f"model   1 × 6 lstm, {parameters} parameters (1.5 characters each), seed 0, float32")
    assert lines[4] == "run     run · 12 steps · untrained: ln 6 = 1.792 nats"
    assert lines[-1] == "finished; sample with: minrnn sample run"


def test_progress_off_a_terminal_is_plain_lines(train):
    err = train("--out", "run")[2]
    assert "\r" not in err and "\x1b" not in err
    assert re.search(
        r"^step 4/12 \(33%\) epoch 0\.15 \| loss \d\.\d{3} bpc \d\.\d{3} \| eta \d+s \| .*k char/s "
        r"\| gnorm .* \| lr 2\.0e-03$",
        err,
        re.M,
    )
    assert (
        len(re.findall(r"^step (?:6|12) epoch \S+  validation \d\.\d{4} nats/char \(\d\.\d{4} bits\)", err, re.M)) == 2
    )


def test_samples_are_the_product_and_go_to_stdout(train):
    _, out, err = train("--out", "run", "--sample-every", "6")
    assert len(out) == 2 * 201 and set(out) <= set(TEXT)
    assert out.strip()[:40] not in err


def test_quiet_means_quiet(train):
    assert train("--out", "run", "--quiet", "--sample-every", "6") == (0, "", "")


def test_summary_as_json_is_all_of_stdout(train):
    _, out, _ = train("--out", "run", "--json")
    summary = json.loads(out)
    training = load_checkpoint("run/last.safetensors")[1]["training"]
    assert (summary["run"], summary["reason"], summary["step"], summary["split"]) == ("run", "finished", 12, "tail")
    assert summary["val_loss"] == training["val_loss"] and summary["best_val_loss"] == training["best_val_loss"]
    assert summary["best_step"] == training["best_step"] and summary["epoch"] == pytest.approx(12 / 26)
    assert summary["parameters"] == load_model("run").model.params.flat.size and summary["elapsed_s"] > 0


def test_header_and_baseline_are_about_what_is_evaluated(train):
    _, _, err = train("--out", "run", "--baseline", "--val-frac", "0.2", "--eval-chars", "42")
    assert "split   tail: 480 to learn, 120 held out, 40 of them evaluated (eval_chars)\n" in err
    data = load_data(config_of("run"))
    for order, nats in enumerate(baseline(data.split, 6, data.val)):
        assert re.search(rf"^  n-gram, context {order} +{nats:.4f} ", err, re.M)


def test_baseline_names_the_split_and_the_network(train):
    _, out, err = train("--out", "run", "--baseline", "--split", "rows")
    assert out == "" and re.search(r"^rows: nats and bits per character$", err, re.M)
    assert re.search(r"^  n-gram, context 3 +\d\.\d{4}", err, re.M) and re.search(r"^  network +\d\.\d{4}", err, re.M)


def test_short_text_trains_with_a_notice(train, tmp_path):
    (tmp_path / "text.txt").write_text(TEXT[:200])
    code, _, err = train("--steps", "3", "--out", "run", small=["--hidden", "6"])
    assert code == 0
    assert "batch   3 × 50 consecutive (smaller than the 50 asked for: the text is short), 1 batches an epoch" in err


def test_resume_goes_on_in_its_own_folder(train):
    train("--out", "run", "--steps", "9")
    code, _, err = train("--resume", "run", "--steps", "15", text=None, small=[])
    assert code == 0 and "run     run · resumed at step 9 · 15 steps" in err
    assert load_checkpoint("run/last.safetensors")[1]["trainer"]["step"] == 15
    assert [line["step"] for line in read_metrics("run") if line.get("event") == "resume"] == [9]


def test_init_from_starts_anew_with_old_parameters(train):
    train("--out", "old")
    assert train("--out", "new", "--init-from", "old", "--steps", "1", "--lr", "0", "--seed", "9")[0] == 0
    np.testing.assert_array_equal(load_model("new", "last").model.params.flat, load_model("old").model.params.flat)
    assert load_checkpoint("new/last.safetensors")[1]["trainer"]["step"] == 1


def test_time_limit_takes_the_place_of_the_default_epochs(train):
    code, _, err = train("--out", "run", "--time-limit", "0.3s", small=[*SMALL[:8], "--layers", "1"])
    assert code == 0 and "until the time limit" in err and "time limit; sample with" in err


# The text: read and encoded before anything else is said.


@pytest.fixture
def progress(monkeypatch):
    """progress(terminal): what a text of three blocks shows, were a block to take ten seconds."""
    from minrnn.cli import progress as module

    def make(terminal, quiet=False):
        stream = io.StringIO()
        stream.isatty = lambda: terminal
        now = iter(range(0, 10_000, 10))
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", stream)
            patch.setattr(module.time, "monotonic", lambda: next(now))
            patch.setattr(module, "DELAY", 0.0)
            with module.TextProgress(quiet) as report:
                for what, total in (("reading", 4_000_000), ("encoding", 4_000_000), ("reading", 0)):
                    for done in (1_000_000, 2_000_000, 4_000_000):
                        report(what, done, total)
                        if report.bar is not None:
                            assert (report.bar.n, report.bar.total) == (done, total or None)
                            report.bar.refresh()
        return stream.getvalue()

    return make


def test_reading_a_long_text_is_shown_on_a_terminal_and_taken_away(progress):
    shown = progress(terminal=True)
    assert re.search(r"\rreading the text:  50%.* 2\.00M/4\.00M ", shown)
    assert re.search(r"\rencoding the text: 100%.* 4\.00M/4\.00M ", shown)
    assert re.search(r"\rreading the text: 2\.00MB ", shown) and "\n" not in shown  # of a pipe nobody knows the size
    assert shown.rsplit("\r", 2)[1].isspace() and shown.endswith("\r")


def test_reading_a_long_text_is_plain_lines_elsewhere_and_nothing_when_quiet(progress):
    lines = progress(terminal=False).splitlines()
    assert lines[:3] == [f"reading the text: {mb} MB, {25 * mb}%" for mb in (1, 2, 4)]
    assert lines[3] == "encoding the text: 1 MB, 25%" and lines[-1] == "reading the text: 4 MB"
    assert progress(terminal=True, quiet=True) == progress(terminal=False, quiet=True) == ""


@pytest.mark.skipif(not os.path.exists("/dev/stdin"), reason="needs /dev/stdin")
def test_text_from_a_pipe_makes_the_same_run_as_from_a_file(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    command = [sys.executable, "-m", "minrnn", "train", *SMALL, "--quiet"]
    for name, text in (("a", "text.txt"), ("b", "/dev/stdin")):
        arguments = [*command, text, "--out", name]
        subprocess.run(arguments, input=TEXT.encode(), env=ENVIRONMENT, cwd=tmp_path, check=True)
    (a, one), (b, two) = (load_checkpoint(tmp_path / name / "last.safetensors") for name in "ab")
    assert one["data"] == two["data"]
    for name, array in a.items():
        np.testing.assert_array_equal(b[name], array)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_process_leaves_nothing_in_the_temporary_folder(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    (tmp_path / "temporary").mkdir()
    command = [
        sys.executable,
        "-m",
        "minrnn",
        "train",
        str(tmp_path / "text.txt"),
        "--hidden",
        "8",
        "--epochs",
        "10000",
    ]
    environment = ENVIRONMENT | {"TMPDIR": str(tmp_path / "temporary")}
    with subprocess.Popen([*command, "--out", tmp_path / "run"], env=environment, stderr=subprocess.PIPE) as process:
        while not process.stderr.readline().startswith(b"run "):
            pass
        maps = Path(f"/proc/{process.pid}/maps")
        assert not maps.exists() or f"{tmp_path / 'temporary'}/" in maps.read_text()  # it is the folder in use
        process.kill()
    assert process.returncode == -signal.SIGKILL and not list((tmp_path / "temporary").iterdir())


# Signals, in processes of their own.

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(minrnn.__file__).parents[1])}
needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


def launch(*arguments):
    command = [sys.executable, "-m", "minrnn", "train", *map(str, arguments)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@needs_signals
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_saves_and_prints_the_command_that_resumes(tmp_path, number, code):
    (tmp_path / "text.txt").write_text(TEXT)
    folder = tmp_path / "the run"
    flags = shlex.split("--hidden 8 --layers 1 --seq 5 --batch 4 --epochs 1000 --log-every 10")
    with launch(tmp_path / "text.txt", *flags, "--out", folder) as process:
        while not (folder / "metrics.jsonl").exists() or len(read_metrics(folder)) < 5:
            time.sleep(0.005)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "") and "Traceback" not in err
    assert "finishing the step and saving; once more to leave at once" in err
    command = f"minrnn train --resume '{folder}'"
    assert err.endswith(f"\nsaved; go on with: {command}\n")

    step = load_checkpoint(folder / "last.safetensors")[1]["trainer"]["step"]
    assert step >= 40
    with launch(*shlex.split(command)[2:], "--steps", step + 10) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0 and f"resumed at step {step:,}" in err
    assert load_checkpoint(folder / "last.safetensors")[1]["trainer"]["step"] == step + 10


@needs_signals
def test_second_signal_leaves_at_once(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT * 20)
    flags = shlex.split("--hidden 400 --layers 2 --seq 100 --batch 64 --epochs 1000")  # a second or so an update
    with launch(tmp_path / "text.txt", *flags, "--out", tmp_path / "run") as process:
        while not process.stderr.readline().startswith("run "):
            pass
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        while "once more to leave at once" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err == ""
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["config.toml", "metrics.jsonl"]


def on_terminal(*arguments, columns=200):
    """Exit code, stdout and what a terminal on stderr was sent."""
    import fcntl
    import pty
    import struct
    import termios

    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    command = [sys.executable, "-m", "minrnn", "train", *map(str, arguments)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=child) as process:
        os.close(child)
        shown = b""
        while True:
            try:
                part = os.read(parent, 4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
        out = process.stdout.read()
    os.close(parent)
    return process.returncode, out, shown.decode()


@needs_signals
def test_terminal_shows_one_line_that_is_rewritten(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    flags = [tmp_path / "text.txt", *SMALL, "--sample-every", "6"]
    code, out, shown = on_terminal(*flags, "--out", tmp_path / "run")
    assert code == 0 and len(out) == 2 * 201
    val = read_metrics(tmp_path / "run")[-1]["val_loss"]
    last = rf"\rstep 12/12 \(100%\) epoch 0\.46 \| loss \d\.\d+ bpc \d\.\d+ \| val {val:.3f}\*? \| eta 0s \| .* lr \S+"
    assert re.search(last + r" *\r\nfinished; sample with", shown)
    assert re.search(r"step 6 epoch 0\.23  validation \d\.\d{4} nats/char \(\d\.\d{4} bits\)  best so far\r\n", shown)
    narrow = on_terminal(*flags, "--out", tmp_path / "narrow", columns=40)[2]
    bars = [part for part in re.split(r"[\r\n]+", narrow) if part.startswith("step") and "validation" not in part]
    assert bars and max(map(len, bars)) <= 40


@needs_signals
def test_error_on_a_terminal_starts_on_a_line_of_its_own(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    flags = [tmp_path / "text.txt", *SMALL, "--optimizer", "sgd", "--lr", "1e30", "--out", tmp_path / "run"]
    code, _, shown = on_terminal(*flags)
    assert code == 4 and re.search(r"\nminrnn: error: training diverged at step \d+: [^\n]*\r\n$", shown)


# Two processes, one folder.

HOLD = """
import sys
from minrnn.cli.train import resume
fit = resume("run", {"steps": 40})
print("held", flush=True)
sys.stdin.readline()
"""


def test_a_folder_in_which_another_process_trains_is_refused(train, tmp_path):
    train("--out", "run")
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as other:
        assert other.stdout.readline() == "held\n"
        held = (tmp_path / "run" / "metrics.jsonl").read_bytes()
        command = [sys.executable, "-m", "minrnn", "train", "--resume", "run", "--steps", "50"]
        refused = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == held
        other.communicate("\n")
    assert refused.returncode == 2 and "another process is training in run" in refused.stderr
    assert held.startswith(before)
    assert subprocess.run(command, capture_output=True, cwd=tmp_path, check=False).returncode == 0  # it has let go


@pytest.mark.parametrize("flag", ["--out", "--resume", "--init-from", "--config"])
def test_an_empty_path_is_not_taken_for_a_missing_flag(train, tmp_path, flag):
    code, _, err = train(flag, "")
    assert code == 2 and f"{flag} is empty" in err
    assert not list(tmp_path.glob("run*"))


def test_files_and_options_come_in_any_order(train, tmp_path):
    (tmp_path / "more.txt").write_text("more of the same text\n" * 9)
    code, out, _ = train("more.txt", "--out", "run", "--print-config", "more.txt")
    assert code == 0 and out.count("more.txt") == 2


def test_print_config_of_a_run_shows_its_own_settings(train):
    train("--out", "run")
    out = train("--resume", "run", "--steps", "77", "--print-config", text=None, small=[])[1]
    assert re.search(r"^hidden = \d+ +# run$", out, re.M) and re.search(r"^steps = 77 +# flag$", out, re.M)
