"""The codes of slips in time and in order: indices, bounds, lines that are missing or in each other's place."""

from minrnn.grading.slips.edits import Edit, names_in
from minrnn.grading.slips.roles import ORDER, PREVIOUS, SIGN, STATES, TWICE, UNKNOWN, Codes, Place, role


def index(e: Edit, at: Place) -> Codes:
    """Another time step is read."""
    base, _, index = e.wrong.partition("[")
    turned = index.startswith("T - 1 - t")
    if at.target == "" or base == "t":  # caches
        turned = e.wrong == "T - 1 - t"
        return (
            ("time-loop-wrong-direction", "cache-order-mismatch")
            if turned
            else ("cache-order-mismatch", *(("cached-view-overwritten",) if e.wrong in ("0", "-1") else ()))
        )
    if base in ("dH", "dC"):
        if turned:
            return ("time-loop-wrong-direction",)
        return ("upstream-last-step-only", "upstream-ignored") if index in ("0]", "-1]") else UNKNOWN
    if e.wrong == "[:-1]":
        return ("wrong-variable-returned", *PREVIOUS)
    if base in ("Ph", "Pc"):
        return ("state-not-carried", *PREVIOUS)
    if base in ("H", "C"):
        return ("state-not-carried", *PREVIOUS)
    if base in ("Gh", "Gc"):
        return UNKNOWN
    if base == "targets":
        return ("softmax-target-not-subtracted", "embedding-wrong-index") if at.backward else ("embedding-wrong-index",)
    if turned:
        return ("time-loop-wrong-direction",)
    return ("embedding-wrong-index",) if base == "X" and at.cell == "char_rnn_loss" else UNKNOWN


def stored(e: Edit, at: Place) -> Codes:
    """A result is stored at another time step, or added there."""
    if e.kind == "subtracted":
        return SIGN
    if e.kind == "added":
        return TWICE if at.backward and at.role != "carry" else UNKNOWN
    if at.target[0] == "G":
        return at.missing_carry()
    if at.target[:1] == "P" and e.wrong != "T - t":
        return ("state-not-carried",)
    return ("time-loop-wrong-direction",) if e.wrong in ("T - 1 - t", "T - t") else UNKNOWN


def stale(e: Edit, at: Place) -> Codes:
    """A value of one fixed step is used at every step of the backward."""
    if role(e.right) in STATES:
        return (*PREVIOUS, "cached-view-overwritten", "cache-order-mismatch")
    return ("cache-order-mismatch", "cached-view-overwritten") if role(e.right) == "gate" else UNKNOWN


def line(e: Edit, at: Place) -> Codes:
    """A line that is not executed, or not at every step."""
    if at.target in ("dh_carry", "dc_carry") or at.target[:1] == "G":
        return at.missing_carry()
    if at.target in ("h_prev", "c_prev", "h", "c") and not at.backward:
        return ("state-not-carried",)
    if at.role == "share" and (at.target[0] == "D" or at.cell == "char_rnn_loss"):
        return ("gradient-not-accumulated",)
    if at.target == "t_new":
        return ("adam-step-counter",)
    return UNKNOWN


def zero(e: Edit, at: Place) -> Codes:
    """Nothing is computed: zeros."""
    if at.target in ("dh0", "dc0"):
        return ("initial-state-gradient-not-set",)
    if at.target in ("dh_carry", "dc_carry"):
        return at.missing_carry()
    if at.target in ("v_out", "m_out", "cache_out"):
        return ("state-not-carried", "wrong-variable-returned")
    if at.target in ("h", "c") and e.right.endswith("0"):
        return ("initial-state-ignored",)
    return UNKNOWN


def exchange(e: Edit, at: Place) -> Codes:
    """Two names, or two factors, in each other's place within one line."""
    both = {role(name) for name in names_in(e.right)}
    if at.update:
        own = {"m", "v", "cache", "dw"} >= set(names_in(e.right))
        return ("decay-complement",) if "(1 - " in e.right or own else UNKNOWN
    if at.lstm and at.target == "c":
        return ORDER
    if at.gru and at.target == "h":
        return ("gru-interpolation-flipped",) if "s_z" not in e.right.split(", ") else UNKNOWN
    return ("missing-transpose",) if both <= {"delta", "previous"} and at.role == "share" else UNKNOWN


def exchanged(e: Edit, at: Place) -> Codes:
    """The right sides of two lines in each other's place."""
    a, b = e.right, e.wrong
    both = {role(a), role(b)}
    if a[:-1] == b[:-1] and "_" in a:
        return ORDER
    if both <= {"carry"}:
        return ("missing-cell-carry", "missing-hidden-carry")
    if {a, b} in ({"H", "C"}, {"dh0", "dc0"}) or (both == {"share"} and a[0] == b[0]):
        return ("wrong-variable-returned",)
    if {a, b} == {"h_prev", "c_prev"} or ({a, b} == {"h", "c"} and "[t]" in e.text):
        return PREVIOUS
    if {a, b} == {"h", "c"}:
        return ("initial-cell-wrong", *PREVIOUS) if e.text in ("h0", "c0") else ("wrong-variable-returned",)
    return ("wrong-variable-returned",) if a.endswith("_out") and b.endswith("_out") else UNKNOWN


def order(e: Edit, at: Place) -> Codes:
    """Two lines in the wrong order."""
    first, second = e.right.split("[")[0].split(" ")[0], e.wrong.split("[")[0].split(" ")[0]
    if {"H", "C", "Y"} & {first, second} and not at.backward:
        return ("wrong-variable-returned", *PREVIOUS, "time-loop-skips-step")
    if "w_new" in (first, second):
        return PREVIOUS
    return UNKNOWN


def loop(e: Edit, at: Place) -> Codes:
    """The range of a loop."""
    return ("time-loop-skips-step",) if "1" in e.wrong else ("time-loop-wrong-direction",)
