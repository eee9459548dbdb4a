"""The rules of the benchmark: what code may do, and what a submission must be."""
