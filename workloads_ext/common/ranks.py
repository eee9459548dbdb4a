"""The ranks of a distributed run in PyTorch."""

from typing import Any

import torch
import torch.distributed as dist


def is_distributed() -> bool:
    """Whether there is a process group."""
    return dist.is_available() and dist.is_initialized()


def rank_count() -> int:
    """Ranks of the process group; 1 where there is none."""
    return dist.get_world_size() if is_distributed() else 1


@torch.compiler.disable()
def sum_over_ranks(values: torch.Tensor) -> Any:
    """The sum of all ranks' tensors, whose gradient sums those of all ranks."""
    return _SumOverRanks.apply(values) if is_distributed() else values


class _SumOverRanks(torch.autograd.Function):
    """The sum of all ranks' tensors, whose gradient sums those of all ranks."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        values = values.clone()
        dist.all_reduce(values)
        return values

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        grad = grads[0].clone()  # contiguous, and not the caller's
        dist.all_reduce(grad)
        return grad
