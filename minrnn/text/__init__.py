"""Text: from files and generators to batches of integer ids.

What it is: the layer between characters and the model. Everything here runs on NumPy on the host; the model
copies its batches to a device.
What it is not: aware of the model. The reading order is the order of the data: `files` (or `corpora`,
`sources`, `stdlib_text`), `normalize`, `vocabulary`, `splits`, `batches`; `ngram` is the yardstick beside the
network.
"""

from minrnn.text.batches import Batch, Batches, StreamBatches, WindowBatches
from minrnn.text.corpora import CORPORA, Corpus, corpus_text
from minrnn.text.errors import TextError
from minrnn.text.files import read_text
from minrnn.text.lengths import FixedLength, JitteredLength, UniformLength
from minrnn.text.ngram import witten_bell
from minrnn.text.normalize import normalize
from minrnn.text.sources import SOURCES, Source
from minrnn.text.splits import SPLITS, Split, Streams, largest_batch, split_rows, split_tail, streams
from minrnn.text.stdlib_text import StdlibText, stdlib_text
from minrnn.text.vocabulary import Vocabulary

__all__ = [
    "CORPORA",
    "SOURCES",
    "SPLITS",
    "Batch",
    "Batches",
    "Corpus",
    "FixedLength",
    "JitteredLength",
    "Source",
    "Split",
    "StdlibText",
    "StreamBatches",
    "Streams",
    "TextError",
    "UniformLength",
    "Vocabulary",
    "WindowBatches",
    "corpus_text",
    "largest_batch",
    "normalize",
    "read_text",
    "split_rows",
    "split_tail",
    "stdlib_text",
    "streams",
    "witten_bell",
]
