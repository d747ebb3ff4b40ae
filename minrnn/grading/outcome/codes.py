"""The codes of all causes and remarks, with their text in plain words. No detection: that is for the judge.

A code is part of the interface: it is never renamed, only added. The texts are data (texts/GROUP.toml), so that an
instructor can read and improve them without reading the program.
"""

import difflib
import tomllib
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Code:
    """One cause: what can be seen, why it happens, how to repair it. `group` is the name of its file in texts/."""

    code: str
    group: str
    what: str
    why: str
    repair: str


def _read() -> dict[str, Code]:
    codes: dict[str, Code] = {}
    folder = resources.files("minrnn.grading.outcome") / "texts"
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        group = file.name.removesuffix(".toml")
        for code, text in tomllib.loads(file.read_text(encoding="utf-8")).items():
            if code in codes:
                raise ValueError(f"code {code!r} is in texts/{group}.toml and in texts/{codes[code].group}.toml")
            codes[code] = Code(code, group, **text)
    return codes


CODES = _read()


def explain(code: str) -> str:
    """Return the text of a code, four lines for people.

    Raises:
        ValueError: there is no such code; the message names those that look like it.
    """
    if code not in CODES:
        near = difflib.get_close_matches(code, CODES, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "list all codes to see their names"
        raise ValueError(f"there is no code {code!r}; {hint}")
    entry = CODES[code]
    return f"{code} ({entry.group})\n  What:   {entry.what}\n  Why:    {entry.why}\n  Repair: {entry.repair}\n"
