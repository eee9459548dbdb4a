"""The PyTorch side of every embedded workload."""

import contextlib
import functools
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812
from torch import nn

from unscheduled import spec
from workloads_ext.common.data import Batch, map_arrays, seed_integers
from workloads_ext.common.layers_torch import BatchNorm, MaskedBatchNorm
from workloads_ext.common.parameters import parameter_type
from workloads_ext.common.ranks import is_distributed, rank_count
from workloads_ext.common.workload import EmbeddedWorkload


@functools.cache
def device() -> torch.device:
    """The GPU of this rank if there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


class TorchWorkload(EmbeddedWorkload):
    """Places batches on one device and evaluates without gradients.

    In a distributed run, each rank has its part of the batch on its device, models
    are DistributedDataParallel, and metrics are those of all ranks.
    """

    _xp = torch

    def init_model_fn(self, rng: spec.RandomState) -> spec.ModelInitState:
        """The model, seeded by `rng`, on the device, and no model state.

        Seeds PyTorch's global generators, which dropout draws from too: the same on
        all ranks, as officially.
        """
        (seed,) = np.random.SeedSequence(seed_integers(rng)).generate_state(1)
        torch.manual_seed(int(seed))
        model = self._model().to(device())
        shapes, types = {}, {}
        for name, parameter in model.named_parameters():
            shapes[name] = spec.ShapeTuple(tuple(parameter.shape))
            types[name] = parameter_type(name, self.parameter_rules)
        self._param_shapes, self._param_types = shapes, types
        if is_distributed():
            device_ids = [device()] if device().type == "cuda" else None
            model = nn.parallel.DistributedDataParallel(model, device_ids)
        return model, None

    def is_output_params(self, param_key: spec.ParameterKey) -> bool:
        """Whether a key names parameters of the output layer."""
        return param_key.startswith(f"{self.output_layer}.")

    def model_fn(
        self,
        params: spec.ParameterContainer,
        augmented_and_preprocessed_input_batch: Batch,
        model_state: spec.ModelAuxiliaryState,
        mode: spec.ForwardPassMode,
        rng: spec.RandomState,
        update_batch_norm: bool,
        dropout_rate: float | None = None,
    ) -> tuple[Any, None]:
        """The model's output on a batch, and no model state.

        Training normalises by the statistics of the batch, which also enter the
        running statistics if `update_batch_norm`; evaluation, which must not update
        them, uses the latter. A `dropout_rate` of None is the default.
        """
        del model_state, rng
        is_training = mode == spec.ForwardPassMode.TRAIN
        params.train(is_training)
        if self.has_batch_norm:
            if update_batch_norm and not is_training:
                raise ValueError(
                    "update_batch_norm must be False in evaluation, got True."
                )
            for module in params.modules() if is_training else ():
                if isinstance(module, BatchNorm | MaskedBatchNorm):
                    module.track_running_stats = update_batch_norm
        dropout = self._dropout(dropout_rate)
        with contextlib.nullcontext() if is_training else torch.no_grad():
            output = params(augmented_and_preprocessed_input_batch["inputs"], **dropout)
        return output, None

    def _losses(self, labels, outputs, label_smoothing):
        return F.cross_entropy(
            outputs.flatten(0, -2),
            labels.flatten(),
            reduction="none",
            label_smoothing=label_smoothing,
        ).view_as(labels)

    def _shares(self) -> tuple[int, str]:
        return rank_count(), "ranks"

    def _place(self, batch: Batch) -> Batch:
        return map_arrays(_to_device, batch)

    def _total(self, tensor: torch.Tensor) -> np.ndarray:
        if is_distributed():
            dist.all_reduce(tensor)
        return tensor.cpu().numpy()

    def _all_rows(self, tensor: torch.Tensor) -> np.ndarray:
        parts = [tensor]
        if is_distributed():
            parts = [torch.empty_like(tensor) for _ in range(rank_count())]
            dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts).cpu().numpy()


def _to_device(array: np.ndarray) -> torch.Tensor:
    """This rank's rows on `device()`: integers as int64, the rest as float32."""
    if is_distributed():
        size = len(array) // rank_count()
        array = array[dist.get_rank() * size : (dist.get_rank() + 1) * size]
    is_integer = np.issubdtype(array.dtype, np.integer)
    dtype = torch.int64 if is_integer else torch.float32
    return torch.tensor(array, dtype=dtype, device=device())
