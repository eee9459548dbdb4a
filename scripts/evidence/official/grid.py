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

from unscheduled.benchmark.tables import markdown_table
from unscheduled.benchmark.targets import BENCHMARKS, load_benchmark

ROOT = Path(__file__).resolve().parents[3]
WORKLOADS = load_benchmark(BENCHMARKS["0.5"]).base
FRAMEWORKS = ("pytorch", "jax")
PACKAGES = ("torch", "jax", "flax", "optax", "tensorflow", "numpy")
UPSTREAM = "upstream"  # the baseline of the official repository, to compare with
# Where XLA takes longer to optimize two steps than they then save.
COMPILED_LONGER = ("imagenet_resnet", "imagenet_vit", "mnist", "ogbg")
LIMIT = 1800  # seconds for an entry
PINNED_JAX = "0.7.0"
OLDER = "†"  # run before the last change to the code of its row
Cells = dict[
    tuple[str, str, str], dict[str, Any]
]  # by workload, framework and algorithm

ROWS: list[tuple[str, str]] = []
for _framework in FRAMEWORKS:
    _entries = sorted(ROOT.glob(f"submissions/*_{_framework}"))
    _names = [path.name.removesuffix(f"_{_framework}") for path in _entries]
    ROWS += [(_name, _framework) for _name in (UPSTREAM, *_names)]
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
    """Of what decides how an entry is checked, without comments and layout."""
    paths = [Path(__file__).with_name("one_step.py")]
    if algorithm != UPSTREAM:
        name = "torch" if framework == "pytorch" else framework
        package = ROOT / "unscheduled"
        for folder in (package, package / "entries", package / "entries" / framework):
            paths += sorted(folder.glob("*.py"))
        paths += sorted((package / f"optim_{name}").rglob("*.py"))
        paths += [ROOT / "submissions" / f"{algorithm}_{framework}" / "submission.py"]
    trees = [ast.dump(ast.parse(path.read_text())) for path in paths]
    return hashlib.sha256("".join(trees).encode()).hexdigest()[:12]


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
        lines = [line for line in new if job["key"].items() <= line.items()]
        if not lines:
            failure = {"status": "failed", "error": f"{how}; see {log}"}
            lines = [{**job["key"], **failure}]
            with results.open("a") as file:
                file.write(json.dumps(lines[0]) + "\n")
        status = lines[0].get("error", lines[0]["status"])
        print(f"  {job['key']['algorithm']}: {status}")


def write(lines: list[dict[str, Any]]) -> None:
    """Writes the page from the newest line of each cell, the oldest line first.

    One of older code counts, marked, if it passed and there is none of today's code.
    """
    from scripts.evidence.pages import publish  # which imports matplotlib

    hashes = {row: code_hash(*row) for row in ROWS}
    current, older = [], []
    for line in lines:
        is_older = line["code"] != hashes.get((line["algorithm"], line["framework"]))
        (older if is_older else current).append({**line, "older": is_older})
    environments: dict[str, Cells] = {"pinned": {}, "newest": {}}
    for line in (*(line for line in older if line["status"] == "ok"), *current):
        label = "pinned" if line["environment"]["jax"] == PINNED_JAX else "newest"
        cell = line["workload"], line["framework"], line["algorithm"]
        environments[label][cell] = line
    versions = dict.fromkeys(
        (label, *line["environment"].items())
        for label, cells in environments.items()
        for line in cells.values()
    )
    rows = [[label, *dict(found).values()] for label, *found in versions]
    names = [name for _, *found in [*versions][:1] for name, _ in found]
    blocks = {label: table(cells) for label, cells in environments.items()}
    blocks["versions"] = markdown_table(["", *names], rows)
    publish("official_harness", blocks)


def table(cells: Cells) -> str:
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
                mark = OLDER if line["older"] else ""
                row.append(f"ok{mark}, {line['seconds']:.1f} s")
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
