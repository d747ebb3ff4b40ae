"""minrnn: character-level recurrent networks in plain NumPy, every forward and every backward pass written by hand."""

from minrnn.model import CharRNN

__all__ = ["CharRNN", "__version__"]
__version__ = "0.1.0"
