"""A small transformer that translates numbers."""

WORKLOAD_CLASS_NAME = "NumbersTransformerWorkload"
