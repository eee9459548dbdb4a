"""Data selection and batch sizes, the same for every submission here."""

from collections.abc import Iterator
from typing import Any

from .. import spec

# Those of the published NadamW baseline, for every algorithm here. Published
# Schedule-Free entries take others: in PyTorch 16 for fastmri, 192 (the first in v0.5)
# or 224 for conformer and 128 for deepspeech; in JAX 128 for deepspeech and 32 for
# finewebedu_lm. Embedded workloads bring their own.
_BATCH_SIZES = {
    "criteo1tb": 262_144,
    "fastmri": 32,
    "finewebedu_lm": 64,
    "imagenet_resnet": 1024,
    "imagenet_resnet_gelu": 512,
    "imagenet_resnet_silu": 512,
    "imagenet_vit": 1024,
    "librispeech_conformer": 256,
    "librispeech_deepspeech": 256,
    "mnist": 16,
    "ogbg": 512,
    "wmt": 128,
}


def get_batch_size(workload_name: str) -> int:
    """The global batch size of a workload, in examples.

    For a name not listed it raises a ValueError; the official runner then asks for the
    base workload, ours takes an embedded workload's own.
    """
    if workload_name not in _BATCH_SIZES:
        raise ValueError(
            f"no batch size for workload {workload_name!r}; "
            f"there is one for {', '.join(_BATCH_SIZES)}."
        )
    return _BATCH_SIZES[workload_name]


def data_selection(
    workload: spec.Workload,
    input_queue: Iterator[dict[str, Any]],
    optimizer_state: spec.OptimizerState,
    current_param_container: spec.ParameterContainer,
    model_state: spec.ModelAuxiliaryState,
    hyperparameters: spec.Hyperparameters,
    global_step: int,
    rng: spec.RandomState,
) -> dict[str, spec.Tensor]:
    """The next batch of the pre-shuffled, endless queue."""
    del workload, optimizer_state, current_param_container, model_state
    del hyperparameters, global_step, rng
    return next(input_queue)
