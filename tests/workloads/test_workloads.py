"""Every workload in each framework: its interface, data, evaluation and loss."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import workloads_ext
from tests import xla
from tests.workloads import references
from tests.workloads.helpers import (
    EVAL,
    PAIRS,
    TRAIN,
    expected,
    few,
    flatten,
    load,
    logits_of,
    map_arrays,
    noise,
    random_state,
    read_all,
    to_numpy,
    tolerance_of,
)
from unscheduled import spec
from workloads_ext.common.parameters import parameter_type

ROOT = pathlib.Path(__file__).parents[2]
SPLITS = ("train", "eval_train", "validation", "test")


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def loaded(request):
    return few(load(*request.param))


def numpy_batch(batch):
    return map_arrays(to_numpy, batch)


def test_properties(loaded):
    """The runner or the scoring would get a value it cannot use."""
    workload = loaded.workload
    assert isinstance(workload, spec.Workload)
    assert isinstance(workload.loss_type, spec.LossType)
    metric = workload.target_metric_name
    assert metric in expected(workload.name)["metrics"]
    for name in ("step_hint", "max_allowed_runtime_sec", "eval_period_time_sec"):
        assert getattr(workload, name) > 0
    assert isinstance(workload.validation_target_value, float)
    assert isinstance(workload.test_target_value, float)
    reached = {f"validation/{metric}": workload.validation_target_value}
    assert workload.has_reached_validation_target(reached)
    assert workload.has_reached_test_target(
        {f"test/{metric}": workload.test_target_value}
    )
    assert workload.num_eval_train_examples == workload.num_validation_examples


def test_parameters_are_known_by_shape_and_type(loaded):
    """Submissions that treat parameters by type or shape would not run."""
    workload, shapes = loaded.workload, loaded.shapes()
    count = sum(int(np.prod(shape)) for shape in shapes.values())
    assert count == expected(workload.name)["num_parameters"]
    assert {
        path: shape.shape_tuple
        for path, shape in flatten(workload.param_shapes).items()
    } == shapes
    types = flatten(workload.model_params_types)
    assert set(types) == set(shapes)
    assert all(isinstance(kind, spec.ParameterType) for kind in types.values())


def test_parameter_types_by_name():
    """A type would be read off a name wrongly, and weight decay would miss it."""
    kinds = spec.ParameterType
    for path, kind in {
        "blocks.0.bn1.weight": kinds.BATCH_NORM_SCALE,
        "blocks_0.bn_proj.bias": kinds.BATCH_NORM_BIAS,
        "blocks_1.ln2.scale": kinds.LAYER_NORM_SCALE,
        "ln_last.bias": kinds.LAYER_NORM_BIAS,
        "conv1.kernel": kinds.CONV_WEIGHT,
        "embed_token.weight": kinds.EMBEDDING,
        "embed_position.embedding": kinds.EMBEDDING,
        "blocks.0.attn.qkv.weight": kinds.ATTENTION_QKV,
        "blocks_0.attn.out.kernel": kinds.ATTENTION_OUT,
        "blocks.0.attn.out.bias": kinds.ATTENTION_BIAS,
        "blocks.0.mlp.up.weight": kinds.WEIGHT,
        "fc.bias": kinds.BIAS,
    }.items():
        assert parameter_type(path) == kind, path
    for unknown in ("blocks.0.attn.query.weight", "conv1.gain"):
        with pytest.raises(ValueError, match=unknown):
            parameter_type(unknown)
    own = ((r"attn\.query", kinds.ATTENTION_Q), ("gain$", kinds.WEIGHT))
    assert parameter_type("blocks_0.attn.query.kernel", own) == kinds.ATTENTION_Q
    assert parameter_type("conv1.gain", own) == kinds.WEIGHT
    assert parameter_type("conv1.bias", own) == kinds.BIAS


def test_output_layer(loaded, data_dir):
    """Submissions that single out the output layer would single out nothing, or a
    layer that other layers follow."""
    workload, layer = loaded.workload, loaded.workload.output_layer
    if loaded.framework == "jax":
        paths = {path.rpartition("/")[0] for path in flatten(loaded.params)}
        keys = {path.replace("/", ".") for path in paths}
        assert {key for key in keys if workload.is_output_params(key)} == {layer}
    else:
        keys = {key for key in workload.param_shapes if workload.is_output_params(key)}
        in_layer = loaded.params.get_submodule(layer).named_parameters()
        assert keys == {f"{layer}.{name}" for name, _ in in_layer}
    batch = next(loaded.queue("validation", data_dir))
    for function, tells_apart in ((noise, True), (np.zeros_like, False)):
        outputs, _ = loaded.with_layer(layer, function).model(batch, EVAL)
        assert np.ptp(logits_of(outputs), axis=0).any() == tells_apart


def test_shapes_are_unknown_before_the_model_is(loaded):
    """`param_shapes` would be silently empty."""
    fresh = type(loaded.workload)()
    with pytest.raises(ValueError, match="init_model_fn"):
        fresh.param_shapes  # noqa: B018
    with pytest.raises(ValueError, match="init_model_fn"):
        fresh.model_params_types  # noqa: B018


def test_initial_parameters_follow_the_seed(loaded):
    """Runs could not be repeated, or all trials would start alike."""
    first, again, other = (
        load(loaded.workload.name, loaded.framework, seed) for seed in (3, 3, 4)
    )
    for path in loaded.shapes():
        values = [twin.parameter(path) for twin in (first, again, other)]
        np.testing.assert_array_equal(values[0], values[1])
        assert np.ptp(values[0]) == 0 or (values[0] != values[2]).any()


def test_batches(loaded, data_dir):
    """A batch would have the wrong shape, type or mask for its framework."""
    described = expected(loaded.workload.name)["batch_of_8"][loaded.framework]
    for split in SPLITS:
        batch = flatten(numpy_batch(next(loaded.queue(split, data_dir))))
        found = {name: f"{x.dtype}{[*x.shape]}" for name, x in batch.items()}
        weights = {} if split == "train" else {"weights": "float32[8]"}
        assert found == {**weights, **described}
        if "weights" in batch:
            assert np.unique(batch["weights"]).tolist() in ([1], [0, 1])
            assert batch["weights"].reshape(8, -1).any(1).all()


def test_training_follows_the_seed_and_evaluation_does_not(loaded, data_dir):
    """Trials would share a data order, or evaluate on different data."""
    workload = loaded.workload
    states = [np.array([1, 2]), np.array([1, 3])]
    for split in SPLITS:
        first, second = (
            numpy_batch(next(workload._build_input_queue(state, split, data_dir, 8)))
            for state in states
        )
        same = all(
            np.array_equal(array, flatten(second["inputs"])[name])
            for name, array in flatten(first["inputs"]).items()
        )
        assert same == (split != "train")


def test_evaluation_has_no_augmentation(loaded, data_dir):
    """Evaluation would measure the augmentation as well, or mask what counts."""
    stored = {"eval_train": "train"}
    for split in SPLITS[1:]:
        batch = flatten(numpy_batch(next(loaded.queue(split, data_dir))))
        examples = read_all(loaded.workload.name, stored.get(split, split), data_dir)
        indices = loaded.workload._eval_indices(split)
        assert len(set(indices.tolist())) == len(indices)
        rows = map_arrays(lambda array, rows=indices[:8]: array[rows], examples)
        made = loaded.workload._make_batch(rows, None)
        for name, array in flatten({"weights": np.ones(8), **made}).items():
            np.testing.assert_array_equal(batch[name], array)


def test_unknown_split_raises(loaded, data_dir):
    """A misspelt split would evaluate on another one."""
    with pytest.raises(ValueError, match=r"split must be one of .*'valid'"):
        loaded.queue("valid", data_dir)


def test_evaluation(loaded, data_dir):
    """Evaluation would miss a split or a metric, or depend on what ran before it."""
    results = loaded.evaluate(data_dir)
    metrics = expected(loaded.workload.name)["metrics"]
    names = {f"{s}/{m}" for s in ("train", "validation", "test") for m in metrics}
    assert set(results) == names | {"validation/num_examples", "test/num_examples"}
    assert all(type(results[name]) is float for name in names)
    assert loaded.evaluate(data_dir) == results


def test_padding_does_not_count(loaded, data_dir):
    """Metrics would depend on the evaluation batch size, or on what ran before."""
    num_examples = loaded.workload.sizes["validation"]
    sizes = [loaded.workload.eval_batch_size, num_examples // 2]
    assert [num_examples % size > 0 for size in sizes] == [True, False]
    resumed = few(load(loaded.workload.name, loaded.framework))
    padded, whole = (
        twin.evaluate_split("validation", data_dir, size)
        for twin, size in zip((loaded, resumed), sizes, strict=True)
    )
    for name, value in padded.items():
        # Sums of float32 losses in two orders.
        assert whole[name] == pytest.approx(value, rel=1e-5)


def test_evaluation_metrics_are_means_over_the_split(loaded, data_dir):
    """The metrics would not be what their names say."""
    workload = loaded.workload
    loss_name = expected(workload.name)["loss"]
    sums: dict[str, float] = {loss_name: 0, "accuracy": 0}
    count = 0.0
    batches = loaded.queue("test", data_dir)
    for batch in batches.one_pass(workload.num_test_examples):
        labels, weights = (
            map_arrays(to_numpy, batch[name]) for name in ("targets", "weights")
        )
        outputs, _ = loaded.model(batch, EVAL)
        losses = references.losses(workload.mirrors, labels, outputs)
        weights = _broadcast(weights, losses.shape)
        count += (references.counts(workload.mirrors, labels, losses) * weights).sum()
        sums[loss_name] += (losses * weights).sum()
        if "accuracy" in workload.metrics:
            sums["accuracy"] += (references.hits(labels, outputs) * weights).sum()
    results = loaded.evaluate_split("test", data_dir)
    assert count >= workload.num_test_examples
    assert loss_name in results
    for name in {*sums} & {*results}:
        rel = 1e-6 if name == "accuracy" else tolerance_of(workload)
        assert results[name] == pytest.approx(sums[name] / count, rel=rel)


def _broadcast(mask, shape):
    """A mask of the first axes, for all of them."""
    mask = mask.reshape(mask.shape + (1,) * (len(shape) - mask.ndim))
    return np.broadcast_to(mask, shape)


@pytest.mark.parametrize("framework", workloads_ext.FRAMEWORKS)
def test_losses_and_metrics_of_a_workload_s_own(framework, data_dir):
    """A base that knows classes and means only, or whose rows have padding in them."""
    digits = few(load("digits_resnet", framework))

    class Sizes(type(digits.workload)):
        """How large a digit is; its loss is the distance."""

        metrics = ("loss", "root", "median")

        def _losses(self, labels, outputs, label_smoothing):
            return abs(outputs[..., 0] - labels)

        def _metric_rows(self, outputs, batch):
            return {"guess": outputs[..., 0], "weights": batch["weights"]}

        def _metrics(self, means, rows):
            guesses = rows["guess"][rows["weights"] > 0]
            root, median = means["loss"] ** 0.5, float(np.median(guesses))
            return {**means, "root": root, "median": median, "count": len(guesses)}

    own = Sizes()
    digits = few(dataclasses.replace(digits, workload=own))
    results = digits.evaluate(data_dir)
    guesses, labels = [], []
    for batch in digits.queue("test", data_dir).one_pass(own.num_test_examples):
        guesses.append(digits.model(batch, EVAL)[0][:, 0])
        labels.append(to_numpy(batch["targets"]))
    guesses, labels = np.concatenate(guesses), np.concatenate(labels)
    loss = np.abs(guesses - labels).mean()
    assert results["test/count"] == own.num_test_examples
    assert results["test/loss"] == pytest.approx(loss, rel=1e-5)  # float32 sums
    assert results["test/root"] == results["test/loss"] ** 0.5
    assert results["test/median"] == pytest.approx(np.median(guesses), abs=1e-5)


@pytest.fixture(scope="module")
def labels_and_outputs(loaded, data_dir):
    """Labels of eight examples, and random outputs of the model's shape."""
    batch = next(loaded.queue("train", data_dir))
    outputs, _ = loaded.model(batch, EVAL)
    random = map_arrays(lambda a: noise(a) if a.dtype.kind == "f" else a, outputs)
    return map_arrays(to_numpy, batch["targets"]), random


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_formula(loaded, labels_and_outputs, smoothing):
    """The loss would not be that of the official workloads."""
    official, (labels, outputs) = loaded.workload.mirrors, labels_and_outputs
    losses = references.losses(official, labels, outputs, smoothing)
    loss = loaded.loss(labels, outputs, label_smoothing=smoothing)
    per_example = losses.reshape(8, -1).sum(-1)
    # float32 sums over up to 256 classes
    np.testing.assert_allclose(loss["per_example"], per_example, rtol=1e-5)
    np.testing.assert_allclose(loss["summed"], per_example.sum(), rtol=1e-5)
    count = references.counts(official, labels, losses).sum()
    assert loss["n_valid_examples"] == count
    assert loss["summed"].shape == ()


@pytest.mark.parametrize("dtype", [np.float32, np.bool_])
def test_masked_loss(loaded, labels_and_outputs, dtype):
    """Masked examples would enter the loss, or its count."""
    mask = np.array([1, 1, 0, 1, 0, 0, 1, 0], dtype)
    kept = mask.astype(bool)
    masked = loaded.loss(*labels_and_outputs, mask)
    alone = loaded.loss(*map_arrays(lambda array: array[kept], labels_and_outputs))
    np.testing.assert_allclose(masked["summed"], alone["summed"], rtol=1e-6)
    np.testing.assert_allclose(
        masked["per_example"][kept], alone["per_example"], rtol=1e-6
    )
    assert masked["n_valid_examples"] == alone["n_valid_examples"]
    assert not masked["per_example"][~kept].any()


def test_masked_labels(loaded, labels_and_outputs):
    """A mask with a place for each label would be read as one per example."""
    official, (labels, outputs) = loaded.workload.mirrors, labels_and_outputs
    losses = references.losses(official, labels, outputs)
    mask = np.random.default_rng(1).integers(0, 2, losses.shape).astype(np.float32)
    masked = loaded.loss(labels, outputs, mask)
    count = (references.counts(official, labels, losses) * mask).sum()
    assert masked["n_valid_examples"] == count
    np.testing.assert_allclose(masked["summed"], (losses * mask).sum(), rtol=1e-5)


def test_dropout(loaded, data_dir):
    """Dropout would act in evaluation, or its rate would be ignored in training."""
    batch = next(loaded.queue("validation", data_dir))
    default = expected(loaded.workload.name)["dropout_rate"]
    twin = loaded.with_layer(loaded.workload.output_layer, noise)  # of ViT, it is zero

    def logits(mode, rate):
        return logits_of(twin.model(batch, mode, dropout_rate=rate)[0])

    plain = logits(TRAIN, 0.0)
    for rate, acts in ((None, bool(default)), (0.5, default is not None)):
        assert (logits(TRAIN, rate) != plain).any() == acts
    np.testing.assert_array_equal(logits(EVAL, 0.5), logits(EVAL, 0.0))


def test_train_mean_and_stddev_are_those_of_the_data(loaded, data_dir):
    """Inputs would not be normalised, or not by what the workload says."""
    workload = loaded.workload
    if workload.train_mean is None:
        assert workload.train_stddev is None
        return
    made = workload._make_batch(read_all(workload.name, "train", data_dir), None)
    inputs = made["inputs"].astype(np.float64)
    scale = workload.train_stddev
    axes = tuple(range(inputs.ndim - np.ndim(scale)))
    # Both were rounded to three digits in the units of the data, 0 to 255.
    np.testing.assert_allclose(inputs.mean(axes) * scale, 0, atol=0.05)
    np.testing.assert_allclose(inputs.std(axes) * scale, scale, atol=0.05)


@pytest.mark.parametrize("name", workloads_ext.WORKLOADS)
def test_learns(name, data_dir):
    """Inputs and targets would not belong together."""
    torch = pytest.importorskip("torch")
    described = expected(name)
    learns = described["learns"]
    loaded = load(name, "pytorch")
    optimizer = torch.optim.AdamW(loaded.params.parameters(), lr=3e-3)
    batches = loaded.queue("train", data_dir, learns["batch_size"])
    for _ in range(learns["steps"]):
        batch = next(batches)
        outputs, _ = loaded.workload.model_fn(
            loaded.params, batch, None, TRAIN, None, True, 0.0
        )
        losses = loaded.workload.loss_fn(
            batch["targets"], outputs, batch.get("weights")
        )
        optimizer.zero_grad()
        (losses["summed"] / losses["n_valid_examples"]).backward()
        optimizer.step()
    results = loaded.evaluate_split("validation", data_dir)
    assert results[described["loss"]] < learns["below"]


@pytest.mark.parametrize(
    "name",
    [n for n in workloads_ext.WORKLOADS if expected(n)["dropout_rate"] is not None],
)
def test_a_dropout_rate_may_be_traced(name, data_dir):
    """A submission that passes the rate through jit, as official models allow."""
    jax = pytest.importorskip("jax")
    loaded = load(name, "jax")
    loaded = loaded.with_layer(loaded.workload.output_layer, noise)
    batch = next(loaded.queue("validation", data_dir))

    def outputs(rate):
        made, _ = loaded.workload.model_fn(
            loaded.params,
            batch,
            loaded.model_state,
            TRAIN,
            random_state("jax"),
            update_batch_norm=False,
            dropout_rate=rate,
        )
        return logits_of(made)

    quickly = {"xla_backend_optimization_level": 0}
    traced = jax.jit(outputs, compiler_options=quickly)(0.5)
    half, none = (
        logits_of(loaded.model(batch, TRAIN, dropout_rate=rate)[0]) for rate in (0.5, 0)
    )
    np.testing.assert_allclose(traced, half, rtol=1e-5, atol=1e-5)
    assert np.abs(traced - none).max() > 1e-3


def test_batches_are_shared_out_over_devices(data_dir):
    """JAX would run on one device of several, or give other metrics on more."""
    pytest.importorskip("jax")
    code = f"""
import json, jax
from tests.workloads.helpers import few, load
loaded = few(load("digits_resnet", "jax"))
batch = next(loaded.queue("train", {data_dir!r}))
assert len(batch["inputs"].sharding.device_set) == jax.device_count() == 2
try:
    loaded.queue("train", {data_dir!r}, 7)
except ValueError as error:
    assert "multiple of the number of local devices, 2, got 7" in str(error)
else:
    raise AssertionError("7 examples on 2 devices")
print(json.dumps(loaded.evaluate({data_dir!r})))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=ROOT,
        env=os.environ | xla.devices(2),
        capture_output=True,
        text=True,
    )
    one_device = few(load("digits_resnet", "jax")).evaluate(data_dir)
    for name, value in json.loads(done.stdout).items():
        # Sums of float32 losses in two orders.
        assert one_device[name] == pytest.approx(value, rel=1e-5)
