"""AlgoPerf scoring: logs (read) -> times -> profiles (pure maths) -> tables."""
