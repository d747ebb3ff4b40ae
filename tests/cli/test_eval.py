"""`minrnn eval`: the right text, the right network, the right figures."""

import json
import math

import numpy as np
import pytest

from minrnn.evaluate import baseline, evaluate, per_character
from minrnn.runs import LAST
from minrnn.text import streams


def figures(result):
    assert (result.code, result.err) == (0, "")
    return json.loads(result.out)


@pytest.mark.parametrize("split", ["tail", "rows"])
def test_held_out_text_is_that_of_the_run(make_run, call, split):
    run = make_run(split=split)
    found = figures(call("eval", run.path, "--json"))
    wanted = evaluate(run.model, run.data.split.val, 5)
    assert found["nats_per_char"] == pytest.approx(wanted.nats_per_char, rel=1e-12)
    assert found["bits_per_char"] == pytest.approx(wanted.nats_per_char / math.log(2), rel=1e-12)
    assert found["perplexity"] == pytest.approx(math.exp(wanted.nats_per_char), rel=1e-12)
    assert found["characters"] == wanted.characters == run.data.split.val.y.size
    assert (found["split"], found["streams"]) == (split, 4)
    assert found["checkpoint"].endswith("best.safetensors")
    last = figures(call("eval", run.path, "--json", "--which", "last"))
    assert last["nats_per_char"] == pytest.approx(evaluate(run.models[LAST], run.data.split.val, 5).nats_per_char)
    assert last["nats_per_char"] != found["nats_per_char"]


def test_as_many_characters_as_asked_are_scored_everything_by_default(make_run, call, refused, tmp_path):
    run = make_run(eval_chars=20)
    assert figures(call("eval", run.path, "--json"))["characters"] == run.data.split.val.y.size > 100
    found = figures(call("eval", run.path, "--eval-chars", "23", "--json"))
    wanted = evaluate(run.model, run.data.val, 5)
    assert found["nats_per_char"] == pytest.approx(wanted.nats_per_char, rel=1e-12)
    assert found["characters"] == wanted.characters == 20
    (tmp_path / "other.txt").write_text("abcdefgh\n" * 20)
    found = figures(call("eval", run.path, tmp_path / "other.txt", "--eval-chars", "50", "--batch", "5", "--json"))
    wanted = evaluate(run.model, streams(run.data.vocabulary.encode("abcdefgh\n" * 20), 5), 5)
    assert (found["characters"], found["streams"]) == (50, 5) and wanted.characters == 175
    refused(2, "--eval-chars -1 must be at least 0", "eval", run.path, "--eval-chars", "-1")


def test_file_is_one_stream_while_it_is_short(run, call, tmp_path):
    text = "abcdefgh\n" * 20
    (tmp_path / "other.txt").write_text(text)
    ids = run.data.vocabulary.encode(text)
    for flags, B in (([], 1), (["--batch", "3"], 3)):
        found = figures(call("eval", run.path, tmp_path / "other.txt", "--json", *flags))
        wanted = evaluate(run.model, streams(ids, B), 5)
        assert found["nats_per_char"] == pytest.approx(wanted.nats_per_char, rel=1e-12)
        assert (found["streams"], found["characters"], found["split"]) == (B, wanted.characters, None)


@pytest.mark.parametrize(("length", "B"), [(19_999, 1), (20_000, 2), (700_000, 64)])
def test_long_file_is_cut_into_streams_of_ten_thousand(run, call, tmp_path, monkeypatch, length, B):
    from minrnn.cli import eval as command

    seen = []
    monkeypatch.setattr(
        command, "evaluate", lambda model, text, seq: seen.append(len(text.x)) or evaluate(model, few, 5)
    )
    few = streams(run.data.vocabulary.encode("abc"), 1)
    (tmp_path / "long.txt").write_text("a" * length)
    assert call("eval", run.path, tmp_path / "long.txt").code == 0
    assert seen == [B]


def test_file_is_normalised_like_the_training_text(make_run, call, tmp_path):
    run = make_run("lower", "Hello There. " * 40, lowercase=True)
    (tmp_path / "loud.txt").write_text("HELLO THERE. HELLO.")
    found = figures(call("eval", run.path, tmp_path / "loud.txt", "--json"))
    ids = run.data.vocabulary.encode("hello there. hello.")
    assert found["nats_per_char"] == pytest.approx(evaluate(run.model, streams(ids, 1), 5).nats_per_char, rel=1e-12)


def test_unknown_characters_of_a_file(run, call, refused, tmp_path):
    file = tmp_path / "other.txt"
    file.write_text("abcZdef")
    refused(3, "'Z'", "eval", run.path, file)
    refused(2, "--unknown replace", "eval", run.path, file, "--unknown", "replace")
    found = figures(call("eval", run.path, file, "--unknown", "skip", "--json"))
    ids = run.data.vocabulary.encode("abcdef")
    assert found["characters"] == 5
    assert found["nats_per_char"] == pytest.approx(evaluate(run.model, streams(ids, 1), 5).nats_per_char, rel=1e-12)


def test_baseline_counts_in_the_training_part_of_the_run(run, call, tmp_path):
    found = figures(call("eval", run.path, "--baseline", "--json"))
    V = len(run.data.vocabulary)
    np.testing.assert_allclose(found["baseline"], baseline(run.data.split, V), rtol=1e-12)
    assert len(found["baseline"]) == 7
    text = "abcdefgh\n" * 20
    (tmp_path / "other.txt").write_text(text)
    found = figures(call("eval", run.path, tmp_path / "other.txt", "--baseline", "--json"))
    wanted = baseline(run.data.split, V, streams(run.data.vocabulary.encode(text), 1))
    np.testing.assert_allclose(found["baseline"], wanted, rtol=1e-12)
    assert "baseline" not in figures(call("eval", run.path, "--json"))


def test_table_for_people_names_split_streams_and_checkpoint(run, call):
    out = call("eval", run.path, "--baseline").out
    nats = evaluate(run.model, run.data.split.val, 5).nats_per_char
    for words in (
        f"{nats:.4f} nats/char",
        "tail split",
        "4 streams",
        "best.safetensors",
        "context 6",
        "the network beats",
    ):
        assert words in out


def test_per_char_prints_one_line_for_every_target_in_order(run, call):
    out = call("eval", run.path, "--per-char").out
    lines = [line.split("\t") for line in out.splitlines()]
    target = run.data.vocabulary.decode(run.data.split.val.y)
    assert [line[0] for line in lines] == ["\\n" if c == "\n" else c for c in target]
    assert "\\n" in [line[0] for line in lines]
    nats = per_character(run.model, run.data.split.val, 5).ravel()
    np.testing.assert_allclose([float(line[1]) for line in lines], nats, atol=6e-7)


def test_infinite_perplexity_is_null_in_json(run, call, monkeypatch):
    from minrnn.cli import eval as command
    from minrnn.evaluate import Evaluation

    monkeypatch.setattr(command, "evaluate", lambda *args: Evaluation(800.0, 10))
    assert figures(call("eval", run.path, "--json"))["perplexity"] is None
    assert "perplexity inf" in call("eval", run.path).out


def test_text_that_has_changed_is_refused_not_scored(run, refused, call, tmp_path):
    other = run.file.read_text()
    run.file.write_text(other[:-1] + ("a" if other[-1] != "a" else "b"))
    refused(3, "changed", "eval", run.path)
    run.file.unlink()
    refused(3, "does not exist", "eval", run.path)
    (tmp_path / "other.txt").write_text("abcabc")
    assert call("eval", run.path, tmp_path / "other.txt").code == 0, "a FILE needs nothing of the training text"


def test_run_that_held_out_nothing_needs_a_file(make_run, refused):
    run = make_run(val_frac=0.0)
    refused(2, "val_frac | FILE", "eval", run.path)


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        ("--batch", ["--batch", "3"]),
        ("--per-char | --json", ["--per-char", "--json"]),
        ("--per-char | --baseline", ["--per-char", "--baseline"]),
    ],
)
def test_contradictions_are_usage_errors(run, refused, words, flags):
    refused(2, words, "eval", run.path, *flags)


def test_file_too_short_for_its_streams(run, refused, tmp_path):
    file = tmp_path / "short.txt"
    file.write_text("abc")
    refused(3, "3 characters | 4 streams need 5", "eval", run.path, file, "--batch", "4")
    refused(2, "--batch 0", "eval", run.path, file, "--batch", "0")
    file.write_text("a")
    refused(3, "1 characters", "eval", run.path, file)
