from unscheduled.__main__ import run_command

if __name__ == "__main__":
    run_command("score")
