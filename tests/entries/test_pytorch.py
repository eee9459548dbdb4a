"""The PyTorch entries: what a step does, and what evaluation sees."""

import copy
import os

import numpy as np
import pytest
import torch
import torch.multiprocessing

from tests.entries import stub
from tests.entries.stub_torch import TorchStub, Training
from tests.entries.submissions import ALGORITHMS, MOVED, load, rate
from unscheduled.entries.pytorch.training import Trainer
from unscheduled.optim_torch import Lookahead, ScheduleFreeWrapper

ENTRIES = {name: load(name, "pytorch") for name in ALGORITHMS}
schedule_free, nadamw = ENTRIES["schedule_free_adamw"], ENTRIES["nadamw"]


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


def test_the_model_holds_x_for_evaluation_and_y_for_training():
    """Evaluation at y, or training that goes on from x."""
    training, reference = Training(schedule_free), Training(schedule_free)
    for batch in stub.batches(20):
        training.step(batch)
        reference.step(batch)
    y = training.params()
    training.prepare_for_eval()
    x = training.params()
    training.prepare_for_eval()  # twice is once
    optimizer = training.state["trainer"]._optimizer
    for p, q, parameter in zip(x, y, training.model.parameters(), strict=True):
        z = optimizer.state[parameter]["z"]
        torch.testing.assert_close(q, 0.9 * p + 0.1 * z)
        assert (p - q).abs().max() > 1e-4
        torch.testing.assert_close(p, parameter.detach(), rtol=0, atol=0)
    (batch,) = stub.batches(1, seed=1)
    training.step(batch)
    reference.step(batch)
    for p, q in zip(training.params(), reference.params(), strict=True):
        torch.testing.assert_close(p, q)  # to rounding: y -> x -> y


@pytest.mark.parametrize("name", ENTRIES)
def test_only_some_are_evaluated_elsewhere_than_they_train(name):
    """A baseline whose model is moved for evaluation, or another's that stays at y."""
    training = Training(ENTRIES[name], batch_norm=True)
    # After RAdam's silent steps, and between two syncs of Lookahead's.
    for batch in stub.batches(8):
        training.step(batch)
    before = copy.deepcopy(training.model.state_dict())
    training.prepare_for_eval()
    after = training.model.state_dict()
    same = {key for key in before if torch.equal(before[key], after[key])}
    assert same == ({"0.num_batches_tracked"} if name in MOVED else set(before))


def test_batch_norm_statistics_are_those_of_recent_batches():
    """Statistics of y, of old batches, or with a trace of their initial values."""
    training = Training(schedule_free, batch_norm=True)
    batches = stub.batches(140)  # from fewer steps fewer batches are taken
    for batch in batches:
        training.step(batch)
    count = training.model[0].num_batches_tracked.clone()
    training.prepare_for_eval()
    recent = np.stack([b["inputs"] for b in batches[-8:]]).astype(np.float64)
    norm = training.model[0]
    np.testing.assert_allclose(norm.running_mean, recent.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(
        norm.running_var, recent.var(1, ddof=1).mean(0), rtol=1e-5
    )
    assert norm.num_batches_tracked == count


def test_a_refresh_uses_only_batches_since_the_one_before():
    """A resumed run, which has only those, whose statistics are others."""
    training = Training(schedule_free, batch_norm=True)
    *earlier, last = stub.batches(4)
    for batch in earlier:
        training.step(batch)
    training.prepare_for_eval()
    training.step(last)
    training.prepare_for_eval()
    mean = training.model[0].running_mean
    np.testing.assert_allclose(mean, last["inputs"].mean(0), rtol=1e-5)


@pytest.mark.parametrize("momentum", [None, 0.001, 0.0])
def test_batch_norm_statistics_do_not_depend_on_the_momentum(momentum):
    """A refresh that trusts one momentum; a frozen layer (0) must stay as it is."""
    training = Training(schedule_free, batch_norm=True)
    training.model[0].momentum = momentum
    (batch,) = stub.batches(1)
    training.step(batch)
    training.prepare_for_eval()
    expected = batch["inputs"].mean(0) if momentum != 0.0 else np.zeros(stub.FEATURES)
    np.testing.assert_allclose(training.model[0].running_mean, expected, rtol=1e-3)


def test_batch_norm_statistics_do_not_depend_on_the_dropout_before_it():
    """A momentum measured with two draws of dropout, which a resumed run has not."""
    training = Training(schedule_free)
    norm = torch.nn.BatchNorm1d(stub.FEATURES)
    model = torch.nn.Sequential(torch.nn.Dropout(0.5), norm, training.model[0])
    training.model = model
    training.state = schedule_free.init_optimizer_state(
        training.workload, model, None, None, rng=None
    )
    (batch,) = stub.batches(1)
    training.step(batch)
    torch.manual_seed(1)
    training.prepare_for_eval()
    torch.manual_seed(1)
    dropped = torch.nn.functional.dropout(torch.from_numpy(batch["inputs"]), 0.5)
    torch.testing.assert_close(norm.running_mean, dropped.mean(0))


class ReplacingBatchNorm(torch.nn.Module):
    """A model's own batch norm that makes new buffers at every pass."""

    def __init__(self):
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(stub.FEATURES))
        self.register_buffer("running_var", torch.ones(stub.FEATURES))

    def forward(self, x):
        if not self.training:
            return (x - self.running_mean) * torch.rsqrt(self.running_var + 1e-5)
        mean, var = x.mean(0), x.var(0)
        self.running_mean = 0.99 * self.running_mean + 0.01 * mean.detach()
        self.running_var = 0.99 * self.running_var + 0.01 * var.detach()
        return (x - mean) * torch.rsqrt(var + 1e-5)


def test_batch_norm_layers_of_the_model_s_own_are_refreshed_too():
    """Layers that are not torch's, as in the official speech models."""
    training = Training(schedule_free)
    model = torch.nn.Sequential(ReplacingBatchNorm(), training.model[0])
    training.model = model
    training.state = schedule_free.init_optimizer_state(
        training.workload, model, None, None, None
    )
    (batch,) = stub.batches(1)
    training.step(batch)
    training.prepare_for_eval()
    np.testing.assert_allclose(
        model[0].running_mean, batch["inputs"].mean(0), rtol=1e-3
    )


@pytest.mark.parametrize(
    "norm", [None, torch.nn.InstanceNorm1d(8, track_running_stats=True)], ids=str
)
def test_models_without_batch_norm_pay_nothing(norm):
    """Forward passes, or batches kept, for a model that has no batch norm."""
    training = Training(schedule_free)
    if norm is not None:
        training.model.insert(0, norm)
        training.state = schedule_free.init_optimizer_state(
            training.workload, training.model, None, None, None
        )
    training.step(*stub.batches(1))
    training.prepare_for_eval()
    assert training.workload.forward_passes == 1
    assert len(training.state["trainer"]._statistics._recent) == 0


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
    """grad_clip that does nothing."""
    training = Training(nadamw, hyperparameters={"grad_clip": 1e-3})
    training.step(*stub.batches(1))
    grads = torch.cat([p.grad.flatten() for p in training.model.parameters()])
    assert grads.norm().item() == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_state_goes_through_the_official_way_of_checkpoints(entry, tmp_path):
    """A restored run that steps elsewhere than the one that was saved."""
    saved = Training(entry, batch_norm=True)
    batches = stub.batches(20)
    for batch in batches[:10]:
        saved.step(batch)
    saved.prepare_for_eval()
    path = tmp_path / "checkpoint"
    states = {key: value.state_dict() for key, value in saved.state.items()}
    torch.save({"model": saved.model.state_dict(), "optimizer": states}, path)

    restored = Training(entry, batch_norm=True)
    checkpoint = torch.load(path, weights_only=True)
    restored.model.load_state_dict(checkpoint["model"])
    for key, value in restored.state.items():
        value.load_state_dict(checkpoint["optimizer"][key])
    restored.step_count = saved.step_count
    for batch in batches[10:]:
        saved.step(batch)
        restored.step(batch)
    for p, q in zip(saved.params(), restored.params(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=0)


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_compiled_models_train_the_same(entry):
    """An entry that works only on the bare model."""
    plain, compiled = Training(entry, True), Training(entry, True, compiled=True)
    for training in (plain, compiled):
        for batch in stub.batches(5):
            training.step(batch)
        training.prepare_for_eval()
    for p, q in zip(plain.params(), compiled.params(), strict=True):
        torch.testing.assert_close(p, q)


def test_train_state_is_accepted():
    """The official runner's optional argument."""
    Training(schedule_free).step(*stub.batches(1), train_state={"last_eval_time": 0})


def _train(name, part, model_wrapper=lambda model: model):
    """(parameters, gradients of each step, logged metrics) after five steps.

    Args:
      part: the rows that are taken of each batch.
    """
    training = Training(ENTRIES[name], hyperparameters=rate(name))
    training.model = model_wrapper(training.model)
    training.workload.metrics_logger = stub.Logger()
    grads = []
    for batch in stub.batches(5):
        training.step({key: value[part] for key, value in batch.items()})
        grads.append(training.grads())
    training.prepare_for_eval()
    (logged,) = training.workload.metrics_logger.rows
    return training.params(), grads, logged


def _rank(rank, world_size, init_file, folder):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{init_file}", rank=rank, world_size=world_size
    )
    for name in ENTRIES:
        part = slice(rank * 4, (rank + 1) * 4)  # of batches of eight
        results = _train(name, part, torch.nn.parallel.DistributedDataParallel)
        torch.save(results, folder / f"{name}_{rank}.pt")
    # Without taking the process group down: at exit its threads race with the
    # interpreter's end, now and then into an abort that training has no part in.
    os._exit(0)


def test_two_ranks_train_like_one_process_on_the_whole_batch(tmp_path):
    """A loss scaled by the ranks, or by each rank's own number of valid examples."""
    torch.multiprocessing.spawn(_rank, (2, tmp_path / "init", tmp_path), nprocs=2)
    for name in ENTRIES:
        params, grads, logged = _train(name, slice(None))
        for rank in range(2):
            saved = torch.load(tmp_path / f"{name}_{rank}.pt", weights_only=True)
            # The gradients too: Adam alone would not notice that they are scaled.
            found, expected = (saved[0], *saved[1]), (params, *grads)
            for ours, theirs in zip(found, expected, strict=True):
                for p, q in zip(ours, theirs, strict=True):
                    torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-5)
            assert saved[2][1] == pytest.approx(logged[1], rel=1e-5)


def test_an_optimizer_that_would_not_skip_is_refused():
    """NaN in the parameters, because an optimizer knows nothing of `found_inf`."""
    workload = TorchStub()
    model, _ = workload.init_model_fn()
    hyperparameters = nadamw.Hyperparameters()
    for make in (
        lambda ps: torch.optim.AdamW(ps, foreach=True),
        lambda ps: Lookahead(torch.optim.SGD(ps, 0.1)),
        lambda ps: ScheduleFreeWrapper(torch.optim.AdamW(ps, fused=True)),
    ):
        with pytest.raises(ValueError, match="would not skip a step"):
            Trainer(
                workload,
                model,
                lambda _, m=make: m(model.parameters()),
                hyperparameters,
            )
