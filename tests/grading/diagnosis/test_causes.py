"""Causes that are seen in the terms of a course: another tensor, none, another shape. No program is run."""

import numpy as np
import pytest

from minrnn.grading.courses import profile
from minrnn.grading.judging import causes, verdict
from minrnn.grading.judging.calls import Answer
from minrnn.grading.judging.trials import Trial, Unit
from minrnn.grading.sandbox import Reply


@pytest.fixture
def explain():
    """explain(course, forward, backward or "", of, change) -> causes; `change` edits the right tensors of one case."""

    def make(course, names, of, change):
        known = profile.read(course)
        unit = Unit(known, [known.find(name) for name in names])
        function, trials = known.find(of), []
        for seed in (1, 2, 3):
            trial = Trial(unit.case(seed), None)
            for other in unit.functions:
                tensors = trial.right(other)
                if other is function:
                    change(tensors)
                trial.answers[other.name] = Answer(Reply("ok", value=tuple(tensors.values())), tensors)
            trials.append(trial)
        return causes.of(unit, function, verdict.judge(unit, function, trials), trials)

    return make


def told(found):
    return {(cause.code, cause.tensor, cause.certainty) for cause in found}


def test_two_outputs_of_other_shapes_that_are_exchanged_are_named(explain):
    def exchange(tensors):
        tensors["y"], tensors["c"] = tensors["c"], tensors["y"]

    found = explain("coursera-rnn", ["lstm_forward", "lstm_backward"], "lstm_forward", exchange)
    assert told(found) == {("wrong-variable-returned", name, "exact") for name in "yc"}
    assert found[0].message == "y holds what belongs to c."


def test_the_block_of_another_gate_is_the_mistake_of_a_gate(explain):
    def copy(tensors):
        tensors["dbi"] = tensors["dbf"]

    names = ["lstm_cell_forward", "lstm_cell_backward"]
    assert {cause.code for cause in explain("coursera-rnn", names, names[1], copy)} == {"gate-copy-paste"}


def test_a_tensor_that_is_another_one_on_one_case_only_is_not_named_so(explain):
    cases = iter(range(3))

    def sometimes(tensors):
        tensors["dh0"] = tensors["dh0"] * 1.5 if next(cases) else np.array(tensors["dWh"][: len(tensors["dh0"])])

    found = explain("cs231n-a3", ["rnn_forward", "rnn_backward"], "rnn_backward", sometimes)
    assert {cause.code for cause in found} == {"unknown-cause"}


@pytest.mark.parametrize("tensor, code", [("dh0", "initial-state-gradient-not-set"), ("dWh", "not-implemented-stub")])
def test_a_gradient_that_is_none_is_said_to_be(explain, tensor, code):
    found = explain("cs231n-a3", ["rnn_forward", "rnn_backward"], "rnn_backward", lambda t: t.update({tensor: None}))
    assert told(found) == {(code, tensor, "static")}
    assert found[0].message.startswith(f"{tensor} is None")


def test_what_is_none_does_not_hide_the_cause_of_the_others(explain):
    def change(tensors):
        tensors["dh0"], tensors["db"] = None, -tensors["db"]

    found = explain("cs231n-a3", ["rnn_forward", "rnn_backward"], "rnn_backward", change)
    assert {cause.code for cause in found} == {"initial-state-gradient-not-set", "sign-flipped"}


@pytest.mark.parametrize("course, tensor, own", [("coursera-rnn", "dba", "(6,)"), ("cs231n-a3", "db", "(1, 7)")])
def test_a_bias_in_another_shape_is_told_with_both_shapes(explain, course, tensor, own):
    names = {
        "coursera-rnn": ["rnn_cell_forward", "rnn_cell_backward"],
        "cs231n-a3": ["rnn_step_forward", "rnn_step_backward"],
    }[course]

    def reshape(tensors):
        value = tensors[tensor]
        tensors[tensor] = value[:, 0] if value.ndim == 2 else value[None]

    (cause,) = explain(course, names, names[1], reshape)
    assert (cause.code, cause.tensor) == ("bias-gradient-keeps-dims", tensor)
    assert own in cause.message


def test_exchanged_gradients_may_be_the_fault_of_the_cache(explain):
    def exchange(tensors):
        tensors["dWx"], tensors["dWh"] = tensors["dWh"], tensors["dWx"]

    found = explain("cs231n-a3", ["rnn_step_forward", "rnn_step_backward"], "rnn_step_backward", exchange)
    assert told(found) == {("wrong-variable-returned", name, "ambiguous") for name in ("dWx", "dWh")}
    assert all(cause.also_matches == ("cache-order-mismatch",) for cause in found)


def test_a_gradient_that_stands_twice_is_no_exchange(explain):
    def twice(tensors):
        tensors["dx"] = tensors["dWx"]

    (found,) = explain("cs231n-a3", ["rnn_step_forward", "rnn_step_backward"], "rnn_step_backward", twice)
    assert (found.code, found.certainty, found.message) == (
        "wrong-variable-returned",
        "exact",
        "dx holds what belongs to dWx.",
    )


def test_a_sequence_that_is_a_step_short_comes_of_the_loop(explain):
    def short(tensors):
        tensors["dx"] = tensors["dx"][:, 1:]
        tensors["dh0"] = tensors["dh0"] * 2
        tensors["db"] = tensors["db"] / 3

    (found,) = explain("cs231n-a3", ["rnn_forward", "rnn_backward"], "rnn_backward", short)
    assert (found.code, found.tensor) == ("time-loop-skips-step", "dx")
    assert found.message == "dx has 3 time steps; it should have 4: the loop leaves one out."


def test_another_axis_that_is_short_is_no_loop(explain):
    def short(tensors):
        tensors["dx"] = tensors["dx"][1:]

    found = explain("cs231n-a3", ["rnn_forward", "rnn_backward"], "rnn_backward", short)
    assert "time-loop-skips-step" not in {cause.code for cause in found}


def test_a_weight_in_another_shape_is_no_bias(explain):
    names = ["rnn_step_forward", "rnn_step_backward"]
    (cause,) = explain("cs231n-a3", names, names[1], lambda t: t.update(dWx=t["dWx"][None]))
    assert (cause.code, cause.tensor) == ("wrong-flatten", "dWx")


def test_axes_in_another_order_are_named_and_hide_no_other_cause(explain):
    def change(tensors):
        tensors["dx"], tensors["db"] = tensors["dx"].transpose(0, 2, 1), -tensors["db"]

    found = explain("cs231n-a3", ["rnn_forward", "rnn_backward"], "rnn_backward", change)
    assert {(cause.code, cause.tensor) for cause in found} == {("layout-transposed", "dx"), ("sign-flipped", "db")}


def test_of_two_tensors_for_one_array_the_wrong_one_is_named():
    known = profile.read("cmu-11785")
    unit = Unit(known, known.groups()[known.find("RNNCell.forward").group])
    assert causes.names_of(unit, {"db_hh"})["db"] == ["db_hh"]
    assert causes.names_of(unit, set())["db"] == ["db_ih", "db_hh"]
