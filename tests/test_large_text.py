"""scripts/large_text: the table is about the texts that it says; sizes here are tiny and nothing is judged by time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "large_text"


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="needs wait4")
@pytest.mark.parametrize(("distinct", "id_bytes"), [(100, 1), (300, 2)])
def test_table_of_two_sizes_and_nothing_left_behind(tmp_path, distinct, id_bytes):
    flags = f"--megabytes 0.02 0.1 --distinct {distinct} --steps 4 --rounds 1 --folder {tmp_path}".split()
    train = ["--seq", "5", "--batch", "4", "--hidden", "8", "--eval-chars", "40"]
    done = subprocess.run(
        [sys.executable, SCRIPT, *flags, "--", *train], capture_output=True, text=True, timeout=120, check=True
    )
    header, *rows = done.stdout.splitlines()
    assert len(header.split("  ")) > 8 and len(rows) == 2
    small, large = ([float(value.replace(",", "")) for value in row.split()] for row in rows)
    assert 0.02 <= small[0] < 0.05 and 0.1 <= large[0] < 0.2
    for _, characters, found, width, wall, cpu, speed, peak in (small, large):
        assert (found, width) == (distinct, id_bytes)
        assert characters > 5000 and wall >= 0 and cpu >= 0 and speed > 0 and 20 < peak < 1000
    assert not list(tmp_path.iterdir())
