"""The sentence for a cause: what is wrong and in which place of this submission. Why and how to repair it: codes.py.

The text of a code is general; a bug knows the gate, the tensor, the vector. Templates are looked up by code and place,
by code and detail, by code and side, by code; where there is none the general text is used.
"""

from collections.abc import Iterable, Mapping

from minrnn.grading.outcome.codes import CODES
from minrnn.grading.reference import Bug

TEMPLATES = {
    "activation-used-as-delta": "{where} {is} made from the activation in place of the gradient at the pre-activation.",
    "adam-corrected-moment-stored": "The corrected averages ({letters}) are stored back and corrected again next time.",
    "adam-no-bias-correction": "The averages ({letters}) are used without their correction for the first steps.",
    "adam-step-counter": "The correction uses another count of updates: t {shift:+d} in place of t.",
    "batch-axis-dropped": "{where} holds the share of a single example; the other examples of the batch are lost.",
    "bias-gradient-from-weights": "The gradient of the bias is a sum over {of} in place of a sum over the deltas.",
    "bias-gradient-scalar": "{where} is a single number: the sum over the units as well as over the examples.",
    "bias-gradient-scalar+gate": "{where} holds one number in the block of gate {gate}: the sum over its units too.",
    "bias-missing": "The forward pass does not add the bias {where}.",
    "cache-order-mismatch": "The backward pass takes {letters} from the cache in exchanged order.",
    "cache-order-mismatch:c_prev c": "The backward pass takes the old and the new cell state in exchanged order.",
    "cache-order-mismatch:steps": "The backward pass reads the caches of the steps in the wrong order ({order}).",
    "cached-view-overwritten": "What was stored as {where} before a step holds {vector}: a view that was overwritten "
    "later, or an index of -1.",
    "cached-view-overwritten:cache": "Every step of the backward pass reads the cache of the last step.",
    "cell-gradient-incomplete": "{where} is made from {value} in place of dc ∘ f.",
    "cell-gradient-incomplete+factor on": "In the gradient of {gate_of_d} the factor multiplies only one of the two "
    "summands of dc, the one from {factor on}.",
    "cell-gradient-incomplete+lost": "The gradient of {places} leaves out the part that comes from {lost}.",
    "cell-gradient-incomplete:dc": "The gradient of the cell state leaves out the part that comes from {lost}.",
    "cell-gradient-incomplete:dh_prev": "{where} lacks a path from h: {paths}.",
    "cell-tanh-missing backward": "The gradient of gate o is multiplied with c in place of tanh(c).",
    "clip-wrong-kind": "The gradients are not clipped as asked: {kind}.",
    "concat-order-swapped": "The previous state and the input are put together in the other order.",
    "concat-order-swapped:dx dh_prev": "The gradient of the joined input is cut at the wrong place into {where}.",
    "constant-factor:lr": "The learning rate is not used.",
    "derivative-precedence": "The derivative of the activation multiplies only the part of the gradient from {where}.",
    "derivative-precedence+on": "The derivative of {places} multiplies only the part of the gradient from {on}.",
    "derivative-precedence:c": "The derivative of tanh multiplies dc as well; it belongs to the part from dh only.",
    "derivative-precedence:dc": "The output gate and the derivative of tanh multiply dc as well; they belong to "
    "the part from dh only.",
    "elementwise-for-matmul": "The gradient of the previous state multiplies entry by entry where a matrix product "
    "with Wh transposed belongs.",
    "embedding-wrong-index forward": "The forward pass looks up other rows than those of the ids.",
    "gate-copy-paste forward": "The forward pass has gate {other} in the place of {places}.",
    "gate-copy-paste+by": "In {where} the block of gate {gate} is made with that of gate {by}.",
    "gate-copy-paste+incoming": "The gradient of {places} starts from {incoming}.",
    "gate-copy-paste+operand": "The gradient of {places} is multiplied with gate {operand} in place of its own factor.",
    "gate-copy-paste+slope": "The gradient of {places} has the slope of gate {slope}.",
    "gate-copy-paste+whole": "The gradient of {places} is that of gate {whole}.",
    "gate-copy-paste~weights": "The forward pass makes gate {gate} with the block of gate {by} in {of}.",
    "gate-not-applied backward": "The backward pass leaves out gate {letters}.",
    "gate-not-applied forward": "The forward pass does not use gate {letters}.",
    "gate-not-applied+gate": "{where} lacks the share of gate {gate}.",
    "gate-not-applied:dWh": "The reset gate is left out in the block n of {where}.",
    "gate-not-applied:dWhn": "The reset gate is left out in the block n of dWh.",
    "gate-not-applied:dbhn": "The reset gate is left out in {where}.",
    "gate-order-swapped backward": "The backward pass stacks the gate blocks in the order {order}.",
    "gate-order-swapped forward": "The forward pass reads the gate blocks in the order {order}.",
    "gradient-added-to-itself+factor": "{where} {is} {times}{block}.",
    "gradient-added-to-itself+recursive": "{where} {is} added to itself at every step: the sum doubles before "
    "a share is added.",
    "gradient-added-to-itself:initial": "The gradient of the embedding starts from its weights in place of zeros.",
    "gate-order-swapped:unpacked": "The backward pass takes the gates from the fused array in the order {order}.",
    "gradient-added-to-itself:last upstream": "The upstream gradient of the last step is added twice.",
    "gradient-added-to-itself:upstream": "The upstream gradient of every step is added twice.",
    "gradient-added-to-itself~carry": "The gradient carried back adds up the carries of all later steps ({letter}).",
    "gradient-added-to-itself~twice": "The gradient carried back in time is doubled at every step ({letter}).",
    "gradient-not-accumulated": "{where} {is} not the sum over all steps but {step}{block}.",
    "gru-interpolation-flipped backward": "z and 1 - z are exchanged in the backward pass.",
    "gru-reset-placement:bhn": "The recurrent bias of the candidate is added outside of the reset gate.",
    "initial-state-gradient-not-set": "{where} is {value}; it is what step 0 hands back.",
    "initial-state-ignored backward": "At the first step the backward pass takes zeros in place of {where}.",
    "initial-state-ignored forward": "The forward pass starts from zeros and does not use {where}.",
    "input-gradient-accumulated+how": "dx[t] holds a sum over the steps ({how}) in place of the gradient of step t.",
    "mean-instead-of-sum": "{where} {is} divided by a count ({by}) where the sum belongs.",
    "mean-instead-of-sum~incoming": "The upstream and the carried gradient are averaged in place of added ({letter}).",
    "missing-transpose": "{where}: a matrix in the product lacks its transpose, or has one too many.",
    "nonlinearity-missing": "The nonlinearity of {places} is left out in the forward pass.",
    "nonlinearity-missing:loss": "The loss leaves out the logarithm.",
    "nonlinearity-wrong": "The forward pass applies {kind} to {places}.",
    "nonlinearity-wrong:out": "The forward pass applies a nonlinearity where there is none.",
    "sigmoid-derivative-missing": "The derivative of the sigmoid is left out for {places}.",
    "sign-flipped": "The sign of {signed} is wrong.",
    "sign-flipped forward": "The sign is wrong.",
    "sign-flipped:all": "The sign of all gradients is wrong.",
    "sign-flipped:upstream": "The upstream gradient is taken with the wrong sign.",
    "sign-flipped~carry": "The gradient carried back in time has the wrong sign ({letter}).",
    "state-not-carried": "Every step starts from the initial {where} again: the state is not carried to the next step.",
    "state-not-carried:rows": "Every row of h is the initial state: what the steps return is not stored as the state.",
    "state-not-carried:cache": "The running average starts from zero at every update.",
    "state-not-carried:t": "The count of updates is not stored.",
    "state-not-carried:v": "The velocity starts from zero at every update.",
    "sum-instead-of-mean": "{where} {is} not divided by the count that belongs.",
    "tanh-applied-twice": "The derivative of tanh is taken at tanh itself ({places}): 1 - tanh(h)², not 1 - h².",
    "tanh-applied-twice:do": "The gradient of gate o is multiplied with tanh(tanh(c)) in place of tanh(c).",
    "tanh-derivative-missing": "The derivative of tanh is left out for {places}.",
    "tanh-derivative-of-gradient": "The derivative of tanh is computed from the gradient for {places}: 1 - d².",
    "time-loop-skips-step": "The {side} loop leaves out the {where} step.",
    "time-loop-skips-step:loss": "The loss counts the last step only.",
    "time-loop-wrong-direction backward": "The backward loop goes from the first step to the last.",
    "time-loop-wrong-direction forward": "The forward loop goes from the last step to the first.",
    "time-loop-wrong-direction:dx": "dx has its time steps in reverse order.",
    "upstream-ignored": "The upstream gradient is not used: {value} stand in its place.",
    "upstream-ignored:order": "The upstream gradients are used in the wrong order of time.",
    "upstream-ignored:v": "The step is made with the gradient alone, without the velocity.",
    "upstream-last-step-only": "Only the upstream gradient of the last step is used.",
    "upstream-last-step-only:every step": "The upstream gradient of the last step is used at every step.",
    "upstream-last-step-only:first row": "The upstream gradient of the first step is used at every step.",
    "wrong-activation-derivative": "{places} {has} a wrong derivative: {form}, where s is the value of the unit.",
    "wrong-activation-derivative:dc": "The derivative of the cell's tanh is taken at h: 1 - h², not 1 - tanh(c)².",
    "wrong-activation-derivative:dh": "The derivative of tanh is taken at the previous state: 1 - h_prev².",
    "wrong-flatten": "The axes of {where} are flattened in the wrong order.",
    "wrong-previous-state": "In place of {previous} the backward pass uses {vector}.",
    "wrong-previous-state forward": "The forward pass uses another state than that of its step.",
    "wrong-previous-state:Wy": "dWy is made with the state before each step in place of the one after it.",
    "wrong-previous-state:cache": "The step is made with the running average before its update.",
    "wrong-previous-state:o": "The gradient of gate o is multiplied with {vector} in place of tanh(c).",
    "wrong-previous-state:r": "The gradient of gate r is multiplied with {vector}, not with what r was applied to.",
    "wrong-previous-state:tanh(c_prev)": "The derivative of tanh is taken at the old cell state, not at the new one.",
    "wrong-previous-state:v": "The step is made with the velocity before its update.",
    "wrong-variable-returned": "{where} holds what belongs to {value}.",
    "wrong-variable-returned+exchanged": "{where} and {value} are exchanged.",
    "wrong-variable-returned:carries exchanged": "The carried gradients of h and c are exchanged from step to step.",
    "wrong-variable-returned:previous": "h[t] holds the state before step t in place of the one after it.",
    "wrong-variable-returned:step": "The gradient of the previous state is {value} itself, not what passes through Wh.",
    "wrong-variable-returned~carry": "The gradient carried back in time does not pass through the step ({letter}).",
}

WORDS = {  # what a detail is called; others are called as they are
    "form": {
        "sigmoid": "that of a sigmoid, s(1 - s)",
        "tanh": "that of tanh, 1 - s²",
        "tanh(d)": "1 - tanh(d)² of the gradient d",
        "sigmoid twice": "that of a sigmoid, taken at the sigmoid itself",
    },
    "vector": {
        "last": "the state after the last step",
        "first": "the state after the first step",
        "final": "the state after the last step (at every step)",
        "next": "the state after it",
        "before last": "the state before the last step",
        "start": "the initial state (at every step)",
        "two before": "the state one step too early",
    },
    "value": {"zeros": "zero", "one step early": "the carry of step 1", "all steps": "a sum over all steps"},
    "step": {"first": "that of step 0", "last": "that of the last step"},
    "kind": {
        "none": "nothing is clipped",
        "upper": "only values above the limit are cut",
        "lower": "only values below the negative limit are cut",
        "norm": "by norm in place of by value",
        "norm of each": "by the norm of each parameter in place of by value",
        "value": "by value in place of by norm",
        "always": "the factor is applied below the limit too",
        "L1": "the norm adds up absolute values, not squares",
        "norm of one": "the norm is that of one parameter only",
        "from zero": "negative values are cut to zero",
        "zeroed": "values above the limit become zero",
    },
    "lost": {"dc": "dc of the next step", "dh": "dh", "n": "the candidate n", "h": "the old state"},
    "paths": {"k": "the direct one, without a matrix", "rz": "the gates r and z", "rzn": "all that pass through Wh"},
}
UNITS = {"h": "the hidden state", "c": "the tanh of the cell", "y": "the prediction"}
LETTERS = set("ifogrznhcy")


def sentence(bug: Bug, names: Mapping[str, str]) -> str:
    """What is wrong, with the tensors called as in `names`."""
    keys = [f"{bug.code}:{bug.where}", *(f"{bug.code}+{key}" for key in bug.detail)]
    keys += [f"{bug.code}~{bug.where.split(' ')[0]}", f"{bug.code} {bug.side}", bug.code]
    if bug.side == "forward":  # what is said of a gate or a state there is about the backward pass
        keys = [f"{bug.code}~weights", *keys] if bug.where == "weights" else [f"{bug.code} forward", *keys]
    template = next((TEMPLATES[key] for key in keys if key in TEMPLATES), None)
    if template is None:
        return CODES[bug.code].what if bug.code in CODES else f"{bug.code}."
    text = " ".join(template.format_map(_fields(bug, names)).replace("()", "").split()).replace(" .", ".")
    return text[:1].upper() + text[1:] if text.startswith(("the ", "gate ", "all ")) else text


class _Fields(dict[str, object]):
    """A field that a bug has no value for is left empty."""

    def __missing__(self, key: str) -> str:
        return ""


def _fields(bug: Bug, names: Mapping[str, str]) -> _Fields:
    words = bug.where.split()
    tensors = ["all gradients"] if words == ["all"] else [names.get(word, word) for word in words]
    details = {key: WORDS.get(key, {}).get(str(value), value) for key, value in bug.detail.items()}
    many = len(words) > 1 or words == ["all"]
    gates = bool(bug.where) and set(bug.where) <= LETTERS
    gate = details.get("gate")
    derived = {
        "where": listed(tensors),
        "is": "are" if many else "is",
        "has": "have" if gates and len(bug.where) > 1 else "has",
        "places": _units(bug.where) if gates else listed(tensors),
        "signed": f"the gradient of {_units(bug.where)}" if gates else listed(tensors),
        "letters": listed(bug.where),
        "letter": bug.where[-1:],
        "side": bug.side,
        "other": details.get("whole", details.get("value", "")),
        "gate_of_d": f"gate {bug.where[1:]}",
        "kind": WORDS["kind"].get(bug.where, details.get("kind", "another function")),
        "paths": WORDS["paths"].get(str(bug.detail.get("lost")), f"through {bug.detail.get('lost')}"),
        "previous": {"f": "c_prev", "h": "the previous hidden state", "c": "the previous cell state"}.get(
            bug.where, ""
        ),
        "block": f" in the block of gate {gate}" if gate else "",
        "times": "zero" if details.get("factor") == 0 else f"{details.get('factor', 0):g} times the right one",
    }
    return _Fields(derived | {key: value for key, value in details.items() if key not in derived})


def _units(letters: str) -> str:
    """'gate i', 'the gates i, f and o', 'the tanh of the cell'."""
    if len(letters) == 1:
        return UNITS.get(letters, f"gate {letters}")
    return f"the gates {listed(letters)}"


def listed(words: Iterable[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    items = list(dict.fromkeys(words))
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
