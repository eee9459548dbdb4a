"""The algorithms as optax-style gradient transformations."""

from .lookahead import (
    LookaheadState,
    lookahead,
    lookahead_eval_params,
)
from .radam import RAdamState, radam
from .schedule_free import (
    ScheduleFreeState,
    schedule_free,
    schedule_free_adamw,
    schedule_free_eval_params,
    schedule_free_radam,
    schedule_free_sgd,
    schedule_free_train_params,
)

__all__ = [
    "LookaheadState",
    "RAdamState",
    "ScheduleFreeState",
    "lookahead",
    "lookahead_eval_params",
    "radam",
    "schedule_free",
    "schedule_free_adamw",
    "schedule_free_eval_params",
    "schedule_free_radam",
    "schedule_free_sgd",
    "schedule_free_train_params",
]
