"""The right answer of every function that courses ask for, and of every named mistake in it. Not a judge.

Everything is in one canonical layout, whatever the course uses: time-major x (T,N,D), row vectors, fused weights
Wx (D,G·H), Wh (H,G·H), b (G·H,), blocks i f o g of an LSTM and r z n of a GRU. The upstream of the output y is dy.
"""

from minrnn.grading.reference.bug import NONE, Array, Arrays, Bug, Family
from minrnn.grading.reference.charrnn import CHARRNN
from minrnn.grading.reference.gru import GRU
from minrnn.grading.reference.layers import LAYERS
from minrnn.grading.reference.lstm import LSTM
from minrnn.grading.reference.optimizers import OPTIMIZERS
from minrnn.grading.reference.rnn import RNN
from minrnn.grading.reference.sampling import SAMPLING
from minrnn.grading.reference.sequence import sequence_family, step_family
from minrnn.grading.reference.stacked import STACKED

CELLS = {
    "rnn": RNN(),
    "lstm": LSTM(),
    "gru_after": GRU(after=True, keep_is_z=True),
    "gru_before": GRU(after=False, keep_is_z=True),
    "gru_before_flipped": GRU(after=False, keep_is_z=False),
}


def _recurrent() -> list[Family]:
    names = {
        "rnn": ("rnn_step", "rnn_sequence"),
        "lstm": ("lstm_step", "lstm_sequence"),
        "gru_after": ("gru_step_after", "gru_sequence_after"),
        "gru_before": ("gru_step_before", "gru_sequence_before"),
        "gru_before_flipped": ("gru_step_before_flipped", "gru_sequence_before_flipped"),
    }
    found = []
    for cell, (step, sequence) in names.items():
        found += [step_family(step, CELLS[cell]), sequence_family(sequence, CELLS[cell])]
    return found


FAMILIES = {family.name: family for family in (*_recurrent(), *LAYERS, *CHARRNN, *SAMPLING, *STACKED, *OPTIMIZERS)}

__all__ = ["CELLS", "FAMILIES", "NONE", "Array", "Arrays", "Bug", "Family"]
