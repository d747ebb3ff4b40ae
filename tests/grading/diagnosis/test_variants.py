"""The variants are what they are called: wrong, told apart, and wrong in the tensors that the mistake can reach."""

import itertools

import numpy as np
import pytest

from minrnn.grading.diagnosis.compare import error
from minrnn.grading.outcome.codes import CODES
from minrnn.grading.reference import FAMILIES, NONE, Bug
from minrnn.grading.variants import variants_for

# Variants that need other inputs to show: the convention is already theirs, or the limit is not reached.
SAME_AS_RIGHT = {
    "softmax_loss": lambda bug: bug.code in ("mean-instead-of-sum", "sum-instead-of-mean"),
    "char_sample": lambda bug: bug.where.startswith("end"),
    "clip_norm": lambda bug: bug.where == "always",
}


def seen(values):
    """The numbers of all tensors, in one row, with the shapes."""
    return {name: np.asarray(value, dtype=np.float64) for name, value in values.items()}


def alike(a, b):
    return all(np.shape(a[name]) == np.shape(b[name]) and error(a[name], b[name]) <= 1e-9 for name in b)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_variant_is_wrong_and_no_two_are_the_same(everything, name):
    ignored = SAME_AS_RIGHT.get(name, lambda bug: False)
    variants = [bug for bug in variants_for(name) if not ignored(bug)]
    with np.errstate(all="ignore"):
        found = [
            (NONE, seen(everything(name, seed=6))),
            *((bug, seen(everything(name, bug, seed=6))) for bug in variants),
        ]
    same = []
    buckets = {}
    for bug, values in found:  # equal ones have the same rounded sum
        key = round(float(sum(np.nansum(np.abs(v)) for v in values.values())), 6)
        for near in (key, round(key - 1e-6, 6), round(key + 1e-6, 6)):
            same += [(str(other), str(bug)) for other, known in buckets.get(near, ()) if alike(values, known)]
        buckets.setdefault(key, []).append((bug, values))
    assert same == []


def test_several_hundred_variants():
    counts = {name: len(variants_for(name)) for name in FAMILIES}
    assert counts["rnn_sequence"] >= 150 and counts["lstm_step"] >= 300 and counts["lstm_sequence"] >= 400
    assert sum(counts.values()) >= 2000


@pytest.mark.parametrize("name", FAMILIES)
def test_every_code_has_a_text(name):
    assert {bug.code for bug in variants_for(name)} <= set(CODES)


def test_a_family_that_does_not_exist():
    with pytest.raises(KeyError):
        variants_for("transformer_step")


# Which tensors go wrong.

RNN = {
    Bug("missing-time-carry"): "dx dh0 dWx dWh db",
    Bug("upstream-last-step-only", "h"): "dx dh0 dWx dWh db",
    Bug("time-loop-wrong-direction"): "dx dh0 dWx dWh db",
    Bug("missing-transpose", "dh_prev"): "dx dh0 dWx dWh db",
    Bug("time-loop-skips-step", "last"): "dx dh0 dWx dWh db",
    Bug("tanh-derivative-missing", "h"): "dx dh0 dWx dWh db",
    Bug("cached-view-overwritten", "h", {"vector": "last"}): "dWh",
    Bug("wrong-previous-state", "h", {"vector": "next"}): "dWh",
    Bug("activation-used-as-delta", "dWx dWh"): "dWx dWh",
    Bug("gradient-not-accumulated", "dWx dWh db", {"step": "first"}): "dWx dWh db",
    Bug("mean-instead-of-sum", "dWx dWh db", {"by": "N"}): "dWx dWh db",
    Bug("gradient-added-to-itself", "dWx", {"factor": 2.0}): "dWx",
    Bug("input-gradient-accumulated", "dx", {"how": "total"}): "dx",
    Bug("initial-state-gradient-not-set", "dh0", {"value": "zeros"}): "dh0",
    Bug("bias-gradient-scalar", "db"): "db",
}

LSTM_STEP = {
    Bug("wrong-previous-state", "f", {"vector": "c"}): ("dx dh_prev dWx dWh db", "f"),
    Bug("tanh-derivative-missing", "c"): ("dx dh_prev dc_prev dWx dWh db", "ifg"),
    Bug("cell-path-without-output-gate"): ("dx dh_prev dc_prev dWx dWh db", "ifg"),
    Bug("cell-gradient-incomplete", "dc", {"lost": "dc"}): ("dx dh_prev dc_prev dWx dWh db", "ifg"),
    Bug("cell-gradient-incomplete", "dc_prev", {"value": "dc_next f"}): ("dc_prev", ""),
    Bug("sigmoid-derivative-missing", "o"): ("dx dh_prev dWx dWh db", "o"),
    Bug("sigmoid-derivative-missing", "f"): ("dx dh_prev dWx dWh db", "f"),
    Bug("gate-order-swapped", "", {"order": "ifgo"}): ("dx dh_prev dWx dWh db", "og"),
    Bug("bias-gradient-from-weights", "db", {"of": "dWx", "axis": 0}): ("db", "ifog"),
}


@pytest.mark.parametrize("bug", RNN, ids=str)
def test_rnn_variants_are_wrong_where_the_mistake_reaches(everything, bug):
    assert bug in variants_for("rnn_sequence")
    right, wrong = everything("rnn_sequence"), everything("rnn_sequence", bug)
    assert " ".join(name for name in right if error(wrong[name], right[name]) > 1e-6) == RNN[bug]


@pytest.mark.parametrize("bug", LSTM_STEP, ids=str)
def test_lstm_variants_are_wrong_in_their_gates(everything, bug):
    assert bug in variants_for("lstm_step")
    tensors, gates = LSTM_STEP[bug]
    right, wrong = everything("lstm_step"), everything("lstm_step", bug)
    assert " ".join(name for name in right if error(wrong[name], right[name]) > 1e-6) == tensors
    blocks = zip("ifog", np.split(right["db"], 4), np.split(wrong["db"], 4), strict=True)
    assert "".join(gate for gate, a, b in blocks if error(a, b) > 1e-6) == gates


@pytest.mark.parametrize("code", ["missing-time-carry", "upstream-last-step-only"])
def test_without_a_carry_only_the_last_step_of_dx_is_right(everything, code):
    bug = next(b for b in variants_for("rnn_sequence") if b.code == code)
    right, wrong = everything("rnn_sequence")["dx"], everything("rnn_sequence", bug)["dx"]
    assert [error(wrong[t], right[t]) > 1e-6 for t in range(4)] == [True, True, True, False]


HIDDEN_BY_ONE_STEP = [
    Bug("missing-cell-carry"),
    Bug("missing-hidden-carry"),
    Bug("sigmoid-derivative-missing", "f"),
    Bug("cell-gradient-incomplete", "dc", {"lost": "dc"}),
    Bug("gradient-not-accumulated", "dWx dWh db", {"step": "last"}),
]


@pytest.mark.parametrize("bug", HIDDEN_BY_ONE_STEP, ids=str)
def test_one_step_from_a_zero_cell_hides_carries_and_forget_gates(example, bug):
    family = FAMILIES["lstm_sequence"]
    for T, hidden in ((1, True), (3, False)):
        inputs, upstream = example("lstm_sequence", T=T)
        inputs = {k: v for k, v in inputs.items() if k != "c0"}
        upstream = {"dh": upstream["dh"]}
        right, wrong = family.backward(inputs, upstream), family.backward(inputs, upstream, bug)
        names = ("dx", "dh0", "dWx", "dWh", "db")  # dc0 is not returned in the courses with a zero cell
        assert all(error(wrong[n], right[n]) <= 1e-9 for n in names) == hidden


def test_through_the_sequence_three_cell_mistakes_give_the_same_numbers(example):
    """A true equivalence from a zero cell, where dc0 is not returned: the step has to tell them apart."""
    inputs, upstream = example("lstm_sequence")
    inputs = {k: v for k, v in inputs.items() if k != "c0"}
    bugs = [
        Bug("missing-cell-carry"),
        Bug("cell-gradient-incomplete", "dc", {"lost": "dc"}),
        Bug("cell-gradient-incomplete", "dc_prev", {"value": "dc_next f"}),
    ]
    found = [FAMILIES["lstm_sequence"].backward(inputs, {"dh": upstream["dh"]}, bug) for bug in bugs]
    for a, b in itertools.pairwise(found):
        assert all(error(a[n], b[n]) <= 1e-12 for n in ("dx", "dh0", "dWx", "dWh", "db"))


FORWARD_PASSES_ITS_OWN_CHECK = [
    ("rnn_sequence", Bug("nonlinearity-wrong", "h", {"kind": "sigmoid"}, "forward")),
    ("rnn_sequence", Bug("nonlinearity-missing", "h", side="forward")),
    ("lstm_step", Bug("gate-order-swapped", "", {"order": "ifgo"}, "forward")),
    ("lstm_step", Bug("nonlinearity-wrong", "g", {"kind": "sigmoid"}, "forward")),
    ("lstm_step", Bug("cell-tanh-missing", "c", side="forward")),
    ("gru_step_before", Bug("gru-interpolation-flipped", side="forward")),
    ("gru_step_after", Bug("gru-reset-placement", "n", side="forward")),
    ("gru_step_before", Bug("gru-reset-placement", "n", side="forward")),
    ("rnn_step", Bug("bias-missing", "b", side="forward")),
]


@pytest.mark.parametrize("name, bug", FORWARD_PASSES_ITS_OWN_CHECK, ids=str)
def test_some_wrong_forwards_have_a_backward_that_follows_them(example, name, bug):
    """A student who has one of these passes a gradient check; only the reference sees them."""
    inputs, upstream = example(name)
    family = FAMILIES[name]
    direction = np.random.default_rng(3).standard_normal(inputs["Wh"].shape)

    def objective(step):
        outputs = family.forward({**inputs, "Wh": inputs["Wh"] + step * direction}, bug)
        return sum(float(np.sum(outputs[key[1:]] * weight)) for key, weight in upstream.items())

    slope = (objective(1e-5) - objective(-1e-5)) / 2e-5
    assert abs(float(np.sum(family.backward(inputs, upstream, bug)["dWh"] * direction)) - slope) <= 1e-7 * abs(slope)


def test_on_a_wrong_forward_come_its_own_backward_and_all_mistakes_of_one():
    own = Bug("nonlinearity-wrong", "g", {"kind": "sigmoid"}, "forward")
    found = variants_for("lstm_step", own)
    assert found[0] == own and all(bug.forward("nonlinearity-wrong", "g") for bug in found)
    assert any(bug.find("wrong-activation-derivative", where="g") for bug in found)
    assert not any(other.side == "forward" for bug in found[1:] for other in bug.also)
