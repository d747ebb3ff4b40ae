"""The door: what is read from files, folders and zips, and what is refused before it is looked at."""

import hashlib
import os
import stat
import zipfile

import pytest

from minrnn.grading.loading import archive
from minrnn.grading.loading.archive import Unreadable, read


@pytest.fixture
def zipped(tmp_path):
    """zipped({name or ZipInfo: text}) → path of the zip."""

    def write(members, compression=zipfile.ZIP_DEFLATED):
        path = tmp_path / "work.zip"
        with zipfile.ZipFile(path, "w", compression) as file:
            for name, text in members.items():
                file.writestr(name, text)
        return path

    return write


def test_a_file_is_read_with_its_hash(tmp_path):
    path = tmp_path / "work.py"
    path.write_bytes(b"x = 1\r\n")
    files = read(path)
    assert (files.kind, files.members) == ("py", {"work.py": b"x = 1\r\n"})
    assert files.sha256 == hashlib.sha256(b"x = 1\r\n").hexdigest()


@pytest.mark.parametrize("name", ["work.txt", "work", "work.pyc"])
def test_other_kinds_are_refused(tmp_path, name):
    (tmp_path / name).write_text("x = 1")
    with pytest.raises(Unreadable, match="no submission"):
        read(tmp_path / name)


def test_nothing_there_is_refused(tmp_path):
    with pytest.raises(Unreadable, match="No such file"):
        read(tmp_path / "none.py")


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "secret").write_text("x = 1")
    link = tmp_path / "work.py"
    link.symlink_to(tmp_path / "secret")
    with pytest.raises(Unreadable, match="is a link"):
        read(link)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "own.py").write_text("y = 2")
    (folder / "file.py").symlink_to(tmp_path / "secret")
    (folder / "whole").symlink_to(tmp_path, target_is_directory=True)
    files = read(folder)
    assert list(files.members) == ["own.py"]
    assert files.skipped == ["file.py: a link or no file"]


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="no such flag on this system")
def test_a_link_put_in_the_place_of_a_file_after_the_check_is_not_followed(tmp_path):
    (tmp_path / "secret").write_text("x = 1")
    (tmp_path / "work.py").symlink_to(tmp_path / "secret")
    with pytest.raises(Unreadable, match="cannot be read"):
        archive._bytes(tmp_path / "work.py", 100)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
@pytest.mark.parametrize("place", ["work.py", "folder/work.py"])
def test_a_pipe_is_not_waited_for(tmp_path, place):
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)
    if place == "work.py":
        with pytest.raises(Unreadable, match="neither a file nor a folder"):
            read(path)
    else:
        assert read(path.parent).members == {}


def test_a_large_file_is_refused(tmp_path):
    path = tmp_path / "work.py"
    path.write_bytes(b"#" * archive.MAX_PY)
    assert read(path).kind == "py"
    path.write_bytes(b"#" * (archive.MAX_PY + 1))
    with pytest.raises(Unreadable, match="more than 512 KiB"):
        read(path)


def test_a_folder_is_read_without_what_tools_leave_there(tmp_path):
    for name in (
        "a.py",
        "pkg/b.ipynb",
        "data.csv",
        ".ipynb_checkpoints/b.ipynb",
        "__pycache__/c.py",
        "__MACOSX/._a.py",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert sorted(read(tmp_path).members) == ["a.py", "pkg/b.ipynb"]


def test_the_hash_of_a_folder_knows_names_and_contents(tmp_path):
    hashes = set()
    for k, members in enumerate([{"a.py": "1"}, {"b.py": "1"}, {"a.py": "b.py1"}, {"a.py": "", "b.py": "1"}]):
        folder = tmp_path / str(k)
        folder.mkdir()
        for name, text in members.items():
            (folder / name).write_text(text)
        hashes.add(read(folder).sha256)
    assert len(hashes) == 4


def test_a_zip_gives_its_code(zipped):
    files = read(zipped({"hw/a.py": "x = 1", "hw/data.bin": "y", "__MACOSX/hw/._a.py": "z"}))
    assert (files.kind, files.members) == ("zip", {"hw/a.py": b"x = 1"})


@pytest.mark.parametrize(
    "name", ["../a.py", "x/../../a.py", "/etc/a.py", "C:/a.py", "..\\a.py", "\\a.py", "../data.bin"]
)
def test_paths_out_of_a_zip_are_refused(zipped, name):
    with pytest.raises(Unreadable, match="only paths inside"):
        read(zipped({"b.py": "x", name: "x"}))


def test_a_link_in_a_zip_is_refused(zipped):
    info = zipfile.ZipInfo("a.py")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(Unreadable, match="has a link"):
        read(zipped({info: "/etc/passwd"}))


def test_a_zip_bomb_is_not_unfolded(zipped):
    path = zipped({"a.py": b"\0" * (archive.MAX_PY + 1)})
    assert path.stat().st_size < 5000
    with pytest.raises(Unreadable, match=r"a\.py in .* more than 512 KiB"):
        read(path)
    assert read(zipped({"bomb.bin": b"\0" * (1 << 25), "a.py": "x"})).members == {"a.py": b"x"}


def test_a_zip_that_lies_about_sizes_is_not_believed(zipped):
    path = zipped({"a.py": b"\0" * (archive.MAX_PY + 1)})
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = content.index(signature) + offset
        content[at : at + 4] = (10).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(Unreadable):
        read(path)


def test_too_many_members_are_refused(zipped, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
    with pytest.raises(Unreadable, match="more than 3 members"):
        read(zipped({f"{k}.txt": "" for k in range(4)}))


def test_a_folder_with_a_zip_alone_is_that_zip(zipped, tmp_path):
    content = zipped({"work.py": "x = 1"}).read_bytes()
    folder = tmp_path / "student"
    folder.mkdir()
    (folder / "notes.txt").touch()
    (folder / "hw.ZIP").write_bytes(content)
    assert read(folder).members == {"work.py": b"x = 1"}
    (folder / "own.py").write_text("y = 2")
    assert list(read(folder).members) == ["own.py"], "there is code beside it"
    (folder / "own.py").unlink()
    (folder / "second.zip").write_bytes(content)
    assert read(folder).members == {}, "which of them is unclear"


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
    for k in range(4):
        (tmp_path / f"{k}.txt").touch()
    with pytest.raises(Unreadable, match="more than 3 files"):
        read(tmp_path)


def test_too_much_code_is_refused(zipped, monkeypatch):
    monkeypatch.setattr(archive, "MAX_TOTAL", 25)
    with pytest.raises(Unreadable, match="of code"):
        read(zipped({f"{k}.py": "x" * 10 for k in range(3)}))


def test_broken_and_encrypted_zips_are_refused(zipped, tmp_path):
    path = tmp_path / "no.zip"
    path.write_bytes(b"PK\x03\x04 and nothing else")
    with pytest.raises(Unreadable, match="no zip that can be read"):
        read(path)
    path = zipped({"a.py": "x = 1"})
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(Unreadable, match="encrypted"):
        read(path)


def test_a_corrupt_member_is_refused(zipped):
    path = zipped({"a.py": "x = 1\n" * 1000}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[content.index(b"x = 1")] = ord("y")
    path.write_bytes(content)
    with pytest.raises(Unreadable, match="CRC"):
        read(path)
