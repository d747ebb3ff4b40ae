"""Storage: the same text and ids come back, no file is seen, no memory is kept."""

import hashlib
import io
import mmap
import os
import sys
import tempfile
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minrnn import evaluate as evaluate_module
from minrnn.text import FixedLength, Spool, StreamBatches, TextError, WindowBatches, map_ids, release, streams
from minrnn.text import storage as module
from minrnn.text.vocabulary import BLOCK

texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\r\n\ufeff")))


@given(texts)
def test_spool_gives_the_text_back_and_its_digest(blocks):
    whole = "".join(blocks)
    with Spool() as spool:
        assert list(spool.keep(blocks)) == blocks
        assert "".join(spool.blocks()) == whole
    assert spool.sha256 == hashlib.sha256(whole.encode()).hexdigest()


def test_spool_gives_blocks_and_tells_how_far_it_is():
    seen = []
    with Spool() as spool:
        for _ in spool.keep(["é" * 1000] * 5000):
            pass
        blocks = list(spool.blocks(lambda *numbers: seen.append(numbers)))
    assert max(map(len, blocks)) <= module.BLOCK and "".join(blocks) == "é" * 5_000_000
    assert seen[-1] == (10_000_000, 10_000_000) and len(seen) == len(blocks) > 4


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_ids_are_mapped_and_cannot_be_changed(dtype):
    blocks = [np.arange(5, dtype=dtype), np.empty(0, dtype), np.arange(200, 250, dtype=dtype)]
    ids = map_ids(iter(blocks), np.dtype(dtype))
    assert type(ids) is np.ndarray and ids.dtype == dtype
    assert ids.tolist() == [*range(5), *range(200, 250)]
    assert isinstance(ids.base.base, mmap.mmap)
    with pytest.raises(ValueError, match="read-only"):
        ids[0] = 1


def test_no_ids_are_an_empty_array():
    assert map_ids([], np.dtype(np.uint16)).tolist() == []
    assert map_ids([], np.dtype(np.uint16)).dtype == np.uint16


@pytest.mark.skipif(sys.platform == "win32", reason="there the file has a name while it is open")
def test_files_have_no_name_while_they_are_in_use(tmp_path, monkeypatch):
    """What has no name is gone with the process, also after SIGKILL."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Spool() as spool:
        ids = map_ids((np.full(9, len(block), np.uint8) for block in spool.keep(["abc"] * 9)), np.dtype(np.uint8))
        assert list(tmp_path.iterdir()) == []
        assert os.fstat(spool._file.fileno()).st_dev == tmp_path.stat().st_dev
    assert ids.tolist() == [3] * 81 and list(tmp_path.iterdir()) == []


class Narrow(io.BytesIO):
    """A file that takes three bytes at a time, as a nearly full disk may, and `room` in all."""

    def __init__(self, room):
        super().__init__()
        self.room = room

    def write(self, data):
        taken = bytes(data[: min(3, self.room)])
        if not taken:
            raise OSError(28, "No space left on device")
        self.room -= len(taken)
        return super().write(taken)


def test_writing_goes_on_after_a_part_was_taken():
    file = Narrow(1000)
    module._write(file, np.arange(100, dtype=np.uint16).data)
    assert np.frombuffer(file.getvalue(), np.uint16).tolist() == list(range(100))


def test_full_disk_is_one_sentence_with_the_way_out(monkeypatch):
    monkeypatch.setattr(module.tempfile, "TemporaryFile", lambda **_: Narrow(100))
    words = r"does not fit into the temporary folder .*: No space left on device; make room there, or .* TMPDIR$"
    with Spool() as spool, pytest.raises(TextError, match=words):
        list(spool.keep(["x" * 60, "x" * 60]))
    with pytest.raises(TextError, match=words):
        map_ids([np.zeros(101, np.uint8)], np.dtype(np.uint8))


def test_missing_temporary_folder_is_one_sentence_too(monkeypatch):
    def fail(**_):
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(module.tempfile, "TemporaryFile", fail)
    with pytest.raises(TextError, match=r"No usable temporary directory found in .*; name a folder with .* TMPDIR$"):
        Spool()


# Memory.

MB = 1 << 20


def resident():
    """Bytes of mapped files that count as memory of this process."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssFile"))


@pytest.fixture(scope="module")
def ids():
    """128 MiB, written in pieces as an encoded text is."""
    return map_ids(iter([np.zeros(BLOCK, np.uint8)] * (128 * MB // BLOCK)), np.dtype(np.uint8))


def windows(ids):
    batches = WindowBatches(ids, 64, 64)
    for k in range(300):  # 19,200 places in 2048 stretches of 64 KiB: every one is met
        yield batches.get(0, k)


def chunks(ids):
    batches = StreamBatches(streams(ids, 64), FixedLength(8192))
    for k in range(batches.num_batches(0)):
        yield batches.get(0, k)


def evaluation(ids):
    backend = SimpleNamespace(from_host=np.ascontiguousarray)
    model = SimpleNamespace(backend=backend, nll=lambda x, y, state: (x, state))
    yield from evaluate_module._chunks(model, streams(ids, 64), 8192)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("read", [windows, chunks, evaluation])
def test_reading_all_of_a_text_keeps_little_of_it_in_memory(ids, read):
    release(ids, 1, 0)
    before, most = resident(), 0
    for _ in read(ids):
        most = max(most, resident())
    assert most - before < 64 * MB
    assert not ids.any()  # nothing is lost
    assert resident() - before > 100 * MB, "the measure sees what is not released"


def test_release_leaves_arrays_in_memory_alone():
    array = np.arange(10)
    for number in range(3):
        release(array[2:].reshape(2, 4), 2, number)
    assert array.tolist() == list(range(10))
