"""One official workload in one process: some steps of each entry on fake batches.

`grid.py` writes the request, a JSON file. The workload, its model and its fake data are
made once, by the helpers of the official `tests/reference_algorithm_tests.py`; every
entry starts from the same parameters. One JSON line for each entry is appended to the
results as it ends.
"""

import contextlib
import gc
import importlib
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unscheduled.benchmark.errors import first_line
from unscheduled.runner.backend import Backend, load_backend
from unscheduled.runner.checkpoints import CountedQueue
from unscheduled.runner.driver import Driver
from unscheduled.runner.submission import load_submission

BATCH_SIZE = 2
DECODE_LENGTH = 8  # tokens that wmt's beam search writes; officially 256
# RAdam's first steps move nothing where its variance has no bound yet (rho_t <= 4).
LEAST_STEPS, MOST_STEPS = 2, 8
SEED = 0


class Bench(NamedTuple):
    """What all entries share."""

    workload: Any
    name: str
    reference: Any  # the module of the official test
    backend: Backend
    params: Any
    model_state: Any


def build(request: dict[str, Any], folder: str) -> Bench:
    """The workload with one fake batch, and its first parameters."""
    name, framework = request["workload"], request["framework"]
    sys.path.insert(0, request["official"])  # its `tests`, before ours
    reference = importlib.import_module("tests.reference_algorithm_tests")
    flags, log_file = reference.FLAGS, f"{folder}/log.pkl"
    flags(["one_step", f"--framework={framework}", f"--log_file={log_file}"])
    flags.num_train_steps = MOST_STEPS
    if framework == "jax":
        if not request["optimize"]:
            os.environ["XLA_FLAGS"] += " --xla_backend_optimization_level=0"
        # The official decoder is jitted anew for each split; this finds it again.
        jax = importlib.import_module("jax")
        jax.config.update("jax_compilation_cache_dir", f"{folder}/compiled")
    entry = reference.submission_runner.WORKLOADS[name]
    base = Path(reference.submission_runner.BASE_WORKLOADS_DIR)
    workload_class = reference.workloads.import_workload(
        workload_path=str(base / f"{entry['workload_path']}_{framework}/workload.py"),
        workload_class_name=entry["workload_class_name"],
        return_class=True,
    )
    workload = reference._make_one_batch_workload(
        workload_class, name, framework, BATCH_SIZE, True, 1
    )
    if translate := getattr(workload, "translate_and_calculate_bleu", None):

        def capped(params, ds_iter, num_batches, max_predict_length):
            length = min(max_predict_length, DECODE_LENGTH)
            return translate(params, ds_iter, num_batches, length)

        workload.translate_and_calculate_bleu = capped
    backend = load_backend(framework)
    backend.start_trial(SEED)
    params, model_state = workload.init_model_fn(backend.random.key(SEED))
    return Bench(workload, name, reference, backend, params, model_state)


def parameters(model_params: Any) -> dict[str, np.ndarray]:
    """The parameters of a torch module or a JAX pytree, by name."""
    if hasattr(model_params, "named_parameters"):
        return {n: p.numpy(force=True) for n, p in model_params.named_parameters()}
    tree_util = importlib.import_module("jax.tree_util")
    leaves = tree_util.tree_leaves_with_path(model_params)
    return {tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def finite(values: Iterable[tuple[str, Any]]) -> None:
    bad = [name for name, value in values if not np.isfinite(value).all()]
    assert not bad, f"not finite: {', '.join(bad[:3])}"


def check(bench: Bench, job: dict[str, Any]) -> None:
    """Takes the entry of a job through its steps, and asserts what it should do."""
    workload, reference, backend = bench.workload, bench.reference, bench.backend
    workload._eval_iters = {}
    workload.metrics_logger = logger = reference._FakeMetricsLogger()
    hyperparameters = {}  # as the official test gives
    if job["search_space"]:
        space = json.loads(Path(job["search_space"]).read_text())
        hyperparameters = reference.halton.generate_search(space, num_trials=1)[0]
    entry = load_submission(job["path"])
    size = entry.get_batch_size(bench.name)
    is_size = isinstance(size, int) and size > 0
    assert is_size, f"batch size {size!r}"
    driver = Driver(
        entry,
        workload,
        backend.random,
        hyperparameters,
        SEED,
        calling=lambda function: contextlib.nullcontext(),
        fault=backend.fault,
    )
    queue = CountedQueue(
        workload._build_input_queue(
            driver.data_rng, "train", data_dir="", global_batch_size=BATCH_SIZE
        )
    )
    backend.start_trial(SEED)
    state = driver.init(*deepcopy((bench.params, bench.model_state)))
    before, moved, steps = parameters(bench.params), 0, 0
    while steps < LEAST_STEPS or (steps < MOST_STEPS and not moved):
        batch = driver.select(queue, state, steps)
        state = driver.update(state, batch, steps, [], {})
        steps += 1
        after = parameters(state.model_params)
        moved = sum(not np.array_equal(after[name], before[name]) for name in before)
        state = driver.prepare(state, steps, [])
    assert moved, f"none of the {len(before)} parameters moved in {steps} steps"
    finite(parameters(state.model_params).items())
    assert queue.taken == steps, f"{queue.taken} batches, {steps} steps"
    assert any("loss" in row for row in logger.scalars), "no loss was logged"
    metrics = workload.eval_model(
        BATCH_SIZE,
        state.model_params,
        state.model_state,
        driver.eval_rng(steps),
        "",
        imagenet_v2_data_dir=None,
        global_step=steps,
    )
    expected = reference._EXPECTED_METRIC_NAMES[bench.name]
    assert set(expected) <= set(metrics), f"metrics {sorted(metrics)}, not {expected}"
    logged = (pair for row in logger.scalars for pair in row.items())
    finite((name, float(value)) for name, value in (*metrics.items(), *logged))


def main(request_path: str) -> None:
    request = json.loads(Path(request_path).read_text())
    with tempfile.TemporaryDirectory() as folder:
        bench = build(request, folder)
        for job in request["jobs"]:
            start = time.process_time()  # says more on a busy machine than the wall
            record: dict[str, Any] = {"status": "ok"}
            try:
                check(bench, job)
            except Exception as error:
                traceback.print_exc()
                message = f"{type(error).__name__}: {first_line(error)}"[:300]
                record = {"status": "failed", "error": message}
            gc.collect()
            record["seconds"] = round(time.process_time() - start, 1)
            with open(request["results"], "a") as results:
                results.write(json.dumps({**job["key"], **record}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
