"""The mistakes that only a cell with gates can have: LSTM and GRU. Only names; minrnn.grading.reference does them."""

from collections.abc import Iterator
from itertools import combinations, permutations

from minrnn.grading.reference import Bug
from minrnn.grading.variants.recurrent import (
    bug,
    forward_bug,
    one_of_two_biases,
    sigmoid_slopes,
    spoilt_states,
    tanh_slopes,
)


def gate_orders(gates: str) -> list[str]:
    """Every order of the blocks but the right one."""
    return ["".join(order) for order in permutations(gates) if "".join(order) != gates]


def exchanges(gates: str) -> list[str]:
    """The orders in which two blocks are exchanged."""
    return [gates.translate(str.maketrans(a + b, b + a)) for a, b in combinations(gates, 2)]


def forward_of_gates(gates: str, tanh: str) -> Iterator[Bug]:
    """Blocks and nonlinearities; `tanh` has the letters of the units that are one."""
    yield from (forward_bug("gate-order-swapped", order=order) for order in gate_orders(gates))
    for order in exchanges(gates):  # only in one of the two summands of the pre-activation
        yield forward_bug("gate-order-swapped", "weights", order=order, gates=gates)
        yield forward_bug("gate-order-swapped", "b", order=order, gates=gates)
    for gate in gates:
        yield forward_bug("nonlinearity-missing", gate)
        yield forward_bug("bias-missing", "one gate", gate=gate, gates=gates)
        yield forward_bug("missing-transpose", "Wh", gate=gate, gates=gates)
        yield forward_bug("nonlinearity-wrong", gate, kind="sigmoid" if gate in tanh else "tanh")
        others = [other for other in gates if other != gate]
        yield from (forward_bug("gate-copy-paste", gate, whole=other) for other in others)
        for of in ("Wx", "Wh", "b"):
            yield from (
                forward_bug("gate-copy-paste", "weights", gate=gate, by=by, of=of, gates=gates) for by in others
            )


def gates_in_products(gates: str, before: bool = False) -> Iterator[Bug]:
    """The block of one gate left out of a product, or taken from another gate; `before` is that form of the GRU."""
    for gate in gates:
        others = [other for other in gates if other != gate]
        for tensor in ("dx",) if before and gate == "n" else ("dx", "dh_prev"):
            yield bug("gate-not-applied", tensor, gate=gate)
            yield from (bug("gate-copy-paste", tensor, gate=gate, by=other) for other in others)
        for where in ("dWx dWh", "dWx", "dWh", "db"):
            yield from (bug("gate-copy-paste", where, gate=gate, by=other, gates=gates) for other in others)


def forward_of_lstm(step: bool) -> Iterator[Bug]:
    """The forward of a step of an LSTM."""
    yield from forward_of_gates("ifog", "g")
    yield forward_bug("cell-tanh-missing", "c")
    yield forward_bug("nonlinearity-wrong", "c", kind="sigmoid")
    yield from (forward_bug("gate-not-applied", gate) for gate in "ifog")
    yield from (forward_bug("gate-copy-paste", gate, **{"rest of": other}) for gate, other in ("if", "fi"))
    yield forward_bug("sign-flipped", "i")
    yield forward_bug("state-not-carried", "c_prev")
    yield from (forward_bug("gate-copy-paste", "g", value=other) for other in "ifo")
    yield from (forward_bug("gate-copy-paste", gate, value="g") for gate in "ifo")
    if step:  # of a sequence, that is to ignore the initial state at every step
        yield forward_bug("state-not-carried", "c_prev", value="zeros")
    else:
        yield forward_bug("initial-state-ignored", "c_prev")
    yield from (forward_bug("wrong-previous-state", gate) for gate in "fo")
    yield forward_bug("wrong-previous-state", "y", vector="c")
    if step:
        yield forward_bug("wrong-variable-returned", "h", value="c", exchanged=True)
        yield forward_bug("wrong-variable-returned", "h", value="c")
        yield forward_bug("wrong-variable-returned", "c", value="h")


def slopes_of_lstm() -> Iterator[Bug]:
    """The slopes of the gates and of the cell's tanh."""
    yield from tanh_slopes("c")
    yield bug("wrong-activation-derivative", "dc", form="1-h²")
    yield bug("tanh-applied-twice", "dc")
    yield bug("wrong-previous-state", "tanh(c_prev)")
    yield from tanh_slopes("g")
    for gates in ("i", "f", "o", "ifo"):
        yield from sigmoid_slopes(gates)
    yield bug("sigmoid-derivative-missing", "ifog")
    yield bug("tanh-derivative-missing", "gc")


def backward_of_lstm(step: bool) -> Iterator[Bug]:
    """The reverse of a step of an LSTM."""
    yield from slopes_of_lstm()
    yield bug("cell-path-without-output-gate")
    yield from (bug("derivative-precedence", where) for where in ("c", "dc"))
    yield from (bug("cell-gradient-incomplete", "dc", lost=lost) for lost in ("dc", "dh"))
    for gates in ("i", "f", "g", "ifg"):
        yield from (bug("cell-gradient-incomplete", gates, lost=lost) for lost in ("dc", "dh"))
    for value in (*("dc_next f", "from_h f", "dc_next f + from_h", "dc_next + from_h f"),):
        yield bug("cell-gradient-incomplete", "dc_prev", value=value)
    yield from (bug("wrong-previous-state", "f", vector=v) for v in ("c", "h_prev", "h", "tanh(c)"))
    yield from (bug("wrong-previous-state", "o", vector=v) for v in ("tanh(c_prev)", "h", "tanh(h)"))
    yield bug("cell-tanh-missing", "o")
    yield bug("tanh-applied-twice", "do")
    yield from (bug("gate-copy-paste", "c", operand=k) for k in "ifg")
    for gate, right in zip("ifog", "g--i", strict=True):
        yield from (bug("gate-copy-paste", gate, operand=k) for k in "ifog" if k != right)
        yield from (bug("gate-copy-paste", gate, whole=k) for k in "ifog" if k != gate)
        yield from (bug("gate-copy-paste", gate, slope=k) for k in "ifog" if gate != k)
        yield bug("gate-copy-paste", gate, incoming="dc" if gate == "o" else "dh")
        yield bug("gate-not-applied", gate)
        yield bug("upstream-ignored", gate, value="ones")
        yield bug("sign-flipped", gate)
        if gate != "o":
            yield from (bug("derivative-precedence", gate, on=part) for part in ("dh", "dc"))
            yield bug("cell-gradient-incomplete", f"d{gate}", **{"factor on": "dc"})
            yield bug("cell-gradient-incomplete", f"d{gate}", **{"factor on": "dh"})
    yield bug("gate-copy-paste", "g", slope="c")
    yield bug("gate-copy-paste", "c", slope="g")
    yield from (bug("gate-order-swapped", "weights", order=order, gates="ifog") for order in exchanges("ifog"))
    yield bug("sign-flipped", "c")
    if step:
        yield bug("sign-flipped", "dc_next")
    yield from gates_in_products("ifog")
    yield from (bug("gate-order-swapped", order=order) for order in gate_orders("ifog"))
    yield from (bug("gate-order-swapped", "unpacked", order=order) for order in gate_orders("ifog"))
    yield from (bug("cache-order-mismatch", a + b) for a, b in combinations("ifog", 2))
    yield bug("cache-order-mismatch", "c_prev c")
    if step:
        yield bug("initial-state-ignored", "c_prev")
        yield from (bug("upstream-ignored", "h", value=value) for value in ("ones", "zeros"))
    else:
        yield from spoilt_states("c")


def forward_of_gru(after: bool) -> Iterator[Bug]:
    """The forward of a step of a GRU."""
    yield from forward_of_gates("rzn", "n")
    yield forward_bug("gru-reset-placement", "n")
    yield forward_bug("gru-interpolation-flipped")
    yield forward_bug("gate-not-applied", "r")
    yield from (forward_bug("gate-not-applied", "z", of=share) for share in ("n", "h_prev"))
    if after:
        yield forward_bug("gru-reset-placement", "bhn")
        yield forward_bug("gru-reset-placement", "x")
        yield forward_bug("bias-missing", "bhn")
        for gate in "rz":
            yield from one_of_two_biases(gate=gate, gates="rzn")


def backward_of_gru(after: bool) -> Iterator[Bug]:
    """The reverse of a step of a GRU."""
    yield from tanh_slopes("n")
    for gates in ("r", "z", "rz"):
        yield from sigmoid_slopes(gates)
    yield bug("sigmoid-derivative-missing", "rzn")
    yield from (bug("gru-interpolation-flipped", where) for where in ("n", "k", "nk"))
    yield from (
        bug("gru-gradient-incomplete", "dh_prev", lost=lost) for lost in ("k", "rz", "rzn", *(() if after else "n"))
    )
    yield from (bug("gru-gradient-incomplete", "z", lost=lost) for lost in ("n", "h"))
    yield bug("wrong-previous-state", "z", vector="h")
    vectors = ("h_prev", "h", "n", "q without bias") if after else ("h", "n")
    yield from (bug("wrong-previous-state", "r", vector=vector) for vector in vectors)
    yield from (bug("gate-not-applied", where) for where in (("r", "dWh", "dWhn", "dbhn") if after else ("r", "dWhn")))
    if not after:
        yield bug("missing-transpose", "n")
    for gate in "rzn":
        yield from (bug("gate-copy-paste", gate, whole=k) for k in "rzn" if k != gate)
        yield bug("sign-flipped", gate)
    yield from (bug("gate-copy-paste", gate, slope=k) for gate in "rzn" for k in "rzn" if gate != k)
    yield from (bug("gate-not-applied", gate) for gate in "nzk")
    yield from gates_in_products("rzn", before=not after)
    yield from (bug("gate-order-swapped", order=order) for order in gate_orders("rzn"))
