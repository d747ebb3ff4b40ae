"""What a step costs on a GPU, counted on the stand-in: launches, waits, memory, views. These numbers only go down."""

from collections import deque

import fakecupy as cp
import numpy as np
import pytest

from minrnn import CharRNN
from minrnn.graphs import Captured
from minrnn.optim import OPTIMIZERS, SGD, Adam, Constant, blocks
from minrnn.sample import Sampler, sample_rng
from minrnn.text import FixedLength, StreamBatches, streams
from minrnn.train import Trainer

B, H = 3, 4


def trainer(*, T=6, V=7, num_layers=2, optimizer=None, two_biases=False, clipping=None, **options):
    model = CharRNN(V, hidden_size=H, num_layers=num_layers, device="fakecupy:1", **options)
    optimizer = optimizer or Adam(0.01)
    optimizer.twice = model.second_biases() if two_biases else ()
    ids = np.random.default_rng(0).integers(V, size=B * (9 * T + 1)).astype("uint8")
    return Trainer(model, StreamBatches(streams(ids, B), FixedLength(T)), optimizer, Constant(0.1), **(clipping or {}))


def cost(**arguments):
    """What one update takes in the steady state."""
    t = trainer(**arguments)
    for _ in range(3):
        t.train_step()
    with cp.measure() as found:
        kept = t.train_step()
    assert kept.characters > 0
    return found


# Launches of a step of a layer, forward and backward, each 10 µs of a CPU: products and fused bodies, nothing else.
PER_STEP = {"lstm": 6, "gru": 6, "gru-before": 10, "rnn": 4}


@pytest.mark.parametrize("cell", PER_STEP)
def test_launches_and_views_of_a_step_of_a_layer(cell):
    found = {(T, layers): cost(cell=cell, T=T, num_layers=layers) for T in (6, 16) for layers in (1, 2)}
    for kind, expected in (("launches", PER_STEP[cell]), ("views", 1), ("arrays", 0)):
        more = [found[16, layers][kind] - found[6, layers][kind] for layers in (1, 2)]
        assert more == [10 * expected, 20 * expected], kind


PARTS = {
    "plain": ({}, 54),
    "embedding": ({"embedding_size": 5}, 57),
    "dropout": ({"dropout": 0.3}, 58),
    "clipped": ({"clipping": {"clip_norm": 0.1, "clip_value": 0.01}}, 65),
    "two biases": ({"two_biases": True}, 70),
}


@pytest.mark.parametrize("part", PARTS)
def test_launches_beside_the_steps(part):
    arguments, most = PARTS[part]
    assert cost(**arguments)["launches"] - 6 * 2 * PER_STEP["lstm"] <= most


RULES = {"sgd": 1, "adagrad": 1, "rmsprop": 2, "adam": 2, "amsgrad": 3, "adamw": 3}


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_launches_of_an_update_rule(rule):
    plain = cost(optimizer=SGD(0.1))["launches"] - RULES["sgd"]
    assert cost(optimizer=OPTIMIZERS[rule](0.1))["launches"] - plain == RULES[rule]


def test_long_vectors_are_not_cut_into_blocks(monkeypatch):
    """On a CPU they are, to stay in cache; on a GPU every block would be a launch."""
    whole = cost(clipping={"clip_norm": 0.1})["launches"]
    monkeypatch.setattr(blocks, "BLOCK", 64)
    assert cost(clipping={"clip_norm": 0.1})["launches"] == whole


@pytest.mark.parametrize("cell", PER_STEP)
@pytest.mark.parametrize("part", PARTS)
def test_steady_step_waits_for_nothing_and_needs_no_memory(cell, part):
    arguments, _ = PARTS[part]
    t = trainer(cell=cell, **arguments)
    unread = deque((t.train_step() for _ in range(20)), maxlen=3)  # numbers that a line of metrics will want
    with cp.forbid("syncs", "allocations", "hidden_copies", "drifts"), cp.measure() as found:
        unread.extend(t.train_step() for _ in range(10))  # across the end of an epoch
    assert found["uploads"] == 10 * (4 if part == "dropout" else 2)  # the text, and the masks


def test_launches_of_an_update_as_a_graph():
    """The README's figures: a network of two layers, T = 50, Adam, the norm clipped."""
    found = {}
    for recorded in (False, True):
        t = trainer(T=50, clipping={"clip_norm": 1.0})
        if recorded:
            t.engine = Captured(t.model)
        for _ in range(3):
            t.train_step()
        with cp.forbid("syncs", "allocations", "hidden_copies", "drifts"), cp.measure() as counts:
            t.train_step()
        found[recorded] = counts["launches"]
    assert found == {False: 658, True: 20}


def test_arrays_made_in_a_step_are_states_and_what_belongs_to_single_characters():
    """Nothing of the size of weights, activations or logits is made anew."""
    found = {(T, V): cost(T=T, V=V) for T in (6, 16) for V in (7, 50)}
    assert found[6, 7]["bytes"] == found[6, 50]["bytes"]
    states = 2 * 2 * 2 * 4 * B * H  # h and c of two layers, and their gradients
    for (T, _), counts in found.items():
        assert counts["bytes"] <= states + 80 * T * B + 100
        assert counts["arrays"] <= 23


def test_sampling_waits_once_for_each_character(bk):
    sampler = Sampler(CharRNN(7, hidden_size=H, device="fakecupy:1"))
    with cp.forbid("hidden_copies", "drifts"):
        for count in (1, 5):
            found = {}
            for n in (5, 15):
                with cp.measure() as found[n]:
                    list(sampler.generate_batch([1], n, rngs=[sample_rng(0, k) for k in range(count)]))
            assert found[15]["syncs"] - found[5]["syncs"] == 10
