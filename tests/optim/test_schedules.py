"""Learning-rate schedules against the loops of the programs they come from, and at every edge."""

import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from minrnn.optim import Constant, Cosine, CosineRestarts, ExponentialAfterEpoch, LinearWarmup, LowStart

ALL = [
    Constant(0.3),
    ExponentialAfterEpoch(0.3, 0.9, 2, 7),
    Cosine(0.3, 40, 0.1),
    CosineRestarts(0.3, 5, 2, 0.1),
    LinearWarmup(CosineRestarts(0.3, 5, 2, 0.1), 6),
    LowStart(CosineRestarts(0.3, 5, 2, 0.1), 3, 0.25),
]


@pytest.mark.parametrize("schedule", ALL, ids=lambda s: type(s).__name__)
def test_schedule_depends_on_the_step_alone(schedule):
    forwards = [schedule(s) for s in range(100)]
    shuffled = np.random.default_rng(0).permutation(100).tolist()
    assert {s: schedule(s) for s in shuffled} == dict(enumerate(forwards))
    assert {type(x) for x in forwards} == {float}
    assert all(0 < x <= 0.3 for x in forwards)
    with pytest.raises(FrozenInstanceError):
        schedule.lr = 1.0


def test_constant():
    assert Constant(0.25)(0) == Constant(0.25)(10**9) == 0.25


@pytest.mark.parametrize("after", [0, 1, 2, 10])
@pytest.mark.parametrize("n", [1, 3, 8])
def test_exponential_equals_the_loop_of_char_rnn(after, n):
    """The loop decays at the end of an epoch e >= after, so the next epoch is the first to feel it."""
    schedule, lr = ExponentialAfterEpoch(2e-3, 0.97, after, n), 2e-3
    for iteration in range(1, 14 * n):
        assert schedule(iteration - 1) == pytest.approx(lr, rel=1e-13)
        if iteration % n == 0 and iteration / n >= after:
            lr *= 0.97


def test_exponential_changes_exactly_at_the_first_update_of_epoch_eleven():
    schedule = ExponentialAfterEpoch(2e-3, 0.97, 10, 100)
    assert schedule(999) == 2e-3
    assert schedule(1000) == schedule(1099) == pytest.approx(2e-3 * 0.97)
    assert schedule(1100) == pytest.approx(2e-3 * 0.97**2)


def test_cosine_starts_high_ends_low_and_stays_there():
    schedule = Cosine(1.0, 10, 0.2)
    assert schedule(0) == 1.0
    assert schedule(5) == pytest.approx(0.6)
    assert schedule(9) > schedule(10) == schedule(11) == schedule(20) == schedule(10**9) == 0.2
    rates = [schedule(s) for s in range(11)]
    assert rates == sorted(rates, reverse=True)
    assert rates[3] == pytest.approx(0.2 + 0.4 * (1 + math.cos(0.3 * math.pi)), rel=1e-14)


@pytest.mark.parametrize("mult", [1, 2, 3, 10])
@pytest.mark.parametrize("cycle", [1, 4, 10])
def test_restarts_equal_a_counter_advanced_step_by_step(cycle, mult):
    schedule = CosineRestarts(0.5, cycle, mult, 0.01)
    index, offset, length = 0, 0, cycle
    for step in range(1500):
        position = schedule.position(step)
        assert position == (index, offset, length)
        assert position.is_last == (offset + 1 == length)
        expected = 0.01 + 0.245 * (1 + math.cos(math.pi * offset / length))
        assert schedule(step) == pytest.approx(expected, rel=1e-14)
        assert (schedule(step) == 0.5) == (offset == 0)
        offset += 1
        if offset == length:
            index, offset, length = index + 1, 0, length * mult


@pytest.mark.parametrize(("mult", "restart"), [(3, 1210), (10, 1110), (2, 10 * (2**40 - 1)), (1, 10**12)])
def test_restarts_are_counted_in_whole_numbers(mult, restart):
    """A floating logarithm misses the first two of these (cycle 10) and gives lr_min instead of lr."""
    schedule = CosineRestarts(0.5, 10, mult, 0.0)
    assert schedule(restart) == 0.5
    assert schedule.position(restart).offset == 0
    assert schedule.position(restart - 1).is_last and schedule(restart - 1) < 0.02


def test_one_snapshot_per_cycle():
    schedule = CosineRestarts(0.5, 3, 2)
    assert [s for s in range(22) if schedule.position(s).is_last] == [2, 8, 20]
    assert [schedule.position(s).cycle for s in (2, 3, 8, 9, 20, 21)] == [0, 1, 1, 2, 2, 3]


def test_warmup_never_has_rate_zero_and_joins_without_a_flat_or_a_jump():
    schedule = LinearWarmup(Constant(1.0), 4)
    assert [schedule(s) for s in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0], rel=1e-15)


def test_warmup_and_cosine_equal_nanogpts_formula():
    lr, low, warm, total = 6e-4, 6e-5, 20, 200
    schedule = LinearWarmup(Cosine(lr, total - warm, low), warm)
    for s in range(300):
        if s < warm:
            expected = lr * (s + 1) / (warm + 1)
        elif s > total:
            expected = low
        else:
            expected = low + 0.5 * (1 + math.cos(math.pi * (s - warm) / (total - warm))) * (lr - low)
        assert schedule(s) == pytest.approx(expected, rel=1e-13)


def test_schedule_behind_a_warmup_starts_at_its_own_update_zero():
    inner = ExponentialAfterEpoch(1.0, 0.5, 1, 5)
    schedule = LinearWarmup(inner, 3)
    assert [schedule(s + 3) for s in range(40)] == [inner(s) for s in range(40)]
    assert LinearWarmup(inner, 0)(0) == 1.0


def test_low_start_equals_the_loop_of_fast_ai():
    """There the counter of the cycle runs on during the low updates, so that the first cycle is not longer."""
    schedule = LowStart(CosineRestarts(1e-2, 963, 2), 49, 0.01)
    length, offset, restarts = 963, 0, []
    for step in range(7000):
        expected = 1e-4 if step < 963 / 20 else 0.5e-2 * (1 + math.cos(math.pi * offset / length))
        assert schedule(step) == pytest.approx(expected, rel=1e-13)
        offset += 1
        if offset == length:
            length, offset = 2 * length, 0
            restarts.append(step + 1)
    assert restarts == [963, 2889, 6741]
    assert schedule(48) == pytest.approx(1e-4) and schedule(49) > 9.9e-3 and schedule(963) == 1e-2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(math.nan), "lr must be a finite number >= 0, got nan"),
        (lambda: Constant(-1.0), "lr must be"),
        (lambda: ExponentialAfterEpoch(math.inf, 0.9, 1, 1), "lr must be"),
        (lambda: ExponentialAfterEpoch(0.1, -0.9, 1, 1), "decay must be"),
        (lambda: ExponentialAfterEpoch(0.1, 0.9, -1, 1), "after must be a whole number >= 0"),
        (lambda: ExponentialAfterEpoch(0.1, 0.9, 1, 0), "updates_per_epoch must be a whole number >= 1"),
        (lambda: Cosine(0.1, 0), "total must be a whole number >= 1"),
        (lambda: Cosine(0.1, 10, 0.2), "lr_min must not exceed lr"),
        (lambda: Cosine(0.1, 10, math.nan), "lr_min must be"),
        (lambda: CosineRestarts(0.1, 10.5), "cycle must be a whole number >= 1, got 10.5"),
        (lambda: CosineRestarts(0.1, 10, 1.5), "mult must be a whole number >= 1, got 1.5"),
        (lambda: CosineRestarts(0.1, 10, 0), "mult must be"),
        (lambda: CosineRestarts(0.1, 10, 2, 0.5), "lr_min must not exceed lr"),
        (lambda: LinearWarmup(Constant(0.1), -1), "updates must be a whole number >= 0"),
        (lambda: LinearWarmup(Constant(0.1), 2.5), "updates must be"),
        (lambda: LowStart(Constant(0.1), -1, 0.1), "updates must be a whole number >= 0"),
        (lambda: LowStart(Constant(0.1), 5, -0.1), "factor must be"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
