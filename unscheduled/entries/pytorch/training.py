"""The training step of the PyTorch submissions, and the API functions over it."""

from typing import Any

import torch

from unscheduled import spec
from unscheduled.entries import LOG_EVERY_STEPS
from unscheduled.entries.pytorch.batch_norm import BatchNormStatistics
from unscheduled.entries.pytorch.distributed import sum_over_ranks


class Trainer:
    """Steps an optimizer on a workload; lives in the optimizer state.

    Under DistributedDataParallel the loss is the mean over the global batch, whatever
    the number of ranks.

    Args:
      workload: whose model and loss to train.
      model: its parameters, wrapped or not.
      optimizer: any torch optimizer over the model's parameters.
      scheduler: a learning-rate scheduler, stepped after each step, or None.
      dropout_rate, label_smoothing: None leaves them to the workload.
      grad_clip: largest global norm of the gradient, or None.
      evaluate_at_x: whether the optimizer has `train()` and `eval()`, which move the
        model between where it trains and where it is evaluated.
    """

    def __init__(
        self,
        workload: spec.Workload,
        model: torch.nn.Module,
        optimizer: Any,
        *,
        scheduler: Any = None,
        dropout_rate: float | None = None,
        label_smoothing: float | None = None,
        grad_clip: float | None = None,
        evaluate_at_x: bool = False,
    ):
        self._workload = workload
        self._optimizer = optimizer
        self._scheduler = scheduler
        self._dropout = _optional(dropout_rate=dropout_rate)
        self._smoothing = _optional(label_smoothing=label_smoothing)
        self._grad_clip = grad_clip
        self._statistics = BatchNormStatistics(model) if evaluate_at_x else None

    def step(
        self,
        model: torch.nn.Module,
        model_state: spec.ModelAuxiliaryState,
        batch: dict[str, Any],
        rng: spec.RandomState,
        global_step: int,
    ) -> spec.ModelAuxiliaryState:
        """One training step, in place; returns the new model state."""
        if self._statistics is not None:
            self._optimizer.train()
            self._statistics.observe(batch)
        model.zero_grad(set_to_none=True)
        logits, model_state = self._forward(model, batch, model_state, rng)
        loss = self._mean_loss(batch, logits)
        loss.backward()
        if self._grad_clip is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), self._grad_clip)
        self._optimizer.step()
        if self._scheduler is not None:
            self._scheduler.step()
        if global_step % LOG_EVERY_STEPS == 0:
            self._log(model, loss.detach(), global_step)
        return model_state

    def prepare_for_eval(
        self,
        model: torch.nn.Module,
        model_state: spec.ModelAuxiliaryState,
        rng: spec.RandomState,
    ) -> None:
        """Moves the model to x, and its batch-norm statistics with it."""
        if self._statistics is None:
            return
        self._optimizer.eval()
        self._statistics.refresh(
            lambda batch: self._forward(model, batch, model_state, rng)
        )

    def state_dict(self) -> dict[str, Any]:
        states = {"optimizer": self._optimizer.state_dict()}
        if self._scheduler is not None:
            states["scheduler"] = self._scheduler.state_dict()
        return states

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._optimizer.load_state_dict(state_dict["optimizer"])
        if self._scheduler is not None:
            self._scheduler.load_state_dict(state_dict["scheduler"])

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

    def _mean_loss(self, batch, logits) -> torch.Tensor:
        """This rank's share of the loss; the mean of the shares is the loss.

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
        n_valid = torch.as_tensor(losses["n_valid_examples"], device=summed.device)
        n_valid = n_valid.to(summed.dtype, copy=True)
        ranks = sum_over_ranks([n_valid])
        return summed * ranks / n_valid

    def _log(self, model, loss: torch.Tensor, global_step: int) -> None:
        loss = loss.clone()
        loss /= sum_over_ranks([loss])
        if self._workload.metrics_logger is None:
            return
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        grad_norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
        self._workload.metrics_logger.append_scalar_metrics(
            {"loss": loss.item(), "grad_norm": grad_norm.item()}, global_step
        )


def _optional(**values: float | None) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def update_params(
    workload: spec.Workload,
    current_param_container: spec.ParameterContainer,
    current_params_types: spec.ParameterTypeTree,
    model_state: spec.ModelAuxiliaryState,
    hyperparameters: spec.Hyperparameters,
    batch: dict[str, spec.Tensor],
    loss_type: spec.LossType,
    optimizer_state: dict[str, Any],
    eval_results: list[tuple[int, float]],
    global_step: int,
    rng: spec.RandomState,
    train_state: dict[str, Any] | None = None,
) -> spec.UpdateReturn:
    """One step: (optimizer state, parameters, model state)."""
    del workload, current_params_types, hyperparameters, loss_type, eval_results
    del train_state
    model = current_param_container
    model_state = optimizer_state["trainer"].step(
        model, model_state, batch, rng, global_step
    )
    return optimizer_state, model, model_state


def prepare_for_eval(
    workload: spec.Workload,
    current_param_container: spec.ParameterContainer,
    current_params_types: spec.ParameterTypeTree,
    model_state: spec.ModelAuxiliaryState,
    hyperparameters: spec.Hyperparameters,
    loss_type: spec.LossType,
    optimizer_state: dict[str, Any],
    eval_results: list[tuple[int, float]],
    global_step: int,
    rng: spec.RandomState,
) -> spec.UpdateReturn:
    """The model where it is evaluated: (optimizer state, parameters, model state)."""
    del workload, current_params_types, hyperparameters, loss_type, eval_results
    del global_step
    model = current_param_container
    optimizer_state["trainer"].prepare_for_eval(model, model_state, rng)
    return optimizer_state, model, model_state
