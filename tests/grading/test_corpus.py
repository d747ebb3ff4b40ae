"""The corpus of submissions: its programs are what they claim to be, and the grader says of them what is true.

The first half does not use the grader: right templates against minrnn.kernels and against differences of their own
forward, edits against their templates. The second half grades a sample; MINRNN_CORPUS_EVERY=1 grades all (half an hour
on one core), `python tests/grading/corpus/measure.py` does the same and shows each that is not as it should be.
"""

import os
from collections import Counter

import numpy as np
import pytest

EVERY = int(os.environ.get("MINRNN_CORPUS_EVERY", "48"))
NAMED, MISNAMED = (0.9, 0.02) if EVERY == 1 else (0.75, 0.1)  # one of a dozen may be one that no code names
RIGHT_WITHIN = 1e-9
DIFFERENCES_WITHIN = 1e-7
WRONG_BEYOND = 1e-6
NOT_DONE = {
    "unfinished": {
        *("word_embedding_forward", "word_embedding_backward", "lstm_step_forward", "lstm_step_backward"),
        *("lstm_forward", "lstm_backward"),
    },
    "in_place": {"lstm_cell_backward", "lstm_backward"},
}


@pytest.fixture(scope="session")
def truth(corpus, independent, courses):
    """Of every template: its course, its program, what it computes."""
    found = {}
    for template in corpus.templates():
        course = courses[template.profile](1)
        program = independent.load(template.source)
        found[template.profile, template.name] = template, course, program, course.answers(program)
    return found


def test_there_are_enough_submissions_of_every_kind(corpus):
    names = [submission.name for submission in corpus.submissions()]
    assert len(set(names)) == len(names) >= 300
    templates = Counter(template.profile for template in corpus.templates())
    assert templates == {"cs231n-a3": 9, "coursera-rnn": 3, "min-char-rnn": 3, "cmu-11785": 2}
    styles = Counter(submission.style for submission in corpus.right())
    assert min(count for style, count in styles.items() if style != "division") >= 5


def test_templates_are_right_by_the_kernels(truth, independent):
    for (profile, name), (_, course, _, answers) in truth.items():
        expected = course.expected()
        not_done = NOT_DONE.get(name, set())
        assert len(answers.keys() - not_done) >= 1
        for function in answers.keys() - not_done:
            error = independent.difference(answers[function], expected[function])
            assert error < RIGHT_WITHIN, f"{profile}/{name}: {function} is off by {error:.1e}"


def test_gradients_of_templates_are_those_of_their_own_forward(truth, independent):
    for (profile, name), (_, course, program, answers) in truth.items():
        for pair in course.pairs:
            backward = pair.backward or pair.forward
            if backward not in answers or backward in NOT_DONE.get(name, ()):
                continue
            slopes = course.differences(program, pair)
            error = independent.difference(slopes, {gradient: answers[backward][gradient] for gradient in slopes})
            assert error < DIFFERENCES_WITHIN, f"{profile}/{name}: {backward} is off by {error:.1e}"


def test_functions_that_are_not_done_give_nothing(truth):
    for (_, name), (_, _, _, answers) in truth.items():
        for function in NOT_DONE.get(name, ()):
            answer = answers[function]
            assert isinstance(answer, Exception) or any(value is None for value in answer.values())


def test_every_edit_changes_the_functions_it_names(truth, independent):
    for (profile, name), (template, course, _, right) in truth.items():
        for edit in template.edits:
            answers = course.answers(independent.load(edit.apply(template.source)))
            for function in edit.functions:
                change = independent.difference(answers[function], right[function])
                assert change > WRONG_BEYOND, f"{profile}/{name}.bugs:{edit.line} does not change {function}"


def test_edits_of_a_template_differ_from_each_other(truth):
    for template, *_ in truth.values():
        sources = Counter(edit.apply(template.source) for edit in template.edits)
        assert max(sources.values()) == 1, f"{template.name} has an edit twice"


def test_accepted_codes_exist(truth):
    from minrnn.grading.outcome.codes import CODES

    for template, *_ in truth.values():
        for edit in template.edits:
            assert set(edit.codes) <= CODES.keys(), f"{template.name}.bugs:{edit.line}: {edit.codes}"


@pytest.mark.parametrize("style", ["prints", "windows", "latin"])
def test_styles_do_not_change_what_is_computed(truth, independent, styles, tmp_path, style):
    for template, course, _, right in truth.values():
        text = styles.STYLES[style](template.source, tmp_path).read_bytes()
        answers = course.answers(independent.load(text.decode("utf-8-sig" if style != "latin" else "latin-1")))
        assert all(independent.difference(answers[name], right[name]) == 0.0 for name in right)


def test_python2_style_is_not_python3(corpus, styles, tmp_path):
    old = [template for template in corpus.templates() if styles.applies("python2", template.source)]
    assert len(old) >= 5
    for template in old:
        text = styles.python2(template.source, tmp_path).read_text()
        with pytest.raises(SyntaxError):
            compile(text, "old", "exec")


@pytest.mark.parametrize(
    "text",
    ["code :: a :: b", "[f]\ncode :: a", "[f]\ncode :: a :: b :: c"],
)
def test_a_list_that_is_not_in_order_is_refused(corpus, text):
    with pytest.raises(ValueError, match="line"):
        corpus.read_edits(text)


def test_an_edit_that_does_not_fit_is_refused(corpus):
    source = "def f():\n    return 1 + 1\n\n\ndef g():\n    return 2\n"
    for old in ("1", "3", "2"):
        (edit,) = corpus.read_edits(f"[f]\ncode :: {old} :: 4")
        with pytest.raises(ValueError, match="times"):
            edit.apply(source)


@pytest.fixture(scope="module")
def outcomes(corpus, measure):
    """The verdicts on a sample of the corpus."""
    programs = [*list(corpus.right())[::EVERY], *list(corpus.wrong())[::EVERY]]
    found = measure.measure(programs)
    print(measure.summary(found))
    return found


def listed(measure, outcomes):
    return "\n" + "\n".join(f"{outcome.name}: {measure.describe(outcome)}" for outcome in outcomes)


def test_no_right_function_fails(measure, outcomes):
    failed = [outcome for outcome in outcomes if outcome.failed]
    assert not failed, listed(measure, failed)


def test_every_wrong_function_is_found(measure, outcomes):
    missed = [outcome for outcome in outcomes if outcome.missed]
    assert not missed, listed(measure, missed)


def test_causes_are_named_and_not_named_wrongly(measure, outcomes):
    wrong = [outcome for outcome in outcomes if not outcome.right]
    unnamed = [outcome for outcome in wrong if not outcome.named]
    misnamed = [outcome for outcome in wrong if outcome.misnamed]
    assert np.mean([outcome.named for outcome in wrong]) >= NAMED, measure.summary(outcomes) + listed(measure, unnamed)
    assert len(misnamed) <= MISNAMED * len(wrong), listed(measure, misnamed)
