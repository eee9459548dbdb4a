"""Trees of logs for the tests."""

from pathlib import Path

import numpy as np

from unscheduled.benchmark.run_files import EVAL_MEASUREMENTS
from unscheduled.benchmark.targets import read_target
from unscheduled.scoring.logs import Trial

HEADER = "score,global_step,validation/accuracy"
DIGITS, LM = read_target("digits_resnet"), read_target("stdlib_lm")  # high; low
LM_HEADER = f"score,global_step,validation/{LM.metric}"


def write_log(
    root: Path,
    *rows: str,
    submission: str = "sub",
    study: str = "study_0",
    workload: str = "digits_resnet_jax",
    trial: int = 1,
    header: str = HEADER,
) -> Path:
    """Write one log in the official layout and return its path."""
    text = "".join(f"{line}\n" for line in (header, *rows))
    return write_text(root, text, submission, study, workload, trial)


def write_text(
    root: Path,
    text: str | bytes,
    submission: str = "sub",
    study: str = "study_0",
    workload: str = "digits_resnet_jax",
    trial: int = 1,
) -> Path:
    """Write `text` where a log should be and return its path."""
    path = root / submission / study / workload / f"trial_{trial}" / EVAL_MEASUREMENTS
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def make_trial(
    evaluations: list[tuple[float, int, float]],
    metric: str = "accuracy",
    submission: str = "sub",
    study: str = "study_0",
    workload: str = "digits_resnet",
    framework: str = "jax",
    number: int = 1,
) -> Trial:
    """A trial in memory, from (seconds, steps, metric) an evaluation."""
    score, steps, values = np.array(evaluations, float).reshape(-1, 3).T
    return Trial(
        path=Path(submission, study, f"{workload}_{framework}", f"trial_{number}"),
        submission=submission,
        study=study,
        workload=workload,
        framework=framework,
        number=number,
        score=score,
        global_step=steps,
        validation={metric: values},
    )
