"""Replies of a child that forges them: each field is checked, and what is not of the right form is Malformed."""

import pytest

from minrnn.grading.sandbox.protocol import Frame, Malformed, Type
from minrnn.grading.sandbox.reply import TEXT_LIMIT, checked_replies, checked_reply, clean

HONEST = {"status": "ok", "raised": None, "mutated": ["0", "1.Wax"], "calls": {"step": 4}}
RAISED = {"status": "exception", "raised": ["ValueError", 3, "no"]}

FORGERIES = {
    "a status of its own": {"status": "correct"},
    "a status that only the parent gives": {"status": "timeout"},
    "no status": {"status": None},
    "paths that are no list": {"mutated": "0"},
    "paths that are no texts": {"mutated": [0]},
    "counts that are no object": {"calls": [4]},
    "counts that are no numbers": {"calls": {"step": "4"}},
    "counts that are truth values": {"calls": {"step": True}},
    "an exception that is a text": {"raised": "ValueError"},
    "an exception of two parts": {"raised": ["ValueError", 3]},
    "a type that is no text": {"raised": [3, 3, "no"]},
    "a text that is no text": {"raised": ["ValueError", 3, None]},
    "a line that is no number": {"raised": ["ValueError", "3", "no"]},
    "a line before the first": {"raised": ["ValueError", 0, "no"]},
    "a line that no file has": {"raised": ["ValueError", 10**6, "no"]},
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_field_is_malformed(name):
    with pytest.raises(Malformed):
        checked_reply(HONEST | FORGERIES[name], None)


def test_an_honest_reply_is_taken_as_it_is():
    reply = checked_reply(HONEST, 3.0)
    assert (reply.ok, reply.value, reply.mutated, reply.forward_calls) == (True, 3.0, ("0", "1.Wax"), {"step": 4})
    raised = checked_reply(HONEST | RAISED, None).exception
    assert (raised.type, raised.line, raised.text) == ("ValueError", 3, "no")


def test_texts_are_bounded_and_have_no_control_characters():
    raised = checked_reply(HONEST | {"raised": ["V\x1b[1m" + "x" * 200, None, "\0" + "y" * 5000]}, None).exception
    assert len(raised.type) <= 100 and raised.type.startswith("V[1m") and set(raised.text) == {"y"}
    assert len(raised.text) <= TEXT_LIMIT


def test_of_what_was_printed_the_end_is_kept():
    assert clean(b"a" * TEXT_LIMIT + b"\x07the end\n") == "a" * (TEXT_LIMIT - 9) + "the end\n"


def batch(count, values):
    heads = [{"status": "ok", "raised": None}] * count
    return Frame(Type.REPLIES, 1, {"replies": heads}, values)


@pytest.mark.parametrize("heads, values", [(1, [1.0]), (3, [1.0] * 3), (2, [1.0]), (1, [1.0] * 2), (2, None)])
def test_a_batch_has_one_reply_for_each_call(heads, values):
    assert [reply.value for reply in checked_replies(batch(2, [1.0, 2.0]), 2)] == [1.0, 2.0]
    with pytest.raises(Malformed):
        checked_replies(batch(heads, values), 2)


def test_a_reply_in_a_batch_is_checked_like_any_other():
    frame = Frame(Type.REPLIES, 1, {"replies": [{"status": "correct", "raised": None}]}, [1.0])
    with pytest.raises(Malformed):
        checked_replies(frame, 1)
    with pytest.raises(Malformed):
        checked_replies(Frame(Type.REPLIES, 1, {"replies": ["ok"]}, [1.0]), 1)
