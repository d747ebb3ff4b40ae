"""`minrnn info`: what it says is what is in the files."""

import json
from pathlib import Path

from minrnn.runs import BEST, LAST, METRICS


def test_json_describes_the_checkpoint(make_run, call):
    run = make_run(embed=3, cell="gru")
    found = json.loads(call("info", run.path, "--json").out)
    assert found["model"] == run.model.settings
    assert found["parameters"] == run.model.params.flat.size == sum(a.size for a in run.model.params.values())
    assert found["arrays"] == {name: list(array.shape) for name, array in run.model.params.items()}
    assert found["vocabulary"] == {"size": 10, "characters": "\n abcdefgh", "unknown": None}
    assert found["training"]["step"] == 30
    assert found["data"] == {"sha256": run.data.sha256, "characters": 600}
    assert found["config"]["cell"] == "gru"
    assert found["versions"]["numpy"] == "2.0.0"
    assert found["files"] == {name: (Path(run.path) / name).stat().st_size for name in (BEST, LAST, METRICS)}
    assert found["checkpoint"] == str(Path(run.path) / BEST)


def test_last_and_a_single_file(run, call):
    assert json.loads(call("info", run.path, "--json", "--which", "last").out)["training"]["step"] == 40
    found = json.loads(call("info", f"{run.path}/{LAST}", "--json").out)
    assert found["training"]["step"] == 40
    assert list(found["files"]) == [LAST]


def test_text_for_people(run, call):
    result = call("info", run.path)
    assert result.code == 0
    for words in (
        f"{run.model.params.flat.size:,}",
        "rnn.0.Wx   10×24",
        "rnn.1.Wh   6×24",
        "decoder.b  10",
        "10 characters: \\n abcdefgh",
        "step 30",
        "hidden 6",
        "600 characters",
        run.data.sha256[:12],
        BEST,
        METRICS,
    ):
        assert words in result.out
    assert "optimizer adam" not in result.out, "only settings that differ from the defaults are shown"


def test_unknown_symbol_is_named(make_run, call):
    run = make_run("rare", "abcabcabc" * 40 + "xyz", vocab_min_freq=5)
    assert "3 characters and <unk>: abc" in call("info", run.path).out
    assert json.loads(call("info", run.path, "--json").out)["vocabulary"]["size"] == 4


def test_no_run_and_damaged_file(run, refused, tmp_path):
    refused(3, "nowhere", "info", tmp_path / "nowhere")
    data = (tmp_path / "run" / BEST).read_bytes()
    (tmp_path / "run" / BEST).write_bytes(data[:-3])
    refused(3, BEST, "info", run.path)
