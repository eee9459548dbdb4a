"""A mirror of `algoperf.spec` (v0.6): the same names, members and signatures.

Source: the AlgoPerf technical documentation, "Fixed functions" and "Submission
functions" (mlcommons/algorithmic-efficiency, docs/DOCUMENTATION.md).
"""

import abc
import dataclasses
import enum
from collections.abc import Callable, Iterator
from typing import Any

Tensor = Any  # torch.Tensor, jax.Array or numpy.ndarray
RandomState = Any  # a jax key, or two numpy integers for PyTorch
Hyperparameters = Any
ModelAuxiliaryState = Any  # batch-norm statistics, where the model has any
Timing = int
Steps = int


# What a workload's loss is; it fixes the activation of the outputs.
LossType = enum.Enum(
    "LossType",
    "SOFTMAX_CROSS_ENTROPY SIGMOID_CROSS_ENTROPY MEAN_SQUARED_ERROR CTC_LOSS "
    "MEAN_ABSOLUTE_ERROR",
    start=0,
)
# Whether a forward pass trains (dropout, batch statistics) or evaluates.
ForwardPassMode = enum.Enum("ForwardPassMode", "TRAIN EVAL", start=0)
# The role of a parameter in its model.
ParameterType = enum.Enum(
    "ParameterType",
    "WEIGHT BIAS CONV_WEIGHT BATCH_NORM_SCALE BATCH_NORM_BIAS LAYER_NORM_SCALE "
    "LAYER_NORM_BIAS EMBEDDING ATTENTION_Q ATTENTION_K ATTENTION_V ATTENTION_OUT "
    "ATTENTION_QKV ATTENTION_KV ATTENTION_BIAS",
    start=0,
)


@dataclasses.dataclass
class ShapeTuple:
    """A shape that counts as one leaf of a pytree."""

    shape_tuple: tuple[int, ...]

    def __repr__(self) -> str:
        return f"ShapeTuple({self.shape_tuple})"


Shape = tuple[int, ...] | ShapeTuple
ParameterKey = str
ParameterShapeTree = dict[str, dict[str, Shape]]
ParameterContainer = Any  # a nested dict of arrays (JAX) or a torch.nn.Module
ParameterTypeTree = dict[ParameterKey, dict[ParameterKey, ParameterType]]
OptimizerState = dict[str, Any] | tuple[Any, Any]
ModelInitState = tuple[ParameterContainer, ModelAuxiliaryState]


class TrainingCompleteError(Exception):
    """Raised by `update_params` to end the run with a last, free evaluation."""


def _required(doc: str) -> Any:
    """A property that every workload has to define."""

    @abc.abstractmethod
    def value(self): ...

    return property(value, doc=doc)


def _known_after_init(name: str, attribute: str) -> Any:
    """A property of the model's parameters, an error before there is a model."""

    def value(self):
        known = getattr(self, attribute)
        if known is None:
            raise ValueError(f"{name} is unknown before init_model_fn is called.")
        return known

    return property(value)


class Workload(metaclass=abc.ABCMeta):
    """A data set, a model, a loss, targets and a budget."""

    target_metric_name = _required("The metric the targets are set on, without split.")
    validation_target_value = _required("The validation target.")
    test_target_value = _required("The test target.")
    max_allowed_runtime_sec = _required("The budget of submission time, in seconds.")
    eval_period_time_sec = _required("Seconds between two evaluations.")
    step_hint = _required("About how many steps the baseline does in the budget.")
    num_train_examples = _required("Examples in the training split.")
    num_eval_train_examples = _required("Training examples that evaluation reads.")
    num_validation_examples = _required("Examples in the validation split.")
    num_test_examples = _required("Examples in the test split.")
    eval_batch_size = _required("The global batch size of evaluation.")
    train_mean = _required("Mean of the training inputs.")
    train_stddev = _required("Standard deviation of the training inputs.")
    loss_type = _required("The `LossType`.")

    def __init__(self, *args, **kwargs) -> None:
        del args, kwargs
        self._param_shapes: ParameterShapeTree | None = None
        self._param_types: ParameterTypeTree | None = None
        self._eval_iters: dict[str, Iterator] = {}
        self.metrics_logger = None

    def attach_metrics_logger(self, metrics_logger) -> None:
        """Gives submissions a place to log to (None: nowhere)."""
        self.metrics_logger = metrics_logger

    @abc.abstractmethod
    def has_reached_validation_target(self, eval_result: dict[str, float]) -> bool:
        """Whether one evaluation meets the validation target."""

    @abc.abstractmethod
    def has_reached_test_target(self, eval_result: dict[str, float]) -> bool:
        """Whether one evaluation meets the test target."""

    @abc.abstractmethod
    def _build_input_queue(
        self,
        data_rng: RandomState,
        split: str,
        data_dir: str,
        global_batch_size: int,
        cache: bool | None = None,
        repeat_final_dataset: bool | None = None,
        num_batches: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """An endless iterator of batches with 'inputs' and 'targets'."""

    param_shapes = _known_after_init("param_shapes", "_param_shapes")
    model_params_types = _known_after_init("model_params_types", "_param_types")

    @abc.abstractmethod
    def is_output_params(self, param_key: ParameterKey) -> bool:
        """Whether a key names parameters of the output layer."""

    @abc.abstractmethod
    def init_model_fn(self, rng: RandomState) -> ModelInitState:
        """Initial (parameters, model state)."""

    @abc.abstractmethod
    def model_fn(
        self,
        params: ParameterContainer,
        augmented_and_preprocessed_input_batch: dict[str, Tensor],
        model_state: ModelAuxiliaryState,
        mode: ForwardPassMode,
        rng: RandomState,
        update_batch_norm: bool,
        dropout_rate: float,
    ) -> tuple[Tensor, ModelAuxiliaryState]:
        """The forward pass: (logits, new model state)."""

    def output_activation_fn(self, logits_batch: Tensor, framework: str) -> Tensor:
        """Turns logits into predictions, as `loss_type` says."""
        if framework not in ("pytorch", "jax"):
            raise ValueError(f"framework must be 'pytorch' or 'jax', got {framework!r}")
        if framework == "pytorch":
            import torch as functions
        else:
            from jax import nn as functions
        if self.loss_type in (LossType.SOFTMAX_CROSS_ENTROPY, LossType.CTC_LOSS):
            return functions.softmax(logits_batch, -1)
        if self.loss_type is LossType.SIGMOID_CROSS_ENTROPY:
            return functions.sigmoid(logits_batch)
        return logits_batch

    @abc.abstractmethod
    def loss_fn(
        self, label_batch, logits_batch, mask_batch=None, label_smoothing=0.0
    ) -> dict[str, Tensor]:
        """The masked loss: {'summed', 'n_valid_examples', 'per_example'}."""

    @abc.abstractmethod
    def _eval_model_on_split(
        self,
        split: str,
        num_examples: int,
        global_batch_size: int,
        params: ParameterContainer,
        model_state: ModelAuxiliaryState,
        rng: RandomState,
        data_dir: str,
        global_step: int = 0,
    ) -> dict[str, float]:
        """Metrics of one split."""

    def eval_model(
        self,
        global_batch_size: int,
        params: ParameterContainer,
        model_state: ModelAuxiliaryState,
        rng: RandomState,
        data_dir: str,
        imagenet_v2_data_dir: str | None,
        global_step: int,
    ) -> dict[str, float]:
        """Metrics of the training, validation and test splits, by `split/metric`."""
        results, step = {}, global_step
        for name, split, size, folder in (
            ("train", "eval_train", self.num_eval_train_examples, data_dir),
            ("validation", "validation", self.num_validation_examples, data_dir),
            ("test", "test", self.num_test_examples, imagenet_v2_data_dir or data_dir),
        ):
            metrics = self._eval_model_on_split(
                split, size, global_batch_size, params, model_state, rng, folder, step
            )
            results |= {f"{name}/{metric}": value for metric, value in metrics.items()}
            if name != "train":
                results[f"{name}/num_examples"] = size
        return results


UpdateReturn = tuple[OptimizerState, ParameterContainer, ModelAuxiliaryState]
InitOptimizerFn = Callable[..., OptimizerState]
UpdateParamsFn = Callable[..., UpdateReturn]
PrepareForEvalFn = Callable[..., UpdateReturn]
DataSelectionFn = Callable[..., tuple[Tensor, Tensor]]
