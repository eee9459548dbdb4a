"""A small graph network that recognises properties of graphs."""

WORKLOAD_CLASS_NAME = "AtlasGnnWorkload"
