"""Which packages there are: all else is in pyproject.toml.

A checkout has three at its top. A wheel has the library alone, with the workloads
inside it (see unscheduled/runner/embedded.py): in site-packages, `submissions` would
hide the official harness's.
"""

import sys

from setuptools import find_packages, setup

LIBRARY = find_packages(include=["unscheduled", "unscheduled.*"])
WORKLOADS = find_packages(include=["workloads_ext", "workloads_ext.*"])

if "editable_wheel" in sys.argv:
    RECIPES = find_packages(include=["submissions", "submissions.*"])
    setup(packages=[*LIBRARY, *WORKLOADS, *RECIPES])
else:
    setup(
        packages=[*LIBRARY, *(f"unscheduled.shipped.{name}" for name in WORKLOADS)],
        package_dir={"unscheduled.shipped.workloads_ext": "workloads_ext"},
    )
