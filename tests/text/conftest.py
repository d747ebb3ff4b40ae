"""Fixtures of the text tests."""

import os
from pathlib import Path

import pytest

from minrnn.text import read_text


@pytest.fixture
def public_corpus():
    """Return a function from a file name to the text of that public corpus; skips where it is not at hand."""

    def read(name):
        folder = os.environ.get("MINRNN_DATA")
        if folder is None or not (Path(folder) / name).is_file():
            pytest.skip(f"set MINRNN_DATA to a folder with {name} to run this")
        return read_text(Path(folder) / name)

    return read
