"""Wheels of what is installed here, so that another machine can install the same without a network.

A wheel is a zip of a distribution's files with a list of their hashes; an installed distribution still has all of them.
What this is not: a build. Only what runs as it lies here can be packed, and it fits the same Python and platform alone.
"""

import base64
import csv
import hashlib
import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).parents[2]
PURE = "Wheel-Version: 1.0\nGenerator: minrnn\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
LEFT_OUT = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
EPOCH = (1980, 1, 1, 0, 0, 0)


def bundle() -> dict[str, bytes]:
    """Return wheels of minrnn and of all that it requires, by file name.

    Raises:
        ValueError: minrnn or something that it requires is not installed.
    """
    wheels = dict([_of_package()])
    for name in required("minrnn"):
        file, content = _of_installed(_distribution(name))
        wheels[file] = content
    return wheels


def required(name: str) -> list[str]:
    """Return the distributions that an installed one requires, without its extras, and theirs, by name."""
    found: dict[str, None] = {}
    waiting = [name]
    while waiting:
        for line in _distribution(waiting.pop()).requires or []:
            needed, _, marker = line.partition(";")
            match = re.match(r"[\w.-]+", needed.strip())
            if match and "extra" not in marker and _installed(match[0]) and match[0] not in found:
                found[match[0]] = None
                waiting.append(match[0])
    return list(found)


def _installed(name: str) -> bool:
    """Whether it is here; what a marker asks for on other machines is not."""
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _distribution(name: str) -> metadata.Distribution:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise ValueError(f"{name} is not installed, so it cannot be packed: python -m pip install {name}") from None


def _of_package() -> tuple[str, bytes]:
    """The package that runs, which need not be installed from a wheel, with what is on record of its distribution."""
    distribution = _distribution("minrnn")
    info = f"minrnn-{distribution.version}.dist-info"
    files = {
        path.relative_to(PACKAGE.parent).as_posix(): path.read_bytes()
        for path in sorted(PACKAGE.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    for name in ("METADATA", "entry_points.txt"):
        text = distribution.read_text(name)
        if text is not None:
            files[f"{info}/{name}"] = text.encode()
    files[f"{info}/WHEEL"] = PURE.encode()
    return f"minrnn-{distribution.version}-py3-none-any.whl", _packed(files, info)


def _of_installed(distribution: metadata.Distribution) -> tuple[str, bytes]:
    name = distribution.metadata["Name"]
    files = dict(_files(distribution))
    info = next(Path(path).parent.name for path in files if path.endswith(".dist-info/METADATA"))
    tags = re.findall(r"^Tag: (\S+)-(\S+)-(\S+)$", distribution.read_text("WHEEL") or "", re.MULTILINE)
    if not tags:
        raise ValueError(f"{name} was not installed from a wheel, so it cannot be packed: install it by pip")
    joined = "-".join(".".join(dict.fromkeys(part)) for part in zip(*tags, strict=True))
    escaped = re.sub(r"[-_.]+", "_", name)
    return f"{escaped}-{distribution.version}-{joined}.whl", _packed(files, info)


def _files(distribution: metadata.Distribution) -> Iterator[tuple[str, bytes]]:
    """The files that came in the wheel; scripts, which lie elsewhere, and what the installer added are not."""
    for file in distribution.files or []:
        inside = ".." not in file.parts and "__pycache__" not in file.parts
        added = file.parent.name.endswith(".dist-info") and file.name in LEFT_OUT
        if inside and not added:
            yield file.as_posix(), file.read_binary()


def _packed(files: Mapping[str, bytes], info: str) -> bytes:
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.writerow([path, f"sha256={digest}", len(content)])
    rows.writerow([f"{info}/RECORD", "", ""])
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, content in {**files, f"{info}/RECORD": record.getvalue().encode()}.items():
            member = zipfile.ZipInfo(path, EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            wheel.writestr(member, content)
    return archive.getvalue()
