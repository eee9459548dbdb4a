"""Every entry on every official workload, two steps each, and the page about it.

    python -m scripts.evidence.official.grid [--workloads=ogbg --workloads=wmt]
        [--frameworks=jax] [--algorithms=radam] [--results=runs/official/steps.jsonl]
    python -m scripts.evidence.official.grid --table

Run it with a Python that has AlgoPerf, installed from a clone of its repository
(`pip install -e`): the check is built from the repository's own test. One process for
each workload and framework (one_step.py) takes all entries through it. Results are
appended to a file as they come; a second call goes on with what is missing or failed.
After a change to the code, remove the file. criteo1tb needs 21 GiB of memory.
`--table` writes docs/evidence/official_harness.md anew from that file.
"""

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

from unscheduled.benchmark.frameworks import FRAMEWORKS
from unscheduled.benchmark.tables import markdown_table
from unscheduled.benchmark.targets import BENCHMARKS, load_benchmark

ROOT = Path(__file__).resolve().parents[3]
WORKLOADS = load_benchmark(BENCHMARKS["0.5"]).base
PACKAGES = ("torch", "jax", "flax", "optax", "tensorflow", "numpy")
UPSTREAM = "upstream"  # the baseline of the official repository, to compare with
# Where XLA takes longer to optimize two steps than they then save.
COMPILED_LONGER = ("imagenet_resnet", "imagenet_vit", "mnist", "ogbg")
LIMIT = 1800  # seconds for an entry
PINNED_JAX = "0.7.0"
Line = dict[str, Any]  # of the results

NAMES = sorted(path.name for path in ROOT.glob("submissions/*_*"))
ROWS = [
    (name.removesuffix(f"_{framework}"), framework)
    for framework in FRAMEWORKS[::-1]
    for name in (UPSTREAM, *(name for name in NAMES if name.endswith(framework)))
]
ALGORITHMS = list(dict.fromkeys(algorithm for algorithm, _ in ROWS))
flags.DEFINE_multi_enum(
    "workloads", WORKLOADS, [*WORKLOADS, "mnist", "cifar"], "Official workloads."
)
flags.DEFINE_multi_enum("frameworks", FRAMEWORKS, FRAMEWORKS, "Frameworks.")
flags.DEFINE_multi_enum("algorithms", ALGORITHMS, ALGORITHMS, "Of submissions/.")
flags.DEFINE_string("results", "runs/official/steps.jsonl", "The file of the results.")
flags.DEFINE_bool("table", False, "Write the page, run nothing.")


def official_root() -> Path:
    """The clone of the official repository that `algoperf` was installed from."""
    found = importlib.util.find_spec("algoperf")
    root = Path(found.origin).resolve().parents[1] if found and found.origin else ROOT
    if not (root / "tests" / "reference_algorithm_tests.py").exists():
        sys.exit("algoperf is not installed from a clone of the official repository.")
    return root


def job(algorithm: str, key: Line, root: Path) -> dict[str, Any]:
    """What the worker is asked to check: a submission, and the key of its result."""
    framework, key = key["framework"], {**key, "algorithm": algorithm}
    if algorithm != UPSTREAM:
        path = ROOT / "submissions" / f"{algorithm}_{framework}" / "submission.py"
        return {"path": str(path), "search_space": None, "key": key}
    # The self-tuning one for JAX fails by itself: it reads a dict's attributes.
    folder = root / "algorithms" / "baselines" / "external_tuning"
    path = folder / f"{framework}_nadamw_full_budget.py"
    space = folder / "tuning_search_space.json"
    return {"path": str(path), "search_space": str(space), "key": key}


def read(results: Path) -> list[Line]:
    lines = results.read_text().splitlines() if results.exists() else []
    return [json.loads(line) for line in lines]


def lines_of(job: dict[str, Any], lines: list[Line]) -> list[Line]:
    return [line for line in lines if job["key"].items() <= line.items()]


def missing(jobs: list[dict], results: Path) -> list[dict]:
    """The jobs without a line that says ok."""
    done = [line for line in read(results) if line["status"] == "ok"]
    return [job for job in jobs if not lines_of(job, done)]


def run(jobs: list[dict], results: Path, root: Path) -> None:
    """A process for the jobs; each has a line afterwards, even if the process died."""
    before = len(read(results))
    workload, framework = (jobs[0]["key"][name] for name in ("workload", "framework"))
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
    new = read(results)[before:]
    for job in jobs:
        failure = {**job["key"], "status": "failed", "error": f"{how}; see {log}"}
        line = [*lines_of(job, new), failure][0]
        if line is failure:
            with results.open("a") as file:
                file.write(json.dumps(failure) + "\n")
        print(f"  {job['key']['algorithm']}: {line.get('error', line['status'])}")


def write(lines: list[Line]) -> None:
    """Writes the page from the newest line of each cell, the oldest line first."""
    from scripts.evidence.pages import publish  # which imports matplotlib

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


def table(cells: dict[tuple[str, str, str], Line]) -> str:
    """A row for each entry of the frameworks that were run; what failed, below."""
    if not cells:
        return "Not run yet."
    notes: list[str] = []
    body = []
    for algorithm, framework in ROWS:
        if framework not in {framework for _, framework, _ in cells}:
            continue
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
                notes.append(f"{workload}, {framework}, {algorithm}: {line['error']}")
                row.append(f"failed ({len(notes)})")
        body.append(row)
    numbered = (f"({number}) {note}" for number, note in enumerate(notes, start=1))
    return "\n\n".join((markdown_table(("entry", *WORKLOADS), body), *numbered))


def main(_) -> None:
    results = Path(flags.FLAGS.results).resolve()
    results.parent.mkdir(parents=True, exist_ok=True)
    if flags.FLAGS.table:
        write(read(results))
        return
    root = official_root()
    git = ["git", "-C", str(root), "rev-parse", "--short=7", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    versions = {"algoperf": commit.strip(), **versions}
    for workload, framework in product(flags.FLAGS.workloads, flags.FLAGS.frameworks):
        key = {"workload": workload, "framework": framework, "environment": versions}
        algorithms = [a for a in flags.FLAGS.algorithms if (a, framework) in ROWS]
        jobs = [job(algorithm, key, root) for algorithm in algorithms]
        todo = missing(jobs, results)
        done = len(jobs) - len(todo)
        print(f"{workload} {framework}: {len(todo)} to do, {done} done", flush=True)
        if todo:
            run(todo, results, root)


if __name__ == "__main__":
    app.run(main)
