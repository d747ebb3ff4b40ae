"""The judge is judged: right gradients pass, every sort of wrong one fails, whatever a stranger's functions do."""

import copy
import functools

import numpy as np
import pytest

from minrnn import kernels
from minrnn.gradcheck import Report, Row, check_directions, check_gradients, numerical_gradient


def forward(x, h0, W, U):
    """Two steps of h ← tanh(x W + h U); outputs all states and the last one, so h0 and U appear in both terms."""
    h1 = np.tanh(x @ W + h0 @ U)
    h2 = np.tanh(x @ W + h1 @ U)
    return np.stack([h1, h2]), h2, (x, h0, W, U, h1, h2)


def backward(dh, dlast, cache):
    x, h0, W, U, h1, h2 = cache
    da2 = (dh[1] + dlast) * (1 - h2**2)
    da1 = (dh[0] + da2 @ U.T) * (1 - h1**2)
    return (da1 + da2) @ W.T, da1 @ U.T, x.T @ (da1 + da2), h0.T @ da1 + h1.T @ da2


NAMES = ("x", "h0", "W", "U")


@pytest.fixture
def args(rng):
    return [rng.standard_normal(s) for s in [(3, 4), (3, 2), (4, 2), (2, 2)]]


def failing(report):
    return {row.name for row in report.rows if not row.ok}


# Right gradients.


def test_right_gradients_pass_with_one_row_an_argument(args):
    report = check_gradients(forward, backward, args, names=NAMES)
    assert report.ok
    assert [row.name for row in report.rows] == ["dx", "dh0", "dW", "dU"]
    assert [row.shape for row in report.rows] == [(3, 4), (3, 2), (4, 2), (2, 2)]
    assert 0.0 < report.max_error == max(row.error for row in report.rows) < 1e-8
    assert all(row.largest > 0.1 and row.kinks == 0 and row.note == "" for row in report.rows)


def test_arguments_without_names_are_numbered(args):
    rows = check_gradients(forward, backward, args).rows
    assert [row.name for row in rows] == [f"dargument {k}" for k in range(4)]


@pytest.mark.parametrize("names", [["x"], [*NAMES, "b"]], ids=len)
def test_names_must_fit_the_arguments(args, names):
    """A wrong last gradient must not hide behind a list of names that is too short."""
    with pytest.raises(ValueError, match=rf"{len(names)} names for 4 arguments"):
        check_gradients(forward, backward, args, names=names)


def test_the_objective_is_the_same_for_the_same_generator(args):
    first, second = (check_gradients(forward, backward, args, rng=np.random.default_rng(3)) for _ in range(2))
    assert first == second
    assert first != check_gradients(forward, backward, args, rng=np.random.default_rng(4))


def test_nothing_of_the_callers_is_written(args):
    before = copy.deepcopy(args)
    for a in args:
        a.setflags(write=False)
    assert check_gradients(forward, backward, args).ok
    for a, b in zip(args, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_float32_and_integer_arguments(rng):
    """Floating arguments are judged in float64; integers and None have no gradient and no row."""
    args = [rng.integers(0, 4, (5, 3)), rng.standard_normal((4, 2)).astype(np.float32), None]
    report = check_gradients(kernels.linear_forward, kernels.linear_backward, args, names=("x", "W", "b"))
    assert report.ok and report.max_error < 1e-8
    assert [row.name for row in report.rows] == ["dW"]


def test_numbers_are_arguments_like_arrays():
    report = check_gradients(
        lambda x, s: (s * x * x, (x, s)), lambda dy, c: (2 * c[1] * c[0] * dy, dy * c[0] ** 2), [3.0, -2.0]
    )
    assert report.ok
    assert [row.shape for row in report.rows] == [(), ()]
    wrong = check_gradients(
        lambda x, s: (s * x * x, (x, s)), lambda dy, c: (c[1] * c[0] * dy, dy * c[0] ** 2), [3.0, -2.0]
    )
    assert failing(wrong) == {"dargument 0"}


def test_a_single_gradient_need_not_come_in_a_tuple():
    report = check_gradients(lambda x: (x**3, x), lambda dy, x: 3 * x**2 * dy, [np.array([1.0, -2.0])])
    assert report.ok and len(report.rows) == 1


# Wrong gradients, by what was done to the right ones.

WRONG = {
    "zero": np.zeros_like,
    "wrong sign": lambda d: -d,
    "doubled": lambda d: 2 * d,
    "a thousandth too large": lambda d: 1.001 * d,
    "a hundred thousandth too large": lambda d: 1.00001 * d,
    "one entry missing": lambda d: np.where(np.arange(d.size).reshape(d.shape) == 0, 0.0, d),
    "smallest entry wrong": lambda d: np.where(np.abs(d) == np.abs(d).min(), 1.1 * d, d),
    "rows in reverse": lambda d: d[::-1],
    "mean in place of sum": lambda d: d / 3,
    "added to something": lambda d: d + 1e-4,
    "too few rows": lambda d: d[1:],
    "broadcastable": lambda d: d.sum(axis=0, keepdims=True),
    "flat": lambda d: d.reshape(-1),
    "missing": lambda d: None,
    "NaN": lambda d: np.where(np.arange(d.size).reshape(d.shape) == 0, np.nan, d),
    "all NaN": lambda d: d * np.nan,
    "infinite": lambda d: d * np.inf,
}


@pytest.mark.parametrize("which", NAMES)
@pytest.mark.parametrize("kind", WRONG)
def test_wrong_gradient_is_found_and_no_other_is_blamed(args, kind, which):
    k = NAMES.index(which)

    def wrong(*a):
        gradients = list(backward(*a))
        gradients[k] = WRONG[kind](gradients[k])
        return gradients

    report = check_gradients(forward, wrong, args, names=NAMES)
    assert not report.ok
    assert failing(report) == {f"d{which}"}
    if kind not in ("smallest entry wrong",):
        assert report.max_error > 1e-6


def test_transposed_gradient_of_a_square_matrix_is_found(args):
    report = check_gradients(forward, lambda *a: [*backward(*a)[:3], backward(*a)[3].T], args, names=NAMES)
    assert failing(report) == {"dU"}


def test_exchanged_gradients_are_found(args):
    def exchanged(*a):
        dx, dh0, dW, dU = backward(*a)
        return dx, dU, dW, dh0

    args[1] = np.ones((2, 2))
    args[0] = args[0][:2]
    assert failing(check_gradients(forward, exchanged, args, names=NAMES)) == {"dh0", "dU"}


def test_gradients_that_stop_early_are_missing(args):
    report = check_gradients(forward, lambda *a: backward(*a)[:2], args, names=NAMES)
    assert failing(report) == {"dW", "dU"}
    assert report.max_error == np.inf


def test_more_gradients_than_arguments_are_wrong(args):
    """One gradient for each argument: a list of five for four arguments is in some other order than believed."""
    report = check_gradients(forward, lambda *a: [*backward(*a), np.zeros(2)], args, names=NAMES)
    assert failing(report) == {"gradient 4"}
    assert "no such argument" in str(report)


def test_gradient_of_integers_is_wrong(rng):
    def wrong(dy, cache):
        _dx, dW, db = kernels.linear_backward(dy, cache)
        return np.zeros((5, 3)), dW, db

    args = [rng.integers(0, 4, (5, 3)), rng.standard_normal((4, 2)), rng.standard_normal(2)]
    report = check_gradients(kernels.linear_forward, wrong, args, names=("x", "W", "b"))
    assert failing(report) == {"dx"}
    assert "not a real argument" in str(report)


def test_dropped_initial_state_in_dU_is_found(args):
    """The most reported bug of hand-written recurrences; a check from zero state would pass it."""

    def wrong(dh, dlast, cache):
        dx, dh0, dW, _dU = backward(dh, dlast, cache)
        _, _h0, _, _, h1, h2 = cache
        return dx, dh0, dW, h1.T @ ((dh[1] + dlast) * (1 - h2**2))

    assert failing(check_gradients(forward, wrong, args, names=NAMES)) == {"dU"}
    args[1] = np.zeros((3, 2))
    assert check_gradients(forward, wrong, args, names=NAMES).rows[3].ok


def test_forgotten_upstream_of_the_final_state_is_found(args):
    report = check_gradients(forward, lambda dh, dlast, cache: backward(dh, 0.0 * dlast, cache), args, names=NAMES)
    assert failing(report) == {"dx", "dh0", "dW", "dU"}


@pytest.mark.parametrize("size", [1e-3, 1e-5])
def test_an_entry_is_judged_by_its_own_size_too(size):
    """One entry wrong by 1 %, and so small that the largest one of the array hides it."""
    scale = np.array([1.0, size])
    assert check_gradients(lambda x: (scale * x, None), lambda dy, _: scale * dy, [np.ones(2)]).ok
    wrong = check_gradients(lambda x: (scale * x, None), lambda dy, _: scale * [1.0, 1.01] * dy, [np.ones(2)])
    assert not wrong.ok
    assert wrong.rows[0].worst == (1,)


@pytest.mark.parametrize("scale", [1e-8, 1e-4, 1e5])
@pytest.mark.parametrize("kind", ["zero", "wrong sign", "doubled", "a thousandth too large", "one entry missing"])
def test_the_scale_of_a_function_does_not_excuse_it(args, scale, kind):
    """Where every gradient is about 1e-8, `relative or absolute` tolerances let anything pass."""

    def scaled(*a):
        h, last, cache = forward(*a)
        return scale * h, scale * last, cache

    right = check_gradients(scaled, lambda dh, dl, c: backward(scale * dh, scale * dl, c), args, tolerance=1e-5)
    assert right.ok
    wrong = check_gradients(
        scaled, lambda dh, dl, c: [WRONG[kind](d) for d in backward(scale * dh, scale * dl, c)], args, tolerance=1e-5
    )
    assert len(failing(wrong)) == 4


@pytest.mark.parametrize("found", [1.0, 1e-3])
def test_wrong_gradient_where_the_true_one_is_zero_is_found(found):
    """At the bottom of a parabola every difference vanishes, and nothing but the slope there may be called right."""
    x = np.zeros(3)
    assert check_gradients(lambda x: (x * x, x), lambda dy, x: 2 * x * dy, [x]).ok
    assert not check_gradients(lambda x: (x * x, x), lambda dy, x: np.full(3, found), [x]).ok


def test_gradient_of_an_argument_without_influence_must_be_zero(rng):
    args = [rng.standard_normal(3), rng.standard_normal(4)]
    assert check_gradients(lambda x, y: (2 * x, None), lambda d, c: (2 * d, np.zeros(4)), args).ok
    report = check_gradients(lambda x, y: (2 * x, None), lambda d, c: (2 * d, np.full(4, 1e-6)), args)
    assert failing(report) == {"dargument 1"}
    assert report.max_error == np.inf


def test_forward_that_is_not_finite_is_never_right():
    x = np.array([1.0, -1.0])
    for slope in (lambda x: 0.5 / np.sqrt(x), np.zeros_like):
        with np.errstate(invalid="ignore"):
            report = check_gradients(lambda x: (np.sqrt(x), x), lambda d, x, slope=slope: d * slope(x), [x])
        assert not report.ok
        assert report.max_error == np.inf
        assert "not finite" in str(report)


# Strangers.


def test_functions_that_write_into_their_arguments_are_judged_by_their_mathematics(args):
    def careless_forward(x, h0, W, U):
        result = forward(x.copy(), h0.copy(), W.copy(), U.copy())
        for a in (x, h0, W, U):
            a.fill(0.0)
        return result

    def careless_backward(dh, dlast, cache):
        gradients = backward(dh.copy(), dlast.copy(), cache)
        dh *= 0.0
        dlast += 1.0
        return gradients

    assert check_gradients(careless_forward, careless_backward, args).ok


def test_a_cache_that_is_used_up_is_accepted(args):
    def forward_with_stack(*a):
        h, last, cache = forward(*a)
        return h, last, list(cache)

    def consuming(dh, dlast, stack):
        return backward(dh, dlast, [stack.pop(0) for _ in range(6)])

    assert check_gradients(forward_with_stack, consuming, args).ok


def test_outputs_that_are_views_of_one_buffer_are_accepted(args):
    """A forward that returns the same array every time: what was evaluated before must not change under our hands."""
    buffer = np.empty((2, 3, 2))

    def forward_in_place(*a):
        h, _, cache = forward(*a)
        buffer[...] = h
        return buffer, buffer[1], cache

    assert check_gradients(forward_in_place, backward, args).ok


def test_a_random_generator_among_the_arguments_gives_the_same_mask_every_time(rng):
    report = check_gradients(
        lambda x, r: kernels.dropout_forward(x, 0.5, r),
        lambda dy, cache: kernels.dropout_backward(dy, cache)[:2],
        [rng.standard_normal((6, 5)), np.random.default_rng(3)],
    )
    assert report.ok


# Kinks.


def relu_check(x, slope_at_zero=0.0):
    return check_gradients(
        lambda x: (np.maximum(x, 0.0), x),
        lambda dy, x: dy * np.where(x == 0.0, slope_at_zero, x > 0.0),
        [np.asarray(x)],
        names=["x"],
    )


def test_an_entry_at_a_kink_is_counted():
    report = relu_check([1.0, 0.0, -1.0, 2.0])
    assert report.ok
    assert report.rows[0].kinks == 1
    assert "1 at a kink" in str(report)


@pytest.mark.parametrize("near", [3e-6, -3e-6, 9e-6])
def test_an_entry_near_a_kink_is_judged_with_a_smaller_step(near):
    report = relu_check([1.0, near, -1.0, 2.0])
    assert report.ok
    assert report.rows[0].kinks == 0


def test_either_one_sided_slope_is_right_at_a_kink():
    assert relu_check([1.0, 0.0, -1.0], slope_at_zero=1.0).ok


def test_entries_beside_a_kink_are_still_judged():
    report = check_gradients(
        lambda x: (np.maximum(x, 0.0), x), lambda dy, x: dy * (x > -5.0), [np.array([1.0, 0.0, -1.0])]
    )
    assert not report.ok and report.rows[0].kinks == 1


def test_all_at_a_kink_does_not_excuse_nonsense():
    assert relu_check(np.zeros(4)).ok
    report = check_gradients(lambda x: (np.maximum(x, 0.0), x), lambda dy, x: np.full(4, 100.0), [np.zeros(4)])
    assert not report.ok


def test_strong_curvature_is_not_a_kink(rng):
    """sin(30 x) bends a thousand times more than x does, and is smooth all the same."""
    x = rng.standard_normal(20)
    report = check_gradients(lambda x: (np.sin(30 * x), x), lambda dy, x: 30 * np.cos(30 * x) * dy, [x], tolerance=1e-5)
    assert report.ok and report.rows[0].kinks == 0
    wrong = check_gradients(
        lambda x: (np.sin(30 * x), x), lambda dy, x: 30.1 * np.cos(30 * x) * dy, [x], tolerance=1e-5
    )
    assert not wrong.ok


def test_no_false_alarm_where_large_terms_cancel():
    """A relu recurrence that grows: the objective is small, its terms are not, and they round accordingly."""
    rng = np.random.default_rng(8)
    T, B, D, H = rng.integers(1, 8, 4)
    shapes = [(T, B, D), (B, H), (D, H), (H, H), (H,)]
    args = [rng.standard_normal(s) for s in shapes]
    report = check_gradients(
        functools.partial(kernels.rnn_forward, nonlinearity="relu"), kernels.rnn_backward, args, rng=rng
    )
    assert report.ok, f"\n{report}"


# The table.


def test_the_table_names_shapes_verdicts_and_reasons(args):
    def wrong(*a):
        dx, dh0, dW, _dU = backward(*a)
        dW[3, 1] += 1.0
        return dx, dh0[1:], dW, None

    lines = str(check_gradients(forward, wrong, args, names=NAMES)).splitlines()
    assert lines[0].split() == ["gradient", "shape", "error", "largest", "verdict"]
    assert len(lines) == 5
    assert lines[1].split()[:2] == ["dx", "3×4"] and lines[1].endswith("ok")
    assert "dh0" in lines[2] and "WRONG" in lines[2] and "has shape (2, 2), its argument (3, 2)" in lines[2]
    assert "dW" in lines[3] and "WRONG at [3, 1]" in lines[3]
    assert "dU" in lines[4] and "WRONG" in lines[4] and "missing" in lines[4]


def test_a_report_is_right_only_if_all_rows_are():
    right = Row("da", (2,), 1e-9, 1.0, (0,), 0, True)
    wrong = Row("db", (2,), 0.5, 1.0, (1,), 0, False)
    assert Report((right, right)).ok and not Report((right, wrong)).ok
    assert Report((right, wrong)).max_error == 0.5
    assert Report(()).max_error == 0.0
    number = str(Report((Row("ds", (), 1e-9, 1.0, (), 0, True),)))
    assert "number" in number


# numerical_gradient.


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_numerical_gradient_of_a_cubic(rng, shape):
    x = rng.standard_normal(shape)
    before = x.copy()
    found = numerical_gradient(lambda x: np.sum(x**3), x)
    assert found.shape == shape and found.dtype == np.float64
    np.testing.assert_allclose(found, 3 * x**2, rtol=1e-8, atol=1e-9)
    np.testing.assert_array_equal(x, before)


def test_numerical_gradient_uses_both_sides():
    """One-sided differences of x² at 1 are wrong by eps; central ones only by rounding."""
    assert numerical_gradient(lambda x: float(x[0] ** 2), [1.0], eps=1e-2)[0] == pytest.approx(2.0, rel=1e-12)


def test_numerical_gradient_takes_float32_and_lists():
    found = numerical_gradient(lambda x: np.sum(x**2), np.ones(2, np.float32))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, 2.0, rtol=1e-9)
    np.testing.assert_allclose(numerical_gradient(lambda x: np.sum(x**2), [1.0, 2.0]), [2.0, 4.0], rtol=1e-9)


def test_numerical_gradient_of_a_function_that_writes_into_its_argument(rng):
    def careless(x):
        value = np.sum(x**2)
        x *= 0.0
        return value

    x = rng.standard_normal(4)
    np.testing.assert_allclose(numerical_gradient(careless, x), 2 * x, rtol=1e-8, atol=1e-9)


# check_directions.


@pytest.fixture
def model(rng):
    """A small network: its parameters, its loss, its gradients."""
    params = {"W": rng.standard_normal((4, 5)), "U": rng.standard_normal((5, 3)), "s": rng.standard_normal(3)}
    x = rng.standard_normal((6, 4))

    def loss():
        return float(np.sum(np.tanh(x @ params["W"]) @ params["U"] * params["s"]))

    t = np.tanh(x @ params["W"])
    dy = np.broadcast_to(params["s"], (6, 3))
    gradients = {
        "W": x.T @ (dy @ params["U"].T * (1 - t**2)),
        "U": t.T @ dy,
        "s": np.sum(t @ params["U"], axis=0),
    }
    return loss, params, gradients


def test_right_gradients_pass_along_directions(model):
    report = check_directions(*model)
    assert report.ok and report.max_error < 1e-8
    assert [row.name for row in report.rows] == ["dW", "dU", "ds", "all"]


@pytest.mark.parametrize("name", ["W", "U", "s"])
@pytest.mark.parametrize(
    "kind", ["zero", "wrong sign", "a thousandth too large", "rows in reverse", "all NaN", "infinite"]
)
def test_directions_find_the_wrong_array(model, kind, name):
    loss, params, gradients = model
    gradients = {**gradients, name: WRONG[kind](gradients[name])}
    with np.errstate(invalid="ignore"):
        assert failing(check_directions(loss, params, gradients)) == {f"d{name}", "all"}


@pytest.mark.parametrize("name", ["W", "U", "s"])
def test_directions_find_a_single_wrong_entry(model, name):
    loss, params, gradients = model
    wrong = gradients[name].copy()
    wrong.flat[-1] *= 1.01
    assert f"d{name}" in failing(check_directions(loss, params, {**gradients, name: wrong}))


def test_directions_put_the_parameters_back_bit_for_bit(model):
    loss, params, gradients = model
    before = {name: value.copy() for name, value in params.items()}
    arrays = dict(params)
    check_directions(loss, params, gradients)
    for name, value in params.items():
        assert value is arrays[name]
        assert value.tobytes() == before[name].tobytes()


def test_directions_never_touch_the_gradients(model):
    loss, params, gradients = model
    for g in gradients.values():
        g.setflags(write=False)
    assert check_directions(loss, params, gradients).ok


def test_directions_cost_two_evaluations_each(model):
    loss, params, gradients = model
    calls = []
    check_directions(lambda: calls.append(1) or loss(), params, gradients, directions=5)
    assert len(calls) == 2 * 5 * 4


def test_different_generators_try_different_directions(model):
    first, same = (check_directions(*model, rng=np.random.default_rng(3)) for _ in range(2))
    assert first == same
    assert first != check_directions(*model, rng=np.random.default_rng(4))


def test_a_missing_gradient_of_a_model_is_not_overlooked(model):
    loss, params, gradients = model
    del gradients["U"]
    with pytest.raises(KeyError, match="U"):
        check_directions(loss, params, gradients)
