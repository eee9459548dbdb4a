"""A mirror of the public interface of `algoperf.spec` (v0.6), for use without it.

Same names, same members, same signatures, so that a workload or a submission
written against one runs against the other; `tests/test_spec.py` compares the two
wherever algoperf is installed. Neither torch nor jax is imported here.

Source: the AlgoPerf technical documentation, "Fixed functions" and "Submission
functions" (mlcommons/algorithmic-efficiency, docs/DOCUMENTATION.md).
"""

import abc
import enum
import logging
from collections.abc import Callable, Iterator
from typing import Any

__all__ = [
    "DataSelectionFn",
    "ForwardPassMode",
    "Hyperparameters",
    "InitOptimizerFn",
    "LossType",
    "ModelAuxiliaryState",
    "ModelInitState",
    "OptimizerState",
    "ParameterContainer",
    "ParameterKey",
    "ParameterShapeTree",
    "ParameterType",
    "ParameterTypeTree",
    "PrepareForEvalFn",
    "RandomState",
    "Shape",
    "ShapeTuple",
    "Steps",
    "Tensor",
    "Timing",
    "TrainingCompleteError",
    "UpdateParamsFn",
    "UpdateReturn",
    "Workload",
]

Tensor = Any  # torch.Tensor, jax.Array or numpy.ndarray
RandomState = Any  # a jax key, or two numpy integers for PyTorch
Hyperparameters = Any
ModelAuxiliaryState = Any  # batch-norm statistics, where the model has any
Timing = int
Steps = int


class LossType(enum.Enum):
    """What a workload's loss is; it fixes the activation of the outputs."""

    SOFTMAX_CROSS_ENTROPY = 0
    SIGMOID_CROSS_ENTROPY = 1
    MEAN_SQUARED_ERROR = 2
    CTC_LOSS = 3
    MEAN_ABSOLUTE_ERROR = 4


class ForwardPassMode(enum.Enum):
    """Whether a forward pass trains (dropout, batch statistics) or evaluates."""

    TRAIN = 0
    EVAL = 1


class ParameterType(enum.Enum):
    """The role of a parameter in its model."""

    WEIGHT = 0
    BIAS = 1
    CONV_WEIGHT = 2
    BATCH_NORM_SCALE = 3
    BATCH_NORM_BIAS = 4
    LAYER_NORM_SCALE = 5
    LAYER_NORM_BIAS = 6
    EMBEDDING = 7
    ATTENTION_Q = 8
    ATTENTION_K = 9
    ATTENTION_V = 10
    ATTENTION_OUT = 11
    ATTENTION_QKV = 12
    ATTENTION_KV = 13
    ATTENTION_BIAS = 14


class ShapeTuple:
    """A shape that counts as one leaf of a pytree.

    Args:
      shape_tuple: the shape, a tuple of ints.

    Example:
      >>> ShapeTuple((2, 3)) == ShapeTuple((2, 3))
      True
    """

    def __init__(self, shape_tuple):
        self.shape_tuple = shape_tuple

    def __repr__(self):
        return f"ShapeTuple({self.shape_tuple})"

    def __eq__(self, other):
        if not isinstance(other, ShapeTuple):
            return NotImplemented
        return self.shape_tuple == other.shape_tuple

    __hash__ = None  # type: ignore  # as upstream: compared, never a key


Shape = tuple[int, ...] | ShapeTuple
ParameterKey = str
ParameterShapeTree = dict[str, dict[str, Shape]]
ParameterContainer = Any  # a nested dict of arrays (JAX) or a torch.nn.Module
ParameterTypeTree = dict[ParameterKey, dict[ParameterKey, ParameterType]]
OptimizerState = dict[str, Any] | tuple[Any, Any]
ModelInitState = tuple[ParameterContainer, ModelAuxiliaryState]


class TrainingCompleteError(Exception):
    """Raised by `update_params` to end the run with a last, free evaluation."""


class Workload(metaclass=abc.ABCMeta):
    """A data set, a model, a loss, targets and a budget."""

    def __init__(self, *args, **kwargs) -> None:
        del args, kwargs
        self._param_shapes: ParameterShapeTree | None = None
        self._param_types: ParameterTypeTree | None = None
        self._eval_iters: dict[str, Iterator] = {}
        self.metrics_logger = None

    def attach_metrics_logger(self, metrics_logger) -> None:
        """Gives submissions a place to log to (None: nowhere)."""
        self.metrics_logger = metrics_logger

    # Targets and budget.

    @property
    @abc.abstractmethod
    def target_metric_name(self) -> str:
        """The metric the targets are set on, without its split."""

    @abc.abstractmethod
    def has_reached_validation_target(self, eval_result: dict[str, float]) -> bool:
        """Whether one evaluation meets the validation target."""

    @abc.abstractmethod
    def has_reached_test_target(self, eval_result: dict[str, float]) -> bool:
        """Whether one evaluation meets the test target."""

    @property
    @abc.abstractmethod
    def validation_target_value(self) -> float:
        """The validation target."""

    @property
    @abc.abstractmethod
    def test_target_value(self) -> float:
        """The test target."""

    @property
    @abc.abstractmethod
    def max_allowed_runtime_sec(self) -> int:
        """The runtime budget, in seconds of submission time."""

    @property
    @abc.abstractmethod
    def eval_period_time_sec(self) -> int:
        """Seconds between two evaluations."""

    @property
    @abc.abstractmethod
    def step_hint(self) -> int:
        """About how many steps the baseline does within the budget."""

    # Data.

    @property
    @abc.abstractmethod
    def num_train_examples(self) -> int:
        """Examples in the training split."""

    @property
    @abc.abstractmethod
    def num_eval_train_examples(self) -> int:
        """Training examples that evaluation reads."""

    @property
    @abc.abstractmethod
    def num_validation_examples(self) -> int:
        """Examples in the validation split."""

    @property
    @abc.abstractmethod
    def num_test_examples(self) -> int:
        """Examples in the test split."""

    @property
    @abc.abstractmethod
    def eval_batch_size(self) -> int:
        """The global batch size of evaluation."""

    @property
    @abc.abstractmethod
    def train_mean(self) -> Any:
        """Mean of the training inputs."""

    @property
    @abc.abstractmethod
    def train_stddev(self) -> Any:
        """Standard deviation of the training inputs."""

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

    # Model and loss.

    @property
    @abc.abstractmethod
    def loss_type(self) -> LossType:
        """The kind of loss."""

    @property
    def param_shapes(self):
        """Shapes of the parameters, known once the model is initialised."""
        if self._param_shapes is None:
            raise ValueError("param_shapes is unknown before init_model_fn is called.")
        return self._param_shapes

    @property
    def model_params_types(self):
        """Types of the parameters, known once the model is initialised."""
        if self._param_types is None:
            raise ValueError(
                "model_params_types is unknown before init_model_fn is called."
            )
        return self._param_types

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
        """Turns logits into predictions, as `loss_type` says.

        Raises:
          ValueError: if `framework` is neither "pytorch" nor "jax".
        """
        softmax, sigmoid = _activations(framework)
        activation = {
            LossType.SOFTMAX_CROSS_ENTROPY: softmax,
            LossType.CTC_LOSS: softmax,
            LossType.SIGMOID_CROSS_ENTROPY: sigmoid,
            LossType.MEAN_SQUARED_ERROR: lambda z: z,
            LossType.MEAN_ABSOLUTE_ERROR: lambda z: z,
        }
        return activation[self.loss_type](logits_batch)

    @abc.abstractmethod
    def loss_fn(
        self,
        label_batch: tuple[Tensor, Tensor] | Tensor,
        logits_batch: tuple[Tensor, Tensor] | Tensor,
        mask_batch: Tensor | None = None,
        label_smoothing: float = 0.0,
    ) -> dict[str, Tensor]:
        """The masked loss: {'summed', 'n_valid_examples', 'per_example'}."""

    # Evaluation.

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

        def metrics_of(split, num_examples, split_data_dir):
            logging.getLogger(__name__).debug("Evaluating on %s.", split)
            return self._eval_model_on_split(
                split=split,
                num_examples=num_examples,
                global_batch_size=global_batch_size,
                params=params,
                model_state=model_state,
                rng=rng,
                data_dir=split_data_dir,
                global_step=global_step,
            )

        train = metrics_of("eval_train", self.num_eval_train_examples, data_dir)
        results = {f"train/{name}": value for name, value in train.items()}
        for split, num_examples, split_data_dir in (
            ("validation", self.num_validation_examples, data_dir),
            ("test", self.num_test_examples, imagenet_v2_data_dir or data_dir),
        ):
            metrics = metrics_of(split, num_examples, split_data_dir)
            results |= {f"{split}/{name}": value for name, value in metrics.items()}
            results[f"{split}/num_examples"] = num_examples
        return results


def _activations(framework: str):
    if framework == "pytorch":
        import torch

        return lambda z: torch.softmax(z, dim=-1), torch.sigmoid
    if framework == "jax":
        import jax

        return jax.nn.softmax, jax.nn.sigmoid
    raise ValueError(f"framework must be 'pytorch' or 'jax', got {framework!r}.")


UpdateReturn = tuple[OptimizerState, ParameterContainer, ModelAuxiliaryState]

InitOptimizerFn = Callable[
    [Workload, ParameterContainer, ModelAuxiliaryState, Hyperparameters, RandomState],
    OptimizerState,
]
UpdateParamsFn = Callable[
    [
        Workload,
        ParameterContainer,
        ParameterTypeTree,
        ModelAuxiliaryState,
        Hyperparameters,
        dict[str, Tensor],
        LossType,
        OptimizerState,
        list[tuple[int, float]],
        int,
        RandomState,
        dict[str, Any] | None,
    ],
    UpdateReturn,
]
PrepareForEvalFn = Callable[
    [
        Workload,
        ParameterContainer,
        ParameterTypeTree,
        ModelAuxiliaryState,
        Hyperparameters,
        LossType,
        OptimizerState,
        list[tuple[int, float]],
        int,
        RandomState,
    ],
    UpdateReturn,
]
DataSelectionFn = Callable[
    [
        Workload,
        Iterator[dict[str, Any]],
        OptimizerState,
        ParameterContainer,
        LossType,
        Hyperparameters,
        int,
        RandomState,
    ],
    tuple[Tensor, Tensor],
]
