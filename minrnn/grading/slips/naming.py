"""The codes of a slip: by its kind, by what the changed line computes, by what was there and what is there now.

The first code is the name; further ones are fair names of the same numbers. Where no code is fair the answer is
("unknown-cause",), and the equation is told instead.
"""

import re
from collections.abc import Callable

from minrnn.grading.slips import misnamed, misplaced
from minrnn.grading.slips.edits import Edit, names_in
from minrnn.grading.slips.roles import COPIED, GRADIENTS, SIGN, SLOPE, STATES, TWICE, UNKNOWN, Codes, Place, role


def codes_of(edit: Edit, target: str, cell: str, backward: bool) -> Codes:
    """The codes of a slip of the line that makes `target`, in a program of this cell or family."""
    return BY_KIND[edit.kind](edit, Place(target, cell, backward))


def _factor_left_out(e: Edit, at: Place) -> Codes:
    gone = names_in(e.right.removeprefix("/ "))
    roles = {role(name) for name in gone}
    if "mask" in gone:
        return ("mask-ignored",)
    if at.update or "count" in gone:
        return _without_rate(e, gone, at)
    if at.target == "sigmoid":
        return ("nonlinearity-wrong",)
    if roles & set(GRADIENTS) and at.backward:
        return ("upstream-ignored",)
    if at.target == "from_h":
        return ("tanh-derivative-missing",)
    if at.slope:
        whole = "*" in e.right or ("1 -" in e.right and at.gate in ("g", "n", ""))
        return at.missing_derivative() if whole else SLOPE
    if at.target == "dtc":
        return ("cell-path-without-output-gate", "gate-not-applied")
    if at.target in ("y", "p"):  # not normalised
        return ("nonlinearity-wrong", "softmax-wrong-axis")
    if roles & {"previous"} and not at.backward:
        return ("state-not-carried",)
    return ("gate-not-applied",) if roles & {"gate", *STATES} or "q" in gone else UNKNOWN


def _without_rate(e: Edit, gone: list[str], at: Place) -> Codes:
    if gone == ["lr"]:
        return ("constant-factor",)
    if at.target in ("m_hat", "v_hat") and e.right.startswith("/"):
        return ("adam-no-bias-correction",)
    if "count" in gone:
        return ("sum-instead-of-mean", "constant-factor")
    return UNKNOWN


def _term_left_out(e: Edit, at: Place) -> Codes:
    gone = names_in(e.right)
    roles = {role(name) for name in gone}
    if at.target == "t_new":
        return ("adam-step-counter",)
    if at.update:
        states = {"v", "m", "cache"} & set(gone)
        if {"dw", "m_hat"} & set(gone):
            return ("upstream-ignored",)
        return ("state-not-carried",) if states and at.target != "w_new" else UNKNOWN
    if "one_hot" in gone:
        return ("softmax-target-not-subtracted",)
    if at.target.startswith("D") or (at.target in gone and at.role == "share"):
        return ("gradient-not-accumulated",) if at.target in gone else TWICE
    if roles == {"bias"}:
        return ("bias-missing",)
    if at.target in ("dh", "dc_next") or at.target[0] == "G":
        if "carry" in roles or f"{at.target[1:]}_prev" in e.right:
            return at.missing_carry()
        return UNKNOWN if f"{at.target}[t]" in e.text else ("upstream-ignored",)  # that of another step is there
    if at.target == "dc":
        return ("cell-gradient-incomplete",)
    if at.target in ("dx", "dh_prev"):
        lost = ("gru-gradient-incomplete", "gate-not-applied") if at.gru else ("gate-not-applied",)
        return (*lost, "gradient-not-accumulated") if e.right.count("+") > 1 else lost
    if at.target == "d_z":
        return ("gru-gradient-incomplete",)
    if not at.backward and "previous" in roles and "input" not in roles and at.role in ("pre", "state", ""):
        return ("state-not-carried", *(("gate-not-applied",) if at.role == "state" else ()))
    if at.target in ("c", "h"):
        return ("gate-not-applied",)
    return UNKNOWN


def _doubled(e: Edit, at: Place) -> Codes:
    if e.kind == "factor doubled":
        twice = re.match(r"(d\w*) \* \1\b", e.wrong)  # the gradient, and not its factor
        return SLOPE if at.slope and not twice else UNKNOWN
    if at.backward and (at.role in GRADIENTS or at.product or at.target in ("dX", "dscores")):
        return TWICE
    return ("constant-factor",) if at.target in ("loss", "w_new") and e.kind == "whole doubled" else UNKNOWN


def _complement(e: Edit, at: Place) -> Codes:
    if at.slope:
        return (*SLOPE, "sign-flipped") if e.wrong.endswith("- 1") else SLOPE
    if at.target == "sigmoid":
        return ("nonlinearity-wrong",)
    if at.gru and {e.right, e.wrong} == {"s_z", "1 - s_z"}:
        return ("gru-interpolation-flipped",)
    if at.update:
        return ("decay-complement",) if e.wrong.isidentifier() and at.target not in ("m_hat", "v_hat") else UNKNOWN
    return SIGN if e.wrong.endswith("- 1") else UNKNOWN


def _power(e: Edit, at: Place) -> Codes:
    if at.slope:
        return SLOPE if {role(name) for name in names_in(e.right)} - set(GRADIENTS) else UNKNOWN
    if at.update and "beta" in e.right and "t_new" in e.right:
        return ("adam-beta-without-power",) if "**" not in e.wrong and "*" not in e.wrong else UNKNOWN
    if at.update and e.right == "dw ** 2" and e.wrong in ("dw", "dw * 2"):
        return ("square-missing",)
    return UNKNOWN


def _function(e: Edit, at: Place) -> Codes:
    if at.update:
        return ("root-missing",) if e.right == "sqrt" else UNKNOWN
    if at.backward:
        if e.wrong.count("tanh") and ((at.slope and at.gate in ("g", "n", "")) or e.right == "tc"):
            return ("tanh-applied-twice", *SLOPE) if at.slope else ("tanh-applied-twice",)
        return SLOPE if at.slope else UNKNOWN
    if e.kind == "function left out":
        if at.target == "tc":
            return ("cell-tanh-missing", "nonlinearity-missing")
        return ("nonlinearity-missing",)
    return ("nonlinearity-wrong",) if re.search("tanh|sigmoid|relu", e.wrong) else UNKNOWN


def _argument(e: Edit, at: Place) -> Codes:
    if at.update:
        return UNKNOWN
    flipped = ("gru-interpolation-flipped",) if at.gru and at.gate == "z" else ()
    return (*flipped, "nonlinearity-wrong", "sign-flipped") if not at.backward else UNKNOWN


def _bracket(e: Edit, at: Place) -> Codes:
    if at.slope:
        return (*SLOPE, "derivative-precedence") if e.wrong.endswith("** 2") else ("derivative-precedence",)
    if at.backward:
        return ("derivative-precedence",) if at.target == "dc" else UNKNOWN
    if at.gru and at.target in ("a_n", "q"):
        return ("gru-reset-placement",)
    return UNKNOWN


def _axis(e: Edit, at: Place) -> Codes:
    if at.target in ("y", "ey", "m", "e", "p"):
        return ("softmax-wrong-axis",)
    if at.role == "share" or at.target == "db":
        if "None" in e.wrong:
            return ("bias-gradient-scalar",)
        over_time = ("gradient-not-accumulated",) if at.cell == "temporal_affine" else ()
        return ("bias-gradient-wrong-axis", *over_time)
    return UNKNOWN


def _divided(e: Edit, at: Place) -> Codes:
    gradient = at.role in GRADIENTS or at.target in ("dx", "dw", "dX", "dscores", "loss")
    return ("mean-instead-of-sum",) if gradient else UNKNOWN


def _sign(e: Edit, at: Place) -> Codes:
    if at.target == "sigmoid":
        return ("nonlinearity-wrong", "sign-flipped")
    if "one_hot" in e.right:
        return ("sign-flipped", "softmax-target-not-subtracted")
    if at.slope and "1" in e.right and e.kind != "negated":
        return (*SLOPE, "sign-flipped")
    return SIGN


def _operator(e: Edit, at: Place) -> Codes:
    if "@" in e.right and "@" not in e.wrong:
        return ("elementwise-for-matmul",)
    if at.target in ("m_hat", "v_hat") and "*" in e.wrong:
        return ("adam-correction-multiplied",)
    return UNKNOWN


BY_KIND: dict[str, Callable[[Edit, Place], Codes]] = {
    "name": misnamed.name,
    "name in square": misnamed.in_square,
    "factor left out": _factor_left_out,
    "term left out": _term_left_out,
    "factor doubled": _doubled,
    "term replaced": _term_left_out,
    "term doubled": _doubled,
    "whole doubled": _doubled,
    "complement": _complement,
    "power": _power,
    "function": _function,
    "function left out": _function,
    "argument": _argument,
    "bracket": _bracket,
    "axis": _axis,
    "index": misplaced.index,
    "stored": misplaced.stored,
    "added": misplaced.stored,
    "subtracted": misplaced.stored,
    "guard": misplaced.line,
    "line left out": misplaced.line,
    "whole": misplaced.zero,
    "assigned": misnamed.assigned,
    "target": lambda e, at: COPIED,
    "start": lambda e, at: UNKNOWN,
    "stale": misplaced.stale,
    "interleaved": lambda e, at: ("gate-order-swapped", "wrong-flatten"),
    "exchange": misplaced.exchange,
    "exchanged": misplaced.exchanged,
    "renamed": misnamed.renamed,
    "names exchanged": misnamed.names_exchanged,
    "order": misplaced.order,
    "loop": misplaced.loop,
    "divided": _divided,
    "mean": _divided,
    "sign": _sign,
    "negated": _sign,
    "operator": _operator,
    "transpose": lambda e, at: ("missing-transpose",),
}
