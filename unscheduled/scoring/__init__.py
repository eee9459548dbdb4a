"""AlgoPerf scoring: logs (read) -> times -> profiles (pure maths) -> tables."""

from unscheduled.scoring.errors import LogError, ScoringError

__all__ = ["LogError", "ScoringError"]
