"""The JAX entries: what a step does, and what evaluation sees."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import numpy as np
import pytest

from tests import xla
from tests.entries import stub
from tests.entries.stub_jax import Training
from tests.entries.submissions import ALGORITHMS, MOVED, load, rate
from unscheduled.entries.jax import training as jax_training
from unscheduled.entries.jax.training import Trainer

ENTRIES = {name: load(name, "jax") for name in ALGORITHMS}
schedule_free, nadamw = ENTRIES["schedule_free_adamw"], ENTRIES["nadamw"]
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ENTRIES)
def test_training_lowers_the_loss(name):
    """An entry that steps nowhere, or uphill."""
    training = Training(ENTRIES[name], hyperparameters=rate(name))
    training.workload.metrics_logger = stub.Logger()
    for batch in stub.batches(101):
        training.step(batch)
    (first, start), (last, end) = training.workload.metrics_logger.rows
    assert (first, last) == (0, 100)
    assert end["loss"] < 0.5 * start["loss"]
    assert start["grad_norm"] > 0


@pytest.fixture
def compilations():
    """Grows by an entry at each compilation by XLA."""
    found = []

    def listener(event, duration, **_):
        if event.endswith("backend_compile_duration"):
            found.append(event)

    jax.monitoring.register_event_duration_secs_listener(listener)
    yield found
    jax.monitoring.clear_event_listeners()


@pytest.mark.parametrize("name", ENTRIES)
def test_the_step_is_compiled_once(name, compilations):
    """A step that is compiled again after an evaluation, or at every call."""
    training = Training(ENTRIES[name], batch_norm=True)
    batches = stub.batches(6)
    training.step(batches[0])
    training.step(batches[1])
    assert compilations
    training.prepare_for_eval()
    # The way back to y is compiled at the first step after an evaluation.
    training.step(batches[2])
    compilations.clear()
    for batch in batches[3:]:
        training.step(batch)
        training.prepare_for_eval()
    assert compilations == []
    # Tracing runs the model once a compilation: the step, and the pass for statistics.
    passes = 2 if name in MOVED else 1
    assert training.workload.forward_passes == passes


@pytest.mark.parametrize("name", ENTRIES)
@pytest.mark.parametrize("evaluated", [False, True])
def test_a_step_moves_nothing_between_host_and_device(name, evaluated):
    """A wait for the device in every step. Steps that log, each hundredth, may."""
    training = Training(ENTRIES[name], batch_norm=True)
    training.workload.metrics_logger = stub.Logger()
    batches = jax.device_put(stub.batches(14))
    for batch in batches[:3]:
        training.step(batch)
    if evaluated:
        training.prepare_for_eval()
    with jax.transfer_guard("disallow"):
        for batch in batches[3:13]:
            training.step(batch)
    # On a CPU, the guard does not see what is read: a traced value can't be.
    state, trainer = training.state

    def step(params, model_state, optimizer, skipped, batch):
        traced = {**state, "optimizer": optimizer, "skipped": skipped}
        training._params, training.model_state = params, model_state
        training.state = traced, trainer
        training.step(batch)

    jax.eval_shape(
        step,
        training._params,
        training.model_state,
        state["optimizer"],
        state["skipped"],
        batches[13],
    )
    assert training.step_count == 14


@pytest.mark.parametrize("name", ["schedule_free_adamw", "lookahead_radam", "nadamw"])
def test_a_step_without_a_branch_does_the_same(name, monkeypatch):
    """What GPUs do, where the step selects instead: skipped steps that leave traces."""
    batches = stub.batches(8)
    broken = {**batches[0], "inputs": batches[0]["inputs"] * np.float32(np.nan)}

    def train():
        training = Training(ENTRIES[name], True, rate(name))
        for batch in (broken, *batches[:4], broken, *batches[4:]):
            training.step(batch)
        assert int(training.state[0]["skipped"]) == 2
        return training.params()

    with_branch = train()
    selections = []
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(
        jax_training,
        "select",
        lambda *a, f=jax_training.select: selections.append(1) or f(*a),
    )
    for p, q in zip(train(), with_branch, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-6)  # fused otherwise
    assert selections


@pytest.mark.parametrize("entry", [schedule_free, nadamw], ids=["x", "y"])
def test_the_model_state_keeps_its_form(entry, compilations):
    """A second compilation where a model gives its statistics back with more axes."""
    training = Training(entry, batch_norm=True)
    training.workload.with_extra_axes = True
    shapes = [s.shape for s in training.statistics()]
    batches = stub.batches(3)
    training.step(batches[0])
    compilations.clear()
    training.step(batches[1])
    training.step(batches[2])
    assert compilations == []
    training.prepare_for_eval()
    assert [s.shape for s in training.statistics()] == shapes


def test_the_state_is_a_pair_of_a_pytree_and_a_function():
    """A state that the official checkpoints can't take apart."""
    training = Training(schedule_free)
    training.step(*stub.batches(1))
    tree, _ = training.state
    assert all(hasattr(leaf, "dtype") for leaf in jax.tree.leaves(tree))


def test_the_parameters_are_x_for_evaluation_and_y_for_training():
    """Evaluation at y, or training that goes on from x."""
    training, reference = Training(schedule_free), Training(schedule_free)
    for batch in stub.batches(20):
        training.step(batch)
        reference.step(batch)
    y = training.params()
    z = [np.array(leaf) for leaf in jax.tree.leaves(training.state[0]["optimizer"].z)]
    training.prepare_for_eval()
    x = training.params()
    training.prepare_for_eval()  # twice is once
    for p, q, base, again in zip(x, y, z, training.params(), strict=True):
        np.testing.assert_allclose(q, 0.9 * p + 0.1 * base, rtol=1e-5)
        assert np.abs(p - q).max() > 1e-4
        np.testing.assert_array_equal(p, again)
    (batch,) = stub.batches(1, seed=1)
    training.step(batch)
    reference.step(batch)
    for p, q in zip(training.params(), reference.params(), strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-5)  # to rounding: y -> x -> y


@pytest.mark.parametrize("name", ENTRIES)
def test_only_some_are_evaluated_elsewhere_than_they_train(name):
    """A baseline whose model is moved for evaluation, or another's that stays at y."""
    training = Training(ENTRIES[name], batch_norm=True)
    # After RAdam's silent steps, and between two syncs of Lookahead's.
    for batch in stub.batches(8):
        training.step(batch)
    params, statistics = training.params(), training.batch_norm()
    # Updated by the training pass, unless that is elsewhere.
    assert (np.abs(statistics["mean"]).max() > 0) == (name not in MOVED)
    training.prepare_for_eval()
    for p, q in zip(params, training.params(), strict=True):
        assert np.array_equal(p, q) == (name not in MOVED)
    assert (training.batch_norm() is statistics) == (name not in MOVED)


def test_batch_norm_statistics_are_those_of_recent_batches():
    """Statistics of y, of old batches, or with a trace of their initial values."""
    training = Training(schedule_free, batch_norm=True)
    batches = stub.batches(140)  # from fewer steps fewer batches are taken
    for batch in batches:
        training.step(batch)
    np.testing.assert_array_equal(training.batch_norm()["mean"], 0)  # not those of y
    training.prepare_for_eval()
    recent = np.stack([b["inputs"] for b in batches[-8:]]).astype(np.float64)
    statistics = training.batch_norm()
    np.testing.assert_allclose(statistics["mean"], recent.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(statistics["var"], recent.var(1).mean(0), rtol=1e-5)


def test_a_refresh_uses_only_batches_since_the_one_before():
    """A resumed run, which has only those, whose statistics are others."""
    training = Training(schedule_free, batch_norm=True)
    *earlier, last = stub.batches(4)
    for batch in earlier:
        training.step(batch)
    training.prepare_for_eval()
    training.step(last)
    training.prepare_for_eval()
    mean = training.batch_norm()["mean"]
    np.testing.assert_allclose(mean, last["inputs"].mean(0), rtol=1e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.999, 1.0])
def test_batch_norm_statistics_do_not_depend_on_the_momentum(momentum):
    """A refresh that trusts one momentum; a frozen layer (1) must stay as it is."""
    training = Training(schedule_free, batch_norm=True, momentum=momentum)
    (batch,) = stub.batches(1)
    training.step(batch)
    training.prepare_for_eval()
    expected = batch["inputs"].mean(0) if momentum != 1.0 else np.zeros(stub.FEATURES)
    np.testing.assert_allclose(training.batch_norm()["mean"], expected, rtol=1e-3)


def test_models_without_batch_norm_pay_nothing():
    """Forward passes, or batches kept, for a model that has no batch norm."""
    training = Training(schedule_free)
    training.step(*stub.batches(1))
    training.prepare_for_eval()
    assert training.workload.forward_passes == 1
    assert len(training.state[1]._statistics._recent) == 0


def test_unset_dropout_and_smoothing_are_left_to_the_workload():
    """A default of the workload's that an explicit 0 or None overrides."""
    training = Training(schedule_free, hyperparameters={"label_smoothing": None})
    training.step(*stub.batches(1))
    assert training.workload.dropout_rates == [None]
    assert training.workload.label_smoothings == ["unset"]
    training = Training(nadamw, hyperparameters={"label_smoothing": 0.0})
    training.step(*stub.batches(1))
    assert training.workload.dropout_rates == [0.1]
    assert training.workload.label_smoothings == [0.0]


def test_gradients_are_clipped_to_the_norm_asked_for():
    """grad_clip that does nothing: an unclipped first moment is larger."""
    moments = []
    for clip in (None, 1e-3):
        training = Training(nadamw, hyperparameters={"grad_clip": clip})
        training.step(*stub.batches(1))
        mu = training.state[0]["optimizer"][0].mu
        moments.append(np.sqrt(sum(np.sum(m**2) for m in jax.tree.leaves(mu))))
    # The first moment is (1 - β1) g after a step.
    assert moments[1] == pytest.approx(0.06733926164 * 1e-3, rel=1e-3)
    assert moments[0] > 10 * moments[1]


def test_a_way_back_needs_a_way_to_x():
    """An algorithm that is silently evaluated at y."""
    with pytest.raises(ValueError, match="train_params needs eval_params"):
        Trainer(None, None, None, train_params=lambda state, params: params)


def test_train_state_is_accepted():
    """The official runner's optional argument."""
    Training(schedule_free).step(*stub.batches(1), train_state={"last_eval_time": 0})


def test_two_devices_train_like_one(tmp_path):
    """A loss that depends on how many devices the batch is divided over."""
    script = textwrap.dedent(
        """
        import sys
        import jax, numpy as np
        from tests.entries import stub, test_jax
        for name in ("schedule_free_adamw", "lookahead_radam", "nadamw"):
            entry = test_jax.ENTRIES[name]
            training = test_jax.Training(
                entry, batch_norm=True, hyperparameters=test_jax.rate(name)
            )
            for batch in stub.batches(5):
                training.step(batch)
            training.prepare_for_eval()
            leaves = jax.tree.leaves((training._params, training.model_state))
            devices = {len(leaf.sharding.device_set) for leaf in leaves}
            assert devices == {jax.device_count()}
            np.savez(f"{sys.argv[1]}/{name}.npz", *leaves)
        """
    )
    for devices in (1, 2):
        (tmp_path / str(devices)).mkdir()
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / str(devices))],
            cwd=REPOSITORY,
            env={**os.environ, **xla.devices(devices)},
            check=True,
        )
    for one_device in (tmp_path / "1").glob("*.npz"):
        one, two = np.load(one_device), np.load(tmp_path / "2" / one_device.name)
        for name in one.files:
            np.testing.assert_allclose(two[name], one[name], rtol=1e-5, atol=1e-6)
