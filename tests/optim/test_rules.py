"""The update rules against a slow scalar version, against values worked out by hand, and their conduct as objects."""

import copy
import math
import tracemalloc

import numpy as np
import pytest

from minrnn.backend import BackendError
from minrnn.optim import OPTIMIZERS, SGD, Adagrad, Adam, AdamW, RMSprop
from minrnn.optim.blocks import BLOCK

# One of every code path: name -> (rule, options). The ε are large so that their place shows.
RULES = {
    "sgd": (SGD, {}),
    "sgd_l2": (SGD, {"weight_decay": 0.1}),
    "momentum": (SGD, {"momentum": 0.9}),
    "nesterov": (SGD, {"momentum": 0.9, "nesterov": True}),
    "dampening": (SGD, {"momentum": 0.8, "dampening": 0.3}),
    "adagrad": (Adagrad, {"eps": 0.05, "lr_decay": 0.1, "initial_accumulator": 0.2, "weight_decay": 0.1}),
    "rmsprop": (RMSprop, {"alpha": 0.9, "eps": 0.05}),
    "rmsprop_momentum": (RMSprop, {"alpha": 0.9, "eps": 0.05, "momentum": 0.8}),
    "rmsprop_centered": (RMSprop, {"alpha": 0.9, "eps": 0.05, "centered": True, "weight_decay": 0.1}),
    "rmsprop_centered_momentum": (RMSprop, {"alpha": 0.9, "eps": 0.05, "centered": True, "momentum": 0.8}),
    "adam": (Adam, {"betas": (0.8, 0.95), "eps": 0.05}),
    "adam_l2": (Adam, {"betas": (0.8, 0.95), "eps": 0.05, "weight_decay": 0.1}),
    "amsgrad": (Adam, {"betas": (0.8, 0.7), "eps": 0.05, "amsgrad": True}),
    "adamw": (AdamW, {"betas": (0.8, 0.95), "eps": 0.05, "weight_decay": 0.3}),
    "adamw_amsgrad": (AdamW, {"betas": (0.8, 0.7), "eps": 0.05, "weight_decay": 0.3, "amsgrad": True}),
}
each_rule = pytest.mark.parametrize("name", RULES)


def make(name, lr=0.05):
    rule, options = RULES[name]
    return rule(lr=lr, **options)


def draw(shape=(7,), steps=12, dtype=np.float64, seed=0):
    """Start, gradients whose size rises and falls (AMSGrad's maximum must matter), rates that change."""
    rng = np.random.default_rng(seed)
    size = 10.0 ** np.sin(np.arange(steps) / 2).reshape(steps, *[1] * len(shape))
    grads = rng.standard_normal((steps, *shape)) * size
    return rng.standard_normal(shape).astype(dtype), grads.astype(dtype), rng.uniform(0.01, 0.1, steps).tolist()


def textbook(name, theta, grads, rates):
    """One parameter, plain floats, the published formulas with PyTorch's conventions."""
    rule, o = RULES[name]
    decay, eps = o.get("weight_decay", 0.0), o.get("eps")
    b = s = v = v_max = m = mean = 0.0
    for t, (gradient, lr) in enumerate(zip(grads, rates, strict=True), start=1):
        if rule is AdamW:
            g, theta = gradient, theta * (1 - lr * decay)
        else:
            g = gradient + decay * theta
        if rule is SGD:
            mu = o.get("momentum", 0.0)
            b = g if t == 1 else mu * b + (1 - o.get("dampening", 0.0)) * g
            theta -= lr * (g + mu * b if o.get("nesterov") else b)
        elif rule is Adagrad:
            s = (o["initial_accumulator"] if t == 1 else s) + g * g
            theta -= lr / (1 + (t - 1) * o["lr_decay"]) * g / (math.sqrt(s) + eps)
        elif rule is RMSprop:
            v = o["alpha"] * v + (1 - o["alpha"]) * g * g
            mean = o["alpha"] * mean + (1 - o["alpha"]) * g
            u = g / (math.sqrt(v - mean * mean if o.get("centered") else v) + eps)
            b = o.get("momentum", 0.0) * b + u
            theta -= lr * b
        else:
            beta1, beta2 = o["betas"]
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g * g
            v_max = max(v_max, v) if o.get("amsgrad") else v
            theta -= lr * (m / (1 - beta1**t)) / (math.sqrt(v_max / (1 - beta2**t)) + eps)
    return theta


@each_rule
def test_rule_equals_the_textbook(name):
    params, grads, rates = draw()
    expected = [textbook(name, x, g.tolist(), rates) for x, g in zip(params.tolist(), grads.T, strict=True)]
    optimizer = make(name)
    for g, lr in zip(grads, rates, strict=True):
        optimizer.step(params, g, lr)
    np.testing.assert_allclose(params, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (SGD(0.1), 1.0499),
        (SGD(0.1, momentum=0.9), 1.103),
        (SGD(0.1, momentum=0.9, nesterov=True), 1.1426),
        (SGD(0.1, momentum=0.9, dampening=0.9), 0.70079),
        (Adagrad(0.1), 0.967577286509),
        (RMSprop(0.1, alpha=0.95), 0.854116955826),
        (RMSprop(0.1, alpha=0.95, momentum=0.9), 0.360378328564),
        (RMSprop(0.1, alpha=0.95, centered=True), 0.844630431930),
        (Adam(0.1), 0.961450896168),
        (Adam(0.1, weight_decay=0.1), 0.940612462330),
        (AdamW(0.1, weight_decay=0.1), 0.924151769463),
        (Adam(0.1, betas=(0.9, 0.9)), 0.961425291786),
        (Adam(0.1, betas=(0.9, 0.9), amsgrad=True), 0.960216284569),
    ],
)
def test_four_known_steps(optimizer, expected):
    params = np.array([1.0])
    for g in (1.0, -2.0, 0.5, 0.001):
        optimizer.step(params, np.array([g]))
    assert params[0] == pytest.approx(expected, abs=6e-13)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (SGD, {"lr": 1e-3, "momentum": 0, "dampening": 0, "nesterov": False, "weight_decay": 0}),
        (Adagrad, {"lr": 1e-2, "lr_decay": 0, "eps": 1e-10, "weight_decay": 0}),
        (RMSprop, {"lr": 1e-2, "alpha": 0.99, "eps": 1e-8, "momentum": 0, "centered": False, "weight_decay": 0}),
        (Adam, {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False, "weight_decay": 0}),
        (AdamW, {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False, "weight_decay": 1e-2}),
    ],
)
def test_defaults_are_pytorchs(rule, expected):
    optimizer = rule()
    assert {name: getattr(optimizer, name) for name in expected} == expected


# ---------------------------------------------------------------- rate and weight decay
@each_rule
def test_missing_rate_means_the_optimizers_own(name):
    (a, grads, _), (b, _, _) = draw(), draw()
    first, second = make(name, lr=0.07), make(name, lr=0.9)
    for g in grads:
        first.step(a, g)
        second.step(b, g, lr=0.07)
    assert np.array_equal(a, b)


@each_rule
def test_rate_zero_is_a_rate_and_not_a_missing_one(name):
    params, grads, _ = draw()
    before, optimizer = params.copy(), make(name, lr=0.9)
    optimizer.step(params, grads[0], lr=0.0)
    assert np.array_equal(params, before)
    assert optimizer.state["step"] == 1


@pytest.mark.parametrize("lr", [0.5, 0.01])
def test_decoupled_decay_follows_the_rate_of_the_step(lr):
    params = np.array([2.0, -3.0])
    AdamW(lr=0.1, weight_decay=0.2).step(params, np.zeros(2), lr=lr)
    np.testing.assert_allclose(params, np.array([2.0, -3.0]) * (1 - lr * 0.2), rtol=1e-15)


def test_l2_decay_goes_through_the_moments():
    params = np.array([2.0, -3.0])
    optimizer = Adam(weight_decay=0.2)
    optimizer.step(params, np.zeros(2), lr=0.5)
    np.testing.assert_allclose(params, [1.5, -2.5], rtol=1e-6)  # a first step of Adam has the size of the rate
    np.testing.assert_allclose(optimizer.state["m"], 0.1 * 0.2 * np.array([2.0, -3.0]))


# ---------------------------------------------------------------- arrays
@each_rule
def test_gradients_are_never_written(name):
    params, grads, rates = draw()
    grads.setflags(write=False)
    optimizer = make(name)
    for g, lr in zip(grads, rates, strict=True):
        optimizer.step(params, g, lr)


@each_rule
def test_every_entry_of_every_block_moves_alike(name):
    """A vector of several blocks moves like a short one that holds the same numbers, at the seams too."""
    size = 2 * BLOCK + 17
    params, grads, rates = draw((size,), steps=3, dtype=np.float32)
    some = np.array([0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK - 1, 2 * BLOCK, size - 1])
    short = params[some]
    long_run, short_run = make(name), make(name)
    for g, lr in zip(grads, rates, strict=True):
        long_run.step(params, g, lr)
        short_run.step(short, g[some], lr)
    assert np.array_equal(params[some], short)


@each_rule
def test_shape_does_not_matter_and_views_are_updated_in_place(name):
    params, grads, rates = draw((2, 3, 4))
    store = np.zeros(40)
    store[8:32] = params.ravel()
    view, flat_run, shaped_run = store[8:32], make(name), make(name)
    for g, lr in zip(grads, rates, strict=True):
        shaped_run.step(params, g, lr)
        flat_run.step(view, g.ravel(), lr)
    assert np.array_equal(store[8:32], params.ravel())
    assert not store[:8].any() and not store[32:].any()


@each_rule
def test_dtype_does_not_drift(name):
    params, grads, rates = draw(dtype=np.float32)
    optimizer = make(name)
    for g, lr in zip(grads, rates, strict=True):
        optimizer.step(params, g, np.float64(lr))
    assert {x.dtype for x in (params, *moments(optimizer).values())} == {np.dtype(np.float32)}


@each_rule
def test_numpy_scalars_as_options_change_no_bit_of_a_float32_run(name):
    def wide(value):
        if isinstance(value, tuple):
            return tuple(map(wide, value))
        return np.float64(value) if isinstance(value, float) else value

    (a, grads, _), (b, _, _) = draw(dtype=np.float32), draw(dtype=np.float32)
    rule, options = RULES[name]
    plain = rule(lr=0.05, **options)
    converted = rule(lr=np.float64(0.05), **{key: wide(value) for key, value in options.items()})
    for g in grads:
        plain.step(a, g)
        converted.step(b, g)
    assert np.array_equal(a, b)
    held = [x for value in vars(converted).values() for x in (value if isinstance(value, tuple) else (value,))]
    assert not any(isinstance(x, np.generic) for x in held)


@each_rule
def test_later_steps_make_no_large_temporaries(name):
    params, grads, _ = draw((500_000,), steps=2, dtype=np.float32)
    optimizer = make(name)
    optimizer.step(params, grads[0])
    tracemalloc.start()
    try:
        optimizer.step(params, grads[1])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000  # a single vector has 2,000,000 bytes, a block 262,144


def test_two_optimizers_share_nothing():
    (a, grads, _), (alone, _, _) = draw(), draw()
    other = np.ones(7)
    interleaved, disturbing, single = Adam(0.05), Adam(0.05), Adam(0.05)
    for g in grads:
        interleaved.step(a, g)
        disturbing.step(other, -3 * g)
        single.step(alone, g)
    assert np.array_equal(a, alone)


def test_plain_sgd_serves_arrays_of_several_shapes_and_dtypes():
    optimizer = SGD(0.5)
    for params in (np.ones((2, 3)), np.ones(5), np.ones(50, np.float32)):
        optimizer.step(params, np.ones_like(params))
        assert np.array_equal(params, np.full_like(params, 0.5))


# ---------------------------------------------------------------- one parameter that stands for two
@pytest.mark.parametrize("block", [BLOCK, 2])
@each_rule
def test_part_that_moves_twice_is_the_sum_of_two_with_equal_gradients(name, block, monkeypatch, assert_close):
    monkeypatch.setattr("minrnn.optim.blocks.BLOCK", block)  # a part longer than a block, and one inside it
    start, grads, rates = draw((12,))
    parts = slice(2, 7), slice(9, 10)
    columns = np.r_[2:7, 9]
    adaptive_l2 = RULES[name][0] not in (SGD, AdamW) and "weight_decay" in RULES[name][1]
    second = start[columns].copy() if adaptive_l2 else np.random.default_rng(1).standard_normal(6)
    two = np.concatenate([start, second])  # of every such pair the second, at the end
    one = start.copy()
    one[columns] += second
    optimizer, reference = make(name), make(name)
    optimizer.twice = parts
    for g, lr in zip(grads, rates, strict=True):
        optimizer.step(one, g, lr)
        reference.step(two, np.concatenate([g, g[columns]]), lr)
    expected = two[:12].copy()
    expected[columns] += two[12:]
    assert_close(one, expected, 1e-12)


# ---------------------------------------------------------------- state
def moments(optimizer):
    return {key: value for key, value in optimizer.state.items() if key != "step"}


@each_rule
def test_state_restored_mid_way_continues_bit_for_bit(name):
    params, grads, rates = draw(dtype=np.float32)
    optimizer = make(name)
    for g, lr in zip(grads[:5], rates[:5], strict=True):
        optimizer.step(params, g, lr)
    state, resumed_params = copy.deepcopy(optimizer.state), params.copy()
    resumed = make(name)
    resumed.load_state(state)
    for g, lr in zip(grads[5:], rates[5:], strict=True):
        optimizer.step(params, g, lr)
        resumed.step(resumed_params, g, lr)
    assert np.array_equal(params, resumed_params)
    assert optimizer.state["step"] == resumed.state["step"] == 12
    for key, value in moments(optimizer).items():
        assert np.array_equal(value, resumed.state[key])


@each_rule
def test_state_of_a_new_optimizer_round_trips(name):
    optimizer = make(name)
    optimizer.load_state(make(name).state)
    params, grads, _ = draw()
    optimizer.step(params, grads[0])
    assert optimizer.state["step"] == 1


@each_rule
def test_loading_copies_the_state(name):
    params, grads, _ = draw()
    source, target = make(name), make(name)
    source.step(params, grads[0])
    source.step(params, grads[1])
    frozen = copy.deepcopy(source.state)
    for value in moments(source).values():
        value.setflags(write=False)
    target.load_state(source.state)
    target.step(params, grads[2])
    assert source.state["step"] == frozen["step"] == 2
    for key, value in moments(source).items():
        assert np.array_equal(value, frozen[key])


@each_rule
def test_loading_replaces_all_that_was_there(name):
    (a, grads, _), (b, _, _) = draw(), draw()
    used, new = make(name), make(name)
    used.step(np.ones(7), grads[3])
    used.load_state({"step": 0})
    used.step(a, grads[0])
    new.step(b, grads[0])
    assert np.array_equal(a, b)


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("sgd", set()),
        ("momentum", {"b"}),
        ("adagrad", {"s"}),
        ("rmsprop", {"v"}),
        ("rmsprop_centered_momentum", {"v", "mean", "b"}),
        ("adam_l2", {"m", "v"}),
        ("amsgrad", {"m", "v", "x"}),
    ],
)
def test_state_holds_the_moments_and_no_scratch(name, names):
    params, grads, _ = draw((2, 3))
    optimizer = make(name)
    assert optimizer.state == {"step": 0}
    optimizer.step(params, grads[0])
    assert set(optimizer.state) == {"step"} | names
    assert all(value.shape == (2, 3) for value in moments(optimizer).values())


def test_state_of_another_rule_is_refused():
    params, grads, _ = draw()
    source, target = Adam(), RMSprop()
    source.step(params, grads[0])
    with pytest.raises(ValueError, match="RMSprop as configured needs"):
        target.load_state(source.state)
    with pytest.raises(ValueError, match="Adam as configured needs"):
        Adam(amsgrad=True).load_state(source.state)
    with pytest.raises(ValueError, match="needs"):
        source.load_state({"m": params, "v": params})
    with pytest.raises(ValueError, match="step must be a whole number"):
        source.load_state({"step": 1.5, "m": params, "v": params})
    assert source.state["step"] == 1 and target.state == {"step": 0}


def test_state_of_another_network_is_refused_before_anything_moves():
    params, grads, _ = draw()
    optimizer = Adam()
    optimizer.step(params, grads[0])
    larger = np.ones(8)
    with pytest.raises(ValueError, match=r"state must match params, float64 of shape \(8,\)"):
        optimizer.step(larger, np.ones(8))
    with pytest.raises(ValueError, match="state must match params, float32"):
        optimizer.step(params.astype(np.float32), grads[1].astype(np.float32))
    assert optimizer.state["step"] == 1 and (larger == 1).all()


# ---------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("params", "grads", "message"),
    [
        (np.ones(4), np.ones(5), r"grads must match params, float64 of shape \(4,\)"),
        (np.ones(4), np.ones((4, 1)), "grads must match"),
        (np.ones(4), np.ones(4, np.float32), "grads must match"),
        (np.ones(4, int), np.ones(4, int), "floating-point"),
        (np.ones((4, 3)).T, np.ones((3, 4)), "C-contiguous"),
        (np.ones(8)[::2], np.ones(4), "C-contiguous"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_before_anything_moves(params, grads, message):
    optimizer, before = Adam(), params.copy()
    with pytest.raises(ValueError, match=message):
        optimizer.step(params, grads)
    assert np.array_equal(params, before) and optimizer.state == {"step": 0}


def test_lists_are_refused():
    with pytest.raises(BackendError, match="got list"):
        SGD().step([1.0], [1.0])


@pytest.mark.parametrize("lr", [-0.1, math.nan, math.inf, None, "0.1", True])
@pytest.mark.parametrize("rule", [SGD, Adagrad, RMSprop, Adam, AdamW])
def test_rate_that_is_no_rate_is_refused(rule, lr):
    with pytest.raises(ValueError, match="lr must be a finite number >= 0, got"):
        rule(lr=lr)
    if lr is not None:
        optimizer, params = rule(), np.ones(3)
        with pytest.raises(ValueError, match="lr must be"):
            optimizer.step(params, np.ones(3), lr=lr)
        assert optimizer.state == {"step": 0} and (params == 1).all()


@pytest.mark.parametrize(
    ("rule", "options", "message"),
    [
        (SGD, {"momentum": -0.1}, "momentum must be"),
        (SGD, {"momentum": math.nan}, "momentum must be"),
        (SGD, {"dampening": 1.0, "momentum": 0.9}, r"dampening must be a number in \[0, 1\)"),
        (SGD, {"nesterov": True}, "nesterov needs momentum > 0"),
        (SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "nesterov needs"),
        (SGD, {"weight_decay": -1.0}, "weight_decay must be"),
        (Adagrad, {"eps": -1e-8}, "eps must be"),
        (Adagrad, {"lr_decay": -1.0}, "lr_decay must be"),
        (Adagrad, {"initial_accumulator": math.inf}, "initial_accumulator must be"),
        (RMSprop, {"alpha": 1.0}, "alpha must be"),
        (RMSprop, {"eps": math.nan}, "eps must be"),
        (RMSprop, {"momentum": -1.0}, "momentum must be"),
        (Adam, {"betas": (1.0, 0.9)}, r"betas\[0\] must be"),
        (Adam, {"betas": (0.9, -0.1)}, r"betas\[1\] must be"),
        (Adam, {"eps": -1.0}, "eps must be"),
        (AdamW, {"weight_decay": math.nan}, "weight_decay must be"),
    ],
)
def test_options_out_of_range_are_refused(rule, options, message):
    with pytest.raises(ValueError, match=message):
        rule(**options)


def test_names_of_the_command_line():
    assert list(OPTIMIZERS) == ["sgd", "adagrad", "rmsprop", "adam", "amsgrad", "adamw"]
    made = {name: make_rule(lr=0.25) for name, make_rule in OPTIMIZERS.items()}
    assert [type(x) for x in made.values()] == [SGD, Adagrad, RMSprop, Adam, Adam, AdamW]
    assert {x.lr for x in made.values()} == {0.25}
    assert made["amsgrad"].amsgrad and not made["adam"].amsgrad
