"""An official workload on fake batches, made by the helpers of the official test."""

import dataclasses
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scripts.evidence.official.backends import Jax, Torch

# RAdam's first steps move nothing where its variance has no bound yet (rho_t <= 4).
LEAST_STEPS, MOST_STEPS = 2, 8


@dataclasses.dataclass(frozen=True)
class Bench:
    """What all entries share: the workload, its first parameters, their helpers."""

    workload: Any
    name: str
    batch_size: int
    reference: Any  # the module of the official test
    backend: Any
    params: Any
    model_state: Any
    rngs: tuple[Any, Any, Any]  # data, optimizer, steps


class Batches:
    """An input queue that counts what is taken from it."""

    def __init__(self, batches: Iterator[Any]):
        self._batches = batches
        self.taken = 0

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> Any:
        self.taken += 1
        return next(self._batches)


def import_official(root: str, framework: str, log_file: str) -> Any:
    """The module of the official test, flags parsed, from the repository at `root`."""
    sys.path.insert(0, root)  # its `tests` and `submission_runner`, before ours
    reference = importlib.import_module("tests.reference_algorithm_tests")
    flags = reference.FLAGS
    flags(["one_step", f"--framework={framework}", f"--log_file={log_file}"])
    flags.num_train_steps = MOST_STEPS
    return reference


def build(request: dict[str, Any], folder: str) -> Bench:
    """The workload with one fake batch, and its first parameters."""
    name, framework = request["workload"], request["framework"]
    size = request["batch_size"]
    reference = import_official(request["official"], framework, f"{folder}/log.pkl")
    backend = Torch() if framework == "pytorch" else Jax(folder, request["optimize"])
    runner, prng = reference.submission_runner, reference.prng
    entry = runner.WORKLOADS[name]
    workload_class = reference.workloads.import_workload(
        workload_path=str(
            Path(runner.BASE_WORKLOADS_DIR)
            / f"{entry['workload_path']}_{framework}"
            / "workload.py"
        ),
        workload_class_name=entry["workload_class_name"],
        return_class=True,
    )
    workload = reference._make_one_batch_workload(
        workload_class, name, framework, size, True, 1
    )
    if request["decode_length"] and hasattr(workload, "translate_and_calculate_bleu"):
        cap_decoding(workload, request["decode_length"])
    data_rng, optimizer_rng, model_rng, rng = prng.split(prng.PRNGKey(0), 4)
    params, model_state = workload.init_model_fn(model_rng)
    rngs = (data_rng, optimizer_rng, rng)
    return Bench(workload, name, size, reference, backend, params, model_state, rngs)


def cap_decoding(workload: Any, length: int) -> None:
    """Makes the beam search of `workload` end at `length` tokens."""
    translate: Callable[..., Any] = workload.translate_and_calculate_bleu

    def capped(params, ds_iter, num_batches, max_predict_length):
        return translate(params, ds_iter, num_batches, min(max_predict_length, length))

    workload.translate_and_calculate_bleu = capped


def hyperparameters(reference: Any, search_space: str | None) -> Any:
    """The first point of a search space, or what the official test gives: {}."""
    if search_space is None:
        return {}
    space = json.loads(Path(search_space).read_text())
    return reference.halton.generate_search(space, num_trials=1)[0]
