"""The rule check: what a submission must be, what its code may do, and a dry run."""
