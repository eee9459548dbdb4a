"""Which workloads there are, and how to get one.

A workload is a folder `<name>/` with `workload.py` (data, sizes, metrics) and
`<name>_pytorch/workload.py`, `<name>_jax/workload.py`; its `__init__.py` names the
class that both define, and those of its variants, which are held out from tuning.
Its targets are one row of `benchmark/targets/ext.json`.
"""

import importlib
import pathlib

from unscheduled import spec
from unscheduled.benchmark.frameworks import FRAMEWORKS


def _discover() -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]]:
    """Finds the workloads and their variants; no framework is imported."""
    found, variants = {}, {}
    for folder in sorted(pathlib.Path(__file__).parent.iterdir()):
        name = folder.name
        if any((folder / f"{name}_{framework}").is_dir() for framework in FRAMEWORKS):
            package = importlib.import_module(f"workloads_ext.{name}")
            found[name] = _entry(name, package.WORKLOAD_CLASS_NAME)
            for variant, class_name in getattr(package, "VARIANTS", {}).items():
                variants[f"{name}_{variant}"] = _entry(name, class_name)
    return found, variants


def _entry(folder: str, class_name: str) -> dict[str, str]:
    return {
        "workload_path": f"{folder}/{folder}",
        "workload_class_name": class_name,
    }


WORKLOADS, VARIANTS = _discover()  # each in the shape of the official registry
ALL = {**WORKLOADS, **VARIANTS}


def load(name: str, framework: str, **init_kwargs) -> spec.Workload:
    """Makes a workload, importing only the framework in use.

    Raises:
      ValueError: if `name` or `framework` is unknown.
    """
    if name not in ALL:
        raise ValueError(f"workload must be one of {[*ALL]}, got {name!r}.")
    if framework not in FRAMEWORKS:
        raise ValueError(f"framework must be one of {FRAMEWORKS}, got {framework!r}.")
    info = ALL[name]
    path = info["workload_path"].replace("/", ".")
    module = importlib.import_module(f"workloads_ext.{path}_{framework}.workload")
    return getattr(module, info["workload_class_name"])(**init_kwargs)
