"""A small Conformer that reads strips of digits."""

WORKLOAD_CLASS_NAME = "StripsConformerWorkload"
