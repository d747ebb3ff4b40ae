"""What the names of the programs stand for, and the line that a slip is in. Not the codes of slips: naming.py."""

import re

Codes = tuple[str, ...]
UNKNOWN: Codes = ("unknown-cause",)
COPIED: Codes = ("gate-copy-paste",)
SLOPE: Codes = ("wrong-activation-derivative",)
PREVIOUS: Codes = ("wrong-previous-state",)
TWICE: Codes = ("gradient-added-to-itself",)
SIGN: Codes = ("sign-flipped",)
ORDER: Codes = ("gate-copy-paste", "gate-order-swapped")


ROLES = (
    ("gate", r"s_\w$"),
    ("pre", r"a$|a_\w$"),
    ("previous", r"[hc]_prev$|[hc]0$"),
    ("state", r"[hc]$"),
    ("cell output", r"tc$"),
    ("delta", r"da$|da_\w$|dq$"),
    ("unit gradient", r"d_\w$"),
    ("carry", r"d[hc]_carry$"),
    ("flow", r"dh$|dc$|dc_next$|dtc$|from_h$|kept$|drh$|through_r$|d[hc]_prev$|d[hc]0$"),
    ("bias", r"b$|b_\w$|bhn$|by$"),
    ("weight", r"W[xhy]$|W[xh]_\w$|w$"),
    ("share", r"[dD](W[xhy]|b|by|bhn|w)(_\w)?$"),
    ("input", r"x$|X$"),
)
STATES = ("previous", "state", "cell output")
GRADIENTS = ("delta", "unit gradient", "carry", "flow", "share")


def role(name: str) -> str:
    """What a name stands for."""
    return next((role for role, pattern in ROLES if re.match(pattern, name)), "")


class Place:
    """The line in which a slip is: what it makes, in which family, in the forward or in the backward."""

    def __init__(self, target: str, cell: str, backward: bool) -> None:
        self.target, self.cell, self.backward = target, cell, backward
        self.role = role(target)
        self.gate = target.rpartition("_")[2] if re.match(r"(s|d|da|dW[xh]|db|a)_\w$", target) else ""
        self.lstm, self.gru = cell.startswith("lstm"), cell.startswith("gru")
        self.update = cell in ("sgd", "momentum", "rmsprop", "adagrad", "adam")
        self.product = self.role == "share" or target in ("dx", "dh_prev", "dw", "db")
        self.slope = (self.role == "delta" and target != "dq") or target == "from_h"

    def missing_derivative(self) -> Codes:
        """The code for a gradient that has not gone through the unit of this line."""
        tanh = self.gate in ("g", "n", "") or self.target == "dq"
        return ("tanh-derivative-missing",) if tanh else ("sigmoid-derivative-missing",)

    def missing_carry(self) -> Codes:
        """The code for a gradient that does not reach the step before."""
        if self.target in ("dc_carry", "dc_next", "Gc"):
            return ("missing-cell-carry",)
        return ("missing-hidden-carry",) if self.lstm else ("missing-time-carry",)
