"""What all reports say, in words: numbers, places, causes, repairs, and how a function divides into test cases.

Not a format. How much is said is capped by `hints`: 0 the verdict, 1 where, 2 why, 3 how to repair. The words come from
the student's own names, errors and shapes; an expected value is never among them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from minrnn.grading.outcome.codes import CODES
from minrnn.grading.outcome.plain import listed, one_line
from minrnn.grading.outcome.result import Diagnosis, FunctionResult, Grade, Note, Output

FAILED_TO_RUN = ("crashed", "timeout", "no-answer")
MAX_TEXT = 2048

VERDICTS = {
    "correct": "right",
    "wrong": "wrong values",
    "wrong-shape": "right values in another shape",
    "not-implemented": "not written yet",
    "not-found": "no function of this name",
    "crashed": "ended with an error",
    "timeout": "did not end in time",
    "environment": "a matter of versions, not of mathematics",
    "no-answer": "ended without an answer",
}
CERTAINTY = {
    "exact": "certain",
    "ambiguous": "one of several",
    "residual": "place and relation known",
    "static": "read from the code",
    "unknown": "cause unknown",
}


@dataclass(frozen=True)
class Case:
    """A part of a function for formats whose tests only pass or fail; the points of all cases are the function's."""

    name: str
    passed: bool
    points: float
    max_points: float
    message: str


def prepared(grade: Grade) -> Grade:
    """Return a copy in which text is plain and numbers are finite or None, as every report needs it."""
    return Grade.from_dict(grade.to_dict())


def marks(value: float) -> str:
    """Return points with at most two digits after the point: 10, 7.5, 3.33."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def headline(grade: Grade) -> str:
    """Return the total in one line."""
    return f"{marks(grade.score)} of {marks(grade.max_score)} points ({marks(grade.percent)} %)"


def title(grade: Grade) -> str:
    """Return what was graded and by which profile."""
    name = one_line(grade.submission.get("path") or "submission")
    return f"{name}, profile {one_line(grade.course.get('profile') or 'unknown')}"


def preface(grade: Grade) -> list[str]:
    """Return what concerns the whole submission: problems of the grader, repairs, cells left out."""
    lines = [f"The mark is not final, the grader had a problem: {one_line(error)}" for error in grade.errors]
    for repair in grade.submission.get("repairs") or []:
        lines.append(f"Repaired before grading: {one_line(repair['message'])} [{one_line(repair['code'])}]")
    for note in grade.submission.get("notes") or []:
        lines.append(f"{one_line(note['message'])} [{one_line(note['code'])}]")
    for cell in grade.submission.get("cells_skipped") or []:
        lines.append(f"Cell {cell['index']} was left out: {one_line(cell['error'])}")
    if not grade.functions:
        lines.append("No function was graded.")
    return lines


def verdict(function: FunctionResult) -> str:
    """Return the status in words."""
    if _right_with_a_right_step(function):
        return f"right but for {one_line(function.blocked_by or 'its step')}"
    if function.status == "not-implemented" and function.blocked_by:
        return "written, but calls what is not"
    return VERDICTS.get(function.status, one_line(function.status))


def details(function: FunctionResult, hints: int, output: Output | None = None) -> list[tuple[str, str]]:
    """Return (label, sentence) pairs, the labels being where, why, repair and note; for one output or for all.

    Raises:
        ValueError: hints is not 0, 1, 2 or 3.
    """
    if hints not in (0, 1, 2, 3):
        raise ValueError(f"hints is {hints!r}; it must be 0 (verdict), 1 (where), 2 (why) or 3 (how to repair)")
    causes = _causes(function, output)
    outputs = function.outputs if output is None else [output]
    lines: list[tuple[str, str]] = []
    if hints >= 1:
        lines += [("where", text) for text in _where(function, outputs, causes)]
    if hints >= 2:
        lines += [("why", _why(cause)) for cause in causes]
    if hints >= 3 and not _right_with_a_right_step(function):
        codes = dict.fromkeys(code for cause in causes for code in [cause.code, *cause.also_matches])
        lines += [("repair", CODES[code].repair) for code in codes if code in CODES]
    if hints >= 1 and function.isolated:
        run = function.isolated
        lines.append(("note", f"with a right step in its place: {VERDICTS.get(run.status, run.status)}. {run.note}"))
    return [(label, one_line(text)[:MAX_TEXT]) for label, text in lines]


def _causes(function: FunctionResult, output: Output | None) -> list[Diagnosis]:
    """The diagnoses that concern the output; all of them where none names it."""
    if output is None:
        return function.diagnosis
    own = [cause for cause in function.diagnosis if cause.tensor == output.name]
    return own or [cause for cause in function.diagnosis if cause.tensor is None] or function.diagnosis


def _where(function: FunctionResult, outputs: Iterable[Output], causes: Iterable[Diagnosis]) -> list[str]:
    own = [] if _right_with_a_right_step(function) else list(outputs)
    lines = [*_wrong(own), *(sentence for output in own if (sentence := _output(output)))]
    lines += [place for cause in causes if own and (place := _place(cause))]
    if function.exception:
        raised = function.exception
        place = raised.place or (f"line {raised.line}" if raised.line is not None else "")
        lines.append(f"{raised.type}{f' in {place}' if place else ''}: {raised.text}")
    if function.blocked_by:
        stub = any(cause.code == "blocked-by-stub" for cause in causes)
        lines.append(f"needs {function.blocked_by}, {'which is not written' if stub else 'where the cause lies'}")
    return lines


def _right_with_a_right_step(function: FunctionResult) -> bool:
    isolated = function.isolated
    return bool(function.blocked_by) and isolated is not None and isolated.status in ("correct", "wrong-shape")


def _wrong(outputs: Iterable[Output]) -> list[str]:
    """One sentence for all wrong tensors: where each is computed, and from where to where the errors go."""
    wrong = [output for output in outputs if output.status == "wrong"]
    if not wrong:
        return []
    places: dict[str | None, list[str]] = {}
    for output in wrong:
        places.setdefault(output.place, []).append(output.name)
    named = listed(f"{listed(names)}{f' ({place})' if place else ''}" for place, names in places.items())
    errors = [
        _errors([output.max_rel_error for output in wrong], "from the definition"),
        _errors([output.fd_rel_error for output in wrong], "from the numerical gradient of your own forward"),
    ]
    text = f"{named} {'is' if len(wrong) == 1 else 'are'} wrong"
    return [text + (f": relative error {', '.join(filter(None, errors))}" if any(errors) else "")]


def _errors(values: Iterable[float | None], of: str) -> str:
    known = sorted(value for value in values if value is not None)
    ends = dict.fromkeys(f"{value:.2g}" for value in (*known[:1], *known[-1:]))
    return f"{' to '.join(ends)} {of}" if known else ""


def _output(output: Output) -> str:
    if output.status == "wrong-shape":
        asked = f", asked for is {_shape(output.expected_shape)}" if output.expected_shape is not None else ""
        return f"{output.name} has the right values in the shape {_shape(output.shape)}{asked}"
    return {
        "not-implemented": f"{output.name} is not computed (None)",
        "non-finite": f"{output.name} holds NaN or infinity",
        "not-compared": f"{output.name} could not be compared",
    }.get(output.status, "")


def _shape(shape: Iterable[int] | None) -> str:
    return str(tuple(shape)) if shape is not None else "unknown"


def _place(cause: Diagnosis) -> str:
    blocks, steps = (list(map(str, cause.evidence.get(key) or ())) for key in ("blocks", "time_steps"))
    gates = f"of the weights, gate{'s' * (len(blocks) > 1)} {listed(blocks)} {'are' if len(blocks) > 1 else 'is'} wrong"
    times = f"{cause.tensor or 'it'} is wrong at step{'s' * (len(steps) > 1)} {listed(steps)}"
    return "; ".join([gates] * bool(blocks) + [times] * bool(steps))


def _why(cause: Diagnosis) -> str:
    message = cause.message or (CODES[cause.code].what if cause.code in CODES else cause.code)
    others = f"; the same numbers come from {', '.join(cause.also_matches)}" if cause.also_matches else ""
    return f"{message} [{cause.code}, {CERTAINTY.get(cause.certainty, cause.certainty)}{others}]"


def remarks(function: FunctionResult, hints: int) -> list[Note]:
    """Return traits and advisories, each as a sentence with its code; they cost nothing by themselves."""
    return [Note(note.code, _remark(note)) for note in [*function.traits, *function.advisories]] if hints else []


def details_and_remarks(function: FunctionResult, hints: int) -> list[tuple[str, str]]:
    """Return all that is said of a function to people."""
    return details(function, hints) + [("note", note.message) for note in remarks(function, hints)]


def _remark(note: Note) -> str:
    text = note.message or (CODES[note.code].what if note.code in CODES else "")
    return one_line(f"{text} [{note.code}]")


def reason(function: FunctionResult, hints: int, output: Output | None = None) -> str:
    """Return the word that classes a failure: the code of the cause where hints allow it, else the status."""
    causes = _causes(function, output)
    return one_line(causes[0].code if causes and hints >= 2 else function.status)


def cases(function: FunctionResult, hints: int) -> list[Case]:
    """Return the function as cases that pass or fail, one for each output, with points that add up to its own.

    The cases that pass share what was earned, the others what was lost. Where there is no output to carry one of these,
    a case of its own does. Without hints the cases have numbers in place of names, those that pass first.
    """
    passed = [function.full or output.status == "correct" for output in function.outputs]
    earned, lost = function.score, function.max_score - function.score
    n_passed, n_failed = passed.count(True), passed.count(False)
    result = []
    for output, right in zip(function.outputs, passed, strict=True):
        worth = earned / n_passed if right else lost / n_failed
        text = "" if output.status == "correct" else message(function, hints, output) or verdict(function)
        result.append(Case(one_line(output.name), right, worth if right else 0.0, worth, text))
    if hints == 0:
        result.sort(key=lambda case: not case.passed)
        result = [replace(case, name=f"part {number}") for number, case in enumerate(result, 1)]
    if not n_passed and (earned > 0 or (function.full and not result)):
        result.append(Case("credit", True, earned, earned, ""))
    if not n_failed and not function.full:
        result.append(Case(function.status, False, 0.0, lost, message(function, hints)))
    return result


def message(function: FunctionResult, hints: int, output: Output | None = None) -> str:
    """Return the verdict and the details as lines of text, for formats with one field for all of it."""
    first = [verdict(function)] if output is None else []
    return "\n".join([*first, *(f"{label}: {text}" for label, text in details(function, hints, output))])
