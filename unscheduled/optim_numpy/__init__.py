"""The specification: each algorithm as pure float64 steps, straight from its paper."""

from unscheduled.optim_numpy.schedule_free import (
    ScheduleFreeAdamWState,
    schedule_free_adamw_init,
    schedule_free_adamw_step,
    schedule_free_y,
)

__all__ = [
    "ScheduleFreeAdamWState",
    "schedule_free_adamw_init",
    "schedule_free_adamw_step",
    "schedule_free_y",
]
