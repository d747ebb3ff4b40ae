"""Text: from files and generators to batches of integer ids.

What it is: the layer between characters and the model. Everything here runs on NumPy on the host; the model
copies its batches to a device. A text is read, normalised and encoded in blocks, so that its length is no matter
of memory.
What it is not: aware of the model. The reading order is the order of the data: `files` (or `corpora`,
`sources`, `stdlib_text`), `normalize`, `vocabulary`, `storage`, `splits`, `batches`; `ngram` is the yardstick
beside the network.
"""

from minrnn.text.batches import Batch, Batches, StreamBatches, WindowBatches
from minrnn.text.corpora import CORPORA, Corpus, corpus_text
from minrnn.text.errors import TextError
from minrnn.text.files import read_blocks, read_text
from minrnn.text.lengths import FixedLength, JitteredLength, UniformLength
from minrnn.text.ngram import witten_bell
from minrnn.text.normalize import normalize, normalize_blocks
from minrnn.text.sources import SOURCES, Source
from minrnn.text.splits import SPLITS, Split, Streams, beginnings, largest_batch, split_rows, split_tail, streams
from minrnn.text.stdlib_text import StdlibText, stdlib_text
from minrnn.text.storage import Spool, map_ids, release
from minrnn.text.vocabulary import Vocabulary, count_characters

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
    "Spool",
    "StdlibText",
    "StreamBatches",
    "Streams",
    "TextError",
    "UniformLength",
    "Vocabulary",
    "WindowBatches",
    "beginnings",
    "corpus_text",
    "count_characters",
    "largest_batch",
    "map_ids",
    "normalize",
    "normalize_blocks",
    "read_blocks",
    "read_text",
    "release",
    "split_rows",
    "split_tail",
    "stdlib_text",
    "streams",
    "witten_bell",
]
