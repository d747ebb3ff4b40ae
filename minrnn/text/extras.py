"""Optional packages: imported when they are first needed, and missed politely.

What it is: one function, so that every missing package is reported in the same words.
What it is not: a list of the extras; that list is in pyproject.toml.
"""

import importlib
from types import ModuleType


def import_extra(module: str, extra: str, purpose: str) -> ModuleType:
    """Return the imported `module`, which `pip install 'minrnn[extra]'` provides.

    Raises:
        ImportError: the package is not installed; the message says what it was for and how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs the package {module}; install it with: python -m pip install 'minrnn[{extra}]'"
        ) from error
