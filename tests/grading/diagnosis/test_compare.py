"""The measure: shapes count, NaN counts, tiny entries do not decide, cells find the block and the step."""

import numpy as np

from minrnn.grading.diagnosis.compare import agree, error, wrong_cells
from minrnn.grading.reference import FAMILIES


def test_broadcasting_does_not_make_things_equal():
    assert error(np.ones((3, 1)) * np.arange(3), np.arange(3.0)) == np.inf
    assert error(6.0, np.full(3, 6.0)) == np.inf
    assert error(np.ones((1, 3)), np.ones(3)) == 0.0


def test_nan_is_equal_to_nan_only():
    a = np.array([1.0, np.nan])
    assert error(a, a) == 0.0
    assert error(a, np.array([1.0, 2.0])) == np.inf and error(np.array([1.0, 2.0]), a) == np.inf
    assert error(np.array([1.0, np.inf]), np.array([1.0, -np.inf])) == np.inf


def test_a_tiny_entry_has_no_error_of_its_own():
    assert error(np.array([1.0, 1e-15]), np.array([1.0, 2e-15])) < 1e-12
    assert error(np.array([1.0, 0.0]), np.array([1.0, 1e-3])) > 1e-4


def test_a_wrong_block_is_not_hidden_by_a_large_one(rng):
    right = rng.standard_normal(28)
    right[:7] *= 1e7
    wrong = right.copy()
    wrong[7:14] += 1
    assert error(wrong, right) < 1e-6
    assert wrong_cells(FAMILIES["lstm_step"], "db", wrong, right) == [("db", "f", -1)]
    assert not agree(FAMILIES["lstm_step"], "db", wrong, right)


def test_cells_of_a_sequence_are_its_steps(rng):
    right = rng.standard_normal((4, 3, 5))
    wrong = right.copy()
    wrong[[1, 3]] *= 2
    assert wrong_cells(FAMILIES["rnn_sequence"], "dx", wrong, right) == [("dx", "", 1), ("dx", "", 3)]


def test_another_shape_is_wrong_everywhere(rng):
    right = rng.standard_normal(28)
    assert len(wrong_cells(FAMILIES["lstm_step"], "db", right.sum(), right)) == 4


def test_the_noise_of_differences_makes_no_small_cell_wrong(rng):
    right = rng.standard_normal(28)
    right[7:14] *= 1e-6
    assert agree(FAMILIES["lstm_step"], "db", right + 1e-10, right)


def test_a_difference_of_one_part_in_ten_thousand_is_wrong(rng):
    right = rng.standard_normal((5, 7))
    assert not agree(FAMILIES["rnn_step"], "dWx", right * (1 + 1e-4), right)
    assert agree(FAMILIES["rnn_step"], "dWx", right * (1 + 1e-8), right)


def test_the_error_is_relative_to_the_larger_of_the_two():
    assert error(np.ones(3), np.zeros(3)) == error(np.zeros(3), np.ones(3)) == 1.0
    assert error(np.ones(3), np.full(3, 10.0)) == error(np.full(3, 10.0), np.ones(3))
