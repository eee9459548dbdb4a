"""Every entry on every official workload, two steps each, and the page about it.

    python -m scripts.evidence.official.grid [--workloads=ogbg,wmt] [--frameworks=jax]
        [--algorithms=radam] [--results=runs/official/steps.jsonl]
    python -m scripts.evidence.official.grid --table

Run it with a Python that has AlgoPerf, installed from a clone of its repository
(`pip install -e`): the check is built from the repository's own test. One process for
each workload and framework (one_step.py) takes all entries through it. Results are
appended to a file as they come; a second call goes on with what is missing: cells whose
code has changed since, and ones that failed. criteo1tb needs 21 GiB of memory.
`--table` writes docs/evidence/official_harness.md anew from that file.
"""

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

from absl import app, flags

from unscheduled.benchmark.targets import BENCHMARKS, load_benchmark

ROOT = Path(__file__).resolve().parents[3]
WORKLOADS = load_benchmark(BENCHMARKS["0.5"]).base
FRAMEWORKS = ("pytorch", "jax")
PACKAGES = ("torch", "jax", "flax", "optax", "tensorflow", "numpy")
UPSTREAM = "upstream"  # the baseline of the official repository, to compare with
# Where XLA takes longer to optimize two steps than they then save.
COMPILED_LONGER = ("imagenet_resnet", "imagenet_vit", "mnist", "ogbg")
LIMIT = 1800  # seconds for an entry

ENTRIES = [
    path.parent.name.rpartition("_")
    for path in sorted(ROOT.glob("submissions/*/submission.py"))
]
ROWS = [
    (algorithm, framework)
    for framework in FRAMEWORKS
    for algorithm in (UPSTREAM, *(a for a, _, f in ENTRIES if f == framework))
]
CHOICES = {
    "workloads": (*WORKLOADS, "mnist", "cifar"),
    "frameworks": FRAMEWORKS,
    "algorithms": sorted({algorithm for algorithm, _ in ROWS}),
}
flags.DEFINE_list("workloads", [*WORKLOADS], "Official workloads.")
flags.DEFINE_list("frameworks", [*FRAMEWORKS], "Frameworks.")
flags.DEFINE_list("algorithms", CHOICES["algorithms"], "Names in submissions/.")
flags.DEFINE_string("results", "runs/official/steps.jsonl", "The file of the results.")
flags.DEFINE_bool("table", False, "Write the page, run nothing.")
for name, choices in CHOICES.items():
    flags.register_validator(
        name,
        lambda given, choices=choices: set(given) <= set(choices),
        f"choose from {', '.join(choices)}",
    )


def code_hash(algorithm: str, framework: str) -> str:
    """Of what decides how an entry trains here, without comments and layout."""
    digest = hashlib.sha256()
    name = "torch" if framework == "pytorch" else framework
    package = ROOT / "unscheduled"
    folders = (package, package / "entries", package / "entries" / framework)
    paths = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    paths += sorted((package / f"optim_{name}").rglob("*.py"))
    paths += [ROOT / "submissions" / f"{algorithm}_{framework}" / "submission.py"]
    for path in paths if algorithm != UPSTREAM else ():
        digest.update(ast.dump(ast.parse(path.read_text())).encode())
    return digest.hexdigest()[:12]


def official_root() -> Path:
    """The clone of the official repository that `algoperf` was installed from."""
    found = importlib.util.find_spec("algoperf")
    root = Path(found.origin).resolve().parents[1] if found and found.origin else ROOT
    if not (root / "tests" / "reference_algorithm_tests.py").exists():
        sys.exit(
            "Run this with a Python that has algoperf, installed from a clone of the "
            "official repository (pip install -e)."
        )
    return root


def environment(root: Path) -> dict[str, str]:
    """What a result depends on besides our code: versions."""
    command = ["git", "-C", str(root), "rev-parse", "--short=7", "HEAD"]
    ended = subprocess.run(command, capture_output=True, text=True)
    commit = ended.stdout.strip() or importlib.metadata.version("algoperf")
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"algoperf": commit, **versions}


def job(algorithm: str, key: dict[str, Any], root: Path) -> dict[str, Any]:
    """What the worker is asked to check: a submission, and the key of its result."""
    framework = key["framework"]
    path = ROOT / "submissions" / f"{algorithm}_{framework}" / "submission.py"
    search_space = None
    if algorithm == UPSTREAM:
        # The self-tuning one for JAX fails by itself: it reads a dict's attributes.
        folder = root / "algorithms" / "baselines" / "external_tuning"
        path = folder / f"{framework}_nadamw_full_budget.py"
        search_space = str(folder / "tuning_search_space.json")
    key = {**key, "algorithm": algorithm, "code": code_hash(algorithm, framework)}
    return {"path": str(path), "search_space": search_space, "key": key}


def read(results: Path) -> list[dict[str, Any]]:
    """The lines of the results, oldest first."""
    lines = results.read_text().splitlines() if results.exists() else []
    return [json.loads(line) for line in lines]


def missing(jobs: list[dict], results: Path) -> list[dict]:
    """The jobs without a line that says ok."""
    done = [line for line in read(results) if line["status"] == "ok"]
    return [
        job
        for job in jobs
        if not any(job["key"].items() <= line.items() for line in done)
    ]


def run(jobs: list[dict], results: Path, root: Path) -> None:
    """A process for the jobs; each has a line afterwards, even if the process died."""
    before = len(read(results))
    workload, framework = jobs[0]["key"]["workload"], jobs[0]["key"]["framework"]
    log = results.parent / f"{workload}_{framework}.log"
    request = {
        "workload": workload,
        "framework": framework,
        "optimize": workload not in COMPILED_LONGER,
        "official": str(root),
        "results": str(results),
        "jobs": jobs,
    }
    with tempfile.TemporaryDirectory() as folder, log.open("w") as output:
        path = Path(folder) / "request.json"
        path.write_text(json.dumps(request))
        try:
            ended = subprocess.run(
                [sys.executable, "-m", "scripts.evidence.official.one_step", str(path)],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=LIMIT * len(jobs),
            )
            how = f"the process ended with status {ended.returncode}"
        except subprocess.TimeoutExpired:
            how = f"not done after {LIMIT * len(jobs)} s"
    with results.open("a") as file:
        reached = {line["algorithm"] for line in read(results)[before:]}
        for job in jobs:
            if job["key"]["algorithm"] not in reached:
                failure = {"status": "failed", "error": f"{how}; see {log}"}
                file.write(json.dumps({**job["key"], **failure}) + "\n")
    for line in read(results)[before:]:
        print(f"  {line['algorithm']}: {line.get('error', line['status'])}")


def main(_) -> None:
    """Runs what is missing, or writes the page."""
    results = Path(flags.FLAGS.results).resolve()
    results.parent.mkdir(parents=True, exist_ok=True)
    if flags.FLAGS.table:
        from scripts.evidence.official.page import write  # matplotlib, slow to import

        write(read(results), ROWS, WORKLOADS, {row: code_hash(*row) for row in ROWS})
        return
    root = official_root()
    versions = environment(root)
    for workload, framework in product(flags.FLAGS.workloads, flags.FLAGS.frameworks):
        key = {"workload": workload, "framework": framework, "environment": versions}
        jobs = [
            job(algorithm, key, root)
            for algorithm in flags.FLAGS.algorithms
            if (algorithm, framework) in ROWS
        ]
        todo = missing(jobs, results)
        done = len(jobs) - len(todo)
        print(f"{workload} {framework}: {len(todo)} to do, {done} done", flush=True)
        if todo:
            run(todo, results, root)


if __name__ == "__main__":
    app.run(main)
