"""Which workloads there are, and how to get one.

A workload is a folder `<name>/` with `workload.py` (data, sizes, metrics) and
`<name>_pytorch/workload.py`, `<name>_jax/workload.py`; its `__init__.py` names the
class that both define. Its targets are one row of `benchmark/targets/ext.json`.
"""

import importlib
import pathlib

from unscheduled import spec
from unscheduled.benchmark.frameworks import FRAMEWORKS


def _discover() -> dict[str, dict[str, str]]:
    """Finds the workload folders; no framework is imported."""
    found = {}
    for folder in sorted(pathlib.Path(__file__).parent.iterdir()):
        name = folder.name
        if any((folder / f"{name}_{framework}").is_dir() for framework in FRAMEWORKS):
            package = importlib.import_module(f"workloads_ext.{name}")
            found[name] = {
                "workload_path": f"{name}/{name}",
                "workload_class_name": package.WORKLOAD_CLASS_NAME,
            }
    return found


WORKLOADS = _discover()  # the shape of the official registry


def load(name: str, framework: str, **init_kwargs) -> spec.Workload:
    """Makes a workload, importing only the framework in use.

    Raises:
      ValueError: if `name` or `framework` is unknown.
    """
    if name not in WORKLOADS:
        raise ValueError(f"workload must be one of {[*WORKLOADS]}, got {name!r}.")
    if framework not in FRAMEWORKS:
        raise ValueError(f"framework must be one of {FRAMEWORKS}, got {framework!r}.")
    info = WORKLOADS[name]
    path = info["workload_path"].replace("/", ".")
    module = importlib.import_module(f"workloads_ext.{path}_{framework}.workload")
    return getattr(module, info["workload_class_name"])(**init_kwargs)
