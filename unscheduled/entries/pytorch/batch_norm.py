"""Batch-norm statistics that belong to x, where the model is evaluated."""

from collections.abc import Callable
from typing import Any

import torch

from ...optim_torch.arithmetic import without_broken
from ..batch_norm import RecentBatches, share_of_new
from .distributed import sum_over_ranks


class BatchNormStatistics:
    """Refreshes running statistics from the batches seen since the last time.

    How, and from which: `entries/batch_norm.py`.

    Args:
      model: the model, wrapped or not; InstanceNorm does not count.
    """

    def __init__(self, model: torch.nn.Module):
        self._layers = [m for m in model.modules() if _is_batch_norm(m)]
        self._recent = RecentBatches()
        self._shares: list[float] = []  # 1 - m of each buffer, once it is known

    def observe(self, batch: dict[str, Any]) -> None:
        """Keeps a training batch for the next refresh."""
        if self._layers:
            self._recent.append(batch)

    def snapshot(self) -> list[list[torch.Tensor]]:
        """A copy of the statistics, for `put_back`."""
        return [[b.clone() for b in buffers] for buffers in self._buffers()]

    def put_back(
        self, snapshot: list[list[torch.Tensor]], kept: torch.Tensor | None = None
    ) -> None:
        """Sets statistics to what they were, unless the device says to keep the new."""
        for buffers, old in zip(self._buffers(), snapshot, strict=True):
            if kept is not None:
                # One of them is zero, whatever it was.
                new = without_broken(buffers, kept)
                old = torch._foreach_add(without_broken(old, ~kept), new)
            torch._foreach_copy_(buffers, old)

    @torch.no_grad()
    def refresh(self, forward: Callable[[dict[str, Any]], Any]) -> None:
        """Sets the running statistics to their mean over recent batches.

        Batches whose statistics are not finite don't count. `forward` runs the model,
        at x, on a batch in TRAIN mode.
        """
        batches = self._recent.take()
        if not batches:
            return
        before = self.snapshot()

        total = [torch.zeros_like(s) for s in self._statistics()]
        kept = torch.zeros(len(total), device=total[0].device)
        count = torch.zeros_like(kept[0])
        measures = not self._shares  # the same on all ranks, as the passes must be
        for batch in batches:
            from_ones = self._untraced_pass(forward, batch) if measures else []
            from_zeros = self._pass(forward, batch, start=0.0)
            if not all(bool(torch.isfinite(s).all()) for s in from_zeros):
                continue
            count += 1
            torch._foreach_add_(total, from_zeros)
            if measures:
                differences = torch._foreach_sub(from_ones, from_zeros)
                kept += torch.stack([d.median() for d in differences])
        sum_over_ranks([*total, count, kept])

        self.put_back(before)
        if count == 0:
            return
        if measures:
            self._shares = [share_of_new(m) for m in (kept / count).tolist()]
        rows = zip(self._statistics(), total, self._shares, strict=True)
        for buffer, t, share in rows:
            if share > 0:  # else the layer is frozen
                buffer.copy_(t / (count * share))

    def _untraced_pass(self, forward, batch) -> list[torch.Tensor]:
        """From ones, with the random numbers that the next pass draws again."""
        devices = {b.device for b in self._statistics() if b.is_cuda}
        with torch.random.fork_rng(devices=devices):
            return self._pass(forward, batch, start=1.0)

    def _statistics(self) -> list[Any]:
        # Looked up each time: some models replace their buffers at every pass.
        return [b for m in self._layers for b in (m.running_mean, m.running_var)]

    def _counts(self) -> list[Any]:
        counts = [getattr(m, "num_batches_tracked", None) for m in self._layers]
        return [c for c in counts if c is not None]

    def _buffers(self) -> list[list[torch.Tensor]]:
        """By dtype."""
        return [b for b in (self._statistics(), self._counts()) if b]

    def _pass(self, forward, batch, start: float) -> list[torch.Tensor]:
        """The statistics after one batch, from `start` in every entry."""
        for buffer in self._statistics():
            buffer.fill_(start)
        for count in self._counts():
            count.zero_()
        forward(batch)
        return [b.clone() for b in self._statistics()]


def _is_batch_norm(module: torch.nn.Module) -> bool:
    """Batch norm that tracks statistics: of torch's classes, or a model's own."""
    names = [cls.__name__ for cls in type(module).__mro__]
    is_tracking = getattr(module, "running_mean", None) is not None
    return is_tracking and any("BatchNorm" in name for name in names)
