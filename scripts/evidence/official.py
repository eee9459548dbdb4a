"""Every entry on an official workload, two steps each, and the page about it.

    python -m scripts.evidence.official mnist jax [--results FILE] [ALGORITHM ...]
    python -m scripts.evidence.official --table

Run it with a Python that has AlgoPerf, installed from a clone of its repository
(`pip install -e`): the workload, its model and its fake data are made once, by the
helpers of the official `tests/reference_algorithm_tests.py`; every entry starts from
the same parameters. A line for each entry is appended to the results as it ends.
criteo1tb needs 21 GiB of memory. `--table` writes docs/evidence/official_harness.md
from the newest line of each cell.
"""

import argparse
import contextlib
import gc
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unscheduled.benchmark.errors import first_line
from unscheduled.benchmark.frameworks import FRAMEWORKS
from unscheduled.benchmark.tables import markdown_table
from unscheduled.benchmark.targets import BENCHMARKS, load_benchmark
from unscheduled.runner.backend import Backend, load_backend
from unscheduled.runner.checkpoints import CountedQueue
from unscheduled.runner.rules import Clock
from unscheduled.runner.submission import Driver, load_submission

ROOT = Path(__file__).resolve().parents[2]
WORKLOADS = load_benchmark(BENCHMARKS["0.5"]).base
PACKAGES = ("torch", "jax", "flax", "optax", "tensorflow", "numpy")
PINNED_JAX = "0.7.0"
UPSTREAM = "upstream"  # the baseline of the official repository, to compare with
# Where XLA takes longer to optimize two steps than they then save.
COMPILED_LONGER = ("imagenet_resnet", "imagenet_vit", "mnist", "ogbg")
BATCH_SIZE = 2
DECODE_LENGTH = 8  # tokens that wmt's beam search writes; officially 256
# RAdam's first steps move nothing where its variance has no bound yet (rho_t <= 4).
LEAST_STEPS, MOST_STEPS = 2, 8
SEED = 0


class Bench(NamedTuple):
    workload: Any
    name: str
    reference: Any  # the module of the official test
    backend: Backend
    params: Any
    model_state: Any


def submissions(framework: str) -> dict[str, Path]:
    found = sorted(ROOT.glob(f"submissions/*_{framework}/submission.py"))
    return {path.parent.name.removesuffix(f"_{framework}"): path for path in found}


def official_root() -> Path:
    """The clone of the official repository that `algoperf` was installed from."""
    return Path(importlib.import_module("algoperf").__path__[0]).resolve().parent


def build(name: str, framework: str, folder: str) -> Bench:
    """The workload with one fake batch, and its first parameters."""
    sys.path.insert(0, str(official_root()))  # its `tests`, before ours
    reference = importlib.import_module("tests.reference_algorithm_tests")
    flags, log_file = reference.FLAGS, f"{folder}/log.pkl"
    flags(["official", f"--framework={framework}", f"--log_file={log_file}"])
    flags.num_train_steps = MOST_STEPS
    if framework == "jax":
        if name in COMPILED_LONGER:
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
    if hasattr(model_params, "named_parameters"):
        return {n: p.numpy(force=True) for n, p in model_params.named_parameters()}
    tree_util = importlib.import_module("jax.tree_util")
    leaves = tree_util.tree_leaves_with_path(model_params)
    return {tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def finite(values: Iterable[tuple[str, Any]]) -> None:
    bad = [name for name, value in values if not np.isfinite(value).all()]
    assert not bad, f"not finite: {', '.join(bad[:3])}"


def check(bench: Bench, path: Path, search_space: Path | None) -> None:
    """Takes an entry through its steps, and asserts what it should do."""
    workload, reference, backend = bench.workload, bench.reference, bench.backend
    workload._eval_iters = {}
    workload.metrics_logger = logger = reference._FakeMetricsLogger()
    hyperparameters = {}  # as the official test gives
    if search_space:
        space = json.loads(search_space.read_text())
        hyperparameters = reference.halton.generate_search(space, num_trials=1)[0]
    entry = load_submission(str(path))
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
        ),
        Clock(),
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


def run(name: str, framework: str, entries: Mapping[str, Path], results: Path) -> None:
    """Takes entries through a workload, with a line in the results for each."""
    root = official_root()
    git = ["git", "-C", str(root), "rev-parse", "--short=7", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    # The self-tuning one for JAX fails by itself: it reads a dict's attributes.
    baselines = root / "algorithms" / "baselines" / "external_tuning"
    with tempfile.TemporaryDirectory() as folder:
        bench = build(name, framework, folder)
        for algorithm, path in entries.items():
            is_ours = algorithm != UPSTREAM
            space = None if is_ours else baselines / "tuning_search_space.json"
            start = time.process_time()  # says more on a busy machine than the wall
            record: dict[str, Any] = {"status": "ok"}
            try:
                check(bench, baselines / path, space)  # which an absolute path is left
            except Exception as error:
                traceback.print_exc()
                message = f"{type(error).__name__}: {first_line(error)}"[:300]
                record = {"status": "failed", "error": message}
            gc.collect()
            line = {
                "workload": name,
                "framework": framework,
                "algorithm": algorithm,
                "environment": {"algoperf": commit.strip(), **versions},
                **record,
                "seconds": round(time.process_time() - start, 1),
            }
            print(f"{algorithm}: {record.get('error', 'ok')}", flush=True)
            with results.open("a") as file:
                file.write(json.dumps(line) + "\n")


def write(lines: Iterable[dict[str, Any]]) -> None:
    """Writes the page from lines of the results, the newest last."""
    from scripts.evidence.pages import publish  # whose flag is an official one too

    blocks, versions, names = {}, [], []
    for label in ("pinned", "newest"):
        cells = {}
        for line in lines:
            if (line["environment"]["jax"] == PINNED_JAX) == (label == "pinned"):
                cell = line["workload"], line["framework"], line["algorithm"]
                cells[cell] = line
        blocks[label] = table(cells)
        for line in cells.values():
            names = [*line["environment"]]
            if (row := [label, *line["environment"].values()]) not in versions:
                versions.append(row)
    blocks["versions"] = markdown_table(["", *names], versions)
    publish("official_harness", blocks)


def table(cells: Mapping[tuple[str, str, str], dict[str, Any]]) -> str:
    """A row for each entry of the frameworks that were run; what failed, below."""
    notes: list[str] = []
    body = []
    for framework in ("pytorch", "jax"):
        is_run = any(framework == cell[1] for cell in cells)
        for algorithm in (UPSTREAM, *submissions(framework)) if is_run else ():
            row = [f"{algorithm}_{framework}"]
            if algorithm == UPSTREAM:
                row = [f"*upstream's nadamw, {framework}*"]
            for workload in WORKLOADS:
                line = cells.get((workload, framework, algorithm))
                if line is None:
                    row.append("not run")
                elif line["status"] == "ok":
                    row.append(f"ok, {line['seconds']:.1f} s")
                else:
                    place = f"{workload}, {framework}, {algorithm}"
                    notes.append(f"({len(notes) + 1}) {place}: {line['error']}")
                    row.append(f"failed ({len(notes)})")
            body.append(row)
    if not body:
        return "Not run yet."
    return "\n\n".join((markdown_table(("entry", *WORKLOADS), body), *notes))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workload", nargs="?", choices=(*WORKLOADS, "mnist", "cifar"))
    parser.add_argument("framework", nargs="?", choices=FRAMEWORKS, default="jax")
    parser.add_argument("algorithms", nargs="*")
    parser.add_argument("--results", type=Path, default="runs/official/steps.jsonl")
    parser.add_argument("--table", action="store_true", help="write the page")
    given = parser.parse_args()
    if given.table:
        write([json.loads(line) for line in given.results.read_text().splitlines()])
        return
    if not given.workload:
        parser.error("name a workload and a framework, or --table")
    upstream = Path(f"{given.framework}_nadamw_full_budget.py")
    known = {UPSTREAM: upstream, **submissions(given.framework)}
    if unknown := sorted({*given.algorithms} - {*known}):
        parser.error(f"no {', '.join(unknown)}: choose from {', '.join(known)}")
    given.results.parent.mkdir(parents=True, exist_ok=True)
    chosen = {name: known[name] for name in given.algorithms or known}
    run(given.workload, given.framework, chosen, given.results)


if __name__ == "__main__":
    main()
