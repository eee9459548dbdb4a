"""The entries of this project, for the tests of what is sent in."""

import json
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
ENTRIES = sorted(PROJECT.glob("submissions/*_*/submission.py"))
NAMES = [entry.parent.name for entry in ENTRIES]


def framework_of(entry: Path) -> str:
    """As submission_info.yml spells it."""
    return {"jax": "JAX", "pytorch": "PyTorch"}[entry.parent.name.rpartition("_")[2]]


def write_space(folder: Path, *names: str) -> Path:
    """A search space of these names."""
    path = folder / "space.json"
    dimension = {"min": 1e-4, "max": 1e-2, "scaling": "log"}
    path.write_text(json.dumps(dict.fromkeys(names, dimension)))
    return path
