"""Every workload in each framework: its interface, data, evaluation and loss."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests.workloads.helpers import (
    EVAL,
    PAIRS,
    TRAIN,
    flatten,
    load,
    random_state,
    to_numpy,
)
from unscheduled import spec
from workloads_ext.common.parameters import parameter_type

ROOT = pathlib.Path(__file__).parents[2]
SPLITS = ("train", "eval_train", "validation", "test")
COUNTS = {"digits_resnet": 77_754, "stdlib_lm": 205_312}
OUTPUT = {
    ("digits_resnet", "pytorch"): {"fc.weight", "fc.bias"},
    ("digits_resnet", "jax"): {"fc"},
    ("stdlib_lm", "pytorch"): {"head.weight", "head.bias"},
    ("stdlib_lm", "jax"): {"head"},
}


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def loaded(request):
    return load(*request.param)


def queue(loaded, split, data_dir, batch_size=8):
    rng = random_state(loaded.framework)
    return loaded.workload._build_input_queue(rng, split, data_dir, batch_size)


def test_properties(loaded):
    """The runner or the scoring would get a value it cannot use."""
    workload = loaded.workload
    assert isinstance(workload, spec.Workload)
    metric = {"digits_resnet": "accuracy", "stdlib_lm": "loss"}[workload.name]
    assert workload.target_metric_name == metric
    assert workload.loss_type == spec.LossType.SOFTMAX_CROSS_ENTROPY
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
    assert (
        sum(int(np.prod(shape)) for shape in shapes.values()) == COUNTS[workload.name]
    )
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
        "blocks_0/bn_proj/bias": kinds.BATCH_NORM_BIAS,
        "blocks_1/ln2/scale": kinds.LAYER_NORM_SCALE,
        "ln_last.bias": kinds.LAYER_NORM_BIAS,
        "conv1/kernel": kinds.CONV_WEIGHT,
        "embed_token.weight": kinds.EMBEDDING,
        "embed_position/embedding": kinds.EMBEDDING,
        "blocks.0.attn.qkv.weight": kinds.ATTENTION_QKV,
        "blocks_0/attn/out/kernel": kinds.ATTENTION_OUT,
        "blocks.0.attn.out.bias": kinds.ATTENTION_BIAS,
        "blocks.0.mlp.up.weight": kinds.WEIGHT,
        "fc/bias": kinds.BIAS,
    }.items():
        assert parameter_type(path) == kind, path
    for unknown in ("blocks.0.attn.query.weight", "conv1.gain"):
        with pytest.raises(ValueError, match=unknown):
            parameter_type(unknown)


def test_output_layer(loaded):
    """Submissions that single out the output layer would single out nothing."""
    workload = loaded.workload
    keys = {key for key in workload.param_shapes if workload.is_output_params(key)}
    assert keys == OUTPUT[workload.name, loaded.framework]


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
    for path, shape in loaded.shapes().items():
        values = [twin.parameter(path) for twin in (first, again, other)]
        np.testing.assert_array_equal(values[0], values[1])
        assert len(shape) == 1 or (values[0] != values[2]).any()


def test_batches(loaded, data_dir):
    """A batch would have the wrong shape, type or mask for its framework."""
    for split in SPLITS:
        batch = next(queue(loaded, split, data_dir))
        inputs, targets = to_numpy(batch["inputs"]), to_numpy(batch["targets"])
        integer = np.int64 if loaded.framework == "pytorch" else np.int32
        if loaded.workload.name == "digits_resnet":
            shape = (8, 1, 8, 8) if loaded.framework == "pytorch" else (8, 8, 8, 1)
            assert (inputs.shape, inputs.dtype) == (shape, np.float32)
            assert (targets.shape, targets.dtype) == ((8,), integer)
        else:
            length = loaded.workload.seq_len
            assert (inputs.shape, inputs.dtype) == ((8, length), integer)
            assert (targets.shape, targets.dtype) == ((8, length), integer)
            np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
        if split != "train":
            np.testing.assert_array_equal(to_numpy(batch["weights"]), np.ones(8))


def test_training_follows_the_seed_and_evaluation_does_not(loaded, data_dir):
    """Trials would share a data order, or evaluate on different data."""
    workload = loaded.workload
    states = [np.array([1, 2]), np.array([1, 3])]
    for split in SPLITS:
        first, second = (
            next(workload._build_input_queue(state, split, data_dir, 8))
            for state in states
        )
        same = (to_numpy(first["inputs"]) == to_numpy(second["inputs"])).all()
        assert same == (split != "train")


def test_evaluation_has_no_augmentation(loaded, data_dir):
    """Evaluation would measure the augmentation as well."""
    stored = {"eval_train": "train"}
    for split in SPLITS[1:]:
        batch = next(queue(loaded, split, data_dir))
        source = _source(loaded, stored.get(split, split), data_dir)
        indices = loaded.workload._eval_indices(split)
        assert len(set(indices.tolist())) == len(indices)
        expected = loaded.workload._make_batch(source.read(indices[:8]), None)
        np.testing.assert_array_equal(to_numpy(batch["inputs"]), expected["inputs"])


def _source(loaded, split, data_dir):
    from workloads_ext.datasets.source import Source, prepare

    return Source(prepare(loaded.workload.dataset, data_dir), split, cache=False)


def test_unknown_split_raises(loaded, data_dir):
    """A misspelt split would evaluate on another one."""
    with pytest.raises(ValueError, match=r"split must be one of .*'valid'"):
        queue(loaded, "valid", data_dir)


def test_evaluation(loaded, data_dir):
    """Evaluation would miss a split or a metric, or depend on what ran before it."""
    results = loaded.evaluate(data_dir)
    metrics = {"digits_resnet": {"accuracy", "loss"}, "stdlib_lm": {"loss"}}
    names = metrics[loaded.workload.name]
    expected = {f"{s}/{m}" for s in ("train", "validation", "test") for m in names}
    assert set(results) == expected | {"validation/num_examples", "test/num_examples"}
    assert all(type(results[name]) is float for name in expected)
    assert loaded.evaluate(data_dir) == results
    resumed = load(loaded.workload.name, loaded.framework)
    assert resumed.evaluate(data_dir) == results


def test_padding_does_not_count(loaded, data_dir):
    """Metrics would depend on the evaluation batch size."""
    other_size = {"digits_resnet": 100, "stdlib_lm": 96}[loaded.workload.name]
    sizes = loaded.workload.eval_batch_size, other_size
    num_examples = loaded.workload.num_validation_examples
    assert sorted(num_examples % size == 0 for size in sizes) == [False, True]
    first, second = (loaded.evaluate(data_dir, size) for size in sizes)
    for name, value in first.items():
        # Sums of a few hundred float32 losses in two orders.
        assert second[name] == pytest.approx(value, rel=1e-5)


def test_evaluation_metrics_are_means_over_the_split(loaded, data_dir):
    """The metrics would not be what their names say."""
    num_examples = loaded.workload.num_test_examples
    batches = [*queue(loaded, "test", data_dir, 100).one_pass(num_examples)]
    logits = np.concatenate([loaded.model(batch, EVAL)[0] for batch in batches])
    labels = np.concatenate([to_numpy(batch["targets"]) for batch in batches])
    logits, labels = logits[:num_examples], labels[:num_examples]
    shifted = logits - logits.max(-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    hits = np.take_along_axis(log_probs, labels[..., None], -1)
    results = loaded.evaluate(data_dir)
    assert results["test/loss"] == pytest.approx(-hits.mean(), rel=1e-5)
    if "test/accuracy" in results:
        accuracy = (logits.argmax(-1) == labels).mean()
        assert results["test/accuracy"] == pytest.approx(accuracy)


def example_logits(loaded, seed=0):
    """Random labels and logits of the workload's shapes, six examples."""
    rng = np.random.default_rng(seed)
    classes, inner = (
        (10, ()) if loaded.workload.name == "digits_resnet" else (256, (5,))
    )
    logits = rng.normal(size=(6, *inner, classes)).astype(np.float32)
    return rng.integers(0, classes, size=(6, *inner)), logits


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_formula(loaded, smoothing):
    """The loss would not be the smoothed cross-entropy of the official workloads."""
    labels, logits = example_logits(loaded)
    classes = logits.shape[-1]
    target = np.eye(classes)[labels] * (1 - smoothing) + smoothing / classes
    shifted = logits.astype(np.float64)
    log_probs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    per_label = -(target * log_probs).sum(-1)
    per_example = per_label.reshape(len(labels), -1).sum(-1)
    loss = loaded.loss(labels, logits, label_smoothing=smoothing)
    # float32 sums over up to 256 classes
    np.testing.assert_allclose(loss["per_example"], per_example, rtol=1e-5)
    np.testing.assert_allclose(loss["summed"], per_example.sum(), rtol=1e-5)
    assert loss["n_valid_examples"] == labels.size
    assert loss["summed"].shape == ()


@pytest.mark.parametrize("dtype", [np.float32, np.bool_])
def test_masked_loss(loaded, dtype):
    """Masked examples would enter the loss, or its count."""
    labels, logits = example_logits(loaded)
    mask = np.array([1, 1, 0, 1, 0, 0], dtype)
    kept = mask.astype(bool)
    masked = loaded.loss(labels, logits, mask)
    alone = loaded.loss(labels[kept], logits[kept])
    np.testing.assert_allclose(masked["summed"], alone["summed"], rtol=1e-6)
    np.testing.assert_allclose(
        masked["per_example"][kept], alone["per_example"], rtol=1e-6
    )
    assert masked["n_valid_examples"] == alone["n_valid_examples"]
    assert not masked["per_example"][~kept].any()


def test_masked_tokens():
    """A mask per token would be read as one per example."""
    for framework in ("pytorch", "jax"):
        lm = load("stdlib_lm", framework)
        labels, logits = example_logits(lm)
        mask = np.zeros(labels.shape, np.float32)
        mask[2, 3] = mask[4, 0] = 1
        masked = lm.loss(labels, logits, mask)
        alone = [
            lm.loss(labels[i, j][None], logits[i, j][None]) for i, j in ((2, 3), (4, 0))
        ]
        assert masked["n_valid_examples"] == 2
        np.testing.assert_allclose(
            masked["summed"], alone[0]["summed"] + alone[1]["summed"], rtol=1e-6
        )


def test_dropout(loaded, data_dir):
    """Dropout would act in evaluation, or its rate would be ignored in training."""
    batch = next(queue(loaded, "validation", data_dir))
    plain, _ = loaded.model(batch, TRAIN, dropout_rate=0.0)
    default, _ = loaded.model(batch, TRAIN, dropout_rate=None)
    evaluated, _ = loaded.model(batch, EVAL, dropout_rate=0.5)
    assert (default != plain).any() == (loaded.workload.name == "stdlib_lm")
    evaluated_plain, _ = loaded.model(batch, EVAL, dropout_rate=0.0)
    np.testing.assert_array_equal(evaluated, evaluated_plain)


def test_model_is_causal(data_dir):
    """The language model would see the byte that it has to predict."""
    for framework in ("pytorch", "jax"):
        lm = load("stdlib_lm", framework)
        batch = next(queue(lm, "test", data_dir))
        before, _ = lm.model(batch, EVAL)
        last = batch["inputs"][:, -1:]
        changed = {**batch, "inputs": batch["inputs"] + 0}
        if framework == "pytorch":
            changed["inputs"][:, -1:] = (last + 1) % 256
        else:
            changed["inputs"] = changed["inputs"].at[:, -1:].set((last + 1) % 256)
        after, _ = lm.model(changed, EVAL)
        np.testing.assert_allclose(before[:, :-1], after[:, :-1], atol=1e-5)
        assert np.abs(before[:, -1] - after[:, -1]).max() > 1e-3


def test_shift_images():
    """Augmentation would wrap digits around, move them too far, or not at all."""
    from workloads_ext.digits_resnet.workload import shift_images

    images = np.arange(1, 65, dtype=np.uint8).reshape(1, 8, 8, 1).repeat(200, 0)
    shifted = shift_images(images, np.random.default_rng(0))
    padded = np.pad(images[0, :, :, 0], 1)
    windows = [padded[i : i + 8, j : j + 8] for i in range(3) for j in range(3)]
    found = {
        next(k for k, window in enumerate(windows) if (window == image).all())
        for image in shifted[..., 0]
    }
    assert found == set(range(9))


def test_train_mean_and_stddev_are_those_of_the_data(data_dir):
    """Inputs would not be normalised."""
    digits = load("digits_resnet", "pytorch")
    source = _source(digits, "train", data_dir)
    images = source.read(np.arange(len(source)))["image"]
    assert digits.workload.train_mean == pytest.approx(images.mean(), abs=1e-3)
    assert digits.workload.train_stddev == pytest.approx(images.std(), abs=1e-3)


@pytest.mark.parametrize(
    ("name", "steps", "loss"), [("digits_resnet", 150, 1.0), ("stdlib_lm", 40, 3.5)]
)
def test_learns(name, steps, loss, data_dir):
    """Inputs and targets would not belong together."""
    torch = pytest.importorskip("torch")
    loaded = load(name, "pytorch")
    optimizer = torch.optim.AdamW(loaded.params.parameters(), lr=3e-3)
    batches = queue(loaded, "train", data_dir, 16)
    for _ in range(steps):
        batch = next(batches)
        logits, _ = loaded.workload.model_fn(
            loaded.params, batch, None, TRAIN, None, True, 0.0
        )
        losses = loaded.workload.loss_fn(batch["targets"], logits)
        optimizer.zero_grad()
        (losses["summed"] / losses["n_valid_examples"]).backward()
        optimizer.step()
    assert loaded.evaluate(data_dir)["validation/loss"] < loss


def test_batches_are_shared_out_over_devices(data_dir):
    """JAX would run on one device of several, or give other metrics on more."""
    pytest.importorskip("jax")
    code = f"""
import json, jax
from tests.workloads.helpers import load
from tests.workloads.test_workloads import queue
loaded = load("digits_resnet", "jax")
batch = next(queue(loaded, "train", {data_dir!r}))
assert len(batch["inputs"].sharding.device_set) == jax.device_count() == 2
try:
    queue(loaded, "train", {data_dir!r}, 7)
except ValueError as error:
    assert "multiple of the number of local devices, 2, got 7" in str(error)
else:
    raise AssertionError("7 examples on 2 devices")
print(json.dumps(loaded.evaluate({data_dir!r})))
"""
    flags = "--xla_force_host_platform_device_count=2"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    one_device = load("digits_resnet", "jax").evaluate(data_dir)
    for name, value in json.loads(done.stdout).items():
        # Sums of float32 losses in two orders.
        assert one_device[name] == pytest.approx(value, rel=1e-5)


def test_a_dropout_rate_may_be_traced():
    """A submission that passes the rate through jit, as official models allow."""
    jax = pytest.importorskip("jax")
    loaded = load("stdlib_lm", "jax")
    tokens = jax.numpy.zeros((2, 8), jax.numpy.int32)

    def logits(rate):
        return loaded.workload.model_fn(
            loaded.params,
            {"inputs": tokens},
            None,
            TRAIN,
            jax.random.key(0),
            update_batch_norm=False,
            dropout_rate=rate,
        )[0]

    traced = jax.jit(logits)(0.5)
    np.testing.assert_allclose(traced, jax.jit(lambda: logits(0.5))(), rtol=1e-5)
    assert np.abs(traced - logits(0.0)).max() > 1e-3
