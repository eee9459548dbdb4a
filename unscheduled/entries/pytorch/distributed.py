"""What the ranks of a distributed run know together."""

import torch
import torch.distributed as dist


def sum_over_ranks(tensors: list[torch.Tensor]) -> int:
    """Sums the tensors over all ranks, in place; returns how many ranks there are.

    Does nothing and returns 1 where one process trains alone.
    """
    if not _are_several():
        return 1
    for tensor in tensors:
        dist.all_reduce(tensor)
    return dist.get_world_size()


def largest_over_ranks(numbers: list[float], device: torch.device) -> list[float]:
    """The largest of each number over all ranks; the device is where they compute."""
    if not _are_several():
        return numbers
    tensor = torch.tensor(numbers, device=device)
    dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return tensor.tolist()


def _are_several() -> bool:
    return dist.is_available() and dist.is_initialized()
