"""The diagnosis names the mistake that is there, both of two, all that fit, and none where it knows none."""

import numpy as np
import pytest

from minrnn.grading.diagnosis.diagnose import Observation, diagnose, identify
from minrnn.grading.diagnosis.messages import sentence
from minrnn.grading.reference import FAMILIES, NONE, Bug
from minrnn.grading.variants import ALSO, variants_for


def one_of_each_code(name):
    """The first variant of every code and side."""
    found = {}
    for bug in variants_for(name):
        found.setdefault((bug.code, bug.side), bug)
    return [pytest.param(name, bug, id=f"{name}: {bug}") for bug in found.values()]


def certainty_of(bug):
    """Exact, but where the same numbers have another fair name, or none."""
    if bug.code == "unknown-cause":
        return "unknown"
    also = (bug.code, bug.where) in ALSO or (bug.code, f"example={bug.detail.get('example')}") in ALSO
    return "ambiguous" if also else "exact"


def changed(seen, tensor, value):
    """The observation with another value of one tensor of the student."""
    return Observation(seen.inputs, seen.upstream, {**seen.student, tensor: value}, seen.expected)


SMALL = ("affine", "temporal_affine", "embedding", "sgd", "momentum", "rmsprop", "adagrad", "adam", "clip_value")
CHECKED = ("rnn_step", "rnn_sequence", "lstm_step", "gru_step_after", "gru_step_before", "char_rnn_loss", *SMALL)


@pytest.mark.parametrize("name, bug", [case for name in CHECKED for case in one_of_each_code(name)])
def test_a_single_mistake_is_named_exactly(observe, name, bug):
    causes = diagnose(name, observe(name, bug))
    assert [(cause.code, cause.certainty) for cause in causes] == [(bug.code, certainty_of(bug))]
    assert causes[0].evidence["seeds_agreeing"] == 2 and causes[0].message


@pytest.mark.parametrize(
    "bug", [b for b in variants_for("lstm_sequence") if b.code.startswith("missing-")][:5], ids=str
)
def test_the_carries_of_an_lstm_are_told_apart(observe, bug):
    assert [cause.code for cause in diagnose("lstm_sequence", observe("lstm_sequence", bug))] == [bug.code]


def test_every_variant_of_the_rnn_step_is_named_on_three_seeds(observe):
    for bug in variants_for("rnn_step"):
        causes = diagnose("rnn_step", observe("rnn_step", bug, seeds=(3, 4, 5)))
        assert [(cause.code, cause.certainty) for cause in causes] == [(bug.code, certainty_of(bug))], bug


@pytest.mark.parametrize("name", FAMILIES)
def test_nothing_is_said_of_what_is_right(observe, name):
    assert diagnose(name, observe(name, NONE, side="both" if FAMILIES[name].gradients else "forward")) == []


# Two at once

PAIRS = [
    ("rnn_sequence", "missing-time-carry", "bias-gradient-scalar"),
    ("rnn_sequence", "tanh-derivative-missing", "missing-time-carry"),
    ("rnn_sequence", "gradient-not-accumulated", "initial-state-gradient-not-set"),
    ("lstm_step", "sigmoid-derivative-missing", "wrong-previous-state"),
    ("lstm_step", "cell-gradient-incomplete", "bias-gradient-from-weights"),
]


@pytest.mark.parametrize("name, first, second", PAIRS)
def test_two_mistakes_are_both_named(observe, name, first, second):
    backward = [bug for bug in variants_for(name) if bug.side == "backward"]
    a, b = (next(bug for bug in backward if bug.code == code) for code in (first, second))
    causes = diagnose(name, observe(name, a + b))
    assert {cause.code for cause in causes} == {first, second}
    assert {cause.certainty for cause in causes} == {"exact"}


def test_three_mistakes_in_three_tensors_are_named_one_by_one(observe):
    bugs = [
        Bug("bias-gradient-scalar", "db"),
        Bug("missing-transpose", "dWx"),
        Bug("initial-state-gradient-not-set", "dh0", {"value": "zeros"}),
    ]
    causes = diagnose("rnn_sequence", observe("rnn_sequence", bugs[0] + bugs[1] + bugs[2]))
    assert {(cause.code, cause.tensor) for cause in causes} == {
        ("bias-gradient-scalar", "db"),
        ("missing-transpose", "dWx"),
        ("initial-state-gradient-not-set", "dh0"),
    }


def test_several_names_beside_something_unknown_are_withdrawn(observe):
    bugs = Bug("bias-gradient-scalar", "db") + Bug("initial-state-gradient-not-set", "dh0", {"value": "zeros"})
    seeds = observe("rnn_sequence", bugs)
    for seen in seeds:
        seen.student["dx"] = np.random.default_rng(0).standard_normal(seen.student["dx"].shape)
    causes = diagnose("rnn_sequence", seeds)
    assert {tensor for cause in causes for tensor in cause.evidence["tensors"]} == {"db", "dh0", "dx"}
    assert {cause.certainty for cause in causes} <= {"residual", "unknown"}


# Several that fit


def test_mistakes_with_equal_numbers_are_ambiguous(observe, example):
    seeds = []
    for seed in (1, 2):
        inputs, upstream = example("lstm_sequence", seed)
        inputs = {k: v for k, v in inputs.items() if k != "c0"}
        right = FAMILIES["lstm_sequence"].backward(inputs, {"dh": upstream["dh"]})
        wrong = FAMILIES["lstm_sequence"].backward(inputs, {"dh": upstream["dh"]}, Bug("missing-cell-carry"))
        seeds.append(Observation(inputs, {"dh": upstream["dh"]}, wrong | {"dc0": None}, right))
    (cause,) = diagnose("lstm_sequence", seeds)
    assert (cause.code, cause.certainty) == ("missing-cell-carry", "ambiguous")
    assert "cell-gradient-incomplete" in cause.also_matches
    assert cause.message.startswith("The gradient of c that step t+1 returns is not handed to step t. Or: ")


# None that fits


def corruptions(name, seen, rng):
    """What random numbers do to a tensor, a block, a step; with the place that is to be named."""
    found = []
    for tensor, value in seen.student.items():
        noise = rng.standard_normal(np.shape(value))
        found.append((tensor, value + noise, [], []))
        if value.ndim == 3:
            found.append((tensor, value + noise * (np.arange(len(value)) == 2)[:, None, None], [], [2]))
        if FAMILIES[name].gates and tensor in ("dWx", "dWh", "db"):
            H = value.shape[-1] // 4
            only = np.zeros(value.shape[-1])
            only[H : 2 * H] = 1
            found.append((tensor, value + noise * only, ["f"], []))
    return found


@pytest.mark.parametrize("name", ["rnn_step", "rnn_sequence", "lstm_step"])
def test_random_corruption_is_unknown_and_in_its_place(observe, name):
    seeds = observe(name, NONE, side="backward")
    spoilt = [corruptions(name, seen, np.random.default_rng(k)) for k, seen in enumerate(seeds)]
    for cases in zip(*spoilt, strict=True):
        tensor, _, blocks, steps = cases[0]
        (cause,) = diagnose(name, [changed(s, tensor, case[1]) for s, case in zip(seeds, cases, strict=True)])
        assert (cause.code, cause.certainty, cause.tensor) == ("unknown-cause", "unknown", tensor)
        assert (cause.evidence["blocks"], cause.evidence["time_steps"]) == (blocks, steps)
        assert cause.message.endswith("cause unknown.")


def test_all_random_is_unknown(observe):
    rng = np.random.default_rng(5)
    seeds = [
        Observation(s.inputs, s.upstream, {n: rng.standard_normal(v.shape) for n, v in s.student.items()}, s.expected)
        for s in observe("lstm_step", NONE, side="backward")
    ]
    assert [cause.code for cause in diagnose("lstm_step", seeds)] == ["unknown-cause"]


def test_a_formula_that_nobody_knows_is_unknown(observe):
    """A smooth wrong formula, not noise: it must not be taken for a known one that is near."""
    seeds = [
        changed(s, "dWh", s.expected["dWh"] + 0.01 * s.inputs["h_prev"].T @ (s.upstream["dh"] ** 3))
        for s in observe("rnn_step", NONE, side="backward")
    ]
    (cause,) = diagnose("rnn_step", seeds)
    assert (cause.code, cause.tensor, cause.evidence["details"]["rank"]) == ("unknown-cause", "dWh", {"dWh": 3})


def test_a_variant_must_fit_on_every_seed(observe):
    first, second = observe("rnn_step", Bug("sign-flipped", "dx"))
    assert [c.code for c in diagnose("rnn_step", [first, second])] == ["sign-flipped"]
    other = changed(second, "dx", second.student["dx"] + 0.1)
    assert [c.code for c in diagnose("rnn_step", [first, other])] == ["unknown-cause"]


def test_a_variant_must_fit_on_right_tensors_too(observe):
    """dWx and dWh of a missing tanh' beside a right dx: that is another mistake than the one in all."""
    seeds = [
        Observation(s.inputs, s.upstream, {**s.student, "dx": s.expected["dx"]}, s.expected)
        for s in observe("rnn_step", Bug("tanh-derivative-missing", "h"))
    ]
    causes = diagnose("rnn_step", seeds)
    assert {cause.code for cause in causes} == {"tanh-derivative-missing"}
    assert all(cause.evidence["details"]["where"] != "h" for cause in causes)


# Shapes, types, what is missing


def test_right_values_in_another_shape_are_not_wrong(observe):
    seeds = [changed(s, "db", s.expected["db"][None]) for s in observe("rnn_step", NONE, side="backward")]
    assert diagnose("rnn_step", seeds) == []


def test_a_kept_dimension_does_not_hide_the_mistake(observe):
    bug = Bug("mean-instead-of-sum", "db", {"by": "N"})
    seeds = [changed(s, "db", s.student["db"][None]) for s in observe("rnn_step", bug)]
    assert [cause.code for cause in diagnose("rnn_step", seeds)] == ["mean-instead-of-sum"]


@pytest.mark.parametrize("bug", [Bug("missing-time-carry"), Bug("tanh-applied-twice", "h")], ids=str)
def test_work_in_float32_is_diagnosed_too(observe, bug):
    seeds = [
        Observation(s.inputs, s.upstream, {n: v.astype(np.float32) for n, v in s.student.items()}, s.expected, True)
        for s in observe("rnn_sequence", bug)
    ]
    assert [cause.code for cause in diagnose("rnn_sequence", seeds)] == [bug.code]


def test_noise_of_float32_in_the_right_tensors_is_enough(observe):
    bug = Bug("bias-gradient-scalar", "db")
    rounded = lambda v: np.asarray(v).astype(np.float32).astype(np.float64)  # noqa: E731
    seeds = [
        Observation(s.inputs, s.upstream, {n: rounded(v) for n, v in s.student.items()}, s.expected)
        for s in observe("rnn_step", bug)
    ]
    assert [cause.code for cause in diagnose("rnn_step", seeds)] == [bug.code]


def test_tensors_that_were_not_computed_are_left_out(observe):
    bug = Bug("sigmoid-derivative-missing", "f")
    seeds = [changed(s, "dx", None) for s in observe("lstm_step", bug)]
    assert [cause.code for cause in diagnose("lstm_step", seeds)] == [bug.code]


def test_values_that_are_not_finite_are_compared_like_others(observe):
    seeds = [
        changed(s, "dx", np.full_like(s.expected["dx"], np.nan)) for s in observe("rnn_step", NONE, side="backward")
    ]
    (cause,) = diagnose("rnn_step", seeds)
    assert (cause.code, cause.tensor) == ("unknown-cause", "dx")


# A wrong forward and what follows from it

OWN = [
    Bug("gate-order-swapped", "", {"order": "ifgo"}, "forward"),
    Bug("nonlinearity-wrong", "g", {"kind": "sigmoid"}, "forward"),
    Bug("cell-tanh-missing", "c", side="forward"),
]


@pytest.mark.parametrize("own", OWN, ids=str)
def test_a_mistake_of_the_backward_is_found_on_a_wrong_forward(observe, own):
    forward = observe("lstm_step", own)
    assert identify("lstm_step", forward)[0] == own
    bug = Bug("sigmoid-derivative-missing", "o")
    causes = diagnose("lstm_step", observe("lstm_step", own + bug, side="backward", own=own), forward)
    assert [(cause.code, cause.certainty) for cause in causes] == [("sigmoid-derivative-missing", "exact")]


def test_the_slope_of_what_should_be_there_on_a_wrong_nonlinearity(observe):
    own = Bug("nonlinearity-wrong", "g", {"kind": "sigmoid"}, "forward")
    bug = Bug("wrong-activation-derivative", "g", {"form": "tanh"})
    causes = diagnose("lstm_step", observe("lstm_step", own + bug, side="backward", own=own), observe("lstm_step", own))
    assert [cause.code for cause in causes] == ["wrong-activation-derivative"]


def test_two_mistakes_on_a_wrong_forward(observe):
    own = Bug("nonlinearity-wrong", "h", {"kind": "sigmoid"}, "forward")
    a, b = Bug("missing-time-carry"), Bug("bias-gradient-scalar", "db")
    seeds = observe("rnn_sequence", own + a + b, side="backward", own=own)
    causes = diagnose("rnn_sequence", seeds, observe("rnn_sequence", own))
    assert {cause.code for cause in causes} == {a.code, b.code}


def test_a_backward_that_only_follows_its_forward_says_so(observe):
    """h0 is ignored: the usual backward still returns a gradient for it, where that of the own forward is zero."""
    own = Bug("initial-state-ignored", "h0", side="forward")
    seeds = [
        Observation(s.inputs, s.upstream, s.student, {**s.student, "dh0": np.zeros_like(s.student["dh0"])})
        for s in observe("rnn_sequence", own, side="backward")
    ]
    (cause,) = diagnose("rnn_sequence", seeds, observe("rnn_sequence", own))
    assert cause.code == "initial-state-ignored" and cause.message.startswith("Follows from the forward pass")


def test_where_the_forward_s_mistake_explains_all_no_second_one_is_named(observe):
    """Without the tanh its missing derivative gives the same numbers, and is no mistake there."""
    own = Bug("nonlinearity-missing", "h", side="forward")
    (cause,) = diagnose("rnn_step", observe("rnn_step", own, side="backward"), observe("rnn_step", own))
    assert (cause.code, cause.certainty, cause.also_matches) == ("nonlinearity-missing", "exact", ())


def test_an_unknown_forward_leads_to_no_false_name(observe):
    forward = [changed(s, "h", s.expected["h"] + 0.1) for s in observe("rnn_step", NONE, side="forward")]
    seeds = [
        changed(s, "dx", s.expected["dx"] + np.random.default_rng(k).standard_normal(s.expected["dx"].shape))
        for k, s in enumerate(observe("rnn_step", NONE, side="backward"))
    ]
    assert [cause.code for cause in diagnose("rnn_step", seeds, forward)] == ["unknown-cause"]


# Words


def test_the_sentence_uses_the_names_of_the_course(observe):
    bug = Bug("gradient-not-accumulated", "dWx", {"step": "first"})
    (cause,) = diagnose("rnn_sequence", observe("rnn_sequence", bug), names={"dWx": "dWax"})
    assert "dWax" in cause.message and "dWx" not in cause.message
    assert cause.tensor == "dWx"


SENTENCES = [
    (
        Bug("sigmoid-derivative-missing", "ifo"),
        "The derivative of the sigmoid is left out for the gates i, f and o: multiply the gradient of each of them by "
        "s * (1 - s), with s its output.",
    ),
    (
        Bug("tanh-derivative-missing", "c"),
        "The derivative of tanh is left out for the tanh of the cell: multiply the gradient that goes from h to c by "
        "1 - tanh(c)².",
    ),
    (
        Bug("initial-state-gradient-not-set", "dh0", {"value": "zeros"}),
        "da0 is zero; it should be the gradient that the backward of step 0 returns for the previous state.",
    ),
    (Bug("gate-copy-paste", "i", {"whole": "f"}), "The gradient of gate i is that of gate f."),
    (Bug("gate-copy-paste", "i", {"whole": "f"}, "forward"), "The forward pass has gate f in the place of gate i."),
    (
        Bug("gradient-not-accumulated", "dWx db", {"step": "last"}),
        "dWx and db are not the sum over all steps but the share of the last step: begin with zeros and add the share "
        "of every step.",
    ),
    (Bug("clip-wrong-kind", "none", side="forward"), "The gradients are not clipped as asked: nothing is clipped."),
]


@pytest.mark.parametrize("bug, text", SENTENCES, ids=str)
def test_the_sentence_says_where(bug, text):
    assert sentence(bug, {"dh0": "da0"}) == text


@pytest.mark.parametrize("name", FAMILIES)
def test_every_sentence_is_one(name):
    for bug in variants_for(name):
        text = sentence(bug, {})
        assert text.endswith(".") and text == " ".join(text.split()), text
        assert not any(hole in text for hole in ("{", "()", " .", "None", " with in ", " is made from in ")), text


def test_a_wrong_block_beside_a_huge_one_is_seen(observe):
    seeds = []
    for s in observe("lstm_step", NONE, side="backward"):
        huge = s.expected["db"].copy()
        huge[:7] *= 1e7
        wrong = huge.copy()
        wrong[7:14] += np.arange(7)
        seeds.append(Observation(s.inputs, s.upstream, {**s.student, "db": wrong}, {**s.expected, "db": huge}))
    (cause,) = diagnose("lstm_step", seeds)
    assert (cause.code, cause.evidence["blocks"]) == ("unknown-cause", ["f"])
