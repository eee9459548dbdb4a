"""Says how true the embedded workloads are to the official ones they mirror.

Published settings that the public board has are trained on each, to its target, in
PyTorch; the ratios of their steps stand beside the official ratios. The runs are in
miniature.csv; those that it lacks are trained.
"""

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from absl import app, flags
from scipy.stats import mannwhitneyu, spearmanr

from scripts.evidence.pages import PAGES, publish
from scripts.run_table import Result, Run, complete, point_of, read_table
from unscheduled.benchmark.frameworks import FRAMEWORKS, SPELLINGS
from unscheduled.benchmark.read import read_json
from unscheduled.benchmark.tables import markdown_table
from unscheduled.benchmark.targets import read_target
from unscheduled.entries.data import get_batch_size
from workloads_ext import registry

TABLE = PAGES / "miniature.csv"
_BOARD = "unscheduled/scoring/published/rolling_self.json"
_SEEDS = range(3)
TWIN_SEEDS = range(5)
_TWINS = ("SF v2", "NadamW")
_BUDGET = 1.5  # of step_hint, as on the board
_EVALUATIONS = 40  # until step_hint
_CLEAR = 1.15  # a ratio beyond this, either way, is a clear one

SCHEDULE_FREE = "schedule_free_adamw"
STALE = "scripts/evidence/stale_batch_norm"  # of it, with the statistics of y


class Setting(NamedTuple):
    """A published setting: the entry and point that have it here, and the board's."""

    entry: str
    point: dict[str, float]
    published: str  # its name on the board
    batches: Mapping[str, int] = {}  # there, where they are not `get_batch_size`'s


_DROPOUT = {"dropout_rate": 0.1}
_WITHOUT_DROPOUT = {"dropout_rate": 0.0}
_JUNE = {
    "learning_rate": 0.00190834618600756,
    "one_minus_beta1": 0.09090652249,
    "beta2": 0.998898321921855,
    "weight_decay": 0.08121616522670176,
    "warmup_factor": 0.1,
}
_FOR_RESNET = {
    "learning_rate": 0.004126541534675243,
    "one_minus_beta1": 0.00780309833,
    "beta2": 0.9966054696718922,
    "weight_decay": 0.05371805022820654,
    "warmup_factor": 0.05,
}
_PYTORCH_BATCHES = {
    "fastmri": 16,
    "librispeech_conformer": 224,
    "librispeech_deepspeech": 128,
}
_JAX_BATCHES = {"finewebedu_lm": 32, "librispeech_deepspeech": 128}
SETTINGS = {
    "SF v2": Setting(SCHEDULE_FREE, {}, "schedule_free_adamw_v2", _PYTORCH_BATCHES),
    "SF v1": Setting(STALE, {"r": 0.75}, "schedule_free_adamw", _PYTORCH_BATCHES),
    "SF v2 without smoothing": Setting(
        SCHEDULE_FREE,
        {"label_smoothing": 0.0},
        "schedule_free_adamw_jax_v2",
        _JAX_BATCHES,
    ),
    "NadamW": Setting("nadamw", {}, "nadamw_baselinev05"),
    "NadamW of June": Setting("nadamw", _JUNE | _WITHOUT_DROPOUT, "nadamw"),
    "NadamW for ResNet": Setting("nadamw", _FOR_RESNET | _DROPOUT, "nadamw_resnet"),
}
# Each pair was run in one framework on the board, but for smoothing, which only the
# JAX entries leave out.
_PAIRS = (
    ("SF v1", "SF v2"),
    ("SF v2 without smoothing", "SF v2"),
    ("NadamW", "SF v2 without smoothing"),
    ("NadamW of June", "NadamW"),
    ("NadamW for ResNet", "NadamW"),
)


def run_of(workload: str, framework: str, entry: str, point: dict, seed: int) -> Run:
    hint = int(read_target(workload).step_hint)
    return Run(
        workload=workload,
        framework=framework,
        entry=entry,
        point=point_of(point),
        seed=seed,
        steps=round(_BUDGET * hint),
        step_hint=hint,
        every=hint // _EVALUATIONS,
        until_target=True,
    )


def named(workload: str, setting: Setting) -> Setting:
    """The same program by its simplest name, so that it is trained once."""
    loaded: Any = registry.load(workload, "pytorch")
    entry, point = setting.entry, setting.point
    if entry == STALE and not loaded.has_batch_norm:
        entry = SCHEDULE_FREE
    if entry != "nadamw" and not loaded.default_dropout_rate:
        point = {name: point[name] for name in point if name != "dropout_rate"}
    return setting._replace(entry=entry, point=point)


def runs_of(
    workload: str, name: str, framework: str = "pytorch", seeds: range = _SEEDS
) -> list[Run]:
    """A setting without dropout."""
    setting = SETTINGS[name]
    point = setting.point | _WITHOUT_DROPOUT
    entry, point, *_ = named(workload, setting._replace(point=point))
    return [run_of(workload, framework, entry, point, seed) for seed in seeds]


def as_published(workload: str, name: str) -> list[Run]:
    """A setting with the dropout that it has on the board, from one seed."""
    entry, point, *_ = named(workload, SETTINGS[name])
    return [run_of(workload, "pytorch", entry, point, 0)]


def stale_runs() -> list[Run]:
    """Schedule-Free evaluated with the batch-norm statistics of y."""
    return [run_of("digits_resnet", "pytorch", STALE, {}, seed) for seed in _SEEDS]


def all_runs() -> list[Run]:
    workloads = registry.WORKLOADS
    by_setting = [runs_of(w, name) for w in workloads for name in SETTINGS]
    runs = [run for same_seed in zip(*by_setting, strict=True) for run in same_seed]
    runs += stale_runs()
    for framework in FRAMEWORKS:
        for name in _TWINS:
            runs += [
                r for w in workloads for r in runs_of(w, name, framework, TWIN_SEEDS)
            ]
    return runs + [
        run for w in workloads for name in SETTINGS for run in as_published(w, name)
    ]


def steps(table: dict[Run, Result], runs: list[Run]) -> list[float]:
    """Steps to the target of those that were run, a miss as inf."""
    found = [run for run in runs if run in table]
    return [table[run].steps_to(read_target(run.workload)) for run in found]


class Outcome(NamedTuple):
    """Steps to the target; for a miss, steps after which it was not reached."""

    steps: float
    is_hit: bool

    @classmethod
    def of(cls, steps: Iterable[float], ends: Iterable[float]) -> "Outcome":
        """By the median over runs of their steps (inf for a miss), or of their ends."""
        middle = statistics.median(steps)
        is_hit = math.isfinite(middle)
        return cls(middle if is_hit else statistics.median(ends), is_hit)


def official(workload: str, name: str) -> Outcome:
    """What the board's studies did."""
    board = read_json(_BOARD)
    by_workload = board["studies"][SETTINGS[name].published]
    loaded: Any = registry.load(workload, "pytorch")
    mirrored = (w for w in by_workload if w.startswith(f"{loaded.mirrors}_"))
    studies = [
        dict(zip(board["columns"], study, strict=True))
        for study in by_workload[next(mirrored)].values()
    ]
    steps = [math.inf if s["steps"] is None else s["steps"] for s in studies]
    return Outcome.of(steps, [s["end_steps"] for s in studies])


def official_batch(workload: str, name: str) -> int:
    loaded: Any = registry.load(workload, "pytorch")
    return SETTINGS[name].batches.get(loaded.mirrors, get_batch_size(loaded.mirrors))


def here(table: dict[Run, Result], workload: str, name: str) -> Outcome | None:
    """What the runs here did; None before there are any."""
    found = [run for run in runs_of(workload, name) if run in table]
    if not found:
        return None
    return Outcome.of(steps(table, found), [run.steps for run in found])


class Ratio(NamedTuple):
    value: float
    sign: str  # "", or ">" or "<" for no more than a bound

    def __str__(self) -> str:
        return f"{self.sign} {self.value:.2f}".strip()


def ratio(one: Outcome, other: Outcome) -> Ratio | None:
    """Of steps; None where misses leave open which of the two is quicker.

    A miss says something if it had the steps in which the other reached the target:
    many on the board had no time for them.
    """
    value = one.steps / other.steps
    if one.is_hit and other.is_hit:
        return Ratio(value, "")
    if other.is_hit and value >= 1:
        return Ratio(value, ">")
    if one.is_hit and value <= 1:
        return Ratio(value, "<")
    return None


def fidelity(table: dict[Run, Result]) -> dict[str, str]:
    """A row a workload: each pair's ratio here beside the board's, and their ranks."""
    rows, pairs, disagree = [], [], []
    for workload in registry.WORKLOADS:
        row = [workload]
        for pair in _PAIRS:
            one, other = (here(table, workload, name) for name in pair)
            if one is None or other is None:
                row.append("not run")
                continue
            small = ratio(one, other)
            large = ratio(*(official(workload, name) for name in pair))
            row.append(f"{small or '?'} ({large or '?'})")
            if small is None or large is None:
                continue
            if official_batch(workload, pair[0]) != official_batch(workload, pair[1]):
                row[-1] += "*"
                continue
            pairs.append((small.value, large.value))
            is_clear = bool(large.sign) or not 1 / _CLEAR < large.value < _CLEAR
            if is_clear and (small.value < 1) != (large.value < 1):
                disagree.append(f"{workload}: {' / '.join(pair)}, {row[-1]}")
        rows.append(row)
    none = "None." if pairs else "Nothing has been compared yet."
    names = ["workload", *(" / ".join(pair) for pair in _PAIRS)]
    text = f"Spearman's rank correlation over {len(pairs)} pairs: "
    text += f"{spearmanr(pairs)[0]:.2f}." if len(pairs) > 2 else "too few."
    return {
        "fidelity": markdown_table(names, rows),
        "correlation": text,
        "contradictions": "\n".join(f"- {each}" for each in disagree) or none,
    }


def settings_table(table: dict[Run, Result], runs_of=runs_of) -> str:
    """Median steps of each setting here, with the lowest and the highest."""
    rows = []
    for workload in registry.WORKLOADS:
        found = [steps(table, runs_of(workload, name)) for name in SETTINGS]
        rows.append((workload, *map(spread, found)))
    return markdown_table(("workload", *SETTINGS), rows)


def spread(values: list[float]) -> str:
    if not values:
        return "not run"
    if len(values) == 1:
        return _steps(values[0])
    low, middle, high = min(values), statistics.median(values), max(values)
    return "{} ({} to {})".format(*map(_steps, (middle, low, high)))


def _steps(value: float) -> str:
    return "missed" if value == math.inf else f"{value:.0f}"


def twins(table: dict[Run, Result]) -> str:
    """Steps to the target of the two frameworks."""
    columns = [(name, framework) for name in _TWINS for framework in FRAMEWORKS]
    rows, ratios, chances = [], [], []
    for workload in registry.WORKLOADS:
        found = [steps(table, runs_of(workload, n, f, TWIN_SEEDS)) for n, f in columns]
        rows.append((workload, *map(spread, found)))
        for one, other in zip(found[::2], found[1::2], strict=True):
            if one and other:
                ratios.append(statistics.median(one) / statistics.median(other))
                chances.append(mannwhitneyu(one, other).pvalue)
    names = [f"{name}, {SPELLINGS[f]}" for name, f in columns]
    text = markdown_table(("workload", *names), rows)
    if not ratios:
        return text
    return (
        f"{text}\n\nJAX over PyTorch: the geometric mean of "
        f"{len(ratios)} ratios of medians is {statistics.geometric_mean(ratios):.2f}; "
        f"the smallest p of a difference (Mann and Whitney's) is {min(chances):.2f}."
    )


def main(_) -> None:
    if flags.FLAGS.train:
        complete(TABLE, all_runs(), flags.FLAGS.data_dir, flags.FLAGS.jobs)
    table = read_table(TABLE)
    stale = spread(steps(table, stale_runs()))
    blocks = {
        "settings": settings_table(table),
        "dropout": settings_table(table, as_published),
        "stale": f"Median steps (lowest to highest): {stale}.",
        "twins": twins(table),
    }
    publish("miniature", {**fidelity(table), **blocks})


if __name__ == "__main__":
    app.run(main)
