"""The sentence of a slip: the equation as it is computed, beside the right one. No codes: naming.py."""

import re
from collections.abc import Mapping

from minrnn.grading.slips.generate import Slip

HISTORIES = {
    "X": "x",
    "H": "h",
    "C": "c",
    "Y": "y",
    "dX": "dx",
    "dH": "dh",
    "dC": "dc",
    "Gh": "dh",
    "Gc": "dc",
    "Ph": "h_all",
    "Pc": "c_all",
}
CALLED = {"tc": "tanh(c)", "dc_next": "dc_next", "dtc": "dtanh_c", "dh": "dh", "zy": "scores", "hT": "h"}
OWN = (
    "x",
    "h",
    "c",
    "y",
    "h_prev",
    "c_prev",
    "Wx",
    "Wh",
    "b",
    "Wy",
    "by",
    "dx",
    "dh_prev",
    "dc_prev",
    "dWx",
    "dWh",
    "db",
)


def told(slip: Slip, names: Mapping[str, str]) -> str:
    """What is wrong, in the student's names for tensors where they are known."""
    side = f"{slip.side} pass" if slip.parts else "function"
    right, wrong = slip.lines[0]
    many = f", and {len(slip.lines) - 1} more lines in the same way" if len(slip.lines) > 1 else ""
    a, b = shown(slip.right, names), shown(slip.wrong, names)
    if slip.kind == "renamed":
        return f"The {side} uses {b} in the place of {a}."
    if slip.kind == "stale":
        return f"The {side} uses {a} of the {b} step at every step; it should be that of step t."
    if slip.kind == "start":
        return f"The sum for {shown(right.split(' ')[0], names)} starts from the weights{many}; it should start from 0."
    if slip.kind == "interleaved":
        return f"The {side} takes every fourth column for a gate; the columns of a gate stand side by side."
    if slip.kind == "names exchanged":
        return f"The {side} uses {a} and {b} in each other's place."
    if slip.kind == "order":
        return f"The {side} computes `{b}` before `{a}`; it should come after it."
    if slip.kind == "line left out":
        return f"The {side} leaves out `{shown(right, names)}`{many}."
    if slip.kind == "loop":
        return f"The loop of the {side} goes over {b}; it should go over {a}."
    if slip.kind == "exchanged":
        both = " and ".join(f"`{shown(line, names)}`" for _, line in slip.lines)
        should = " and ".join(f"`{shown(line, names)}`" for line, _ in slip.lines)
        return f"The {side} computes {both}; it should be {should}."
    return f"The {side} computes `{shown(wrong, names)}`; it should be `{shown(right, names)}`{many}."


def shown(text: str, names: Mapping[str, str]) -> str:
    """An equation in the names of the course: s_i is i, d_i is di, and histories have the name of their tensor."""
    text = text.replace("sigmoid = lambda a: ", "sigmoid(a) = ")
    text = re.sub(r"recall\(caches\[(.*?)\]\)", r"cache of step \1", text)
    return re.sub(r"\b[A-Za-z_]\w*\b", lambda found: _name(found[0], names), text)


def _name(name: str, names: Mapping[str, str]) -> str:
    name = HISTORIES.get(name, name)
    gate = re.fullmatch(r"s_(\w)", name)
    if gate:
        return gate[1]
    gradient = re.fullmatch(r"d_(\w)", name)
    if gradient:
        return f"d{gradient[1]}"
    total = re.fullmatch(r"D(W[xh]|b|bhn)((?:_\w)?)", name)
    if total:
        return f"{names.get('d' + total[1], 'd' + total[1])}{total[2]}" if not total[2] else f"d{total[1]}{total[2]}"
    return names.get(name, CALLED.get(name, name)) if name in OWN else CALLED.get(name, name)
