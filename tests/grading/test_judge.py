"""The judge on submissions written for these tests: right ones of each course, and single mistakes put into them.

A mistake is one replaced line of a right submission, in the words of the course; nothing here knows the reference.
"""

from pathlib import Path

import pytest

from minrnn.grading.sandbox import Limits

RIGHT = Path(__file__).parent / "right"


def codes(result):
    return [cause.code for cause in result.diagnosis]


def traits(result):
    return {note.code for note in [*result.traits, *result.advisories]}


# What is right is right.


@pytest.mark.parametrize("path", sorted(RIGHT.glob("*.py")), ids=lambda path: path.stem)
def test_a_right_submission_has_all_points(path, grade):
    results = grade(path, path.stem.replace("_", "-"), sandbox="auto")
    assert {name: result.status for name, result in results.items()} == dict.fromkeys(results, "correct")
    for result in results.values():
        assert result.score == result.max_score
        assert result.diagnosis == [] and result.exception is None and result.isolated is None
        assert all(output.status == "correct" and output.max_rel_error < 1e-9 for output in result.outputs)


@pytest.fixture(scope="module")
def right(grade):
    return grade(RIGHT / "cs231n_a3.py", groups=("lstm-step", "lstm-sequence", "sgd"))


def test_an_upstream_changed_in_place_is_a_trait(right):
    assert traits(right["lstm_step_backward"]) == {"mutates-upstream"}


def test_a_cache_used_up_is_a_trait(right):
    assert traits(right["lstm_backward"]) == {"cache-consumed"}


def test_an_update_may_change_the_weights_in_place(right):
    assert traits(right["sgd"]) == set()


def test_finite_differences_of_the_own_forward_are_reported(right):
    errors = [output.fd_rel_error for output in right["lstm_step_backward"].outputs]
    assert len(errors) == 6 and max(errors) < 1e-7


# One mistake, its place and its cause.

MISTAKES = {  # code: (function, what is wrong, old, new, group)
    "missing-transpose": ("rnn_step_backward", {"dprev_h"}, "da.dot(Wh.T), x.T", "da.dot(Wh), x.T", "rnn-step"),
    "sigmoid-derivative-missing": (
        "lstm_step_backward",
        {"dx", "dprev_h", "dWx", "dWh", "db"},
        'do = dnext_h * tc * k["o"] * (1 - k["o"])',
        "do = dnext_h * tc",
        "lstm-step",
    ),
    "embedding-duplicates-lost": (
        "word_embedding_backward",
        {"dW"},
        "np.add.at(dW, x, dout)",
        "dW[x] += dout",
        "embedding",
    ),
    "bias-gradient-keeps-dims": (
        "affine_backward",
        {"db"},
        "return dx, dw, dout.sum(axis=0)",
        "return dx, dw, dout.sum(axis=0, keepdims=True)",
        "affine",
    ),
    "mask-ignored": (
        "temporal_softmax_loss",
        {"loss"},  # dx goes with the loss that is computed
        "    n, t = np.indices(y.shape)\n",
        "    n, t = np.indices(y.shape)\n    mask = np.ones_like(mask)\n",
        "softmax-loss",
    ),
    "adam-beta-without-power": (
        "adam",
        {"next_w"},
        'config["m"] / (1 - b1**t), config["v"] / (1 - b2**t)',
        'config["m"] / (1 - b1), config["v"] / (1 - b2)',
        "adam",
    ),
}


@pytest.mark.parametrize("code", MISTAKES)
def test_a_mistake_is_found_in_its_place_and_named(code, spoilt):
    name, tensors, old, new, group = MISTAKES[code]
    results = spoilt((old, new), groups=(group,))
    result = results.pop(name)
    assert {output.name for output in result.outputs if output.status != "correct"} == tensors
    assert result.diagnosis[0].code == code
    assert result.diagnosis[0].tensor in tensors
    assert all(other.status == "correct" for other in results.values())


def test_only_right_tensors_have_points(spoilt):
    result = spoilt(("da.dot(Wh.T), x.T", "da.dot(Wh), x.T"), groups=("rnn-step",))["rnn_step_backward"]
    assert (result.score, result.max_score) == (8.0, 10.0)


# The forward and its backward are judged apart.

ORDER = (
    ("ai, af, ao, ag = np.split(a, 4, axis=1)", "ai, af, ag, ao = np.split(a, 4, axis=1)"),
    ("da = np.hstack([di, df, do, dg])", "da = np.hstack([di, df, dg, do])"),
)


def test_a_backward_that_is_right_for_a_wrong_forward_keeps_its_points(spoilt):
    results = spoilt(*ORDER, groups=("lstm-step",))
    assert results["lstm_step_forward"].status == "wrong"
    assert codes(results["lstm_step_forward"]) == ["gate-order-swapped"]
    backward = results["lstm_step_backward"]
    assert (backward.status, backward.score) == ("correct", backward.max_score)
    assert "follows-own-forward" in traits(backward)
    assert max(o.fd_rel_error for o in backward.outputs) < 1e-6 < max(o.max_rel_error for o in backward.outputs)


def test_own_forward_strict_takes_these_points(spoilt):
    backward = spoilt(*ORDER, groups=("lstm-step",), policies={"own-forward": "strict"})["lstm_step_backward"]
    assert backward.score == 0


def test_a_backward_that_is_wrong_for_a_wrong_forward_is_wrong(spoilt):
    results = spoilt(ORDER[0], groups=("lstm-step",))
    assert results["lstm_step_backward"].status == "wrong"
    assert results["lstm_step_backward"].score < results["lstm_step_backward"].max_score


# A wrong step costs its points once.

BOTH = ("rnn-step", "rnn-sequence")
WRONG_STEP = ("da.dot(Wh.T), x.T", "da.dot(Wh), x.T")
WRONG_LOOP = ("rnn_step_backward(dh[:, t] + carry, cache[t])", "rnn_step_backward(dh[:, t], cache[t])")
STUB = (
    "    next_h = np.tanh(prev_h.dot(Wh) + x.dot(Wx) + b)\n",
    "    next_h, cache = None, None\n    return next_h, cache\n",
)


def test_a_right_loop_over_a_wrong_step_has_all_points(spoilt):
    results = spoilt(WRONG_STEP, groups=BOTH)
    loop = results["rnn_backward"]
    assert results["rnn_step_backward"].score < 10
    assert (loop.status, loop.score, loop.isolated.status) == ("wrong", 10.0, "correct")
    assert loop.blocked_by == "rnn_step_backward"
    assert loop.diagnosis[0].message.startswith("Follows from rnn_step_backward: ")
    assert codes(loop) == ["missing-transpose"]


def test_a_wrong_loop_over_a_right_step_is_wrong(spoilt):
    loop = spoilt(WRONG_LOOP, groups=BOTH)["rnn_backward"]
    assert (loop.status, loop.isolated, loop.blocked_by) == ("wrong", None, None)
    assert codes(loop) == ["missing-time-carry"]


def test_the_mistake_of_a_loop_is_told_from_that_of_its_step(spoilt):
    loop = spoilt(WRONG_STEP, WRONG_LOOP, groups=BOTH)["rnn_backward"]
    assert (loop.isolated.status, loop.score) == ("wrong", 0.0)
    assert codes(loop) == ["missing-time-carry", "missing-transpose"]
    assert [cause.tensor is None for cause in loop.diagnosis] == [False, True]


def test_a_loop_over_a_missing_step_is_graded_with_a_right_one(spoilt):
    results = spoilt(STUB, groups=BOTH)
    step, loop = results["rnn_step_forward"], results["rnn_forward"]
    assert (step.status, codes(step), step.score) == ("not-implemented", ["not-implemented-stub"], 0)
    assert (results["rnn_step_backward"].status, results["rnn_step_backward"].blocked_by) == (
        "not-implemented",
        "rnn_step_forward",
    )
    assert (loop.status, loop.blocked_by, loop.isolated.status) == ("not-implemented", "rnn_step_forward", "correct")
    assert loop.score == loop.max_score
    assert results["rnn_backward"].score == 10


def test_a_loop_that_looks_into_the_caches_of_its_step_says_so(spoilt):
    peek = ("    N, T, H = dh.shape\n    dx, dWx", "    N, T, H = dh.shape\n    D = cache[0][0].shape[1]\n    dx, dWx")
    loop = spoilt(WRONG_STEP, peek, groups=BOTH)["rnn_backward"]
    assert (loop.status, loop.isolated.status) == ("wrong", "not-compared")
    assert "own caches" in loop.isolated.note
    assert codes(loop) == ["missing-transpose"]


def test_a_loop_without_its_step_says_so(spoilt):
    inline = "np.tanh(x[:, t].dot(Wx) + state.dot(Wh) + b); c = (x[:, t], state, Wx, Wh, state)"
    results = spoilt(
        WRONG_STEP, ("state, c = rnn_step_forward(x[:, t], state, Wx, Wh, b)", f"state = {inline}"), groups=BOTH
    )
    loop = results["rnn_backward"]
    assert loop.isolated.status == "not-compared" and loop.score < 10


# What does not come to its end.


def test_a_name_that_is_missing(spoilt):
    result = spoilt(("def word_embedding_backward(", "def word_embeding_backward("), groups=("embedding",))
    result = result["word_embedding_backward"]
    assert (result.status, codes(result)) == ("not-found", ["misspelt-name"])
    assert "word_embeding_backward" in result.diagnosis[0].message


def test_an_exception_has_its_line(spoilt):
    result = spoilt(("    da = (1 - next_h**2) * dnext_h", "    da = (1 - next_h**2) * dnext"), groups=("rnn-step",))
    result = result["rnn_step_backward"]
    line = (RIGHT / "cs231n_a3.py").read_text()[: (RIGHT / "cs231n_a3.py").read_text().index("    da = (1")].count(
        "\n"
    ) + 1
    assert (result.status, codes(result)) == ("crashed", ["undefined-name"])
    assert (result.exception.type, result.exception.line) == ("NameError", line)


def test_a_backward_without_end_takes_nothing_from_its_forward(spoilt):
    loop = ("    x, prev_h, Wx, Wh, next_h = cache\n", "    while True: pass\n")
    results = spoilt(loop, groups=("rnn-step",), limits=Limits(wall_s=3, cpu_s=10))
    assert (results["rnn_step_forward"].status, results["rnn_step_forward"].score) == ("correct", 5.0)
    assert (results["rnn_step_backward"].status, codes(results["rnn_step_backward"])) == ("timeout", ["time-limit"])


def test_a_forward_without_a_cache_is_the_cause_of_its_backward(spoilt):
    change = ("    return W[x], (x, W.shape)", "    return W[x], None")
    results = spoilt(change, groups=("embedding",))
    assert results["word_embedding_forward"].status == "correct"
    assert codes(results["word_embedding_backward"]) == ["cache-not-returned", "exception"]


def test_a_forward_that_returns_too_little_lacks_the_rest(spoilt):
    change = ("    return next_h, next_c, dict(", "    return next_h\n    return next_h, next_c, dict(")
    forward = spoilt(change, groups=("lstm-step",))["lstm_step_forward"]
    assert (forward.status, forward.score, codes(forward)) == ("wrong", 0, ["wrong-variable-returned"])
    assert "returns 1 value; it should return 3: next_h, next_c, cache" in forward.diagnosis[0].message


def test_a_submission_that_exits_has_no_answer(spoilt):
    result = spoilt(("    return W[x], (x, W.shape)", "    import os; os._exit(0)"), groups=("embedding",))
    assert result["word_embedding_forward"].status == "no-answer"
    assert result["word_embedding_backward"].score == 0


def test_nan_is_never_right(spoilt):
    result = spoilt(("    return W[x], (x, W.shape)", "    return W[x] * np.nan, (x, W.shape)"), groups=("embedding",))
    result = result["word_embedding_forward"]
    assert (result.status, result.outputs[0].status, result.score) == ("wrong", "non-finite", 0)


def test_a_division_of_python_2_is_the_environments_fault(spoilt):
    old = "    ai, af, ao, ag = np.split(a, 4, axis=1)"
    H = "    H = a.shape[1] / 4\n    ai, af, ao, ag = a[:, :H], a[:, H : 2 * H], a[:, 2 * H : 3 * H], a[:, 3 * H :]"
    result = spoilt((old, H), groups=("lstm-step",))["lstm_step_forward"]
    assert (result.status, result.score) == ("environment", result.max_score)
    assert "python2-division" in traits(result)


def test_a_function_that_needs_a_forbidden_module_is_told_so(spoilt):
    change = ("    return W[x], (x, W.shape)", "    return torch.tensor(W)[x], (x, W.shape)")
    result = spoilt(change, ("import numpy as np\n", "import numpy as np\nimport torch\n"), groups=("embedding",))
    assert codes(result["word_embedding_forward"]) == ["forbidden-import"]
    assert result["word_embedding_forward"].status == "crashed"


# Shapes, dtypes, randomness.

KEEPDIMS = ("return dx, dw, dout.sum(axis=0)", "return dx, dw, dout.sum(axis=0, keepdims=True)")


@pytest.mark.parametrize(("rule", "score"), [("lenient", 3.0), ("half", 2.5), ("strict", 2.0)])
def test_the_price_of_another_shape(rule, score, spoilt):
    result = spoilt(KEEPDIMS, groups=("affine",), policies={"shape": rule})["affine_backward"]
    assert (result.status, result.score) == ("wrong-shape", pytest.approx(score))
    assert (result.outputs[2].shape, result.outputs[2].expected_shape) == ([1, 6], [6])


def test_an_edge_size_that_fails_is_a_trait(spoilt):
    squeezed = ("    return next_h, cache\n", "    return next_h.squeeze() if len(next_h) > 1 else 2 * next_h, cache\n")
    results = spoilt(squeezed, groups=("rnn-step",))
    edge = [note for note in results["rnn_step_forward"].traits if note.code == "edge-shape-failure"]
    assert len(edge) == 1 and "N = 1" in edge[0].message and "H = 1" not in edge[0].message


def test_a_random_function_is_wrong(spoilt):
    change = ("    return W[x], (x, W.shape)", "    return W[x] + 1e-8 * np.random.rand(), (x, W.shape)")
    result = spoilt(change, groups=("embedding",))["word_embedding_forward"]
    assert (result.status, codes(result)) == ("wrong", ["nondeterministic"])


@pytest.mark.parametrize(
    ("shift", "code"), [("x", "softmax-not-shifted"), ("x - x.max()", "softmax-global-shift"), (None, None)]
)
def test_a_softmax_that_overflows_is_an_advisory(shift, code, spoilt):
    old = "np.exp(x - x.max(axis=2, keepdims=True))"
    result = spoilt((old, f"np.exp({shift})" if shift else old), groups=("softmax-loss",))["temporal_softmax_loss"]
    assert result.status == "correct"
    assert {note.code for note in result.traits if note.code.startswith("softmax")} == ({code} if code else set())


def test_a_gradient_by_differences_is_seen(spoilt):
    numeric = """
    x, shape = cache
    dW = np.zeros(shape)
    for i in np.ndindex(*shape):
        W = np.zeros(shape)
        W[i] = 1
        dW[i] = (word_embedding_forward(x, W)[0] * dout).sum()
    return dW
"""
    old = "    x, shape = cache\n    dW = np.zeros(shape)\n    np.add.at(dW, x, dout)\n    return dW\n"
    result = spoilt((old, numeric), groups=("embedding",))["word_embedding_backward"]
    assert (result.status, traits(result)) == ("correct", {"numeric-differentiation"})


# Other courses have their own terms.


def test_a_mistake_in_a_separate_gate_is_told_in_the_terms_of_the_course(spoilt):
    change = ('"f": dc * c_prev * ft * (1 - ft)', '"f": dc * c_prev')
    result = spoilt(change, course="coursera-rnn", groups=("lstm-cell",))["lstm_cell_backward"]
    wrong = {output.name for output in result.outputs if output.status == "wrong"}
    assert wrong == {"dxt", "da_prev", "dWf", "dbf"}
    assert codes(result) == ["sigmoid-derivative-missing"]
    assert result.diagnosis[0].tensor in wrong


def test_gradients_that_are_not_divided_are_wrong_in_cmu(spoilt):
    change = ("self.dW_ih += dz.T @ h_prev_l / n", "self.dW_ih += dz.T @ h_prev_l")
    result = spoilt(change, course="cmu-11785", groups=("rnn-cell",))["RNNCell.backward"]
    assert [output.name for output in result.outputs if output.status == "wrong"] == ["dW_ih"]


def test_gradients_that_are_not_added_up_are_wrong_in_cmu(spoilt):
    change = ("self.dW_ih += dz.T @ h_prev_l / n", "self.dW_ih = dz.T @ h_prev_l / n")
    result = spoilt(change, course="cmu-11785", groups=("rnn-cell",))["RNNCell.backward"]
    assert [output.name for output in result.outputs if output.status == "wrong"] == ["dW_ih"]
    assert codes(result) == ["gradient-not-accumulated"]
    assert 0 < result.score < result.max_score


def test_one_of_two_biases_that_is_left_out_is_seen(spoilt):
    change = ("x @ self.W_ih.T + self.b_ih + h_prev_t", "x @ self.W_ih.T + h_prev_t")
    assert spoilt(change, course="cmu-11785", groups=("rnn-cell",))["RNNCell.forward"].status == "wrong"


def test_clipping_is_part_of_the_loss_function_of_min_char_rnn(spoilt):
    change = ("np.clip(gradient, -5, 5, out=gradient)", "np.clip(gradient, -0.1, 0.1, out=gradient)")
    assert spoilt(change, course="min-char-rnn")["lossFun"].status == "wrong"


# Marks can be repeated and not foreseen.


# Caches that the course prescribes.

CELL = ("    c_next = ft * c_prev + it * cct\n    a_next = ot", "    raise ValueError\n    a_next = ot")


def test_a_backward_is_graded_with_the_prescribed_cache_where_its_forward_fails(spoilt):
    results = spoilt(CELL, course="coursera-rnn", groups=("lstm-cell", "lstm-sequence"))
    assert results["lstm_cell_forward"].status == "crashed"
    assert (results["lstm_cell_backward"].status, results["lstm_cell_backward"].score) == ("correct", 5.0)
    for name in ("lstm_forward", "lstm_backward"):
        assert (results[name].isolated.status, results[name].score) == ("correct", results[name].max_score)
        assert results[name].blocked_by == "lstm_cell_forward"


def test_a_mistake_in_such_a_backward_is_seen(spoilt):
    wrong = ('"f": dc * c_prev * ft * (1 - ft)', '"f": dc * c_prev')
    results = spoilt(CELL, wrong, course="coursera-rnn", groups=("lstm-cell",))
    assert codes(results["lstm_cell_backward"]) == ["sigmoid-derivative-missing"]


def test_a_forward_does_not_suffer_from_the_backward_of_its_step(spoilt):
    wrong_loop = ("state, c = rnn_step_forward(x[:, t], state, Wx", "state, c = rnn_step_forward(x[:, t], h0, Wx")
    results = spoilt(WRONG_STEP, wrong_loop, groups=BOTH)
    assert (codes(results["rnn_forward"]), results["rnn_forward"].isolated) == (["state-not-carried"], None)


def test_axes_in_another_order_are_named(spoilt):
    old = "    return np.array(hs).transpose(1, 0, 2), cache"
    result = spoilt((old, "    return np.array(hs), cache"), groups=("lstm-step", "lstm-sequence"))["lstm_forward"]
    assert (result.status, codes(result)) == ("wrong", ["layout-transposed"])


UPDATES = ("sgd", "momentum", "rmsprop", "adam")


def test_an_optimizer_that_never_ends_costs_no_other(spoilt):
    endless = ("def sgd(w, dw, config=None):\n", "def sgd(w, dw, config=None):\n    while True:\n        pass\n")
    results = spoilt(endless, groups=UPDATES, limits=Limits(cpu_s=1, wall_s=30))
    assert results["sgd"].status == "timeout"
    assert {results[name].status for name in ("sgd_momentum", "rmsprop", "adam")} == {"correct"}


def test_optimizers_that_share_a_child_do_not_see_each_other(spoilt):
    leaves = ("def sgd(w, dw, config=None):\n", "seen = []\n\n\ndef sgd(w, dw, config=None):\n    seen.append(1)\n")
    looks = ("def adam(w, dw, config=None):\n", "def adam(w, dw, config=None):\n    assert not seen\n")
    results = spoilt(leaves, looks, groups=UPDATES)
    assert results["sgd"].status == results["adam"].status == "correct"
