"""A linear workload with optional batch norm, small enough to check by hand."""

from typing import Any

import numpy as np

from unscheduled import spec

FEATURES = 3


def batches(num: int, size: int = 8, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Batches of the same linear problem, with weights that drop some examples."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(FEATURES, 1))
    result = []
    for _ in range(num):
        inputs = (2 + 3 * rng.normal(size=(size, FEATURES))).astype(np.float32)
        weights = (rng.random(size) < 0.7).astype(np.float32)
        weights[0] = 1
        targets = (inputs @ weight)[:, 0].astype(np.float32)
        result.append({"inputs": inputs, "targets": targets, "weights": weights})
    return result


class StubWorkload:
    """The part of a workload that entries use.

    Args:
      batch_norm: whether the model normalises its inputs.
    """

    loss_type = spec.LossType.MEAN_SQUARED_ERROR
    step_hint = 100
    model_params_types: Any  # since there is a model

    def __init__(self, batch_norm: bool = False):
        self.batch_norm = batch_norm
        self.metrics_logger: Any = None
        self.forward_passes = 0
        self.dropout_rates: list[Any] = []
        self.label_smoothings: list[Any] = []

    def is_output_params(self, param_key):
        """Of none, so that entries treat the matrix as one of a hidden layer."""
        del param_key
        return False


class Logger:
    """Keeps what is logged."""

    def __init__(self):
        self.rows: list[tuple[int, dict[str, float]]] = []

    def append_scalar_metrics(self, metrics, global_step):
        self.rows.append((global_step, metrics))


def api_arguments(
    workload, params, model_state, optimizer_state, eval_results, step, rng
):
    """What update_params and prepare_for_eval both take."""
    return {
        "workload": workload,
        "current_param_container": params,
        "current_params_types": None,
        "model_state": model_state,
        "hyperparameters": None,
        "loss_type": workload.loss_type,
        "optimizer_state": optimizer_state,
        "eval_results": eval_results,
        "global_step": step,
        "rng": rng,
    }
