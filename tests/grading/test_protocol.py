"""The frames between grader and child: what passes comes back the same, what breaks a rule is refused at once."""

import io
import json
import math

import numpy as np
import pytest

from minrnn.grading.sandbox import protocol
from minrnn.grading.sandbox.protocol import HEAD, MAGIC, Handle, Malformed, Type


def reader(data):
    stream = io.BytesIO(data)

    def take(count):
        part = stream.read(count)
        if len(part) != count:
            raise EOFError
        return part

    return take


def there_and_back(tree, kind=Type.CALL):
    return protocol.read(reader(protocol.encode(kind, 7, {"target": "f"}, tree)))


def forged(header, payload=b"", kind=Type.REPLY, magic=MAGIC, payload_length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(payload) if payload_length is None else payload_length
    return HEAD.pack(magic, kind, 1, len(text), length) + text + payload


def array_frame(dtype="f8", shape=(1,), payload=bytes(8)):
    return forged({"tree": {"a": 0}, "arrays": [{"dtype": dtype, "shape": shape}]}, payload)


TREES = {
    "nothing": None,
    "numbers": [True, False, 0, -3, 2**63 - 1, -(2**63), 0.1, 1e-320, -0.0],
    "text": ["", "ä\n\x00", "a" * 5000],
    "containers of each kind": ([1, (2,)], {"a": [], "b": {}, "c": ()}),
    "a handle": [Handle("p1"), {"cache": Handle("@3")}],
    "a dict that looks like a tag": {"a": 0},
    "another": {"d": {"t": [1]}},
}


@pytest.mark.parametrize("name", TREES)
def test_a_tree_comes_back_with_its_types(name):
    frame = there_and_back(TREES[name])
    assert repr(frame.tree) == repr(TREES[name])
    assert (frame.type, frame.id, frame.header) == (Type.CALL, 7, {"target": "f"})


def test_infinities_and_nan_come_back():
    back = there_and_back([math.inf, -math.inf, math.nan]).tree
    assert back[:2] == [math.inf, -math.inf]
    assert math.isnan(back[2])


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "i4", "?", ">f8", ">i4"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 4, 5)])
def test_an_array_comes_back_bit_for_bit(dtype, shape):
    rng = np.random.default_rng(1)
    array = np.asarray(rng.standard_normal(shape) * 3).astype(dtype)
    back = there_and_back((array,)).tree[0]
    assert back.shape == shape
    assert back.dtype == np.dtype(dtype).newbyteorder("<")
    assert np.array_equal(back, array)
    assert back.flags.writeable
    assert back.flags.c_contiguous


def test_views_and_transposes_are_sent_by_value_in_their_order():
    base = np.arange(24.0).reshape(4, 6)
    back = there_and_back([base.T, base[::-2, 1::2], np.asfortranarray(base)]).tree
    assert np.array_equal(back[0], base.T)
    assert np.array_equal(back[1], base[::-2, 1::2])
    assert np.array_equal(back[2], base)


def test_one_array_in_two_places_becomes_two():
    array = np.zeros(2)
    first, second = there_and_back([array, array]).tree
    first += 1
    assert second.tolist() == [0, 0]


UNSENDABLE = {
    "an object array": np.array([None]),
    "complex numbers": np.zeros(2, complex),
    "half precision": np.zeros(2, np.float16),
    "text in an array": np.array(["a"]),
    "five dimensions": np.zeros((1,) * 5),
    "a set": {1},
    "bytes": b"",
    "a key that is no text": {1: 2},
    "a NumPy number": np.float64(1),
    "a subclass of list": type("L", (list,), {})(),
    "65 arrays": [np.zeros(1)] * 65,
    "more than 8 MiB": np.zeros((1 << 20) + 1),
    "an integer of 65 bits": [1 << 63],
    "an integer of 5000 digits": 10**5000,
    "an empty array of an impossible size": np.zeros((0, 1 << 16, 1 << 16)),
    "a deep tree": __import__("functools").reduce(lambda tree, _: [tree], range(40), 0),
}


@pytest.mark.parametrize("name", UNSENDABLE)
def test_what_has_no_place_in_a_frame_is_refused_by_the_sender(name):
    with pytest.raises(Malformed):
        protocol.encode(Type.CALL, 1, {}, UNSENDABLE[name])


def test_batches_may_hold_more():
    arrays = [np.zeros(1)] * 4096
    assert len(there_and_back(arrays, Type.BATCH).tree) == 4096
    assert there_and_back(np.zeros(1 << 21), Type.REPLIES).tree.shape == (1 << 21,)
    with pytest.raises(Malformed, match="4097 arrays"):
        protocol.encode(Type.BATCH, 1, {}, [*arrays, np.zeros(1)])


DEEP = b"[" * 100_000 + b"]" * 100_000
FORGED = {
    "another magic": forged({"tree": None, "arrays": []}, magic=b"MRG2"),
    "an unknown type": forged({"tree": None, "arrays": []}, kind=99),
    "a header that is no JSON": forged(b"\x80\x04."),
    "a header that is a list": forged([]),
    "no tree": forged({"arrays": []}),
    "no arrays": forged({"tree": None}),
    "arrays that are no list": forged({"tree": None, "arrays": {"0": 1}}),
    "an integer of 65 bits": forged({"tree": -(1 << 63) - 1, "arrays": []}),
    "an integer of 5000 digits": forged(b'{"tree": ' + b"9" * 5000 + b', "arrays": []}'),
    "a very deep header": forged(b'{"arrays": [], "tree": ' + DEEP + b"}"),
    "a deep tree": forged(b'{"arrays": [], "tree": ' + b"[" * 30 + b"]" * 30 + b"}"),
    "a deep tree of an unknown kind": forged(b'{"arrays": [], "tree": ' + b'{"x":' * 700 + b"1" + b"}" * 701),
    "an unknown tag": forged({"tree": {"x": 1}, "arrays": []}),
    "two tags": forged({"tree": {"t": [], "d": {}}, "arrays": []}),
    "an array that is not there": forged({"tree": {"a": 0}, "arrays": []}),
    "a negative index": forged({"tree": {"a": -1}, "arrays": []}),
    "one array twice": forged({"tree": [{"a": 0}, {"a": 0}], "arrays": [{"dtype": "f8", "shape": [1]}]}, bytes(8)),
    "an array without a place": forged({"tree": None, "arrays": [{"dtype": "f8", "shape": [1]}]}, bytes(8)),
    "a handle that is a number": forged({"tree": {"h": [1, ""]}, "arrays": []}),
    "half of a surrogate pair": forged(b'{"tree": "\\ud800", "arrays": []}'),
    "objects": array_frame("O"),
    "an object dtype by its long name": array_frame("object"),
    "a structured dtype": array_frame([["f", "f8"]]),
    "big-endian": array_frame(">f8"),
    "complex": array_frame("c16", payload=bytes(16)),
    "a negative size": array_frame(shape=(-1,)),
    "two negative sizes": array_frame(shape=(-1, -1)),
    "a size that is a float": array_frame(shape=(1.0,)),
    "a size that is true": array_frame(shape=(True,)),
    "a shape that is a number": array_frame(shape=1),
    "five dimensions": array_frame(shape=(1,) * 5),
    "a size beyond any memory": array_frame(shape=(2**62, 4)),
    "a huge size beside a zero": array_frame(shape=(0, 2**62), payload=b""),
    "sizes beside a zero that are huge together": array_frame(shape=(0, 2**26, 2**26, 2**26), payload=b""),
    "an array beyond the payload": array_frame(shape=(2,)),
    "bytes left over": array_frame(payload=bytes(9)),
    "a boolean that is 2": array_frame("b1", payload=b"\2"),
    "more keys in an array": forged({"tree": {"a": 0}, "arrays": [{"dtype": "f8", "shape": [0], "x": 1}]}),
    "an array that is a number": forged({"tree": {"a": 0}, "arrays": [3]}),
    "65 arrays": forged(
        {"tree": [{"a": k} for k in range(65)], "arrays": [{"dtype": "f8", "shape": [0]}] * 65},
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_frame_is_malformed(name):
    with pytest.raises(Malformed):
        protocol.read(reader(FORGED[name]))


@pytest.mark.parametrize(
    "lengths", [(1 << 31, 0), (10, (8 << 20) + 1), (10, 1 << 60)], ids=["header", "payload", "payload of an exabyte"]
)
def test_a_length_beyond_the_rules_is_refused_before_it_is_read(lengths):
    asked = []

    def take(count):
        asked.append(count)
        return HEAD.pack(MAGIC, Type.REPLY, 1, *lengths)

    with pytest.raises(Malformed, match="at most"):
        protocol.read(take)
    assert asked == [HEAD.size]


def test_the_well_formed_frame_of_the_forgeries_is_read():
    """The forgeries above fail for what they are named after, not for how they are made."""
    frame = protocol.read(reader(array_frame()))
    assert frame.tree.tolist() == [0]
    assert protocol.read(reader(array_frame("b1", payload=b"\1"))).tree.tolist() == [True]


def test_random_damage_gives_a_frame_or_malformed_and_nothing_else():
    rng = np.random.default_rng(3)
    good = protocol.encode(Type.REPLY, 5, {"status": "ok"}, {"a": np.arange(6.0), "b": [Handle("@1"), (1, "x")]})
    refused = 0
    for _ in range(2000):
        data = bytearray(good)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            data[place] = rng.integers(256)
        try:
            protocol.read(reader(bytes(data)))
        except (Malformed, EOFError):
            refused += 1
    assert refused > 500


def test_random_headers_give_a_frame_or_malformed_and_nothing_else():
    """Documents out of the words of the protocol, which come nearer to a frame than damage does."""
    rng = np.random.default_rng(5)
    atoms = [None, True, 0, 1, -1, 1.5, 2**26, 2**62, 2**64, "", "f8", "f4", "b1", "O", "ä", "@1", math.nan, math.inf]
    keys = ["a", "t", "d", "h", "dtype", "shape", "tree", "arrays"]

    def pick(items):
        return items[rng.integers(len(items))]

    def document(depth):
        kind = rng.integers(5) if depth else 0
        if kind < 2:
            return pick(atoms)
        if kind == 2:
            return [document(depth - 1) for _ in range(rng.integers(4))]
        return {pick(keys): document(depth - 1) for _ in range(rng.integers(1, 3))}

    def spec():
        shape = [pick([0, 1, 2, 2**26]) for _ in range(rng.integers(5))]
        return {"dtype": pick(["f8", "i4", "b1"]), "shape": pick([shape, shape, document(2)])}

    read = 0
    for _ in range(3000):
        specs = pick([[spec() for _ in range(rng.integers(3))], document(3)])
        header = {
            "tree": pick([document(4), {"t": [{"a": 0}]}, {"a": 0}, {"t": [{"a": 0}, {"a": 1}]}]),
            "arrays": specs,
        }
        try:
            protocol.read(reader(forged(header, bytes(int(pick([0, 8, 16, 4]))))))
            read += 1
        except (Malformed, EOFError):
            pass
    assert read > 20
