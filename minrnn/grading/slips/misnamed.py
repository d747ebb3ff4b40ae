"""The codes of slips in which a name stands for another one: in one place, or in the whole backward."""

from minrnn.grading.slips.edits import Edit
from minrnn.grading.slips.roles import COPIED, GRADIENTS, PREVIOUS, SLOPE, STATES, TWICE, UNKNOWN, Codes, Place, role


def name(e: Edit, at: Place) -> Codes:
    """Another name in the place of one."""
    p, q, target = e.right, e.wrong, at.target
    was, now = role(p), role(q)
    if p == "targets" and at.cell == "char_rnn_loss":
        return ("softmax-target-not-subtracted", "embedding-wrong-index") if at.backward else ("embedding-wrong-index",)
    if at.update or at.cell in ("softmax_loss",):
        return _rate(p, q, at)
    if target in ("dh0", "dc0"):
        return ("initial-state-gradient-not-set", "wrong-variable-returned")
    if target in ("h", "c") and p in ("h0", "c0"):
        return ("initial-cell-wrong", *PREVIOUS) if target == "c" and now == "previous" else PREVIOUS
    if target[:1] == "G":
        return UNKNOWN
    if target in ("Ph", "Pc") and now == "previous":
        return ("state-not-carried", *PREVIOUS)
    if target in ("h_prev", "c_prev"):
        return (*PREVIOUS, "state-not-carried")
    if target in ("H", "C", "Y", "hT"):
        return ("wrong-variable-returned", *(PREVIOUS if now == "previous" else ()))
    if target in ("dh_carry", "dc_carry"):
        return at.missing_carry() if q in ("dh_prev", "dc_prev") else UNKNOWN
    if was == "carry":
        return at.missing_carry() if now == "carry" or now not in GRADIENTS else UNKNOWN
    if was == "share" and p == target:
        return ("gradient-not-accumulated", *TWICE) if q in (f"d{p[1:]}", p) else UNKNOWN
    if was == "share":
        return TWICE if q == target else COPIED if now == "share" and p[0] == q[0] == "d" else UNKNOWN
    if not at.backward:
        return _forward_name(p, q, was, now, at)
    if at.slope:
        return _slope_name(p, q, was, now, at)
    if at.product or target == "kept":
        return _product_name(p, q, was, now, at)
    return _flow_name(p, q, was, now, at)


def _forward_name(p: str, q: str, was: str, now: str, at: Place) -> Codes:
    if was in ("weight", "bias") or was == now == "gate" or was == now == "pre":
        return COPIED
    if (p, q) == ("h", "a") or (was == "gate" and q == f"a_{p[-1]}"):
        return ("nonlinearity-missing",)
    if (p, q) == ("tc", "c"):
        return ("cell-tanh-missing",)
    if was in STATES and now in STATES:
        return PREVIOUS
    if was == "cell output" and now == "gate":
        return COPIED
    return UNKNOWN


def _slope_name(p: str, q: str, was: str, now: str, at: Place) -> Codes:
    """In d · derivative."""
    if was == "gate":
        return COPIED if now == "gate" else (*SLOPE, "gate-copy-paste") if q == "tc" else SLOPE
    if was == "cell output":
        return COPIED if now == "gate" else PREVIOUS if q in ("c_prev", "h_prev") else SLOPE
    if was == "state":  # of a plain network
        return PREVIOUS + SLOPE if now == "previous" else SLOPE
    if was == "unit gradient" and now == "unit gradient":
        return COPIED
    if was == "unit gradient" and now == "flow":
        own = "dc" if at.lstm and at.gate != "o" else "dh"
        return ("gate-not-applied",) if q == own else UNKNOWN
    if p == "dtc" and q == "dh":
        return ("cell-path-without-output-gate",)
    if was == "flow" and now == "carry":
        return ("upstream-ignored",)
    return ("upstream-ignored",) if now not in GRADIENTS else UNKNOWN


def _product_name(p: str, q: str, was: str, now: str, at: Place) -> Codes:
    """In the products that make the gradients of weights, inputs and states."""
    if was == "weight" and now == "weight":
        return COPIED
    if was == "delta":
        if now in ("gate", "pre", "state", "previous", "cell output"):
            return ("activation-used-as-delta",) if now in ("gate", "pre", "state") else UNKNOWN
        if p == "dq" or q == "dq":
            return ("gate-not-applied",) if "da_n" in (p, q) else COPIED if now == "delta" else UNKNOWN
        if now == "delta":
            return COPIED
        own = f"d_{p[-1]}" if p != "da" else "dh"
        if q == own:
            return Place(p, at.cell, True).missing_derivative()
        return COPIED if now == "unit gradient" else UNKNOWN
    if was == "previous" or p in ("rh", "x", "h"):
        if (p == "h_prev" and q == "rh") or (p == "rh" and q == "h_prev"):
            return ("gate-not-applied", "gru-reset-placement")
        return PREVIOUS if now in STATES else UNKNOWN
    if p in ("kept", "through_r"):
        return ("gru-gradient-incomplete", "gate-not-applied")
    if at.target == "kept" and was == "gate":
        return COPIED
    return UNKNOWN


def _flow_name(p: str, q: str, was: str, now: str, at: Place) -> Codes:
    """In what flows back to the gates and to the cell."""
    if was == "gate" and now == "gate":
        return COPIED
    if (p, q) == ("tc", "c"):
        return ("cell-tanh-missing",)
    if was in STATES and now in STATES:
        return PREVIOUS
    if (was in STATES and now == "gate") or (was == "gate" and now in STATES):
        copied = now == "gate" or q in ("c_prev", "tc")
        return COPIED if copied and (at.role == "unit gradient" or now == "gate") else UNKNOWN
    if p == "q":
        return (*PREVIOUS, "gru-reset-placement") if now in STATES else COPIED if now == "gate" else UNKNOWN
    if p == "dc" and q in ("dc_next", "from_h"):
        return ("cell-gradient-incomplete", *(("upstream-ignored",) if q == "from_h" else ()))
    if p == "dc" and q in ("dh", "dtc"):
        return ("gate-copy-paste", "cell-gradient-incomplete") if at.role == "unit gradient" else UNKNOWN
    if p == "dh" and q in ("dc", "dc_next") and at.target == "d_o":
        return COPIED
    if (p, q) == ("da_n", "d_n"):
        return ("tanh-derivative-missing",)
    if (p, q) == ("da_n", "dq") or (p, q) == ("drh", "through_r"):
        return UNKNOWN
    if p == "from_h" and q in ("dtc", "dh"):
        return ("tanh-derivative-missing",) if q == "dtc" else UNKNOWN
    if p == "dc_next" and at.target == "dc":
        return ("cell-gradient-incomplete",) if now in ("flow", "unit gradient") else UNKNOWN
    return ("upstream-ignored",) if was in ("flow", "delta") and now not in GRADIENTS else UNKNOWN


def _rate(p: str, q: str, at: Place) -> Codes:
    """Names of update rules and of the loss."""
    if p in ("beta1", "beta2", "decay", "momentum", "lr", "epsilon"):
        return UNKNOWN
    if p == "t_new":
        return ("adam-step-counter",) if q == "t" else UNKNOWN
    if at.target in ("v_out", "m_out", "cache_out", "t_out"):
        if q.endswith("hat"):
            return ("adam-corrected-moment-stored",)
        stale = q in ("v", "m", "cache", "t")
        if at.target == "t_out":
            return ("adam-step-counter", "state-not-carried") if stale else UNKNOWN
        return ("state-not-carried", "wrong-variable-returned") if stale else ("wrong-variable-returned",)
    pairs = {("v_new", "v"), ("cache_new", "cache"), ("m_new", "m")}
    if (p, q) in pairs:
        return (*PREVIOUS, "state-not-carried")
    if p in ("m_hat", "v_hat") and q in ("m_new", "v_new"):
        return ("adam-no-bias-correction",) if p[0] == q[0] else UNKNOWN
    if p == "count":
        return ("constant-factor", "mean-instead-of-sum", "sum-instead-of-mean")
    if p == "targets":
        return ("embedding-wrong-index",)
    return UNKNOWN


def assigned(e: Edit, at: Place) -> Codes:
    """A name stands there in the place of the whole expression."""
    if at.target in ("dh_carry", "dc_carry", "H", "C", "Y", "hT", "dh0", "dc0"):
        return name(e, at)
    if (at.target, e.wrong) in (("d_o", "dh"), ("d_i", "dc"), ("d_f", "dc"), ("d_g", "dc"), ("dc_prev", "dc")):
        return ("gate-not-applied",)
    return UNKNOWN


def in_square(e: Edit, at: Place) -> Codes:
    """One of the two factors of a square is another name."""
    return name(Edit("name", e.right.removesuffix(" ** 2"), e.wrong.partition(" * ")[2], e.text), at)


def renamed(e: Edit, at: Place) -> Codes:
    """A name that stands for another one in the whole backward."""
    p, q = e.right, e.wrong
    was, now = role(p), role(q)
    if was == "delta":
        own = f"d_{p[-1]}" if p not in ("da", "dq") else "dh" if p == "da" else "da_n"
        if q == own:
            return ("gate-not-applied",) if p == "dq" else Place(p, at.cell, True).missing_derivative()
        return COPIED if now == "delta" and p != "dq" else UNKNOWN
    if p == "dc":
        return ("cell-gradient-incomplete",) if q in ("dc_next", "from_h") else UNKNOWN
    if was in GRADIENTS:
        return UNKNOWN
    if was in STATES and now in STATES:
        return (*PREVIOUS, "cached-view-overwritten", "cache-order-mismatch")
    if was == "state" and now == "pre":
        return SLOPE
    return ("cache-order-mismatch", "gate-copy-paste") if was == now == "gate" else UNKNOWN


def names_exchanged(e: Edit, at: Place) -> Codes:
    """Two names in each other's place in the whole backward."""
    was, now = role(e.right), role(e.wrong)
    if was in STATES and now in STATES:
        return ("cache-order-mismatch", *PREVIOUS)
    return (
        ("cache-order-mismatch", "gate-order-swapped", "gate-copy-paste")
        if was == now == "gate"
        else ("cache-order-mismatch",)
    )
