"""How a group is run and judged, without a process: the program of the child answers in this one, in milliseconds.

The mistakes are those of a grader: the same inputs on every seed, differences to one side, NaN taken for right, points
twice. What a real child adds, the jail and the clocks, is tested in test_sandbox.py and test_attacks.py.
"""

import io
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minrnn.grading.courses import cases, profile
from minrnn.grading.diagnosis.compare import error
from minrnn.grading.judging import calls, finite, groups, isolate, judge, outputs, trials
from minrnn.grading.judging.trials import Unit
from minrnn.grading.loading import submission
from minrnn.grading.outcome.result import Output
from minrnn.grading.sandbox import Child, protocol
from minrnn.grading.sandbox.runner import Modules, Runner

RIGHT = Path(__file__).parent / "right"
SEEDS = [11, 12, 13]


def frame(data):
    return protocol.read(io.BytesIO(data).read)


class Local(Child):
    """A child without a process: quick, and no sandbox at all."""

    def __init__(self, limits=None, sandbox="none"):
        self._callbacks, self._dead, self._id = {}, None, 0
        self._process = SimpleNamespace(output=bytearray(), end=lambda: None)
        self._inbox = io.BytesIO()
        self._runner = Runner(self._take, self._called)

    def _take(self, count):
        return self._inbox.read(count)

    def _called(self, data):
        self._inbox = io.BytesIO(self._served(frame(data)))

    def _exchange(self, data, expected):
        return frame(self._runner.answer(frame(data)))

    def report(self):
        return {}


@pytest.fixture(autouse=True)
def local(monkeypatch):
    """Children are local; what they import is forgotten afterwards."""
    monkeypatch.setattr(judge, "Child", Local)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setitem(sys.modules, "submission", None)
    yield
    for name in [n for n, m in sys.modules.items() if isinstance(getattr(m, "__loader__", None), Modules)]:
        del sys.modules[name]


def unit_of(course, name):
    known = profile.read(course)
    return Unit(known, known.groups()[known.find(name).group])


def opened(unit, change=("", "")):
    """A child with the right submission of the course, changed in one place."""
    wanted = {function.owner or function.name for function in unit.profile.functions}
    path = RIGHT / f"{unit.profile.name.replace('-', '_')}.py"
    work = submission.load(path, wanted=wanted, allow=unit.profile.modules)
    child = Local()
    assert child.load(work.source.replace(*change), {**unit.profile.modules, **work.modules}).ok
    return child


def codes(result):
    return [cause.code for cause in result.diagnosis]


def traits(result):
    return {note.code for note in [*result.traits, *result.advisories]}


# The cases.


def case(family, carried, seed=1, upstreams=(), scale=1.0):
    return cases.make(cases.layout_of(family, "", profile.layout.SIZES), family, carried, upstreams, seed, scale)


STATE = ["x", "h0", "Wx", "Wh", "b"]


def test_every_seed_has_its_own_numbers_and_the_same_ones_again():
    first, again, other = (case("rnn_sequence", STATE, seed).inputs for seed in (1, 1, 2))
    assert all(np.array_equal(first[name], again[name]) for name in STATE)
    assert not any(np.array_equal(first[name], other[name]) for name in STATE)


@pytest.mark.parametrize("family, name", [("rmsprop", "cache"), ("adagrad", "cache"), ("adam", "v")])
def test_means_of_squares_are_not_negative(family, name):
    carried = ["w", "dw", "m", name, "t", "lr", "decay", "beta1", "beta2", "epsilon"]
    assert (case(family, carried).inputs[name] > 0).all()


@pytest.mark.parametrize("seed", range(8))
def test_ids_repeat_in_every_case(seed):
    ids = case("char_rnn_loss", ["ids", "targets", "h0", "Wx", "Wh", "b", "Wy", "by"], seed).inputs["ids"]
    assert len(set(ids.tolist())) < len(ids)


def test_the_scale_is_that_of_the_numbers():
    small, large = (case("rnn_sequence", STATE, scale=scale).inputs["x"] for scale in (0.1, 1.0))
    np.testing.assert_allclose(10 * small, large)


def test_the_gradient_of_the_last_state_is_added_to_that_of_the_last_step():
    made = case("rnn_sequence", STATE, upstreams=("dh", "dhT"))
    expected = made.upstream["dh"].copy()
    expected[-1] += made.upstream["dhT"]
    np.testing.assert_array_equal(made.merged["dh"], expected)
    np.testing.assert_array_equal(made.outputs["hT"], made.outputs["h"][-1])


def test_the_scores_give_the_prediction():
    made = case("rnn_step", ["x", "h_prev", "Wx", "Wh", "b"])
    assert "z" not in made.outputs
    made = unit_of("coursera-rnn", "rnn_cell_forward").case(1)
    e = np.exp(made.outputs["z"])
    np.testing.assert_allclose(made.outputs["y"], e / e.sum(axis=-1, keepdims=True))


def test_an_update_gets_the_old_numbers_and_returns_the_new():
    made = case("momentum", ["w", "dw", "v", "lr", "momentum"])
    for name in ("w", "v"):
        assert np.array_equal(made.values()[name], made.inputs[name])
        assert np.array_equal(made.right()[name], made.outputs[name])
        assert not np.array_equal(made.inputs[name], made.outputs[name])


# One tensor.


@pytest.mark.parametrize(
    "value, status",
    [
        (np.arange(3.0), "correct"),
        (np.arange(3.0)[None], "wrong-shape"),
        (np.arange(3.0) * (1 + 1e-5), "wrong"),
        (np.array([0.0, 1.0, np.nan]), "non-finite"),
        (np.array([0.0, 1.0, np.inf]), "non-finite"),
        (np.array(3.0), "wrong"),
        (np.arange(6.0).reshape(2, 3), "wrong"),
        (None, "not-implemented"),
        ("list", "wrong"),
    ],
    ids=str,
)
def test_the_verdict_on_one_tensor(value, status):
    assert outputs.compare("x", value, np.arange(3.0)).status == status


def test_the_worst_seed_counts_with_the_largest_errors():
    seeds = [("correct", 1e-8, 0.3), ("wrong", 0.5, 1e-9), ("correct", 1e-7, None)]
    verdicts = [Output("x", status, max_rel_error=own, fd_rel_error=fd) for status, own, fd in seeds]
    found = outputs.worst(verdicts)
    assert (found.status, found.max_rel_error, found.fd_rel_error) == ("wrong", 0.5, 0.3)


def test_only_axes_of_size_1_make_another_shape_fit():
    assert outputs.fitted(np.ones((1, 3)), (3,)).shape == (3,)
    assert outputs.fitted(np.ones((2, 3)), (3, 2)) is None
    assert outputs.fitted(np.ones(6), (3, 2)) is None


@pytest.mark.parametrize("value", [[None, 1.0], [[1.0], [1.0, 2.0]], {}, ["a"]], ids=str)
def test_what_is_no_array_of_numbers_is_none(value):
    assert isinstance(calls.as_array(value), str)


# Finite differences.


@pytest.mark.parametrize(
    "course, name",
    [
        ("cs231n-a3", "lstm_step_forward"),
        ("cs231n-a3", "temporal_softmax_loss"),
        ("cmu-11785", "RNNCell.forward"),
        ("coursera-rnn", "rnn_cell_forward"),
        ("min-char-rnn", "lossFun"),  # its weights are globals
    ],
)
def test_differences_of_a_right_forward_are_its_gradients(course, name):
    unit = unit_of(course, name)
    made = unit.case(3)
    before = {key: np.array(value) for key, value in made.inputs.items()}
    names = trials.gradient_names(unit)
    found = finite.own_gradients(opened(unit), unit.profile, unit.first, made, names)
    assert found and set(found) == set(names)
    for key, gradient in found.items():
        limit = made.inputs.get("clip") or np.inf
        assert error(np.clip(gradient, -limit, limit), made.gradients[f"d{key}"]) < 1e-8, key
        assert np.array_equal(made.inputs[key], before[key])


def test_large_numbers_are_moved_in_proportion():
    unit = unit_of("cs231n-a3", "affine_forward")
    made = unit.case(3)
    made.inputs["b"] *= 1e6
    found = finite.own_gradients(opened(unit), unit.profile, unit.first, made, ["b"])
    assert error(found["b"], made.gradients["db"]) < 1e-6


# Groups.

COURSES = {  # course: groups, or all of them
    "cs231n-a3": ("lstm-step", "rnn-step", "embedding", "sgd", "momentum", "rmsprop", "adam"),
    "cmu-11785": ("rnn-cell", "gru-cell"),
    "min-char-rnn": (),
}


@pytest.mark.parametrize("course", COURSES)
def test_what_is_right_is_right(course, spoilt):
    results = spoilt(course=course, groups=COURSES[course])
    assert {name: result.status for name, result in results.items()} == dict.fromkeys(results, "correct")
    errors = [o.fd_rel_error for result in results.values() for o in result.outputs if o.fd_rel_error is not None]
    assert max(errors) < 1e-6
    assert set().union(*map(traits, results.values())) <= {"mutates-upstream", "float32-upcast"}


def test_what_is_changed_in_place_is_seen_but_not_of_an_update(spoilt):
    results = spoilt(groups=("lstm-step", "sgd"))
    assert traits(results["lstm_step_backward"]) == {"mutates-upstream"}
    assert traits(results["sgd"]) == set()


NEXT_H = "    next_h = np.tanh(prev_h.dot(Wh) + x.dot(Wx) + b)\n"
BY_SEED = "    next_h = np.tanh(prev_h.dot(Wh) + x.dot(Wx) + b + 0.5 * (x[0, 0] != {first!r}))\n"
FAIL_BY_SEED = NEXT_H + "    if x[0, 0] != {first!r}:\n        raise ValueError\n"


def first_number():
    return float(unit_of("cs231n-a3", "rnn_step_forward").case(SEEDS[0]).inputs["x"][0, 0])


def test_right_on_the_first_seed_alone_is_wrong(spoilt):
    results = spoilt((NEXT_H, BY_SEED.format(first=first_number())), groups=("rnn-step",))
    forward, backward = results.values()
    assert (forward.status, forward.score) == ("wrong", 0)
    assert forward.outputs[0].max_rel_error > 1e-3
    assert (backward.status, backward.score) == ("correct", backward.max_score)  # for its own forward, on every seed
    assert "follows-own-forward" in traits(backward)


def test_a_failure_on_the_second_seed_is_a_failure_and_its_backward_is_not_called(spoilt):
    forward, backward = spoilt((NEXT_H, FAIL_BY_SEED.format(first=first_number())), groups=("rnn-step",)).values()
    assert (forward.status, codes(forward)) == ("crashed", ["exception"])
    assert (backward.status, backward.blocked_by) == ("not-implemented", "rnn_step_forward")


def test_a_backward_in_float32_may_follow_a_wrong_forward(spoilt):
    wrong = "    next_h = np.tanh(prev_h.dot(Wh) + x.dot(Wx) + b + 0.5).astype(np.float32)\n"
    backward = spoilt((NEXT_H, wrong), groups=("rnn-step",))["rnn_step_backward"]
    assert backward.status == "correct" and "follows-own-forward" in traits(backward)
    assert max(output.fd_rel_error for output in backward.outputs) < 1e-3


def test_a_backward_is_given_what_its_own_forward_returned(spoilt):
    change = ("x @ self.W_ih.T + self.b_ih + h_prev_t", "x @ self.W_ih.T + self.b_ih + 0.5 + h_prev_t")
    forward, backward = spoilt(change, course="cmu-11785", groups=("rnn-cell",)).values()
    assert forward.status == "wrong"
    assert backward.status == "correct" and "follows-own-forward" in traits(backward)


def test_nan_has_no_points(spoilt):
    result = spoilt(("    return W[x], (x, W.shape)", "    return W[x] * np.nan, (x, W.shape)"), groups=("embedding",))
    result = result["word_embedding_forward"]
    assert (result.status, result.outputs[0].status, result.score) == ("wrong", "non-finite", 0)


def test_what_is_another_number_every_time_has_no_points(spoilt):
    change = ("    return W[x], (x, W.shape)", "    return W[x] + 1e-8 * np.random.rand(), (x, W.shape)")
    result = spoilt(change, groups=("embedding",))["word_embedding_forward"]
    assert (result.status, codes(result), result.score) == ("wrong", ["nondeterministic"], 0)


def test_a_cache_that_is_written_over_is_a_trait(spoilt):
    old = "    dW = np.zeros(shape)\n    np.add.at(dW, x, dout)\n"
    result = spoilt((old, old + "    x[:] = 0\n"), groups=("embedding",))["word_embedding_backward"]
    assert (result.status, traits(result)) == ("correct", {"cache-overwritten"})


def test_float64_for_float32_is_a_trait(spoilt):
    wide = NEXT_H.replace("x.dot", "np.asarray(x, float).dot")
    assert traits(spoilt((NEXT_H, wide), groups=("rnn-step",))["rnn_step_forward"]) == {"float32-upcast"}


def test_an_edge_size_that_fails_is_a_trait(spoilt):
    squeezed = ("    return next_h, cache\n", "    return next_h if len(next_h) > 1 else 2 * next_h, cache\n")
    forward = spoilt(squeezed, groups=("rnn-step",))["rnn_step_forward"]
    assert (forward.status, traits(forward)) == ("correct", {"edge-shape-failure"})
    assert "Here: N = 1." in forward.traits[0].message


# Steps and loops.

BOTH = ("rnn-step", "rnn-sequence")
WRONG_STEP = ("da.dot(Wh.T), x.T", "da.dot(Wh), x.T")
WRONG_LOOP = ("rnn_step_backward(dh[:, t] + carry, cache[t])", "rnn_step_backward(dh[:, t], cache[t])")
STUB = (NEXT_H.strip() + "\n    cache = (x, prev_h, Wx, Wh, next_h)", "next_h, cache = None, None")
INLINE = (
    "state, c = rnn_step_forward(x[:, t], state, Wx, Wh, b)",
    "c = [x[:, t], state, Wx, Wh]; state = np.tanh(x[:, t].dot(Wx) + state.dot(Wh) + b); c.append(state)",
)


def test_a_right_loop_over_a_wrong_step_has_its_points_once(spoilt):
    loop = spoilt(WRONG_STEP, groups=BOTH)["rnn_backward"]
    assert (loop.status, loop.score, loop.isolated.status) == ("wrong", loop.max_score, "correct")
    assert (loop.blocked_by, codes(loop)) == ("rnn_step_backward", ["missing-transpose"])


def test_a_wrong_loop_over_a_wrong_step_has_none(spoilt):
    loop = spoilt(WRONG_STEP, WRONG_LOOP, groups=BOTH)["rnn_backward"]
    assert (loop.isolated.status, loop.isolated.score, loop.score, loop.blocked_by) == ("wrong", 0.0, 0.0, None)


def test_a_loop_over_a_missing_step_is_not_called_wrong(spoilt):
    loop = spoilt(STUB, groups=BOTH)["rnn_forward"]
    assert (loop.status, loop.blocked_by) == ("not-implemented", "rnn_step_forward")
    assert loop.score == loop.max_score


def test_a_loop_that_is_right_without_its_step_is_not_run_again(spoilt):
    results = spoilt(INLINE, (NEXT_H, NEXT_H.replace(" + b", " - b")), groups=BOTH)
    assert results["rnn_step_forward"].status == "wrong"
    loop = results["rnn_forward"]
    assert (loop.status, loop.isolated, loop.score) == ("correct", None, loop.max_score)


def test_a_wrong_loop_without_its_step_says_so(spoilt):
    own = """def own_step(d, k):
    da = (1 - k[4] ** 2) * d
    return da.dot(k[2].T), da.dot(k[3].T), k[0].T.dot(da), k[1].T.dot(da), da.sum(axis=0)


def rnn_backward(dh, cache):
"""
    changes = [
        (INLINE[0], INLINE[1].replace("+ b", "- b")),
        ("def rnn_backward(dh, cache):\n", own),
        ("rnn_step_backward(dh[:, t]", "own_step(dh[:, t]"),
        (NEXT_H, NEXT_H.replace(" + b", " - b")),
    ]
    loop = spoilt(*changes, groups=BOTH)["rnn_forward"]
    assert (loop.isolated.status, loop.isolated.note, loop.score) == ("not-compared", isolate.UNUSED, 0)


def test_a_loop_that_looks_into_the_caches_of_its_step_says_so(spoilt):
    peek = ("    N, T, H = dh.shape\n    dx, dWx", "    N, T, H = dh.shape\n    D = cache[0][0].shape[1]\n    dx, dWx")
    loop = spoilt(WRONG_STEP, peek, groups=BOTH)["rnn_backward"]
    assert (loop.isolated.status, loop.isolated.note) == ("not-compared", isolate.IMPOSSIBLE)


def test_a_loop_suffers_from_the_step_of_its_forward(spoilt):
    cell = ("    c_next = ft * c_prev + it * cct\n    a_next = ot", "    raise ValueError\n    a_next = ot")
    results = spoilt(cell, course="coursera-rnn", groups=("lstm-cell", "lstm-sequence"))
    assert (results["lstm_cell_backward"].status, results["lstm_cell_backward"].score) == ("correct", 5.0)
    for name in ("lstm_forward", "lstm_backward"):
        assert (results[name].isolated.status, results[name].blocked_by) == ("correct", "lstm_cell_forward")


def test_the_right_step_stands_in_for_the_student_s_names_of_it():
    unit = unit_of("cs231n-a3", "rnn_forward")
    step = replace(unit.profile.find("rnn_step_forward"), aliases=("my_step",))
    known = replace(unit.profile, functions=tuple(step if f.name == step.name else f for f in unit.profile.functions))
    unit = Unit(known, unit.functions)
    child = opened(unit, ("rnn_step_forward(x[:, t]", "my_step(x[:, t]"))
    runs, remark = isolate.run(child, unit, SEEDS[:1])
    assert runs[0].agrees(unit.first), remark


def test_a_repaired_step_is_no_reason_to_run_its_loop_again(spoilt):
    old = "    ai, af, ao, ag = np.split(a, 4, axis=1)"
    new = "    H = a.shape[1] / 4\n    ai, af, ao, ag = a[:, :H], a[:, H : 2 * H], a[:, 2 * H : 3 * H], a[:, 3 * H :]"
    results = spoilt((old, new), groups=("lstm-step", "lstm-sequence"))
    for name in ("lstm_step_forward", "lstm_forward"):
        assert (results[name].status, results[name].isolated) == ("environment", None)
        assert results[name].score == results[name].max_score
        assert "python2-division" in traits(results[name])


# Names and seeds.


def test_only_a_name_that_is_nearly_right_is_pointed_at(spoilt):
    for name, found in (("word_embeding_backward", ["misspelt-name"]), ("word_embedding_backward_pass", [])):
        result = spoilt(("def word_embedding_backward(", f"def {name}("), groups=("embedding",))
        assert codes(result["word_embedding_backward"]) == found
    assert groups.distance("abc", "abc") == 0 and groups.distance("abc", "xbcd") == 2


def test_an_optional_function_that_is_not_there_is_not_missed(spoilt):
    changes = [(f"def affine_{side}(", f"def another_{side}(") for side in ("forward", "backward")]
    results = spoilt(*changes, groups=("affine",))
    assert [(r.status, r.max_score) for r in results.values()] == [("not-found", 0.0)] * 2


def test_seeds_follow_from_the_submission_and_the_secret():
    assert judge.seeds_for("ab") == judge.seeds_for("ab")
    assert len({*judge.seeds_for("ab"), *judge.seeds_for("ac"), *judge.seeds_for("ab", b"secret")}) == 9


def test_the_cases_come_in_turn():
    clipping = profile.read("d2l").find("grad_clipping")
    assert [clipping.turn(k)["limit"] for k in range(3)] == [0.5, 100.0, 0.5]


# Causes.


def test_the_cause_of_a_wrong_state_is_not_hidden_by_the_prediction_that_is_made_of_it(spoilt):
    text = (RIGHT / "coursera_rnn.py").read_text()
    old = next(line for line in text.splitlines() if "np.tanh(" in line and "Waa" in line)
    results = spoilt((old, old + "; a_next = a_next * 1.5"), course="coursera-rnn", groups=("rnn-cell",))
    forward = results["rnn_cell_forward"]
    assert {cause.tensor for cause in forward.diagnosis} == {"a_next"}


def test_a_mistake_on_top_of_a_forward_that_no_variant_has_is_held_against_that_forward(spoilt):
    shifted = NEXT_H.replace("+ b", "+ b + 0.5")
    results = spoilt((NEXT_H, shifted), ("return da.dot(Wx.T), ", "return -da.dot(Wx.T), "), groups=("rnn-step",))
    (cause,) = results["rnn_step_backward"].diagnosis
    assert (cause.code, cause.tensor) == ("sign-flipped", "dx")


def test_a_mistake_on_top_of_a_wrong_forward_is_named(spoilt):
    changes = [
        ("ai, af, ao, ag = np.split(a, 4, axis=1)", "ai, af, ag, ao = np.split(a, 4, axis=1)"),
        ("da = np.hstack([di, df, do, dg])", "da = np.hstack([di, df, dg, do])"),
        ('do = dnext_h * tc * k["o"] * (1 - k["o"])', "do = dnext_h * tc"),
    ]
    forward, backward = spoilt(*changes, groups=("lstm-step",)).values()
    assert codes(forward) == ["gate-order-swapped"]
    assert codes(backward) == ["sigmoid-derivative-missing"]
