"""The two rulesets: what budget a run gets, and how many runs are expected."""

from dataclasses import dataclass

from unscheduled.benchmark.errors import UserError

RULESETS = ("self", "external")
# As submission_info.yml spells them, and the folders of the official repository.
SPELLINGS = {"self": "self-tuning", "external": "external"}
FOLDERS = {"self": "self_tuning", "external": "external_tuning"}
NEWEST = "0.6"


@dataclass(frozen=True)
class Ruleset:
    """How the runs of a benchmark are made."""

    name: str  # self (tuned by itself) or external (the best of several trials)
    budget_factor: float  # times `max_allowed_runtime_sec` is the budget of a run
    n_studies: int | None  # expected of each workload; None where nothing is said
    n_trials: int | None  # expected of each study

    def __str__(self) -> str:
        return f"{self.name} tuning"

    def budget_sec(self, max_allowed_runtime_sec: float) -> float:
        return self.budget_factor * max_allowed_runtime_sec

    def miss_sec(self, max_allowed_runtime_sec: float) -> float:
        """What a miss counts as in ratios of times: the whole budget and a second."""
        return self.budget_sec(max_allowed_runtime_sec) + 1


def ruleset(name: str, version: str = NEWEST) -> Ruleset:
    """The ruleset called `name` in a version of the benchmark.

    Self-tuning runs have 3 times the budget in version 0.5 and 1.5 times since;
    external tuning has it once.

    Source: AlgoPerf's rules, and the budgets of its published logs.
    """
    if name not in RULESETS:
        raise UserError(f"Unknown ruleset {name!r}: choose from {', '.join(RULESETS)}.")
    n_studies = {"0.5": 5, "0.6": 3, "rolling": 3}.get(version)
    if name == "external":
        return Ruleset(name, 1.0, n_studies, n_trials=5 if n_studies else None)
    factor = 3.0 if version == "0.5" else 1.5
    return Ruleset(name, factor, n_studies, n_trials=1 if n_studies else None)
