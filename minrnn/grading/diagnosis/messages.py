"""The sentence for a cause: what is wrong and in which place of this submission. Why and how to repair it: codes.py.

The text of a code is general; a bug knows the gate, the tensor, the vector. Its template is looked up in templates.py
by code and place, by code and detail, by code and side, by code; where there is none the general text is used.
"""

import re
from collections.abc import Mapping

from minrnn.grading.diagnosis.templates import TEMPLATES
from minrnn.grading.outcome.codes import CODES
from minrnn.grading.outcome.plain import listed
from minrnn.grading.reference import Bug
from minrnn.grading.slips.generate import Slip
from minrnn.grading.slips.words import told

WORDS: dict[str, dict[str, str]] = {  # what a detail is called; others are called as they are
    "form": {
        "sigmoid": "that of a sigmoid, s * (1 - s)",
        "tanh": "that of tanh, 1 - s²",
        "tanh(d)": "1 - tanh(d)² of the gradient d",
        "sigmoid twice": "sigmoid(s) * (1 - sigmoid(s))",
        "twice": "multiplied in twice, (1 - s²)²",
        "sigmoid's twice": "multiplied in twice, (s * (1 - s))²",
        "s(1+s)": "s * (1 + s)",
        "s(1-s²)": "s * (1 - s²)",
        "a(1-a)": "a * (1 - a) of the input a of the unit",
        "1-a²": "1 - a² of the input a of the unit",
        "d s - s": "d * s - s",
        "1 - s² d": "1 - s² * d",
        "s - s d": "s - s * d",
    },
    "vector": {
        "last": "the state after the last step",
        "first": "the state after the first step",
        "final": "the state after the last step, at every step",
        "next": "the state after it",
        "before last": "the state before the last step",
        "start": "the initial state, at every step",
        "two before": "the state one step too early",
        "zeros": "zeros",
        "h": "<h>",
        "c": "<c>",
        "h_prev": "<h_prev>",
        "h0": "the initial state",
        "n": "n",
        "q without bias": "its matrix product without the bias",
    },
    "value": {
        "zeros": "zero",
        "one step early": "the one that step 1 returns",
        "step T-1": "the one that the last step returns",
        "all steps": "a sum over all steps",
        "upstream": "the upstream gradient of step 0",
        "upstream too": "what the backward of step 0 returns plus the upstream gradient of step 0",
        "received": "the gradient that reaches step 0, before it goes through the step",
        "delta": "the gradient dz of step 0, which an operation in place wrote into the upstream",
        "dc_next f": "<dc> * f",
        "from_h f": "dh * o * (1 - tanh(c)²) * f",
        "dc_next f + from_h": "a sum of which f multiplies only <dc>",
        "dc_next + from_h f": "a sum of which f multiplies only the part that comes from <h>",
    },
    "returned": {"da": "dz, the gradient before the matrix product,", "dh": "the upstream gradient"},
    "step": {"first": "the share of step 0", "last": "the share of the last step"},
    "kind": {
        "none": "nothing is clipped",
        "upper": "only values above the limit are cut",
        "lower": "only values below the negative limit are cut",
        "norm": "by norm; it should be by value",
        "norm of each": "by the norm of each parameter; it should be by value",
        "value": "by value; it should be by norm",
        "always": "the factor is applied below the limit too",
        "L1": "the norm adds up absolute values; it should add up squares and take the root",
        "norm of one": "the norm is that of one parameter only",
        "from zero": "negative values are cut to zero",
        "zeroed": "values above the limit become zero",
    },
    "lost": {"dc": "<dc>, the gradient from step t+1", "dh": "<h>", "n": "n", "h": "h_prev"},
    "on": {"dc": "step t+1", "dh": "<h>"},
    "factor on": {"dc": "step t+1", "dh": "<h>"},
    "incoming": {"dh": "dh", "dc": "dc", "dc_next": "<dc>"},
    "paths": {
        "k": "the direct path, which multiplies the gradient of <h> by the share of the old state",
        "rz": "what comes through the gates r and z",
        "rzn": "what comes through the recurrent weights",
        "n": "what comes through n",
    },
    "by": {
        "N": "the number of examples",
        "T": "the number of steps",
        "NT": "the number of examples and steps",
    },
    "reduction": {
        "mean": "the number of all positions",
        "mask": "the sum of the mask",
        "steps": "the number of steps",
        "batch": "the number of examples",
        "sum": "1, that is not at all",
    },
    "index": {
        "first step": "the index of the first step is used at every step",
        "first example": "the index of the first example is used for all",
        "other axis": "examples and steps are exchanged",
        "axes exchanged": "examples and steps are exchanged",
        "row 0": "row 0 is left out",
    },
    "slope": {"c": "the tanh of the cell"} | {gate: f"gate {gate}" for gate in "ifogrzn"},
    "where": {"carry": "step t+1", "upstream": "the upstream gradient"},
}
UNITS = {"h": "<h>", "c": "the tanh of the cell", "y": "the prediction"}
SLOPES = {"h": "1 - <h>²", "c": "1 - tanh(c)²", "g": "1 - g²", "n": "1 - n²"}
FLOWS = {"h": "the gradient of <h>", "c": "the gradient that goes from <h> to <c>"}
FACTORS = {"i": "g", "f": "<c_prev>", "o": "tanh(c)", "g": "i", "c": "o"}
PREVIOUS = {"f": "<c_prev>", "h": "the previous hidden state", "c": "the previous cell state"}
UNNAMED = {  # what a canonical tensor is called where the course has no name for it
    "dc": "dc_next",
    "dh_prev": "the gradient of the previous state",
    "dc_prev": "the gradient of the previous cell state",
}
LETTERS = set("ifogrznhcy")


def sentence(bug: Bug, names: Mapping[str, str]) -> str:
    """What is wrong, with the tensors called as in `names`."""
    if isinstance(bug, Slip):
        return told(bug, names)
    template = next((TEMPLATES[key] for key in _keys(bug) if key in TEMPLATES), None)
    if template is None:
        return CODES[bug.code].what if bug.code in CODES else f"{bug.code}."
    text = template.format_map(_fields(bug, names))
    text = re.sub(r"<(\w+)>", lambda found: names.get(found[1], UNNAMED.get(found[1], found[1])), text)
    text = " ".join(text.replace("()", "").split()).replace(" .", ".")
    return text[:1].upper() + text[1:] if text.startswith(("the ", "gate ", "all ")) else text


def _keys(bug: Bug) -> list[str]:
    """Where a template is looked up, the most special first."""
    code, where = bug.code, bug.where
    first = where.split(" ")[0]
    keys = [f"{code}{place}+{key}" for place in (f":{where}", f"~{first}") for key in bug.detail]
    keys += [f"{code}:{where}", *(f"{code}+{key}" for key in bug.detail), f"{code}~{first}"]
    if where[:1] == "d":
        keys.append(f"{code}@tensor")
    elif where and set(where) <= LETTERS - set("hcy"):
        keys.append(f"{code}@gate")
    if bug.side == "forward":  # what is said of a gate or a state there is about the backward pass
        own = [*(f"{code}+{key} forward" for key in bug.detail), f"{code}:{where} forward"]
        keys = [*own, *([f"{code}~weights"] if where == "weights" else [f"{code} forward"]), *keys]
    return [*keys, f"{code} {bug.side}", code]


class _Fields(dict[str, object]):
    """A field that a bug has no value for is left empty."""

    def __missing__(self, key: str) -> str:
        return ""


def _fields(bug: Bug, names: Mapping[str, str]) -> _Fields:
    words = bug.where.split()
    gates = bool(bug.where) and set(bug.where) <= LETTERS
    details = {key: WORDS.get(key, {}).get(str(value), value) for key, value in bug.detail.items()}
    if bug.detail.get("index") == "shifted":
        details["index"] = f"the index is shifted by {bug.detail['shift']:+d}"
    return _Fields(
        details | _of_place(bug, words, gates, names) | _of_gates(bug, gates) | _of_details(bug, details, names)
    )


def _of_place(bug: Bug, words: list[str], gates: bool, names: Mapping[str, str]) -> dict[str, object]:
    """What is said of the place, a tensor or several."""
    tensors = ["all gradients"] if words == ["all"] else [names.get(w, UNNAMED.get(w, w)) for w in words]
    many = len(words) > 1 or words == ["all"]
    return {
        "where": WORDS["where"].get(bug.where, listed(tensors)),
        "is": "are" if many else "is",
        "holds": "hold" if many else "holds",
        "itself": "themselves" if many else "itself",
        "signed": f"the gradient of {_units(bug.where)}" if gates else listed(tensors),
        "places": _units(bug.where) if gates else listed(tensors),
        "state": f"<{bug.where[-1:]}>",
        "states": listed(f"<{letter}>" for letter in bug.where) if gates else bug.where,
        "side": bug.side,
        "mask_in": "gradient" if bug.where == "dx" else "loss",
        "previous": PREVIOUS.get(bug.where, ""),
    }


def _of_gates(bug: Bug, gates: bool) -> dict[str, object]:
    """What is said of the gates or the unit of the place: their slopes, their factors."""
    letters = bug.where if gates else "h"
    tanh = set(letters) <= set(SLOPES)
    several = "1 - s², with s its output" if tanh else "s * (1 - s), with s its output"
    one = SLOPES.get(letters, f"{letters} * (1 - {letters})")
    functions = {"y": "softmax"} | dict.fromkeys(SLOPES, "tanh")
    return {
        "letters": listed(bug.where),
        "slope_of": one if len(letters) == 1 else several,
        "each": _units(letters) if len(letters) == 1 else "each of them",
        "flow": FLOWS.get(letters, "its gradient" if len(letters) == 1 else "the gradient of each"),
        "factor_of": FACTORS.get(letters, "its own factor"),
        "starts": "dh, the gradient of <h>" if letters == "o" else "dc, the gradient of <c>",
        "right": "d * (1 - s²)" if tanh else "d * s * (1 - s)",
        "function": functions.get(letters, "the sigmoid"),
        "gate_of_d": bug.where[1:],
    }


def _of_details(bug: Bug, details: Mapping[str, object], names: Mapping[str, str]) -> dict[str, object]:
    """What is said of the values of details."""
    value, factor, gate = str(bug.detail.get("value", "")), bug.detail.get("factor"), details.get("gate")
    rest = bug.detail.get("rest of")
    return {
        "other": f"1 - {rest}" if rest else details.get("whole", details.get("value", "")),
        "returned": WORDS["returned"].get(value, names.get(value, value)),
        "ones": value,
        "kind": WORDS["kind"].get(bug.where, details.get("kind", "another function")),
        "paths": WORDS["paths"].get(str(bug.detail.get("lost")), ""),
        "of": details.get("of", "the gradient of the weights"),
        "shown": "<c>; use <h>"
        if bug.detail.get("vector") == "c"
        else "the state before the step; use the one after it",
        "kept": listed(f"<{letter}>" for letter in str(bug.detail.get("states", ""))),
        "exchanged": _units("".join(k for k, j in _moved(bug) if k != j)),
        "block": f" in the block of gate {gate}" if gate else "",
        "times": "zero" if factor == 0 else f"{factor or 0:g} times the right one",
    }


def _moved(bug: Bug) -> list[tuple[str, str]]:
    """Each gate with the one that stands in its place."""
    return (
        list(zip(bug.detail["gates"], bug.detail["order"], strict=True))
        if "order" in bug.detail and "gates" in bug.detail
        else []
    )


def _units(letters: str) -> str:
    """'gate i', 'the gates i, f and o', 'the tanh of the cell'."""
    if len(letters) == 1:
        return UNITS.get(letters, f"gate {letters}")
    if letters == "gc":
        return "gate g and the tanh of the cell"
    return f"the gates {listed(letters)}"
