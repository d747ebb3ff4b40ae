"""Reading files: exact characters, and one clear sentence for everything that is not text."""

import codecs
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minrnn.text import TextError, read_blocks, read_text


@pytest.fixture
def write(tmp_path):
    def write(name, data):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def test_every_byte_counts_line_ends_included(write):
    assert read_text(write("a.txt", "é\r\n\n\r\x00字".encode())) == "é\r\n\n\r\x00字"


def test_a_byte_order_mark_is_dropped_at_the_start_only(write):
    assert read_text(write("a.txt", b"\xef\xbb\xbfa\xef\xbb\xbfb")) == "a\ufeffb"


def test_files_are_joined_in_the_given_order(write):
    one, two = write("z.txt", b"\xef\xbb\xbfone\n"), write("a.txt", b"\xef\xbb\xbftwo")
    assert read_text([one, two]) == "one\ntwo"
    assert read_text([str(two), one]) == "twoone\n"
    assert read_text(str(one)) == read_text([one]) == "one\n"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_bytes_that_are_not_utf8_are_named_with_their_offset(write, mark):
    path = write("latin1.txt", mark + "naïf\ncaf".encode() + b"\xe9 latin")
    with pytest.raises(TextError) as caught:
        read_text(path)
    offset = len(mark) + 9
    assert f"{path} is not UTF-8: byte 0xE9 at offset {offset} (line 2)" in str(caught.value)
    assert path.read_bytes()[offset] == 0xE9


def test_encoded_surrogates_are_not_utf8(write):
    with pytest.raises(TextError, match="0xED at offset 1 "):
        read_text(write("a.txt", b"a\xed\xa0\x80"))


def test_missing_folder_and_empty_are_told_apart(write, tmp_path):
    with pytest.raises(TextError, match=r"nowhere\.txt does not exist"):
        read_text(tmp_path / "nowhere.txt")
    with pytest.raises(TextError, match="is a folder"):
        read_text(tmp_path)
    for data in (b"", b"\xef\xbb\xbf"):
        with pytest.raises(TextError, match=r"empty\.txt is empty"):
            read_text([write("full.txt", b"a"), write("empty.txt", data)])
    with pytest.raises(TextError, match="name at least one"):
        read_text([])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user")
def test_an_unreadable_file_says_why(write):
    path = write("secret.txt", b"a")
    path.chmod(0)
    with pytest.raises(TextError, match="cannot be read: Permission denied"):
        read_text(path)


def test_other_system_errors_are_text_errors_too(write):
    with pytest.raises(TextError, match="cannot be read: Not a directory"):
        read_text(write("file.txt", b"a") / "inside.txt")


# Blocks.


def outcome(read):
    try:
        return read()
    except TextError as error:
        return str(error)


def whole(path):
    """What a reader that has all bytes at once makes of them."""
    data = path.read_bytes()
    start = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
    if len(data) == start:
        return f"{path} is empty; a text needs at least one character"
    try:
        return data[start:].decode("utf-8")
    except UnicodeDecodeError as error:
        offset = start + error.start
        line = data.count(b"\n", 0, offset) + 1
        return (
            f"{path} is not UTF-8: byte 0x{data[offset]:02X} at offset {offset} (line {line}); "
            f"convert it first, for example with: iconv -f ENCODING -t UTF-8 {path}"
        )


pieces = st.sampled_from([b"a", b"\n", b"\r\n", "é".encode(), "字".encode(), "😀".encode(), codecs.BOM_UTF8])
damage = st.sampled_from([b"\xe9", b"\xed\xa0\x80", b"\xf0\x9f", b"\x80", b"\xc0\x80", b"\xef\xbb"])
files = st.lists(pieces | damage | pieces | pieces, max_size=12).map(b"".join)


@given(files, st.integers(1, 9))
def test_no_block_size_changes_the_text_or_the_place_of_an_error(tmp_path_factory, data, size):
    path = tmp_path_factory.getbasetemp() / "blocks.txt"
    path.write_bytes(data)
    assert outcome(lambda: "".join(read_blocks(path, size=size))) == whole(path)


def test_no_more_than_a_block_is_read_at_a_time(write):
    path = write("a.txt", b"0123456789" * 10)
    blocks = list(read_blocks([path, path], size=16))
    assert "".join(blocks) == "0123456789" * 20
    assert max(map(len, blocks)) <= 16 + 3  # what was read to look for a byte-order mark


def test_advance_counts_the_bytes_of_all_files(write):
    one, two = write("a.txt", codecs.BOM_UTF8 + "é".encode() * 20), write("b.txt", b"b" * 30)
    seen = []
    for block in read_blocks([two, one, two], lambda *numbers: seen.append(numbers), size=8):
        assert block
    assert seen[-1] == (103, 103) and {total for _, total in seen} == {103}
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_read_like_a_file_and_has_no_size(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    text = "é\r\n字" * 50_000
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(text.encode(),))
    writer.start()
    totals = set()
    assert "".join(read_blocks(tmp_path / "pipe", lambda _, total: totals.add(total))) == text
    writer.join()
    assert totals == {0}
