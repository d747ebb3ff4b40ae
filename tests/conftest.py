"""What all tests share: hypothesis without luck or clocks, a seeded generator, one way to compare arrays."""

import signal

import numpy as np
import pytest
from hypothesis import Phase, settings

settings.register_profile("minrnn", derandomize=True, deadline=None)
settings.register_profile(
    "mutants", settings.get_profile("minrnn"), phases=[Phase.explicit, Phase.generate]
)  # no shrinking
settings.load_profile("minrnn")

# A shell that starts the tests in the background has them ignore Ctrl-C, and with them every process that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def rng():
    return np.random.default_rng(20240607)


@pytest.fixture(scope="session")
def assert_close():
    """assert_close(found, reference, tolerance): same shape, max|found − reference| <= tolerance · max|reference|."""

    def check(found, reference, tolerance=1e-13, name="array"):
        found, reference = np.asarray(found), np.asarray(reference)
        assert found.shape == reference.shape, f"{name} has shape {found.shape}, expected {reference.shape}"
        largest = np.max(np.abs(reference), initial=0.0)
        error = np.max(np.abs(found - reference), initial=0.0)
        assert error <= tolerance * largest, f"{name} differs by {error:.1e}, largest entry {largest:.1e}"

    return check
