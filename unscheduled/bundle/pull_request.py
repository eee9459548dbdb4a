"""The text of a pull request that sends a submission in, in upstream's form."""

from collections.abc import Mapping

from unscheduled.benchmark.rulesets import FOLDERS
from unscheduled.bundle.bundle import library_version
from unscheduled.check.info import SubmissionInfo
from unscheduled.check.package import NUM_TRIALS, SEARCH_SPACE
from unscheduled.check.requirements import REQUIREMENTS


def pull_request(
    info: SubmissionInfo, ruleset: str, files: Mapping[str, str], evidence: str | None
) -> str:
    """The description of the pull request, in Markdown.

    Args:
      ruleset: self or external.
      files: the submission's, by their place in its folder.
      evidence: what speaks for it, None where there is nothing.
    """
    evidence = evidence or "None is given: no runs of this submission were named."
    return f"""\
# New Submission

## Submission Information

```yaml
{info.to_yaml()}```

## Evidence for the Submission's Performance

{evidence}

## Comments

`submission.py` is the recipe. Beside it lies the part of unscheduled
{library_version()} that it uses, under the same names as there, with its imports made
relative; it is under the Apache License 2.0 like all of it.

{_requirements(files)}

To run it, from the folder of the harness with this repository's `submissions/` in it:

```
{_command(info, ruleset)}
```
"""


def _requirements(files: Mapping[str, str]) -> str:
    if REQUIREMENTS in files:
        return f"It needs what `{REQUIREMENTS}` lists."
    return "It needs no package that the benchmark doesn't install."


def _command(info: SubmissionInfo, ruleset: str) -> str:
    folder = f"submissions/{FOLDERS[ruleset]}/{info.submission_folder}"
    framework = info.framework.lower()
    options = [
        f"--framework={framework} --workload=mnist --tuning_ruleset={ruleset}",
        f"--submission_path={folder}/submission.py",
        "--data_dir=... --experiment_dir=... --experiment_name=study_0",
    ]
    if ruleset == "external":
        options.append(f"--tuning_search_space={folder}/{SEARCH_SPACE}")
        options.append(f"--num_tuning_trials={NUM_TRIALS}")
    return " \\\n    ".join(["python submission_runner.py", *options])
