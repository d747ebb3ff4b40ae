"""Profiles: those that come with the package are whole, a mistake in a new one is told, a submission finds its own."""

import ast
from pathlib import Path

import pytest

from minrnn.grading.courses import profile
from minrnn.grading.courses.profile import ProfileError
from minrnn.grading.loading import submission

RIGHT = Path(__file__).parent / "right"
SMALL = """
name = "small"
title = "A course"

[functions.step]
group = "step"
family = "rnn_step"
role = "forward"
arguments = ["x: N D", "h: N H = h_prev", "Wx: D H", "Wh: H H'", "b: H"]
returns = ["out: N H = h", "cache: cache"]

[functions.step_back]
group = "step"
family = "rnn_step"
role = "backward"
points = 3
arguments = ["dout: N H = dh", "cache: cache"]
returns = ["dx: N D", "dWx: D H", "dWh: H H'", "db: H"]
"""


def read(tmp_path, text):
    path = tmp_path / "course.toml"
    path.write_text(text)
    return profile.read(path)


@pytest.mark.parametrize("name", profile.builtin())
def test_a_profile_of_the_package_is_read(name):
    found = profile.read(name)
    assert found.name == name
    assert len({function.name for function in found.functions}) == len(found.functions)
    assert sum(function.points for function in found.functions) > 0
    for source in found.modules.values():
        ast.parse(source)


def test_the_courses_that_must_exist_are_there():
    assert {"cs231n-a3", "eecs545-hw4", "coursera-rnn", "cmu-11785", "min-char-rnn"} <= set(profile.builtin())


def test_a_profile_by_path(tmp_path):
    small = read(tmp_path, SMALL)
    step, back = small.functions
    assert [item.name for item in step.arguments] == ["x", "h", "Wx", "Wh", "b"]
    assert (step.points, back.points) == (1.0, 3.0)
    assert [tensor.name for tensor in back.answered()] == ["dx", "dWx", "dWh", "db"]
    assert list(small.groups()) == ["step"]
    assert small.sizes["T"] == 4


def test_sizes_of_the_file_go_before_the_usual_ones(tmp_path):
    small = read(tmp_path, SMALL + "[sizes]\nT = 9\n")
    assert (small.sizes["T"], small.sizes["N"]) == (9, 3)


def test_the_hash_is_that_of_the_file(tmp_path):
    assert read(tmp_path, SMALL).sha256 != read(tmp_path, SMALL + "# a remark\n").sha256


MISTAKES = {  # what is told: (old, new)
    "course.toml is not a TOML file": ("[functions.step]", "[functions.step"),
    "course.toml: name is missing": ('name = "small"', ""),
    "course.toml: tile is not a key": ('title = "A course"', 'title = "A"\ntile = "B"'),
    "functions.step.points is 'five': it must be a float": ('group = "step"', 'group = "step"\npoints = "five"'),
    "functions.step.role is 'froward': it must be one of forward": ('role = "forward"', 'role = "froward"'),
    "functions.step.family is 'rnn': it must be one of rnn_step": (
        'family = "rnn_step"\nrole = "f',
        'family = "rnn"\nrole = "f',
    ),
    "functions.step.arguments is wrong: 'x: N Q'": ('"x: N D"', '"x: N Q"'),
    "functions.step.arguments has 3": ('"x: N D"', "3"),
    "functions.step.arguments has the size 'd'": ('"x: N D"', '"d: size d"'),
    "functions.step has a line that does not fit the family rnn_step: x has an axis H": ('"x: N D"', '"x: N H"'),
    "there is no canonical 'state' here": ("h_prev", "state"),
    "functions.step.gates are 'ifog'": ('group = "step"', 'group = "step"\ngates = "i f o g"'),
    "functions.step has the step 'cell': it must be a function": ('group = "step"', 'group = "step"\nstep = "cell"'),
    "functions.step has the step 'step_back': it must be": ('group = "step"', 'group = "step"\nstep = "step_back"'),
    "functions.step_back needs a forward before it": (
        'group = "step"\nfamily = "rnn_step"\nrole = "b',
        'group = "b"\nfamily = "rnn_step"\nrole = "b',
    ),
    "functions.step.points are -1: they must": ('group = "step"', 'group = "step"\npoints = -1'),
    "functions.step_back gets a cache, but step returns none": (', "cache: cache"]', "]"),
    "functions.step gets h, which comes out of it": ("h_prev", "h"),
    r"functions.Cell.step needs a table \[classes.Cell\]": ("[functions.step]", '[functions."Cell.step"]'),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_in_a_profile_is_told_with_its_place(message, tmp_path):
    old, new = MISTAKES[message]
    assert old in SMALL
    with pytest.raises(ProfileError, match=message):
        read(tmp_path, SMALL.replace(old, new, 1))


def test_a_profile_that_does_not_exist_names_those_that_do():
    with pytest.raises(ProfileError, match="cs231n-a3"):
        profile.read("cs231")


# Which profile a submission belongs to.


def load(tmp_path, text):
    (tmp_path / "work.py").write_text(text)
    return submission.load(tmp_path / "work.py")


ALL = [profile.read(name) for name in profile.builtin()]


@pytest.mark.parametrize("path", sorted(RIGHT.glob("*.py")), ids=lambda path: path.stem)
def test_a_whole_submission_finds_its_profile(path):
    modules = {name for one in ALL for name in one.modules}
    found = profile.detect(submission.load(path, allow=modules), ALL)
    assert profile.choose(found).name == path.stem.replace("_", "-")
    assert found[0][1] == 1.0 > found[1][1]


def test_the_same_name_with_other_arguments_does_not_count(tmp_path):
    stubs = "def rnn_forward(X, Y, a0, parameters, vocab_size=27): pass\n"
    scores = {one.name: score for one, score in profile.detect(load(tmp_path, stubs), ALL)}
    assert scores["cs231n-a3"] == 0.0


def test_other_names_of_arguments_count_by_their_share(tmp_path):
    small = read(tmp_path, SMALL)
    stubs = "def step(x, prev_h, Wx, Wh, b): pass\ndef step_back(dout, cache): pass\n"
    assert profile.detect(load(tmp_path, stubs), [small]) == [(small, pytest.approx(0.9))]


def test_fewer_arguments_do_not_count_and_further_ones_do(tmp_path):
    small = read(tmp_path, SMALL)
    scores = {
        arguments: profile.detect(load(tmp_path, f"def step({arguments}): pass\n"), [small])[0][1]
        for arguments in ("x, h, Wx, Wh", "x, h, Wx, Wh, b", "x, h, Wx, Wh, b, verbose=False")
    }
    assert list(scores.values()) == [0.0, 0.5, 0.5]


def test_an_optional_function_that_is_not_there_lowers_no_score(tmp_path):
    small = read(tmp_path, SMALL.replace("points = 3", "optional = true"))
    stubs = load(tmp_path, "def step(x, h, Wx, Wh, b): pass\n")
    assert profile.detect(stubs, [small])[0][1] == 1.0


def test_half_of_the_functions_is_enough(tmp_path):
    small = read(tmp_path, SMALL)
    assert profile.choose(profile.detect(load(tmp_path, "def step(x, h, Wx, Wh, b): pass\n"), [small])) is small


def test_no_profile_is_chosen_for_a_submission_without_half_of_the_functions(tmp_path):
    with pytest.raises(ProfileError, match=r"cs231n-a3 .*--profile"):
        profile.choose(
            profile.detect(load(tmp_path, "def lstm_forward(x, h0, Wx, Wh, b): pass\n"), [profile.read("cs231n-a3")])
        )


def test_a_tie_is_not_decided(tmp_path):
    small = read(tmp_path, SMALL)
    stubs = "def step(x, h, Wx, Wh, b): pass\ndef step_back(dout, cache): pass\n"
    with pytest.raises(ProfileError, match="several profiles"):
        profile.choose(profile.detect(load(tmp_path, stubs), [small, small]))
