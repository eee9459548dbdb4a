"""The algorithms as optax-style gradient transformations.

What they return is a `GradientTransformationExtraArgs` whose `update` needs `params`
and gives updates in the dtypes of those. They raise a ValueError for an invalid value,
for parameters that are integers or None, and for gradients of another structure or
shape than theirs. A complex parameter is the pair of its real and imaginary parts.
"""

from .lookahead import LookaheadState, lookahead, lookahead_eval_params
from .muon import MuonState, schedule_free_muon
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
    "MuonState",
    "RAdamState",
    "ScheduleFreeState",
    "lookahead",
    "lookahead_eval_params",
    "radam",
    "schedule_free",
    "schedule_free_adamw",
    "schedule_free_eval_params",
    "schedule_free_muon",
    "schedule_free_radam",
    "schedule_free_sgd",
    "schedule_free_train_params",
]
