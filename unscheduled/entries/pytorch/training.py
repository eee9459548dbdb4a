"""The training step of the PyTorch submissions."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch

from ... import spec
from ...optim_torch.base import can_skip
from .. import LOG_EVERY_STEPS
from ..divergence_guard import Decision, DivergenceGuard
from ..echoing import DataEchoing
from .batch_norm import BatchNormStatistics
from .distributed import largest_over_ranks, sum_over_ranks


class Trainer:
    """Steps an optimizer on a workload; the optimizer state is {"trainer": it}.

    Under DistributedDataParallel the loss is the mean over the global batch, whatever
    the number of ranks. A step whose loss or gradient is not finite is skipped; after
    an evaluation that shows divergence training begins again from the last good
    evaluated parameters, which are kept in the host's memory, with half the rate.

    No step waits for the device, but where it logs: the device itself decides what is
    skipped. So the optimizer has `found_inf` (torch's fused ones, and ours), and what
    depends on the number of steps taken are tensors.

    Args:
      workload: whose model and loss to train.
      model: its parameters, wrapped or not.
      make_optimizer: from a learning rate to an optimizer over these parameters.
      hyperparameters: a submission's, for
        learning_rate: the peak rate,
        dropout_rate, label_smoothing: None leaves them to the workload,
        grad_clip: largest global norm of the gradient, or None.
      schedule: the factor on the rate at a step, a tensor, from 0; None for a constant.
      echoes: whether `next_batch` may give a batch several times (`echoing.py`).

    An optimizer that has `train()` and `eval()` moves the model with them between where
    it trains and where it is evaluated.
    """

    def __init__(
        self,
        workload: spec.Workload,
        model: torch.nn.Module,
        make_optimizer: Callable[[float], Any],
        hyperparameters: Any,
        schedule: Callable[[torch.Tensor], torch.Tensor] | None = None,
        *,
        echoes: bool = False,
    ):
        self._workload = workload
        self._make_optimizer = make_optimizer
        self._learning_rate = hyperparameters.learning_rate
        self._schedule = schedule
        self._dropout = _given(dropout_rate=hyperparameters.dropout_rate)
        self._smoothing = _given(label_smoothing=hyperparameters.label_smoothing)
        self._grad_clip = hyperparameters.grad_clip
        self._parameters = list(model.parameters())  # to walk the modules takes longer
        self._statistics = BatchNormStatistics(model)
        self._guard = DivergenceGuard()
        self._skipped = self._counter()
        self._good = _on_host(model)
        self._echoing = DataEchoing(self._wait, self._agree) if echoes else None
        self._begin()

    def _wait(self) -> None:
        if self._parameters[0].is_cuda:
            torch.cuda.synchronize()

    def _agree(self, numbers: list[float]) -> list[float]:
        return largest_over_ranks(numbers, self._parameters[0].device)

    def _counter(self) -> torch.Tensor:
        return torch.zeros((), dtype=torch.int64, device=self._parameters[0].device)

    def _begin(self) -> None:
        """A new optimizer, and its schedule where it left off."""
        self._rate = self._guard.learning_rate(self._learning_rate)
        self._optimizer = self._make_optimizer(self._rate)
        if not can_skip(self._optimizer):
            raise ValueError(
                f"{type(self._optimizer).__name__} would not skip a step, as its "
                f"`found_inf` says; torch's optimizers do with fused=True."
            )
        self._moves = hasattr(self._optimizer, "eval")
        self._taken = self._counter()

    @torch.no_grad()
    def judge(
        self,
        state: dict[str, Any],
        model: torch.nn.Module,
        model_state: spec.ModelAuxiliaryState,
        eval_results: list[Any],
        global_step: int,
    ) -> spec.UpdateReturn:
        """Looks at the evaluations since the last step, if there are any.

        The model is still where it was evaluated: it is kept as the last good one, or
        goes back to that.
        """
        if not self._guard.is_behind(eval_results):
            return state, model, model_state
        decision = self._guard.judge(
            eval_results, self._workload.loss_type, global_step, int(self._skipped)
        )
        if decision is Decision.KEEP:
            self._good = _on_host(model)
        elif decision is Decision.RESTART:
            for tensor, good in zip(_tensors(model), self._good, strict=True):
                tensor.copy_(good)
            self._begin()
        return state, model, model_state

    def next_batch(self, state: dict[str, Any], queue: Iterator[Any]) -> Any:
        """The batch of the next step."""
        return self._echoing.next(queue) if self._echoing else next(queue)

    def step(
        self,
        state: dict[str, Any],
        model: torch.nn.Module,
        model_state: spec.ModelAuxiliaryState,
        batch: dict[str, Any],
        rng: spec.RandomState,
        global_step: int,
    ) -> spec.UpdateReturn:
        """One training step, in place."""
        if self._moves:
            self._optimizer.train()
            self._statistics.observe(batch)
        statistics = self._statistics.snapshot()
        for parameter in self._parameters:
            parameter.grad = None
        # A model's state is in the model: what this one returns is None.
        logits, model_state = self._forward(model, batch, model_state, rng)
        share, loss = self._mean_loss(batch, logits)
        share.backward()
        grad_norm = self._grad_norm()
        is_finite = torch.isfinite(loss + grad_norm)
        self._statistics.put_back(statistics, kept=is_finite)
        self._optimizer.found_inf = (~is_finite).float()
        if self._schedule is not None:
            factor = self._schedule(self._guard.start + self._taken.double())
            for group in self._optimizer.param_groups:
                group["lr"] = (self._rate * factor).float()
        self._optimizer.step()
        self._taken += is_finite
        self._skipped += ~is_finite
        if global_step % LOG_EVERY_STEPS == 0 and self._workload.metrics_logger:
            metrics = {"loss": loss, "grad_norm": grad_norm}
            metrics = {name: value.item() for name, value in metrics.items()}
            metrics["skipped_steps"] = int(self._skipped)
            self._workload.metrics_logger.append_scalar_metrics(metrics, global_step)
        return state, model, model_state

    def prepare_for_eval(
        self,
        state: dict[str, Any],
        model: torch.nn.Module,
        model_state: spec.ModelAuxiliaryState,
        rng: spec.RandomState,
    ) -> spec.UpdateReturn:
        """Moves the model to where it is evaluated, and batch-norm statistics too."""
        if self._echoing:
            self._echoing.pause()
        if self._moves:
            self._optimizer.eval()
            self._statistics.refresh(
                lambda batch: self._forward(model, batch, model_state, rng)
            )
        return state, model, model_state

    def state_dict(self) -> dict[str, Any]:
        echoing = self._echoing.state_dict() if self._echoing else {}
        return {
            "echoing": echoing,
            "optimizer": self._optimizer.state_dict(),
            "record": dataclasses.asdict(self._guard),
            "skipped": int(self._skipped),
            "taken": int(self._taken),
            "good": self._good,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._guard = DivergenceGuard(**state_dict["record"])
        self._good = [tensor.cpu() for tensor in state_dict["good"]]
        self._begin()
        self._skipped.fill_(state_dict["skipped"])
        self._taken.fill_(state_dict["taken"])
        self._optimizer.load_state_dict(state_dict["optimizer"])
        if self._echoing:
            self._echoing.load_state_dict(state_dict["echoing"])

    def _forward(self, model, batch, model_state, rng):
        """A pass in TRAIN mode that updates batch-norm statistics."""
        return self._workload.model_fn(
            params=model,
            augmented_and_preprocessed_input_batch=batch,
            model_state=model_state,
            mode=spec.ForwardPassMode.TRAIN,
            rng=rng,
            update_batch_norm=True,
            **self._dropout,
        )

    def _mean_loss(self, batch, logits) -> tuple[torch.Tensor, torch.Tensor]:
        """(This rank's share of the loss, the loss of the global batch, detached).

        DistributedDataParallel averages gradients over the ranks, so a share is the
        sum over this rank's part, times world size, over the examples of all ranks.
        """
        losses = self._workload.loss_fn(
            label_batch=batch["targets"],
            logits_batch=logits,
            mask_batch=batch.get("weights"),
            **self._smoothing,
        )
        summed = losses["summed"]
        n_valid = losses["n_valid_examples"]
        if not torch.is_tensor(n_valid):  # filled in, where a copy would wait
            n_valid = summed.new_full((), float(n_valid))
        totals = torch.stack([summed.detach(), n_valid.to(summed)])
        ranks = sum_over_ranks([totals])
        return summed * ranks / totals[1], totals[0] / totals[1]

    def _grad_norm(self) -> torch.Tensor:
        """The global norm of the gradient, which it clips where asked to."""
        if self._grad_clip is not None:
            return torch.nn.utils.clip_grad_norm_(self._parameters, self._grad_clip)
        grads = [p.grad for p in self._parameters if p.grad is not None]
        return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))


def _tensors(model: torch.nn.Module) -> list[torch.Tensor]:
    return [*model.parameters(), *model.buffers()]


def _on_host(model: torch.nn.Module) -> list[torch.Tensor]:
    """A copy of the parameters and buffers in the host's memory."""
    return [tensor.detach().to("cpu", copy=True) for tensor in _tensors(model)]


def _given(**values: float | None) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}
