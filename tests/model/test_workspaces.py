"""Workspaces: reused memory that must never show in a result."""

import numpy as np

from minrnn import CharRNN


def flat(state):
    return [a for layer in state for a in layer]


def result(model, x, targets, state, rng=None):
    """Loss, final state and gradients of one forward and backward, copied."""
    loss, after, cache = model.forward(x, targets, state, rng=rng)
    dstate = model.backward(cache)
    return [float(loss), *(a.copy() for a in (*flat(after), *flat(dstate), model.grads.flat))]


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_returned_state_survives_the_next_forward_and_backward(network, draw):
    model = network()
    x, targets, state = draw(model, T=4, B=3)
    _, after, cache = model.forward(x, targets, state)
    dstate = model.backward(cache)
    kept = [a.copy() for a in (*flat(after), *flat(dstate))]
    result(model, *draw(model, T=4, B=3, seed=1))
    assert_same([*flat(after), *flat(dstate)], kept)


def test_final_state_of_a_single_step_is_not_the_workspace_either(network, draw):
    model = network(num_layers=1)
    x, targets, state = draw(model, T=1, B=3)
    _, after, _ = model.forward(x, targets, state)
    kept = [a.copy() for a in flat(after)]
    model.forward(x, targets, after)
    assert_same(flat(after), kept)


def test_state_may_be_fed_back_while_its_workspace_is_in_use(network, draw):
    carried, fresh = network(), network()
    x, targets, state = draw(carried, T=4, B=3)
    after, copied = state, state
    for _ in range(3):
        loss, after, cache = carried.forward(x, targets, after)
        carried.backward(cache)
        expected, copied, _ = fresh.forward(x, targets, tuple(tuple(a.copy() for a in layer) for layer in copied))
        assert loss == expected


def test_dirty_workspace_changes_nothing(network, draw, arrays_in):
    model = network(embedding_size=4, dropout=0.3)
    x, targets, state = draw(model, T=4, B=3)
    expected = result(model, x, targets, state, np.random.default_rng(0))
    result(model, *draw(model, T=4, B=3, seed=1))
    buffers = arrays_in(model.workspace(4, 3))
    assert len(buffers) > 5
    for array in buffers:
        array[...] = np.nan if array.dtype.kind == "f" else 1
    model.grads.flat[...] = np.nan
    assert_same(result(model, x, targets, state, np.random.default_rng(0)), expected)


def test_cache_lives_while_other_sizes_are_computed(network, draw):
    model, other = network(), network()
    x, targets, state = draw(model, T=4, B=3)
    expected = result(other, x, targets, state)
    loss, after, cache = model.forward(x, targets, state)
    for T, B in ((3, 3), (4, 2), (1, 1), (5, 2), (2, 2)):  # more than are kept
        model.forward(*draw(model, T, B))
    dstate = model.backward(cache)
    assert_same([float(loss), *flat(after), *flat(dstate), model.grads.flat], expected)


def test_validation_of_the_same_size_between_steps_changes_no_trajectory(network, draw):
    losses = []
    for validate in (False, True):
        model, after = network(dropout=0.3), None
        rng = np.random.default_rng(0)
        seen = []
        for step in range(5):
            x, targets, _ = draw(model, T=4, B=3, seed=step)
            loss, after, cache = model.forward(x, targets, after, rng=rng)
            model.backward(cache)
            model.params.flat[...] -= 0.1 * model.grads.flat
            if validate:
                model.forward(*draw(model, T=4, B=3, seed=100))
            seen += [float(loss), *(a.copy() for a in flat(after))]
        losses.append((*seen, model.params.flat.copy()))
    assert_same(*losses)


def test_no_more_than_three_are_kept(draw):
    model = CharRNN(7, hidden_size=6)
    for T in range(1, 8):
        model.forward(*draw(model, T, 2))
        assert len(model._workspaces) <= 3
    assert (7, 2) in model._workspaces


def test_one_size_is_made_once(draw):
    model = CharRNN(7, hidden_size=6)
    model.forward(*draw(model, 3, 2))
    assert model.workspace(3, 2) is model.workspace(3, 2)
    assert model.workspace(3, 2) is not model.workspace(2, 3)


def test_models_share_no_memory(network, draw, arrays_in):
    one, two = network(), network()
    for model in (one, two):
        model.forward(*draw(model, 3, 2))
    for a in arrays_in(one.workspace(3, 2)):
        assert not any(np.shares_memory(a, b) for b in arrays_in(two.workspace(3, 2)))
