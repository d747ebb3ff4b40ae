"""`minrnn plot`: the points that are drawn, and the file."""

import json
import math
import sys
from pathlib import Path

import pytest

from minrnn.cli import plot as command
from minrnn.runs import METRICS

matplotlib = pytest.importorskip("matplotlib")


def lines_of(figure):
    return {line.get_label(): list(zip(*line.get_data(), strict=True)) for line in figure.axes[0].get_lines()}


@pytest.mark.parametrize(("x", "scale"), [("step", 1), ("epoch", 1 / 20), ("elapsed_s", 0.5)])
def test_curves_are_the_metrics(run, x, scale):
    train, val = command._curves(run.path, x)
    assert train == [(pytest.approx(s * scale), pytest.approx(3 - s / 50)) for s in (10, 20, 30, 40)]
    assert val == [(pytest.approx(s * scale), pytest.approx(3.1 - s / 60)) for s in (20, 40)]


def test_figure_holds_both_curves_of_every_run_and_a_bits_axis(run):
    train, val = command._curves(run.path, "step")
    figure = command.draw({"one": (train, val), "two": (train, [])}, "updates")
    drawn = lines_of(figure)
    assert drawn["one, training"] == drawn["two, training"] == train
    assert drawn["one, validation (best 2.4333)"] == val
    assert not any(label.startswith("two, validation") for label in drawn)
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("updates", "nats per character")
    figure.draw_without_rendering()
    (right,) = axes.child_axes
    assert right.get_ylabel() == "bits per character"
    assert right.get_ylim()[1] == pytest.approx(axes.get_ylim()[1] / math.log(2))


def test_flag_x_chooses_the_axis(run, call, tmp_path, monkeypatch):
    drawn, draw = [], command.draw
    monkeypatch.setattr(command, "draw", lambda curves, label: drawn.append((curves, label)) or draw(curves, label))
    for flags, label, last in (
        ([], "updates", 40),
        (["--x", "epoch"], "epochs", 2),
        (["--x", "seconds"], "seconds", 20),
    ):
        assert call("plot", run.path, "-o", tmp_path / "loss.png", *flags).code == 0
        ((curves, found),) = drawn
        assert (found, curves[run.path][0][-1][0]) == (label, last)
        drawn.clear()


@pytest.mark.parametrize(("name", "magic"), [("loss.png", b"\x89PNG"), ("loss.svg", b"<?xml"), ("LOSS.PDF", b"%PDF")])
def test_file_is_written_in_the_format_of_its_name(run, call, tmp_path, name, magic):
    result = call("plot", run.path, "-o", tmp_path / name, "--x", "epoch")
    assert (result.code, result.out, result.err) == (0, "", "")
    assert (tmp_path / name).read_bytes().startswith(magic)


def test_missing_values_and_events_are_left_out(run):
    metrics = Path(run.path) / METRICS
    with metrics.open("a") as file:
        for line in ({"step": 50, "val_loss": None}, {"event": "diverged", "step": 60, "loss": "nan"}, {"step": 50}):
            file.write(json.dumps(line) + "\n")
    train, val = command._curves(run.path, "step")
    assert (len(train), len(val)) == (4, 2)
    assert max(x for x, _ in train + val) == 40


def test_refusals(run, refused, tmp_path):
    refused(2, ".png", "plot", run.path, "-o", tmp_path / "loss.txt")
    refused(3, "nowhere", "plot", tmp_path / "nowhere", "-o", tmp_path / "loss.png")
    refused(3, "missing", "plot", run.path, "-o", tmp_path / "missing" / "loss.png")
    (tmp_path / "run" / METRICS).write_text('{"event": "start"}\n')
    refused(3, "no losses", "plot", run.path, "-o", tmp_path / "loss.png")


def test_without_matplotlib_the_extra_is_named(run, refused, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    refused(2, "minrnn[plot]", "plot", run.path, "-o", tmp_path / "loss.png")
    assert not (tmp_path / "loss.png").exists()
