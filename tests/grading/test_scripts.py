"""scripts/grading: the differences by hand know right from wrong, the class is what it is said to be; no times."""

import ast
import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "scripts" / "grading"


def script(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # for its dataclasses
    spec.loader.exec_module(module)
    return module


speed, thinc_lstm = script("speed"), script("thinc_lstm")

RIGHT = """
import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def lstm_forward(x, Wx, Wh, b):
    T, N, _ = x.shape
    H = Wh.shape[1]
    h, c, steps = np.zeros((N, H)), np.zeros((N, H)), []
    for t in range(T):
        f, i, o, g = np.split(x[t] @ Wx.T + h @ Wh.T + b, 4, axis=1)
        f, i, o, g = sigmoid(f), sigmoid(i), sigmoid(o), np.tanh(g)
        before = h, c
        c = f * c + i * g
        h = o * np.tanh(c)
        steps.append((*before, f, i, o, g, c, h))
    return np.array([step[-1] for step in steps]), (x, Wx, Wh, steps)


def lstm_backward(dh, cache):
    x, Wx, Wh, steps = cache
    dx, dWx, dWh, db = np.zeros(x.shape), np.zeros(Wx.shape), np.zeros(Wh.shape), np.zeros(len(Wx))
    carry = dc = 0
    for t in reversed(range(len(x))):
        h, c, f, i, o, g, new, _ = steps[t]
        d = dh[t] + carry
        dc = dc + d * o * (1 - np.tanh(new) ** 2)
        do = d * np.tanh(new) * o * (1 - o)
        da = np.hstack([dc * c * f * (1 - f), dc * g * i * (1 - i), do, dc * i * (1 - g**2)])
        dx[t], carry, dc = da @ Wx, da @ Wh, dc * f
        dWx, dWh, db = dWx + da.T @ x[t], dWh + da.T @ h, db + da.sum(0)
    return dx, dWx, dWh, db
"""
ADDED = RIGHT.replace("return dx, dWx, dWh, db", "return dx, dWx + Wx, dWh, db")


@pytest.fixture
def compared(tmp_path):
    """compared(source, defects): whether the script finds that report and differences agree."""

    def compare(source, defects):
        return thinc_lstm.compared(thinc_lstm.Published("test", "submission.py", source, (), defects), tmp_path)

    return compare


def no_defects(v, got, da):
    return iter(())


def weights_added(v, got, da):
    yield thinc_lstm.Defect("Wx is added to dWx", got["dWx"], thinc_lstm.outer(da, v["x"]) + v["Wx"])


def weights_subtracted(v, got, da):
    yield thinc_lstm.Defect("Wx is subtracted from dWx", got["dWx"], thinc_lstm.outer(da, v["x"]) - v["Wx"])


def test_a_right_lstm_agrees_with_the_differences_and_the_report(compared, capsys):
    assert compared(RIGHT, no_defects)
    assert "wrong by hand: -; in the report: -" in capsys.readouterr().out


def test_a_mistake_is_found_by_both(compared, capsys):
    assert compared(ADDED, weights_added)
    assert "wrong by hand: dWx; in the report: dWx\n" in capsys.readouterr().out


def test_another_report_or_another_cause_does_not_agree(compared, monkeypatch):
    def agreed(names, defects=weights_added):
        outputs = [{"name": name, "status": "wrong"} for name in names]
        document = json.dumps({"functions": [{"outputs": outputs}]})
        monkeypatch.setattr(thinc_lstm, "grade", lambda *arguments: document)
        return compared(ADDED, defects)

    assert agreed(["dWx"])
    assert not agreed([])
    assert not agreed(["dWx", "db"])
    assert not agreed(["dWx"], weights_subtracted)


def test_thinc_itself_or_what_is_missing():
    command = [sys.executable, FOLDER / "thinc_lstm.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if importlib.util.find_spec("thinc") is None:
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == 'thinc is not installed: python -m pip install "thinc<9.2"\n'
    else:
        assert done.returncode == 0, done.stdout
        assert "wrong by hand: dWh, dWx, db, dx; in the report: dWh, dWx, db, dx\n" in done.stdout


def functions(source):
    return {node.name: ast.dump(node) for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


def test_the_six_mistakes_are_in_six_functions_and_change_each():
    source = speed.RIGHT.read_text(encoding="utf-8")
    before, after = functions(source), functions(speed.with_mistakes(source))
    assert len(speed.EDITS) == 6
    assert sum(before[name] != after[name] for name in before) == 6
    with pytest.raises(ValueError, match="correct EDITS"):
        speed.with_mistakes(source.replace("np.add.at", "np.add.at_"))


def test_the_class_has_all_students_in_many_styles_and_is_the_same_again(tmp_path):
    for name in ("first", "again"):
        (tmp_path / name).mkdir()
        speed.write_class(tmp_path / name, 60)
    first, again = ({p.stem: p for p in (tmp_path / name).iterdir()} for name in ("first", "again"))
    assert sorted(first) == [f"student-{k:03}" for k in range(1, 61)]
    assert {path.suffix for path in first.values()} == {".py", ".ipynb", ".zip"}
    for name, path in first.items():
        assert path.suffix == ".zip" or path.read_bytes() == again[name].read_bytes()


def test_a_run_counts_the_command_and_returns_what_it_printed():
    wall, cpu, printed = speed.run(["--explain", "missing-time-carry"], one_core=True)
    assert wall > 0 and cpu > 0
    assert printed.startswith("missing-time-carry")
    with pytest.raises(RuntimeError, match="exit code 2"):
        speed.run(["--explain", "no-such-code"])


def test_the_record_has_medians_of_all_rounds(tmp_path, monkeypatch, capsys):
    times = iter([1.0, 5.0, 3.0] * 2)
    functions = [{"status": "correct"}, {"status": "wrong"}]
    document = json.dumps({"totals": {"score": 1.0, "max_score": 2.0}, "functions": functions})

    def run(arguments, one_core):
        assert one_core
        wall = next(times)
        return wall, wall / 2, document

    monkeypatch.setattr(speed, "run", run)
    monkeypatch.setattr(sys, "argv", ["speed.py", "--rounds", "3", "--size", "0", "--json", str(tmp_path / "s.json")])
    assert speed.main() == 0
    found = json.loads((tmp_path / "s.json").read_text())
    assert [row["name"] for row in found["rows"]] == ["right", "six mistakes"]
    for row in found["rows"]:
        assert (row["wall_s"], row["cpu_s"], row["right"], row["functions"]) == (3.0, 1.5, 1, 2)
        assert [round["wall_s"] for round in row["rounds"]] == [1.0, 5.0, 3.0]
    assert "class" not in found
    assert capsys.readouterr().out.count("3.00 s on one core, 1.50 s of CPU time") == 2
    assert np.isfinite(found["load"])
