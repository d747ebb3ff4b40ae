"""hw.toml: what it says is what is graded by, and every mistake in it is named with its place."""

import ast

import pytest

from minrnn.grading.courses import profile
from minrnn.grading.courses.table import ProfileError
from minrnn.grading.coursework import spec
from minrnn.grading.loading.submission import load
from minrnn.grading.outcome.result import Diagnosis, FunctionResult, Grade, Note, Output, Raised
from minrnn.grading.sandbox import Limits

FULL = """
profile = "cs231n-a3"
hidden = ["lstm_backward"]
[points]
lstm_backward = 20
rnn_forward = 2.5
[policy]
shape = "half"
partial = "all-or-nothing"
hints = 1
[limits]
wall_s = 20
memory_mib = 512
[alias]
my_step = "rnn_step_forward"
[modules]
allow = ["course_utils", "course.deep", "bisect"]
"""


@pytest.fixture
def write(tmp_path):
    def make(text, name="hw.toml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return make


@pytest.fixture
def full(write):
    write("A = 1\n", "course_utils.py")
    write("B = 2\n", "course/deep.py")
    return spec.read(write(FULL))


def test_every_key_is_read(full):
    assert full.profile == "cs231n-a3"
    assert (full.hidden, full.points) == (("lstm_backward",), {"lstm_backward": 20.0, "rnn_forward": 2.5})
    assert (full.policies, full.hints) == ({"shape": "half", "partial": "all-or-nothing"}, 1)
    assert full.limits == Limits(wall_s=20.0, memory_mib=512)
    assert full.alias == {"my_step": "rnn_step_forward"}
    assert full.modules == {"course_utils": "A = 1\n", "course.deep": "B = 2\n"}
    assert full.allow == ("course_utils", "course.deep", "bisect")
    assert full.files == ("course_utils.py", "course/deep.py")


def test_an_empty_file_changes_nothing(write):
    read = spec.read(write(""))
    assert read.sha256 is not None
    assert spec.applied(read, profile.read("cs231n-a3")) == profile.read("cs231n-a3")
    assert (read.hints, read.limits, read.policies) == (2, Limits(), {})


def test_a_profile_beside_the_file_is_found_from_anywhere(write):
    write("", "mine.toml")
    read = spec.read(write('profile = "mine.toml"'))
    assert read.profile.endswith("/mine.toml") and read.files == ("mine.toml",)


MISTAKES = {
    "points = 3": "hw.toml: points is 3",
    "[points]\na = -1": "hw.toml: points.a is -1",
    "[points]\na = nan": "hw.toml: points.a is nan",
    "[points]\na = 'x'": "hw.toml: points.a is 'x'",
    "[policy]\nshape = 'kind'": "hw.toml: policy.shape is 'kind': it must be one of lenient, half, strict",
    "[policy]\nshapes = 'half'": "hw.toml: policy.shapes is not a key",
    "[policy]\nhints = 4": "hw.toml: policy.hints is 4",
    "[limits]\nwall_s = 0": "hw.toml: limits.wall_s is 0",
    "[limits]\ntime = 3": "hw.toml: limits.time is not a key",
    "[alias]\na = 1": "hw.toml: alias.a is 1",
    "hidden = [1]": "hw.toml: hidden has 1",
    "[modules]\nallow = ['nowhere']": "hw.toml: modules.allow has 'nowhere', but nowhere.py beside hw.toml",
    "profile = 'nope'": "hw.toml: profile is 'nope': it must be one of",
    "whatever = 1": "hw.toml: whatever is not a key",
    "x = ": "hw.toml is not a TOML file",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_named_with_its_key(write, text):
    with pytest.raises(ProfileError) as caught:
        spec.read(write(text))
    assert str(caught.value).startswith(MISTAKES[text])
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ProfileError, match=r"none\.toml cannot be read \(No such file"):
        spec.read(tmp_path / "none.toml")


def test_points_replace_those_of_the_profile_and_leave_the_others(full):
    before = profile.read("cs231n-a3")
    after = spec.applied(full, before)
    assert [f.name for f in after.functions] == [f.name for f in before.functions]
    for old, new in zip(before.functions, after.functions, strict=True):
        assert new.points == {"lstm_backward": 20.0, "rnn_forward": 2.5}.get(old.name, old.points)
    assert after.modules["course_utils"] == "A = 1\n"


def test_allowed_modules_are_no_longer_forbidden(write):
    write("", "torch.py")
    before = profile.read("cs231n-a3")
    after = spec.applied(spec.read(write("[modules]\nallow = ['torch']")), before)
    assert set(before.forbidden) - set(after.forbidden) == {"torch"}


@pytest.mark.parametrize(
    "text",
    ["[points]\nrnn_fwd = 1", "hidden = ['rnn_fwd']", "[alias]\nmine = 'rnn_fwd'"],
    ids=["points", "hidden", "alias"],
)
def test_a_function_that_the_profile_lacks_is_an_error(write, text):
    with pytest.raises(ProfileError, match=r"names 'rnn_fwd': profile cs231n-a3 has .*rnn_forward"):
        spec.applied(spec.read(write(text)), profile.read("cs231n-a3"))


def test_an_alias_makes_the_students_name_callable_by_the_profiles(write):
    source = "def mine(x):\n    return 2 * x\n\n\nclass Cell:\n    def forward(self, x):\n        return x\n"
    work = load(write(source, "a.py"), wanted=["mine", "Cell"])
    after = spec.renamed(work, {"mine": "rnn_step_forward", "Cell": "RNNCell", "absent": "lstm_forward"})
    assert after.functions["rnn_step_forward"].arguments == ["x"]
    assert "lstm_forward" not in after.functions and "forward" in after.classes["RNNCell"]
    names = {}
    exec(after.source, names)
    assert names["rnn_step_forward"](4) == 8 and names["RNNCell"] is names["Cell"]
    assert ast.parse(after.source).body[0].lineno == ast.parse(work.source).body[0].lineno == 1
    assert "rnn_step_forward" not in work.functions


def test_an_alias_does_not_replace_what_is_there(write):
    work = load(write("def mine():\n    return 1\n\n\ndef rnn_forward():\n    return 2\n", "a.py"))
    assert spec.renamed(work, {"mine": "rnn_forward"}) is work


def test_hidden_functions_show_points_verdict_and_whose_fault_it_is_alone():
    telling = {
        "outputs": [Output("dx", "wrong", 0.5)],
        "diagnosis": [Diagnosis("missing-time-carry", "text")],
        "traits": [Note("prints", "text")],
        "advisories": [Note("prints", "text")],
        "exception": Raised("ValueError", 1, "text"),
        "stdout_tail": "text",
        "blocked_by": "other",
    }
    grade = Grade(functions=[FunctionResult(name, "g", "wrong", 1.0, 4.0, **telling) for name in ("a", "b")])
    seen = spec.veiled(grade, ["b"])
    assert seen.functions[0] is grade.functions[0]
    assert seen.functions[1] == FunctionResult("b", "g", "wrong", 1.0, 4.0, blocked_by="other")
    assert (seen.score, seen.max_score) == (grade.score, grade.max_score)
    assert grade.functions[1].diagnosis
