"""Every format parsed back: the totals of the native result, nothing hostile, nothing beyond the hints."""

import base64
import csv
import io
import json
import math
import re
import sys
import types
import xml.etree.ElementTree as ET
import zipfile
from html.parser import HTMLParser

import pytest

from minrnn.grading.outcome.codes import CODES
from minrnn.grading.outcome.result import Diagnosis, FunctionResult, Grade, Isolated, Note, Output, Raised
from minrnn.grading.report import FORMATS, classroom_github, html, junit, markdown, nbgrader, prairielearn, table, text
from minrnn.grading.report.words import cases, details, message, prepared

WHY = "The gradient of h is never added."
REPAIR = CODES["missing-hidden-carry"].repair
SECRET = 0.8675309  # stands for an expected value in the details, which no report may show
PAPER = [name for name in FORMATS if name not in ("native", "jsonl")]


def grade_of(functions, **fields):
    return Grade(
        course={"profile": "cs231n-a3"},
        submission={"path": "hw.py", "sha256": "ab" * 32, "kind": "py", "functions_found": ["lstm_backward"]},
        run={"seeds": [11, 12, 13], "seconds": 1.25},
        sandbox={"mode": "builtin", "layers": {"seccomp": "on", "landlock": "unavailable"}},
        functions=functions,
        **fields,
    )


def sample():
    """One function of every kind; 17.5 of 42 points."""
    return grade_of(
        [
            FunctionResult(
                "rnn_step_forward",
                "rnn-step",
                "correct",
                5.0,
                5.0,
                [Output("next_h", "correct", 1e-16)],
                traits=[Note("mutates-upstream", "It changes dnext_h.")],
                seconds=0.1,
            ),
            FunctionResult(
                "lstm_backward",
                "lstm-sequence",
                "wrong",
                4.0,
                10.0,
                [
                    Output("dx", "wrong", 0.4123, math.nan, (3, 4, 5), (3, 4, 5)),
                    Output("dh0", "non-finite", math.inf),
                    Output("db", "correct", 1e-15),
                ],
                diagnosis=[
                    Diagnosis(
                        "missing-hidden-carry",
                        WHY,
                        "dx",
                        "ambiguous",
                        ("missing-cell-carry",),
                        {"time_steps": [0, 1], "blocks": ["f"], "details": {"expected": SECRET}},
                    )
                ],
                isolated=Isolated("correct", 4.0, "The step was replaced."),
                seconds=0.3,
                stdout_tail="debug 1\n",
            ),
            FunctionResult(
                "rnn_backward",
                "rnn-sequence",
                "wrong-shape",
                5.0,
                5.0,
                [Output("db", "wrong-shape", 0.0, 0.0, (1, 7), (7,))],
                diagnosis=[Diagnosis("bias-gradient-keeps-dims", "The shape is kept.", "db", "exact")],
            ),
            FunctionResult(
                "lstm_forward", "lstm-sequence", "not-implemented", 0.0, 5.0, blocked_by="lstm_step_forward"
            ),
            FunctionResult("word_embedding_forward", "embedding", "not-found", 0.0, 3.0),
            FunctionResult(
                "word_embedding_backward",
                "embedding",
                "crashed",
                0.0,
                4.0,
                exception=Raised("NameError", 12, "name 'q'"),
            ),
            FunctionResult("affine_forward", "affine", "timeout", 0.0, 3.0),
            FunctionResult("affine_backward", "affine", "no-answer", 0.0, 2.0),
            FunctionResult(
                "adam",
                "optim",
                "environment",
                3.5,
                5.0,
                [Output("w", "correct"), Output("v", "wrong", 0.5)],
                diagnosis=[Diagnosis("removed-numpy-api", "np.float is gone.", None, "static")],
            ),
        ]
    )


NASTY = (
    "\x1b[31m\x1b]0;t\x07=cmd|' /C calc'!A0 <script>alert(1)</script> ]]> "
    '`b` | \x00 \u202e ü漢 \ud800 "q" \\ %s {x} \x9b2J'
)


def hostile():
    """Everything that can come from a student is nasty."""
    grade = grade_of(
        [
            FunctionResult(
                "lstm_backward",
                "lstm-sequence",
                "crashed",
                0.0,
                10.0,
                [Output("dx", "wrong", math.nan)],
                diagnosis=[Diagnosis("exception", NASTY, "dx", "exact")],
                traits=[Note("prints", NASTY)],
                exception=Raised("E" + NASTY, 3, NASTY),
                stdout_tail=f"```\n{NASTY}\n````\n",
            )
        ],
        errors=[NASTY],
    )
    grade.submission["path"] = f"=1+1{NASTY}.py"
    grade.submission["repairs"] = [{"code": "python2-syntax", "message": NASTY}]
    grade.submission["cells_skipped"] = [{"index": 4, "error": NASTY}]
    return grade


def empty():
    grade = grade_of([])
    grade.submission["functions_found"] = []
    return grade


def as_text(name, grade, **options):
    content = FORMATS[name](grade, **options)
    if name == "classroom":
        return "".join(json.dumps(result) for result in classroom_results(content).values())
    if name == "otter":
        with zipfile.ZipFile(io.BytesIO(content)) as files:
            return "".join(files.read(member).decode() for member in files.namelist())
    return content


def classroom_results(content):
    pairs = [line.split("=", 1) for line in content.splitlines()]
    return {name: json.loads(base64.b64decode(value)) for name, value in pairs}


def csv_cells(content):
    header, row = csv.reader(io.StringIO(content))
    return dict(zip(header, row, strict=True))


def otter_points(content, monkeypatch):
    """Run the test files as otter would: (points earned, points to be had)."""
    found = []

    def test_case(points=None, name=None, hidden=False, success_message=None, failure_message=None):
        return lambda test: found.append((points, test))

    package, module = types.ModuleType("otter"), types.ModuleType("otter.test_files")
    module.test_case = test_case
    monkeypatch.setitem(sys.modules, "otter", package)
    monkeypatch.setitem(sys.modules, "otter.test_files", module)
    names = []
    with zipfile.ZipFile(io.BytesIO(content)) as files:
        for member in files.namelist():
            space = {}
            exec(compile(files.read(member), member, "exec"), space)
            assert space["OK_FORMAT"] is False
            assert member == f"tests/{space['name']}.py"
            names.append(space["name"])
    earned = 0.0
    for points, test in found:
        try:
            test()
            earned += points
        except AssertionError:
            pass
    return names, earned, math.fsum(points for points, _ in found)


# The totals.


@pytest.mark.parametrize("make", [sample, hostile, empty])
def test_totals_equal_the_native_ones(make, monkeypatch):
    grade = make()
    score, max_score = grade.score, grade.max_score
    fraction = score / max_score if max_score else 0.0
    native = json.loads(FORMATS["native"](grade))["totals"]
    assert (native["score"], native["max_score"]) == (score, max_score)
    assert json.loads(FORMATS["jsonl"](grade))["totals"] == native

    scope = json.loads(FORMATS["gradescope"](grade))
    assert scope["score"] == score
    assert math.fsum(test.get("score", 0) for test in scope["tests"]) == pytest.approx(score)
    assert math.fsum(test.get("max_score", 0) for test in scope["tests"]) == pytest.approx(max_score)

    prairie = json.loads(FORMATS["prairielearn"](grade))
    assert math.fsum(test["points"] for test in prairie["tests"]) == pytest.approx(score)
    assert math.fsum(test["max_points"] for test in prairie["tests"]) == pytest.approx(max_score)
    assert prairie["score"] == pytest.approx(fraction if prairie["gradable"] else 0.0)

    runners = classroom_results(FORMATS["classroom"](grade))
    assert math.fsum(test["score"] for run in runners.values() for test in run["tests"]) == pytest.approx(score)
    assert math.fsum(run["max_score"] for run in runners.values()) == pytest.approx(max_score)

    assert math.fsum(json.loads(FORMATS["autolab"](grade).splitlines()[-1])["scores"].values()) == pytest.approx(score)
    assert json.loads(FORMATS["coursera"](grade))["fractionalScore"] == pytest.approx(fraction)
    assert json.loads(FORMATS["coderunner"](grade))["fraction"] == pytest.approx(fraction)
    assert float(FORMATS["nbgrader"](grade)) == score
    cells = csv_cells(FORMATS["csv"](grade))
    assert (float(cells["score"]), float(cells["max_score"])) == (score, max_score)
    _, earned, possible = otter_points(FORMATS["otter"](grade), monkeypatch)
    assert earned == pytest.approx(score) and possible == pytest.approx(max_score)
    for name in ("text", "markdown", "html"):
        assert "17.5 of 42 points" in FORMATS[name](sample())


@pytest.mark.parametrize("hints", [0, 1, 2, 3])
def test_cases_add_up_to_the_function(hints):
    for function in sample().functions:
        parts = cases(function, hints)
        assert parts
        assert math.fsum(part.points for part in parts) == pytest.approx(function.score)
        assert math.fsum(part.max_points for part in parts) == pytest.approx(function.max_score)
        assert all(part.passed for part in parts) == function.full
        assert all(part.message for part in parts if not part.passed)


def test_points_without_an_output_that_is_right_have_a_case_of_their_own():
    isolated = FunctionResult("f", "g", "crashed", 6.0, 10.0, isolated=Isolated("correct", 6.0))
    assert [(c.name, c.passed, c.points, c.max_points) for c in cases(isolated, 2)] == [
        ("credit", True, 6.0, 6.0),
        ("crashed", False, 0.0, 4.0),
    ]


# Hostile text.


@pytest.mark.parametrize("name", FORMATS)
def test_no_control_character_is_left(name):
    content = as_text(name, hostile(), hints=3)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", content)
    assert not re.search(r"\\u00(0[0-8bc]|1[0-9a-f]|7f|9b)|\\x(0[0-8bc]|1[0-9a-f]|7f|9b)|\\ud8|\\u202e", content)
    content.encode("utf-8")


def test_html_has_no_markup_of_the_student():
    tags, texts = [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.append(tag)

        def handle_data(self, data):
            texts.append(data)

    Reader().feed(html.render(hostile(), hints=3))
    assert "script" not in tags and "a" not in tags and "link" not in tags
    assert "<script>alert(1)</script>" in "".join(texts), "it is shown, as text"


def test_markdown_has_no_markup_of_the_student():
    content = markdown.render(hostile(), hints=3)
    before, fenced = content.split("\n`````\n", 1)
    assert "<script" not in re.sub(r"\\.", "", before)
    assert not re.search(r"(?<!\\)[`|]", before.split("|---|---|---|")[0].split("| function")[0])
    assert fenced.count("\n`````") == 1, "the fence is longer than any run of backticks inside it"


def test_csv_cells_are_no_formulas():
    cells = csv_cells(FORMATS["csv"](hostile()))
    assert cells["path"].startswith("'=1+1")
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells.values())
    for text_, kept in [("=1", "'=1"), ("@x", "'@x"), ("\t+1", "'+1"), ("-1", "'-1"), ("a=b", "a=b"), ("", "")]:
        assert table.safe(text_) == kept
    assert table.safe(-1.5) == -1.5
    assert table.line(['a "b", c\nd']) == '"a ""b"", c d"\n'


def test_junit_is_xml_whatever_was_printed():
    root = ET.fromstring(FORMATS["junit"](hostile()))
    assert "<script>alert(1)</script> ]]>" in root.find(".//error").text
    assert root.find(".//error").get("type") == "crashed", "the status, though the cause has a code"


# Hints.


@pytest.mark.parametrize("name", [name for name in PAPER if name not in ("csv", "nbgrader")])
def test_hints_cap_what_is_said(name):
    def said(hints):
        found = as_text(name, sample(), hints=hints).replace("\\n", " ").replace("\\u00b2", "²")
        return re.sub(r"\s+", " ", re.sub(r"\\(.)", r"\1", found))

    def flat(text_):
        return re.sub(r"\s+", " ", text_)

    assert "0.41 " not in said(0) and "dx" not in said(0)
    assert "0.41 " in said(1) and WHY not in said(1)
    assert "missing-hidden-carry" not in said(1) and "bias-gradient-keeps-dims" not in said(1)
    assert WHY in said(2) and "missing-hidden-carry" in said(2) and "missing-cell-carry" in said(2)
    assert flat(REPAIR)[:40] not in said(2)
    assert flat(REPAIR)[:40] in said(3)


@pytest.mark.parametrize("hints", [-1, 4, None])
def test_other_hint_levels_are_refused(hints):
    with pytest.raises(ValueError, match=r"0 .verdict.*3 .how to repair"):
        text.render(sample(), hints=hints)


@pytest.mark.parametrize("name", PAPER)
def test_expected_values_are_never_shown(name):
    assert "867530" not in as_text(name, sample(), hints=3)


def test_where_names_error_place_line_and_callee():
    functions = prepared(sample()).functions
    by_name = {function.name: [sentence for _, sentence in details(function, 1)] for function in functions}
    assert "dx is wrong: relative error 0.41 from the definition" in by_name["lstm_backward"]
    assert "dh0 holds NaN or infinity" in by_name["lstm_backward"]
    assert "of the weights, gate f is wrong; dx is wrong at steps 0 and 1" in by_name["lstm_backward"]
    assert "db has the right values in the shape (1, 7), asked for is (7,)" in by_name["rnn_backward"]
    assert "NameError in line 12: name 'q'" in by_name["word_embedding_backward"]
    assert "needs lstm_step_forward, where the cause lies" in by_name["lstm_forward"]
    assert "not written yet" not in message(sample().functions[3], 2), "the callee is the stub"
    stub = FunctionResult("f", "g", "not-implemented", 0.0, 1.0)
    assert message(stub, 2) == "not written yet"


def test_wrong_tensors_are_one_sentence_with_their_places():
    outputs = [
        Output("dx", "wrong", 2.4, 0.111, place="line 3"),
        Output("dh0", "correct", 1e-16),
        Output("dWx", "wrong", 0.123, None, place="cell 2, line 5"),
        Output("dWh", "wrong", 11.0, 0.555, place="line 3"),
        Output("db", "wrong"),
    ]
    (said,) = [text_ for _, text_ in details(FunctionResult("f", "g", "wrong", outputs=outputs), 1)]
    assert said == (
        "dx and dWh (line 3), dWx (cell 2, line 5) and db are wrong: relative error 0.12 to 11 from the definition, "
        "0.11 to 0.56 from the numerical gradient of your own forward"
    )


def test_what_a_step_spoils_is_said_of_the_step():
    outputs = [Output("dx", "wrong", 0.9, 0.9)]
    function = FunctionResult("loop", "g", "wrong", 10.0, 10.0, outputs, blocked_by="step")
    function.isolated = Isolated("correct", 10.0, "Graded with a right step.")
    said = message(function, 2)
    assert said.startswith("right but for step\nwhere: needs step, where the cause lies\n")
    assert "dx" not in said
    function.diagnosis = [Diagnosis("sign-flipped", "Follows from step: the sign is wrong.")]
    assert "repair:" not in message(function, 3), "it is said at the step"
    function.isolated = Isolated("wrong", 0.0)
    assert message(function, 2).startswith("wrong values\nwhere: dx is wrong")


def test_a_message_for_one_output_leaves_out_the_others():
    backward = sample().functions[1]
    assert WHY in message(backward, 2, backward.outputs[0])
    assert "dh0" not in message(backward, 2, backward.outputs[0])
    two = FunctionResult("f", "g", "wrong", 0, 1, [Output("a", "wrong"), Output("b", "wrong")])
    two.diagnosis = [Diagnosis("sign-flipped", "A.", "a"), Diagnosis("constant-factor", "B.", "b")]
    assert "B." in message(two, 2, two.outputs[1]) and "A." not in message(two, 2, two.outputs[1])


# The rules of each platform.


def test_gradescope_follows_the_table_of_statuses():
    document = json.loads(FORMATS["gradescope"](sample()))
    tests = {test["name"]: test for test in document["tests"]}
    assert {name: test["status"] for name, test in tests.items() if "score" in test} == {
        "rnn_step_forward": "passed",
        "lstm_backward": "failed",
        "rnn_backward": "passed",
        "lstm_forward": "failed",
        "word_embedding_forward": "failed",
        "word_embedding_backward": "failed",
        "affine_forward": "failed",
        "affine_backward": "failed",
        "adam": "failed",
    }
    assert tests["lstm_backward"]["tags"] == ["missing-hidden-carry"]
    assert tests["rnn_step_forward"]["tags"] == []
    assert tests["lstm_backward"]["number"] == "2.1" and tests["lstm_forward"]["number"] == "2.2"
    trait = tests["rnn_step_forward: mutates-upstream"]
    assert trait["status"] == "passed" and "score" not in trait and "max_score" not in trait
    assert document["stdout_visibility"] == "hidden"
    assert document["extra_data"]["seeds"] == [11, 12, 13]
    assert re.fullmatch("[0-9a-f]{64}", document["extra_data"]["result_sha256"])


def test_prairielearn_every_test_has_points_and_remarks_have_none():
    document = json.loads(FORMATS["prairielearn"](sample()))
    assert document["gradable"] is True
    assert all({"name", "points", "max_points"} <= set(test) for test in document["tests"])
    remarks = [test for test in document["tests"] if test["max_points"] == 0]
    assert [test["name"] for test in remarks] == ["rnn_step_forward: mutates-upstream"]
    assert len(FORMATS["prairielearn"](hostile(), hints=3)) < 1_000_000


def test_prairielearn_keeps_the_attempt_where_nothing_could_be_graded():
    for grade in (empty(), hostile()):
        document = json.loads(prairielearn.render(grade))
        assert document["gradable"] is False and document["format_errors"] and document["score"] == 0.0


def test_classroom_has_a_runner_per_function_and_numbers_everywhere():
    runners = classroom_results(FORMATS["classroom"](sample()))
    assert len(runners) == 9
    assert all(re.fullmatch("[A-Z0-9]+_RESULTS", name) for name in runners)
    statuses = {name.removesuffix("_RESULTS"): run["status"] for name, run in runners.items()}
    assert statuses == {
        "RNNSTEPFORWARD": "pass",
        "LSTMBACKWARD": "fail",
        "RNNBACKWARD": "pass",
        "LSTMFORWARD": "fail",
        "WORDEMBEDDINGFORWARD": "fail",
        "WORDEMBEDDINGBACKWARD": "error",
        "AFFINEFORWARD": "error",
        "AFFINEBACKWARD": "error",
        "ADAM": "error",
    }
    for run in runners.values():
        assert run["version"] == 1 and run["tests"]
        for test in run["tests"]:
            assert isinstance(test["score"], float) and isinstance(test["line_no"], int)
            assert test["status"] in ("pass", "fail", "error")
    assert runners["WORDEMBEDDINGBACKWARD_RESULTS"]["tests"][0]["line_no"] == 12
    assert classroom_results(FORMATS["classroom"](empty()))["SUBMISSION_RESULTS"]["status"] == "error"


def test_classroom_runners_of_names_that_differ_in_signs_only():
    assert classroom_github.runners(["a_b", "ab", "a.B", "漢"]) == ["AB", "ABX2", "ABX3", "FUNCTION"]


def test_junit_counts_what_it_holds():
    root = ET.fromstring(FORMATS["junit"](sample()))
    suite = root.find("testsuite")
    found = [len(suite.findall(f"testcase{path}")) for path in ("", "/failure", "/error", "/skipped")]
    assert [int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped")] == found
    assert found == [12, 4, 4, 0]
    by_class = {case.get("classname"): case for case in suite}
    assert by_class["cs231n-a3.affine_forward"].find("error").get("type") == "timeout"
    assert by_class["cs231n-a3.adam"].find("error").get("type") == "removed-numpy-api"
    assert by_class["cs231n-a3.lstm_forward"].find("failure").get("type") == "not-implemented"
    assert suite.find("testcase[@name='dx']/failure").get("type") == "missing-hidden-carry"
    first = by_class["cs231n-a3.rnn_step_forward"]
    assert "It changes dnext_h." in first.find("system-out").text and first.find("failure") is None
    assert "(1, 7)" in by_class["cs231n-a3.rnn_backward"].find("system-out").text


def test_junit_can_skip_what_is_not_written():
    root = ET.fromstring(junit.render(sample(), skip=True))
    assert root.find("testsuite").get("skipped") == "1"
    assert root.find("testsuite").get("failures") == "3"
    assert root.find(".//testcase[@classname='cs231n-a3.lstm_forward']/skipped") is not None


def test_autolab_prints_the_scores_last():
    first, last = FORMATS["autolab"](sample()).splitlines()
    assert set(json.loads(last)) == {"scores", "scoreboard"}
    assert json.loads(last)["scoreboard"] == [17.5]
    feedback = json.loads(first)
    assert feedback["_presentation"] == "semantic"
    assert feedback["stages"] == [function.name for function in sample().functions]
    assert feedback["rnn_step_forward"] == {"next_h": {"passed": True}}
    assert feedback["lstm_backward"]["dx"]["passed"] is False and WHY in feedback["lstm_backward"]["dx"]["hint"]
    assert feedback["rnn_backward"]["db"]["passed"] is True and "(1, 7)" in feedback["rnn_backward"]["db"]["hint"]


def test_coderunner_rows_fit_the_header():
    document = json.loads(FORMATS["coderunner"](sample()))
    header, *rows = document["testresults"]
    assert header[0] == "iscorrect" and len(document["columnformats"]) == len(header) - 1
    assert all(len(row) == len(header) for row in rows)
    assert [row[0] for row in rows] == [1, 0, 1, 0, 0, 0, 0, 0, 0]
    assert "<script" not in json.loads(FORMATS["coderunner"](hostile()))["prologuehtml"]


def test_nbgrader_values_are_bare_floats_within_bounds(capsys):
    grade = sample()
    assert FORMATS["nbgrader"](grade) == "17.5"
    assert type(nbgrader.points(grade, "lstm_backward")) is float
    assert nbgrader.points(grade, "lstm_backward") == 4.0
    assert repr(nbgrader.points(grade, "no_such_function")) == "0.0"
    grade.functions[0].score = 99
    assert nbgrader.points(grade, "rnn_step_forward") == 5.0
    assert capsys.readouterr() == ("", "")


def test_otter_files_are_equal_for_equal_grades_and_named_apart(monkeypatch):
    assert FORMATS["otter"](sample()) == FORMATS["otter"](sample())
    twins = grade_of([FunctionResult(name, "g", "correct", 1.0, 1.0) for name in ("RNNCell.f", "RNNCell_f", "../x")])
    names, *_ = otter_points(FORMATS["otter"](twins), monkeypatch)
    assert names == ["RNNCell_f", "RNNCell_f_2", "___x"]
    assert as_text("otter", hostile()).isascii(), "whatever encoding the reader assumes"


def test_csv_columns_and_counts():
    cells = csv_cells(FORMATS["csv"](sample()))
    assert list(cells)[: len(table.COLUMNS)] == list(table.COLUMNS)
    assert list(cells)[len(table.COLUMNS) :][:3] == [
        *("score:rnn_step_forward", "status:rnn_step_forward", "code:rnn_step_forward")
    ]
    counts = {name: cells[name] for name in cells if name.startswith("n_")}
    assert counts == {
        "n_correct": "1",
        "n_wrong": "1",
        "n_wrong_shape": "1",
        "n_not_implemented": "1",
        "n_failed": "5",
    }
    assert (cells["status"], cells["top_function"], cells["top_code"]) == (
        *("wrong", "lstm_backward"),
        "missing-hidden-carry",
    )
    assert cells["top_message"] == WHY and cells["traits"] == "mutates-upstream"
    assert cells["sandbox"] == "builtin seccomp"
    assert cells["code:lstm_backward"] == "missing-hidden-carry" and cells["score:adam"] == "3.5"


def test_csv_a_repaired_function_with_all_points_did_not_fail():
    repaired = FunctionResult("f", "g", "environment", 5.0, 5.0)
    assert csv_cells(FORMATS["csv"](grade_of([repaired])))["n_failed"] == "0"


def test_csv_rows_of_a_class_share_one_header():
    columns = table.header(["lstm_backward", "never_graded"])
    row = dict(zip(columns, table.row(sample(), columns, id="s1", name="=Ada"), strict=True))
    assert row["id"] == "s1" and row["score:lstm_backward"] == 4.0 and row["score:never_graded"] == ""
    assert "'=Ada" in table.line(list(row.values()))


def test_text_has_colour_only_where_it_is_wanted(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" not in text.render(sample()), "not a terminal"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert "\x1b[31m" in text.render(sample())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in text.render(sample())
    assert "\x1b" in text.render(sample(), colour=True)


def test_text_shows_what_was_printed_unless_only_the_verdict_is_wanted():
    assert "debug 1" in text.render(sample(), hints=1)
    assert "debug 1" not in text.render(sample(), hints=0)


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_submission_has_a_report(name):
    assert FORMATS[name](empty())


@pytest.mark.parametrize("name", ["text", "markdown", "html", "gradescope", "prairielearn", "coderunner"])
def test_problems_of_the_grader_are_said(name):
    assert "The mark is not final" in FORMATS[name](hostile()).replace("\\", "")


@pytest.mark.parametrize("name", FORMATS)
def test_a_report_leaves_the_grade_as_it_is(name):
    grade = hostile()
    before = grade.to_json()
    FORMATS[name](grade, hints=3)
    assert grade.to_json() == before and grade.functions[0].exception.text == NASTY
