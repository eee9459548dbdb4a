"""Where the embedded workloads are: beside this package, or in a wheel inside it."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

_PACKAGE = Path(__file__).resolve().parents[1]
_IN_WHEEL = _PACKAGE / "shipped"  # as setup.py has it
_ROOT = _IN_WHEEL if _IN_WHEEL.is_dir() else _PACKAGE.parent
FOLDER = _ROOT / "workloads_ext"


def registry() -> ModuleType:
    if importlib.util.find_spec("workloads_ext") is None:
        sys.path.append(str(_ROOT))  # at the end, where it hides nothing
    return importlib.import_module("workloads_ext.registry")
