"""The algorithms as `torch.optim.Optimizer` subclasses."""

from unscheduled.optim_torch.schedule_free import AdamWScheduleFree

__all__ = ["AdamWScheduleFree"]
