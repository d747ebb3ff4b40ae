"""Relations and places of wrong tensors, exact or not at all."""

import numpy as np
import pytest

from minrnn.grading.diagnosis.diagnose import Observation
from minrnn.grading.diagnosis.forensics import examine, place
from minrnn.grading.reference import FAMILIES, NONE


@pytest.fixture
def findings(observe):
    """findings(family, tensor, change) -> what is said where change(right) is returned for the tensor."""

    def find(name, tensor, change):
        seeds = [
            Observation(s.inputs, s.upstream, {**s.student, tensor: change(s.expected[tensor])}, s.expected)
            for s in observe(name, NONE, side="backward")
        ]
        return examine(FAMILIES[name], seeds, [tensor])

    return find


RELATIONS = {
    "sign-flipped": ("rnn_sequence", "dx", lambda right: -right),
    "mean-instead-of-sum": ("rnn_sequence", "dWh", lambda right: right / 4),
    "sum-instead-of-mean": ("rnn_sequence", "db", lambda right: right * 12),
    "constant-factor": ("rnn_sequence", "dx", lambda right: right * 0.37),
    "missing-transpose": ("rnn_sequence", "dWx", lambda right: right.T),
    "time-loop-wrong-direction": ("rnn_sequence", "dx", lambda right: right[::-1]),
    "input-gradient-accumulated": ("rnn_sequence", "dx", lambda right: right * 0 + right.sum(axis=0)),
    "bias-gradient-scalar": ("lstm_step", "db", lambda right: right.sum()),
    "wrong-flatten": ("rnn_sequence", "dWx", lambda right: right.reshape(-1)),
    "gate-order-swapped": ("lstm_step", "dWh", lambda right: np.roll(right, 7, axis=1)),
}


@pytest.mark.parametrize("code", RELATIONS)
def test_a_relation_is_named(findings, code):
    (finding,) = findings(*RELATIONS[code])
    assert finding.code == code and finding.relation


WORDS = {  # 4 steps, 3 examples; the gates i f o g are moved on by one
    "mean-instead-of-sum": "divided by the number of steps",
    "sum-instead-of-mean": "times the number of examples and the number of steps",
    "gate-order-swapped": "in the order gifo",
    "constant-factor": "times 0.37",
}


@pytest.mark.parametrize("code", WORDS)
def test_a_relation_is_told_with_its_size_or_order(findings, code):
    (finding,) = findings(*RELATIONS[code])
    assert finding.relation.endswith(WORDS[code])


@pytest.mark.parametrize("code", RELATIONS)
def test_a_relation_that_is_nearly_one_is_not_named(findings, code):
    name, tensor, change = RELATIONS[code]

    def nearly(right):
        wrong = np.array(change(right), dtype=float)
        wrong.flat[0] += 1e-3 * np.abs(right).max()
        return wrong

    (finding,) = findings(name, tensor, nearly)
    assert finding.code == "unknown-cause"


def test_a_relation_must_be_the_same_on_all_seeds(observe):
    seeds = [
        Observation(s.inputs, s.upstream, {**s.student, "dx": factor * s.expected["dx"]}, s.expected)
        for s, factor in zip(observe("rnn_step", NONE, side="backward"), (2.0, 3.0), strict=True)
    ]
    (finding,) = examine(FAMILIES["rnn_step"], seeds, ["dx"])
    assert finding.code == "unknown-cause"


def test_tensors_with_one_relation_are_one_finding(observe):
    seeds = [
        Observation(s.inputs, s.upstream, {n: 0.3 * v for n, v in s.expected.items()}, s.expected)
        for s in observe("rnn_step", NONE, side="backward")
    ]
    (finding,) = examine(FAMILIES["rnn_step"], seeds, list(seeds[0].expected))
    assert (finding.code, finding.tensors) == ("constant-factor", ("dx", "dh_prev", "dWx", "dWh", "db"))


@pytest.mark.parametrize("step, vector", [(0, "h[2]"), (2, "h0"), (1, "h[3]"), (3, "zeros")])
def test_the_vector_that_was_really_used_is_recovered(observe, step, vector):
    """One outer product of dWh is made with another state: least squares gives the state, and its name is found."""
    family, seeds = FAMILIES["rnn_sequence"], []
    for s in observe("rnn_sequence", NONE, side="backward"):
        deltas, vectors = family.deltas(s.inputs, s.upstream)
        used = vectors.get(vector, np.zeros_like(s.inputs["h0"]))
        right = s.inputs["h0"] if step == 0 else vectors[f"h[{step - 1}]"]
        wrong = s.expected["dWh"] + (used - right).T @ deltas[step]
        seeds.append(Observation(s.inputs, s.upstream, {**s.student, "dWh": wrong}, s.expected))
    (finding,) = examine(family, seeds, ["dWh"])
    assert finding.code == "wrong-previous-state"
    assert finding.relation == f"{vector} was used for the state before step {step}"


def test_a_strange_vector_has_no_name_but_its_rank(observe):
    family, seeds = FAMILIES["rnn_sequence"], []
    for k, s in enumerate(observe("rnn_sequence", NONE, side="backward")):
        deltas, _ = family.deltas(s.inputs, s.upstream)
        strange = np.random.default_rng(k).standard_normal(s.inputs["h0"].shape)
        wrong = s.expected["dWh"] + strange.T @ deltas[1]
        seeds.append(Observation(s.inputs, s.upstream, {**s.student, "dWh": wrong}, s.expected))
    (finding,) = examine(family, seeds, ["dWh"])
    assert finding.code == "unknown-cause" and finding.details["rank"] == {"dWh": 3}


def test_zeros_are_said_to_be_zeros(findings):
    (finding,) = findings("rnn_step", "dx", lambda right: right * 0)
    assert (finding.code, finding.relation) == ("unknown-cause", "zero")


def test_places_of_several_seeds_are_put_together(observe):
    seeds = []
    for t, s in enumerate(observe("rnn_sequence", NONE, side="backward")):
        dx = s.expected["dx"].copy()
        dx[t + 1] += 1
        seeds.append(Observation(s.inputs, s.upstream, {**s.student, "dx": dx}, s.expected))
    assert place(FAMILIES["rnn_sequence"], seeds, ["dx"]).time_steps == (1, 2)


def test_wrong_at_every_step_is_no_place(observe):
    seeds = [
        Observation(s.inputs, s.upstream, {**s.student, "dx": s.expected["dx"] + 1}, s.expected)
        for s in observe("rnn_sequence", NONE, side="backward")
    ]
    assert place(FAMILIES["rnn_sequence"], seeds, ["dx"]).time_steps == ()


def test_zeros_on_one_seed_alone_are_not_called_zeros(observe):
    seeds = [
        Observation(s.inputs, s.upstream, {**s.student, "dx": k * (s.expected["dx"] + 1)}, s.expected)
        for k, s in enumerate(observe("rnn_sequence", NONE, side="backward"))
    ]
    found = place(FAMILIES["rnn_sequence"], seeds, ["dx"])
    assert found.relation == "" and "zero" not in found.details
