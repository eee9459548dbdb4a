"""The part of an embedded workload that neither its data nor its framework sets."""

import abc
import functools
from collections.abc import Iterable
from typing import Any

import numpy as np

from unscheduled import spec
from unscheduled.benchmark.targets import Target, read_target
from workloads_ext.common.data import (
    Batch,
    EvalQueue,
    InputQueue,
    TrainQueue,
    seed_integers,
)
from workloads_ext.common.parameters import Rules
from workloads_ext.common.source import Source, prepare

__all__ = ["EmbeddedWorkload"]

_SPLITS = ("train", "eval_train", "validation", "test")


class EmbeddedWorkload(spec.Workload):
    """A workload whose data set is made on first use, in `data_dir`.

    A workload's `workload.py` says what the data, the loss and the sizes are,
    `TorchWorkload` and `JaxWorkload` how a batch is placed, trained on and evaluated,
    and the two meet in the class that has the model.

    Attributes:
      name: the workload's.
      dataset: the TFDS builder.
      sizes: examples of the builder's splits.
      output_layer: the name of the layer that makes the logits.
      loss: what `loss_fn` computes.
      metrics: what evaluation reports, the loss among it.
      default_dropout_rate: None for a model without dropout.
      has_batch_norm: whether the model has running statistics.
      parameter_rules: see `parameter_type`.
    """

    name: str
    dataset: type
    sizes: dict[str, int]
    output_layer: str
    loss: spec.LossType = spec.LossType.SOFTMAX_CROSS_ENTROPY
    metrics: tuple[str, ...] = ("loss",)
    default_dropout_rate: float | None = None
    has_batch_norm = False
    parameter_rules: Rules = ()

    # Of the inputs, where they are normalised.
    mean: Any = None
    stddev: Any = None

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._eval_queues: dict[tuple[str, str, int], EvalQueue] = {}

    @property
    def loss_type(self) -> spec.LossType:
        """What `loss_fn` computes."""
        return self.loss

    @property
    def eval_batch_size(self) -> int:
        """The global batch size of evaluation."""
        return 128

    @property
    def train_mean(self) -> float | None:
        """Mean of the inputs, where they are normalised."""
        return self.mean

    @property
    def train_stddev(self) -> float | None:
        """Standard deviation of the inputs, where they are normalised."""
        return self.stddev

    # Targets and budget.

    @functools.cached_property
    def _target(self) -> Target:
        return read_target(self.name)

    @property
    def target_metric_name(self) -> str:
        """The metric the targets are set on, without its split."""
        return self._target.metric

    def has_reached_validation_target(self, eval_result: dict[str, float]) -> bool:
        """Whether the validation metric is at its target or better."""
        return self._reached("validation", eval_result)

    def has_reached_test_target(self, eval_result: dict[str, float]) -> bool:
        """Whether the test metric is at its target or better."""
        return self._reached("test", eval_result)

    def _reached(self, split: str, eval_result: dict[str, float]) -> bool:
        value = np.asarray(eval_result[f"{split}/{self.target_metric_name}"])
        return bool(self._target.reached(value, split))

    @property
    def validation_target_value(self) -> float:
        """The validation target."""
        return self._target.value

    @property
    def test_target_value(self) -> float:
        """The test target."""
        return self._target.test_value

    @property
    def max_allowed_runtime_sec(self) -> int:
        """The runtime budget, in seconds of submission time."""
        return int(self._target.max_allowed_runtime_sec)

    @property
    def eval_period_time_sec(self) -> int:
        """Seconds between two evaluations."""
        return int(self._target.eval_period_time_sec)

    @property
    def step_hint(self) -> int:
        """About how many steps the baseline does within the budget."""
        return int(self._target.step_hint)

    # Data.

    @property
    def num_train_examples(self) -> int:
        """Examples in the training split."""
        return self.sizes["train"]

    @property
    def num_eval_train_examples(self) -> int:
        """Training examples that evaluation reads: as many as it validates on."""
        return self.sizes["validation"]

    @property
    def num_validation_examples(self) -> int:
        """Examples in the validation split."""
        return self.sizes["validation"]

    @property
    def num_test_examples(self) -> int:
        """Examples in the test split."""
        return self.sizes["test"]

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
        """An endless iterator of batches with 'inputs' and 'targets'.

        Batches of the evaluation splits also have 'weights', 0 on padding.

        Args:
          data_rng: seeds the order and the augmentation of the training split.
          split: "train", "eval_train", "validation" or "test".
          data_dir: the data set is made here if it is missing.
          global_batch_size: examples in a batch, over all devices.
          cache: whether to read the training split into memory; None is True. The
            batches of the other splits are always kept.
          repeat_final_dataset: unused, queues never end.
          num_batches: unused, queues never end.

        Raises:
          ValueError: if `split` or the batch size is out of range.
          OSError: if the data set is missing and cannot be made.
        """
        del repeat_final_dataset, num_batches
        if split not in _SPLITS:
            raise ValueError(f"split must be one of {_SPLITS}, got {split!r}.")
        builder = prepare(self.dataset, data_dir)
        if split != "train":
            stored_split = "train" if split == "eval_train" else split
            source = Source(builder, stored_split, cache=False)
            return EvalQueue(
                self._eval_indices(split),
                global_batch_size,
                lambda indices: self._make_batch(source.read(indices), None),
                self._place,
            )
        source = Source(builder, split, cache=cache is None or cache)
        return TrainQueue(
            len(source),
            global_batch_size,
            seed_integers(data_rng),
            lambda indices, rng: self._make_batch(source.read(indices), rng),
            self._place,
        )

    def _eval_indices(self, split: str) -> np.ndarray:
        """The examples that evaluation reads, int64; evenly spread on eval_train."""
        if split != "eval_train":
            return np.arange(self.sizes[split])
        count = self.num_eval_train_examples
        return np.arange(count) * self.num_train_examples // count

    @abc.abstractmethod
    def _make_batch(
        self, examples: dict[str, np.ndarray], rng: np.random.Generator | None
    ) -> Batch:
        """Turns stored examples into a batch; `rng` augments, None leaves as is."""

    def _dropout(self, dropout_rate: float | None) -> dict[str, Any]:
        """The `dropout_rate` argument of a model that has dropout."""
        if self.default_dropout_rate is None:
            return {}
        given = dropout_rate is not None
        return {"dropout_rate": dropout_rate if given else self.default_dropout_rate}

    @abc.abstractmethod
    def _place(self, batch: Batch) -> Batch:
        """Moves a batch of NumPy arrays to the framework's devices."""

    # Evaluation.

    @abc.abstractmethod
    def _metric_sums(self, logits: spec.Tensor, batch: Batch) -> dict[str, Any]:
        """Weighted sums of the metrics over a batch, and the 'count' to divide by."""

    @abc.abstractmethod
    def _evaluate(
        self,
        params: spec.ParameterContainer,
        model_state: spec.ModelAuxiliaryState,
        batches: Iterable[Batch],
    ) -> dict[str, float]:
        """The sums of `_metric_sums` over `batches`."""

    def _eval_model_on_split(
        self,
        split: str,
        num_examples: int,
        global_batch_size: int,
        params: spec.ParameterContainer,
        model_state: spec.ModelAuxiliaryState,
        rng: spec.RandomState,
        data_dir: str,
        global_step: int = 0,
    ) -> dict[str, float]:
        """Metrics of one split: a function of the parameters and the model state."""
        del global_step
        key = (split, data_dir, global_batch_size)
        if key not in self._eval_queues:
            queue = self._build_input_queue(rng, split, data_dir, global_batch_size)
            assert isinstance(queue, EvalQueue), split
            self._eval_queues[key] = queue
        batches = self._eval_queues[key].one_pass(num_examples)
        sums = self._evaluate(params, model_state, batches)
        count = sums.pop("count")
        return {name: value / count for name, value in sums.items()}
