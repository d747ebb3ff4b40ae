"""The codes: all of them, each with words that a student can act on."""

import re

import pytest

from minrnn.grading.outcome.codes import CODES, explain

# Written out: a code that is renamed or lost breaks the results that others keep.
NAMES = {
    "activation-used-as-delta",
    "adam-beta-without-power",
    "adam-corrected-moment-stored",
    "adam-correction-multiplied",
    "adam-epsilon-inside-root",
    "adam-no-bias-correction",
    "adam-step-counter",
    "ambiguous-cause",
    "batch-axis-dropped",
    "bias-gradient-from-weights",
    "bias-gradient-keeps-dims",
    "bias-gradient-scalar",
    "blocked-by-stub",
    "cache-consumed",
    "cache-not-returned",
    "cache-order-mismatch",
    "cache-overwritten",
    "cached-view-overwritten",
    "cell-gradient-incomplete",
    "cell-path-without-output-gate",
    "cell-tanh-missing",
    "clip-norm-per-parameter",
    "clip-wrong-kind",
    "concat-order-swapped",
    "constant-factor",
    "defined-twice",
    "derivative-precedence",
    "edge-shape-failure",
    "elementwise-for-matmul",
    "embedding-duplicates-lost",
    "embedding-wrong-index",
    "exception",
    "fixed-answers",
    "float32-upcast",
    "follows-own-forward",
    "forbidden-import",
    "gate-copy-paste",
    "gate-order-swapped",
    "gradient-added-to-itself",
    "gradient-not-accumulated",
    "gru-interpolation-flipped",
    "gru-reset-placement",
    "initial-cell-wrong",
    "initial-state-gradient-not-set",
    "initial-state-ignored",
    "input-gradient-accumulated",
    "killed-by-signal",
    "layout-transposed",
    "malformed-result",
    "mask-ignored",
    "matches-misprinted-answer",
    "mean-instead-of-sum",
    "memory-limit",
    "missing-cell-carry",
    "missing-hidden-carry",
    "missing-module",
    "missing-time-carry",
    "missing-transpose",
    "misspelt-name",
    "mutates-input",
    "mutates-upstream",
    "non-finite-values",
    "nondeterministic",
    "nonlinearity-missing",
    "nonlinearity-wrong",
    "not-implemented-stub",
    "numeric-differentiation",
    "output-flood",
    "prints",
    "process-exit",
    "python2-division",
    "python2-syntax",
    "ragged-array",
    "removed-numpy-api",
    "root-missing",
    "sigmoid-derivative-missing",
    "sign-flipped",
    "softmax-global-shift",
    "softmax-not-shifted",
    "softmax-wrong-axis",
    "state-not-carried",
    "sum-instead-of-mean",
    "syntax-error",
    "tanh-applied-twice",
    "tanh-derivative-missing",
    "tanh-derivative-of-gradient",
    "time-limit",
    "time-loop-skips-step",
    "time-loop-wrong-direction",
    "trains-at-import",
    "undefined-name",
    "unknown-cause",
    "upstream-ignored",
    "upstream-last-step-only",
    "wrong-activation-derivative",
    "wrong-flatten",
    "wrong-previous-state",
    "wrong-variable-returned",
}


def test_no_code_was_renamed_or_lost():
    assert set(CODES) >= NAMES
    assert all(CODES[name].code == name for name in CODES)


@pytest.mark.parametrize("name", sorted(CODES))
def test_every_text_is_whole_sentences_on_one_line(name):
    code = CODES[name]
    for text in (code.what, code.why, code.repair):
        assert text.endswith(".") and text == " ".join(text.split()), text
    assert len({code.what, code.why, code.repair}) == 3
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)


def test_no_two_codes_say_the_same():
    for part in ("what", "why", "repair"):
        texts = [getattr(code, part) for code in CODES.values()]
        assert len(texts) == len(set(texts)), part


def test_explain_gives_all_parts():
    code = CODES["missing-time-carry"]
    text = explain("missing-time-carry")
    assert text.startswith("missing-time-carry (time)\n")
    assert all(part in text for part in (code.what, code.why, code.repair))


def test_explain_names_what_looks_like_a_typing_error():
    with pytest.raises(ValueError, match="did you mean missing-time-carry"):
        explain("missing-time-cary")
    with pytest.raises(ValueError, match="there is no code 'xyzzy'"):
        explain("xyzzy")
