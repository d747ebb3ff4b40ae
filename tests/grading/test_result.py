"""The native result: schema, totals, what a verdict is worth, cleaning, and writing whole files."""

import json
import math
import os

import numpy as np
import pytest

from minrnn.grading.outcome.plain import clean, one_line, plain
from minrnn.grading.outcome.result import (
    CERTAINTIES,
    DEFAULT_POLICIES,
    SCHEMA,
    STATUSES,
    Diagnosis,
    FunctionResult,
    Grade,
    Isolated,
    Note,
    Output,
    Raised,
)


def function(status, outputs=(), **fields):
    made = [Output(f"o{k}", output) for k, output in enumerate(outputs)]
    return FunctionResult("f", "g", status, max_score=10.0, outputs=made, **fields)


def whole_grade():
    return Grade(
        course={"profile": "cs231n-a3", "profile_source": "detected", "candidates": [], "spec_sha256": None},
        submission={"path": "hw.py", "sha256": "0" * 64, "kind": "py", "functions_found": ["f"], "repairs": []},
        run={"seeds": [1, 2, 3], "sizes": {"N": 3}, "seconds": 0.5, "policies": DEFAULT_POLICIES, "hint_level": 2},
        functions=[
            FunctionResult(
                "lstm_backward",
                "lstm-sequence",
                "wrong",
                score=2.5,
                max_score=10.0,
                outputs=[
                    Output("dx", "wrong", 0.41, math.nan, (3, 4, 5), (3, 4, 5), "float64"),
                    Output("db", "correct"),
                ],
                diagnosis=[Diagnosis("missing-hidden-carry", "m", "dx", "exact", ("a",), {"time_steps": np.arange(3)})],
                traits=[Note("mutates-upstream", "t")],
                advisories=[Note("prints", "p")],
                isolated=Isolated("correct", 2.5, "n"),
                exception=Raised("ValueError", 7, "bad"),
                blocked_by="lstm_step_forward",
                seconds=0.25,
                stdout_tail="hello",
            ),
            FunctionResult("sigmoid", "supplied", "correct"),
        ],
        environment={"python": "3.11"},
        sandbox={"mode": "builtin", "layers": {"seccomp": "on"}},
        errors=["disk full"],
        minrnn_version="9",
    )


def test_document_has_the_fields_of_the_schema_and_its_totals():
    document = whole_grade().to_dict()
    assert list(document) == [
        *("schema", "minrnn_version", "course", "submission", "run", "functions"),
        *("totals", "environment", "sandbox", "errors"),
    ]
    assert document["schema"] == SCHEMA == "minrnn.grade/1"
    assert document["totals"] == {
        "score": 2.5,
        "max_score": 10.0,
        "percent": 25.0,
        "by_status": {"wrong": 1, "correct": 1},
    }
    first = document["functions"][0]
    assert list(first) == [
        *("name", "group", "status", "score", "max_score", "outputs", "diagnosis", "traits", "advisories"),
        *("isolated", "exception", "blocked_by", "seconds", "stdout_tail"),
    ]
    assert list(first["outputs"][0]) == [
        *("name", "status", "max_rel_error", "fd_rel_error", "shape", "expected_shape", "dtype", "place")
    ]
    assert list(first["diagnosis"][0]) == ["code", "message", "tensor", "certainty", "also_matches", "evidence"]
    assert first["diagnosis"][0]["evidence"] == {"time_steps": [0, 1, 2]}
    assert first["exception"] == {"type": "ValueError", "line": 7, "text": "bad", "place": None}
    assert document["functions"][1]["isolated"] is None


def test_the_names_that_others_rely_on():
    assert (
        *("correct", "wrong", "wrong-shape", "not-implemented", "not-found"),
        *("crashed", "timeout", "environment", "no-answer"),
    ) == STATUSES
    assert CERTAINTIES == ("exact", "ambiguous", "residual", "static", "unknown")


def test_a_document_read_back_is_the_same_document():
    document = json.loads(whole_grade().to_json())
    again = Grade.from_dict(document)
    assert again.to_dict() == document
    assert again.functions[0].diagnosis[0].tensor == "dx"
    assert isinstance(again.functions[0].exception, Raised)


def test_fields_of_a_later_version_are_passed_over_and_another_schema_is_refused():
    document = whole_grade().to_dict()
    document["later"] = 1
    document["functions"][0]["later"] = 1
    document["functions"][0]["outputs"][0]["later"] = 1
    assert Grade.from_dict(document).to_dict() == whole_grade().to_dict()
    with pytest.raises(ValueError, match=r"schema 'minrnn\.grade/2'.*grade it again"):
        Grade.from_dict({**document, "schema": "minrnn.grade/2"})


def test_numbers_that_are_not_finite_become_null_and_json_has_no_nan():
    grade = whole_grade()
    grade.functions[0].outputs[0].max_rel_error = math.inf
    assert grade.to_dict()["functions"][0]["outputs"][0]["max_rel_error"] is None
    assert "NaN" not in grade.to_json() and "Infinity" not in grade.to_json()


def test_clean_makes_python_values_of_numpys_and_refuses_objects():
    value = {"a": np.float64(1.5), 2: (np.int32(3), np.array([1.0, np.nan])), "b": np.bool_(True)}
    assert clean(value) == {"a": 1.5, "2": [3, [1.0, None]], "b": True}
    assert type(clean(np.float64(1.5))) is float
    with pytest.raises(TypeError, match="not set"):
        clean({"a": {1, 2}})


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("a\x00b\x08c\x7fd\x9be", "abcde"),
        ("keep\ttab\nline", "keep\ttab\nline"),
        ("dos\r\nmac\rend", "dos\nmac\nend"),
        ("\u202eabc\u2066x\u200f", "abcx"),
        ("\ud800lone\ufffe", "lone"),
        ("Ünïcode 漢字 🙂", "Ünïcode 漢字 🙂"),
    ],
)
def test_plain_text(text, left):
    assert plain(text) == left
    plain(text).encode("utf-8")


def test_one_line():
    assert one_line(" a\n\n\tb\x1b[1m c ") == "a b c"


def test_long_hostile_text_is_cleaned_in_no_time():
    assert plain("\x1b[" * 50_000 + "\x1b]" * 50_000 + "x").endswith("x")


# What a verdict is worth.


@pytest.mark.parametrize("status", STATUSES)
def test_right_and_refused_verdicts(status):
    worth = function(status, ["correct", "correct"]).points()
    refused = status in ("not-found", "crashed", "timeout", "no-answer")
    assert worth == (0.0 if refused else 10.0)


@pytest.mark.parametrize(
    ("status", "outputs", "policies", "worth"),
    [
        ("correct", [], {}, 10.0),
        ("wrong", ["correct", "wrong", "non-finite", "correct"], {}, 5.0),
        ("wrong", ["correct", "wrong"], {"partial": "all-or-nothing"}, 0.0),
        ("wrong", ["correct", "not-compared"], {}, 10.0),
        ("wrong", [], {}, 0.0),
        ("not-implemented", ["correct", "not-implemented"], {}, 5.0),
        ("not-implemented", [], {}, 0.0),
        ("wrong-shape", ["correct", "wrong-shape"], {}, 10.0),
        ("wrong-shape", ["correct", "wrong-shape"], {"shape": "half"}, 7.5),
        ("wrong-shape", ["correct", "wrong-shape"], {"shape": "strict"}, 5.0),
        ("wrong-shape", ["correct", "wrong-shape"], {"shape": "half", "partial": "all-or-nothing"}, 5.0),
        ("environment", ["correct"], {}, 10.0),
        ("environment", ["correct"], {"environment": "zero"}, 0.0),
        ("correct", ["correct"], {"environment": "zero"}, 10.0),
        ("environment", [], {}, 0.0),
    ],
)
def test_points_follow_the_policy(status, outputs, policies, worth):
    assert function(status, outputs).points(policies) == worth


def test_a_backward_that_follows_its_own_forward_has_credit_unless_the_policy_is_strict():
    followed = function("correct", ["correct"], advisories=[Note("follows-own-forward", "")])
    assert followed.points() == 10.0
    assert followed.points({"own-forward": "strict"}) == 0.0


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        ("mutation", "mutates-upstream"),
        ("mutation", "cache-consumed"),
        ("dtype", "float32-upcast"),
        ("stability", "softmax-global-shift"),
        ("edge-shapes", "edge-shape-failure"),
    ],
)
def test_a_trait_costs_nothing_unless_it_is_graded(policy, code):
    marked = function("correct", ["correct"], traits=[Note(code, "")])
    assert marked.points() == 10.0
    assert marked.points({policy: "graded"}) == 5.0
    assert marked.points({policy: "graded", "partial": "all-or-nothing"}) == 0.0
    others = {name: "graded" for name in ("mutation", "dtype", "stability", "edge-shapes") if name != policy}
    assert marked.points(others) == 10.0


def test_the_isolated_run_counts_where_it_is_worth_more_and_never_above_the_maximum():
    assert function("wrong", ["wrong", "correct"], isolated=Isolated("correct", 8.0)).points() == 8.0
    assert function("wrong", ["wrong", "correct"], isolated=Isolated("wrong", 2.0)).points() == 5.0
    assert function("crashed", isolated=Isolated("correct", 99.0)).points() == 10.0


def test_full_marks():
    assert function("wrong", score=10.0).full
    assert not function("correct", score=9.99).full
    assert FunctionResult("f", "g", "correct").full
    assert not FunctionResult("f", "g", "wrong").full
    assert not Grade().full and Grade().percent == 0.0
    assert not whole_grade().full
    assert Grade(functions=[function("correct", score=10.0)]).full


# Files.


def test_write_replaces_the_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "résultat.json"
    path.write_text("old")
    grade = whole_grade()
    grade.submission["path"] = "übung.py"
    grade.write(path)
    assert json.loads(path.read_text(encoding="utf-8")) == grade.to_dict()
    assert "übung" in path.read_text(encoding="utf-8")

    def fails(*_):
        raise OSError("disk full")

    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="disk full"):
        grade.write(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path], "nothing half written may stay behind"
