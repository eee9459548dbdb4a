"""`unscheduled bundle`, from a checkout; `--help` has what it does and its flags."""

from unscheduled.__main__ import run_command

if __name__ == "__main__":
    run_command("bundle")
