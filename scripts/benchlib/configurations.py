"""What is measured: sizes of networks and batches, and the work that one step of each cannot avoid.

What this is not: a choice of hyper-parameters. The text is made of even random ids, so nothing is learned; every
distinct character occurs, which is the unfavourable case for the gradient of the look-up table.
"""

from dataclasses import asdict, dataclass
from typing import Any

GATES = {"rnn": 1, "gru": 3, "lstm": 4}  # G: blocks of width H in Wx and Wh
LEARNING_RATE, CLIP_NORM = 2e-3, 5.0


@dataclass(frozen=True)
class Configuration:
    """A network, L layers of H units over V characters, and a batch of B sequences of T characters (sampling: T = 1).

    `loops` adds a column with the program structure of min-char-rnn.
    """

    cell: str
    num_layers: int
    hidden_size: int
    vocab_size: int
    batch_size: int
    seq_length: int = 1
    loops: bool = False

    @property
    def name(self) -> str:
        """Such as `LSTM 2×128 V65 B50 T50`; sampling has no T."""
        size = f"{self.cell.upper()} {self.num_layers}×{self.hidden_size} V{self.vocab_size} B{self.batch_size}"
        return size if self.seq_length == 1 else f"{size} T{self.seq_length}"

    @property
    def characters(self) -> int:
        """Predictions in one step."""
        return self.batch_size * self.seq_length

    @property
    def chunks(self) -> int:
        """How many different chunks of text are gone through over and over: enough that none is soon known by heart."""
        return max(4, 100_000 // self.characters)

    def matches(self, text: str) -> bool:
        """Whether the name holds `text`; x stands for ×, and case does not matter."""
        return text.lower().replace("×", "x") in self.name.lower().replace("×", "x")

    def to_json(self) -> dict[str, Any]:
        """The fields, for a child process."""
        return asdict(self)


def step_flops(c: Configuration) -> int:
    """FLOPs of the matrix products of one training step; a product (M,K)·(K,N) counts 2 M K N.

    With N = T·B rows and G gates, forward:

        layer 0           h Wh                      2 N H·GH        ids look rows up: the input costs no product
        layers 1 … L−1    x Wx and h Wh             2 N H·GH each
        decoder           h W                       2 N H·V

    Backward, every one of them returns as two products of the same size, into its input and into its matrix:
    da Whᵀ and hᵀ da, da Wxᵀ and xᵀ da, dlogits Wᵀ and hᵀ dlogits. Hence three times the forward:

        FLOPs = 3 · 2 N H ((2L − 1) G H + V)

    The gradient of the look-up, bias sums, gates, softmax, clipping and the update are not counted.
    """
    H, L, V, G = c.hidden_size, c.num_layers, c.vocab_size, GATES[c.cell]
    return 3 * 2 * c.characters * H * ((2 * L - 1) * G * H + V)


def weight_bytes(c: Configuration) -> int:
    """Bytes of the float32 weights that are read to predict one more character.

    All matrices and biases (a GRU's bhn is one), but only one row of Wx in layer 0.
    """
    H, L, V, G = c.hidden_size, c.num_layers, c.vocab_size, GATES[c.cell]
    biases = L * G * H + (L * H if c.cell == "gru" else 0) + V
    return 4 * ((2 * L - 1) * G * H * H + G * H + H * V + biases)


TRAINING = (
    Configuration("lstm", 2, 128, 65, 50, 50),
    Configuration("lstm", 1, 256, 1448, 32, 35),
    Configuration("rnn", 1, 256, 1027, 32, 35),
    Configuration("gru", 2, 256, 65, 64, 64),
    Configuration("lstm", 2, 256, 65, 64, 64),
    Configuration("lstm", 2, 512, 65, 64, 64),
    Configuration("lstm", 2, 512, 65, 100, 100),
    Configuration("lstm", 3, 512, 100, 128, 100),
    Configuration("lstm", 1, 100, 65, 1, 25, loops=True),
)

SAMPLING = tuple(
    Configuration("lstm", layers, hidden, vocab, batch)
    for batch in (1, 64)
    for layers, hidden, vocab in ((2, 128, 65), (2, 512, 65), (3, 512, 100), (1, 256, 1448))
)
