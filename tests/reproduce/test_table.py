"""The table of the README: it agrees with the result files, and says of them what is true."""

import importlib
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts/reproduce"))
table, published = importlib.import_module("table"), importlib.import_module("published")


def result(seed, *values, variant="random", mode="full", file="mengzi.txt", known_as="Mencius"):
    curve = [{"epoch": 50 * (k + 1), "perplexity": value} for k, value in enumerate(values)]
    text = {"name": file, "known_as": known_as}
    return {"recipe": "lyrics_rnn", "variant": variant, "mode": mode, "seed": seed, "text": text, "curve": curve}


def folder(path, *results):
    for k, one in enumerate(results):
        (path / f"{k}.json").write_text(json.dumps([one]), encoding="utf-8")
    return path


def test_readme_agrees_with_the_result_files():
    assert table.main(["--check"]) == 0, "run python scripts/reproduce/table.py"


def test_every_committed_result_is_full_and_has_a_line():
    shown = {(row.recipe, row.variant) for row in published.ROWS}
    files = sorted((table.ROOT / "scripts/reproduce/results").glob("*.json"))
    assert files
    for file in files:
        for run in json.loads(file.read_text(encoding="utf-8")):
            assert run["mode"] == "full" and (run["recipe"], run["variant"]) in shown


def test_the_median_of_the_seeds_is_shown_and_compared(tmp_path):
    good, low, high = (65, 21.5, 7.2, 3.5, 2.38), (1, 1, 1, 1, 2.3), (99, 99, 99, 99, 9.0)
    runs = table.read_results(folder(tmp_path, result(2, *high), result(0, *good), result(1, *low)))
    (line,) = table.table(runs).splitlines()[2:]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1:] == [
        "tanh RNN 256, SGD, random windows",
        "perplexity, epoch 50 / 100 / 150 / 200 / 250",
        "68.14 / 9.41 / 2.844 / 1.579 / 1.299 (lyrics); 65 / 21.5 / 7.2 / 3.5 / 2.38 (Mencius)",
        "65 / 21.5 / 7.2 / 3.5 / 2.38",
        "5 of 5",
        "Mencius; 0, 1, 2",
        "`lyrics_rnn.py --variant random`",
    ]


def test_several_metrics_stand_below_each_other(tmp_path):
    run = result(0, variant="last", known_as="Andersen") | {"recipe": "andersen"}
    run["curve"] = [{"epoch": 10, "last_character": 2.5, "all_characters": 1.97, "val": 2.1}]
    (line,) = table.table(table.read_results(folder(tmp_path, run))).splitlines()[2:]
    assert (
        "| last character, epoch 10<br>all characters, epoch 10<br>val, epoch 10 "
        "| 1.993 (Andersen)<br>1.973 (Andersen)<br>– | 2.5<br>1.97<br>2.1 | 0 of 1<br>1 of 1<br>– |"
    ) in line


def test_a_miss_is_counted_at_its_place(tmp_path):
    runs = table.read_results(folder(tmp_path, result(0, 65, 30, 7.2, 3.5, 2.5)))
    assert "| 65 / 30 / 7.2 / 3.5 / 2.5 | 3 of 5 |" in table.table(runs)


def test_quick_runs_are_left_out_and_texts_kept_apart(tmp_path):
    runs = [result(0, 65, 2.4, mode="quick"), result(0, 40.0, file="other.txt", known_as=None), result(0, 65.0, 2.4)]
    lines = table.table(table.read_results(folder(tmp_path, *runs))).splitlines()[2:]
    assert len(lines) == 2
    assert "| 65 / 2.4 / – / – / – | 1 of 5 | Mencius; 0 |" in lines[0]
    assert "| 40 / – / – / – / – | – | other.txt; 0 |" in lines[1]  # no band, no verdict


def test_check_sees_every_difference_and_writes_nothing(tmp_path):
    folder(tmp_path, result(0, 65.0, 2.4))
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{table.START}\nold\n{table.END}\nafter\n", encoding="utf-8")
    options = ["--results", str(tmp_path), "--readme", str(readme)]
    assert table.main(["--check", *options]) == 1 and "old" in readme.read_text(encoding="utf-8")
    assert table.main(options) == 0
    written = readme.read_text(encoding="utf-8")
    assert written.startswith(f"before\n{table.START}\n| system |") and written.endswith(f"|\n{table.END}\nafter\n")
    assert table.main(["--check", *options]) == 0
    readme.write_text(written.replace("/ 2.4 /", "/ 2.3 /"), encoding="utf-8")
    assert table.main(["--check", *options]) == 1


@pytest.mark.parametrize("text", ["", f"{table.END}\n{table.START}", f"{table.START}\n{table.START}\n{table.END}"])
def test_markers_that_are_not_there_once_are_refused(text):
    with pytest.raises(ValueError, match="README needs"):
        table.replaced(text, "table")
