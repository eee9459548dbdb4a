"""Sums over the ranks of a distributed run."""

import torch
import torch.distributed as dist


def sum_over_ranks(tensors: list[torch.Tensor]) -> int:
    """Sums the tensors over all ranks, in place; returns how many ranks there are.

    Does nothing and returns 1 where one process trains alone.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return 1
    for tensor in tensors:
        dist.all_reduce(tensor)
    return dist.get_world_size()
