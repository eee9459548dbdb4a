"""Milliseconds a step of whole entries on models of official size, side by side.

    python -m tests.gpu.steps --framework=pytorch [--tiny]

The entries of a model take their steps in turns, on a made-up batch of the size of one
GPU's share. In PyTorch each step is waited for, as the official runner does to read the
clock after each; in JAX each turn is. A row is printed as soon as it is measured:
the median over turns, their range, and the ratio to the first entry's turns.
"""

import statistics
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from absl import app, flags

from tests.gpu.drivers import driver_of
from unscheduled.benchmark.errors import first_line
from unscheduled.benchmark.frameworks import FRAMEWORKS
from unscheduled.benchmark.tables import markdown_table
from unscheduled.runner.backend import load_backend
from workloads_ext import registry

ALGORITHMS = (
    *("adamw", "nadamw", "radam", "lookahead_adamw"),
    *("schedule_free_adamw", "schedule_free_radam", "refined_schedule_free"),
)
TURNS, STEPS = 5, 10


class Model(NamedTuple):
    """A model of `workload`'s kind with other options, and the shape of its inputs."""

    workload: str
    options: dict[str, Any]
    shape: tuple[int, ...]  # of a batch: images without channels, or tokens
    classes: int


RESNET = {"num_classes": 1000, "bn_init_scale": 0.0}
MODELS = {
    # The body of a ResNet-34, on images as ResNet-50's stem leaves them: 21 M.
    "ResNet": Model(
        "digits_resnet",
        RESNET | {"stage_widths": (64, 128, 256, 512), "stage_sizes": (3, 4, 6, 3)},
        (128, 56, 56),
        1000,
    ),
    # As ViT-S/16's: 22 M parameters, 196 tokens.
    "ViT-sized": Model(
        "stdlib_lm",
        {"vocab_size": 1000, "width": 384, "num_layers": 12}
        | {"num_heads": 6, "mlp_width": 1024},
        (128, 196),
        1000,
    ),
    # As the Conformer: 25 M parameters, 500 frames.
    "Conformer-sized": Model(
        "stdlib_lm",
        {"vocab_size": 1024, "width": 512, "num_layers": 8}
        | {"num_heads": 8, "mlp_width": 1344},
        (32, 500),
        1024,
    ),
}
SMALL = {"stage_widths": (4, 8), "stage_sizes": (2, 1), "width": 8, "num_layers": 1}
SMALL |= {"num_heads": 2, "mlp_width": 8}

_FRAMEWORK = flags.DEFINE_enum("framework", "pytorch", FRAMEWORKS, "Which to time.")
_ALGORITHMS = flags.DEFINE_list("algorithms", [*ALGORITHMS], "The first is the base.")
_MODELS = flags.DEFINE_list("models", [*MODELS], "Names of models.")
_TINY = flags.DEFINE_bool("tiny", False, "Small sizes, to try it on a CPU.")


def tiny(model: Model) -> Model:
    """The same at a size that a CPU trains in milliseconds."""
    options = {name: SMALL.get(name, value) for name, value in model.options.items()}
    return model._replace(options=options, shape=(2, *(8 for _ in model.shape[1:])))


def batch_of(model: Model, framework: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    if model.workload == "stdlib_lm":
        shape = model.shape
        inputs = rng.integers(model.classes, size=shape)
    else:
        axis = 1 if framework == "pytorch" else 3
        shape = model.shape[:1]
        inputs = np.expand_dims(rng.standard_normal(model.shape, np.float32), axis)
    return {"inputs": inputs, "targets": rng.integers(model.classes, size=shape)}


class Entry:
    """A submission on a model, always on the same batch."""

    def __init__(self, algorithm: str, model: Model, framework: str):
        backend = load_backend(framework)
        backend.start_trial(0)
        self._workload: Any = registry.load(model.workload, framework)
        self._workload.model_options = {**self._workload.model_options, **model.options}
        batch = batch_of(model, framework)
        self._workload.example_inputs = batch["inputs"][:1]
        self._batch = self._workload._place(batch)
        self._driver = driver_of(algorithm, framework, self._workload, backend)
        self._wait_for, self._waits = backend.wait_for, framework == "pytorch"
        key = self._driver.model_rng
        self._state = self._driver.init(*self._workload.init_model_fn(key))
        self._step = 0

    def turn(self, steps: int) -> float:
        """Seconds a step, over some steps."""
        self._wait_for(self._state)
        start = time.perf_counter()
        for _ in range(steps):
            arguments = (self._state, self._batch, self._step, [], {})
            self._state = self._driver.update(*arguments)
            self._step += 1
            if self._waits:
                self._wait_for(self._state)
        self._wait_for(self._state)
        return (time.perf_counter() - start) / steps


def rows(name: str, model: Model, framework: str) -> Iterator[tuple[str, ...]]:
    """A row an entry; each is timed in turns with the first."""
    base: Entry | None = None
    for algorithm in _ALGORITHMS.value:
        try:
            entry = Entry(algorithm, model, framework)
            first = entry.turn(1)
        except Exception as error:  # such as too little memory: the others go on
            message = f"failed: {type(error).__name__}: {first_line(error)}"
            yield name, algorithm, message, "", "", ""
            continue
        base = base or entry
        turns = [(entry.turn(STEPS), base.turn(STEPS)) for _ in range(TURNS)]
        times = [1000 * own for own, _ in turns]
        ratio = statistics.median(own / other for own, other in turns)
        spread = f"{min(times):.1f}-{max(times):.1f}"
        median = f"{statistics.median(times):.1f}"
        yield name, algorithm, median, spread, f"{ratio:.3f}", f"{first:.1f}"


def main(_) -> None:
    framework = _FRAMEWORK.value
    base = f"of {_ALGORITHMS.value[0]}'s"
    headings = ("model", "entry", "ms a step", "range", base, "first step, s")
    print(markdown_table(headings, []), flush=True)
    for name in _MODELS.value:
        model = tiny(MODELS[name]) if _TINY.value else MODELS[name]
        for cells in rows(name, model, framework):
            print(markdown_table(headings, [cells]).splitlines()[-1], flush=True)


if __name__ == "__main__":
    app.run(main)
