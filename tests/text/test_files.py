"""Reading files: exact characters, and one clear sentence for everything that is not text."""

import os

import pytest

from minrnn.text import TextError, read_text


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
