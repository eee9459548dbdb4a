"""An embedded workload in PyTorch, to be trained step by step."""

from collections.abc import Iterator
from typing import Any

import torch

from unscheduled import spec
from unscheduled.runner.seeds import NumpyRandom
from workloads_ext import registry


def start(
    name: str, data_dir: str, batch_size: int, seed: int
) -> tuple[Any, Any, Iterator[dict[str, Any]], Any]:
    """(workload, model, training batches, the key of their order) of a seed."""
    workload: Any = registry.load(name, "pytorch")
    source = NumpyRandom()
    model_rng, data_rng = source.split(source.key(seed), 2)
    queue = workload._build_input_queue(data_rng, "train", data_dir, batch_size)
    model, _ = workload.init_model_fn(model_rng)
    return workload, model, queue, data_rng


def mean_loss(
    workload: Any, model: torch.nn.Module, batch: dict[str, Any], *dropout_rate: float
) -> torch.Tensor:
    """Of a training batch; its dropout is the workload's own unless it is given."""
    mode = spec.ForwardPassMode.TRAIN
    logits, _ = workload.model_fn(model, batch, None, mode, None, False, *dropout_rate)
    loss = workload.loss_fn(batch["targets"], logits, batch.get("weights"))
    return loss["summed"] / loss["n_valid_examples"]
