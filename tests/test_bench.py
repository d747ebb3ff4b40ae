"""scripts/bench and scripts/race: arithmetic of the tables, order of turns, the clock. Nothing is timed here."""

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from minrnn import CharRNN

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))  # where a script finds benchlib when it is run
NAMES = "command", "configurations", "processes", "profiling", "race_clock", "race_command", "tables", "with_loops"
command, configurations, processes, profiling, race_clock, race_command, tables, with_loops = (
    importlib.import_module(f"benchlib.{name}") for name in NAMES
)
Configuration, Engine = configurations.Configuration, processes.Engine


def row(**engines):
    """A row of a training result: name = list of ms; 3,000,000 FLOPs at 2 GFLOP/s take 1.5 ms."""
    rounds = {
        name: {"variant": "", "rounds": [{"ms": ms, "peak_mb": 7.0, "gflops": 2.0} for ms in times]}
        for name, times in engines.items()
    }
    return {"name": "LSTM", "characters": 100, "flops": 3_000_000, "engines": rounds}


def result(*rows):
    machine = {"cpu": "abacus", "cpus": 2}
    return {
        "threads": 2,
        "rounds": 3,
        "engines": ["minrnn", "torch", "jax"],
        "machine": machine,
        "versions": {"numpy": "2"},
        "load": 0.0,
        "rows": list(rows),
    }


@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
def test_flops_count_every_product_of_forward_and_backward_once(cell, gates):
    T, B, H, V = 5, 3, 8, 11
    forward = [(T * B, H, gates * H)] * 3 + [(T * B, H, V)]  # h Wh twice, x Wx of the upper layer, decoder
    backward = [(M, N, K) for M, K, N in forward] + [(K, M, N) for M, K, N in forward]
    expected = sum(2 * M * K * N for M, K, N in forward + backward)
    assert configurations.step_flops(Configuration(cell, 2, H, V, B, T)) == expected


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_weight_bytes_are_those_of_the_model_but_for_the_rows_of_other_characters(cell):
    model = CharRNN(11, hidden_size=8, num_layers=3, cell=cell)
    unread = (model.vocab_size - 1) * model.params["rnn.0.Wx"].shape[1]
    assert configurations.weight_bytes(Configuration(cell, 3, 8, 11, 1)) == 4 * (model.params.flat.size - unread)


def test_ratios_are_paired_round_by_round_not_taken_of_medians():
    measured = row(minrnn=[1.0, 10.0, 2.0], torch=[2.0, 10.0, 8.0])
    assert tables.ratios(measured, "torch") == [2.0, 1.0, 4.0]
    cells = tables.training_table(result(measured)).splitlines()[2]
    assert "2.00 (1.00–4.00)" in cells  # of medians: 8 / 2 = 4


def test_roofline_share_is_the_time_at_the_sgemm_rate_over_the_time_taken():
    assert tables.roofline_shares(row(minrnn=[3.0, 1.5])) == [0.5, 1.0]


def test_missing_library_leaves_its_columns_empty():
    measured = row(minrnn=[2.0], torch=[3.0])
    header, _, cells = tables.training_table(result(measured)).splitlines()
    values = dict(zip(header.split("|"), cells.split("|"), strict=True))
    values = {name.strip(): value.strip() for name, value in values.items()}
    assert values["torch/minrnn"] == "1.50 (1.50–1.50)"
    assert values["jax ms"] == values["jax/minrnn"] == ""
    assert values["characters/s"] == "50,000"
    assert values["peak MB: minrnn, torch, jax"] == "7, 7, –"


def test_sampling_limits_are_microseconds_for_each_character():
    measured = row(torch=[6.4]) | {
        "characters": 64,
        "weight_bytes": 6_400_000,
        "bandwidth": {"memory_gbs": 10.0, "cached_gbs": 20.0},
    }
    cells = [cell.strip() for cell in tables.sampling_table(result(measured)).splitlines()[2].split("|")]
    assert cells[3] == "100"  # 6.4 ms for 64 characters
    assert cells[-4:-1] == ["6.40", "10.00", "5.00"]  # MB; 640 and 320 µs for a step of 64


def test_footer_names_the_machine_and_the_sgemm_rate():
    text = tables.footer(result(row(minrnn=[2.0])))
    assert "abacus" in text
    assert "2 GFLOP/s" in text


def test_engines_take_turns_and_only_the_best_variant_goes_on():
    calls = []

    def measure(engine, variant):
        calls.append(engine.name + variant)
        return {"ms": {"a": 3.0, "b": 1.0, "": 2.0}[variant]}

    engines = [Engine("x", "", "", ("",)), Engine("y", "", "", ("a", "b"))]
    found = processes.take_turns(engines, 3, measure)
    assert calls == ["x", "ya", "yb", "x", "yb", "x", "yb"]
    assert found["y"] == ("b", [{"ms": 1.0}] * 3)


def test_measurement_runs_in_another_process_and_a_missing_library_is_told_from_a_failure():
    assert processes.call(sys.executable, "with_loops", "versions", 1) == {"numpy of the loops": np.__version__}
    with pytest.raises(processes.MissingLibrary, match="with_nothing"):
        processes.call(sys.executable, "with_nothing", "versions", 1)
    with pytest.raises(processes.MissingLibrary, match="no/such/python"):
        processes.call("no/such/python", "with_loops", "versions", 1)
    with pytest.raises(processes.MeasurementFailed, match=r"with_loops\.nothing"):
        processes.call(sys.executable, "with_loops", "nothing", 1)


@pytest.mark.parametrize(
    "argv", [["--rounds", "0"], ["--threads", "0"], ["--threads", "9999"], ["--only", "9x9"], ["fly"]]
)
def test_senseless_options_end_with_usage(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(argv)
    assert stopped.value.code == 2
    assert argv[-1] in capsys.readouterr().err


def test_options_choose_engines_interpreters_and_configurations():
    args = command.parser().parse_args(["--engines", "jax", "minrnn", "--jax-python", "/j"])
    assert [(e.name, e.python) for e in command.chosen_engines(args)] == [("minrnn", sys.executable), ("jax", "/j")]
    args = command.parser().parse_args(["sampling", "--torch-python", "/t"])
    assert [e.python for e in command.chosen_engines(args)] == [sys.executable, "/t", "/t"]
    assert [c.name for c in configurations.TRAINING if c.matches("gru 2X256")] == ["GRU 2×256 V65 B64 T64"]


def test_loops_take_part_in_the_row_of_min_char_rnn_alone():
    loops = Engine("loops LSTM", "with_loops", "", ("lstm",))
    assert [c.name for c in configurations.TRAINING if command.takes_part(loops, c)] == ["LSTM 1×100 V65 B1 T25"]


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_loops_train_the_same_network_as_minrnn(cell):
    H, V, T, rng = 6, 9, 7, np.random.default_rng(3)
    model = CharRNN(V, hidden_size=H, num_layers=1, cell=cell, dtype="float64")
    x, y = rng.integers(V, size=(2, T, 1))
    state = tuple(rng.standard_normal((1, H)) for _ in model.zero_state(1)[0])
    loss, (after,), cache = model.forward(x, y, (state,))
    model.backward(cache, dloss=T)
    names = {"Wx": "rnn.0.Wx", "Wh": "rnn.0.Wh", "b": "rnn.0.b", "W": "decoder.W", "by": "decoder.b"}
    p = {ours: np.atleast_2d(model.params[name]).T for ours, name in names.items()}
    columns = {name: value.T for name, value in zip("hc", state, strict=False)}
    total, grads, last = with_loops.loss_and_gradients(cell, p, x[:, 0], y[:, 0], columns)
    np.testing.assert_allclose(total, T * loss, rtol=1e-12)
    np.testing.assert_allclose(last["h"].T, after[0], rtol=1e-12)
    for ours, name in names.items():
        np.testing.assert_allclose(grads[ours].T, np.atleast_2d(model.grads[name]), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_profile_accounts_for_every_product_and_for_all_of_the_time(cell):
    c = Configuration(cell, 2, 8, 11, 3, 5)
    (_, once, whole), *rows = profiling.profile(c.to_json())
    products = [(re.findall(r"\d+", what), calls) for what, calls, _ in rows if what.startswith("product")]
    assert sum(2 * int(M) * int(K) * int(N) * calls for (M, K, _, N), calls in products) == configurations.step_flops(c)
    assert once == 1 and sum(ms for _, _, ms in rows) == pytest.approx(whole)
    assert all(ms > 0 for _, _, ms in rows) and {"clipping", "Adam"} <= {what for what, _, _ in rows}
    assert sum(calls for what, calls, _ in rows if what.endswith(("state_backward", ": backward"))) == 10
    assert not any(name in vars(CharRNN(3).backend) for name in ("matmul", "fused")), (
        "the clock was left in the backend"
    )


def test_clock_of_the_race_stands_still_during_evaluation(monkeypatch):
    now = [0.0]

    def spend(seconds, value=None):
        now[0] += seconds
        return value

    monkeypatch.setattr(race_clock.time, "perf_counter", lambda: now[0])
    points = race_clock.run(lambda: spend(0.4), lambda: spend(100.0, 1.5), seconds=2, every=1)
    assert [point["steps"] for point in points] == [3, 5]
    assert [point["trained_s"] for point in points] == pytest.approx([1.2, 2.0])
    assert [point["minute"] for point in points] == [1 / 60, 2 / 60]


def test_race_is_compared_at_whole_minutes_with_the_best_of_the_others():
    def lane(name, *losses):
        return {"name": name, "points": [{"minute": k / 2, "val_loss": x} for k, x in enumerate(losses, 1)]}

    lanes = [lane("ours", 3.0, 2.0, 1.9, 1.8), lane("a", 3.5, 2.1, 2.0, 1.5), lane("b", 2.0, 2.2, 2.0, 1.7)]
    first, second = race_command.table(lanes).splitlines()[2:]
    assert [cell.strip() for cell in first.split("|")[1:-1]] == ["1", "2.0000", "2.1000", "2.2000", "+0.1000"]
    assert [cell.strip() for cell in second.split("|")[1:-1]] == ["2", "1.8000", "1.5000", "1.7000", "-0.3000"]


def test_race_needs_a_text_that_is_there(capsys, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        race_command.main(["--data", str(tmp_path / "absent.txt"), "--", "--hidden", "64"])
    assert stopped.value.code == 2
    assert "absent.txt" in capsys.readouterr().err
