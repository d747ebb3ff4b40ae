"""The sentences: each template is that of some mistake, and says what belongs in the place of what is wrong."""

import pytest

from minrnn.grading.diagnosis import messages
from minrnn.grading.diagnosis.messages import sentence
from minrnn.grading.diagnosis.templates import TEMPLATES
from minrnn.grading.judging.calls import SHARES
from minrnn.grading.reference import FAMILIES, Bug
from minrnn.grading.variants import variants_for
from minrnn.grading.variants.recurrent import BIAS_SHARES

STEP = {"h": "next_h", "c": "next_c", "c_prev": "prev_c", "dc": "dnext_c", "dh_prev": "dprev_h"}


def test_every_template_is_that_of_a_mistake():
    """One that is never taken is hidden behind a more special one, or its code is gone."""
    taken = {
        next((key for key in messages._keys(bug) if key in TEMPLATES), None)
        for name in FAMILIES
        for bug in variants_for(name)
    }
    assert set(TEMPLATES) - taken == set()


@pytest.mark.parametrize("name", FAMILIES)
def test_no_mark_or_gap_is_left(name):
    for bug in variants_for(name):
        for names in ({}, STEP):
            text = sentence(bug, names)
            assert not any(left in text for left in ("<", ">", "it should be .", "by ,", "by .", "is ;", "of ;")), text


SENTENCES = [
    (Bug("tanh-derivative-missing", "h"), "multiply the gradient of next_h by 1 - next_h²."),
    (Bug("sigmoid-derivative-missing", "f"), "multiply the gradient of gate f by f * (1 - f)."),
    (Bug("gate-copy-paste", "f", {"operand": "i"}), "multiplied by gate i; it should be multiplied by prev_c."),
    (Bug("cell-gradient-incomplete", "dc", {"lost": "dc"}), "comes from dnext_c, the gradient from step t+1: dc is"),
    (Bug("derivative-precedence", "i", {"form": "d s - s"}), "it should be d * s * (1 - s)."),
    (Bug("derivative-precedence", "c", {"form": "d - s²"}), "it should be d * (1 - s²)."),
    (Bug("upstream-ignored", "o", {"value": "ones"}), "is not multiplied by dh, the gradient of next_h."),
    (Bug("missing-transpose", "dh_prev", {"gate": "f"}), "dprev_h: in the share of gate f"),
    (Bug("state-not-carried", "c_prev", side="forward"), "does not use prev_c"),
]


@pytest.mark.parametrize("bug, part", SENTENCES, ids=str)
def test_the_sentence_says_what_belongs_there_in_the_names_of_the_course(bug, part):
    assert part in sentence(bug, STEP)


def test_a_tensor_without_a_name_in_the_course_gets_words():
    bug = Bug("missing-transpose", "dh_prev", {"gate": "f"})
    assert sentence(bug, {}).startswith("The gradient of the previous state: in the share of gate f")
    lost = Bug("cell-gradient-incomplete", "dc", {"lost": "dc"})
    assert "comes from dc_next, the gradient from step t+1" in sentence(lost, {})


def test_what_is_listed_is_named_once():
    assert messages.listed(["a", "b", "a", "c"]) == "a, b and c"
    assert messages.listed(["a", "a"]) == "a"


def test_the_shares_of_two_biases_are_those_that_the_judge_gives_them():
    assert SHARES[2] == BIAS_SHARES
