"""What courses beside the large ones ask for, and what a profile may leave open: each mistake in the course's words."""

from dataclasses import replace
from pathlib import Path

import pytest

from minrnn.grading.courses import profile
from minrnn.grading.courses.table import ProfileError
from minrnn.grading.coursework import assignment, spec
from minrnn.grading.judging import judge
from minrnn.grading.loading import submission
from minrnn.grading.sandbox import Limits

RIGHT = Path(__file__).parent / "right"
QUICK = Limits(wall_s=60, cpu_s=60)


def codes(result):
    return [cause.code for cause in result.diagnosis]


def wrong_outputs(result):
    return [output.name for output in result.outputs if output.status == "wrong"]


MISTAKES = {  # name: (course, group, function, what is wrong, code, changes)
    "deep: every layer reads x of the first": (
        ("holberton", "deep-rnn", "deep_rnn", ["H", "Y"], "wrong-layer-input"),
        ("below, y = cell.forward(h_prev, below)", "h, y = cell.forward(h_prev, below if not states else states[0])"),
        ("states.append(below)", "states.append(h)"),
    ),
    "deep: the layer below at the step before": (
        ("holberton", "deep-rnn", "deep_rnn", ["H", "Y"], "wrong-layer-input"),
        ("below, y = cell.forward(h_prev, below)", "h, y = cell.forward(h_prev, below)"),
        ("states.append(below)", "states.append(h)\n            below = h_prev"),
    ),
    "deep: the prediction of the first layer": (
        ("holberton", "deep-rnn", "deep_rnn", ["Y"], "unknown-cause"),
        (
            "        Y.append(y)\n    return np.array(H), np.array(Y)\n\n\nclass Bi",
            "        Y.append(rnn_cells[0].forward(H[-2][0], x)[1])\n    return np.array(H), np.array(Y)\n\n\nclass Bi",
        ),
    ),
    "deep: the state is not carried": (
        ("holberton", "deep-rnn", "deep_rnn", ["H", "Y"], "state-not-carried"),
        ("for cell, h_prev in zip(rnn_cells, H[-1]):", "for cell, h_prev in zip(rnn_cells, h_0):"),
    ),
    "both ways: the second goes the first way": (
        ("holberton", "bi-rnn", "bi_rnn", ["H", "Y"], "time-loop-wrong-direction"),
        ("    for x in X[::-1]:", "    for x in X:"),
        ("back.insert(0, g)", "back.append(g)"),
    ),
    "both ways: the second is returned from its start": (
        ("holberton", "bi-rnn", "bi_rnn", ["H", "Y"], "wrong-variable-returned"),
        ("back.insert(0, g)", "back.append(g)"),
    ),
    "both ways: exchanged": (
        ("holberton", "bi-rnn", "bi_rnn", ["H", "Y"], "concat-order-swapped"),
        ("np.concatenate((there, back), axis=2)", "np.concatenate((back, there), axis=2)"),
    ),
    "both ways: initial states exchanged": (
        ("holberton", "bi-rnn", "bi_rnn", ["H", "Y"], "wrong-previous-state"),
        ("    h, g = h_0, h_t\n", "    g, h = h_0, h_t\n"),
    ),
    "both ways: the second starts from zero": (
        ("holberton", "bi-rnn", "bi_rnn", ["H", "Y"], "initial-state-ignored"),
        ("    h, g = h_0, h_t\n", "    h, g = h_0, np.zeros_like(h_t)\n"),
    ),
    "both ways: the cell has the weights of the other direction": (
        ("holberton", "bidirectional-backward", "BidirectionalCell.backward", ["h_prev"], "wrong-direction-weights"),
        ("@ self.Whb + self.bhb", "@ self.Whf + self.bhf"),
    ),
    "both ways: no softmax": (
        ("holberton", "bidirectional-output", "BidirectionalCell.output", ["Y"], "nonlinearity-missing"),
        (
            "        e = np.exp(z - z.max(axis=-1, keepdims=True))\n        return e / e.sum(axis=-1, keepdims=True)\n",
            "        return z\n",
        ),
    ),
    "clipping: each parameter by itself": (
        ("d2l", "clip", "grad_clipping", ["W_xh", "W_hh", "b_h", "W_hq", "b_q"], "clip-norm-per-parameter"),
        (
            "    norm = np.sqrt(sum((p.grad**2).sum() for p in net.params))\n"
            "    if norm > theta:\n        for p in net.params:\n",
            "    for p in net.params:\n        norm = np.sqrt((p.grad**2).sum())\n        if norm > theta:\n",
        ),
    ),
    "clipping: by value": (
        ("d2l", "clip", "grad_clipping", ["W_xh", "W_hh", "b_h", "W_hq", "b_q"], "clip-wrong-kind"),
        ("p.grad[:] *= theta / norm", "p.grad[:] = np.clip(p.grad, -theta, theta)"),
        ("    if norm > theta:\n", "    if True:\n"),
    ),
    "clipping: always": (
        ("d2l", "clip", "grad_clipping", ["W_xh", "W_hh", "b_h", "W_hq", "b_q"], "clip-wrong-kind"),
        ("    if norm > theta:\n", "    if True:\n"),
    ),
    "clipping: never": (
        ("d2l", "clip", "grad_clipping", ["W_xh", "W_hh", "b_h", "W_hq", "b_q"], "clip-wrong-kind"),
        ("    if norm > theta:\n", "    if False:\n"),
    ),
    "clipping: no root": (
        ("d2l", "clip", "grad_clipping", ["W_xh", "W_hh", "b_h", "W_hq", "b_q"], "root-missing"),
        (
            "norm = np.sqrt(sum((p.grad**2).sum() for p in net.params))",
            "norm = sum((p.grad**2).sum() for p in net.params)",
        ),
    ),
    "tufts: the reset is applied after the product": (
        ("tufts-forward", "gru", "gru", ["outputs", "final_state"], "gru-reset-placement"),
        ("np.tanh((r * state) @ wth_h + x @ wth_x + biash)", "np.tanh(r * (state @ wth_h) + x @ wth_x + biash)"),
    ),
    "tufts: z the other way round": (
        ("tufts-forward", "gru", "gru", ["outputs", "final_state"], "gru-interpolation-flipped"),
        ("z * state + (1 - z) * new", "(1 - z) * state + z * new"),
    ),
    "tufts: the last state is the first": (
        ("tufts-forward", "rnn", "rnn", ["final_state"], "unknown-cause"),
        (
            "        outputs[:, t] = state\n    return outputs, state",
            "        outputs[:, t] = state\n    return outputs, outputs[:, 0]",
        ),
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found_in_its_place_and_named(name, spoilt):
    (course, group, function, outputs, code), *changes = MISTAKES[name]
    result = spoilt(*changes, course=course, groups=(group,))[function]
    assert (result.status, wrong_outputs(result), result.score) == ("wrong", outputs, pytest.approx(result.score))
    assert codes(result) == [code]


# Two biases of which one is wrong.


@pytest.mark.parametrize("name", ["db_ih", "db_hh"])
def test_of_two_biases_only_the_wrong_one_is_wrong(name, spoilt):
    change = (f"self.{name} += dz.mean(axis=0)", f"self.{name} += dz.sum(axis=0)")
    result = spoilt(change, course="cmu-11785", groups=("rnn-cell",))["RNNCell.backward"]
    assert wrong_outputs(result) == [name]
    assert {cause.tensor for cause in result.diagnosis} == {name}
    assert (result.score, result.max_score) == (pytest.approx(5 * 5 / 6), 5.0)


# A printed answer that is wrong itself.


def test_the_misprinted_answer_of_2018_is_recognised(spoilt):
    change = (
        "lstm_cell_backward(da[:, :, t] + da_prev, dc_prev, caches[t])",
        "lstm_cell_backward(da[:, :, t], 0 * da[:, :, t], caches[t])",
    )
    groups = ("lstm-cell", "lstm-sequence")
    result = spoilt(change, course="coursera-rnn", groups=groups)["lstm_backward"]
    assert codes(result)[0] == "missing-time-carry"
    assert [note.code for note in result.advisories] == ["matches-misprinted-answer"]
    assert "2018" in result.advisories[0].message


def test_another_mistake_has_no_such_remark(spoilt):
    change = (
        "lstm_cell_backward(da[:, :, t] + da_prev, dc_prev, caches[t])",
        "lstm_cell_backward(da[:, :, t], dc_prev, caches[t])",
    )
    result = spoilt(change, course="coursera-rnn", groups=("lstm-cell", "lstm-sequence"))["lstm_backward"]
    assert (codes(result), result.advisories) == (["missing-hidden-carry"], [])


# What is optional, and what is chosen.


def without(tmp_path, *names):
    """A right CS231n submission in which these functions have other names."""
    text = (RIGHT / "cs231n_a3.py").read_text()
    for name in names:
        text = text.replace(f"def {name}(", f"def another_{name}(")
    (tmp_path / "work.py").write_text(text)
    return tmp_path / "work.py"


def test_an_optional_function_that_is_not_there_is_not_missed(tmp_path, grade):
    results = grade(without(tmp_path, "affine_forward", "affine_backward"), groups=("affine", "embedding"))
    assert [(r.status, r.max_score, r.full) for r in results.values()][:2] == [("not-found", 0.0, True)] * 2
    assert sum(r.score for r in results.values()) == sum(r.max_score for r in results.values()) > 0


def test_an_optional_function_that_is_there_counts(spoilt):
    stub = ("return dx, dw, dout.sum(axis=0)", "return None, None, None")
    result = spoilt(stub, groups=("affine",))["affine_backward"]
    assert (result.score, result.max_score) == (0.0, 3.0)


def test_a_function_that_is_asked_for_is_missed(tmp_path, grade):
    result = grade(without(tmp_path, "rnn_step_backward"), groups=("rnn-step",))["rnn_step_backward"]
    assert (result.status, result.score, result.max_score) == ("not-found", 0.0, 10.0)


def test_points_of_the_instructor_ask_for_an_optional_function(tmp_path):
    course = spec.applied(spec.Spec(points={"affine_backward": 7.0}), profile.read("cs231n-a3"))
    assert (course.find("affine_backward").points, course.find("affine_backward").optional) == (7.0, False)
    assert course.find("affine_forward").optional


def test_chosen_functions_are_graded_without_the_steps_that_were_not_chosen(tmp_path):
    course = profile.read("cs231n-a3")
    kept = tuple(f for f in course.functions if f.group in ("rnn-sequence", "lstm-sequence"))
    text = (RIGHT / "cs231n_a3.py").read_text().replace("da.dot(Wh.T), x.T", "da.dot(Wh), x.T")
    (tmp_path / "work.py").write_text(text)
    work = submission.load(tmp_path / "work.py")
    found = judge.grade(work, replace(course, functions=kept), seeds=[1, 2, 3], limits=QUICK, sandbox="none")
    results = {f.name: f.status for f in found.functions}
    assert results == {
        "rnn_forward": "correct",
        "rnn_backward": "wrong",
        "lstm_forward": "correct",
        "lstm_backward": "correct",
    }


def test_a_chosen_loop_is_graded_with_its_step(tmp_path):
    chosen = assignment.make("cs231n-a3", functions=("rnn_backward", "sgd"), seed=1, sandbox="none")
    found = chosen.grade(without(tmp_path))
    assert {f.name: f.status for f in found.functions} == {"rnn_backward": "correct", "sgd": "correct"}


# What a profile may say.

SMALL = """
name = "small"
title = "A course"
{more}
[functions.sample]
group = "sample"
family = "char_sample"
role = "sample"
arguments = [{argument}, "n: size T"]
returns = "ids: [T]"
"""
WRONG = {
    r"uses the class help.Net: there must be a module 'help'": (
        '"net: object Net"',
        '[classes.Net]\nsource = "help.Net"\nweights = []',
    ),
    r"remarks.* is not a code": ('"h: H = h0"', '[[functions.sample.remarks]]\ncause = "x"\ncode = "y"\ntext = "z"'),
    r"text Q": ('"prefix: text Q"', ""),
}


@pytest.mark.parametrize("message", WRONG)
def test_a_mistake_in_these_lines_is_told(message, tmp_path):
    argument, more = WRONG[message]
    parts = SMALL.format(argument=argument, more="" if "functions" in more else more)
    (tmp_path / "small.toml").write_text(parts + (more if "functions" in more else ""))
    with pytest.raises(ProfileError, match=message if message != "text Q" else "'prefix: Q'"):
        profile.read(tmp_path / "small.toml")
