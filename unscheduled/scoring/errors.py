"""What a user of the scorer can get wrong: one clear sentence each."""

from unscheduled.benchmark.errors import LogError
from unscheduled.benchmark.errors import UserError as ScoringError

__all__ = ["LogError", "ScoringError"]
