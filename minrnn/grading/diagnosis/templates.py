"""The sentences of the causes, as templates: what is wrong in this place, and what belongs there. No logic.

A key is CODE:PLACE, CODE+DETAIL, CODE~FIRST WORD OF THE PLACE, CODE SIDE or CODE alone; the first that fits is taken.
{field} is filled from the mistake; <name> is a canonical tensor, which gets the name that the course has for it.
"""

TEMPLATES = {
    "activation-used-as-delta": "{where} {is} computed with the output of the units in the place of the gradient at "
    "their input: use dz, the gradient after the derivative of the activation.",
    "adam-corrected-moment-stored": "The corrected averages ({letters}) are stored back, so that they are corrected "
    "again at the next update: keep the corrected values in other variables.",
    "adam-no-bias-correction": "The update uses the averages ({letters}) as they are: divide them by 1 - beta^t first.",
    "adam-step-counter": "The correction takes t {shift:+d} for the number of the update; it is t, counted from 1.",
    "bias-gradient-from-weights": "The gradient of the bias is a sum over {of}; it should be the sum of dz over the "
    "examples.",
    "bias-gradient-scalar": "{where} is a single number, the sum over units and examples: sum over the examples only.",
    "bias-gradient-scalar+gate": "{where} has the same number in the whole block of gate {gate}, the sum over units "
    "and examples: sum over the examples only.",
    "bias-gradient-scalar+spread": "All entries of {where} are the same number, the sum over units and examples: sum "
    "over the examples only.",
    "bias-gradient-scalar:dW": "All entries of a row of {where} are the same number: sum over the places where the "
    "word occurs, and not over the entries of its vector.",
    "bias-gradient-wrong-axis+axes": "{where} is summed over the {axes} only: sum over the examples and the steps.",
    "bias-missing": "The forward pass does not add the bias <{where}>.",
    "bias-missing:one gate": "The forward pass does not add the bias of gate {gate}.",
    "bias-missing+share": "The forward pass adds only one of the two biases{block}.",
    "bias-missing+twice": "The forward pass adds one of the two biases twice and the other one not at all{block}.",
    "cache-order-mismatch": "The backward pass takes the gates {letters} from the cache in exchanged order.",
    "cache-order-mismatch:c_prev c": "The backward pass takes <c_prev> and <c> from the cache in exchanged order.",
    "cache-order-mismatch:steps": "The backward pass takes the caches of the steps in the wrong order ({order}): step "
    "t needs the cache of step t.",
    "cache-order-mismatch:h_prev h": "The backward pass takes the previous state and the new one in exchanged order.",
    "cached-view-overwritten": "What was stored as {previous} holds {vector}: it is a view of an array that was "
    "overwritten later, or it was written to the index -1. Store a copy.",
    "cached-view-overwritten:cache": "Every step of the backward pass reads the cache of the last step: keep one "
    "cache for each step.",
    "cell-gradient-incomplete": "{where} is {value}; it should be dc * f, where dc is the whole gradient of <c>.",
    "cell-gradient-incomplete+factor on": "In the gradient of gate {gate_of_d} the factor multiplies only the summand "
    "of dc that comes from {factor on}: put dc in brackets, or compute it first.",
    "cell-gradient-incomplete+lost": "The gradient of {places} is made without the part of dc that comes from {lost}: "
    "use the whole dc.",
    "cell-gradient-incomplete:dc": "The gradient dc of the cell state lacks the part that comes from {lost}: dc is the "
    "gradient from step t+1 plus dh * o * (1 - tanh(c)²).",
    "cell-path-without-output-gate": "The gradient that goes from <h> to <c> is not multiplied by the output gate: it "
    "is dh * o * (1 - tanh(c)²).",
    "cell-tanh-missing forward": "<h> is o * c; it should be o * tanh(c).",
    "cell-tanh-missing backward": "The gradient of gate o is multiplied by c; it should be dh * tanh(c).",
    "clip-wrong-kind": "The gradients are not clipped as asked: {kind}.",
    "concat-order-swapped": "The previous state and the input are put together in the other order than the course's.",
    "concat-order-swapped:dWx dWh": "The gradient of the joined weights has the parts of the input and of the "
    "previous state in exchanged order.",
    "concat-order-swapped:dx dh_prev": "The gradient of the joined input is cut into {where} at the wrong place.",
    "constant-factor:lr": "The learning rate is not used.",
    "derivative-precedence": "The derivative of the activation multiplies only the part of the gradient that comes "
    "from {where}: add up first, then multiply the whole sum.",
    "derivative-precedence+form": "The gradient of {places} is {form} (d: the gradient of its output, s: its output): "
    "a bracket is missing around the derivative, it should be {right}.",
    "derivative-precedence+on": "The derivative of {places} multiplies only the part of the gradient that comes from "
    "{on}: add up first, then multiply the whole sum.",
    "derivative-precedence:c+form": "The gradient that goes from <h> to <c> is {form} (d: dh * o, s: tanh(c)): a "
    "bracket is missing around the derivative, it should be {right}.",
    "derivative-precedence:c": "The derivative of tanh multiplies the gradient of <c> from step t+1 as well; it "
    "belongs only to the part that comes from <h>.",
    "derivative-precedence:dc": "The output gate and the derivative of tanh multiply the gradient of <c> from step t+1 "
    "as well; they belong only to the part that comes from <h>.",
    "elementwise-for-matmul": "{where} is multiplied entry by entry; it is the matrix product of dz with <Wh> "
    "transposed.",
    "embedding-wrong-index forward": "The forward pass looks up other rows than those of the given indices: {index}.",
    "embedding-wrong-index:ids forward": "The inputs of the network are the targets; they should be the inputs.",
    "embedding-wrong-index+index": "The gradient is added to other rows than those that were looked up: {index}.",
    "embedding-wrong-index+upstream": "Every row gets the upstream gradient of the {upstream}; it should get the one "
    "of the place where the word stands.",
    "embedding-duplicates-lost": "Where a word occurs more than once, {where} holds only one of its gradients: add "
    "them up, for example with np.add.at.",
    "gate-copy-paste forward": "The forward pass has gate {other} in the place of {places}.",
    "gate-copy-paste+by": "In {where} the block of gate {gate} is made with that of gate {by}.",
    "gate-copy-paste+incoming": "The gradient of {places} starts from {incoming}; it should start from {starts}.",
    "gate-copy-paste+operand": "The gradient of {places} is multiplied by gate {operand}; it should be multiplied by "
    "{factor_of}.",
    "gate-copy-paste+slope": "The gradient of {places} is multiplied by the derivative of {slope}; it should be "
    "that of gate {letters}.",
    "gate-copy-paste:c+slope": "The gradient that goes from <h> to <c> is multiplied by the derivative of {slope}; "
    "it should be that of the tanh of the cell.",
    "gate-copy-paste+whole": "The gradient of {places} is that of gate {whole}.",
    "gate-copy-paste~weights": "The forward pass makes gate {gate} with the block of gate {by} in <{of}>.",
    "gate-not-applied backward": "The gradient of {places} is not multiplied by {factor_of}.",
    "gate-not-applied forward": "The forward pass does not multiply by gate {letters}.",
    "gate-not-applied+gate": "{where} lacks the share of gate {gate}.",
    "gate-not-applied:z forward": "The forward pass adds {of} as a whole; the shares of the old state and of n are z "
    "and 1 - z.",
    "gate-not-applied:k": "The direct path back to the previous state is not multiplied by the share that the old "
    "state has in the new one.",
    "gate-not-applied:n": "The gradient of n is not multiplied by the share that n has in the new state.",
    "gate-not-applied:z": "The gradient of z is not multiplied by the difference of the previous state and n.",
    "gate-not-applied:r": "The gradient that goes back through the product with r is not multiplied by r.",
    "gate-not-applied:dWh": "The gradient that goes to the recurrent weights of n, and through them to the previous "
    "state, is not multiplied by the reset gate.",
    "gate-not-applied:dWhn": "The gradient of the recurrent weights of n is made without the reset gate r.",
    "gate-not-applied:dbhn": "{where} is not multiplied by the reset gate.",
    "gate-order-swapped backward": "The backward pass puts the blocks of the gates together in the order {order}.",
    "gate-order-swapped forward": "The forward pass reads the blocks of the gates in the order {order}.",
    "gate-order-swapped:b forward": "In the bias the blocks of {exchanged} are exchanged, in the weights they are not.",
    "gate-order-swapped:weights forward": "In the weights the blocks of {exchanged} are exchanged, in the bias they "
    "are not.",
    "gate-order-swapped:weights": "The backward pass multiplies by the weights with the blocks of {exchanged} "
    "exchanged.",
    "gate-order-swapped:unpacked": "The backward pass takes the gates out of one array in the order {order}.",
    "gradient-added-to-itself+factor": "{where} {is} {times}{block}.",
    "gradient-added-to-itself+recursive": "{where} {is} added to {itself} at every step, so that the sum doubles each "
    "time: add only the share of the step.",
    "gradient-added-to-itself:last upstream": "The upstream gradient of the last step is added twice.",
    "gradient-added-to-itself:upstream": "The upstream gradient of every step is added twice.",
    "gradient-added-to-itself~twice": "The gradient of {state} that is carried back in time is doubled at every step.",
    "gradient-not-accumulated": "{where} {is} not the sum over all steps but {step}{block}: begin with zeros and add "
    "the share of every step.",
    "gradient-not-accumulated+example": "{where} {holds} the share of a single example; the shares of all examples of "
    "the batch have to be added up.",
    "gradient-not-accumulated:loss": "The loss is that of the last step: add up the losses of all steps.",
    "gru-gradient-incomplete": "{where} lacks a summand: {paths}.",
    "gru-gradient-incomplete:z": "The gradient of gate z lacks the part that comes from {lost}: it is "
    "dh * (h_prev - n), or the negative of it, as z is used.",
    "gru-interpolation-flipped backward": "z and 1 - z are exchanged in the backward pass.",
    "gru-reset-placement:x": "The reset gate multiplies the part of the input as well; it belongs only to the part of "
    "the previous state.",
    "gru-reset-placement:bhn": "The recurrent bias of n is added outside of the product with r; it belongs inside.",
    "initial-cell-wrong:h0 c0": "The initial states of <h> and <c> are exchanged.",
    "initial-state-gradient-not-set": "{where} is {value}; it should be the gradient that the backward of step 0 "
    "returns for the previous state.",
    "initial-state-ignored backward": "At the first step the backward pass takes zeros in the place of {where}.",
    "initial-state-ignored forward": "The forward pass does not use {where}: it is taken as zeros.",
    "input-gradient-accumulated": "dx[t] holds a sum over steps ({how}); it should be the gradient of step t alone.",
    "mask-ignored": "Positions that the mask leaves out still count in the {mask_in}: multiply by the mask.",
    "mean-instead-of-sum": "{where} {is} divided by {by}; it should be a sum.",
    "mean-instead-of-sum+reduction": "The {mask_in} is divided by {reduction}; the definition of the course divides it "
    "by a smaller number or by none.",
    "mean-instead-of-sum:occurrences": "Each row of the gradient is divided by the number of times that its word "
    "occurs; it should be a sum.",
    "mean-instead-of-sum~incoming": "The upstream gradient of {state} and the one carried from step t+1 are averaged; "
    "they should be added.",
    "missing-cell-carry": "The gradient of <c> that step t+1 returns is not handed to step t.",
    "missing-hidden-carry": "The gradient of <h> that step t+1 returns is not added to the upstream of step t.",
    "missing-hidden-carry:c": "The gradient that goes from <h> to <c> starts from the upstream gradient alone; add the "
    "one that is carried from step t+1.",
    "missing-hidden-carry:o": "The gradient of gate o starts from the upstream gradient alone; add the one that is "
    "carried from step t+1.",
    "missing-transpose": "{where}: a matrix in its product lacks its transpose, or has one too many.",
    "missing-transpose+gate forward": "The forward pass multiplies the previous state by the block of gate {gate} "
    "without its transpose, or with one too many.",
    "missing-transpose forward": "The forward pass multiplies by <Wh> without its transpose, or with one too many.",
    "missing-transpose+gate": "{where}: in the share of gate {gate} a matrix lacks its transpose, or has one too many.",
    "missing-transpose:n": "The gradient that goes back to r * h_prev is not multiplied by the transpose of the "
    "recurrent weights of n.",
    "nonlinearity-missing": "The forward pass leaves out the nonlinearity of {places}: it should be {function}.",
    "nonlinearity-missing:loss": "The loss is made without the logarithm: it is -log of the probability of the target.",
    "nonlinearity-wrong": "The forward pass applies {kind} to {places}; it should be {function}.",
    "nonlinearity-wrong:out": "The forward pass applies a nonlinearity where there should be none.",
    "sigmoid-derivative-missing": "The derivative of the sigmoid is left out for {places}: multiply the gradient of "
    "{each} by {slope_of}.",
    "sample-wrong-length:end not added": "Where the end does not come within the limit, put it after the last id.",
    "sample-wrong-length:end passed": "The loop goes on after the id of the end; it should stop there.",
    "sample-wrong-length:first left out": "The first id that was chosen is left out of the result.",
    "sample-wrong-length:prefix for last": "The result begins with the given id and lacks the last one: append the new "
    "ids only.",
    "sample-wrong-length:prefix too": "The result holds the given id too: append the new ids only.",
    "sample-wrong-length:too few": "The last id is left out of the result.",
    "sample-wrong-length:too many": "There is one id too many at the end.",
    "sample-wrong-start:first": "Only the first of the given ids is read: run all of them through the network.",
    "sample-wrong-start:id 0": "The first input is the id 0; it should be the given one.",
    "sample-wrong-start:no input": "The first step has no input; it should be the given id.",
    "sample-wrong-start:state": "The first new step starts from the initial state; it should start from the state that "
    "the given text leads to.",
    "sign-flipped": "The sign of {signed} is wrong.",
    "sign-flipped forward": "The sign is wrong: an update subtracts the gradient, a loss is minus the logarithm.",
    "sign-flipped:all": "The sign of all gradients is wrong.",
    "sign-flipped:b forward": "The forward pass subtracts the bias; it should add it.",
    "sign-flipped:c": "The part of the gradient of the cell state that comes from <h> has the wrong sign: add it to "
    "<dc>.",
    "sign-flipped:dc_next": "<dc> is taken with the wrong sign: the gradient of the cell state is a sum.",
    "sign-flipped:i forward": "The forward pass subtracts i * g from the cell state; it should add it.",
    "sign-flipped:target": "1 is added to the probability of the target in the gradient; it should be subtracted.",
    "sign-flipped:upstream": "The upstream gradient is taken with the wrong sign.",
    "sign-flipped~carry": "The gradient of {state} that is carried back in time has the wrong sign.",
    "softmax-target-not-subtracted": "The gradient of the scores is the probability alone: subtract 1 at the target.",
    "state-not-carried": "Every step starts from the initial {states} again: set the previous {states} to the new "
    "after each step.",
    "state-not-carried+only": "The second step starts from the initial {states} again: it should start from what the "
    "first step returned. Check the condition for the first step.",
    "state-not-carried+step": "Every step from the third on starts from the {states} of the first step: set the "
    "previous {states} to the new after each step.",
    "state-not-carried:c_prev": "The forward pass does not use <c_prev>: c = f * c_prev + i * g.",
    "state-not-carried:cache": "The running average starts from zero at every update.",
    "state-not-carried:later": "Every new step starts from the state that the given text leads to: carry the state on.",
    "state-not-carried:rows": "Every row of <h> is the initial state: store what the step returns.",
    "state-not-carried:t": "The count of updates is not stored.",
    "state-not-carried:v": "The velocity starts from zero at every update.",
    "sum-instead-of-mean+reduction": "The {mask_in} is divided by {reduction}; the definition of the course divides it "
    "by a larger number.",
    "tanh-applied-twice": "The derivative of tanh is taken of tanh(s), where s is already the output of {places}: it "
    "is {slope_of}.",
    "tanh-applied-twice:dc": "The derivative of the tanh of the cell is 1 - tanh(h)²; it should be 1 - tanh(c)².",
    "tanh-applied-twice:do": "The gradient of gate o is multiplied by tanh(tanh(c)); it should be tanh(c).",
    "tanh-derivative-missing": "The derivative of tanh is left out for {places}: multiply {flow} by {slope_of}.",
    "tanh-derivative-missing@tensor": "{where} {is} made from the gradient of <h>: multiply it by {slope_of} first.",
    "tanh-derivative-of-gradient": "The derivative of tanh is 1 - d² with d the gradient, for {places}: it is "
    "{slope_of}, with the value of the forward pass.",
    "time-loop-skips-step": "The {side} loop leaves out the {where} step: check both bounds of its range.",
    "time-loop-wrong-direction backward": "The backward loop goes from the first step to the last; it should go from "
    "the last to the first.",
    "time-loop-wrong-direction forward": "The forward loop goes from the last step to the first; it should go from "
    "the first to the last.",
    "time-loop-wrong-direction:rows forward": "<h> has its time steps in reverse order.",
    "time-loop-wrong-direction:x forward": "The forward loop reads the inputs from the last step to the first: step t "
    "reads the input t.",
    "time-loop-wrong-direction:caches": "The backward loop reads the caches of the steps from the first to the last: "
    "step t needs the cache of step t.",
    "time-loop-wrong-direction:dx": "{where} has its time steps in reverse order.",
    "unknown-cause+start": "{where} starts from a copy of the weights; it should start from zeros.",
    "upstream-ignored": "The upstream gradient is not used: {ones} stand in its place.",
    "upstream-ignored:da": "The derivative of tanh is computed but not multiplied by the gradient of <h>: it is "
    "dh * ({slope_of}).",
    "upstream-ignored@gate": "The gradient of {places} is not multiplied by {starts}.",
    "upstream-ignored:v": "The step is made with the gradient alone; it should be made with the velocity.",
    "upstream-last-step-only": "Only the upstream gradient of the last step is used: every step has its own.",
    "upstream-last-step-only:every step": "The upstream gradient of the last step is used at every step: every step "
    "has its own.",
    "upstream-last-step-only:first row": "The upstream gradient of the first step is used at every step: every step "
    "has its own.",
    "wrong-activation-derivative": "The derivative for {places} is {form}, with s the output of the unit; it should "
    "be {slope_of}.",
    "wrong-activation-derivative:dc": "The derivative of the tanh of the cell is 1 - h²; it should be 1 - tanh(c)².",
    "wrong-previous-state:dh": "The derivative of tanh is taken at the previous state, 1 - h_prev²; it "
    "should be taken at the new one, 1 - h².",
    "wrong-flatten:features": "The axes of x are flattened in the wrong order: every example becomes one row.",
    "wrong-flatten+order": "The axes of {where} are flattened in another order than those of the scores.",
    "wrong-flatten": "The axes of {where} are flattened in the wrong order.",
    "wrong-layer-input:before": "A layer reads the state of the layer below at the step before; use the new one.",
    "wrong-layer-input:first": "Every layer reads the state of the first one; use that of the layer below it.",
    "wrong-layer-input:h0": "Every layer starts from the initial state of the first one; each has its own.",
    "wrong-layer-input:y": "The prediction is made with the state of the first layer; it should be that of the last.",
    "wrong-previous-state:h0 r0 forward": "The initial states of the two directions are exchanged.",
    "wrong-previous-state": "In the place of {previous} the backward pass uses {vector}.",
    "wrong-previous-state:Wy": "The gradient of <Wy> is made with the state before each step; it should be the one "
    "after it.",
    "wrong-previous-state:cache forward": "The step is made with the running average before its update.",
    "wrong-previous-state:carried forward": "After the first step the loop hands on {vector} as <h> and as <c>.",
    "wrong-previous-state:exchanged forward": "After each step the loop hands on <h> in the place of <c>, and <c> in "
    "the place of <h>.",
    "wrong-previous-state:two before forward": "Step t starts from the {kept} of step t-2: it should start from what "
    "step t-1 returned.",
    "wrong-previous-state:f forward": "The forward pass multiplies the forget gate by the hidden state; it should be "
    "multiplied by <c_prev>.",
    "wrong-previous-state:o forward": "<h> is made with the old cell state; it should be o * tanh(c) with the new one.",
    "wrong-previous-state:o": "The gradient of gate o is multiplied by {vector}; it should be multiplied by tanh(c).",
    "wrong-previous-state:r": "The gradient of gate r is multiplied by {vector}; it should be multiplied by what r "
    "multiplies in the forward pass.",
    "wrong-previous-state:tanh(c_prev)": "The derivative of tanh is taken at the old cell state; it should be taken at "
    "the new one.",
    "wrong-previous-state:v forward": "The step is made with the velocity before its update.",
    "wrong-previous-state:h forward": "The forward pass returns {vector}; it should return the state after the last "
    "one.",
    "wrong-previous-state:y forward": "The prediction is made with {shown}.",
    "wrong-previous-state:z": "The gradient of gate z is made with the new state; it should be made with h_prev.",
    "wrong-variable-returned": "{where} holds what belongs to {returned}.",
    "wrong-variable-returned+exchanged": "{where} and {returned} are exchanged.",
    "wrong-variable-returned:previous": "<h> holds at t the state before step t; it should hold the one after it.",
    "wrong-variable-returned:states": "What a step returns is taken in exchanged order: <h> and <c>.",
    "wrong-variable-returned:step": "The gradient of the previous state is {returned} itself; multiply it by <Wh> "
    "transposed.",
}
