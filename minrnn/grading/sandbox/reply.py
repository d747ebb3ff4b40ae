"""What a child answered, as the grader may use it: every field checked, for the child may have forged all of them.

The checks are of form only. Whether a value is right is decided elsewhere, by comparison.
"""

from dataclasses import dataclass, field
from typing import Any

from minrnn.grading.outcome.result import Raised
from minrnn.grading.sandbox.protocol import Frame, Malformed, Tree

TEXT_LIMIT = 2048
LINES = range(1, 10**6)


@dataclass(frozen=True)
class Reply:
    """What came of one request.

    status: "ok" | "exception" | "timeout" | "memory" | "killed" | "process-exit" | "no-answer" | "malformed" |
    "output-flood". mutated: paths of arguments that the call changed, such as "0" or "1.Wax" or a keyword's name.
    seconds: measured by the parent. forward_calls: how often each function of the submission ran, by its name.
    """

    status: str
    value: Tree = None
    exception: Raised | None = None
    mutated: tuple[str, ...] = ()
    seconds: float = 0.0
    stdout_tail: str = ""
    forward_calls: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the request was answered without an exception."""
        return self.status == "ok"


def checked_reply(header: dict[str, Any], value: Tree) -> Reply:
    """A Reply from the header of a frame, every field of which the child may have forged."""
    status, raised, mutated, calls = (header.get(key) for key in ("status", "raised", "mutated", "calls"))
    if status not in ("ok", "exception", "memory", "process-exit", "malformed"):
        raise Malformed("a reply has no known status")
    if not isinstance(mutated, list) or not all(isinstance(path, str) for path in mutated):
        raise Malformed("the changed arguments are not a list of paths")
    if not isinstance(calls, dict) or not all(type(n) is int for n in calls.values()):
        raise Malformed("the numbers of calls are not integers")
    return Reply(
        status,
        value,
        _checked_raised(raised),
        tuple(map(_plain, mutated)),
        forward_calls={_plain(name): n for name, n in calls.items()},
    )


def checked_replies(frame: Frame, count: int) -> list[Reply]:
    """The Replies from the frame that answers a batch of `count` calls."""
    heads, values = frame.header.get("replies"), frame.tree
    if not isinstance(heads, list) or not isinstance(values, list) or not len(heads) == len(values) == count:
        raise Malformed("the replies do not fit the calls")
    if not all(isinstance(head, dict) for head in heads):
        raise Malformed("a reply is not an object")
    none: dict[str, Any] = {"mutated": [], "calls": {}}
    return [checked_reply(head | none, value) for head, value in zip(heads, values, strict=True)]


def _checked_raised(raised: Any) -> Raised | None:
    if raised is None:
        return None
    if not isinstance(raised, list) or len(raised) != 3:
        raise Malformed("an exception is not type, line and text")
    name, line, text = raised
    if not isinstance(name, str) or not isinstance(text, str) or not (line is None or type(line) is int):
        raise Malformed("an exception is not type, line and text")
    if line is not None and line not in LINES:
        raise Malformed("an exception is in a line that no file has")
    return Raised(_plain(name[:100]), line, _plain(text[:TEXT_LIMIT]))


def clean(output: bytes) -> str:
    """The end of what was printed, without control characters."""
    return _plain(output[-TEXT_LIMIT:].decode("utf-8", "replace"))


def _plain(text: str) -> str:
    return "".join(c for c in text if c in "\n\t" or (c.isprintable() and not "\ud800" <= c <= "\udfff"))
