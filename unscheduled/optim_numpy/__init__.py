"""The specification: each algorithm as pure float64 steps, straight from its paper."""
