"""The algorithms as `torch.optim.Optimizer` subclasses."""

from .lookahead import Lookahead
from .muon import MuonScheduleFree
from .radam import RAdam, rectification
from .schedule_free import (
    AdamWScheduleFree,
    RAdamScheduleFree,
    SGDScheduleFree,
)
from .schedule_free_wrapper import ScheduleFreeWrapper

__all__ = [
    "AdamWScheduleFree",
    "Lookahead",
    "MuonScheduleFree",
    "RAdam",
    "RAdamScheduleFree",
    "SGDScheduleFree",
    "ScheduleFreeWrapper",
    "rectification",
]
