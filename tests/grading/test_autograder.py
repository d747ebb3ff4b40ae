"""The autograder's zip: what is in it, that it installs without a network, and that it always leaves a valid result."""

import base64
import csv
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import minrnn
from minrnn.grading.courses.table import ProfileError
from minrnn.grading.coursework import autograder, wheels
from minrnn.grading.coursework.assignment import make

PROFILE = (Path(__file__).parent / "tiny.toml").read_text(encoding="utf-8")
RIGHT = """
from course_utils import flat


def affine_forward(x, w, b):
    return flat(x) @ w + b, (x, w)


def affine_backward(dout, cache):
    x, w = cache
    return (dout @ w.T).reshape(x.shape), flat(x).T @ dout, dout.sum(0)
"""
SETTINGS = 'profile = "tiny.toml"\nhidden = ["affine_forward"]\n[modules]\nallow = ["course_utils"]\n'


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """What an instructor has: settings, a profile, a module that is handed out, a solution."""
    folder = tmp_path_factory.mktemp("course")
    (folder / "hw.toml").write_text(SETTINGS)
    (folder / "tiny.toml").write_text(PROFILE)
    (folder / "course_utils.py").write_text("def flat(x):\n    return x.reshape(len(x), -1)\n")
    (folder / "solution.py").write_text(RIGHT)
    return folder


@pytest.fixture(scope="module")
def packed():
    """The wheels of everything that is needed here: a few seconds' work, done once."""
    return wheels.bundle()


@pytest.fixture(autouse=True)
def _packed_once(packed, monkeypatch):
    monkeypatch.setattr(wheels, "bundle", lambda: packed)


@pytest.fixture
def archive(course):
    return autograder.build(course / "hw.toml", b"a secret")


@pytest.fixture
def platform(course, archive, tmp_path):
    """The platform's folder with the zip unpacked, and in place of what setup.sh installs, this interpreter."""
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        for name in files.namelist():
            if not name.startswith("wheels/"):
                Path(files.extract(name, tmp_path / "source")).chmod(files.getinfo(name).external_attr >> 16)
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    package = Path(minrnn.__file__).parents[1]
    python.write_text(f'#!/bin/sh\nPYTHONPATH={package} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    for folder in ("submission", "results"):
        (tmp_path / folder).mkdir()
    return tmp_path


@pytest.fixture
def handed_in(platform):
    """handed_in(hw="text"): results.json after these files were handed in, and what was printed."""

    def grade(**files):
        shutil.rmtree(platform / "submission")
        (platform / "submission").mkdir()
        for name, content in files.items():
            (platform / "submission" / f"{name}.py").write_bytes(content.encode())
        environment = os.environ | {"AUTOGRADER_ROOT": str(platform)}
        done = subprocess.run(
            ["bash", platform / "source" / "run_autograder"],
            env=environment,
            cwd=platform,
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads((platform / "results" / "results.json").read_text()), done

    return grade


def test_zip_has_its_parts_at_the_root_and_the_scripts_can_be_run(archive, course):
    files = zipfile.ZipFile(io.BytesIO(archive))
    names = set(files.namelist())
    assert names >= {"setup.sh", "run_autograder", "hw.toml", "tiny.toml", "course_utils.py", "secret"}
    for script in ("setup.sh", "run_autograder"):
        assert files.getinfo(script).external_attr >> 16 == 0o755
        assert files.read(script).startswith(b"#!/usr/bin/env bash\n") and b"@" not in files.read(script).replace(
            b"$@", b""
        )
    assert files.read("hw.toml").decode() == SETTINGS and files.read("secret") == b"a secret"
    installed = {name.removeprefix("wheels/").split("-")[0] for name in names if name.startswith("wheels/")}
    assert installed >= {"minrnn", "numpy"}
    assert "solution.py" not in names
    other = zipfile.ZipFile(io.BytesIO(autograder.build(course / "hw.toml")))
    assert len(other.read("secret")) == 32


def test_every_wheel_has_all_hashes_right(packed):
    for name, content in packed.items():
        wheel = zipfile.ZipFile(io.BytesIO(content))
        (record,) = (n for n in wheel.namelist() if n.endswith(".dist-info/RECORD"))
        rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(wheel.read(record).decode()))}
        assert set(rows) == set(wheel.namelist()), name
        for path, (digest, size) in rows.items():
            if path != record:
                data = wheel.read(path)
                expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                assert (digest, int(size)) == (f"sha256={expected}", len(data))
        assert not any("__pycache__" in path or ".." in path for path in rows)


def test_wheel_of_the_package_is_the_one_that_runs(packed):
    (content,) = (content for name, content in packed.items() if name.startswith("minrnn-"))
    wheel = zipfile.ZipFile(io.BytesIO(content))
    assert wheel.read("minrnn/grading/coursework/wheels.py") == Path(wheels.__file__).read_bytes()
    assert "minrnn/grading/courses/profiles/cs231n-a3.toml" in wheel.namelist()


def test_mistakes_in_the_settings_are_found_before_the_students_do(tmp_path):
    (tmp_path / "hw.toml").write_text('profile = "cs231n-a3"\n[points]\nnope = 1\n')
    with pytest.raises(ProfileError, match="points names 'nope'"):
        autograder.build(tmp_path / "hw.toml")


def test_files_elsewhere_are_refused(tmp_path):
    (tmp_path / "tiny.toml").write_text(PROFILE)
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "hw.toml").write_text('profile = "../tiny.toml"\n')
    with pytest.raises(ValueError, match=r"names \.\./tiny\.toml, which is elsewhere: put it beside hw\.toml"):
        autograder.build(tmp_path / "inner" / "hw.toml")


def test_a_submission_is_graded_by_the_settings_and_the_secret(handed_in, course, tmp_path):
    document, done = handed_in(hw=RIGHT.replace("dout.sum(0)", "-dout.sum(0)"))
    assert (document["score"], done.stdout) == (8.0, "")
    tests = {test["name"]: test for test in document["tests"]}
    assert tests["affine_forward"]["visibility"] == "hidden" and tests["affine_backward"]["visibility"] == "visible"
    assert "sign-flipped" in tests["affine_backward"]["tags"]
    sha256 = hashlib.sha256((tmp_path / "submission" / "hw.py").read_bytes()).hexdigest()
    assert document["extra_data"]["seeds"] == make(str(course / "tiny.toml"), secret=b"a secret").seeds(sha256)


def test_several_files_are_one_submission(handed_in):
    first, second = RIGHT.split("def affine_backward")
    document, _ = handed_in(one=first, two="from course_utils import flat\n\n\ndef affine_backward" + second)
    assert document["score"] == 10


@pytest.mark.parametrize("files", [{}, {"hw": "\0\1"}], ids=["nothing", "binary"])
def test_what_cannot_be_read_has_a_result_that_says_so(handed_in, files):
    document, done = handed_in(**files)
    assert document["score"] == 0 and document["output"].startswith("Nothing could be graded: ")
    assert "Traceback" not in done.stdout + done.stderr


def test_a_result_that_a_submission_writes_itself_does_not_win(handed_in, platform):
    attack = f"""
    try:
        open({str(platform / "results" / "results.json")!r}, "w").write('{{"score": 99}}')
    except OSError:
        pass
"""
    document, _ = handed_in(hw=RIGHT.replace("(x, w, b):", f"(x, w, b):{attack}"))
    assert document["score"] == 10 and len(document["tests"]) >= 2


def test_trouble_of_the_grader_is_told_without_its_details(handed_in, platform):
    (platform / "source" / "hw.toml").write_text("x = ")
    document, done = handed_in(hw=RIGHT)
    assert document == json.loads(autograder.message(autograder.TROUBLE))
    assert "Traceback" in done.stderr and document["stdout_visibility"] == "hidden"


def test_a_grader_that_is_killed_or_missing_leaves_a_valid_result(handed_in, platform):
    (platform / "env" / "bin" / "python").write_text("#!/bin/sh\nkill -9 $$\n")
    document, _ = handed_in(hw=RIGHT)
    assert document == json.loads(autograder.message(autograder.STOPPED))
    (platform / "env" / "bin" / "python").unlink()
    document, _ = handed_in(hw=RIGHT)
    assert document == json.loads(autograder.message(autograder.STOPPED))


def test_zip_sets_itself_up_without_a_network_and_grades(archive, course, monkeypatch, tmp_path):
    """As the platform does: setup.sh into an empty folder, then run_autograder. There is no index to be asked."""
    offline = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(offline, "w") as new:
        for member in old.infolist():
            content = old.read(member)
            if member.filename == "setup.sh":
                assert b" || pip minrnn" in content
                content = content.replace(b" || pip minrnn", b"")
            new.writestr(member, content)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    checks = autograder.self_test(offline.getvalue(), course / "solution.py")
    assert [(check.what, check.score, check.max_score, check.problem) for check in checks] == [
        ("nothing written yet", 0, 10, ""),
        ("a file that is not text", 0, 0, ""),
        ("no file", 0, 0, ""),
        ("solution.py", 10, 10, ""),
    ]


FAKES = {
    "python3": "#!/bin/bash\nexit 1\n",  # older than 3.11
    "apt-get": """#!/bin/bash
echo "$@" >>"$LOG"
[[ "$1" == update || "$3" == python3.11 ]] || exit 1
cp "$BIN/../later" "$BIN/python3.11"
""",
}
LATER = """#!/bin/bash
[[ "$2" == venv ]] && mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && exit 0
echo "$@" >>"$LOG"
[[ " $* " != *" --no-index "* ]]
"""


def test_setup_finds_a_python_and_a_network_where_the_image_lacks_them(platform, tmp_path):
    """The image has an old Python and no package of the newest; wheels for another Python do not fit."""
    programs = tmp_path / "fakes" / "bin"
    programs.mkdir(parents=True)
    for name in ("bash", "dirname", "chmod", "mkdir", "cp"):
        (programs / name).symlink_to(shutil.which(name))
    for path, text in {
        **{programs / name: text for name, text in FAKES.items()},
        programs.parent / "later": LATER,
    }.items():
        path.write_text(text)
        path.chmod(0o755)
    script = platform / "source" / "setup.sh"
    script.write_text(script.read_text().replace(f"python3.{sys.version_info[1]} ", "python3.99 "))
    environment = {"PATH": str(programs), "LOG": str(tmp_path / "log"), "BIN": str(programs)}
    environment["AUTOGRADER_ROOT"] = str(tmp_path / "fresh")
    done = subprocess.run(["bash", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    calls = (tmp_path / "log").read_text().splitlines()
    wanted = [f"install -y {name} {name}-venv" for name in ("python3.99", "python3.12", "python3.11")]
    assert calls[:4] == ["update", *wanted]
    assert [("--no-index" in call, call.split()[-1]) for call in calls[4:]] == [(True, "minrnn"), (False, "minrnn")]
    assert script.parent.stat().st_mode & 0o077 == 0


def test_self_test_sees_a_solution_that_is_not_right(platform, course):
    check = autograder._check(platform, "wrong", {"hw.py": RIGHT.replace("+ b", "- b").encode()}, 1.0)
    assert check.problem == f"it has {check.score:g} points, expected are 10" and check.score < 10


def test_self_test_sees_a_grader_that_fails(platform):
    (platform / "source" / "hw.toml").write_text("x = ")
    check = autograder._check(platform, "any", {"hw.py": b""}, 0.0)
    assert check.problem.startswith(
        "the grader failed: minrnn.grading.courses.table.ProfileError: hw.toml is not a TOML"
    )
