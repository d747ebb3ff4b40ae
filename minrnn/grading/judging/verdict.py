"""From what a student's functions returned to their results: statuses, errors, causes, traits. No child is asked here.

The forward is held against the reference; the backward against the reference and against finite differences of the own
forward, so that one wrong line does not cost both.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from minrnn.grading.courses.profile import Function
from minrnn.grading.judging import calls, outputs
from minrnn.grading.judging.trials import Trial, Unit
from minrnn.grading.loading.repair import fault_of
from minrnn.grading.outcome.codes import CODES
from minrnn.grading.outcome.result import Diagnosis, FunctionResult, Note, Output
from minrnn.grading.sandbox import Reply

STATUS_OF = {"timeout": "timeout", "process-exit": "no-answer", "no-answer": "no-answer"}
CODE_OF = {
    "exception": "exception",
    "timeout": "time-limit",
    "memory": "memory-limit",
    "killed": "killed-by-signal",
    "process-exit": "process-exit",
    "no-answer": "process-exit",
    "malformed": "malformed-result",
    "output-flood": "output-flood",
}
SINGLE = 1e-3  # relative error of central differences of a forward in float32
MANY_CALLS = 8  # of the forward in one backward: it differentiates numerically


def blank(function: Function, status: str) -> FunctionResult:
    """The result of a function that was not run."""
    return FunctionResult(function.name, function.group, status, max_score=function.points)


def judge(unit: Unit, function: Function, trials: Sequence[Trial]) -> FunctionResult:
    """The result of one function of a unit that was run."""
    answers = [trial.answers[function.name] for trial in trials if function.name in trial.answers]
    if not answers:
        return blank(function, "not-implemented")
    result = blank(function, "correct")
    result.seconds = sum(answer.reply.seconds for answer in answers)
    result.stdout_tail = answers[0].reply.stdout_tail
    failed = next((answer.reply for answer in answers if not answer.ok), None)
    if failed:
        return without_cache(unit, fail(result, failed), trials)
    result.outputs = [_output(unit.first, function, tensor.name, trials) for tensor in function.answered()]
    result.diagnosis = [*_missing_values(function, answers[0].reply.value), *_not_added_up(function, trials[0], result)]
    result.status = _status(result.outputs)
    if result.diagnosis and result.status == "not-implemented" and answers[0].reply.value is not None:
        result.status = "wrong"
    result.traits = traits(function, trials, unit)
    if _follows_own_forward(unit, function, trials, result):
        result.advisories.append(note("follows-own-forward"))
    return result


def fail(result: FunctionResult, reply: Reply) -> FunctionResult:
    """The result of a function of which a call did not come to its end."""
    result.status = STATUS_OF.get(reply.status, "crashed")
    code = CODE_OF[reply.status]
    text = CODES[code].what
    if reply.exception and reply.status == "exception":
        raised = reply.exception
        result.exception = raised
        fault = fault_of(raised.type, raised.text)
        if fault:
            result.status, code = "environment", fault
        elif raised.type == "NameError":
            code = "undefined-name"
        place = f" in line {raised.line}" if raised.line else ""
        text = f"{CODES[code].what} {raised.type}{place}: {raised.text}"
    result.diagnosis = [Diagnosis(code, text, certainty="exact")]
    return result


def _missing_values(function: Function, value: Any) -> list[Diagnosis]:
    """The cause of a function that returns fewer values than the course asks for."""
    wanted = function.returns.content if function.returns.kind == "tuple" else ()
    got = len(value) if isinstance(value, tuple | list) else int(value is not None)
    if got >= len(wanted):
        return []
    names = ", ".join(item.name for item in wanted)
    text = f"The function returns {got} value{'' if got == 1 else 's'}; it should return {len(wanted)}: {names}."
    return [Diagnosis("wrong-variable-returned", text, certainty="static")]


def _not_added_up(function: Function, trial: Trial, result: FunctionResult) -> list[Diagnosis]:
    """The gradients that a second backward overwrites; their outputs are wrong then."""
    attributes = {tensor.name for item in function.attributes for tensor in item.tensors()}
    first = trial.answers[function.name].tensors
    found = []
    for output in result.outputs:
        second = trial.twice.get(output.name)
        if output.name not in attributes or output.status != "correct" or second is None:
            continue
        if not outputs.agrees(second, 2 * first[output.name]):
            output.status = "wrong"
            text = f"{output.name} does not grow by a second backward: gradients are to be added up."
            found.append(Diagnosis("gradient-not-accumulated", text, output.name, "static"))
    return found


def without_cache(unit: Unit, result: FunctionResult, trials: Sequence[Trial]) -> FunctionResult:
    """The result of a backward that failed, with the cause if its forward returned no cache."""
    forward = trials[0].answers.get(unit.first.name)
    gets_one = unit.backward and any(item.kind == "cache" for item in unit.backward.arguments)
    if gets_one and result.name != unit.first.name and forward and forward.cache is None and result.exception:
        text = f"{CODES['cache-not-returned'].what} {unit.first.name} returns none."
        result.diagnosis = [Diagnosis("cache-not-returned", text, certainty="static"), *result.diagnosis]
    return result


def note(code: str) -> Note:
    """A note with the words of its code."""
    return Note(code, CODES[code].what)


def _output(first: Function, function: Function, name: str, trials: Sequence[Trial]) -> Output:
    """The verdict on one returned tensor over all cases."""
    verdicts = []
    for trial in trials:
        value = trial.answers[function.name].tensors.get(name)
        verdict = outputs.compare(name, value, trial.right(function)[name])
        own = trial.own_right(function).get(name)
        if own is not None:
            against = outputs.compare(name, value, own, SINGLE if trial.single(first) else outputs.WRONG)
            verdict.fd_rel_error = against.max_rel_error
            if outputs.ORDER.index(against.status) < outputs.ORDER.index(verdict.status):
                verdict.status = against.status
        verdicts.append(verdict)
    return outputs.worst(verdicts)


def _status(outputs: Sequence[Output]) -> str:
    found = {output.status for output in outputs}
    if found & {"wrong", "non-finite"}:
        return "wrong"
    if "not-implemented" in found:
        return "not-implemented"
    return "wrong-shape" if "wrong-shape" in found else "correct"


def _follows_own_forward(unit: Unit, function: Function, trials: Sequence[Trial], result: FunctionResult) -> bool:
    """Whether the gradients are right for the own forward and not for the definition."""
    if result.status not in ("correct", "wrong-shape") or trials[0].own is None:
        return False
    gradients = [tensor.name for tensor in function.answered() if calls.is_gradient(tensor)]
    return bool(gradients) and not all(trial.agrees(function, gradients) for trial in trials)


def traits(function: Function, trials: Sequence[Trial], unit: Unit) -> list[Note]:
    """What is remarkable about the calls: changed arguments, prints, a forward that is called very often."""
    found = []
    changed = {path.split(".")[0] for trial in trials for path in trial.answers[function.name].reply.mutated}
    upstream = [
        str(k)
        for k, item in enumerate(function.arguments)
        if function.role == "backward" and any(calls.is_gradient(tensor) for tensor in item.tensors())
    ]
    if function.role != "update":
        if changed & set(upstream):
            found.append(note("mutates-upstream"))
        if changed - set(upstream):
            found.append(note("mutates-input"))
    if any(trial.answers[function.name].reply.stdout_tail.strip() for trial in trials):
        found.append(note("prints"))
    calls_made: Mapping[str, int] = trials[0].answers[function.name].reply.forward_calls
    if function.role == "backward" and calls_made.get(unit.first.name, 0) >= MANY_CALLS:
        found.append(note("numeric-differentiation"))
    return found
