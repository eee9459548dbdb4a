"""The rules of a run, as pure decisions over seconds and steps.

Source: AlgoPerf v0.6 rules and technical documentation, "Evaluation during training"
and "Scoring"; the names in `train_state` are the official runner's.
"""

from typing import Any


def new_train_state() -> dict[str, Any]:
    """What the runner knows about a run before its first step; times in seconds."""
    return {
        "validation_goal_reached": False,
        "test_goal_reached": False,
        "is_time_remaining": True,
        "last_eval_time": 0,
        "training_complete": False,
        "accumulated_submission_time": 0.0,
        "accumulated_eval_time": 0.0,
        "accumulated_logging_time": 0.0,
        "last_step_end_time": None,
    }


def evaluation_due(
    now: float, last_eval_time: float, eval_period_time_sec: float, complete: bool
) -> bool:
    """Whether to evaluate after this step.

    When a period has passed since the last evaluation ended, when there was none yet
    (its time is 0), so after the first step, or when training is complete.
    """
    period_passed = now - last_eval_time >= eval_period_time_sec
    return complete or last_eval_time == 0 or period_passed


def is_time_remaining(accumulated_submission_time: float, budget: float) -> bool:
    """Whether the budget is not used up; using exactly all of it is."""
    return accumulated_submission_time < budget


def goals_reached(train_state: dict[str, Any]) -> bool:
    """Whether both targets have been reached, at any time each."""
    return train_state["validation_goal_reached"] and train_state["test_goal_reached"]


def keep_training(train_state: dict[str, Any]) -> bool:
    """Whether to take another step."""
    return (
        train_state["is_time_remaining"]
        and not goals_reached(train_state)
        and not train_state["training_complete"]
    )


def steps_exhausted(global_step: int, max_global_steps: int | None) -> bool:
    """Whether the run has taken all the steps it may."""
    return max_global_steps is not None and global_step >= max_global_steps


def why_ended(train_state: dict[str, Any]) -> str:
    """The reason that a run ended, in words."""
    if goals_reached(train_state):
        return "both targets reached"
    if not train_state["is_time_remaining"]:
        return "out of time"
    return "training complete"
