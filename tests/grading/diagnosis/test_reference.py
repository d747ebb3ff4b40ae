"""The reference is right: it agrees with the kernels of the package, each backward with differences of its forward."""

import numpy as np
import pytest

from minrnn import kernels, optim
from minrnn.gradcheck import numerical_gradient
from minrnn.grading.reference import FAMILIES, NONE, Bug
from minrnn.grading.variants import variants_for

WITH_BACKWARD = [name for name, family in FAMILIES.items() if family.gradients]


def test_rnn_is_the_kernel(example, assert_close):
    inputs, upstream = example("rnn_sequence")
    h, _, cache = kernels.rnn_forward(*(inputs[k] for k in ("x", "h0", "Wx", "Wh", "b")))
    gradients = kernels.rnn_backward(upstream["dh"], None, cache)
    assert_close(FAMILIES["rnn_sequence"].forward(inputs)["h"], h)
    found = FAMILIES["rnn_sequence"].backward(inputs, upstream)
    for name, right in zip(("dx", "dh0", "dWx", "dWh", "db"), gradients, strict=True):
        assert_close(found[name], right, name=name)


def test_lstm_is_the_kernel(example, assert_close):
    inputs, upstream = example("lstm_sequence")
    upstream["dc"][:-1] = 0  # the kernel takes a gradient of the last cell only
    h, _, cT, cache = kernels.lstm_forward(*(inputs[k] for k in ("x", "h0", "c0", "Wx", "Wh", "b")))
    gradients = kernels.lstm_backward(upstream["dh"], None, upstream["dc"][-1], cache)
    outputs = FAMILIES["lstm_sequence"].forward(inputs)
    assert_close(outputs["h"], h)
    assert_close(outputs["c"][-1], cT)
    found = FAMILIES["lstm_sequence"].backward(inputs, upstream)
    for name, right in zip(("dx", "dh0", "dc0", "dWx", "dWh", "db"), gradients, strict=True):
        assert_close(found[name], right, name=name)


def test_gru_after_is_the_kernel(example, assert_close):
    inputs, upstream = example("gru_sequence_after")
    h, _, cache = kernels.gru_forward(*(inputs[k] for k in ("x", "h0", "Wx", "Wh", "b", "bhn")))
    gradients = kernels.gru_backward(upstream["dh"], None, cache)
    assert_close(FAMILIES["gru_sequence_after"].forward(inputs)["h"], h)
    found = FAMILIES["gru_sequence_after"].backward(inputs, upstream)
    for name, right in zip(("dx", "dh0", "dWx", "dWh", "db", "dbhn"), gradients, strict=True):
        assert_close(found[name], right, name=name)


def test_gru_before_flipped_is_the_kernel(example, assert_close):
    inputs, upstream = example("gru_sequence_before_flipped")
    h, _, cache = kernels.gru_before_forward(*(inputs[k] for k in ("x", "h0", "Wx", "Wh", "b")))
    gradients = kernels.gru_before_backward(upstream["dh"], None, cache)
    assert_close(FAMILIES["gru_sequence_before_flipped"].forward(inputs)["h"], h)
    found = FAMILIES["gru_sequence_before_flipped"].backward(inputs, upstream)
    for name, right in zip(("dx", "dh0", "dWx", "dWh", "db"), gradients, strict=True):
        assert_close(found[name], right, name=name)


def test_the_two_meanings_of_z_differ_by_the_sign_of_its_block(example, assert_close):
    inputs, _ = example("gru_sequence_before")
    H = inputs["Wh"].shape[0]
    negated = {name: inputs[name].copy() for name in ("Wx", "Wh", "b")}
    for array in negated.values():
        array[..., H : 2 * H] *= -1
    flipped = FAMILIES["gru_sequence_before_flipped"].forward(inputs | negated)["h"]
    assert_close(FAMILIES["gru_sequence_before"].forward(inputs)["h"], flipped)


@pytest.mark.parametrize("reduction", ["batch", "sum", "mean", "mask"])
def test_softmax_loss_is_the_kernel_but_for_what_it_is_divided_by(example, assert_close, reduction):
    inputs, _ = example("softmax_loss")
    mean, cache = kernels.softmax_cross_entropy_forward(inputs["x"], inputs["targets"], inputs["mask"])
    T, N = inputs["targets"].shape
    times = inputs["mask"].sum() / {"batch": N, "sum": 1, "mean": T * N, "mask": inputs["mask"].sum()}[reduction]
    inputs["reduction"] = reduction
    assert_close(FAMILIES["softmax_loss"].forward(inputs)["loss"], mean * times)
    dx, *_ = kernels.softmax_cross_entropy_backward(times, cache)
    assert_close(FAMILIES["softmax_loss"].backward(inputs, {"dloss": 1.0})["dx"], dx)


def test_embedding_adds_up_repeated_ids(example, assert_close):
    inputs, upstream = example("embedding")
    assert len(np.unique(inputs["ids"])) < inputs["ids"].size
    _, cache = kernels.linear_forward(inputs["ids"], inputs["W"])
    _, dW, _ = kernels.linear_backward(upstream["dout"], cache)
    assert_close(FAMILIES["embedding"].backward(inputs, upstream)["dW"], dW)


@pytest.mark.parametrize("name", WITH_BACKWARD)
def test_every_backward_is_the_derivative_of_its_forward(example, name):
    inputs, upstream = example(name)
    inputs.pop("clip", None)
    family = FAMILIES[name]
    gradients = family.backward(inputs, upstream)
    assert sorted(gradients) == sorted(family.gradients)
    for gradient, found in gradients.items():
        argument = gradient[1:]

        def objective(value, argument=argument):
            outputs = family.forward({**inputs, argument: value})
            return sum(float(np.sum(outputs[key[1:]] * weight)) for key, weight in upstream.items())

        right = numerical_gradient(objective, inputs[argument])
        assert np.max(np.abs(found - right)) <= 1e-8 * np.max(np.abs(right)), gradient


def test_initial_cell_and_its_upstream_may_be_left_out(example, assert_close):
    inputs, upstream = example("lstm_sequence")
    family = FAMILIES["lstm_sequence"]
    zeros = {"c0": np.zeros_like(inputs["h0"])}
    without = {name: value for name, value in inputs.items() if name != "c0"}
    assert_close(family.forward(without)["h"], family.forward(inputs | zeros)["h"])
    only_h = {"dh": upstream["dh"]}
    expected = family.backward(inputs | zeros, only_h | {"dc": np.zeros_like(upstream["dc"])})
    for name, gradient in family.backward(without, only_h).items():
        assert_close(gradient, expected[name], name=name)


def test_clipping_inside_the_loss_function(example):
    inputs, upstream = example("char_rnn_loss")
    clipped = FAMILIES["char_rnn_loss"].backward(inputs | {"clip": 0.1}, upstream)
    free = FAMILIES["char_rnn_loss"].backward({k: v for k, v in inputs.items() if k != "clip"}, upstream)
    for name, gradient in free.items():
        np.testing.assert_array_equal(clipped[name], np.clip(gradient, -0.1, 0.1))


def test_an_absent_character_is_a_step_without_input(example, assert_close):
    inputs, _ = example("char_rnn_loss")
    absent = inputs | {"ids": np.array([-1, 2, 3, 2])}
    silent = inputs | {"ids": np.array([0, 2, 3, 2]), "Wx": inputs["Wx"] * (np.arange(11) > 0)[:, None]}
    for name, value in FAMILIES["char_rnn_loss"].forward(silent).items():
        assert_close(FAMILIES["char_rnn_loss"].forward(absent)[name], value)


# Updates


def test_adam_and_rmsprop_are_the_optimizers(example, assert_close):
    for name, rule in (
        ("adam", optim.Adam(lr=0.1, betas=(0.9, 0.99), eps=1e-3)),
        ("rmsprop", optim.RMSprop(lr=0.1, alpha=0.8, eps=1e-3)),
    ):
        inputs, _ = example(name)
        w = inputs["w"].copy()
        state = {k: np.zeros_like(inputs["w"]) for k in ("m", "v", "cache")} | {"t": 0}
        for k in range(3):
            dw = np.cos(inputs["dw"] * (k + 1))
            rule.step(w, dw)
            outputs = FAMILIES[name].forward({**inputs, **state, "dw": dw})
            inputs, state = {**inputs, "w": outputs["w"]}, outputs
        assert_close(inputs["w"], w)


# Update ÷ rate for a constant gradient of 2, steps 1, 2 and 3.
ADAM = {
    NONE: (1.0, 1.0, 1.0),
    Bug("adam-no-bias-correction", "mv", side="forward"): (3.1623, 4.2496, 4.9502),
    Bug("adam-no-bias-correction", "v", side="forward"): (31.623, 22.366, 18.267),
    Bug("adam-beta-without-power", side="forward"): (1.0, 1.3438, 1.5654),
    Bug("adam-correction-multiplied", side="forward"): (10.0, 18.059, 24.505),
    Bug("adam-corrected-moment-stored", "mv", side="forward"): (1.0, 0.2353, 0.0437),
    Bug("adam-step-counter", "", {"shift": -1}, "forward"): (np.nan, 1.3438, 1.1649),
    Bug("root-missing", side="forward"): (0.5, 0.5, 0.5),
}


@pytest.mark.parametrize("bug", ADAM, ids=str)
def test_adam_leaves_the_known_fingerprint(bug):
    numbers = {"lr": 1.0, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    state = {"w": np.zeros(1), "m": np.zeros(1), "v": np.zeros(1), "t": 0}
    steps = []
    for _ in range(3):
        outputs = FAMILIES["adam"].forward({**numbers, **state, "dw": np.full(1, 2.0)}, bug)
        steps.append(float(state["w"][0] - outputs["w"][0]))
        state = outputs | {"w": np.zeros(1)}
    np.testing.assert_allclose(steps, ADAM[bug], rtol=5e-4)


def test_epsilon_may_be_inside_of_the_root():
    numbers = {"lr": 1.0, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "t": 0}
    arrays = {"w": np.zeros(1), "m": np.zeros(1), "v": np.zeros(1), "dw": np.full(1, 1e-6)}
    outside = FAMILIES["adam"].forward(numbers | arrays)["w"]
    inside = FAMILIES["adam"].forward(numbers | arrays | {"epsilon_inside": True})["w"]
    np.testing.assert_allclose([-outside[0], -inside[0]], [0.9901, 0.0100], rtol=1e-3)


def test_clipping_by_norm_has_one_factor_for_all(example, assert_close):
    inputs, _ = example("clip_norm")
    outputs = FAMILIES["clip_norm"].forward(inputs)
    norm = np.sqrt((inputs["dW"] ** 2).sum() + (inputs["db"] ** 2).sum())
    for name, gradient in outputs.items():
        assert_close(gradient, inputs[name] * 0.8 / norm)
    small = {"dW": inputs["dW"] * 1e-3, "limit": 0.8}
    assert_close(FAMILIES["clip_norm"].forward(small)["dW"], small["dW"])


def test_a_family_without_backward_says_so(example):
    inputs, upstream = example("adam")
    with pytest.raises(ValueError, match="adam has no backward"):
        FAMILIES["adam"].backward(inputs, upstream)


# Bugs


def test_two_bugs_are_two_bugs():
    a, b = Bug("missing-time-carry"), Bug("bias-gradient-scalar", "db")
    assert (a + b).backward("missing-time-carry") and (a + b).backward("bias-gradient-scalar", "db")
    assert not (a + b).forward("missing-time-carry") and not a.backward("bias-gradient-scalar")
    assert a + NONE == a and NONE + b == b


@pytest.mark.parametrize("name", ["rnn_sequence", "lstm_step", "gru_sequence_before"])
def test_no_variant_changes_its_inputs(example, name):
    inputs, upstream = example(name)
    kept = {key: np.copy(value) for key, value in (inputs | upstream).items()}
    for bug in variants_for(name):
        FAMILIES[name].backward(inputs, upstream, bug)
    for key, value in (inputs | upstream).items():
        np.testing.assert_array_equal(value, kept[key])


def test_the_text_of_a_model_is_that_of_a_loop_written_out():
    rng, count = np.random.default_rng(1), 24
    shapes = {"Wx": (11, 7), "Wh": (7, 7), "b": 7, "Wy": (7, 11), "by": 11, "h0": 7}
    w = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    h, ids = w["h0"], [8, 10, 5]
    for k in range(2 + count):
        h = np.tanh(w["Wx"][ids[k]] + h @ w["Wh"] + w["b"])
        if k >= 2:
            ids.append(int(np.argmax(h @ w["Wy"] + w["by"])))
    assert len(set(ids[3:])) > 3
    found = FAMILIES["char_sample"].forward({**w, "prefix": np.array([8, 10, 5]), "count": count})
    assert found["ids"].tolist() == ids[3:]
