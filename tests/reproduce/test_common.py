"""What the recipes share: verdicts, exit codes and the result file. A stub takes the place of training."""

import hashlib
import importlib
import json
import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts/reproduce"))
common, published = importlib.import_module("common"), importlib.import_module("published")

FIGURE = published.Figure("test_common", "good", "toy", "epoch", 2, "loss", 1.0, 0.9, 1.1, "nobody")


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """toy(variants, *arguments): exit code and results of a recipe that trains nothing, on a text of 3 letters."""
    monkeypatch.setattr(common, "LEAST", 1)
    monkeypatch.setattr(published, "TEXTS", {3: "toy"})
    monkeypatch.setattr(published, "FIGURES", [FIGURE])
    (tmp_path / "toy.txt").write_text("abcabc", encoding="utf-8")

    def call(variants, *arguments):
        out = tmp_path / "out.json"
        fixed = ["--data", str(tmp_path / "toy.txt"), "--out", str(out)]
        code = common.main("A toy.", variants, stand_in="none.txt", arguments=[*fixed, *arguments])
        return code, json.loads(out.read_text(encoding="utf-8"))

    return call


def curve(*losses, check=0.0):
    def variant(run):
        run.configure(hidden_size=1)
        for epoch, loss in enumerate(losses, 1):
            run.log(epoch=epoch, loss=loss)
        run.check("something", check, high=1.0)

    return variant


def test_result_holds_all_that_is_needed_to_judge_it(toy):
    code, (result,) = toy({"good": curve(3.0, 1.05)}, "--seed", "7")
    assert code == 0 and result["passed"]
    assert (result["recipe"], result["variant"], result["mode"], result["seed"]) == ("test_common", "good", "full", 7)
    assert result["curve"] == [{"epoch": 1, "loss": 3.0}, {"epoch": 2, "loss": 1.05}]
    assert result["configuration"] == {"hidden_size": 1} and set(result["versions"]) == {"minrnn", "numpy", "python"}
    assert result["text"]["sha256"] == hashlib.sha256(b"abcabc").hexdigest()
    assert {k: result["text"][k] for k in ("name", "known_as", "characters", "distinct")} == {
        "name": "toy.txt",
        "known_as": "toy",
        "characters": 6,
        "distinct": 3,
    }
    assert set(result["seconds"]) == {"wall", "cpu"}


@pytest.mark.parametrize("last", [0.85, 1.15, math.nan])
def test_a_figure_outside_its_band_fails(toy, last):
    code, (result,) = toy({"good": curve(3.0, last)})
    assert code == 1 and not result["passed"]
    assert [check["passed"] for check in result["checks"]] == [True, False]


def test_a_place_that_was_not_reached_fails(toy):
    code, (result,) = toy({"good": curve(1.0)})
    assert code == 1 and result["checks"][-1]["value"] is None


def test_bands_are_for_their_variant_and_their_text_only(toy, tmp_path):
    assert toy({"other": curve(3.0, 3.0)})[0] == 0
    (tmp_path / "other.txt").write_text("abcd", encoding="utf-8")
    assert toy({"good": curve(3.0, 3.0)}, "--data", str(tmp_path / "other.txt"))[0] == 0


def test_the_part_of_the_text_that_is_used_decides_on_the_bands(toy, tmp_path):
    (tmp_path / "long.txt").write_text("abcabcdef", encoding="utf-8")

    def begins(run):
        run.use(run.text[:6])
        curve(3.0, 3.0)(run)

    code, (result,) = toy({"good": begins}, "--data", str(tmp_path / "long.txt"))
    assert code == 1 and result["text"]["characters"] == 6


def test_quick_mode_leaves_the_bands_out_and_keeps_its_own_check(toy):
    assert toy({"good": curve(3.0, 3.0)}, "--quick")[0] == 0
    assert toy({"good": curve(3.0, 1.0, check=2.0)}, "--quick")[0] == 1


def test_one_failure_of_several_variants_is_a_failure_whichever_it_is(toy):
    variants = {"good": curve(3.0, 3.0), "other": curve(1.0)}
    code, results = toy(variants)
    assert code == 1 and [result["passed"] for result in results] == [False, True]
    assert toy(variants, "--variant", "other")[0] == 0


def test_a_recipe_that_checks_nothing_is_refused(toy):
    with pytest.raises(ValueError, match="checks nothing"):
        toy({"good": lambda run: None}, "--quick")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "absent.txt"], "absent.txt does not exist"),
        (["--data", "short.txt"], "short.txt has 6 characters, too few for a recipe"),
        (["--out", "absent/out.json"], "there is no folder for absent/out.json"),
    ],
)
def test_files_that_will_not_do_are_named_in_one_line_before_anything_is_learned(
    monkeypatch, tmp_path, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short.txt").write_text("abcdef", encoding="utf-8")
    code = common.main("", {"good": lambda run: pytest.fail("began")}, stand_in="english.txt", arguments=arguments)
    shown = capsys.readouterr().err
    assert code == 2 and message in shown and shown.count("\n") == 1


def test_what_was_written_before_survives_an_interruption(monkeypatch, tmp_path, capsys):
    def interrupt(run):
        raise KeyboardInterrupt

    (tmp_path / "out.json").write_text("before", encoding="utf-8")
    arguments = ["--out", str(tmp_path / "out.json")]
    assert common.main("", {"good": interrupt}, stand_in="english.txt", arguments=arguments) == 130
    assert (tmp_path / "out.json").read_text(encoding="utf-8") == "before"
    assert "interrupted" in capsys.readouterr().err


def test_every_figure_lies_in_its_own_band_and_has_a_line_in_the_table():
    rows = {(row.recipe, row.variant): row.metrics for row in published.ROWS}
    assert len(published.FIGURES) > 50
    for figure in published.FIGURES:
        assert figure.low <= figure.published <= figure.high, figure
        assert figure.metric in rows[figure.recipe, figure.variant]


@pytest.mark.parametrize(
    ("variant", "text", "epoch", "low", "high"),
    [
        ("random", "lyrics", 150, 2.843535 * 0.92, 2.843535 * 1.08),
        ("random", "lyrics", 200, 1.579061 * 0.96, 1.579061 * 1.04),
        ("adam", "lyrics", 150, 1.046364, 1.086364),
    ],
)
def test_bands_narrow_after_epoch_150_and_near_one(variant, text, epoch, low, high):
    figures = [f for f in published.FIGURES if (f.recipe, f.variant, f.text) == ("lyrics_rnn", variant, text)]
    (figure,) = [f for f in figures if f.at == epoch]
    assert (figure.low, figure.high) == pytest.approx((low, high))
