"""Bad input, typed by a user: one clear line on stderr, the documented exit code, and nothing damaged."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import minrnn
from minrnn.config import merge
from minrnn.fit import start
from minrnn.model.checkpoint import load_checkpoint, save_checkpoint

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(minrnn.__file__).parents[1])}
TEXT = "".join(np.random.default_rng(0).choice(list("abcd \n"), size=600))
SMALL = {"hidden": 6, "layers": 1, "seq": 5, "batch": 4, "steps": 8, "eval_every": 4, "save_every": 4}
FLAGS = [part for name, value in SMALL.items() for part in ("--" + name.replace("_", "-"), str(value))]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The bytes of every file of a small run, and its text, to be laid out afresh for every test."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "text.txt").write_text(TEXT)
    list(start(merge(SMALL, {"files": [str(folder / "text.txt")]}), folder / "run").run())
    return folder


@pytest.fixture
def place(tmp_path, trained, monkeypatch):
    """The current folder: text.txt and run, a finished run of 8 updates on it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    (tmp_path / "run").mkdir()
    for path in (trained / "run").iterdir():
        (tmp_path / "run" / path.name).write_bytes(path.read_bytes())
    return tmp_path


def everything(folder):
    """Path -> bytes (None for a folder) of all there is."""
    return {str(p): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def minrnn_process(*argv):
    command = [sys.executable, "-m", "minrnn", *map(os.fsencode, map(str, argv))]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=False, timeout=60)


@pytest.fixture
def refused(place):
    """refused(code, words, *argv): a process ends with this code, one line of stderr has all words, no file changed."""

    def check(code, words, *argv):
        before = everything(place)
        done = minrnn_process(*argv)
        err = done.stderr.decode()
        assert (done.returncode, done.stdout) == (code, b""), err
        assert err.startswith("minrnn: error: ") and err.count("\n") == 1 and err.endswith("\n"), err
        assert all(word in err for word in words.split(" | ")), err
        assert everything(place) == before

    return check


# Texts.


def test_missing_file(refused):
    refused(3, "none.txt does not exist; check the name", "train", "none.txt", "--out", "new")


def test_folder_in_place_of_a_file(refused, place):
    refused(3, f"{place} is a folder; name the text files in it", "train", place, "--out", "new")


def test_empty_file(refused, place):
    (place / "empty.txt").touch()
    refused(3, "empty.txt is empty", "train", "empty.txt", "--out", "new")


def test_file_of_one_character(refused, place):
    (place / "one.txt").write_text("x")
    refused(
        3, "1 characters are too few | which need | use a longer text or a smaller", "train", "one.txt", "--out", "new"
    )


def test_file_of_two_hundred_bytes_trains_with_a_notice(place):
    (place / "short.txt").write_text(TEXT[:200])
    done = minrnn_process("train", "short.txt", "--out", "new", "--steps", "2", "--hidden", "6")
    assert done.returncode == 0 and "smaller than the 50 asked for: the text is short" in done.stderr.decode()
    assert load_checkpoint(place / "new" / "last.safetensors")[1]["trainer"]["step"] == 2


def test_bytes_that_are_not_utf8_are_located(refused, place):
    (place / "latin.txt").write_bytes(b"one line\nGr\xf6\xdfe\n" + TEXT.encode())
    refused(3, "latin.txt is not UTF-8: byte 0xF6 at offset 11 (line 2)", "train", "latin.txt", "--out", "new")


def test_hundred_thousand_distinct_characters(refused, place):
    (place / "odd.txt").write_text("".join(map(chr, range(0x10000, 0x10000 + 100_000))) * 2, encoding="utf-8")
    refused(3, "100,000 distinct characters | GB of memory | vocab_max_size", "train", "odd.txt", "--out", "new")


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names of any bytes")
def test_file_name_that_is_not_utf8(refused, place):
    with open(os.fsencode(place) + b"/\xff.txt", "w") as file:
        file.write(TEXT)
    refused(2, r"\udcff.txt' is not UTF-8 | rename the file", "train", os.fsdecode(b"\xff.txt"), "--out", "new")
    refused(3, r"\udcfe.txt does not exist", "eval", "run", os.fsdecode(b"\xfe.txt"))


def test_text_for_eval_that_is_not_utf8_or_unknown(refused, place):
    (place / "latin.txt").write_bytes(b"abc\xff")
    refused(3, "latin.txt is not UTF-8: byte 0xFF at offset 3", "eval", "run", "latin.txt")
    (place / "greek.txt").write_text("abω", encoding="utf-8")
    refused(3, "'ω' (U+03C9) at index 2 is not in the vocabulary", "eval", "run", "greek.txt")


def test_unknown_character_in_a_prime(refused):
    refused(3, "'ω' (U+03C9) at index 1 is not in the vocabulary | skip", "sample", "run", "--prime", "aω")


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))  # bytes of a file: the text has 600
from minrnn.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of resources")
@pytest.mark.parametrize("argv", [["train", "text.txt", "--out", "new"], ["eval", "run"], ["eval", "run", "text.txt"]])
def test_temporary_folder_without_room(place, argv):
    before = everything(place)
    folder = place.parent / f"{place.name}-temporary"
    folder.mkdir()
    environment = ENVIRONMENT | {"TMPDIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", LIMITED, *argv], env=environment, capture_output=True, check=False)
    err = done.stderr.decode()
    assert (done.returncode, done.stdout) == (3, b""), err
    assert err.startswith(f"minrnn: error: the encoded text does not fit into the temporary folder {folder}: File too")
    assert err.endswith("name another folder with the environment variable TMPDIR\n") and err.count("\n") == 1
    assert everything(place) == before and not list(folder.iterdir())


# Settings.


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--lr nan", "lr = nan must be a finite number"),
        ("--lr inf", "lr = inf must be a finite number"),
        ("--lr -1", "lr = -1.0 must be at least 0"),
        ("--dropout 1", "dropout = 1.0 must be below 1"),
        ("--hidden 0", "hidden = 0 must be at least 1"),
        ("--steps 5 --epochs 2", "epochs and steps exclude each other"),
        ("--clip-norm 1 --clip-value 1", "clip_norm and clip_value exclude each other"),
        ("--optimizer adam --momentum 0.9", "momentum belongs to sgd and rmsprop, not to adam"),
        ("--cell gru --init identity", "init identity belongs to the cell rnn, not to gru"),
        ("--patience 3 --val-frac 0", "patience needs evaluations"),
        ("--time-limit soon", "'soon' is no duration: write seconds, or such as 90s"),
        ("--epochs 0", "nothing says when to stop"),
        ("--config none.toml", "none.toml cannot be read: No such file"),
        ("--resume run --out new", "leave out --out and --init-from"),
        ("--resume run --init-from run", "leave out --out and --init-from"),
        ("--out run", "run already holds a run: go on with --resume run"),
        ("--resume run --hidden 7", "hidden was 6 and cannot become 7 in a resumed run"),
        ("--resume run --cell gru", "cell was 'lstm' and cannot become 'gru'"),
    ],
)
def test_setting_that_makes_no_sense(place, call, flags, words):
    before = everything(place)
    files = [] if "--resume" in flags else ["text.txt"]
    result = call("train", *files, *flags.split())
    assert (result.code, result.out) == (2, "") and result.err.startswith("minrnn: error: ")
    assert words in result.err and result.err.count("\n") == 1
    assert everything(place) == before


def test_contradictory_flags_in_a_process(refused):
    refused(2, "epochs and steps exclude each other", "train", "text.txt", "--steps", "5", "--epochs", "2")


def test_learning_rate_that_is_not_a_number_in_a_process(refused):
    refused(2, "lr = nan must be a finite number", "train", "text.txt", "--lr", "nan")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hiden = 3", "no setting 'hiden'; did you mean 'hidden'?"),
        ("hidden = 'big'", "hidden = 'big' must be of type int"),
        ("hidden = = 3", "bad.toml is not valid TOML"),
        ("cell = 'lstmm'", "cell = 'lstmm' must be one of lstm, gru, gru-before, rnn"),
    ],
)
def test_bad_configuration_file(place, call, text, words):
    (place / "bad.toml").write_text(text)
    result = call("train", "text.txt", "--config", "bad.toml", "--out", "new")
    assert (result.code, result.out) == (2, "") and words in result.err and result.err.count("\n") == 1
    assert not (place / "new").exists()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "required: COMMAND"),
        (["trian"], "invalid choice: 'trian'"),
        (["train", "--hiden", "3"], "unrecognized arguments: --hiden"),
        (["train", "--hidden", "three"], "argument --hidden: invalid int value: 'three'"),
        (["train", "--cell", "transformer"], "argument --cell: invalid choice: 'transformer'"),
        (["train", "--hid", "3"], "unrecognized arguments: --hid"),
        (["sample"], "required: RUN"),
        (["eval"], "required: RUN"),
    ],
)
def test_usage(call, argv, words):
    result = call(*argv)
    assert (result.code, result.out) == (2, "") and words in result.err
    assert result.err.startswith("usage: minrnn") and "error: " in result.err.splitlines()[-1]


# Machine.


def has_cupy():
    try:
        import cupy  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.mark.skipif(has_cupy(), reason="CuPy is here")
def test_device_that_is_missing(refused):
    refused(
        5, "'cupy:0' needs CuPy: pip install 'minrnn[cuda12]'", "train", "text.txt", "--device", "cupy", "--out", "new"
    )
    refused(5, "'cupy:1' needs CuPy", "sample", "run", "--device", "cupy:1")


def test_memory_that_no_machine_has(refused):
    refused(5, "Unable to allocate", "train", "text.txt", "--hidden", "10000000", "--out", "new")


def test_folder_that_cannot_be_written(refused):
    refused(
        3, "cannot write into the folder text.txt/new: Not a directory", "train", "text.txt", "--out", "text.txt/new"
    )
    if sys.platform == "linux":
        refused(3, "cannot write into the folder /proc/new: ", "train", "text.txt", "--out", "/proc/new")


# Runs and checkpoints.


def test_run_that_does_not_exist(refused):
    for argv in (["train", "--resume", "none"], ["train", "text.txt", "--init-from", "none"], ["sample", "none"]):
        refused(3, "there is no run or checkpoint none; check the name", *argv)


def test_run_without_a_checkpoint(call, place):
    (place / "empty").mkdir()
    for argv in (["train", "--resume", "empty"], ["sample", "empty"], ["eval", "empty"], ["info", "empty"]):
        result = call(*argv)
        assert (
            result.code == 3
            and "empty holds no checkpoint (yet): training saves the first one after save_every steps" in result.err
        )
    assert not list((place / "empty").iterdir())


READERS = [
    ["sample", "run", "-n", "5"],
    ["eval", "run"],
    ["info", "run"],
    ["train", "--resume", "run", "--steps", "20"],
    ["train", "text.txt", "--out", "new", "--init-from", "run", *FLAGS],
]


@pytest.mark.parametrize("argv", READERS, ids=lambda argv: argv[0] if argv[0] != "train" else argv[-1])
def test_damaged_checkpoint_is_refused_by_whoever_reads_it(place, call, argv):
    data = {name: (place / "run" / name).read_bytes() for name in ("best.safetensors", "last.safetensors")}
    rng = np.random.default_rng(len(argv[0]))
    for k in range(20):
        for name, whole in data.items():
            at = int(rng.integers(8 + int.from_bytes(whole[:8], "little") * (k % 3 == 0), len(whole)))
            damaged = whole[:at] if k % 2 else whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :]
            (place / "run" / name).write_bytes(damaged)
        before = everything(place)
        result = call(*argv)
        assert (result.code, result.out) == (3, ""), (k, result)
        assert result.err.startswith("minrnn: error: ") and result.err.count("\n") == 1
        assert ".safetensors" in result.err
        assert everything(place) == before


def test_damaged_checkpoint_in_a_process(refused, place):
    path = place / "run" / "last.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(3, "last.safetensors is truncated, damaged or not a safetensors file", "train", "--resume", "run")
    path.write_bytes(whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:])
    refused(3, "last.safetensors is damaged: its checksum does not match", "train", "--resume", "run")


def test_foreign_checkpoints(place, call):
    contents = {
        "a.safetensors": safetensors.numpy.save({"weight": np.zeros(3)}, {"format": "pt"}),
        "b.pkl": b"\x80\x04\x95\x00.",
        "c.txt": TEXT.encode(),
        "d.bin": b"",
    }
    for name, data in contents.items():
        (place / name).write_bytes(data)
        for argv in (["sample", name], ["info", name], ["train", "text.txt", "--out", "new", "--init-from", name]):
            result = call(*argv)
            assert (result.code, result.out) == (3, "") and name in result.err and result.err.count("\n") == 1
        assert (place / name).read_bytes() == data


def test_checkpoint_of_another_vocabulary_on_resume(place, call, trained):
    arrays, content = load_checkpoint(place / "run" / "last.safetensors")
    content["vocabulary"] = json.dumps({"characters": "\n abce", "unknown": None})
    save_checkpoint(place / "run" / "last.safetensors", arrays, content)
    before = everything(place)
    result = call("train", "--resume", "run", "--steps", "20")
    assert result.code == 3 and "last.safetensors was trained on 6 characters, the text now has 6" in result.err
    assert everything(place) == before


def test_text_with_another_alphabet_on_resume_and_init_from(refused, place):
    flags = ["text.txt", *FLAGS, "--quiet", "--out", "mine"]
    assert minrnn_process("train", *flags).returncode == 0
    (place / "text.txt").write_text(TEXT + "z")
    refused(
        3, "was trained on 6 characters, the text now has 7: resume needs the same text", "train", "--resume", "mine"
    )
    refused(3, "knows 6 characters, the text has 7 (new: 'z')", "train", *flags[:-1], "new", "--init-from", "mine")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_disk_that_is_full_during_a_save(place, trained):
    """The next save of last.safetensors goes to a device that has no room left."""
    os.symlink("/dev/full", "run/last.safetensors.tmp")
    last = (place / "run" / "last.safetensors").read_bytes()
    done = minrnn_process("train", "--resume", "run", "--steps", "20")
    (*_, line) = done.stderr.decode().splitlines()
    assert (done.returncode, done.stdout) == (3, b"") and "Traceback" not in done.stderr.decode()
    assert line.startswith("minrnn: error: cannot write the checkpoint run/last.safetensors: No space left on device")
    assert line.endswith("the previous one is intact")
    assert (place / "run" / "last.safetensors").read_bytes() == last
    assert not os.path.lexists("run/last.safetensors.tmp")
    assert minrnn_process("train", "--resume", "run", "--steps", "20", "--quiet").returncode == 0  # there is room again
    assert load_checkpoint(place / "run" / "last.safetensors")[1]["trainer"]["step"] == 20


@pytest.mark.parametrize(("lr", "every", "step"), [("1e5", "1", 5), ("1e30", "1", 5), ("3e38", "50", 6)])
def test_divergence_keeps_and_names_the_last_good_checkpoint(place, lr, every, step):
    flags = ["--optimizer", "sgd", "--clip-norm", "0", "--out", "new", "--steps", "4", "--save-every", "4"]
    assert minrnn_process("train", "text.txt", *FLAGS, *flags, "--quiet").returncode == 0
    last = (place / "new" / "last.safetensors").read_bytes()
    looks = [part for what in ("save", "eval", "sample", "log") for part in (f"--{what}-every", every)]
    done = minrnn_process("train", "--resume", "new", "--steps", "50", *looks, "--lr", lr)
    (*_, line) = done.stderr.decode().splitlines()
    assert done.returncode == 4 and "Warning" not in done.stderr.decode()
    assert line.startswith(f"minrnn: error: training diverged at step {step}: loss ")
    assert "the last good checkpoint is new/last.safetensors (step 4)" in line
    assert (place / "new" / "last.safetensors").read_bytes() == last
    assert minrnn_process("sample", "new", "--which", "last", "-n", "5").returncode == 0
