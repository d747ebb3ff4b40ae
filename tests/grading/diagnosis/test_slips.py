"""Slips: the programs are the reference, each slip is found by its own numbers, and its name and sentence are fair."""

import numpy as np
import pytest

from minrnn.grading.diagnosis.compare import error
from minrnn.grading.diagnosis.diagnose import Observation, diagnose
from minrnn.grading.outcome.codes import CODES
from minrnn.grading.reference import FAMILIES
from minrnn.grading.slips import search
from minrnn.grading.slips.edits import Scope, edits
from minrnn.grading.slips.families import written
from minrnn.grading.slips.generate import named
from minrnn.grading.slips.program import environment
from minrnn.grading.slips.words import told

WRITTEN = [
    *("rnn_step", "lstm_step", "gru_step_after", "gru_step_before", "gru_step_before_flipped"),
    *("rnn_sequence", "lstm_sequence", "gru_sequence_after", "gru_sequence_before", "gru_sequence_before_flipped"),
    *("affine", "temporal_affine", "softmax_loss", "char_rnn_loss", "sgd", "momentum", "rmsprop", "adagrad", "adam"),
]
LOSSES = ("softmax_loss", "char_rnn_loss")


def slips_of(name, inputs, upstream, stride=1):
    """Every slip of a family, or one in so many."""
    form = written(name, inputs)
    found = []
    for number, program in enumerate(form.programs):
        values = program.run(environment(program, form.bound(inputs, upstream)))
        changes = search._changes(program, search._shapes(values))[::stride]
        found += [named(change, name, program, number) for change in changes]
    return found


def right_of(name, inputs, upstream):
    family = FAMILIES[name]
    return family.forward(inputs) | (family.backward(inputs, upstream) if family.gradients else {})


def shown_by(name, slip, examples):
    """What a student with this slip shows of the side that is wrong; None where it raises or shows nothing wrong."""
    family, seeds = FAMILIES[name], []
    side = family.outputs if slip.side == "forward" or not family.gradients else family.gradients
    names = (*family.outputs, *family.gradients) if name in LOSSES else side
    for inputs, upstream in examples:
        right = right_of(name, inputs, upstream)
        try:
            wrong = search.values_of(family, slip, Observation(inputs, upstream, {}, {}))
        except Exception:
            return None
        known = [n for n in names if n in wrong and n in right]
        if any(np.shape(wrong[n]) != np.shape(right[n]) or not np.isfinite(wrong[n]).all() for n in known):
            return None
        student = {n: wrong[n] * (1 + 1e-13) for n in known}  # whose order of summation is another
        seeds.append(Observation(inputs, upstream, student, {n: right[n] for n in known}))
    return seeds if all(any(error(s.student[n], s.expected[n]) > 1e-6 for n in s.student) for s in seeds) else None


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("name", WRITTEN)
def test_every_program_without_a_slip_is_the_reference(example, name, inside):
    inputs, upstream = example(name)
    if "epsilon" in inputs:
        inputs["epsilon_inside"] = inside
    elif inside and name != "char_rnn_loss":  # the other form of a cell: without a prediction
        inputs = {key: value for key, value in inputs.items() if key not in ("Wy", "by")}
    form, right = written(name, inputs), right_of(name, inputs, upstream)
    covered = set()
    for program in form.programs:
        values = search._outputs(form, program.run(environment(program, form.bound(inputs, upstream))))
        covered |= set(values)
        for key, value in values.items():
            assert np.max(np.abs(value - right[key])) <= 1e-12, key
    assert covered == set(right)


# One slip in so many is looked for, so that the whole takes seconds: all kinds and all lines come up.
STRIDES = {"rnn_step": 7, "rnn_sequence": 29, "lstm_step": 233, "lstm_sequence": 797, "gru_step_after": 211, "adam": 41}


@pytest.mark.parametrize("name", STRIDES)
def test_a_slip_is_found_by_its_own_numbers(example, name):
    """What is computed from a line on, with early ends, has to be what the whole changed program computes."""
    examples = [example(name, seed) for seed in (1, 2)]
    tried = 0
    for slip in slips_of(name, *examples[0], STRIDES[name]):
        seeds = shown_by(name, slip, examples)
        if seeds and slip.kind != "order":  # of two lines exchanged, a value may be read before it is there
            found = search.explaining(FAMILIES[name], seeds, 1e-9)
            assert any((f.program, f.patch) == (slip.program, slip.patch) for f in found), slip.lines
            tried += 1
    assert tried >= 7


def test_most_slips_change_something_and_the_others_are_never_found(example):
    inputs, upstream = example("rnn_step")
    right = right_of("rnn_step", inputs, upstream)
    same = 0
    every = slips_of("rnn_step", inputs, upstream)
    for slip in every:
        try:
            wrong = search.values_of(FAMILIES["rnn_step"], slip, Observation(inputs, upstream, {}, {}))
        except Exception:
            continue
        same += all(np.shape(wrong[n]) == np.shape(right[n]) and error(wrong[n], right[n]) <= 1e-9 for n in wrong)
    assert same < len(every) / 5
    seen = [Observation(inputs, upstream, right, right)] * 2
    assert diagnose("rnn_step", seen) == []


@pytest.mark.parametrize("name", ["lstm_sequence", "gru_step_before", "char_rnn_loss", "adam", "softmax_loss"])
def test_every_code_has_a_text_and_every_sentence_is_one(example, name):
    for slip in slips_of(name, *example(name), stride=5):
        assert {slip.code, *slip.others} <= set(CODES)
        text = told(slip, {"h": "a_next"})
        assert text.endswith(".") and text == " ".join(text.split()), text


DX = "dx = da_i @ Wx_i.T + da_f @ Wx_f.T + da_o @ Wx_o.T"
A_G = "a_g = x @ Wx_g + h_prev @ Wh_g + b_g"
# (family, right line, wrong line): the name of a slip that no variant has, and words of its sentence
NAMED = [
    ("lstm_step", "d_i = dc * s_g", "d_i = dc * c_prev", "gate-copy-paste"),
    ("lstm_step", "da_i = d_i * s_i * (1 - s_i)", "da_i = d_i * s_i * (1 - s_f)", "gate-copy-paste"),
    ("lstm_step", "da_g = d_g * (1 - s_g ** 2)", "da_g = d_g * (1 - s_g * s_i)", "gate-copy-paste"),
    ("gru_step_before", "da_r = d_r * s_r * (1 - s_r)", "da_r = d_r * s_z * (1 - s_r)", "gate-copy-paste"),
    ("gru_step_after", "d_r = da_n * q", "d_r = d_n * q", "tanh-derivative-missing"),
    ("gru_step_after", "a_n = x @ Wx_n + b_n + s_r * q", "a_n = x @ Wx_n + b_n + s_z * q", "gate-copy-paste"),
    ("rnn_step", "a = x @ Wx + h_prev @ Wh + b", "a = x @ Wx + x @ Wx + b", "state-not-carried"),
    ("lstm_step", "s_g = tanh(a_g)", "s_g = tanh(sigmoid(a_g))", "nonlinearity-wrong"),
    ("lstm_step", "dc_prev = dc * s_f", "dc_prev = dc", "gate-not-applied"),
    ("lstm_step", "dc_prev = dc * s_f", "dc_prev = dc * s_i", "gate-copy-paste"),
    ("lstm_step", f"{DX} + da_g @ Wx_g.T", "dx = da_o @ Wx_o.T", "gate-not-applied"),
    ("lstm_step", A_G, f"{A_G}; a_i, a_f, a_o, a_g = interleaved(a_i, a_f, a_o, a_g)", "gate-order-swapped"),
    ("lstm_sequence", "Db_i = Db_i + db_i", "Db_f = Db_f + db_i", "gate-copy-paste"),
    ("lstm_sequence", "h_prev = h", "h_prev = c", "wrong-previous-state"),
    ("lstm_sequence", "dc_carry = dc_prev", "dc_carry = dh_prev", "missing-cell-carry"),
    ("rnn_sequence", "dh = dH[t] + dh_carry", "dh = dH[0] + dh_carry", "upstream-last-step-only"),
    ("char_rnn_loss", "recall(caches[t])", "recall(caches[t]); h = caches[T - 1]['h']", "wrong-previous-state"),
    ("lstm_sequence", "tc = tanh(c)", "tc = tanh(c_prev)", "wrong-previous-state"),
    ("lstm_sequence", "dh = dH[t] + dh_carry", "dh = dH[t] + dc_carry", "missing-hidden-carry"),
    ("rnn_sequence", "h = H[t]", "h = H[t - 1]", "state-not-carried"),
    ("rnn_sequence", "Ph[t + 1] = h", "Ph[t] = h", "state-not-carried"),
    ("rnn_sequence", "Gh[t - 1] = Gh[t - 1] + dh_prev * (t > 0)", "Gh[t - 1] = Gh[t - 1] + dh_prev * (t > 1)", "carry"),
    ("adam", "t_new = t + 1", "t_new = t", "adam-step-counter"),
    (
        "adam",
        "m_new = beta1 * m + (1 - beta1) * dw",
        "m_new = (1 - beta1) * m + beta1 * dw",
        "decay-complement",
    ),
    ("momentum", "v_out = v_new", "v_out = v", "state-not-carried"),
    (
        "softmax_loss",
        "m = x.max(axis=2, keepdims=True)",
        "m = x.max(axis=0, keepdims=True)",
        "softmax-wrong-axis",
    ),
]


@pytest.mark.parametrize("name, right, wrong, code", NAMED)
def test_a_slip_has_a_fair_name_and_tells_the_equation(example, name, right, wrong, code):
    examples = [example(name, seed) for seed in (1, 2)]
    slip = next(s for s in slips_of(name, *examples[0]) if (right, wrong) in s.lines)
    (cause,) = diagnose(name, shown_by(name, slip, examples))
    assert code in cause.code and cause.certainty in ("exact", "ambiguous")
    assert "it should be" in cause.message or cause.message.count(".") == 1


# What has an equation and no name: a wrong name would send the student to another place.
UNNAMED = [
    ("rnn_step", "h = tanh(a)", "h = tanh(x @ Wx + h_prev @ Wh) + b", "it should be `h = tanh(a)`"),
    ("rnn_step", "h = tanh(a)", "h = tanh(x @ Wx) + h_prev @ Wh + b", "it should be `h = tanh(a)`"),
    ("lstm_sequence", "dh_carry = dh_prev", "dh_carry = dc_prev", "`dh_carry = dc_prev`"),
    (
        "lstm_sequence",
        "Gc[t - 1] = Gc[t - 1] + dc_prev * (t > 0)",
        "Gc[t - 1] = Gc[t] + dc_prev * (t > 0)",
        "it should be `dc[t - 1] = dc[t - 1] + dc_prev",
    ),
    ("lstm_step", "d_i = dc * s_g", "d_i = dc + s_g", "`di = dc + g`; it should be `di = dc * g`"),
    ("rnn_sequence", "dh_carry = dh_prev", "dh_carry = dh_carry + dh_prev", "`dh_carry = dh_carry + dh_prev`"),
    ("rnn_sequence", "dh_carry = dh_prev", "dh_carry = da", "`dh_carry = da`; it should be `dh_carry = dh_prev`"),
    ("rnn_sequence", "dh = dH[t] + dh_carry", "dh = dH[min(t + 1, T - 1)] + dh_carry", "dh[min(t + 1, T - 1)]"),
    ("rnn_sequence", "DWx = zeros(Wx)", "DWx = Wx.copy()", "starts from the weights; it should start from 0."),
    ("momentum", "v_new = momentum * v - lr * dw", "v_new = momentum * (v - lr * dw)", "it should be `v_new"),
]


@pytest.mark.parametrize("name, right, wrong, said", UNNAMED)
def test_a_slip_that_no_code_names_is_unknown_with_its_equation(example, name, right, wrong, said):
    examples = [example(name, seed) for seed in (1, 2)]
    exchanged = {("dh_carry = dh_prev", "dh_carry = dc_prev")}  # with the other carry in its place
    slips = (s for s in slips_of(name, *examples[0]) if (right, wrong) in s.lines)
    slip = next(s for s in slips if (len(s.lines) > 1) == ((right, wrong) in exchanged))
    (cause,) = diagnose(name, shown_by(name, slip, examples))
    assert (cause.code, cause.certainty) == ("unknown-cause", "unknown") and said in cause.message


def test_both_carries_that_are_lost_in_the_same_way_are_missing(example):
    """Unlike two of which each stands in the place of the other."""
    slips = [s for s in slips_of("lstm_sequence", *example("lstm_sequence")) if len(s.lines) == 2]
    lost = [s for s in slips if s.kind == "guard" and s.lines[0][0].startswith("dh_carry")]
    assert len(lost) == 4
    assert {s.code for s in lost} == {"missing-hidden-carry"}


def test_the_backward_of_a_slipped_forward_follows_from_it(example):
    """The usual backward on what a wrong forward has cached is no second mistake."""
    examples = [example("gru_step_after", seed) for seed in (1, 2)]
    wrong_line = "s_n = tanh(-a_n)"
    slip = next(s for s in slips_of("gru_step_after", *examples[0]) if s.lines[0][1] == wrong_line)
    family, forward, backward = FAMILIES["gru_step_after"], [], []
    for inputs, upstream in examples:
        right = right_of("gru_step_after", inputs, upstream)
        wrong = search.values_of(family, slip, Observation(inputs, upstream, {}, {}))
        forward.append(Observation(inputs, upstream, {"h": wrong["h"]}, right))
        names = family.gradients
        backward.append(Observation(inputs, upstream, {n: wrong[n] for n in names}, {n: right[n] for n in names}))
    (cause,) = diagnose("gru_step_after", backward, forward)
    assert cause.code == "sign-flipped" and cause.message.startswith("Follows from the forward pass")


def test_edits_of_an_expression():
    scope = Scope({"d": ["e"], "s": ["e"], "e": ["d", "s"]}, {"s"})
    found = {edit.text: edit.kind for edit in edits("d * s * (1 - s)", scope)}
    expected = {
        "e * s * (1 - s)": "name",
        "d * (1 - s)": "factor left out",
        "d": "factor left out",
        "d * s * (1 + s)": "complement",
        "d * s * (s - 1)": "complement",
        "d * s * 1 - s": "bracket",
        "d * s * s * (1 - s)": "factor doubled",
        "-(d * s * (1 - s))": "negated",
    }
    assert {text: found.get(text) for text in expected} == expected
    assert "d * s * (1 - s)" not in found
