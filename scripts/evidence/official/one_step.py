"""One official workload in one process: some steps of each entry on fake batches.

    python -m scripts.evidence.official.one_step REQUEST.json

`grid.py` writes the request (workload, framework, batch_size,
decode_length, optimize, official, results, jobs) and starts one process for each
workload and framework. The workload, its model and its fake data are made once, by the
helpers of the official `tests/reference_algorithm_tests.py`; every entry starts from
the same parameters and goes through

    step, prepare_for_eval, step, prepare_for_eval, evaluation of all splits

(more steps, until a parameter has moved, where the first ones move none), which adds to
that test what the runner does before an evaluation, and training after it. One JSON
line for each entry is appended to the results as it ends.
"""

import dataclasses
import gc
import importlib
import json
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.evidence.official.bench import (
    LEAST_STEPS,
    MOST_STEPS,
    Batches,
    Bench,
    build,
    hyperparameters,
)


@dataclasses.dataclass
class Stage:
    """What the stages of a check took, and the one that runs now.

    Seconds are those of the CPU, all threads together: on a machine that does other
    work too, they say more than what passed on the wall.
    """

    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    name: str = "set-up"

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Times the block as stage `name`."""
        self.name = name
        start = time.process_time()
        yield
        self.seconds[name] = round(time.process_time() - start, 3)
        print(f"  {name}: {self.seconds[name]} s", flush=True)


def check(bench: Bench, job: dict[str, Any], stage: Stage) -> dict[str, Any]:
    """Takes the entry of a job through its steps; what it logged and reached.

    Raises:
      AssertionError: where a value is not finite, no parameter moved, no loss was
        logged, or another number of batches than one a step was taken.
    """
    bench.workload._eval_iters = {}
    bench.workload.metrics_logger = logger = bench.reference._FakeMetricsLogger()
    backend = bench.backend
    with stage("start"):
        trial = _Trial(bench, job)
    moved, total = 0, 0
    for step in range(MOST_STEPS):
        with stage(f"step {step + 1}"):
            trial.step(step)
            backend.wait(trial.params)
        if step + 1 >= LEAST_STEPS:
            moved, total = backend.count_moved(bench.params, trial.params)
        with stage(f"prepare_for_eval {step + 1}"):
            trial.prepare_for_eval(step)
            backend.wait(trial.params)
        if moved:
            break
    steps = step + 1
    assert moved, f"none of the {total} parameters moved in {steps} steps"
    bad = backend.not_finite((trial.params, trial.model_state))
    assert not bad, f"not finite: {', '.join(bad[:3])}"
    assert trial.queue.taken == steps, f"{trial.queue.taken} batches, {steps} steps"
    losses = [row["loss"] for row in logger.scalars if "loss" in row]
    assert losses, "no loss was logged"
    with stage("evaluation"):
        metrics = trial.evaluate(steps)
    expected = bench.reference._EXPECTED_METRIC_NAMES[bench.name]
    assert set(expected) <= set(metrics), f"metrics {sorted(metrics)}, not {expected}"
    values = {**metrics, "loss": losses[0]}
    for row in logger.scalars:
        values.update(row)
    values = {name: float(value) for name, value in values.items()}
    bad = [name for name, value in values.items() if not abs(value) < float("inf")]
    assert not bad, f"not finite: {', '.join(bad)}"
    return {"steps": steps, "moved": moved, "parameters": total, "values": values}


class _Trial:
    """The calls of one entry, with the arguments that the official test gives."""

    def __init__(self, bench: Bench, job: dict[str, Any]):
        self._bench = bench
        self._hyperparameters = hyperparameters(bench.reference, job["search_space"])
        module = bench.reference.workloads.convert_filepath_to_module(job["path"])
        self._entry = importlib.import_module(module)
        size = self._entry.get_batch_size(bench.name)
        assert isinstance(size, int), f"batch size {size!r}"
        assert size > 0, f"batch size {size}"
        data_rng, optimizer_rng, self._rng = bench.rngs
        self.queue = Batches(
            bench.workload._build_input_queue(
                data_rng, "train", data_dir="", global_batch_size=bench.batch_size
            )
        )
        self.params, self.model_state = bench.backend.copy(
            (bench.params, bench.model_state)
        )
        self._state = self._entry.init_optimizer_state(
            bench.workload,
            self.params,
            self.model_state,
            self._hyperparameters,
            optimizer_rng,
        )

    def _rngs(self, step: int) -> Any:
        prng = self._bench.reference.prng
        return prng.split(prng.fold_in(self._rng, step), 4)

    def _common(self) -> dict[str, Any]:
        workload = self._bench.workload
        return {
            "workload": workload,
            "current_param_container": self.params,
            "current_params_types": workload.model_params_types,
            "model_state": self.model_state,
            "hyperparameters": self._hyperparameters,
            "loss_type": workload.loss_type,
            "optimizer_state": self._state,
            "eval_results": [],
        }

    def step(self, step: int) -> None:
        """One batch, one update."""
        select_rng, update_rng, _, _ = self._rngs(step)
        batch = self._entry.data_selection(
            self._bench.workload,
            self.queue,
            self._state,
            self.params,
            self.model_state,
            self._hyperparameters,
            step,
            select_rng,
        )
        self._state, self.params, self.model_state = self._entry.update_params(
            **self._common(),
            batch=batch,
            train_state={},
            global_step=step,
            rng=update_rng,
        )

    def prepare_for_eval(self, step: int) -> None:
        """What the runner calls before an evaluation."""
        self._state, self.params, self.model_state = self._entry.prepare_for_eval(
            **self._common(), global_step=step + 1, rng=self._rngs(step)[2]
        )

    def evaluate(self, steps: int) -> dict[str, Any]:
        """The official evaluation of all splits, after `steps` steps."""
        return self._bench.workload.eval_model(
            self._bench.batch_size,
            self.params,
            self.model_state,
            self._rngs(steps - 1)[3],
            "",
            imagenet_v2_data_dir=None,
            global_step=steps,
        )


def run_job(bench: Bench, job: dict[str, Any]) -> dict[str, Any]:
    """The line of the results for one entry."""
    stage = Stage()
    record: dict[str, Any] = {"status": "ok"}
    try:
        record.update(check(bench, job, stage))
    except Exception as error:
        record = failure(error, stage.name)
    gc.collect()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {**record, "seconds": stage.seconds, "peak_gib": round(peak, 1)}


def failure(error: Exception, stage: str) -> dict[str, Any]:
    """What went wrong, for the table and for whoever repairs it."""
    traceback.print_exc()
    first_line = (str(error).splitlines() or [""])[0]
    return {
        "status": "failed",
        "stage": stage,
        "error": f"{type(error).__name__}: {first_line}"[:300],
        "traceback": traceback.format_exc(),
    }


def main(request_path: str) -> None:
    """Runs the jobs of a request."""
    request = json.loads(Path(request_path).read_text())
    with tempfile.TemporaryDirectory() as folder:
        try:
            bench, broken = build(request, folder), None
        except Exception as error:
            bench, broken = None, failure(error, "set-up")
        set_up = {"set_up_seconds": round(time.process_time(), 1)}
        for job in request["jobs"]:
            record = broken if bench is None else run_job(bench, job)
            line = {**job["key"], **set_up, **(record or {})}
            with open(request["results"], "a") as results:
                results.write(json.dumps(line) + "\n")
            print(f"{job['key']['algorithm']}: {line['status']}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
