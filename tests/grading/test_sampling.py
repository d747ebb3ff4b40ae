"""Functions that write text: right ones pass however they draw, wrong ones are found and named.

A mistake is put into a right submission; nothing here knows the reference.
"""

import numpy as np
import pytest

from minrnn.grading.courses import cases, profile, sampling
from minrnn.grading.judging import draws
from minrnn.grading.judging.trials import Unit
from minrnn.grading.reference import FAMILIES
from minrnn.grading.variants import variants_for

CHOICE = "np.random.choice(vocab_size, p=p.ravel())"
NEW_ID = f"        ix = {CHOICE}\n"
ONE_HOT = (
    "        x = np.zeros((vocab_size, 1))\n        x[ix] = 1\n        h = np.tanh(Wxh @ x + Whh @ h + bh)\n        y"
)
CUMULATIVE = "int(np.searchsorted(np.cumsum(p), np.random.rand() * 0.999999))"


def graded(spoilt, course, *changes, **options):
    """The result of the one function that writes text."""
    name, group = {"d2l": ("predict_ch8", "predict")}.get(course, ("sample", "sample"))
    return spoilt(*changes, course=course, groups=(group,), **options)[name]


def codes(result):
    return [cause.code for cause in result.diagnosis]


# However a right one draws.

RIGHT_WAYS = {
    "choice of a list": (CHOICE, "np.random.choice(list(range(vocab_size)), p=p[:, 0])"),
    "inverse of the distribution": (CHOICE, CUMULATIVE),
    "Python's own numbers": (CHOICE, "__import__('random').choices(range(vocab_size), weights=p[:, 0])[0]"),
    "Gumbel": (CHOICE, "int(np.argmax(y[:, 0] - np.log(-np.log(np.random.rand(vocab_size)))))"),
    "multinomial": (CHOICE, "int(np.random.multinomial(1, p[:, 0]).argmax())"),
    "a generator of its own": (CHOICE, "np.random.default_rng().choice(vocab_size, p=p[:, 0])"),
    "shifted softmax": ("p = np.exp(y) / np.exp(y).sum()", "p = np.exp(y - y.max()); p = p / p.sum()"),
}


@pytest.mark.parametrize("way", RIGHT_WAYS)
def test_a_right_sampler_passes_however_it_draws(way, spoilt):
    result = graded(spoilt, "min-char-rnn", RIGHT_WAYS[way])
    assert (result.status, result.score, result.diagnosis) == ("correct", 5.0, [])


# What is wrong without a choice.

LOOPS = {  # name: (code, change)
    "not fed back": ("sample-not-fed-back", ("        x[ix] = 1\n        h", "        x[seed_ix] = 1\n        h")),
    "not reset": (
        "sample-input-not-reset",
        ("ixes, ix = [], seed_ix\n", "ixes, ix = [], seed_ix\n    x = np.zeros((vocab_size, 1))\n"),
        (ONE_HOT, ONE_HOT.split("\n", 1)[1]),
    ),
    "state not carried": (
        "state-not-carried",
        (
            "        h = np.tanh(Wxh @ x + Whh @ h + bh)\n        y = Why @ h",
            "        g = np.tanh(Wxh @ x + Whh @ h + bh)\n        y = Why @ g",
        ),
    ),
    "state of zeros": (
        "initial-state-ignored",
        ("ixes, ix = [], seed_ix\n", "ixes, ix = [], seed_ix\n    h = np.zeros_like(h)\n"),
    ),
    "start ignored": ("sample-wrong-start", ("ixes, ix = [], seed_ix", "ixes, ix = [], 0")),
    "one too few": ("sample-wrong-length", ("return ixes", "return ixes[:-1]")),
    "one too many": ("sample-wrong-length", ("while len(ixes) < n:", "while len(ixes) <= n:")),
    "start counted": ("sample-wrong-length", ("ixes, ix = [], seed_ix", "ixes, ix = [seed_ix], seed_ix")),
    "start returned": ("sample-wrong-length", ("return ixes", "return [seed_ix] + ixes")),
    "old state": (
        "wrong-previous-state",
        (
            "        h = np.tanh(Wxh @ x + Whh @ h + bh)\n        y = Why @ h + by",
            "        y = Why @ h + by\n        h = np.tanh(Wxh @ x + Whh @ h + bh)",
        ),
    ),
    "no bias": (
        "bias-missing",
        (
            "y = Why @ h + by\n        p = np.exp(y) / np.exp(y).sum()\n        ix",
            "y = Why @ h\n        p = np.exp(y) / np.exp(y).sum()\n        ix",
        ),
    ),
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_wrong_loop_is_named(name, spoilt):
    code, *changes = LOOPS[name]
    result = graded(spoilt, "min-char-rnn", *changes)
    assert (result.status, result.score, codes(result)) == ("wrong", 0, [code])


DINOSAURUS = {
    "end not looked at": (
        "sample-wrong-length",
        ('while idx != char_to_ix["\\n"] and counter < 50', "while counter < 50"),
    ),
    "another end": ("unknown-cause", ('idx != char_to_ix["\\n"] and', "idx != 0 and")),
    "no end at the limit": ("sample-wrong-length", ("if counter == 50:", "if counter == 51:")),
    "end left out": (
        "sample-wrong-length",
        ("    return indices\n", '    return [i for i in indices if i != char_to_ix["\\n"]]\n'),
    ),
    "state not carried": (
        "state-not-carried",
        (
            '        a = np.tanh(parameters["Wax"] @ x',
            '        a = np.zeros_like(a)\n        a = np.tanh(parameters["Wax"] @ x',
        ),
    ),
    "not reset": ("sample-input-not-reset", ("        x = np.zeros_like(x)\n        x[idx]", "        x[idx]")),
    "not fed back": ("sample-not-fed-back", ("        x[idx] = 1\n", "")),
}


@pytest.mark.parametrize("name", DINOSAURUS)
def test_a_wrong_loop_with_an_end_is_named(name, spoilt):
    code, *changes = DINOSAURUS[name]
    result = graded(spoilt, "coursera-dinosaurus", *changes)
    assert (result.status, result.score, codes(result)) == ("wrong", 0, [code])


PREDICTIONS = {
    "drawn": (None, ("int(y.argmax(axis=1).item())", "int(np.random.choice(11, p=np.exp(y[0]) / np.exp(y[0]).sum()))")),
    "not warmed up": (
        "sample-wrong-start",
        (
            "        _, state = net(np.array([outputs[-1:]]), state)\n        outputs.append(vocab",
            "        outputs.append(vocab",
        ),
    ),
    "state not carried": ("state-not-carried", ("        y, state = net", "        y, _ = net")),
    "without its beginning": (
        None,
        (
            'return "".join(vocab.idx_to_token[i] for i in outputs)',
            'return "".join(vocab.idx_to_token[i] for i in outputs[len(prefix):])',
        ),
    ),
    "no text": (None, ('return "".join(vocab.idx_to_token[i] for i in outputs)', "return outputs")),
}


@pytest.mark.parametrize("name", PREDICTIONS)
def test_a_wrong_prediction_is_found(name, spoilt):
    code, *changes = PREDICTIONS[name]
    result = graded(spoilt, "d2l", *changes)
    assert (result.status, result.score) == ("wrong", 0)
    assert code is None or codes(result) == [code]


# What is wrong with the draws.

DRAWS = {
    "argmax": ("sample-not-drawn", (CHOICE, "int(np.argmax(p))")),
    "equal chances": ("sample-equal-chances", (CHOICE, "int(np.random.choice(np.flatnonzero(p > 1e-9)))")),
    "square of the chances": (
        "sample-wrong-distribution",
        (CHOICE, "np.random.choice(vocab_size, p=p.ravel() ** 2 / (p**2).sum())"),
    ),
    "best three": (
        "sample-wrong-distribution",
        (
            CHOICE,
            "(lambda best: int(np.random.choice(best, p=p[best, 0] / p[best, 0].sum())))(np.argsort(-p[:, 0])[:3])",
        ),
    ),
    "seed in the loop": ("sample-not-drawn", (NEW_ID, f"        np.random.seed(0)\n{NEW_ID}")),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_wrong_draw_is_named(name, spoilt):
    code, *changes = DRAWS[name]
    result = graded(spoilt, "min-char-rnn", *changes)
    assert (result.status, result.score, codes(result)) == ("wrong", 0, [code])
    assert [output.status for output in result.outputs] == ["wrong"]


def test_a_seed_that_does_not_change_with_the_step_is_named(spoilt):
    change = ("np.random.seed(counter + seed)", "np.random.seed(seed - counter)")  # seed grows by 1, as counter does
    result = graded(spoilt, "coursera-dinosaurus", change)
    assert (result.status, codes(result)) == ("wrong", ["sample-same-draw"])


def test_without_the_course_s_seed_it_is_right_too(spoilt):
    result = graded(spoilt, "coursera-dinosaurus", ("        np.random.seed(counter + seed)\n", ""))
    assert (result.status, result.score) == ("correct", 10.0)


# The inputs are what they are said to be.


@pytest.mark.parametrize("course", ["min-char-rnn", "coursera-dinosaurus"])
def test_the_right_id_is_so_far_ahead_that_no_draw_gives_another(course):
    """The chance of any other id in any step is below 1e-12, and a softmax without a shift stands the scores."""
    found = profile.read(course)
    unit = Unit(found, [found.find("sample")])
    for seed in range(20):
        case = unit.case(seed, unit.first.turn(seed))
        inputs, h = case.inputs, case.inputs["h0"]
        x = np.eye(11)[inputs["prefix"]].reshape(-1) if "prefix" in inputs else np.zeros(11)
        for id in case.outputs["ids"][: inputs["count"]]:
            h = np.tanh(x @ inputs["Wx"] + h @ inputs["Wh"] + inputs["b"])
            z = h @ inputs["Wy"] + inputs["by"]
            assert z.argmax() == id and np.sort(z)[-1] - np.sort(z)[-2] > 30
            assert z.max() > -700 and np.isfinite(np.exp(z).sum())
            x = np.eye(11)[id]


def test_the_cases_end_at_a_newline_and_at_the_limit():
    found = profile.read("coursera-dinosaurus")
    unit = Unit(found, [found.find("sample")])
    for seed in range(10):
        ends = [unit.case(seed, unit.first.turn(k)).outputs["ids"] for k in (0, 1)]
        assert [len(ids) for ids in ends] == [6, 51]
        assert all(ids[-1] == 3 and 3 not in ids[:-1] for ids in ends)


def test_three_cases_show_every_mistake_that_a_course_can_have():
    """Over the seeds of a submission no wrong loop gives the right ids of all cases."""
    wrong = {
        "min-char-rnn": lambda bug: bug.where not in ("end passed", "end not added", "first", "state"),
        "coursera-dinosaurus": lambda bug: (
            bug.where not in ("no input", "first", "state", "prefix for last", "prefix too", "h0")
        ),
    }
    family = FAMILIES["char_sample"]
    for course, concerns in wrong.items():
        found = profile.read(course)
        unit = Unit(found, [found.find("sample")])
        for start in range(0, 24, 3):
            known = [unit.case(start + k, unit.first.turn(k)) for k in range(3)]
            for bug in filter(concerns, variants_for("char_sample")):
                with np.errstate(all="ignore"):
                    ids = [family.forward(case.inputs, bug)["ids"] for case in known]
                assert not all(np.array_equal(a, case.outputs["ids"]) for a, case in zip(ids, known, strict=True)), bug


def test_a_right_draw_is_never_far_from_its_chances_and_a_wrong_one_is():
    rng = np.random.default_rng(0)
    found = profile.read("min-char-rnn")
    layout = cases.layout_of("char_sample", "", {**found.sizes, "T": 50})
    for seed in range(50):
        _, chances = sampling.flat(layout, [], {}, seed)
        right = np.bincount(rng.choice(11, 2000, p=chances), minlength=11)
        assert draws.fits(right, chances)
        assert not draws.fits(right, np.roll(chances, 1))
        sharper = chances**1.5 / (chances**1.5).sum()
        assert not draws.fits(np.bincount(rng.choice(11, 2000, p=sharper), minlength=11), chances)
