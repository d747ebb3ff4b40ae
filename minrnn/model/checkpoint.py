"""Checkpoint files: safetensors with a checksum, never pickle, never half-written.

A file holds named arrays, and in its `__metadata__` the three strings "format", "content" (JSON: everything that is not
an array) and "checksum" (of both). It is written beside its final place, flushed to the disk and then renamed, so that
at every moment the place holds a whole file: the old one or the new one.

What this is not: it does not know what the arrays mean. That is the business of the run that saves and restores them.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

FORMAT = "minrnn 1"


class CheckpointError(ValueError):
    """A checkpoint cannot be written or read; the message is one sentence with cause and fix."""


def save_checkpoint(path: str | Path, arrays: Mapping[str, np.ndarray], content: Mapping[str, Any]) -> None:
    """Write host `arrays` and the JSON-able `content` to `path`, replacing what was there in one step.

    Raises CheckpointError when the file cannot be written, for example because the disk is full; what stood at `path`
    before is then untouched.
    """
    path = Path(path)
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    text = json.dumps(content, allow_nan=False)
    metadata = {"format": FORMAT, "content": text, "checksum": _checksum(arrays, text)}
    data = safetensors.numpy.save(arrays, metadata)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        kept = "; the previous one is intact" if path.exists() else ""
        raise CheckpointError(f"cannot write the checkpoint {path}: {error.strerror or error}{kept}") from error


def load_checkpoint(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what save_checkpoint wrote: the arrays by name, and the content.

    Raises CheckpointError for a file that is missing, truncated, altered in any byte that matters, or foreign. The file
    is never changed.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}; check the name of the run")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except OSError as error:
        raise CheckpointError(f"the checkpoint {path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # a damaged header reaches us as one of many types, from two languages
        raise CheckpointError(f"{path} is truncated, damaged or not a safetensors file: {error}") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is a safetensors file but not a checkpoint of minrnn: its format is "
            f"{metadata.get('format')!r}, expected {FORMAT!r}"
        )
    text = metadata.get("content", "")
    if metadata.get("checksum") != _checksum(arrays, text):
        raise CheckpointError(f"{path} is damaged: its checksum does not match; restore it from a copy")
    return arrays, json.loads(text)


def _checksum(arrays: Mapping[str, np.ndarray], text: str) -> str:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16)
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode("utf-8", "surrogatepass"))
        digest.update(array.tobytes())
    return digest.hexdigest()
