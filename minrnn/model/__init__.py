"""Flat parameters with named views, the CharRNN, and checkpoint files."""

from minrnn.model.charrnn import CELLS, DROPOUT_PLACES, CharRNN, CharRNNCache, State
from minrnn.model.initialisation import INITS
from minrnn.model.parameters import Parameters

__all__ = ["CELLS", "DROPOUT_PLACES", "INITS", "CharRNN", "CharRNNCache", "Parameters", "State"]
