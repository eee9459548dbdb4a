"""Logs for the tests of the report: hits, misses, an empty log, hostile names."""

from pathlib import Path

from tests.scoring.trees import DIGITS, LM, LM_HEADER, write_log, write_text
from unscheduled.benchmark.rulesets import ruleset
from unscheduled.benchmark.targets import BENCHMARKS, load_benchmark
from unscheduled.report.model import Report, make_report
from unscheduled.scoring.logs import Reading, read_logs
from unscheduled.scoring.scored import score_group

HOSTILE = "<img src=x onerror=alert(1)>&amp; %{x} $a_b$ 'q\" {axis}"
SUBMISSIONS = ("fast", "slow", HOSTILE)
NEAR = round(0.995 * DIGITS.value, 4)
MISSED = f"missed, accuracy {NEAR:g}, 0.5% below {DIGITS.value:g}"


def write_logs(root: Path) -> Path:
    """Three submissions: two on both workloads in three studies; one misses."""
    for study in range(3):
        name = f"study_{study}"
        for submission, factor in (("fast", 1), ("slow", 3)):
            rows = [
                f"{factor * (i + study / 4)},{10 * i},{min(0.6 + 0.1 * i, 0.99)}"
                for i in range(1, 6)
            ]
            write_log(root, *rows, submission=submission, study=name)
            rows = [
                f"{factor * i},{10 * i},{LM.value * (1.35 - 0.1 * i)}"
                for i in range(1, 6)
            ]
            _write_lm(root, rows, submission, name)
        rows = ["1,10,0.5", f"2,20,{NEAR}", f"3,30,{0.99 * DIGITS.value}"]
        write_log(root, *rows, submission=HOSTILE, study=name)
    write_text(root, "", submission=HOSTILE, study="study_0", workload="stdlib_lm_jax")
    return root


def _write_lm(root: Path, rows: list[str], submission: str, study: str) -> None:
    names = {"submission": submission, "study": study, "workload": "stdlib_lm_jax"}
    write_log(root, *rows, header=LM_HEADER, **names)


def report_of(reading: Reading, baseline: str | None = "slow", **options) -> Report:
    """The report of what was read, by the embedded benchmark."""
    benchmark = load_benchmark(BENCHMARKS["ext"])
    rules = ruleset("self", benchmark.version)
    scored = score_group(reading, benchmark, rules, baseline=baseline)
    return make_report(scored, reading.trials, **options)


def read_report(root: Path, **options) -> Report:
    return report_of(read_logs([root]), **options)
