"""Update rules and clipping, right and wrong. Forward only: nothing is differentiated here.

    sgd       w ← w − lr dw
    momentum  v ← momentum v − lr dw,  w ← w + v
    rmsprop   cache ← decay cache + (1 − decay) dw²,  w ← w − lr dw / (√cache + epsilon)
    adagrad   cache ← cache + dw²,  w ← w − lr dw / √(cache + epsilon)
    adam      t ← t + 1, m and v averaged, w ← w − lr m̂ / (√v̂ + epsilon)

Each takes the state before the step and returns w and the state after it. `epsilon_inside` (True or False) chooses the
other place of epsilon in the last three: courses differ, and no place is wrong by itself. Clipping takes arrays under
any names and `limit`, and returns them under the same names.
"""

import numpy as np

from minrnn.grading.reference.bug import NONE, Array, Arrays, Bug, Family


def _sign(bug: Bug) -> float:
    return -1.0 if bug.forward("sign-flipped") else 1.0


def _rate(inputs: Arrays, bug: Bug) -> float:
    return 1.0 if bug.forward("constant-factor", "lr") else float(inputs["lr"])


def sgd(inputs: Arrays, bug: Bug = NONE) -> Arrays:
    """One step of plain descent."""
    return {"w": inputs["w"] - _sign(bug) * _rate(inputs, bug) * inputs["dw"]}


def momentum(inputs: Arrays, bug: Bug = NONE) -> Arrays:
    """One step with momentum."""
    step = _sign(bug) * _rate(inputs, bug) * inputs["dw"]
    old = np.zeros_like(step) if bug.forward("state-not-carried", "v") else inputs["v"]
    v = inputs["momentum"] * old - step
    w = inputs["w"] + (-v if bug.forward("sign-flipped", "v") else v)
    if bug.forward("wrong-previous-state", "v"):  # the step is made with the old velocity
        w = inputs["w"] + old
    if bug.forward("upstream-ignored", "v"):  # the velocity is kept, the step is that of plain descent
        w = inputs["w"] - step
    return {"w": w, "v": v}


def _normalised(g: Array, square: Array, inputs: Arrays, bug: Bug, inside: bool = False) -> Array:
    """g / √square, with epsilon inside or outside of the root, as `epsilon_inside` of the inputs says."""
    epsilon, inside = float(inputs["epsilon"]), bool(inputs.get("epsilon_inside", inside))
    if bug.forward("root-missing"):
        return g / (square + epsilon)
    if inside != bug.forward("adam-epsilon-inside-root"):
        with np.errstate(invalid="ignore"):
            return g / np.sqrt(square + epsilon)
    with np.errstate(invalid="ignore"):
        return g / (np.sqrt(square) + epsilon)


def _square(g: Array, bug: Bug) -> Array:
    """g², or what stands in its place: |g|, or g itself, whose root is not a number where g is negative."""
    missing = bug.find("square-missing", "forward")
    if missing is None:
        return g * g
    return g if "signed" in missing.detail else np.abs(g)


def rmsprop(inputs: Arrays, bug: Bug = NONE) -> Arrays:
    """One step of RMSprop."""
    g, decay = inputs["dw"], inputs["decay"]
    past = np.zeros_like(g) if bug.forward("state-not-carried", "cache") else inputs["cache"]
    keep = 1 - decay if bug.forward("decay-complement") else decay
    square = _square(g, bug)
    cache = keep * past + (1 - keep) * square
    used = inputs["cache"] if bug.forward("wrong-previous-state", "cache") else cache
    step = _normalised(g, used, inputs, bug)
    return {"w": inputs["w"] - _sign(bug) * _rate(inputs, bug) * step, "cache": cache}


def adagrad(inputs: Arrays, bug: Bug = NONE) -> Arrays:
    """One step of Adagrad as min-char-rnn has it, with epsilon inside the root."""
    g = inputs["dw"]
    past = np.zeros_like(g) if bug.forward("state-not-carried", "cache") else inputs["cache"]
    square = _square(g, bug)
    cache = past + square
    used = inputs["cache"] if bug.forward("wrong-previous-state", "cache") else cache
    step = _normalised(g, used, inputs, bug, inside=True)
    return {"w": inputs["w"] - _sign(bug) * _rate(inputs, bug) * step, "cache": cache}


def adam(inputs: Arrays, bug: Bug = NONE) -> Arrays:
    """One step of Adam; t counts the steps before this one."""
    g, t = inputs["dw"], int(inputs["t"]) + 1
    beta1, beta2 = float(inputs["beta1"]), float(inputs["beta2"])
    if bug.forward("decay-complement"):
        beta1, beta2 = 1 - beta1, 1 - beta2
    square = _square(g, bug)
    m = beta1 * inputs["m"] + (1 - beta1) * g
    v = beta2 * inputs["v"] + (1 - beta2) * square
    counter = bug.find("adam-step-counter", "forward")
    count = t + int(counter.detail["shift"]) if counter else t
    power = 1 if bug.forward("adam-beta-without-power") else count
    with np.errstate(divide="ignore", invalid="ignore"):
        correction1, correction2 = 1 - beta1**power, 1 - beta2**power
        if bug.forward("adam-correction-multiplied"):
            correction1, correction2 = np.divide(1.0, correction1), np.divide(1.0, correction2)
        without = bug.find("adam-no-bias-correction", "forward")
        m_hat = m if without and "m" in without.where else np.divide(m, correction1)
        v_hat = v if without and "v" in without.where else np.divide(v, correction2)
        step = _normalised(m_hat, v_hat, inputs, bug)
    stored = bug.find("adam-corrected-moment-stored", "forward")
    return {
        "w": inputs["w"] - _sign(bug) * _rate(inputs, bug) * step,
        "m": m_hat if stored and "m" in stored.where else m,
        "v": v_hat if stored and "v" in stored.where else v,
        "t": np.asarray(t - 1 if bug.forward("state-not-carried", "t") else t),
    }


def _arrays(inputs: Arrays) -> Arrays:
    return {name: np.asarray(g, dtype=np.float64) for name, g in inputs.items() if name != "limit"}


def clip_value(inputs: Arrays, bug: Bug = NONE) -> Arrays:
    """Every entry to −limit … limit."""
    limit, gradients = float(inputs["limit"]), _arrays(inputs)
    wrong = bug.find("clip-wrong-kind", "forward")
    if wrong is None:
        return {name: np.clip(g, -limit, limit) for name, g in gradients.items()}
    if wrong.where == "norm":
        return clip_norm(inputs)
    if wrong.where == "norm of each":
        return clip_norm(inputs, Bug("clip-norm-per-parameter", side="forward"))
    rules = {
        "none": lambda g: g,
        "upper": lambda g: np.minimum(g, limit),
        "lower": lambda g: np.maximum(g, -limit),
        "from zero": lambda g: np.clip(g, 0, limit),
        "zeroed": lambda g: np.where(np.abs(g) > limit, 0.0, g),
        "tanh": lambda g: limit * np.tanh(g / limit),
    }
    return {name: rules[wrong.where](g) for name, g in gradients.items()}


def clip_norm(inputs: Arrays, bug: Bug = NONE) -> Arrays:
    """All arrays by one factor, so that their common L2 norm is at most limit."""
    limit, gradients = float(inputs["limit"]), _arrays(inputs)
    if bug.forward("clip-norm-per-parameter"):
        return {name: g * _factor([g], limit, bug) for name, g in gradients.items()}
    if bug.forward("clip-wrong-kind", "value"):
        return clip_value(inputs)
    if bug.forward("clip-wrong-kind", "none"):
        return gradients
    factor = _factor(list(gradients.values()), limit, bug)
    return {name: g * factor for name, g in gradients.items()}


def _factor(gradients: list[Array], limit: float, bug: Bug) -> float:
    square = sum(float((g * g).sum()) for g in gradients)
    norm = square if bug.forward("root-missing") else float(np.sqrt(square))
    if bug.forward("clip-wrong-kind", "L1"):
        norm = sum(float(np.abs(g).sum()) for g in gradients)
    if bug.forward("clip-wrong-kind", "norm of one"):
        norm = float(np.sqrt((gradients[-1] ** 2).sum()))
    always = bug.forward("clip-wrong-kind", "always")
    return limit / norm if norm > limit or (always and norm) else 1.0


EPS = ("epsilon", "epsilon_inside")
OPTIMIZERS = (
    Family("sgd", ("w", "dw", "lr"), ("w",), (), sgd),
    Family("momentum", ("w", "dw", "v", "lr", "momentum"), ("w", "v"), (), momentum),
    Family("rmsprop", ("w", "dw", "cache", "lr", "decay", *EPS), ("w", "cache"), (), rmsprop, None, EPS[1:]),
    Family("adagrad", ("w", "dw", "cache", "lr", *EPS), ("w", "cache"), (), adagrad, None, EPS[1:]),
    Family(
        "adam",
        ("w", "dw", "m", "v", "t", "lr", "beta1", "beta2", *EPS),
        ("w", "m", "v", "t"),
        (),
        adam,
        None,
        EPS[1:],
    ),
    Family("clip_value", ("limit",), (), (), clip_value),
    Family("clip_norm", ("limit",), (), (), clip_norm),
)
