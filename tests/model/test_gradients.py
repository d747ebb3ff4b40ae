"""The gradients of whole networks: against differences, in chunks, scaled, repeated."""

import numpy as np
import pytest

from minrnn.gradcheck import check_directions, numerical_gradient


def objective(model, x, targets, state, upstreams, mask, seed):
    """3 · loss + Σ final state · upstream, with the same dropout masks at every call, and the cache."""
    loss, after, cache = model.forward(x, targets, state, mask=mask, rng=np.random.default_rng(seed))
    ends = sum(
        float((a * u).sum()) for layer, us in zip(after, upstreams, strict=True) for a, u in zip(layer, us, strict=True)
    )
    return 3.0 * float(loss) + ends, cache


@pytest.mark.parametrize("embedding_size", [0, 4])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_every_gradient_of_a_whole_network(network, draw, flat_state, embedding_size, num_layers):
    model = network(embedding_size=embedding_size, dropout=0.3, num_layers=num_layers)
    x, targets, state = draw(model, T=5, B=3)
    upstreams = draw(model, T=1, B=3, seed=1)[2]
    mask = np.random.default_rng(2).random((5, 3)) * (np.arange(15).reshape(5, 3) % 4 > 0)

    value, cache = objective(model, x, targets, state, upstreams, mask, 9)
    model.grads.flat[...] = np.nan  # gradients are overwritten, every one of them
    dstate = model.backward(cache, dloss=3.0, dstate=upstreams)
    gradients = {**model.grads, **flat_state(dstate)}
    report = check_directions(
        lambda: objective(model, x, targets, state, upstreams, mask, 9)[0],
        {**model.params, **flat_state(state)},
        gradients,
    )
    assert report.ok and report.max_error <= 1e-6, f"\n{report}"
    assert all(row.largest > 1e-6 for row in report.rows), f"a gradient that is zero tells nothing\n{report}"
    assert value == objective(model, x, targets, state, upstreams, mask, 9)[0]


def test_gradient_of_every_entry_of_the_initial_state(network, draw, assert_close):
    model = network(embedding_size=4)
    x, targets, state = draw(model, T=4, B=2)
    _, _, cache = model.forward(x, targets, state)
    dstate = model.backward(cache)
    for k, layer in enumerate(state):
        for j, start in enumerate(layer):

            def loss(value, k=k, j=j):
                changed = [list(parts) for parts in state]
                changed[k][j] = value
                return model.forward(x, targets, tuple(map(tuple, changed)))[0]

            numeric = numerical_gradient(loss, start)
            assert np.abs(numeric).max() > 1e-4
            assert_close(dstate[k][j], numeric, 1e-6, f"layer {k}, state {j}")


def test_chunks_with_chained_state_gradients_equal_the_whole(network, draw, flat_state, assert_close):
    whole, parts = network(embedding_size=4), network(embedding_size=4)
    x, targets, state = draw(whole, T=12, B=3)
    loss, end, cache = whole.forward(x, targets, state)
    dstart = whole.backward(cache)

    total, caches, after = 0.0, [], state
    for chunk in (slice(0, 5), slice(5, 6), slice(6, 12)):
        part, after, c = parts.forward(x[chunk], targets[chunk], after)
        share = len(x[chunk]) / 12
        total += share * part
        caches.append((c, share))
    gradient, dstate = 0.0, None
    for c, share in reversed(caches):
        dstate = parts.backward(c, dloss=share, dstate=dstate)
        gradient = gradient + parts.grads.flat

    assert_close(total, loss, 1e-13)
    assert_close(gradient, whole.grads.flat, 1e-13)
    for name, array in flat_state(end).items():
        assert_close(flat_state(after)[name], array, 1e-13, name)
    for name, array in flat_state(dstart).items():
        assert_close(flat_state(dstate)[name], array, 1e-13, name)


def test_dloss_scales_the_gradient_exactly(network, draw):
    model = network()
    x, targets, state = draw(model, T=4, B=3)
    _, _, cache = model.forward(x, targets, state)
    model.backward(cache)
    once = model.grads.flat.copy()
    model.backward(cache, dloss=8.0)
    np.testing.assert_array_equal(model.grads.flat, 8.0 * once)
    model.backward(cache, dloss=0.0)
    assert not model.grads.flat.any()


def test_second_backward_of_one_cache_gives_the_same(network, draw, flat_state):
    model = network(embedding_size=4, dropout=0.5)
    x, targets, state = draw(model, T=4, B=3)
    _, _, cache = model.forward(x, targets, state, rng=np.random.default_rng(0))
    first = flat_state(model.backward(cache))
    gradient = model.grads.flat.copy()
    second = flat_state(model.backward(cache))
    np.testing.assert_array_equal(model.grads.flat, gradient)
    for name, array in first.items():
        np.testing.assert_array_equal(second[name], array)


def test_one_hot_input_is_an_embedding_with_the_identity(network, draw, assert_close):
    one_hot, embedded = network(), network(embedding_size=7)
    embedded.params["embedding.W"][...] = np.eye(7)
    for name, value in one_hot.params.items():
        embedded.params[name][...] = value
    x, targets, state = draw(one_hot, T=5, B=3)
    losses = []
    for model in (one_hot, embedded):
        loss, _, cache = model.forward(x, targets, state)
        model.backward(cache)
        losses.append(loss)
    assert_close(losses[0], losses[1], 1e-14)
    for name, gradient in one_hot.grads.items():
        assert_close(embedded.grads[name], gradient, 1e-12, name)


def test_loss_is_the_mean_over_the_mask(network, draw, assert_close):
    model = network()
    x, targets, state = draw(model, T=5, B=3)
    mask = np.random.default_rng(4).random((5, 3))
    nll = model.forward(x, targets, state)[2].loss.nll.copy()
    assert_close(model.forward(x, targets, state)[0], nll.mean(), 1e-14)
    assert_close(model.forward(x, targets, state, mask=mask)[0], (nll * mask).sum() / mask.sum(), 1e-14)


def test_masked_position_has_no_influence_on_loss_or_gradient(network, draw):
    model = network()
    x, targets, state = draw(model, T=3, B=2)
    mask = np.ones((3, 2))
    mask[1, 1] = 0
    results = []
    for target in (targets[1, 1], (targets[1, 1] + 1) % 7):
        changed = targets.copy()
        changed[1, 1] = target
        loss, _, cache = model.forward(x, changed, state, mask=mask)
        model.backward(cache)
        results.append((float(loss), model.grads.flat.copy()))
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])
