"""Every entry on every official workload, two steps each, and the page about it.

    python -m scripts.evidence.official.grid [--workloads=ogbg,wmt] [--frameworks=jax]
        [--algorithms=radam] [--results=runs/official/steps.jsonl]
    python -m scripts.evidence.official.grid --table

Run it with a Python that has AlgoPerf, installed from a clone of its repository
(`pip install -e`): the check is built from the repository's own test. One process for
each workload and framework (one_step.py) takes all entries through it.
Results are appended to a file as they come; a second call goes on with what is
missing: cells whose code has changed since, and ones that failed. `--table` writes
docs/evidence/official_harness.md anew from that file.
"""

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
from absl import app, flags

from scripts.evidence.official.code import ROOT, UPSTREAM, code_hash
from unscheduled.benchmark.errors import UserError

WORKLOADS = (
    "ogbg",
    "imagenet_resnet",
    "imagenet_vit",
    "librispeech_deepspeech",
    "librispeech_conformer",
    "fastmri",
    "wmt",
    "criteo1tb",
)
EXTRA_WORKLOADS = ("mnist", "cifar")
FRAMEWORKS = ("pytorch", "jax")
PACKAGES = ("torch", "jax", "flax", "optax", "tensorflow", "numpy")
# What the largest workload needs; another process of the machine might be ended for it.
NEEDED_GIB = {"criteo1tb": 20}
# Where XLA takes longer to optimize two steps than they then save.
COMPILED_LONGER = ("imagenet_resnet", "imagenet_vit", "mnist", "ogbg")
WORKER = "scripts.evidence.official.one_step"

_WORKLOADS = flags.DEFINE_list("workloads", list(WORKLOADS), "Official workloads.")
_FRAMEWORKS = flags.DEFINE_list("frameworks", list(FRAMEWORKS), "Frameworks.")
_ALGORITHMS = flags.DEFINE_list(
    "algorithms", None, f"Names in submissions/, or {UPSTREAM!r}; default: all."
)
_RESULTS = flags.DEFINE_string(
    "results", "runs/official/steps.jsonl", "The file of the results."
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 2, "Examples in a fake batch.")
_DECODE_LENGTH = flags.DEFINE_integer(
    "decode_length", 8, "Tokens that wmt's beam search writes; officially 256."
)
_CELL_LIMIT = flags.DEFINE_integer(
    "cell_limit", 1800, "Seconds after which a cell counts as hanging."
)
_TABLE = flags.DEFINE_bool("table", False, "Write the page, run nothing.")


def algorithms(framework: str) -> list[str]:
    """The algorithms that have a submission for `framework`."""
    found = ROOT.glob(f"submissions/*_{framework}/submission.py")
    return sorted(path.parent.name.removesuffix(f"_{framework}") for path in found)


def chosen(given: list[str] | None, valid: Iterable[str], what: str) -> list[str]:
    """What a flag asks for, in the order of `valid`.

    Raises:
      UserError: for a name that is not in `valid`.
    """
    valid = list(valid)
    if given is None:
        return valid
    for name in given:
        if name not in valid:
            raise UserError(f"No {what} {name!r}; there are {', '.join(valid)}.")
    return [name for name in valid if name in given]


def official_root() -> Path:
    """The clone of the official repository that `algoperf` was installed from.

    Raises:
      UserError: without algoperf, or without the repository's tests beside it.
    """
    found = importlib.util.find_spec("algoperf")
    if found is None or not found.submodule_search_locations:
        raise UserError(
            "algoperf is not installed here; run this with a Python that has it, from "
            "a clone of the official repository (pip install -e)."
        )
    root = Path(next(iter(found.submodule_search_locations))).resolve().parent
    if not (root / "tests" / "reference_algorithm_tests.py").exists():
        raise UserError(
            f"algoperf at {root} comes without tests/reference_algorithm_tests.py; "
            "install it from a clone of the official repository (pip install -e)."
        )
    return root


def environment(root: Path) -> dict[str, str]:
    """What a result depends on besides our code: versions."""
    commit = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "--short=7", "HEAD"],
        capture_output=True,
        text=True,
    ).stdout.strip()
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"algoperf": commit or importlib.metadata.version("algoperf"), **versions}


def job(algorithm: str, framework: str, workload: str, versions: dict) -> dict:
    """What the worker is asked to check: a submission, and the key of its result."""
    path, search_space = f"submissions/{algorithm}_{framework}/submission.py", None
    if algorithm == UPSTREAM:
        # The self-tuning one for JAX fails by itself: it reads a dict's attributes.
        folder = "algorithms/baselines/external_tuning"
        path = f"{folder}/{framework}_nadamw_full_budget.py"
        search_space = f"{official_root()}/{folder}/tuning_search_space.json"
    key = {
        "workload": workload,
        "framework": framework,
        "algorithm": algorithm,
        "code": code_hash(algorithm, framework),
        "environment": versions,
    }
    return {"path": path, "search_space": search_space, "key": key}


def read(results: Path) -> list[dict[str, Any]]:
    """The lines of the results, oldest first."""
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text().splitlines()]


def missing(jobs: list[dict], results: Path) -> list[dict]:
    """The jobs without a line that says ok."""
    done = [
        {name: line[name] for name in jobs[0]["key"]}
        for line in (read(results) if jobs else [])
        if line["status"] == "ok"
    ]
    return [job for job in jobs if job["key"] not in done]


def run_jobs(jobs: list[dict], results: Path, limit: int) -> None:
    """Processes until each job has a line: one, where none of them dies."""
    while jobs:
        first = jobs[0]["key"]
        before = len(_lines_of(first, results))
        log = results.parent / f"{first['workload']}_{first['framework']}.log"
        ended = _run_worker(jobs, results, log, limit * len(jobs))
        lines = _lines_of(first, results)[before:]
        for line in lines:
            print(f"  {line['algorithm']}: {line.get('error', line['status'])}")
        jobs = jobs[len(lines) :]
        if jobs:  # the process died in this one
            line = {
                **jobs[0]["key"],
                "status": "failed",
                "error": f"{ended}; see {log}",
            }
            with results.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(f"  {line['algorithm']}: {line['error']}")
            jobs = jobs[1:]


def _lines_of(key: dict, results: Path) -> list[dict]:
    """The lines of one workload and framework; others may be written beside them."""
    names = ("workload", "framework", "environment")
    return [
        line for line in read(results) if all(line[name] == key[name] for name in names)
    ]


def _run_worker(jobs: list[dict], results: Path, log: Path, limit: int) -> str:
    """Runs one process; how it ended."""
    key = jobs[0]["key"]
    request = {
        "workload": key["workload"],
        "framework": key["framework"],
        "batch_size": _BATCH_SIZE.value,
        "decode_length": _DECODE_LENGTH.value,
        "optimize": key["workload"] not in COMPILED_LONGER,
        "official": str(official_root()),
        "results": str(results),
        "jobs": jobs,
    }
    with tempfile.TemporaryDirectory() as folder, log.open("w") as output:
        path = Path(folder) / "request.json"
        path.write_text(json.dumps(request))
        try:
            code = subprocess.run(
                [sys.executable, "-m", WORKER, str(path)],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=limit,
            ).returncode
        except subprocess.TimeoutExpired:
            return f"was not done after {limit} s"
    return f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"


def plan(root: Path) -> Iterator[list[dict]]:
    """The jobs that the flags ask for, a list for each process."""
    versions = environment(root)
    workloads = chosen(_WORKLOADS.value, (*WORKLOADS, *EXTRA_WORKLOADS), "workload")
    frameworks = chosen(_FRAMEWORKS.value, FRAMEWORKS, "framework")
    everything = [UPSTREAM, *sorted({a for f in FRAMEWORKS for a in algorithms(f)})]
    names = chosen(_ALGORITHMS.value, everything, "algorithm")
    for workload in workloads:
        for framework in frameworks:
            yield [
                job(name, framework, workload, versions)
                for name in names
                if name in (UPSTREAM, *algorithms(framework))
            ]


def has_room(workload: str) -> bool:
    """Whether the machine has the memory free that a workload needs."""
    needed = NEEDED_GIB.get(workload, 0)
    free = psutil.virtual_memory().available / 2**30
    if free < needed:
        print(f"  left out: {workload} needs {needed} GiB, {free:.0f} are free")
    return free >= needed


def main(argv: list[str]) -> None:
    """Runs what is missing, or writes the page."""
    if len(argv) > 1:
        raise UserError(f"Unexpected arguments: {' '.join(argv[1:])}.")
    results = Path(_RESULTS.value).resolve()
    results.parent.mkdir(parents=True, exist_ok=True)
    if _TABLE.value:
        from scripts.evidence.official.page import write  # matplotlib, slow to import

        rows = [(name, f) for f in FRAMEWORKS for name in (UPSTREAM, *algorithms(f))]
        hashes = {row: code_hash(*row) for row in rows}
        write(read(results), rows, WORKLOADS, hashes)
        return
    for jobs in plan(official_root()):
        todo = missing(jobs, results)
        name = " ".join((jobs[0]["key"]["workload"], jobs[0]["key"]["framework"]))
        print(f"{name}: {len(todo)} to do, {len(jobs) - len(todo)} done", flush=True)
        if todo and has_room(jobs[0]["key"]["workload"]):
            run_jobs(todo, results, _CELL_LIMIT.value)


if __name__ == "__main__":
    try:
        app.run(main)
    except UserError as error:
        sys.exit(str(error))
