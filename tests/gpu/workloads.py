"""The embedded workloads: what training them a little gives, and milliseconds a step.

    python -m tests.gpu.workloads --framework=pytorch --data_dir=data [--scale=8]

Schedule-Free AdamW takes its first steps on each, on batches that are there already,
and is evaluated. The values on a GPU and on a CPU are to be compared. Each step is
waited for.
"""

import statistics
import time
from typing import Any

from absl import app, flags

from tests.gpu.drivers import driver_of
from unscheduled.benchmark.errors import first_line
from unscheduled.benchmark.frameworks import FRAMEWORKS
from unscheduled.benchmark.tables import markdown_table
from unscheduled.benchmark.targets import read_target
from unscheduled.runner.backend import load_backend
from unscheduled.runner.submission import train_batch_size
from workloads_ext import registry

_FRAMEWORK = flags.DEFINE_enum("framework", "pytorch", FRAMEWORKS, "Which to run.")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Where data sets are, or are made.")
_SCALE = flags.DEFINE_integer("scale", 1, "Of the model's widths and of the batch.")
_STEPS = flags.DEFINE_integer("steps", 20, "On each workload.", 3)
_WORKLOADS = flags.DEFINE_list("workloads", [*registry.WORKLOADS], "Which.")
HEADINGS = ("workload", "batch", "ms a step", "metric", "evaluation, s")


def row(name: str, framework: str) -> tuple[str, ...]:
    backend = load_backend(framework)
    backend.start_trial(0)
    workload: Any = registry.load(name, framework, scale=_SCALE.value)
    driver = driver_of("schedule_free_adamw", framework, workload, backend)
    state = driver.init(*workload.init_model_fn(driver.model_rng))
    size = _SCALE.value * train_batch_size(driver.submission, name)
    data_dir = _DATA_DIR.value
    queue = workload._build_input_queue(driver.data_rng, "train", data_dir, size)
    batches = [next(queue) for _ in range(_STEPS.value)]
    seconds = []
    for step, batch in enumerate(batches):
        backend.wait_for(state)
        start = time.perf_counter()
        state = driver.update(state, batch, step, [], {})
        backend.wait_for(state)
        seconds.append(time.perf_counter() - start)
    state = driver.prepare(state, len(batches), [])
    start = time.perf_counter()
    metrics = workload._eval_model_on_split(
        "validation",
        workload.num_validation_examples,
        workload.eval_batch_size,
        state.model_params,
        state.model_state,
        driver.eval_rng(len(batches)),
        data_dir,
    )
    evaluation = time.perf_counter() - start
    metric = read_target(name).metric
    return (
        name,
        str(size),
        f"{1000 * statistics.median(seconds[2:]):.1f}",
        f"{metric} {metrics[metric]:.4f}",
        f"{evaluation:.1f}",
    )


def main(_) -> None:
    print(markdown_table(HEADINGS, []), flush=True)
    for name in _WORKLOADS.value:
        try:
            cells = row(name, _FRAMEWORK.value)
        except Exception as error:  # such as too little memory: the others go on
            message = f"failed: {type(error).__name__}: {first_line(error)}"
            cells = (name, message, "", "", "")
        print(markdown_table(HEADINGS, [cells]).splitlines()[-1], flush=True)


if __name__ == "__main__":
    app.run(main)
