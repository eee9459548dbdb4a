"""The command for a GPU machine, tried on a CPU at a tiny size."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("jax")
pytestmark = pytest.mark.slow


def test_the_command_for_a_gpu(tmp_path, data_dir):
    """Minutes on a GPU, spent on a script that has never run."""
    out = tmp_path / "gpu.md"
    result = subprocess.run(
        ["bash", "scripts/evidence/gpu.sh", "cpu", str(out)],
        cwd=Path(__file__).resolve().parents[2],
        env=os.environ | {"PYTHON": sys.executable, "DATA_DIR": data_dir},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    page = out.read_text()
    assert page.count("(done after ") == 7, page
    assert "failed" not in page
