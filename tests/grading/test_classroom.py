"""Class mode: who is who, nothing stops the rest, what is done is written, and nothing is graded twice for nothing."""

import csv
import io
import json
import multiprocessing
import os
import threading
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from minrnn.grading.coursework import summary
from minrnn.grading.coursework.assignment import make
from minrnn.grading.coursework.classroom import (
    Entry,
    Graded,
    Matched,
    RosterError,
    Student,
    discover,
    grade_class,
    grade_or_fail,
    matched,
    processes,
    read_roster,
)
from minrnn.grading.loading import archive
from minrnn.grading.loading.submission import Unreadable
from minrnn.grading.outcome.result import Diagnosis, FunctionResult, Grade

HERE = Path(__file__).parent
TINY = (HERE / "tiny.toml").read_text(encoding="utf-8")
RIGHT = (HERE / "tiny.py").read_text(encoding="utf-8")


class FakeProfile:
    name = "fake"

    def find(self, name):
        return type("F", (), {"name": name, "group": "g", "points": 10.0})()


class FakeAssignment:
    """Gives the number in the file as the score of one function; words in it are accidents."""

    given = FakeProfile()
    spec = type("S", (), {"sha256": "spec"})()

    def __init__(self, settings="one"):
        self.settings, self.calls = settings, []

    def names(self, profile):
        return ["f"]

    def seeds(self, sha256):
        return [len(sha256), 2]

    def fingerprint(self):
        return self.settings

    def grade(self, path):
        self.calls.append(path.name)
        text = path.read_text()
        if text == "unreadable":
            raise Unreadable("it is not text: hand in another")
        if text == "bug":
            raise ZeroDivisionError("a bug of the grader")
        if text == "kill":
            os._exit(9)
        sha256, score = archive.read(path).sha256, float(text)
        result = FunctionResult("f", "g", "correct" if score == 10 else "wrong", score, 10.0)
        result.diagnosis = [] if score == 10 else [Diagnosis("missing-time-carry", "text")]
        run = {"seeds": self.seeds(sha256), "settings_sha256": self.fingerprint()}
        return Grade(submission={"path": path.name, "sha256": sha256}, run=run, functions=[result])


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "work"
    place.mkdir()
    return place


@pytest.fixture
def out(tmp_path):
    place = tmp_path / "out"
    place.mkdir()
    return place


@pytest.fixture
def entries(folder):
    """entries(a="7", b="10"): files with these contents, as entries."""

    def make_entries(**contents):
        for name, text in contents.items():
            (folder / f"{name}.py").write_text(text)
        return matched(discover(folder)[0], None).entries

    return make_entries


def threads():
    return ThreadPoolExecutor(2)


def forks():
    return ProcessPoolExecutor(2, multiprocessing.get_context("fork"))


def scores(items):
    return {item.entry.id: item.grade.score for item in items}


# Who is who.


def test_each_file_folder_and_zip_is_a_submission(folder):
    for name in ("b.py", "a.ipynb", "c.ZIP", "notes.txt", ".hidden.py", "grades.csv"):
        (folder / name).write_text("")
    for name in ("carol", "results", ".git", "__pycache__"):
        (folder / name).mkdir()
    found, passed = discover(folder, exclude=[folder / "results", folder / "grades.csv"])
    assert [path.name for path in found] == ["a.ipynb", "b.py", "c.ZIP", "carol"]
    assert passed == ["notes.txt"]


def test_ids_are_file_names_and_all_different():
    paths = [Path(name) for name in ("a.py", "A.ipynb", "summary.py", "../x y:z.py", "ü.py", "....py")]
    ids = [entry.id for entry in matched(paths, None).entries]
    assert ids == ["a", "A-2", "summary-2", "x_y_z", "ü", "submission"]


def test_roster_maps_names_and_lists_who_is_missing_and_what_is_nobodys(tmp_path):
    roster = tmp_path / "roster.csv"
    roster.write_text("\ufeffid,name,pattern\ns1,Zoë,*zoe*\ns2,Bob,\ns3,Eve,eve.*\ns4,Two,two*\n", encoding="utf-8")
    students = read_roster(roster)
    assert students[1] == Student("s2", "Bob", "*s2*")
    paths = [Path(name) for name in ("2024_ZOE_hw.py", "late_s2.zip", "who.py", "two1.py", "two2.py")]
    found = matched(paths, students)
    assert [(e.id, e.name, e.path.name) for e in found.entries] == [
        ("s1", "Zoë", "2024_ZOE_hw.py"),
        ("s2", "Bob", "late_s2.zip"),
        ("who", "", "who.py"),
    ]
    assert found.unmatched == ["who.py"] and [s.id for s in found.missing] == ["s3"]
    assert found.unclear == ["s4 has 2: two1.py, two2.py"]


def test_a_file_that_two_students_could_have_written_is_graded_for_neither():
    found = matched([Path("s12.py")], [Student("s1", "", "*s1*"), Student("s12", "", "*s12*")])
    assert not found.entries and found.unclear == ["s12.py fits s1, s12"]


def test_an_id_with_pattern_characters_is_taken_literally(tmp_path):
    roster = tmp_path / "r.csv"
    roster.write_text("id\na[1]\n")
    (student,) = read_roster(roster)
    assert [e.id for e in matched([Path("a[1].py"), Path("a1.py")], [student]).entries] == ["a_1_", "a1"]


@pytest.mark.parametrize(
    ("text", "words"), [("name\nx\n", "line 2 .* no id"), ("id\na\na\n", "line 3 .* repeats the id 'a'")]
)
def test_roster_mistakes_name_the_line(tmp_path, text, words):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(RosterError, match=words):
        read_roster(tmp_path / "r.csv")
    with pytest.raises(RosterError, match="cannot be read"):
        read_roster(tmp_path / "none.csv")


# Grading.


@pytest.mark.parametrize("pool", [threads, forks])
def test_every_submission_is_graded_and_written_by_any_executor(entries, out, pool):
    done = []
    grade_class(entries(a="7", b="10", c="0"), FakeAssignment(), out, pool, done.append)
    assert scores(done) == {"a": 7, "b": 10, "c": 0}
    for item in done:
        assert Grade.from_dict(json.loads((out / f"{item.entry.id}.json").read_text())).score == item.grade.score


def test_bad_submissions_and_bugs_of_the_grader_stop_nothing(entries, out):
    done = []
    grade_class(entries(a="unreadable", b="bug", c="10"), FakeAssignment(), out, threads, done.append)
    found = {item.entry.id: item.grade for item in done}
    assert found["a"].errors == ["it is not text: hand in another"]
    assert found["b"].errors == ["the grader failed, ZeroDivisionError: a bug of the grader"]
    assert (found["a"].score, found["a"].max_score, found["a"].functions[0].status) == (0, 10, "not-found")
    assert found["c"].score == 10 and not found["c"].errors


@pytest.mark.parametrize(
    "contents", [{"a": "kill", "b": "5", "c": "6"}, {"a": "4", "b": "5", "c": "kill"}, {"a": "kill", "b": "kill"}]
)
def test_a_worker_that_dies_costs_only_the_submission_that_killed_it(entries, out, contents):
    done = []
    grade_class(entries(**contents), FakeAssignment(), out, forks, done.append)
    assert scores(done) == {name: 0 if text == "kill" else float(text) for name, text in contents.items()}
    assert len(done) == len(contents)
    for item in done:
        assert bool(item.grade.errors) == (contents[item.entry.id] == "kill")


def test_a_pool_that_breaks_while_work_is_handed_out(entries, out):
    class Breaks(Executor):
        count = 0

        def submit(self, function, *args):
            Breaks.count += 1
            if Breaks.count == 2:
                raise BrokenExecutor
            future = Future()
            future.set_result(function(*args))
            return future

    done = []
    grade_class(entries(a="1", b="2", c="3"), FakeAssignment(), out, Breaks, done.append)
    assert scores(done) == {"a": 1, "b": 2, "c": 3}


def test_a_pool_that_loses_a_worker_in_its_own_words_stops_nothing(entries, out):
    class Loses(ThreadPoolExecutor):
        def submit(self, function, path, *args):
            if path.name != "a.py":
                return super().submit(function, path, *args)
            future = Future()
            future.set_exception(RuntimeError("worker tcp://9 is gone"))
            return future

    done = []
    grade_class(entries(a="1", b="2"), FakeAssignment(), out, Loses, done.append)
    assert scores(done) == {"a": 0, "b": 2}
    assert [item.grade.errors for item in done if item.entry.id == "a"] == [
        ["its worker failed, RuntimeError: worker tcp://9 is gone"]
    ]


def test_an_interrupt_leaves_what_is_done_written_and_the_rest_undone(entries, out):
    begun, gate, assignment = threading.Event(), threading.Event(), FakeAssignment()
    grade = assignment.grade

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            gate.set()
            super().shutdown(wait=wait)

    def slow(path):
        if path.name != "a.py":
            begun.set()
            gate.wait(60)
        return grade(path)

    assignment.grade = slow
    done = []

    def interrupted(item):
        done.append(item)
        if len(done) == 1:
            begun.wait(60)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grade_class(entries(a="1", b="2", c="3", d="4"), assignment, out, lambda: Pool(1), interrupted)
    written = {path.stem for path in out.iterdir()}
    assert written == set(scores(done)) == {"a", "b"}  # b was being graded
    rest = []
    grade_class(entries(), assignment, out, threads, rest.append, resume=True)
    assert {item.entry.id: item.reused for item in rest} == {"a": True, "b": True, "c": False, "d": False}


def test_resume_grades_again_only_what_would_change(entries, out, folder):
    work = entries(a="1", b="2", c="unreadable", d="4", e="5")
    grade_class(work, FakeAssignment(), out, threads, [].append)
    (folder / "a.py").write_text("9")
    (out / "d.json").write_text("{")
    document = json.loads((out / "e.json").read_text())
    (out / "e.json").write_text(json.dumps(document | {"minrnn_version": "0.0.0"}))
    again, done = FakeAssignment(), []
    grade_class(work, again, out, threads, done.append, resume=True)
    assert sorted(again.calls) == ["a.py", "c.py", "d.py", "e.py"]
    assert scores(done) == {"a": 9, "b": 2, "c": 0, "d": 4, "e": 5}
    other_seeds = FakeAssignment()
    other_seeds.seeds = lambda sha256: [0, 1]
    for changed in (other_seeds, FakeAssignment("other settings")):
        grade_class(work, changed, out, threads, [].append, resume=True)
        assert len(changed.calls) == 5
    document = json.loads((out / "b.json").read_text())
    (out / "b.json").write_text(json.dumps(document | {"errors": ["the disk was full"]}))
    last = FakeAssignment("other settings")
    grade_class(work, last, out, threads, [].append, resume=True)
    assert sorted(last.calls) == ["b.py", "c.py"], "what has errors is not final"


# The reports of a class.


@pytest.fixture
def graded():
    """Three students, one of whom has a name that a spreadsheet would run, and one who handed in something else."""
    entries = [Entry("a", "=HYPERLINK(1)", Path("a.py")), Entry("b", "Bob", Path("b.py")), Entry("c", "", Path("c.py"))]
    wrong = [Diagnosis("missing-time-carry", "text"), Diagnosis("sign-flipped", "text")]
    results = [
        [FunctionResult("f", "g", "wrong", 2.0, 10.0, diagnosis=wrong), FunctionResult("h", "g", "correct", 5.0, 5.0)],
        [
            FunctionResult("f", "g", "wrong", 4.0, 10.0, diagnosis=wrong[:1]),
            FunctionResult("h", "g", "correct", 5.0, 5.0),
        ],
        [],
    ]
    items = [Graded(e, Grade(course={"profile": "p"}, functions=r)) for e, r in zip(entries, results, strict=True)]
    items[2].grade.errors.append("it cannot be read")
    return items, Matched(entries, ["c.py"], [Student("z", "Zoë", "")], ["x has 2"])


def test_csv_has_a_safe_line_for_everyone_in_order(graded):
    items, matches = graded
    rows = list(csv.DictReader(io.StringIO(summary.to_csv(items[::-1], matches))))
    assert [(row["id"], row["status"]) for row in rows] == [
        ("a", "wrong"),
        ("b", "wrong"),
        ("c", "error"),
        ("z", "missing"),
    ]
    assert rows[0]["name"] == "'=HYPERLINK(1)"
    assert (rows[1]["score"], rows[1]["score:f"], rows[1]["code:f"]) == ("9.0", "4.0", "missing-time-carry")
    assert rows[2]["error"] == "it cannot be read"
    only = next(csv.reader(io.StringIO(summary.to_csv(items, matches, ["h"]))))
    assert [name for name in only if ":" in name] == ["score:h", "status:h", "code:h"]


def test_summary_counts_statuses_and_bugs_and_leaves_errors_out(graded):
    document = summary.summary(*graded, skipped=["notes.txt"])
    assert (document["submissions"], document["graded"], document["full"]) == (3, 2, 0)
    assert document["statuses"] == {"wrong": 2, "correct": 2}
    assert document["functions"] == {"f": {"wrong": 2}, "h": {"correct": 2}}
    assert document["bugs"] == [
        {"function": "f", "code": "missing-time-carry", "count": 2, "ids": ["a", "b"]},
        {"function": "f", "code": "sign-flipped", "count": 1, "ids": ["a"]},
    ]
    assert document["codes"] == {"missing-time-carry": 2, "sign-flipped": 1}
    assert document["score"] == {"min": 7, "q25": 7.5, "median": 8, "q75": 8.5, "max": 9, "mean": 8}
    assert document["errors"] == {"c": ["it cannot be read"]} and document["missing"] == ["z"]
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_what_follows_from_a_step_is_counted_at_the_step_alone(graded):
    items, matches = graded
    loop = FunctionResult("loop", "g", "wrong", diagnosis=[Diagnosis("sign-flipped", "text")], blocked_by="f")
    items[1].grade.functions.append(loop)
    document = summary.summary(items, matches)
    assert document["functions"]["loop"] == {"wrong": 1} and document["codes"]["sign-flipped"] == 1


def test_text_says_all_of_the_summary(graded):
    text = summary.to_text(summary.summary(*graded, skipped=["notes.txt"]))
    for words in ("2 of 3 submissions graded", "median 53.33", "2 wrong", "missing-time-carry", "c: it cannot be read"):
        assert words in text
    for words in ("z", "c.py", "x has 2", "notes.txt"):
        assert f"\n  {words}\n" in text


def test_a_code_is_counted_once_a_student_however_many_functions_show_it(graded):
    items, matches = graded
    items[0].grade.functions[1].diagnosis = [Diagnosis("sign-flipped", "text")]
    assert summary.summary(items, matches)["codes"]["sign-flipped"] == 1


def test_an_empty_class_has_a_summary():
    document = summary.summary([], Matched([]))
    assert document["percent"] == {} and summary.to_text(document).startswith("0 of 0")


# The real parts together.


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return make(str(path), secret=b"of this test")


def test_a_class_in_worker_processes_is_marked_as_one_by_one(tiny, folder, out):
    (folder / "right.py").write_text("import numpy as np\n" + RIGHT)
    (folder / "wrong.py").write_text(RIGHT.replace("dout.sum(0)", "2 * dout.sum(0)"))
    (folder / "loops.py").write_text("while True:\n    pass\n" + RIGHT)
    (folder / "data.zip").write_bytes(b"no zip")
    entries, done = matched(discover(folder)[0], None).entries, []
    grade_class(entries, tiny, out, processes(2), done.append)
    found = {item.entry.id: item.grade for item in done}
    assert {id: grade.score for id, grade in found.items()} == {"right": 10, "wrong": 8, "loops": 10, "data": 0}
    assert "data.zip" in found["data"].errors[0]
    alone = grade_or_fail(folder / "wrong.py", tiny)
    for grade in (alone, found["wrong"]):
        for changing in ("started", "seconds"):
            grade.run.pop(changing)
        grade.environment.clear()
        for function in grade.functions:
            function.seconds = 0.0
    assert alone.to_dict() == found["wrong"].to_dict()
    again = []
    grade_class(entries, tiny, out, processes(2), again.append, resume=True)
    assert {item.entry.id for item in again if item.reused} == {"right", "wrong", "loops"}
