"""A byte-level language model of Python's standard library."""

WORKLOAD_CLASS_NAME = "StdlibLmWorkload"
