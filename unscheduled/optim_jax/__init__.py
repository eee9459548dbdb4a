"""The algorithms as optax-style gradient transformations."""

from unscheduled.optim_jax.schedule_free import (
    ScheduleFreeState,
    schedule_free_adamw,
    schedule_free_eval_params,
    schedule_free_train_params,
)

__all__ = [
    "ScheduleFreeState",
    "schedule_free_adamw",
    "schedule_free_eval_params",
    "schedule_free_train_params",
]
