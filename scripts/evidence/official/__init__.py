"""Every entry under the official code: one step of each, on all workloads."""
