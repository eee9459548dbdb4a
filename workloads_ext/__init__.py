"""Embedded workloads: small enough for a laptop, in the official layout."""

from workloads_ext.registry import FRAMEWORKS, WORKLOADS, load

__all__ = ["FRAMEWORKS", "WORKLOADS", "load"]
