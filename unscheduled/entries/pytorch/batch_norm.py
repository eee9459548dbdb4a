"""Batch-norm statistics that belong to x, where the model is evaluated."""

import collections
from collections.abc import Callable
from typing import Any

import torch

from unscheduled.entries import RECENT_BATCHES
from unscheduled.entries.pytorch.distributed import sum_over_ranks


class BatchNormStatistics:
    r"""Refreshes running statistics at x from the batches seen since the last time.

    Training moves the running statistics at y. Before an evaluation, with the model
    at x, a forward pass over each recent batch b, from statistics set to zero, gives
    (1 - m) s_b, where m is the share that a layer keeps of its old statistics, and
    one more pass from ones tells m. The new statistics are the mean of s_b: no trace
    of y is left, whatever m is and however the model is written. Nothing is kept and
    nothing is run where the model has no batch norm.

    Holds nothing that a checkpoint needs, because the batches are let go at every
    evaluation.

    Args:
      model: the model, wrapped or not; InstanceNorm does not count.
    """

    def __init__(self, model: torch.nn.Module):
        self._layers = [m for m in model.modules() if _is_batch_norm(m)]
        self._recent = collections.deque(maxlen=RECENT_BATCHES)

    def observe(self, batch: dict[str, Any]) -> None:
        """Keeps a training batch for the next refresh."""
        if self._layers:
            self._recent.append(batch)

    @torch.no_grad()
    def refresh(self, forward: Callable[[dict[str, Any]], Any]) -> None:
        """Sets the running statistics to their mean over the recent batches.

        Args:
          forward: runs the model, at x, on a batch in TRAIN mode.
        """
        if not self._recent:
            return
        batches = list(self._recent)
        self._recent.clear()
        before = [b.clone() for b in self._statistics()]
        counts = [c.clone() for c in self._counts()]

        from_ones = self._pass(forward, batches[0], start=1.0)
        total = self._pass(forward, batches[0], start=0.0)
        kept = [(a - b).median() for a, b in zip(from_ones, total, strict=True)]
        for batch in batches[1:]:
            torch._foreach_add_(total, self._pass(forward, batch, start=0.0))
        ranks = sum_over_ranks(total)

        for buffer, old, t, m in zip(
            self._statistics(), before, total, kept, strict=True
        ):
            new = t / (len(batches) * ranks * (1 - m))
            # A frozen layer keeps all of its statistics: m = 1.
            buffer.copy_(torch.where(m < 1 - 1e-6, new, old))
        for count, old in zip(self._counts(), counts, strict=True):
            count.copy_(old)

    def _statistics(self) -> list[Any]:
        # Looked up each time: some models replace their buffers at every pass.
        return [b for m in self._layers for b in (m.running_mean, m.running_var)]

    def _counts(self) -> list[Any]:
        counts = [getattr(m, "num_batches_tracked", None) for m in self._layers]
        return [c for c in counts if c is not None]

    def _pass(self, forward, batch, start: float) -> list[torch.Tensor]:
        """The statistics after one batch, from `start` in every entry."""
        for buffer in self._statistics():
            buffer.fill_(start)
        for count in self._counts():
            count.zero_()
        forward(batch)
        return [b.clone() for b in self._statistics()]


def _is_batch_norm(module: torch.nn.Module) -> bool:
    """Batch norm that tracks statistics: torch's classes, or a model's own."""
    if getattr(module, "running_mean", None) is None:
        return False
    base = torch.nn.modules.batchnorm._BatchNorm
    return isinstance(module, base) or "BatchNorm" in type(module).__name__
