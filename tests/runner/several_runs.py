"""Runs the command `run` several times in one process, for its imports take longest.

Usage: several_runs.py [[flags of the first run], ...], as JSON.
"""

import json
import sys

from absl import flags

from unscheduled.commands import run


def main(runs):
    for arguments in runs:
        for name in flags.FLAGS:
            flags.FLAGS[name].unparse()
        flags.FLAGS(["run.py", *arguments])
        status = run.run()  # in this process, which the command would only watch
        assert status == 0, f"{arguments} ended with {status}"


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
