"""Checkpoint files: exact round trips, every kind of damage, and saves that fail or die half-way."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import safetensors.numpy

from minrnn.model.checkpoint import FORMAT, CheckpointError, load_checkpoint, save_checkpoint

CONTENT = {"step": 3, "name": "Größe 春眠", "nested": {"list": [1, None, True, 0.1], "empty": {}}, "huge": 2**127 + 1}


def arrays():
    rng = np.random.default_rng(0)
    nan = np.frombuffer(np.array([0x7FF8000000000001, 0xFFF0000000000002], "<u8").tobytes(), "<f8")
    return {
        "rnn.0.Wx": rng.standard_normal((5, 8)).astype("float32"),
        "rnn.0.b": rng.standard_normal(8),
        "not a number": nan,  # two different payloads
        "special": np.array([-0.0, np.inf, -np.inf, 5e-324]),
        "number": np.array(2.5),
        "empty": np.zeros((0, 4), "float32"),
        "ids": rng.integers(-9, 9, (2, 3, 4)),
        "mask": rng.random(5) < 0.5,
        "transposed": rng.standard_normal((3, 5)).T,
        "größe": np.arange(3, dtype="uint8"),
    }


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, arrays(), CONTENT)
    return path


def assert_intact(path, tolerated=()):
    """The checkpoint is the saved one, and nothing lies beside it."""
    found, content = load_checkpoint(path)
    assert content == CONTENT and {n: a.tobytes() for n, a in found.items()} == {
        n: a.tobytes() for n, a in arrays().items()
    }
    assert {p.name for p in path.parent.iterdir()} - {path.name} == set(tolerated)


def test_round_trip_is_exact(saved):
    found, content = load_checkpoint(saved)
    assert content == CONTENT and type(content["huge"]) is int
    assert set(found) == set(arrays())
    for name, array in arrays().items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape, name
        assert found[name].tobytes() == array.tobytes(), name


def test_state_of_a_generator_survives(tmp_path):
    rng = np.random.default_rng(5)
    rng.random(7)
    rng.integers(3, dtype="uint32")  # leaves half a word behind
    save_checkpoint(tmp_path / "c", {}, {"rng": rng.bit_generator.state})
    again = np.random.default_rng(0)
    again.bit_generator.state = load_checkpoint(tmp_path / "c")[1]["rng"]
    np.testing.assert_array_equal(again.random(9), rng.random(9))
    assert again.integers(9, dtype="uint32") == rng.integers(9, dtype="uint32")


def test_loaded_arrays_do_not_depend_on_the_file(saved):
    found, _ = load_checkpoint(saved)
    with open(saved, "r+b") as file:
        file.write(b"\0" * saved.stat().st_size)
    for name, array in arrays().items():
        assert found[name].tobytes() == array.tobytes(), name


def test_a_foreign_program_can_read_the_arrays(saved):
    found = safetensors.numpy.load_file(saved)
    np.testing.assert_array_equal(found["rnn.0.Wx"], arrays()["rnn.0.Wx"])


def refused(path, data):
    """load_checkpoint raises CheckpointError, naming the file, which stays as it is."""
    path.write_bytes(data)
    before = path.stat().st_mtime_ns
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert path.read_bytes() == data and path.stat().st_mtime_ns == before


def test_truncated_file_is_refused(saved):
    data = saved.read_bytes()
    points = np.random.default_rng(1).integers(len(data), size=50)
    for size in {0, 1, 7, 8, 9, len(data) - 1, *points.tolist()}:
        refused(saved, data[:size])


def test_appended_bytes_are_refused(saved):
    refused(saved, saved.read_bytes() + b"\0")


def harmless(data, place, changed):
    """One kind of space for another in the padding of the header: the only bytes that say nothing."""
    end = 8 + int.from_bytes(data[:8], "little")
    return place < end and not data[place:end].strip() and bytes([changed]).isspace()


def test_flipped_byte_is_refused_wherever_it_is(saved):
    data = saved.read_bytes()
    rng = np.random.default_rng(2)
    header = 8 + int.from_bytes(data[:8], "little")
    assert header < len(data) - 200
    for place in [*range(header), *rng.integers(header, len(data), size=200).tolist()]:
        changed = data[place] ^ int(rng.integers(1, 256))
        altered = data[:place] + bytes([changed]) + data[place + 1 :]
        if harmless(data, place, changed):
            saved.write_bytes(altered)
            assert_intact(saved)
        else:
            refused(saved, altered)


def rewritten(data, **metadata):
    """The file with other metadata, its header rebuilt; None leaves a key out."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] = {k: v for k, v in (header["__metadata__"] | metadata).items() if v is not None}
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def test_rewriting_alone_harms_nothing(saved):
    saved.write_bytes(rewritten(saved.read_bytes()))
    assert_intact(saved)


@pytest.mark.parametrize(
    "metadata",
    [
        {"format": "minrnn 0"},
        {"format": None},
        {"content": "{}"},
        {"content": None},
        {"checksum": None},
        {"checksum": ""},
    ],
    ids=str,
)
def test_altered_metadata_is_refused(saved, metadata):
    refused(saved, rewritten(saved.read_bytes(), **metadata))


def test_renamed_array_is_refused(saved):
    refused(saved, saved.read_bytes().replace(b'"rnn.0.b"', b'"rnn.1.b"'))


def test_reshaped_array_is_refused(saved):
    assert b"[5,8]" in saved.read_bytes()
    refused(saved, saved.read_bytes().replace(b"[5,8]", b"[8,5]"))


def test_foreign_files_are_refused(tmp_path):
    import pickle
    import zipfile

    path = tmp_path / "foreign"
    refused(path, safetensors.numpy.save({"a": np.zeros(3)}))
    refused(path, safetensors.numpy.save({"a": np.zeros(3)}, {"format": "pt"}))
    refused(path, pickle.dumps({"a": 1}))
    refused(path, "Es war einmal eine alte Geiß.\n".encode() * 30)
    refused(path, b"\x89PNG\r\n\x1a\n" + bytes(100))
    np.savez(tmp_path / "a.npz", a=np.zeros(3))
    refused(path, (tmp_path / "a.npz").read_bytes())
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02.")
    refused(path, (tmp_path / "a.pt").read_bytes())


def test_pickle_is_never_executed(tmp_path):
    path = tmp_path / "trap"
    target = tmp_path / "executed"
    refused(path, f"cos\nsystem\n(S'touch {target}'\ntR.".encode())
    assert not target.exists()


def test_missing_file_and_folder_are_refused(tmp_path):
    for path in (tmp_path / "none", tmp_path, tmp_path / "none" / "deeper"):
        with pytest.raises(CheckpointError, match="there is no checkpoint"):
            load_checkpoint(path)


def test_not_a_number_in_the_content_is_refused_before_anything_is_written(saved):
    with pytest.raises(ValueError, match="JSON"):
        save_checkpoint(saved, {}, {"loss": float("nan")})
    assert_intact(saved)


class Full:
    """A file on a disk that fills at the first write or at the flush to the disk."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, data):
        self.file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("moment", ["open", "write", "fsync", "replace"])
def test_disk_that_fills_leaves_the_previous_checkpoint(saved, monkeypatch, moment):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if moment in ("open", "write"):
            replacement = full if moment == "open" else lambda *a: Full(open(*a))  # noqa: SIM115
            patch.setattr("minrnn.model.checkpoint.open", replacement, raising=False)
        else:
            patch.setattr(os, moment, full)
        with pytest.raises(CheckpointError, match=r"No space left on device.*previous one is intact"):
            save_checkpoint(saved, {"a": np.zeros(100)}, {})
    assert_intact(saved)


def test_first_save_on_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError) as error:
        save_checkpoint(tmp_path / "c", {}, {})
    assert "intact" not in str(error.value) and not list(tmp_path.iterdir())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_device_that_is_really_full(saved):
    os.symlink("/dev/full", saved.with_name(saved.name + ".tmp"))
    with pytest.raises(CheckpointError, match=r"No space left on device.*previous one is intact"):
        save_checkpoint(saved, {"a": np.zeros(100)}, {})
    assert_intact(saved)


LIMITED = """
import resource, sys
import numpy as np
from minrnn.model.checkpoint import CheckpointError, save_checkpoint
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    save_checkpoint(sys.argv[1], {"a": np.zeros(1000)}, {})
except CheckpointError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of the operating system")
def test_file_that_may_not_grow_leaves_the_previous_checkpoint(saved):
    done = subprocess.run([sys.executable, "-c", LIMITED, saved], capture_output=True, text=True, check=True)
    assert "File too large; the previous one is intact" in done.stdout
    assert_intact(saved)


def test_unwritable_place_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(CheckpointError, match="cannot write the checkpoint"):
        save_checkpoint(tmp_path / "file" / "c", {}, {})
    with pytest.raises(CheckpointError, match="cannot write the checkpoint"):
        save_checkpoint(tmp_path / "none" / "c", {}, {})


SLOW = """
import os, sys, time
import numpy as np
from minrnn.model import checkpoint
original = getattr(os, sys.argv[2])
def wait(*args):
    print("here", flush=True)
    time.sleep(60)
setattr(os, sys.argv[2], wait)
checkpoint.save_checkpoint(sys.argv[1], {"a": np.zeros(1000)}, {})
"""


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_killed_in_the_middle_of_a_save_the_old_one_is_loadable(saved, moment):
    with subprocess.Popen([sys.executable, "-c", SLOW, saved, moment], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"here\n"
        process.send_signal(signal.SIGKILL)
    assert_intact(saved, tolerated=["last.safetensors.tmp"])
    save_checkpoint(saved, arrays(), CONTENT)  # what the dead left is no obstacle
    assert_intact(saved)


def test_data_reach_the_disk_before_the_name(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: calls.append(("fsync", os.fstat(fd).st_size)) or fsync(fd))
    monkeypatch.setattr(os, "replace", lambda a, b: calls.append(("replace", os.stat(a).st_size)) or replace(a, b))
    save_checkpoint(tmp_path / "c", {"a": np.zeros(100)}, {})
    size = (tmp_path / "c").stat().st_size
    assert calls == [("fsync", size), ("replace", size)]


def test_reader_beside_a_writer_always_finds_a_whole_file(tmp_path):
    path = tmp_path / "c"
    writer = (
        "import sys, numpy as np\nfrom minrnn.model.checkpoint import save_checkpoint\n"
        "for k in range(40): save_checkpoint(sys.argv[1], {'a': np.full(50_000, k)}, {'k': k})\n"
    )
    save_checkpoint(path, {"a": np.full(50_000, 0)}, {"k": 0})
    with subprocess.Popen([sys.executable, "-c", writer, path]) as process:
        while process.poll() is None:
            found, content = load_checkpoint(path)
            assert (found["a"] == content["k"]).all()
            time.sleep(0.002)
    assert process.returncode == 0


def test_format_is_versioned(saved):
    assert FORMAT.encode() in saved.read_bytes()[:2000]
