"""The files of a submission as bytes: one file, a folder or a zip, read with limits and never unpacked to disk.

What it is: the guard at the door. Links, paths that climb out, sizes that lie and files that are none are refused or
left out, before a byte of them is looked at.
What it is not: a reader of Python; of a folder or a zip only `.py` and `.ipynb` files are read, whatever they hold.
"""

import hashlib
import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

MAX_PY = 1 << 19  # bytes of a Python file
MAX_NOTEBOOK = 24 << 20  # bytes of a notebook, pictures in its outputs and all
MAX_ARCHIVE = 128 << 20  # bytes of a zip as it lies on the disk
MAX_TOTAL = 64 << 20  # bytes read from a folder or zip
MAX_MEMBERS = 5000  # names in a folder or zip
SUFFIXES = {".py": MAX_PY, ".ipynb": MAX_NOTEBOOK}

_ZIP_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,  # a compression that zipfile does not know
    RuntimeError,  # encrypted
    EOFError,
    OSError,
    ValueError,
)


class Unreadable(ValueError):
    """A submission cannot be read at all; the message is one sentence with cause and fix."""


@dataclass
class Files:
    """What was read: kind (`py`, `ipynb`, `dir`, `zip`), bytes by relative name, hash of all, and what was left out."""

    kind: str
    members: dict[str, bytes]
    sha256: str
    skipped: list[str] = field(default_factory=list)


def read(path: str | os.PathLike[str]) -> Files:
    """Return the files of a submission.

    Raises:
        Unreadable: nothing there, a link, a device, a name of another kind, too large, or a zip that is broken,
            encrypted or has members with paths out of it.
    """
    place = Path(path)
    try:
        mode = place.lstat().st_mode
    except OSError as error:
        raise Unreadable(f"{place} cannot be read ({error.strerror}): name a file, a folder or a zip") from error
    if stat.S_ISLNK(mode):
        raise Unreadable(f"{place} is a link: name what it points to")
    if stat.S_ISDIR(mode):
        return _read_folder(place)
    if not stat.S_ISREG(mode):
        raise Unreadable(f"{place} is neither a file nor a folder: name a file, a folder or a zip")
    suffix = place.suffix.lower()
    if suffix == ".zip":
        return _read_zip(place)
    if suffix not in SUFFIXES:
        raise Unreadable(f"{place} is no submission: a submission is a .py or .ipynb file, a folder or a zip")
    content = _bytes(place, SUFFIXES[suffix])
    return Files(suffix[1:], {place.name: content}, hashlib.sha256(content).hexdigest())


def _bytes(path: Path, limit: int) -> bytes:
    """Content of a regular file. No link is followed and no pipe waited for, should one have taken its place."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise Unreadable(f"{path} cannot be read ({error.strerror}): check its permissions") from error
    if len(content) > limit:
        raise Unreadable(f"{path} has more than {limit >> 10} KiB: hand in the code without data and pictures")
    return content


def _left_out(name: PurePosixPath) -> bool:
    """Whether a file is no part of the work: another kind, hidden, a copy that a tool made."""
    parts = name.parts
    hidden = any(part.startswith(".") or part in ("__MACOSX", "__pycache__", "site-packages") for part in parts)
    return hidden or name.suffix.lower() not in SUFFIXES


def _read_folder(folder: Path) -> Files:
    members: dict[str, bytes] = {}
    skipped: list[str] = []
    for count, (name, path) in enumerate(_walk(folder)):
        if count >= MAX_MEMBERS:
            raise Unreadable(f"{folder} has more than {MAX_MEMBERS} files: hand in the code alone")
        if _left_out(name):
            continue
        if not stat.S_ISREG(path.lstat().st_mode):
            skipped.append(f"{name}: a link or no file")
            continue
        _keep(members, str(name), _bytes(path, SUFFIXES[name.suffix.lower()]), folder)
    zips = [path for path in folder.glob("*.[zZ][iI][pP]") if path.is_file() and not path.is_symlink()]
    if not members and len(zips) == 1:  # as some platforms hand out what was uploaded
        return _read_zip(zips[0])
    digest = hashlib.sha256()
    for member in sorted(members):
        for part in (member.encode("utf-8", "surrogateescape"), members[member]):
            digest.update(len(part).to_bytes(8, "little") + part)
    return Files("dir", members, digest.hexdigest(), skipped)


def _walk(folder: Path) -> Iterator[tuple[PurePosixPath, Path]]:
    """Yield (relative name, path) of everything that is no folder, in one order on every machine; follow no link."""
    for base, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(base, name)
            yield PurePosixPath(path.relative_to(folder).as_posix()), path


def _keep(members: dict[str, bytes], name: str, content: bytes, where: Path) -> None:
    members[name] = content
    if sum(map(len, members.values())) > MAX_TOTAL:
        raise Unreadable(f"{where} holds more than {MAX_TOTAL >> 20} MiB of code: hand in the code without data")


def _read_zip(path: Path) -> Files:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if path.stat().st_size > MAX_ARCHIVE:
        raise Unreadable(f"{path} has more than {MAX_ARCHIVE >> 20} MiB: hand in the code without data")
    members: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if len(infos) > MAX_MEMBERS:
                raise Unreadable(f"{path} has more than {MAX_MEMBERS} members: hand in the code alone")
            for info in infos:
                _check_name(info, path)
            for info in sorted(infos, key=lambda info: info.filename):
                if not info.is_dir() and not _left_out(PurePosixPath(info.filename)):
                    _keep(members, info.filename, _member(archive, info, path), path)
    except Unreadable:
        raise
    except _ZIP_FAULTS as error:
        raise Unreadable(f"{path} is no zip that can be read ({error}): zip the files anew, unencrypted") from error
    return Files("zip", members, digest)


def _check_name(info: zipfile.ZipInfo, archive: Path) -> None:
    name = info.orig_filename
    parts = name.replace("\\", "/").split("/")
    outside = ".." in parts or name.startswith(("/", "\\")) or ":" in parts[0] or "\0" in name
    if outside:
        raise Unreadable(f"{archive} has a member with the path {name!r}: only paths inside the zip are read")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise Unreadable(f"{archive} has a link, {name!r}: put the file itself into the zip")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> bytes:
    """Content of a member; what the zip says of its size is not believed."""
    limit = SUFFIXES[PurePosixPath(info.filename).suffix.lower()]
    with archive.open(info) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise Unreadable(f"{info.filename} in {path} has more than {limit >> 10} KiB: hand in the code without data")
    return content
