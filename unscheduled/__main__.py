"""AlgoPerf submissions without schedules.

    unscheduled run|score|report|check|bundle ...

run trains a submission on a workload, score and report read the logs of runs, check
looks whether a submission keeps the rules, and bundle makes it a folder for a pull
request. `unscheduled COMMAND --help` has the flags of each.
"""

import importlib
import sys

from absl import app, flags

COMMANDS = ("run", "score", "report", "check", "bundle")


def main() -> None:
    """The program `unscheduled`: its first argument names the command."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in ("--help", "-h", "help"):
        print(__doc__)
        return
    if name not in COMMANDS:
        choices = ", ".join(COMMANDS)
        sys.exit(
            f"{__doc__}\nError: the command must be one of {choices}, got {name!r}."
        )
    sys.argv[:2] = [f"unscheduled {name}"]
    run_command(name)


def run_command(name: str) -> None:
    """Runs one of `COMMANDS` with the arguments of this process, and exits."""
    module = importlib.import_module(f"unscheduled.commands.{name}")
    # What --help shows are the text and the flags of the main module.
    sys.modules["__main__"].__doc__ = module.__doc__
    for home, defined in flags.FLAGS.flags_by_module_dict().items():
        if home.startswith("unscheduled."):
            for flag in defined:
                flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    app.run(module.main)


if __name__ == "__main__":
    main()
