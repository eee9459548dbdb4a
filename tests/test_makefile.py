"""What make does before anything else: the environment."""

import shutil
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PYTHON = """#!/bin/sh
# Stands in for `python -m venv FOLDER`, and its pip for pip.
mkdir -p $3/bin
echo venv >> made
printf '#!/bin/sh\\nsleep 0.5\\n' > $3/bin/pip
chmod +x $3/bin/pip
"""


def test_two_at_once_make_one_environment(tmp_path):
    """Two installations into one folder at a time, as of two `make demo`."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, tmp_path)
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    command = ["make", "install", f"PYTHON={python}"]
    processes = [subprocess.Popen(command, cwd=tmp_path) for _ in range(2)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    assert (tmp_path / "made").read_text() == "venv\n"
