"""Slips that are not of one line: lines in another order, names exchanged in the whole backward, blocks, starts."""

import re
from collections.abc import Iterable, Iterator

from minrnn.grading.slips.edits import Edit, Scope, edits, names_in
from minrnn.grading.slips.program import Line, Patch, Program
from minrnn.grading.slips.scope import Change, known_at

START = r"[dD](W[xhy]|b|by|bhn)(_\w)? = zeros\(\w+\)"


def of_several_lines(program: Program, like: dict[str, list[str]]) -> Iterator[Change]:
    """All of them."""
    yield from _inlined(program)
    yield from _out_of_place(program)
    yield from _in_order(program, like)
    yield from _renamed(program, like)


def _inlined(program: Program) -> Iterator[Change]:
    """What can go wrong where the input of a unit is written inside of its call: a bracket that closes too early."""
    before: dict[str, str] = {}
    for k, line in enumerate(program.lines):
        inner = re.fullmatch(r"(?:tanh|sigmoid)\((a(?:_\w)?)\)", line.expression)
        if line.own and inner and inner[1] in before:
            whole = re.sub(rf"\b{inner[1]}\b", before[inner[1]], line.expression)
            for edit in edits(whole, Scope({})):
                if edit.kind == "bracket":
                    yield Change(((k, f"{line.store} = {edit.text}"),), edit)
        before[line.target] = line.expression


def _out_of_place(program: Program) -> Iterator[Change]:
    """Slips that are not of one expression: sums that start from something, states and blocks out of their place."""
    starts = [(k, line.target) for k, line in enumerate(program.lines) if re.fullmatch(START, line.text)]
    for stem in ("Wx", "Wh", "Wy", "b", "by", "bhn", r"(W[xhy]|b|by|bhn)"):
        some = [(k, name) for k, name in starts if re.fullmatch(rf"[dD]{stem}(_\w)?", name)]
        if some:
            patch = tuple((k, f"{name} = {name[1:]}.copy()") for k, name in some)
            yield Change(patch, Edit("start", "zeros", "the weights", ""))
    for k, line in enumerate(program.lines):
        if line.own and line.text.startswith("recall"):
            for name in program.kept:
                for step, said in (("T - 1", "last"), ("0", "first")):
                    text = f"{line.text}; {name} = caches[{step}]['{name}']"
                    yield Change(((k, text),), Edit("stale", name, said, ""))
        if line.own and line.target in ("a_g", "da_g"):
            blocks = ", ".join(f"{line.target[:-1]}{gate}" for gate in "ifog")
            yield Change(((k, f"{line.text}; {blocks} = interleaved({blocks})"),), Edit("interleaved", "", "", ""))


def _in_order(program: Program, like: dict[str, list[str]]) -> Iterator[Change]:
    """Two lines exchanged; the right sides of two lines exchanged."""
    lines = program.lines
    for k in range(len(lines) - 1):
        for j in range(k + 1, min(k + 4, len(lines))):
            a, b = lines[k], lines[j]
            if a.own and b.own and a.target and b.target and a.deep == b.deep and a.backward == b.backward:
                moved = tuple((n, lines[n - 1].text) for n in range(k + 1, j + 1))
                yield Change(((k, b.text), *moved), Edit("order", a.text, b.text, ""))
    for k, a in enumerate(lines):
        for j in range(k + 1, len(lines)):
            b = lines[j]
            same = a.own and b.own and a.deep == b.deep and a.backward == b.backward and a.expression and b.expression
            if same and b.target in like.get(a.target, ()) and "lambda" not in a.text:
                patch = ((k, f"{a.store} = {b.expression}"), (j, f"{b.store} = {a.expression}"))
                yield Change(patch, Edit("exchanged", a.target, b.target, a.expression))


def _renamed(program: Program, like: dict[str, list[str]]) -> Iterator[Change]:
    """A name that stands for another one in the whole backward, or two exchanged there: out of the cache, or in it."""
    back = [(k, line) for k, line in enumerate(program.lines) if line.backward and line.own and line.expression]
    used = {name for _, line in back for name in names_in(line.expression)}
    kept = [name for name in like if not name.startswith("d") and not name[0].isupper()]
    for p in kept:
        for q in like[p]:
            if p not in used or q not in kept:
                continue
            yield Change(_replaced(back, {p: q}), Edit("renamed", p, q, ""))
            if p < q or q not in used:
                yield Change(_replaced(back, {p: q, q: p}), Edit("names exchanged", p, q, ""))
    # what the step has made of the incoming gradients, in all that follows
    made = [line.target for _, line in back if line.target.startswith("d")]
    for p in ("dh", "dc", "da", "dq", "dc_next", *(n for n in made if re.match(r"da_\w$", n))):
        uses = [(k, line) for k, line in back if p in names_in(line.expression)]
        known = known_at(program, uses[1][0], like).get(p, []) if len(uses) > 1 else []
        for q in known:
            yield Change(_replaced(uses, {p: q}), Edit("renamed", p, q, ""))


def _replaced(lines: Iterable[tuple[int, Line]], names: dict[str, str]) -> Patch:
    found = []
    for k, line in lines:
        new = re.sub(r"\b\w+\b", lambda m: names.get(m[0], m[0]), line.expression)
        if new != line.expression:
            found.append((k, f"{line.store} = {new}"))
    return tuple(found)
