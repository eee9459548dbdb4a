"""Batch-norm statistics that belong to x, where the model is evaluated."""

import collections
import math
from collections.abc import Callable
from typing import Any

import torch

from unscheduled.entries import (
    RECENT_BATCHES,
    batches_to_refresh_from,
    share_of_new,
)
from unscheduled.entries.pytorch.distributed import sum_over_ranks

_CLASSES = (
    torch.nn.BatchNorm1d,
    torch.nn.BatchNorm2d,
    torch.nn.BatchNorm3d,
    torch.nn.SyncBatchNorm,
)


class BatchNormStatistics:
    r"""Refreshes running statistics at x from the batches seen since the last time.

    Training moves the running statistics at y. Before an evaluation, with the model
    at x, a forward pass over each of some recent batches b, from statistics set to
    zero, gives (1 - m) s_b, where m is the share that a layer keeps of its old
    statistics. The new statistics are the mean of s_b: no trace of y is left, whatever
    m is and however the model is written. The first time, one more pass from ones tells
    m. Nothing is kept and nothing is run where the model has no batch norm.

    Holds nothing that a checkpoint needs, because the batches are let go at every
    evaluation and m is the same for all.

    Args:
      model: the model, wrapped or not; InstanceNorm does not count.
    """

    def __init__(self, model: torch.nn.Module):
        self._layers = [m for m in model.modules() if _is_batch_norm(m)]
        self._recent = collections.deque(maxlen=RECENT_BATCHES)
        self._observed = 0
        self._shares: list[float] = []  # 1 - m of each buffer, once it is known

    def observe(self, batch: dict[str, Any]) -> None:
        """Keeps a training batch for the next refresh."""
        if self._layers:
            self._recent.append(batch)
            self._observed += 1

    def snapshot(self) -> list[torch.Tensor]:
        """A copy of the statistics, for `put_back`."""
        return [b.clone() for b in self._buffers()]

    def put_back(self, snapshot: list[torch.Tensor]) -> None:
        """Sets the statistics to what they were."""
        for buffer, old in zip(self._buffers(), snapshot, strict=True):
            buffer.copy_(old)

    @torch.no_grad()
    def refresh(self, forward: Callable[[dict[str, Any]], Any]) -> None:
        """Sets the running statistics to their mean over recent batches.

        Batches whose statistics are not finite don't count.

        Args:
          forward: runs the model, at x, on a batch in TRAIN mode.
        """
        if not self._recent:
            return
        batches = list(self._recent)[-batches_to_refresh_from(self._observed) :]
        self._recent.clear()
        self._observed = 0
        before = self.snapshot()

        first = self._pass(forward, batches[0], start=0.0)
        if not self._shares:
            self._shares = self._measured_shares(forward, batches[0], first)
        total = [torch.zeros_like(s) for s in first]
        count = torch.zeros_like(total[0][0])
        _add(total, count, first)
        for batch in batches[1:]:
            _add(total, count, self._pass(forward, batch, start=0.0))
        sum_over_ranks([*total, count])

        self.put_back(before)
        if not self._shares or count == 0:
            return
        for buffer, t, share in zip(
            self._statistics(), total, self._shares, strict=True
        ):
            if share > 0:  # else the layer is frozen
                buffer.copy_(t / (count * share))

    def _measured_shares(self, forward, batch, from_zeros) -> list[float]:
        # Without a trace in the random numbers, so that a resumed run draws the same.
        devices = {b.device for b in from_zeros if b.is_cuda}
        with torch.random.fork_rng(devices=devices):
            from_ones = self._pass(forward, batch, start=1.0)
        kept = [
            float((a - b).median()) for a, b in zip(from_ones, from_zeros, strict=True)
        ]
        if not all(map(math.isfinite, kept)):
            return []  # of a broken batch; the next refresh tries again
        return [share_of_new(m) for m in kept]

    def _statistics(self) -> list[Any]:
        # Looked up each time: some models replace their buffers at every pass.
        return [b for m in self._layers for b in (m.running_mean, m.running_var)]

    def _counts(self) -> list[Any]:
        counts = [getattr(m, "num_batches_tracked", None) for m in self._layers]
        return [c for c in counts if c is not None]

    def _buffers(self) -> list[torch.Tensor]:
        return [*self._statistics(), *self._counts()]

    def _pass(self, forward, batch, start: float) -> list[torch.Tensor]:
        """The statistics after one batch, from `start` in every entry."""
        for buffer in self._statistics():
            buffer.fill_(start)
        for count in self._counts():
            count.zero_()
        forward(batch)
        return [b.clone() for b in self._statistics()]


def _add(
    total: list[torch.Tensor], count: torch.Tensor, statistics: list[torch.Tensor]
) -> None:
    """Adds a batch's statistics to the total, and one to the count, if finite."""
    if all(bool(torch.isfinite(s).all()) for s in statistics):
        torch._foreach_add_(total, statistics)
        count += 1


def _is_batch_norm(module: torch.nn.Module) -> bool:
    """Batch norm that tracks statistics: torch's classes, or a model's own."""
    if getattr(module, "running_mean", None) is None:
        return False
    return isinstance(module, _CLASSES) or "BatchNorm" in type(module).__name__
