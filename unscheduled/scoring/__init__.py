"""AlgoPerf scoring: logs (read) -> times -> profiles (pure maths) -> tables."""

from unscheduled.benchmark.errors import LogError, UserError

__all__ = ["LogError", "UserError"]
