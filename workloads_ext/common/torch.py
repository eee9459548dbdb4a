"""The PyTorch side of every embedded workload."""

import abc
import contextlib
import functools
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812
from torch import nn

from unscheduled import spec
from workloads_ext.common.data import Batch, InputQueue, seed_integers
from workloads_ext.common.parameters import parameter_type
from workloads_ext.common.torch_ranks import distribute, rank_count, rows_of_this_rank
from workloads_ext.common.workload import EmbeddedWorkload

__all__ = [
    "TorchWorkload",
    "cross_entropy",
    "device",
    "lecun_normal_",
    "masked_sums",
    "to_device",
]


@functools.cache
def device() -> torch.device:
    """The GPU of this rank if there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def to_device(array: np.ndarray) -> torch.Tensor:
    """Copies an array to `device()`: integers as int64, the rest as float32."""
    is_integer = np.issubdtype(array.dtype, np.integer)
    dtype = torch.int64 if is_integer else torch.float32
    return torch.tensor(array, dtype=dtype, device=device())


def lecun_normal_(weight: torch.Tensor) -> torch.Tensor:
    """Fills a weight with truncated normals of variance 1/fan_in, as flax does."""
    fan_in = weight[0].numel()
    stddev = fan_in**-0.5 / 0.8796256610342398  # of a normal cut at two deviations
    return nn.init.trunc_normal_(weight, std=stddev, a=-2 * stddev, b=2 * stddev)


def cross_entropy(
    labels: torch.Tensor,
    logits: torch.Tensor,
    mask: torch.Tensor | None,
    label_smoothing: float,
) -> dict[str, torch.Tensor]:
    """Masked softmax cross-entropy in nats, of one label or of a row of them.

    Args:
      labels: int64 of shape (batch,) or (batch, length).
      logits: float, of the shape of `labels` and the number of classes.
      mask: 0 or 1, of the shape of `labels` or (batch,); None counts every label.
      label_smoothing: the share of the target spread evenly over the classes.

    Returns:
      'summed' and 'n_valid_examples' (counted labels), scalars of the logits' dtype,
      and 'per_example', (batch,), which sums over a row.
    """
    losses = F.cross_entropy(
        logits.flatten(0, -2),
        labels.flatten(),
        reduction="none",
        label_smoothing=label_smoothing,
    ).view_as(labels)
    return masked_sums(losses, mask)


def masked_sums(
    losses: torch.Tensor, mask: torch.Tensor | None
) -> dict[str, torch.Tensor]:
    """What `loss_fn` returns, from a loss a label.

    Args:
      losses: float of shape (batch,), or of more axes, which 'per_example' sums over.
      mask: 0 or 1, of the shape of `losses` or its first axes; None counts every label.
    """
    mask = losses.new_ones(len(losses)) if mask is None else mask.to(losses)
    mask = mask.reshape(mask.shape + (1,) * (losses.dim() - mask.dim()))
    mask = mask.expand_as(losses)
    per_example = (losses * mask).reshape(len(losses), -1).sum(1)
    return {
        "summed": per_example.sum(),
        "n_valid_examples": mask.sum(),
        "per_example": per_example,
    }


class TorchWorkload(EmbeddedWorkload):
    """Places batches on one device and evaluates without gradients.

    In a distributed run, each rank has its part of the batch on its device, models
    are DistributedDataParallel, and metrics are those of all ranks.
    """

    @abc.abstractmethod
    def _make_model(self) -> nn.Module:
        """A model with random parameters; called with the inputs of a batch."""

    def init_model_fn(self, rng: spec.RandomState) -> spec.ModelInitState:
        """The model, seeded by `rng`, on the device, and no model state.

        Seeds PyTorch's global generators, which dropout draws from too: the same on
        all ranks, as officially.
        """
        (seed,) = np.random.SeedSequence(seed_integers(rng)).generate_state(1)
        torch.manual_seed(int(seed))
        model = self._make_model()
        shapes: Any = {
            name: spec.ShapeTuple(tuple(parameter.shape))
            for name, parameter in model.named_parameters()
        }
        types: Any = {
            name: parameter_type(name, self.parameter_rules) for name in shapes
        }
        self._param_shapes, self._param_types = shapes, types
        return distribute(model.to(device())), None

    def is_output_params(self, param_key: spec.ParameterKey) -> bool:
        """Whether a key names parameters of the output layer."""
        return param_key.partition(".")[0] == self.output_layer

    def model_fn(
        self,
        params: spec.ParameterContainer,
        augmented_and_preprocessed_input_batch: Batch,
        model_state: spec.ModelAuxiliaryState,
        mode: spec.ForwardPassMode,
        rng: spec.RandomState,
        update_batch_norm: bool,
        dropout_rate: float | None = None,
    ) -> tuple[torch.Tensor, None]:
        """The model's output on a batch, and no model state.

        Training normalises by the statistics of the batch, which also enter the
        running statistics if `update_batch_norm`; evaluation uses the latter.

        Args:
          dropout_rate: None is the default rate; a model without dropout has none.

        Raises:
          ValueError: if the statistics are to be updated in evaluation.
        """
        del model_state, rng
        is_training = mode == spec.ForwardPassMode.TRAIN
        params.train(is_training)
        if self.has_batch_norm:
            if update_batch_norm and not is_training:
                raise ValueError(
                    "update_batch_norm must be False in evaluation, got True."
                )
            if is_training:
                _set_tracking(params, update_batch_norm)
        dropout = self._dropout(dropout_rate)
        with contextlib.nullcontext() if is_training else torch.no_grad():
            output = params(augmented_and_preprocessed_input_batch["inputs"], **dropout)
        return output, None

    def loss_fn(
        self,
        label_batch: torch.Tensor,
        logits_batch: torch.Tensor,
        mask_batch: torch.Tensor | None = None,
        label_smoothing: float = 0.0,
    ) -> dict[str, torch.Tensor]:
        """As in `cross_entropy`; a workload of another loss has its own."""
        return cross_entropy(label_batch, logits_batch, mask_batch, label_smoothing)

    def _metric_sums(self, logits: torch.Tensor, batch: Batch) -> dict[str, Any]:
        labels, weights = batch["targets"], batch["weights"]
        loss = self.loss_fn(labels, logits, weights)
        sums = {"loss": loss["summed"], "count": loss["n_valid_examples"]}
        if "accuracy" in self.metrics:
            sums["accuracy"] = ((logits.argmax(dim=-1) == labels) * weights).sum()
        return sums

    def _build_input_queue(
        self,
        data_rng: spec.RandomState,
        split: str,
        data_dir: str,
        global_batch_size: int,
        cache: bool | None = None,
        repeat_final_dataset: bool | None = None,
        num_batches: int | None = None,
    ) -> InputQueue:
        """As in `EmbeddedWorkload`; a batch must also divide over the ranks."""
        if global_batch_size % rank_count():
            raise ValueError(
                "The batch size must be a multiple of the number of ranks, "
                f"{rank_count()}, got {global_batch_size!r}."
            )
        return super()._build_input_queue(
            data_rng,
            split,
            data_dir,
            global_batch_size,
            cache,
            repeat_final_dataset,
            num_batches,
        )

    def _place(self, batch: Batch) -> Batch:
        return {
            name: to_device(rows_of_this_rank(array)) for name, array in batch.items()
        }

    @torch.no_grad()
    def _evaluate(
        self,
        params: spec.ParameterContainer,
        model_state: spec.ModelAuxiliaryState,
        batches: Iterable[Batch],
    ) -> dict[str, float]:
        totals: dict[str, torch.Tensor] = {}
        for batch in batches:
            logits, _ = self.model_fn(
                params,
                batch,
                model_state,
                spec.ForwardPassMode.EVAL,
                None,
                update_batch_norm=False,
                dropout_rate=0.0,
            )
            for name, value in self._metric_sums(logits, batch).items():
                totals[name] = totals[name] + value if name in totals else value
        if rank_count() > 1:
            for total in totals.values():
                dist.all_reduce(total)
        return {name: float(total) for name, total in totals.items()}


def _set_tracking(model: nn.Module, track: bool) -> None:
    """Whether training forward passes update the running statistics of `model`."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = track
