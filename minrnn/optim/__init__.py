"""From gradients to the next parameters: clipping, update rules, learning-rate schedules."""

from collections.abc import Callable
from functools import partial

from minrnn.optim.adagrad import Adagrad
from minrnn.optim.adam import Adam, AdamW
from minrnn.optim.clip import clip_grad_norm, clip_grad_value, grad_norm
from minrnn.optim.optimizer import Optimizer
from minrnn.optim.rmsprop import RMSprop
from minrnn.optim.schedules import (
    Constant,
    Cosine,
    CosineRestarts,
    CyclePosition,
    ExponentialAfterEpoch,
    LinearWarmup,
    LowStart,
    Schedule,
)
from minrnn.optim.sgd import SGD

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": SGD,
    "adagrad": Adagrad,
    "rmsprop": RMSprop,
    "adam": Adam,
    "amsgrad": partial(Adam, amsgrad=True),
    "adamw": AdamW,
}

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "CosineRestarts",
    "CyclePosition",
    "ExponentialAfterEpoch",
    "LinearWarmup",
    "LowStart",
    "Optimizer",
    "RMSprop",
    "Schedule",
    "clip_grad_norm",
    "clip_grad_value",
    "grad_norm",
]
