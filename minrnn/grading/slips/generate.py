"""Every single slip of the programs of a family: in one line, in lines that say the same, in the order of lines.

A slip is a Bug. Its numbers come from running the changed program; its code from naming.py.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from minrnn.grading.reference import Bug
from minrnn.grading.slips import naming
from minrnn.grading.slips.edits import Edit, Scope, edits, names_in
from minrnn.grading.slips.program import Line, Patch, Program
from minrnn.grading.slips.roles import UNKNOWN, role
from minrnn.grading.slips.scope import Change, Shapes, known_at, like_of
from minrnn.grading.slips.several import of_several_lines

INDICES = ("t - 1", "t + 1", "0", "-1", "T - 1 - t", "t - 2", "min(t + 1, T - 1)", "max(t - 1, 0)")
LOOPS = {
    "for t in range(T):": ("range(1, T)", "range(T - 1)", "reversed(range(T))"),
    "for t in reversed(range(T)):": ("reversed(range(1, T))", "reversed(range(T - 1))", "range(T)"),
}
GUARDS = ("t > 0", "t < T - 1", "t == 0", "t == T - 1")


@dataclass(frozen=True)
class Slip(Bug):
    """One slip: the changed lines of a program of its family. `kind`, `right` and `wrong` are those of the edit.

    `others` are further fair names of it; `lines` are the right lines with what stands in their place. `parts` says
    whether the function has a forward and a backward.
    """

    program: int = 0
    patch: Patch = ()
    others: tuple[str, ...] = ()
    lines: tuple[tuple[str, str], ...] = ()
    parts: bool = True
    kind: str = ""
    right: str = ""
    wrong: str = ""


def named(change: Change, family: str, program: Program, number: int) -> Slip:
    """The slip of a change of the program with this number."""
    line, edit = program.lines[change.patch[0][0]], change.edit
    codes = naming.codes_of(edit, line.target, family.replace("_step", "").replace("_sequence", ""), line.backward)
    lines = tuple((program.lines[k].text, text) for k, text in change.patch)
    if edit.kind == "name" and role(line.target) == "carry" and len(lines) > 1:
        codes = UNKNOWN  # each stands in the place of the other, and neither is missing
    stem, _, gate = line.target.rpartition("_")
    return Slip(
        codes[0],
        gate if stem and len(gate) == 1 else "",
        side="backward" if line.backward else "forward",
        program=number,
        patch=change.patch,
        others=codes[1:],
        lines=lines,
        parts=bool(re.search("step|sequence|affine", family)),
        kind=edit.kind,
        right=edit.right,
        wrong=edit.wrong,
    )


def changes(program: Program, shapes: Shapes) -> list[Change]:
    """Every slip of one program; `shapes` are those of the arrays that its names hold."""
    like = like_of(shapes)
    single: dict[int, list[Edit]] = {}
    found: list[Change] = []
    for k, line in enumerate(program.lines):
        if line.own:
            single[k] = _of_line(program, k, like)
            found += [Change(((k, edit.text),), edit) for edit in single[k]]
    found += _together(program, single)
    found += of_several_lines(program, like)
    return list({one.patch: one for one in reversed(found)}.values())[::-1]


def _of_line(program: Program, k: int, like: dict[str, list[str]]) -> list[Edit]:
    """The slips of one line, each with the whole new line."""
    line = program.lines[k]
    if line.text.startswith("for "):
        return [Edit("loop", line.text[9:-1], new, f"for t in {new}:") for new in LOOPS[line.text]]
    if not line.expression:
        return [Edit("index", "t", new, line.text.replace("[t]", f"[{new}]")) for new in INDICES if "[t]" in line.text]
    known = known_at(program, k, like)
    subscripted = set(re.findall(r"(\w+)\[t", line.expression))
    indices = dict.fromkeys(subscripted, INDICES)
    if line.expression.endswith("[1:]"):
        return [Edit("index", "[1:]", "[:-1]", line.text.replace("[1:]", "[:-1]"))]
    scope = Scope(known, {n for n in known if re.match(r"s_\w$|tc$|h$|c$|h_prev$|c_prev$", n)}, indices)
    found = [Edit(e.kind, e.right, e.wrong, f"{line.store} = {e.text}") for e in edits(line.expression, scope)]
    if "[t + 1]" in line.store:
        found += [
            Edit("stored", "t + 1", i, line.text.replace("[t + 1]", f"[{i}]", 1)) for i in ("t", "T - t", "0", "-1")
        ]
    if "[t]" in line.store:
        found += [Edit("stored", "t", i, f"{line.store.replace('[t]', f'[{i}]')} = {line.expression}") for i in INDICES]
        found.append(Edit("added", line.store, "+=", f"{line.store} = {line.store} + {line.expression}"))
        found.append(Edit("subtracted", line.store, "-=", f"{line.store} = {line.store} - {line.expression}"))
    elif line.target in known or (line.target.endswith("carry") and line.deep):
        found.append(Edit("added", line.store, "+=", f"{line.store} = {line.store} + {line.expression}"))
    if line.target[:1] == "D" and line.deep:  # a sum that begins with the first share, and not with zero
        share = line.expression.partition(" + ")[2]
        rest = f"{share} if t == T - 1 else {line.target} - {share}"
        found.append(Edit("sign", line.expression, rest, f"{line.store} = {rest}"))
    found += [Edit("whole", line.expression, new, f"{line.store} = {new}") for new in _constants(line, like)]
    if "lambda" not in line.text:
        of_shape = known.get(line.target, like.get(line.target, ()) if line.target.endswith(("carry", "prev")) else ())
        found += [Edit("assigned", line.expression, q, f"{line.store} = {q}") for q in of_shape]
    if re.match(r"D|d_\w$|da_\w$", line.target):
        found += [_at_another(line, other) for other in like.get(line.target, ()) if _alike(line.target, other)]
    if (
        line.deep
        and re.match(r".*_carry$|[hc](_prev)?$|[DG]|loss$|d(W[xhy]|b|by)$", line.target)
        and not _in_step(program, k)
    ):
        found += [Edit("guard", line.text, g, f"if {g}: {line.text}") for g in GUARDS]
    found.append(Edit("line left out", line.text, "", "pass"))
    return found


def _alike(a: str, b: str) -> bool:
    """Whether two names are the same of two gates."""
    return a[:-1] == b[:-1] and "_" in a


def _at_another(line: Line, other: str) -> Edit:
    """What a line makes is stored under the name of another gate, or added to it."""
    text = re.sub(rf"\b{line.target}\b", other, line.text) if line.target[0] == "D" else f"{other} = {line.expression}"
    return Edit("target", line.target, other, text)


def _in_step(program: Program, k: int) -> bool:
    """Whether a line belongs to the equations of the step and not to the loop."""
    line = program.lines[k]
    return not (re.search(r"_carry|\[t|^[hc]_prev = |^[DG]", line.text) or line.target in names_in(line.expression))


def _constants(line: Line, like: dict[str, list[str]]) -> list[str]:
    """Zeros in the place of what a line makes."""
    return [f"0.0 * ({line.expression})"] if line.target in like else []


def _groups(program: Program) -> Iterator[Sequence[int]]:
    """Lines that are written as one in other programs: of all gates, of one gate for x and h_prev, of all weights."""
    at: dict[str, int] = {line.target: k for k, line in enumerate(program.lines) if line.own and line.target}
    families: dict[str, list[int]] = defaultdict(list)
    for name, k in at.items():
        stem, _, gate = name.rpartition("_")
        if stem and len(gate) == 1:
            families[stem].append(k)
    for members in families.values():
        yield members
        if len(members) > 3:
            yield members[:3]
    for gate in ("", "_i", "_f", "_o", "_g", "_r", "_z", "_n"):
        yield [at[n] for n in (f"dWx{gate}", f"dWh{gate}") if n in at]
        yield [at[n] for n in (f"dWx{gate}", f"dWh{gate}", f"db{gate}") if n in at]
    for stems in (
        ("dWx", "dWh"),
        ("dWx", "dWh", "db"),
        ("DWx", "DWh"),
        ("DWx", "DWh", "Db"),
        ("dWx", "dWh", "dWy", "db", "dby"),
    ):
        yield [k for name, k in at.items() if name.split("_")[0] in stems and not name.endswith("_out")]
    yield [at[n] for n in ("dx", "dh_prev") if n in at]
    yield [k for name, k in at.items() if name.split("_")[0] in ("dWx", "dWh", "db", "dx", "dh_prev")]
    yield [at[n] for n in ("dh_carry", "dc_carry") if n in at]
    yield [at[n] for n in ("dh", "dc_next") if n in at]
    yield [at[n] for n in ("m_new", "v_new") if n in at]
    yield [at[n] for n in ("m_hat", "v_hat") if n in at]
    yield [at[n] for n in ("m_out", "v_out") if n in at]
    yield [k for name, k in at.items() if name.startswith("d") and name.endswith("_out")]


def _together(program: Program, single: dict[int, list[Edit]]) -> Iterator[Change]:
    """The same slip in several lines."""
    for group in _groups(program):
        if len(group) < 2:
            continue
        tables = [{_key(edit, program.lines[k]): edit for edit in single[k]} for k in group]
        for key, first in tables[0].items():
            if all(key in table for table in tables[1:]):
                chosen = [table[key] for table in tables]
                patch = tuple((k, edit.text) for k, edit in zip(group, chosen, strict=True))
                yield Change(patch, first)


def _key(edit: Edit, line: Line) -> tuple[str, str, str]:
    """The same for the same slip in lines of several gates or of several weights."""
    if edit.kind in ("negated", "divided", "whole doubled", "guard", "line left out", "mean", "added", "axis"):
        ending = edit.wrong[len(edit.right) + 2 :] if edit.kind == "divided" else ""
        if edit.kind in ("guard", "axis"):
            ending = edit.wrong if edit.kind == "guard" else edit.wrong.partition("axis")[2]
        return edit.kind, "", ending
    gate = line.target.rpartition("_")[2]
    general = [_general(text, gate, line.target) for text in (edit.right, edit.wrong)]
    return edit.kind, general[0], general[1]


def _general(text: str, gate: str, target: str) -> str:
    if len(gate) == 1:
        text = re.sub(rf"_{gate}\b", "_K", text)
    stem = re.sub(r"^[dD]", "", target.split("_", maxsplit=1)[0])
    if stem in ("m", "v"):
        text = re.sub(rf"\b{stem}\b|\b{stem}_", "S_" if f"{stem}_" in text else "S", text)
        text = text.replace("beta1", "beta").replace("beta2", "beta")
    if target in ("dh_carry", "dc_carry", "dh", "dc_next"):
        text = text.replace("dh_", "d?_").replace("dc_", "d?_").replace("dH", "d?").replace("dC", "d?")
    return re.sub(rf"\b([dD]){stem}(_K)?\b", r"\1W", text) if stem else text
