"""The ranks that torchrun starts: NCCL between GPUs, gloo between CPUs."""

import os
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from unscheduled.benchmark.errors import UserError


class TorchRanks:
    """Joins the process group that torchrun's environment describes.

    Raises:
      UserError: where there are fewer GPUs here than ranks, or no such description.
    """

    def __init__(self) -> None:
        gpu = _take_gpu() if torch.cuda.is_available() else None
        try:
            store, rank, self.count = next(rendezvous("env://"))
        except ValueError as error:
            raise UserError(f"LOCAL_RANK is set, but not by torchrun: {error}.") from (
                error
            )
        self.is_first = rank == 0
        self._device = gpu or torch.device("cpu")
        self._failures = dist.PrefixStore("failures", store)
        dist.init_process_group(
            "nccl" if gpu else "gloo",
            store=store,
            rank=rank,
            world_size=self.count,
            device_id=gpu,
        )

    def latest(self, seconds: float) -> float:
        time = torch.tensor(seconds, dtype=torch.float64, device=self._device)
        dist.all_reduce(time, op=dist.ReduceOp.MAX)
        return time.item()

    def from_first(self, make: Callable[[], Any]) -> Any:
        box = [make() if self.is_first else None]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def leave(self) -> None:
        dist.barrier()
        dist.destroy_process_group()

    def is_first_to_fail(self) -> bool:
        try:
            return self._failures.add("count", 1) == 1
        except RuntimeError:  # the store went down with the process that held it
            return True

    def abandon(self, status: int) -> None:
        # Not by way of the interpreter's end, which waits for the others.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _take_gpu() -> torch.device:
    """The GPU of this rank, from now on the default one."""
    gpus, local_rank = torch.cuda.device_count(), int(os.environ["LOCAL_RANK"])
    if local_rank >= gpus:
        raise UserError(
            f"local rank {local_rank} has no GPU: --nproc_per_node can be {gpus} at "
            "most on this machine."
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)
