"""The autograder for Gradescope: the zip that is uploaded, what runs there, and a test of the zip before it is.

The platform unpacks the zip to /autograder/source, runs setup.sh once when the machine's image is made, and
run_autograder as root for each submission; that must leave /autograder/results/results.json. A valid file is written
first and replaced by the result, so however the grading ends there is one.

What this is not: a judge or a report; those are coursework.assignment and report.gradescope.
"""

import io
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minrnn.grading.coursework import spec, wheels
from minrnn.grading.coursework.assignment import Assignment, Undecided, make
from minrnn.grading.loading.submission import Unreadable
from minrnn.grading.outcome.result import write_atomic

SETTINGS, SECRET = "hw.toml", "secret"
STOPPED = "The grader was stopped before it could give a mark: please tell your instructor."
TROUBLE = "The grader had a problem of its own, so there is no mark yet: please tell your instructor."

SETUP = """\
#!/usr/bin/env bash
# Runs once, when the image is made: installs the grader without a network if this machine fits, else with one.
set -euo pipefail
root="${AUTOGRADER_ROOT:-/autograder}"
source="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
fits() { command -v "$1" >/dev/null && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; }
python=""
for name in @PYTHON@ python3; do
    if [ -z "$python" ] && fits "$name"; then python="$name"; fi
done
if [ -z "$python" ]; then
    apt-get update
    for name in @PYTHON@ python3.12 python3.11; do
        if [ -z "$python" ] && apt-get install -y "$name" "$name-venv"; then python="$name"; fi
    done
fi
"$python" -m venv "$root/env" || { apt-get update && apt-get install -y "$python-venv"; "$python" -m venv "$root/env"; }
pip() { "$root/env/bin/python" -m pip --disable-pip-version-check install -q --find-links "$source/wheels" "$@"; }
pip --no-index minrnn || pip minrnn
chmod -R go-rwx "$source"
"""
RUN = """\
#!/usr/bin/env bash
# Runs for each submission. Always leaves a valid results.json.
root="${AUTOGRADER_ROOT:-/autograder}"
mkdir -p "$root/results"
chmod go-rwx "$root/results"
cat >"$root/results/results.json" <<'END'
@STOPPED@
END
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1
"$root/env/bin/python" -s -P -B -m minrnn.grading.coursework.autograder "$root"
exit 0
"""


def build(settings: Path, secret: bytes = b"") -> bytes:
    """Return the zip: both scripts, the settings as hw.toml with the files they name, a secret, wheels.

    secret: from which the inputs follow; without one it is drawn, so that every zip has its own.

    Raises:
        ProfileError: the settings, or the profile that they name, have a mistake.
        ValueError: a file lies outside the folder of the settings, or something is not installed from a wheel.
    """
    read = spec.read(settings)
    make(settings=read)  # to find the mistakes before the students do
    members: dict[str, bytes] = {
        "setup.sh": SETUP.replace("@PYTHON@", f"python{sys.version_info[0]}.{sys.version_info[1]}").encode(),
        "run_autograder": RUN.replace("@STOPPED@", message(STOPPED).strip()).encode(),
        SETTINGS: settings.read_bytes(),
        SECRET: secret or secrets.token_bytes(32),
    }
    for file in read.files:
        if Path(file).is_absolute() or ".." in Path(file).parts:
            raise ValueError(f"{settings.name} names {file}, which is elsewhere: put it beside {settings.name}")
        if file in members:
            raise ValueError(f"{settings.name} names {file}, which the zip has of its own: give it another name")
        members[file] = (settings.parent / file).read_bytes()
    members |= {f"wheels/{name}": content for name, content in wheels.bundle().items()}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
        for name, content in members.items():
            member = zipfile.ZipInfo(name, wheels.EPOCH)
            member.external_attr = (0o755 if name in ("setup.sh", "run_autograder") else 0o644) << 16
            files.writestr(member, content, zipfile.ZIP_STORED if name.endswith(".whl") else zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def message(text: str, score: float = 0.0) -> str:
    """Return a results.json that says only this."""
    return json.dumps({"score": score, "output": text, "output_format": "text", "stdout_visibility": "hidden"}) + "\n"


def run(root: Path) -> str:
    """Grade what was handed in under `root`; returns the content of results.json."""
    try:
        settings = spec.read(root / "source" / SETTINGS)
        assignment = make(settings=settings, secret=(root / "source" / SECRET).read_bytes())
        return _graded(assignment, _handed_in(root / "submission"), settings.hints)
    except (Unreadable, Undecided) as error:
        return message(f"Nothing could be graded: {error}.")
    except Exception:
        traceback.print_exc()  # the platform keeps what is printed for instructors, since stdout is hidden
        return message(TROUBLE)


def _graded(assignment: Assignment, path: Path, hints: int) -> str:
    report = assignment.render(assignment.grade(path), "gradescope", hints)
    assert isinstance(report, str)
    return report


def _handed_in(folder: Path) -> Path:
    """The one file that was handed in, or the folder with all of them."""
    files = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return files[0] if len(files) == 1 else folder


@dataclass(frozen=True)
class Check:
    """One run of a zip: what was handed in, the score, the most that there was, and what is wrong ("": nothing)."""

    what: str
    score: float = 0.0
    max_score: float = 0.0
    problem: str = ""


def self_test(content: bytes, solution: Path | None = None) -> list[Check]:
    """Unpack a zip into an empty folder, set it up and run it as the platform does, and look at what it leaves.

    Handed in are: a file in which nothing is written yet, one that is not text, nothing, and the `solution`, which has
    to get all points.
    """
    with tempfile.TemporaryDirectory(prefix="minrnn-autograder-") as name:
        root = Path(name)
        root.chmod(0o755)  # the user that submissions run as has to read the interpreter
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(root / "source")
            for member in archive.infolist():
                (root / "source" / member.filename).chmod(member.external_attr >> 16)
        setup = _script(root, "setup.sh")
        if setup.returncode:
            return [Check("setup.sh", problem=f"it failed: {_last_line(setup.stderr)}")]
        checks = [
            _check(root, "nothing written yet", {"hw.py": _stubs(root).encode()}, 0.0),
            _check(root, "a file that is not text", {"hw.py": b"\0\1\2"}, 0.0),
            _check(root, "no file", {}, 0.0),
        ]
        if solution:
            checks.append(_check(root, solution.name, {solution.name: solution.read_bytes()}, 1.0))
        return checks


def _script(root: Path, name: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ.get("PATH", os.defpath), "AUTOGRADER_ROOT": str(root), "HOME": str(root)}
    command = [str(root / "source" / name)]
    return subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=1200, errors="replace"
    )


def _check(root: Path, what: str, files: dict[str, bytes], share: float) -> Check:
    for folder in ("submission", "results"):
        shutil.rmtree(root / folder, ignore_errors=True)
    (root / "submission").mkdir()
    for name, content in files.items():
        (root / "submission" / name).write_bytes(content)
    done = _script(root, "run_autograder")
    try:
        document = json.loads((root / "results" / "results.json").read_text(encoding="utf-8"))
        score = float(document["score"])
        most = float(sum(test.get("max_score", 0.0) for test in document.get("tests", [])))
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Check(what, problem=f"it left no valid results.json ({error})")
    if document.get("output") in (STOPPED, TROUBLE):
        return Check(what, score, most, f"the grader failed: {_last_line(done.stderr)}")
    wrong = abs(score - share * most) > 1e-9
    return Check(what, score, most, f"it has {score:g} points, expected are {share * most:g}" if wrong else "")


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it says nothing"])[-1]


def _stubs(root: Path) -> str:
    """A file with all functions of the first profile, none of them written."""
    assignment = make(settings=spec.read(root / "source" / SETTINGS))
    lines: dict[str, list[str]] = {}
    for function in assignment.profiles[0].functions:
        name = function.name.rpartition(".")[2]
        names = [*(["self"] if function.owner else []), *(item.name for item in function.arguments)]
        lines.setdefault(function.owner, []).append(f"def {name}({', '.join(names)}):\n    pass\n")
    text = "".join(lines.pop("", []))
    for owner, methods in lines.items():
        body = "".join(methods).replace("\n", "\n    ").rstrip(" ")
        text += f"class {owner}:\n    {body}"
    return text


def main(arguments: Sequence[str]) -> int:
    """What run_autograder calls with the folder of the platform, /autograder."""
    root = Path(arguments[0])
    write_atomic(root / "results" / "results.json", run(root))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
