"""What changes in PyTorch where several ranks share a batch."""

from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

__all__ = ["BatchNorm2d", "distribute", "rank_count", "rows_of_this_rank"]


def rank_count() -> int:
    """Ranks of the process group; 1 where there is none."""
    is_alone = not (dist.is_available() and dist.is_initialized())
    return 1 if is_alone else dist.get_world_size()


def rows_of_this_rank(array: np.ndarray) -> np.ndarray:
    """This rank's part of the first axis, which the number of ranks must divide."""
    if rank_count() == 1:
        return array
    size = len(array) // rank_count()
    return array[dist.get_rank() * size : (dist.get_rank() + 1) * size]


def distribute(model: nn.Module) -> nn.Module:
    """The model in DistributedDataParallel where there is a process group."""
    if not (dist.is_available() and dist.is_initialized()):
        return model
    device = next(model.parameters()).device
    device_ids = [device] if device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(model, device_ids)


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the batches of all ranks, which must be of one size.

    Unlike `nn.SyncBatchNorm` it runs on CPUs too. Without ranks, in evaluation, and
    in all it holds, it is `nn.BatchNorm2d`.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Maps (n, width, h, w) to the same shape."""
        if not self.training or rank_count() == 1:
            return super().forward(input)
        mean = _mean_over_ranks(input.mean((0, 2, 3)))
        centred = input - mean[:, None, None]
        variance = _mean_over_ranks(centred.square().mean((0, 2, 3)))
        if self.track_running_stats:
            count = rank_count() * input.numel() // self.num_features
            self._track(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return centred * scale[:, None, None] + self.bias[:, None, None]

    def _track(self, mean: torch.Tensor, unbiased_variance: torch.Tensor) -> None:
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(unbiased_variance, self.momentum)


@torch.compiler.disable()
def _mean_over_ranks(values: torch.Tensor) -> Any:
    return _SumOverRanks.apply(values) / rank_count()


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
