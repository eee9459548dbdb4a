"""The loop keeps the rules: what is timed, when to evaluate, when to end, what to do
again after a stop."""

import csv
import dataclasses
import errno
import json
import os
import sys

import numpy as np
import pytest

from tests.runner import fakes
from unscheduled.benchmark.errors import UserError
from unscheduled.runner.backend import TrainingState, load_backend
from unscheduled.runner.submission import SubmissionError
from unscheduled.runner.trials import run_trials


class Run:
    """A run over the fakes; `again()` is the same command in a new process."""

    def __init__(self, path, **workload_arguments):
        self.path = path
        self.clock = fakes.HandClock()
        self.workload = fakes.FakeWorkload(self.clock, **workload_arguments)
        self.submission = fakes.FakeSubmission(self.clock)
        self.backend = fakes.FakeBackend(self.clock)
        self.changes = {}
        self.seed = 0
        self.text = ""

    def __call__(self, points=(None,), indices=None):
        settings = fakes.make_settings(
            self.clock, self.workload, self.submission, self.backend, **self.changes
        )
        indices = range(len(points)) if indices is None else indices
        with fakes.captured_console() as (console, text):
            outcomes = run_trials(
                settings, self.path, [*points], indices, self.seed, {}, console
            )
            self.text = text.getvalue()
        return outcomes

    def rows(self, name="eval_measurements.csv", trial=1):
        with open(self.path / f"trial_{trial}" / name) as file:
            return list(csv.DictReader(file))

    def times(self):
        return [float(row["score"]) for row in self.rows()]


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def test_submission_time_is_steps_and_prepare_and_nothing_else(run):
    """A clock that counts evaluations (100 s each here), or leaves out data or
    prepare_for_eval."""
    run()
    # A step is 1 s of data and 2 s of update; prepare_for_eval is 0.5 s.
    rows = run.rows()
    assert [int(r["global_step"]) for r in rows] == [1, 3, 5, 7, 9, 11]
    assert run.times() == [3.5, 10.0, 16.5, 23.0, 29.5, 36.0]
    assert float(rows[-1]["accumulated_eval_time"]) == 600.0
    assert float(rows[-1]["accumulated_submission_time"]) == 36.0
    assert float(rows[-1]["total_duration"]) == 636.0


def test_work_that_is_only_dispatched_is_the_submission_s_time(run):
    """Steps that a device is still busy with and that pass as evaluation."""
    run.backend.wait_sec = 0.25
    run()
    assert run.times()[:2] == [3.75, 10.5]


def test_it_ends_when_both_targets_are_reached_even_at_different_times(tmp_path):
    """A run that ends at the first target, or that wants both in one evaluation."""
    run = Run(tmp_path, validation_target=3, test_target=9)
    (outcome,) = run()
    assert outcome.reason == "both targets reached"
    assert outcome.global_step == 9
    assert outcome.time_to_target_sec == 10.0


@pytest.mark.parametrize(("validation_step", "test_step"), [(3, 9), (9, 3)])
def test_a_target_once_reached_stays_reached(run, validation_step, test_step):
    """A run that forgets a target when the metric falls back."""
    run.workload.has_reached_validation_target = lambda results: (
        results["validation/accuracy"] == validation_step
    )
    run.workload.has_reached_test_target = lambda results: (
        results["test/accuracy"] == test_step
    )
    (outcome,) = run()
    assert outcome.reason == "both targets reached"
    assert outcome.global_step == 9


def test_it_ends_out_of_time_without_a_last_evaluation(tmp_path):
    """An evaluation, and so a chance to hit, after the budget is used up."""
    run = Run(tmp_path, validation_target=1e9)
    (outcome,) = run()
    assert outcome.reason == "out of time"
    # 42.5 s at step 13; the next evaluation would be due at step 15: 49 s; then 55.5.
    assert run.times()[-1] == 49.0
    assert outcome.submission_time_sec == 55.5
    assert outcome.time_to_target_sec is None


def test_the_budget_is_checked_after_prepare_for_eval(tmp_path):
    """A submission whose prepare_for_eval runs over the budget for free."""
    run = Run(tmp_path, validation_target=1e9)
    run.changes = {"budget_sec": 3.4}  # 3 s after step 1, 3.5 after prepare_for_eval
    (outcome,) = run()
    assert outcome.reason == "out of time"
    assert run.workload.evaluated == []


def test_training_complete_error_gives_a_last_evaluation(tmp_path):
    """A submission that says it is done and gets no free evaluation."""
    run = Run(tmp_path, validation_target=1e9)
    run.submission.complete_at = 4  # the fifth step; step 5 is no evaluation's turn
    run.workload.eval_period_time_sec = 1e9
    (outcome,) = run()
    assert outcome.reason == "training complete"
    assert [step for step, _ in run.workload.evaluated] == [1, 5]


def test_max_global_steps_ends_with_an_evaluation(tmp_path):
    """A cap on steps that is off by one or that skips the last evaluation."""
    run = Run(tmp_path, validation_target=1e9)
    run.workload.eval_period_time_sec = 1e9
    run.changes = {"max_global_steps": 6}
    (outcome,) = run()
    assert outcome.global_step == 6
    assert [step for step, _ in run.workload.evaluated] == [1, 6]


def test_skip_evals_evaluates_nothing(run):
    """--skip_evals that evaluates at the end after all."""
    run.changes = {"max_global_steps": 6, "skip_evals": True}
    run()
    assert run.workload.evaluated == []


FUNCTIONS = (
    "init_optimizer_state",
    "data_selection",
    "update_params",
    "prepare_for_eval",
)


def replaced(run, function, replacement):
    setattr(run.submission, function, lambda *_, **__: replacement())
    return pytest.raises(UserError, match=f"^fake: {function} ")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_submission_that_ends_the_process_is_named(run, function):
    """sys.exit(0) in submitted code that passes for the end of the run."""
    with replaced(run, function, lambda: sys.exit(0)) as caught:
        run()
    assert "called sys.exit(0)" in str(caught.value)
    assert not (run.path / "trial_1" / "outcome.json").exists()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_submission_that_fails_is_named(run, function):
    """A traceback that does not say which function of which file was called."""
    with replaced(run, function, lambda: 1 / 0) as caught:
        run()
    assert caught.type is SubmissionError
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


STATE = ({}, np.zeros(1), None)


@pytest.mark.parametrize(
    ("function", "value", "got"),
    [
        ("init_optimizer_state", None, "got NoneType"),
        ("init_optimizer_state", ({}, None), "got tuple of dict, NoneType"),
        *(("data_selection", value, "must return a batch") for value in (None, 3, "x")),
        *(
            (function, value, f"got {got}.")
            for function in ("update_params", "prepare_for_eval")
            for value, got in (
                (None, "NoneType"),
                ({}, "dict"),
                ("abc", "str"),
                (STATE[:2], "tuple of dict, ndarray"),
                ((*STATE, None), "tuple of dict, ndarray, NoneType, NoneType"),
                ((STATE[1], {}, None), "tuple of ndarray, dict, NoneType"),
                ((None, *STATE[1:]), "tuple of NoneType, ndarray, NoneType"),
            )
        ),
    ],
)
def test_a_wrong_structure_has_a_sentence(run, function, value, got):
    """A traceback of the runner, where a submission returned what it must not."""
    with replaced(run, function, lambda: value) as caught:
        run()
    assert got in str(caught.value)
    assert caught.type is UserError


def test_a_metric_that_is_no_number_is_the_submission_s(run):
    """A row that no reader can use, or a traceback of the line that shows it."""

    def log(global_step):
        run.workload.metrics_logger.append_scalar_metrics({"loss": "x"}, global_step)

    run.submission.before_step = log
    with pytest.raises(SubmissionError, match="update_params failed") as caught:
        run()
    assert str(caught.value.__cause__) == "loss must be a number, got 'x'."


@pytest.mark.parametrize("kind", [TypeError, RuntimeError])
def test_an_evaluation_that_fails_ends_the_run(run, kind):
    """An evaluation that fails and is only logged, while training goes on, or that
    does not name the submission."""
    run.workload.eval_error = kind("CUDA out of memory\nTried to allocate")
    with pytest.raises(SubmissionError, match="fake: the evaluation at step 1 failed "):
        run()


@pytest.mark.parametrize("removed", [1, 3, 5, 9, 11])
def test_measurements_that_are_removed_are_written_again(tmp_path, removed):
    """A file of one row of many, and with no header, at the end of a whole run."""
    whole, broken = Run(tmp_path / "whole"), Run(tmp_path / "broken")

    def remove(global_step):
        if global_step == removed - 1:
            for path in (broken.path / "trial_1").glob("*measurements.csv"):
                path.unlink()

    broken.submission.before_step = remove
    for run in (whole, broken):
        run.path.mkdir()
        run()
    for name in ("eval_measurements.csv", "measurements.csv"):
        assert broken.rows(name) == whole.rows(name)


def test_update_params_sees_the_train_state_read_only(run):
    """A train_state that is missing, stale, or writable by the submission."""
    run()
    first, second = run.submission.train_states[:2]
    assert first["accumulated_submission_time"] == 0
    assert first["last_eval_time"] == 0
    assert second["accumulated_submission_time"] == 3.5
    assert second["last_eval_time"] == 1103.5

    def write(*, train_state, **rest):
        train_state["is_time_remaining"] = True

    run.submission.update_params = write
    run.path = run.path / "other"
    run.path.mkdir()
    with pytest.raises(SubmissionError, match="failed with the TypeError") as caught:
        run()
    assert "item assignment" in str(caught.value.__cause__)


def test_the_same_seed_gives_the_same_run_and_zero_is_a_seed(tmp_path):
    """rng_seed=0 taken for "no seed", or a run that its seed does not fix."""
    results = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1), ("d", None), ("e", None)):
        run = Run(tmp_path / name)
        run.path.mkdir()
        run.seed = seed
        run()
        results.append(run.workload.evaluated)
    a, b, c, d, e = results
    assert a == b
    assert a != c
    assert d != e


def test_every_trial_has_a_seed_of_its_own(run):
    """Trials of one run that repeat the same random numbers."""
    points = [None, None]
    run(points)
    steps = [evaluated for evaluated in run.workload.evaluated if evaluated[0] == 1]
    assert len(steps) == 2
    assert steps[0] != steps[1]
    meta = [
        json.loads((run.path / f"trial_{n}" / "meta_data_0.json").read_text())
        for n in (1, 2)
    ]
    assert meta[0]["rng_seed"] != meta[1]["rng_seed"]


def stop_at(run, step, points=(None,)):
    """Makes the submission die in a step, as a killed process would."""
    update = run.submission.update_params

    def dying(*, global_step, train_state, **rest):
        if global_step == step:
            raise KeyboardInterrupt
        return update(global_step=global_step, train_state=train_state, **rest)

    run.submission.update_params = dying
    with pytest.raises(KeyboardInterrupt):
        run(points)
    run.submission.update_params = update


@pytest.mark.parametrize("step", [0, 1, 4, 8])
def test_a_resumed_run_is_the_run_that_was_not_stopped(tmp_path, step):
    """Data order, keys, times or rows that a stop and a resume change."""
    whole, broken = Run(tmp_path / "whole"), Run(tmp_path / "broken")
    for run in (whole, broken):
        run.path.mkdir()
    whole()
    stop_at(broken, step)
    broken.clock.pass_time(1e6)  # the downtime
    broken()

    def without_preemptions(run, name):
        return [
            {k: v for k, v in row.items() if k != "preemption_count"}
            for row in run.rows(name)
        ]

    for name in ("eval_measurements.csv", "measurements.csv"):
        assert without_preemptions(broken, name) == without_preemptions(whole, name)
    final = [run.backend.saved[-1] for run in (whole, broken)]
    assert [record["global_step"] for _, record in final] == [11, 11]
    assert final[0][0].model_params == final[1][0].model_params
    assert broken.submission.rngs[-3:] == whole.submission.rngs[-3:]


def test_a_seed_from_the_hardware_is_kept_on_resume(run):
    """A resumed run that goes on with another data order than it began with."""
    run.seed = None
    stop_at(run, 4)
    run()
    first, second = (
        json.loads((run.path / "trial_1" / f"meta_data_{n}.json").read_text())
        for n in (0, 1)
    )
    assert first["rng_seed"] == second["rng_seed"]


@pytest.mark.parametrize("killed_at_the_very_end", [False, True])
def test_a_finished_trial_is_left_alone(run, killed_at_the_very_end):
    """A second start with --resume_last_run that adds rows or trains on."""
    outcomes = run()
    files = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    if killed_at_the_very_end:  # the last checkpoint is whole, its outcome is not
        (run.path / "trial_1" / "outcome.json").unlink()
    assert run() == outcomes
    assert {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()} == files


def test_a_run_stopped_before_its_last_rows_writes_them(run):
    """A resume between the last evaluation and the end that leaves out the score."""
    save = run.backend.save

    def save_until_the_end(path, state, record):
        if record["finished"]:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(path, state, record)

    run.backend.save = save_until_the_end
    with pytest.raises(UserError, match="No space left"):
        run()
    del run.backend.save
    run()
    last = run.rows("measurements.csv")[-1]
    assert last["score"] == "36.0"
    assert last["validation/accuracy"] == ""
    assert len([r for r in run.rows("measurements.csv") if not r["test/accuracy"]]) == 1


def test_a_full_disk_is_one_sentence_and_loses_nothing(run):
    """A checkpoint that can't be written and takes the run's files with it."""
    run.workload.eval_period_time_sec = 0
    run.changes = {"max_global_steps": 3}
    run()
    run.backend.save_error = OSError(errno.ENOSPC, "No space left on device")
    run.path = run.path / "other"
    run.path.mkdir()
    with pytest.raises(
        UserError, match=r"checkpoint_1 can't be written.*No space left"
    ):
        run()


def test_intermediate_checkpoints_can_be_left_out(run):
    """--nosave_intermediate_checkpoints that keeps all, or not even the last."""
    run.changes = {"save_intermediate_checkpoints": False}
    run()
    assert [p.name for p in run.path.rglob("checkpoint_*")] == ["checkpoint_11"]


def test_no_checkpoints_where_none_are_wanted(run):
    """--nosave_checkpoints that writes some."""
    run.changes = {"save_checkpoints": False}
    run()
    assert not list(run.path.rglob("checkpoint_*"))


def test_only_the_asked_trials_run(run):
    """--hparam_start_index that renumbers trials or runs the others."""
    run([None] * 3, indices=range(1, 2))
    assert [p.name for p in run.path.iterdir()] == ["trial_2"]


@dataclasses.dataclass
class Point:
    learning_rate: float

    def _asdict(self):
        return dataclasses.asdict(self)


def test_hyperparameters_are_written_and_kept_on_resume(run):
    """A resumed trial that goes on with another point of the search space."""

    stop_at(run, 5, [Point(0.1)])
    assert json.loads((run.path / "trial_1" / "hparams.json").read_text()) == {
        "learning_rate": 0.1
    }
    run([Point(0.2)])
    assert [h.learning_rate for h in run.submission.hyperparameters] == [0.1, 0.1]


@pytest.mark.parametrize("name", ["hparams.json", "meta_data_0.json", "outcome.json"])
def test_a_damaged_file_of_a_trial_has_one_sentence(run, name):
    """A traceback, or a wait for ever, where a file of a run is another's."""
    run.changes = {"max_global_steps": 1}
    run([Point(0.1)])
    path = run.path / "trial_1" / name
    text = path.read_text()

    def assert_refused(key=""):
        with pytest.raises(UserError) as error:
            run([Point(0.1)])
        assert str(error.value).startswith(str(path))
        assert key in str(error.value)
        assert "\n" not in str(error.value)

    others = ["", text[:-4], "[]", "3", "null", '"x"', "{}"]
    for other in [*others, "[" * 100_000, "[1" + "0" * 5000 + "]"]:
        path.write_text(other)
        assert_refused()
    path.write_bytes(b"\xff" + text.encode())
    assert_refused()
    values = json.loads(text)
    wrong = [10**400, float("nan"), float("inf"), "x", "[/b]\x1b[2J", [1], {}, True]
    if name != "hparams.json":
        wrong.append(-1)
    keys = {"hparams.json": ["learning_rate"], "meta_data_0.json": ["rng_seed"]}
    for key in keys.get(name, values):
        less = {k: v for k, v in values.items() if k != key}
        for changed in (less, *({**values, key: value} for value in wrong)):
            path.write_text(json.dumps(changed))
            assert_refused(key)
    if name != "meta_data_0.json":
        path.write_text(json.dumps({**values, "another": 1}))
        assert_refused("another")
    path.unlink()
    path.mkdir()
    assert_refused()
    path.rmdir()
    os.mkfifo(path)
    assert_refused()
    path.unlink()
    path.write_text(text)
    run([Point(0.1)])


def test_progress_is_a_plain_line_an_evaluation_where_piped(run):
    """A log file full of control characters, or without metric, target and time."""
    run()
    lines = run.text.splitlines()
    assert lines[1] == (
        "step 3 | 10.0 s | validation/accuracy 3.0000 (target 10) | 40 s left"
    )
    assert lines[-1] == (
        "trial 1: both targets reached at step 11, 36.00 s of submission time; "
        "validation target reached after 36.00 s"
    )
    assert "\x1b" not in run.text


def test_pytorch_knows_a_wrong_state():
    """Parameters that are no model, or a state that no checkpoint can hold."""
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(1, 1)
    good = TrainingState({"sgd": torch.optim.SGD(model.parameters())}, model, None)
    fault = load_backend("pytorch").fault
    assert fault(good, good) is None
    for state in ([], {"step": 3}):
        assert "dict of objects" in fault(good._replace(optimizer_state=state), good)
    assert "torch.nn.Module" in fault(good._replace(model_params={}), good)


def test_jax_knows_a_wrong_state():
    """Parameters of other shapes, for which all is compiled anew, or half a state."""
    pytest.importorskip("jax")
    good = TrainingState(({}, len), {"w": np.ones(3)}, None)
    fault = load_backend("jax").fault
    assert fault(good, good) is None
    assert "a pair" in fault(good._replace(optimizer_state={}), good)
    assert "of the shapes" in fault(good._replace(model_params={"w": np.ones(2)}), good)
