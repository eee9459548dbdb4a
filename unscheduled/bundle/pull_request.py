"""What a pull request says of the submission that it sends in, in upstream's form."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.rulesets import FOLDERS, SPELLINGS
from unscheduled.benchmark.text import printable
from unscheduled.bundle.bundle import library_version
from unscheduled.check.folder import (
    INFO,
    KEYS,
    NUM_TRIALS,
    REQUIREMENTS,
    SEARCH_SPACE,
    read_info,
    wrong_choice,
)

# Upstream cuts each line at "#", and hands the values to a shell.
_FORBIDDEN = "#$`\\"


def submission_info(
    folder: Path, *, ruleset: str, name: str, authors: str, affiliations: str
) -> dict[str, str]:
    """What submission_info.yml of a folder says, as these people send it in.

    Raises:
      UserError: where the file is not of the format, or upstream would mangle a value.
    """
    path, values = folder / INFO, read_info(folder)
    if values is None:
        raise UserError(f"{path} is missing; it needs {', '.join(KEYS)}.")
    if set(values) != set(KEYS):
        raise UserError(f"{path} must have the keys {', '.join(KEYS)}, and no other.")
    if problem := wrong_choice(values, "framework"):
        raise UserError(f"{path}: {problem}.")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UserError(
            "the submission's folder must be named in lower-case letters, digits and "
            f"underscores, a letter first, got {name!r}; --name gives it another."
        )
    sent_in = {
        "submission_folder": name,
        "authors": authors,
        "affiliations": affiliations,
        "ruleset": SPELLINGS[ruleset],
    }
    return {key: _text(key, {**values, **sent_in}[key]) for key in KEYS}


def _text(key: str, value: Any) -> str:
    """A value as one line of text that upstream's automation leaves as it is."""
    one_line = " ".join(value.split()) if isinstance(value, str) else value
    text = "" if value is None else printable(one_line)
    if not text:
        raise UserError(f"{key} of the submission must not be empty.")
    if set(_FORBIDDEN) & set(text):
        raise UserError(
            f"{key} must do without {' '.join(_FORBIDDEN)}, which the automation of "
            f"pull requests garbles, got {text!r}."
        )
    return text


def to_yaml(info: Mapping[str, str]) -> str:
    """A line a key, as submission_info.yml and the pull request's form have them."""
    lines = (f"{k}: {json.dumps(v, ensure_ascii=False)}\n" for k, v in info.items())
    return "".join(lines)


def pull_request(
    info: Mapping[str, str],
    ruleset: str,
    files: Mapping[str, str],
    evidence: str | None,
) -> str:
    """The description of the pull request, in Markdown; `files` by their place."""
    evidence = evidence or "None is given: no runs of this submission were named."
    needs = "no package that the benchmark doesn't install"
    if REQUIREMENTS in files:
        needs = f"what `{REQUIREMENTS}` lists"
    return f"""\
# New Submission

## Submission Information

```yaml
{to_yaml(info)}```

## Evidence for the Submission's Performance

{evidence}

## Comments

`submission.py` is the recipe. Beside it lies the part of unscheduled
{library_version()} that it uses, under the same names as there, with its imports made
relative; it is under the Apache License 2.0 like all of it.

It needs {needs}.

To run it, from the folder of the harness with this repository's `submissions/` in it:

```
{_command(info, ruleset)}
```
"""


def _command(info: Mapping[str, str], ruleset: str) -> str:
    folder = f"submissions/{FOLDERS[ruleset]}/{info['submission_folder']}"
    framework = info["framework"].lower()
    options = [
        f"--framework={framework} --workload=mnist --tuning_ruleset={ruleset}",
        f"--submission_path={folder}/submission.py",
        "--data_dir=... --experiment_dir=... --experiment_name=study_0",
    ]
    if ruleset == "external":
        options.append(f"--tuning_search_space={folder}/{SEARCH_SPACE}")
        options.append(f"--num_tuning_trials={NUM_TRIALS}")
    return " \\\n    ".join(["python submission_runner.py", *options])
