"""What the embedded workloads share, whatever their data and framework."""

import abc
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from unscheduled import spec
from unscheduled.benchmark.targets import Target, read_target
from workloads_ext.common import data
from workloads_ext.common.data import Batch, EvalQueue
from workloads_ext.common.parameters import Rules
from workloads_ext.common.source import Source, prepare

_SPLITS = ("train", "eval_train", "validation", "test")
Sums = dict[str, tuple[spec.Tensor, spec.Tensor]]
Rows = dict[str, Any]


def _of_target(name: str, kind: type) -> Any:
    """A property of the workload's row of targets."""
    return property(lambda self: kind(getattr(self._target, name)))


def _size(split: str) -> Any:
    """A property: the number of examples in a split of the data set."""
    return property(lambda self: self.sizes[split])


class EmbeddedWorkload(spec.Workload):
    """A workload whose data set is made on first use, in `data_dir`.

    `<name>/workload.py` says what the data and the model's options are, `TorchWorkload`
    and `JaxWorkload` how a batch is placed and a model run, and the two meet in the
    class that names the model.
    """

    name: str
    mirrors: str  # the official workload
    dataset: type  # a TFDS builder
    sizes: Mapping[str, int]  # examples of its splits
    model_class: Any  # is called with model_options
    model_options: Mapping[str, Any]
    widths: tuple[str, ...]  # the options that grow with `scale`
    output_layer: str  # its path in the model, with dots
    loss_type: Any = spec.LossType.SOFTMAX_CROSS_ENTROPY
    metrics: tuple[str, ...] = ("loss",)  # what evaluation reports
    default_dropout_rate: float | None = None  # None for a model without dropout
    has_batch_norm = False
    parameter_rules: Rules = ()  # see `parameter_type`
    eval_batch_size: Any = 128
    train_mean: Any = None  # of the inputs, where they are normalised
    train_stddev: Any = None

    _xp: Any  # torch or jax.numpy

    def __init__(self, *args, scale: int = 1, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.scale = scale  # targets are for a scale of 1
        self._eval_queues: dict[tuple[str, str, int], EvalQueue] = {}

    # Targets, budget and sizes.

    @functools.cached_property
    def _target(self) -> Target:
        return read_target(self.name)

    target_metric_name = _of_target("metric", str)
    validation_target_value = _of_target("value", float)
    test_target_value = _of_target("test_value", float)
    max_allowed_runtime_sec = _of_target("max_allowed_runtime_sec", int)
    eval_period_time_sec = _of_target("eval_period_time_sec", int)
    step_hint = _of_target("step_hint", int)
    num_train_examples = _size("train")
    num_eval_train_examples = _size("validation")
    num_validation_examples = _size("validation")
    num_test_examples = _size("test")

    def has_reached_validation_target(self, eval_result: dict[str, float]) -> bool:
        return self._reached("validation", eval_result)

    def has_reached_test_target(self, eval_result: dict[str, float]) -> bool:
        return self._reached("test", eval_result)

    def _reached(self, split: str, eval_result: dict[str, float]) -> bool:
        value = np.asarray(eval_result[f"{split}/{self.target_metric_name}"])
        return bool(self._target.reached(value, split))

    # Data.

    @abc.abstractmethod
    def _make_batch(
        self, examples: dict[str, np.ndarray], rng: np.random.Generator | None
    ) -> Batch:
        """Turns stored examples into a batch; `rng` augments, None leaves as is.

        'inputs' and 'targets' are arrays, or dicts or tuples of them. 'weights', 0 or 1
        for each example or each label, are for those that count; 1 where not given.
        """

    def _build_input_queue(
        self,
        data_rng: spec.RandomState,
        split: str,
        data_dir: str,
        global_batch_size: int,
        cache: bool | None = None,
        repeat_final_dataset: bool | None = None,
        num_batches: int | None = None,
    ) -> data.InputQueue:
        """An endless iterator of batches with 'inputs' and 'targets'.

        Batches of the evaluation splits also have 'weights', 0 on padding, and are
        kept.
        """
        del cache, repeat_final_dataset, num_batches  # in memory, and never ending
        if split not in _SPLITS:
            raise ValueError(f"split must be one of {_SPLITS}, got {split!r}.")
        count, name = self._shares()
        if global_batch_size % count:
            raise ValueError(
                f"The batch size must be a multiple of the number of {name}, {count}, "
                f"got {global_batch_size!r}."
            )
        stored = "train" if split == "eval_train" else split
        source = Source(prepare(self.dataset, data_dir), stored)

        def make(indices: np.ndarray, rng: np.random.Generator | None = None) -> Batch:
            return self._make_batch(source.read(indices), rng)

        if split != "train":
            indices = self._eval_indices(split)
            return EvalQueue(indices, global_batch_size, make, self._place)
        seed = data.seed_integers(data_rng)
        return data.TrainQueue(len(source), global_batch_size, seed, make, self._place)

    def _eval_indices(self, split: str) -> np.ndarray:
        """The examples that evaluation reads, int64; evenly spread on eval_train."""
        if split != "eval_train":
            return np.arange(self.sizes[split])
        count = self.num_eval_train_examples
        return np.arange(count) * self.num_train_examples // count

    @abc.abstractmethod
    def _shares(self) -> tuple[int, str]:
        """How many parts a batch is divided into, and what has one each."""

    @abc.abstractmethod
    def _place(self, batch: Batch) -> Batch:
        """Moves a batch of NumPy arrays to the framework's devices."""

    # Model and loss.

    def _model(self, **others) -> Any:
        """The model at its scale."""
        options = dict(self.model_options)
        for name in self.widths:
            widths = np.multiply(options[name], self.scale)
            options[name] = tuple(widths.tolist()) if widths.ndim else int(widths)
        return self.model_class(**options, **others)

    def _dropout(self, dropout_rate: float | None) -> dict[str, Any]:
        """The `dropout_rate` argument of a model that has dropout."""
        if self.default_dropout_rate is None:
            return {}
        given = dropout_rate is not None
        return {"dropout_rate": dropout_rate if given else self.default_dropout_rate}

    @abc.abstractmethod
    def _losses(self, labels: Any, outputs: Any, label_smoothing: float) -> Any:
        """The loss of each label; softmax cross-entropy in nats.

        `labels` are integers (batch,) or (batch, length), `outputs` logits with an axis
        of classes more; `label_smoothing` is spread evenly over the classes.
        """

    def loss_fn(
        self, label_batch, logits_batch, mask_batch=None, label_smoothing=0.0
    ) -> dict[str, spec.Tensor]:
        """The masked loss: 'summed', 'n_valid_examples' (labels that count), and
        'per_example', summed over a row.

        `mask_batch` is 0 or 1 for each example or each label; None counts every label.
        """
        losses = self._losses(label_batch, logits_batch, label_smoothing)
        weights = self._xp.ones_like(losses)
        if mask_batch is not None:
            axes = (1,) * (losses.ndim - mask_batch.ndim)
            weights = weights * mask_batch.reshape(tuple(mask_batch.shape) + axes)
        per_example = (losses * weights).reshape(len(losses), -1).sum(1)
        return {
            "summed": per_example.sum(),
            "n_valid_examples": weights.sum(),
            "per_example": per_example,
        }

    # Evaluation: metrics are means of sums over a split, or made from all its rows.

    def _metric_sums(self, outputs: Any, batch: Batch) -> Sums:
        """The (weighted sum, sum of weights) over a batch, of each metric."""
        labels, weights = batch["targets"], batch["weights"]
        loss = self.loss_fn(labels, outputs, weights, label_smoothing=0.0)
        count = loss["n_valid_examples"]
        sums = {"loss": (loss["summed"], count)}
        if "accuracy" in self.metrics:
            sums["accuracy"] = ((outputs.argmax(-1) == labels) * weights).sum(), count
        return sums

    def _metric_rows(self, outputs: Any, batch: Batch) -> Rows:
        """What `_metrics` needs of each example, arrays with the batch first."""
        del outputs, batch
        return {}

    def _metrics(
        self, means: dict[str, float], rows: dict[str, np.ndarray]
    ) -> dict[str, float]:
        """The metrics, from the means of `_metric_sums` and the rows of a split."""
        del rows
        return means

    def _evaluate(self, params, model_state, batch) -> tuple[dict[str, Any], Rows]:
        """The model on a batch: pairs of sums in one tensor a metric, and rows."""
        mode = spec.ForwardPassMode.EVAL
        outputs, _ = self.model_fn(params, batch, model_state, mode, None, False, 0.0)
        sums = self._metric_sums(outputs, batch)
        pairs = {name: self._xp.stack(pair) for name, pair in sums.items()}
        return pairs, self._metric_rows(outputs, batch)

    def _total(self, tensor: spec.Tensor) -> np.ndarray:
        """The sum of all processes' tensors."""
        return np.asarray(tensor)

    def _all_rows(self, tensor: spec.Tensor) -> np.ndarray:
        """The rows of a batch, of all processes."""
        return np.asarray(tensor)

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
        totals: dict[str, Any] = {}
        rows: dict[str, list[np.ndarray]] = {}
        for batch in self._eval_queues[key].one_pass(num_examples):
            sums, batch_rows = self._evaluate(params, model_state, batch)
            for name, pair in sums.items():
                totals[name] = totals[name] + pair if name in totals else pair
            for name, tensor in batch_rows.items():
                rows.setdefault(name, []).append(self._all_rows(tensor))
        means = {}
        for name, pair in totals.items():
            total, count = self._total(pair)
            means[name] = float(total) / float(count)
        return self._metrics(means, {n: np.concatenate(r) for n, r in rows.items()})
