"""`minrnn grade`: exit codes, what goes where, what students do not see, and a class that is interrupted."""

import csv
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from minrnn.cli import grade as command
from minrnn.cli import grade_class
from minrnn.grading.courses import profile
from minrnn.grading.coursework import autograder
from minrnn.grading.coursework.assignment import Assignment
from minrnn.grading.outcome.codes import CODES
from minrnn.grading.outcome.result import Diagnosis, FunctionResult, Grade, Note, Output
from minrnn.grading.report import FORMATS
from minrnn.grading.sandbox import LAYERS, SandboxError

TINY = Path(__file__).parents[1] / "grading"
PROFILE = (TINY / "tiny.toml").read_text(encoding="utf-8")
RIGHT = (TINY / "tiny.py").read_text(encoding="utf-8")
WRONG = RIGHT.replace("dout.sum(0)", "-dout.sum(0)")
KEEPS_DIMS = RIGHT.replace("dout.sum(0)", "dout.sum(0, keepdims=True)")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with a profile and a few submissions."""
    monkeypatch.chdir(tmp_path)
    for name, text in {"tiny.toml": PROFILE, "right.py": RIGHT, "wrong.py": WRONG, "dims.py": KEEPS_DIMS}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def grade(call, place):
    """grade("wrong.py", …) by the profile."""
    return lambda *argv: call("grade", *argv, "--profile", "tiny.toml")


@pytest.fixture
def told(monkeypatch, place):
    """told(grade): the grader finds this, whatever is graded; the list has how it was asked."""
    asked = []

    def make(found):
        monkeypatch.setattr(Assignment, "grade", lambda self, path: asked.append(self) or found)
        return asked

    return make


def found(**fields):
    outputs = [Output("dx", "wrong", 0.123456, 0.654321, (3, 4), (3, 4)), Output("db", "correct", 1e-16, 2.5e-11, (4,))]
    cause = Diagnosis("missing-time-carry", "The carry is missing.", "dx", "exact", (), {"time_steps": [0, 1]})
    functions = [
        FunctionResult("affine_forward", "affine", "correct", 4.0, 4.0, [Output("out", "correct", 1e-16)]),
        FunctionResult(
            "affine_backward", "affine", "wrong", 3.5, 6.0, outputs, [cause], [Note("prints", "It prints.")]
        ),
    ]
    return Grade(course={"profile": "tiny"}, submission={"path": "hw.py"}, functions=functions, **fields)


# Real submissions.


def test_right_is_0_and_wrong_is_1_with_the_cause(grade):
    right = grade("right.py")
    assert (right.code, right.err) == (0, "") and "10 of 10 points" in right.out
    wrong = grade("wrong.py", "--hints", "3")
    assert (wrong.code, wrong.err) == (1, "")
    assert "8 of 10 points" in wrong.out and "sign-flipped" in wrong.out and "repair" in wrong.out


def test_native_result_says_how_it_came_about(grade):
    document = json.loads(
        grade("wrong.py", "--format", "native", "--seed", "5", "--timeout", "7.5", "--memory", "800").out
    )
    assert document["schema"] == "minrnn.grade/1" and document["run"]["seeds"] == [5, 6, 7]
    assert document["sandbox"]["limits"] == {"wall_s": 45, "cpu_s": 8, "memory_mib": 800, "output_kib": 64}
    assert document["course"]["profile"] == "tiny" and document["course"]["profile_source"] == "given"
    assert document["course"]["spec_sha256"] is None and document["run"]["hint_level"] == 2


def test_inputs_follow_from_the_secret_and_the_submission(grade, place):
    def seeds(file, *flags):
        return json.loads(grade(file, "--format", "native", "--functions", "affine_forward", *flags).out)["run"][
            "seeds"
        ]

    (place / "secret").write_bytes(b"s")
    (place / "copy.py").write_text(RIGHT)
    one = seeds("right.py", "--secret-file", "secret")
    assert one == seeds("copy.py", "--secret-file", "secret")
    assert not set(one) & {*seeds("right.py"), *seeds("wrong.py", "--secret-file", "secret")}


def test_strict_shapes_costs_what_is_lenient_without(grade):
    assert grade("dims.py").code == 0
    strict = grade("dims.py", "--strict-shapes")
    assert strict.code == 1 and "8 of 10 points" in strict.out


def test_functions_restricts_and_keeps_what_they_need(grade):
    document = json.loads(grade("wrong.py", "--functions", "affine_backward", "--format", "native").out)
    assert [f["name"] for f in document["functions"]] == ["affine_backward"]
    assert document["totals"]["max_score"] == 6 and document["functions"][0]["status"] == "wrong"


def test_settings_change_points_and_names_and_hide(grade, place):
    (place / "hw.toml").write_text(
        'hidden = ["affine_backward"]\n[points]\naffine_backward = 30\n[alias]\nmine = "affine_forward"\n'
        "[policy]\nhints = 3\n"
    )
    (place / "mine.py").write_text(WRONG.replace("affine_forward", "mine"))
    document = json.loads(grade("mine.py", "--spec", "hw.toml", "--format", "native").out)
    assert [f["status"] for f in document["functions"]] == ["correct", "wrong"]
    assert document["totals"]["max_score"] == 34 and document["functions"][1]["diagnosis"]
    assert document["run"]["hint_level"] == 3 and document["course"]["spec_sha256"]
    text = grade("mine.py", "--spec", "hw.toml").out
    assert "sign-flipped" not in text and "20/30" in text
    tests = json.loads(grade("mine.py", "--spec", "hw.toml", "--format", "gradescope").out)["tests"]
    assert [(t["name"], t["visibility"]) for t in tests if "max_score" in t] == [
        ("affine_forward", "visible"),
        ("affine_backward", "hidden"),
    ]


def test_profile_is_detected_by_the_names(call, place):
    functions = profile.read("cs231n-a3").functions
    heads = (f"def {f.name}({', '.join(item.name for item in f.arguments)}):" for f in functions)
    text = "".join(f"{head}\n    pass\n\n\n" for head in heads)
    (place / "stub.py").write_text(text)
    document = json.loads(call("grade", "stub.py", "--format", "native").out)
    assert document["course"]["profile"] == "cs231n-a3" and document["course"]["profile_source"] == "detected"
    assert document["course"]["candidates"][0]["profile"] == "cs231n-a3"
    assert document["totals"]["score"] == 0


# What is written, and the exit code, for a given result.


def test_every_format_goes_to_the_file_as_it_is(told, call, place):
    told(found())
    for name, render in FORMATS.items():
        result = call("grade", "hw.py", "--profile", "tiny.toml", "--format", name, "-o", f"out.{name}")
        assert (result.code, result.out, result.err) == (1, "", "")
        expected = render(found(run={"hint_level": 2}), hints=2)
        written = (place / f"out.{name}").read_bytes()
        assert written == (expected if isinstance(expected, bytes) else expected.encode())


def test_colours_are_for_the_terminal_and_not_for_files(told, call, place, monkeypatch):
    told(found())
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    flags = ("grade", "hw.py", "--profile", "tiny.toml")
    assert "\x1b[" in call(*flags).out
    call(*flags, "-o", "report.txt")
    assert "\x1b[" not in (place / "report.txt").read_text() and "wrong values" in (place / "report.txt").read_text()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in call(*flags).out


@pytest.mark.parametrize(
    ("flags", "code"),
    [([], 1), (["--min-score", "7.5"], 0), (["--min-score", "7.6"], 1), (["--exit-zero"], 0)],
)
def test_exit_code_by_points(told, call, flags, code):
    told(found())
    assert call("grade", "hw.py", "--profile", "tiny.toml", *flags).code == code


def test_a_mark_that_is_not_final_is_not_0(told, call):
    result = found(errors=["the grader had a problem"])
    for function in result.functions:
        function.status, function.score = "correct", function.max_score
    told(result)
    assert call("grade", "hw.py", "--profile", "tiny.toml").code == 1
    assert call("grade", "hw.py", "--profile", "tiny.toml", "--min-score", "1").code == 1


def test_what_is_worth_nothing_may_be_missing_but_not_wrong(told, call):
    result = found()
    result.functions = [result.functions[0], FunctionResult("adam", "adam", "not-found")]
    told(result)
    assert call("grade", "hw.py", "--profile", "tiny.toml").code == 0
    result.functions[1].status = "wrong"
    assert call("grade", "hw.py", "--profile", "tiny.toml").code == 1


def test_practice_has_verdicts_and_hints_and_no_number_of_the_reference(told, call):
    told(found())
    result = call("grade", "hw.py", "--profile", "tiny.toml", "--practice")
    assert result.code == 1
    for words in ("affine_backward  wrong values", "missing-time-carry", "steps 0 and 1", "1 of 2 functions right"):
        assert words in result.out
    for number in ("0.123", "0.654", "3.5", "of 10 points", "6.0"):
        assert number not in result.out
    assert (
        "missing-time-carry" not in call("grade", "hw.py", "--profile", "tiny.toml", "--practice", "--hints", "1").out
    )


def test_gradient_table_compares_with_the_own_forward_alone(told, call):
    told(found())
    out = call("grade", "hw.py", "--profile", "tiny.toml", "--practice", "--gradcheck").out
    assert [line.split() for line in out.splitlines()[-2:]] == [
        ["affine_backward", "dx", "3×4", "6.5e-01", "wrong"],
        ["affine_backward", "db", "4", "2.5e-11", "correct"],
    ]
    assert "1.2e-01" not in out


def test_hints_of_the_command_line_go_before_those_of_the_settings(told, call, place):
    told(found())
    (place / "hw.toml").write_text("[policy]\nhints = 0\n")
    flags = ("grade", "hw.py", "--profile", "tiny.toml", "--spec", "hw.toml")
    assert "missing-time-carry" not in call(*flags).out
    assert "missing-time-carry" in call(*flags, "--hints", "2").out
    (place / "hw.toml").write_text("[policy]\nhints = 2\n")
    assert "missing-time-carry" not in call(*flags, "--hints", "0").out  # 0 is asked for, too


def test_a_hidden_function_is_veiled_in_practice_and_in_the_table(told, call, place):
    told(found())
    (place / "hw.toml").write_text('hidden = ["affine_backward"]\n')
    out = call("grade", "hw.py", "--profile", "tiny.toml", "--spec", "hw.toml", "--practice", "--gradcheck").out
    assert "affine_forward" in out
    assert "missing-time-carry" not in out and "steps 0 and 1" not in out and "6.5e-01" not in out


def test_the_place_in_the_file_is_named(grade):
    assert "where   db (line 10) is wrong: relative error 2 from the definition" in grade("wrong.py").out


def test_exec_module_runs_the_whole_file(grade, place):
    (place / "late.py").write_text(RIGHT + "\n\nfor name in ['affine_forward']:\n    globals()[name] = None\n")
    assert grade("late.py").code == 0, "the definitions alone are right"
    assert grade("late.py", "--exec-module").code == 1


def test_junit_skip_is_for_what_is_not_written(grade, place):
    (place / "stub.py").write_text(
        RIGHT.replace("    x, w = cache\n    return", "    pass\n\n\ndef unused():\n    return")
    )
    assert "<failure" in grade("stub.py", "--format", "junit").out
    out = grade("stub.py", "--format", "junit", "--junit-skip").out
    assert "<skipped" in out and "<failure" not in out


def test_options_reach_the_assignment(told, call, place):
    asked = told(found())
    (place / "hw.toml").write_text("[policy]\nshape = 'half'\nmutation = 'graded'\n[limits]\nwall_s = 3\ncpu_s = 4\n")
    call(
        "grade",
        "hw.py",
        "--profile",
        "tiny.toml",
        "--spec",
        "hw.toml",
        "--strict-shapes",
        "--sandbox",
        "none",
        "--memory",
        "990",
    )
    (assignment,) = asked
    assert assignment.policies == {"shape": "strict", "mutation": "graded"} and assignment.sandbox == "none"
    limits = assignment.limits
    assert (limits.wall_s, limits.cpu_s, limits.memory_mib) == (3, 4, 990)


def test_a_time_limit_is_of_computing_and_the_clock_has_six_times_as_much(told, call):
    asked = told(found())
    call("grade", "hw.py", "--profile", "tiny.toml", "--timeout", "2.5")
    assert [(one.limits.cpu_s, one.limits.wall_s) for one in asked] == [(3, 15.0)]


# Without a submission.


def test_codes_are_listed_and_explained(call):
    listed = call("grade", "--list-codes")
    assert listed.code == 0 and [line.split()[0] for line in listed.out.splitlines()] == list(CODES)
    told = call("grade", "--explain", "missing-time-carry")
    assert told.code == 0 and CODES["missing-time-carry"].repair in told.out


def test_sandbox_report_names_every_layer(call):
    lines = call("grade", "--sandbox-report").out.splitlines()
    assert [line.split()[0] for line in lines[: len(LAYERS)]] == list(LAYERS)
    document = json.loads(call("grade", "--sandbox-report", "--format", "native", "--sandbox", "none").out)
    assert document["layers"]["seccomp"] == "off"


def test_a_required_layer_that_is_missing_is_5_and_nothing_is_graded(refused, told):
    asked = told(found())
    refused(5, "seccomp is off", "grade", "hw.py", "--sandbox", "none", "--require-sandbox", "process,seccomp")
    refused(5, "landlock is off", "grade", "hw.py", "--sandbox", "none", "--require-sandbox", "all")
    assert asked == []


def test_a_layer_that_the_machine_refuses_is_missing(refused, told, monkeypatch):
    told(found())
    states = dict.fromkeys(LAYERS, "on") | {"landlock": "unavailable"}
    monkeypatch.setattr(command, "probe", lambda sandbox: {"layers": states})
    refused(5, "landlock is unavailable", "grade", "hw.py", "--require-sandbox", "all")


@pytest.mark.parametrize(("problem", "code"), [("", 0), ("it gives 3 points", 1)])
def test_an_autograder_that_fails_its_own_test_is_1(problem, code, call, place, monkeypatch):
    checks = [autograder.Check("the solution", 10.0, 10.0, ""), autograder.Check("an empty file", 0.0, 10.0, problem)]
    monkeypatch.setattr(autograder, "build", lambda path, secret: b"zip")
    monkeypatch.setattr(autograder, "self_test", lambda content, solution: checks)
    result = call("grade", "--make-gradescope", "hw.toml", "-o", "out.zip")
    assert result.code == code and ("WRONG" in result.out) == bool(problem)
    assert (place / "out.zip").read_bytes() == b"zip"


def test_required_layers_that_are_there_let_pass(told, call):
    told(found())
    assert (
        call("grade", "hw.py", "--profile", "tiny.toml", "--sandbox", "none", "--require-sandbox", "process").code == 1
    )


# One sentence for every mistake.


@pytest.mark.parametrize(
    ("code", "words", "argv"),
    [
        (2, "there is nothing to grade", []),
        (2, "there is no profile 'nope'", ["right.py", "--profile", "nope"]),
        (
            2,
            "has no function 'nope': it has affine_forward",
            ["right.py", "--profile", "tiny.toml", "--functions", "nope"],
        ),
        (2, "none.toml cannot be read", ["right.py", "--spec", "none.toml"]),
        (2, "tiny.toml: name", ["right.py", "--spec", "tiny.toml"]),
        (2, "the secret none cannot be read", ["right.py", "--secret-file", "none"]),
        (2, "the secret empty is empty", ["right.py", "--secret-file", "empty"]),
        (2, "--seed -1", ["right.py", "--seed", "-1"]),
        (2, "--timeout 0.0 must", ["right.py", "--timeout", "0"]),
        (2, "--timeout nan must", ["right.py", "--timeout", "nan"]),
        (2, "--memory -3 must", ["right.py", "--memory", "-3"]),
        (2, "leave out --format", ["right.py", "--practice", "--format", "text"]),
        (2, "leave out --format junit", ["right.py", "--gradcheck", "--format", "junit"]),
        (
            2,
            "there is no code 'missing-time-cary'; did you mean missing-time-carry",
            ["--explain", "missing-time-cary"],
        ),
        (2, "there is no layer 'moat'", ["right.py", "--require-sandbox", "moat"]),
        (2, "--solution is for", ["right.py", "--solution", "right.py"]),
        (2, "add -o autograder.zip", ["--make-gradescope", "tiny.toml"]),
        (2, "the solution none is not there", ["--make-gradescope", "tiny.toml", "-o", "z", "--solution", "none"]),
        (2, "tiny.toml: name", ["--make-gradescope", "tiny.toml", "-o", "z"]),
        (3, "none.py cannot be read", ["none.py"]),
        (3, "binary.py is not text", ["binary.py", "--profile", "tiny.toml"]),
        (3, "no profile has half | --profile", ["other.py"]),
        (2, "right.py is not a folder", ["right.py", "--jobs", "2"]),
        (2, "--jobs 0 must", ["class", "--jobs", "0"]),
        (2, "class has no submissions", ["class", "--class"]),
        (2, "--practice is for one submission", ["class", "--class", "--practice"]),
        (2, "--min-score is for one submission", ["class", "--class", "--min-score", "0"]),
        (2, "write --csv FILE", ["class", "--class", "--format", "csv"]),
        (2, "--csv none/x.csv cannot be written", ["class", "--csv", "none/x.csv"]),
        (2, "--out none/x.txt cannot be written", ["right.py", "-o", "none/x.txt"]),
        (2, "--format otter is a zip: add -o", ["right.py", "--format", "otter"]),
        (2, "--memory 10 must be at least 256", ["right.py", "--memory", "10"]),
        (2, "--timeout 0.5 must be at least 1", ["right.py", "--timeout", "0.5"]),
        (2, "--out empty is a file", [".", "--class", "--out", "empty"]),
        (2, "leaves nothing to grade: a has 3", ["three", "--roster", "roster.csv"]),
        (2, "the roster none cannot be read", ["class", "--roster", "none"]),
    ],
)
def test_mistakes(refused, place, code, words, argv):
    (place / "empty").touch()
    (place / "binary.py").write_bytes(b"\0\1")
    (place / "other.py").write_text("def f():\n    return 1\n")
    (place / "class").mkdir()
    (place / "three").mkdir()
    for name in ("a1.py", "a2.py", "a3.py"):
        (place / "three" / name).touch()
    (place / "roster.csv").write_text("id\na\n")
    refused(code, words, "grade", *argv)


def test_a_child_that_cannot_be_started_is_5(refused, place, monkeypatch):
    def fails(self, path):
        raise SandboxError("no child could be started: no memory")

    monkeypatch.setattr(Assignment, "grade", fails)
    refused(5, "no child could be started", "grade", "right.py", "--profile", "tiny.toml")


# A class.


@pytest.fixture
def classroom(place):
    """A folder with the work of three, and a roster with a fourth."""
    (place / "class" / "carol").mkdir(parents=True)
    (place / "class" / "ann.py").write_text(RIGHT)
    (place / "class" / "bob.py").write_text(WRONG)
    (place / "class" / "carol" / "hw.py").write_text("def affine_forward(x, w, b):\n    pass\n")
    (place / "class" / "readme.txt").touch()
    (place / "roster.csv").write_text("id,name,pattern\n1,Ann,ann*\n2,Bob,bob*\n3,Carol,carol\n4,Dan,dan*\n")
    return place


def test_a_class_gets_results_table_summary_and_picture(grade, classroom):
    flags = ("class", "--jobs", "2", "--csv", "grades.csv", "--roster", "roster.csv", "--format", "gradescope")
    result = grade(*flags)
    assert result.code == 1 and "3 of 3 submissions graded, 1 with full marks" in result.out
    assert "students without a submission\n  4\n" in result.out and "readme.txt" in result.out
    rows = list(csv.DictReader((classroom / "grades.csv").open()))
    assert [(r["id"], r["name"], r["score"], r["status"]) for r in rows] == [
        ("1", "Ann", "10.0", "correct"),
        ("2", "Bob", "8.0", "wrong"),
        ("3", "Carol", "0.0", "not-implemented"),
        ("4", "Dan", "", "missing"),
    ]
    results = classroom / "results"
    assert {path.name for path in results.iterdir()} >= {"1.json", "2.json", "3.json", "summary.json", "gradescope"}
    assert json.loads((results / "gradescope" / "2.json").read_text())["score"] == 8
    bugs = json.loads((results / "summary.json").read_text())["bugs"]
    assert {"function": "affine_backward", "code": "sign-flipped", "count": 1, "ids": ["2"]} in bugs
    again = grade(*flags)
    assert again.code == 2 and "--resume" in again.err and "--force" in again.err
    kept = grade(*flags, "--resume")
    assert kept.err.count("kept") == 3 and "3 results reused" in kept.out
    assert list(csv.DictReader((classroom / "grades.csv").open())) == rows


def test_an_interrupted_class_is_written_and_goes_on(classroom):
    for number in range(5):
        (classroom / "class" / f"s{number}.py").write_text(f"# {number}\n{RIGHT}")
    command_line = [sys.executable, "-m", "minrnn", "grade", "class", "--profile", "tiny.toml", "--jobs", "1"]
    command_line += ["--csv", "grades.csv"]
    paths = os.pathsep.join([str(Path(command.__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        command_line,
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    first = process.stderr.readline()
    assert first.startswith("1/8")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    assert err.splitlines()[-1].startswith("interrupted; to go on: minrnn grade class --profile tiny.toml")
    assert err.splitlines()[-1].endswith("--resume")
    finished = {path.stem for path in (classroom / "results").glob("*.json")} - {"summary"}
    assert 1 <= len(finished) < 8
    assert {row["id"] for row in csv.DictReader((classroom / "grades.csv").open())} == finished
    assert f"{len(finished)} of 8 submissions graded" in out
    resumed = subprocess.run(
        [*command_line, "--resume"], env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    assert resumed.returncode == 1 and "8 of 8 submissions graded" in resumed.stdout
    assert f"{len(finished)} results reused" in resumed.stdout


def test_formats_of_a_class_lie_in_folders_and_lines_in_one_file(told, call, classroom, monkeypatch):
    told(found())
    monkeypatch.setattr(grade_class, "processes", lambda jobs: lambda: ThreadPoolExecutor(jobs))
    for name, file in (("otter", "otter/ann.zip"), ("text", "text/bob.txt"), ("jsonl", "results.jsonl")):
        assert call("grade", "class", "--profile", "tiny.toml", "--force", "--format", name).code == 1
        assert (classroom / "results" / file).stat().st_size > 0
    lines = (classroom / "results" / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["schema"] for line in lines] == ["minrnn.grade/1"] * 3
    assert (classroom / "results" / "otter" / "ann.zip").read_bytes() == FORMATS["otter"](found(), hints=2)


def test_a_roster_in_the_folder_of_the_class_is_no_submission(told, call, classroom, monkeypatch):
    told(found())
    monkeypatch.setattr(grade_class, "processes", lambda jobs: lambda: ThreadPoolExecutor(jobs))
    (classroom / "class" / "roster.csv").write_text("id,pattern\n1,ann*\n")
    out = call("grade", "class", "--profile", "tiny.toml", "--roster", "class/roster.csv").out
    assert "3 of 3 submissions graded" in out and "roster.csv" not in out


def test_lines_are_in_the_order_of_the_names_and_marks_that_are_not_final_are_not_drawn(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(grade_class, "draw", lambda document, percents: drawn.extend(percents) or Figure())

    class Figure:
        def savefig(self, path, dpi):
            pass

    graded = [
        SimpleNamespace(entry=SimpleNamespace(id=id), grade=SimpleNamespace(percent=percent, errors=errors, id=id))
        for id, percent, errors in (("b", 50.0, []), ("c", 0.0, ["the grader had a problem"]), ("a", 70.0, []))
    ]
    assignment = SimpleNamespace(given=None, render=lambda grade, format, hints: f"{grade.id}\n")
    grade_class._write(SimpleNamespace(csv=None, format="jsonl"), assignment, tmp_path, graded, None, {})
    assert (tmp_path / "results.jsonl").read_text() == "a\nb\nc\n"
    assert drawn == [50.0, 70.0]


def test_a_class_without_matplotlib_has_all_but_the_picture(told, call, classroom, monkeypatch):
    told(found())
    monkeypatch.setattr(grade_class, "processes", lambda jobs: lambda: ThreadPoolExecutor(jobs))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = call("grade", "class", "--profile", "tiny.toml", "--class", "--exit-zero")
    assert result.code == 0 and "Traceback" not in result.err
    names = {path.name for path in (classroom / "results").iterdir()}
    assert names == {"ann.json", "bob.json", "carol.json", "summary.json"}


def test_picture_shows_the_bugs_and_the_scores():
    pytest.importorskip("matplotlib")
    bugs = [{"function": "f", "code": code, "count": count, "ids": []} for code, count in (("a", 5), ("b", 2))]
    figure = grade_class.draw({"graded": 7, "bugs": bugs}, [10.0, 10.0, 100.0])
    above, below = figure.axes
    assert [label.get_text() for label in above.get_yticklabels()] == ["f: a", "f: b"]
    assert [bar.get_width() for bar in above.patches] == [5, 2]
    assert sum(bar.get_height() for bar in below.patches) == 3 and below.patches[-1].get_height() == 1


def test_a_class_without_findings_has_a_picture():
    pytest.importorskip("matplotlib")
    grade_class.draw({"graded": 0, "bugs": []}, []).draw_without_rendering()


def test_workers_are_as_many_as_cores_memory_and_submissions(monkeypatch, capsys):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(8), raising=False)
    monkeypatch.setattr(grade_class, "_memory_mib", lambda: 4096)
    assert grade_class._jobs(None, 1024, 100) == 4
    assert grade_class._jobs(None, 256, 100) == 8
    assert grade_class._jobs(None, 256, 3) == 3
    assert grade_class._jobs(4, 256, 3) == 3
    assert capsys.readouterr().err == ""
    assert grade_class._jobs(6, 1024, 100) == 6
    assert "6 workers may use 6,144 MiB" in capsys.readouterr().err


def test_options_of_a_class_make_it_one():
    class Args:
        is_class = resume = force = False
        csv = roster = jobs = None

    assert not grade_class.wanted(Args)
    for name, value in (
        ("is_class", True),
        ("csv", "x"),
        ("roster", "x"),
        ("resume", True),
        ("force", True),
        ("jobs", 0),
    ):
        assert grade_class.wanted(type("Some", (Args,), {name: value}))


def test_every_format_has_a_suffix_or_a_place_of_its_own():
    assert set(grade_class.SUFFIXES) | {"native", "jsonl", "csv"} == set(FORMATS)
