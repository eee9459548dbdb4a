"""Runs `scripts/run.py` several times in one process, for its imports take longest.

Usage: several_runs.py [[flags of the first run], ...], as JSON.
"""

import importlib.util
import json
import sys
from pathlib import Path

from absl import flags

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "run.py"


def main(runs):
    spec = importlib.util.spec_from_file_location("run", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for arguments in runs:
        for name in flags.FLAGS:
            flags.FLAGS[name].unparse()
        flags.FLAGS([str(SCRIPT), *arguments])
        status = script.run([])
        assert status == 0, f"{arguments} ended with {status}"


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
