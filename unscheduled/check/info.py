"""What a submission says about itself: `submission_info.yml`."""

import json
import re
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from unscheduled.benchmark import frameworks, rulesets
from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import read_bytes, read_yaml
from unscheduled.benchmark.text import printable
from unscheduled.check.sources import own_file

FILE_NAME = "submission_info.yml"
# What a key may say, by upstream's spelling: our name for it.
CHOICES = {
    "ruleset": {said: name for name, said in rulesets.SPELLINGS.items()},
    "framework": {said: name for name, said in frameworks.SPELLINGS.items()},
}
# Upstream cuts each line at "#", and hands the values to a shell.
_FORBIDDEN = "#$`\\"
_MAX_BYTES = 64 << 10
_LONGEST = 80  # characters of a value in a message


@dataclass(frozen=True)
class SubmissionInfo:
    """The keys of the file, in upstream's order and spelling."""

    submission_name: str
    submission_folder: str
    authors: str
    affiliations: str
    version: str
    ruleset: str
    framework: str
    description: str

    def to_yaml(self) -> str:
        """A line a key, as the pull request's form has them too.

        Raises:
          UserError: for a value that is empty, or that upstream would mangle.
        """
        return "".join(
            f"{key}: {json.dumps(_checked(key, value), ensure_ascii=False)}\n"
            for key, value in asdict(self).items()
        )


def read_values(folder: Path) -> dict[str, Any] | None:
    """What the file of a folder says, key by key; None where there is no such file.

    Raises:
      UserError: where it can't be read, or has no keys.
    """
    path = own_file(folder, FILE_NAME)
    if path is None:
        return None
    read_bytes(path, _MAX_BYTES)
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise UserError(f"{path} must have lines of the form `key: value`.")
    return values


def read_info(folder: Path) -> SubmissionInfo:
    """What the file of a folder says, in full.

    Raises:
      UserError: where there is none, or it is not of the format.
    """
    path, keys = folder / FILE_NAME, [field.name for field in fields(SubmissionInfo)]
    values = read_values(folder)
    if values is None:
        raise UserError(f"{path} is missing; it needs {', '.join(keys)}.")
    if set(values) != set(keys):
        raise UserError(f"{path} must have the keys {', '.join(keys)}, and no other.")
    info = SubmissionInfo(**{key: _text(values[key]) for key in keys})
    if problem := wrong_choice(values, "framework"):
        raise UserError(f"{path}: {problem}")
    return info


def wrong_choice(values: dict[str, Any], key: str) -> str | None:
    """What is wrong with the value of a key of `CHOICES`, or None."""
    choices = list(CHOICES[key])
    if values[key] in choices:
        return None
    got = printable(values[key], _LONGEST)
    return f"{key} must be {' or '.join(choices)}, got {got!r}."


def sent_in(
    info: SubmissionInfo, *, ruleset: str, folder: str, authors: str, affiliations: str
) -> SubmissionInfo:
    """The info of an entry as these people send it in.

    Args:
      ruleset: self or external.
      folder: the name of the submission's folder.
      authors, affiliations: separated by commas.

    Raises:
      UserError: for a ruleset that there is not, or a folder's name that Python can't
        import.
    """
    if ruleset not in rulesets.FOLDERS:
        choices = " or ".join(rulesets.FOLDERS)
        raise UserError(f"--ruleset must be {choices}, got {ruleset!r}.")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", folder):
        raise UserError(
            "the submission's folder must be named in lower-case letters, digits and "
            f"underscores, a letter first, got {folder!r}; --name gives it another."
        )
    return replace(
        info,
        submission_folder=folder,
        authors=_text(authors),
        affiliations=_text(affiliations),
        ruleset=rulesets.SPELLINGS[ruleset],
    )


def _text(value: Any) -> str:
    """One line of text."""
    if isinstance(value, str):
        value = " ".join(value.split())
    return "" if value is None else printable(value)


def _checked(key: str, value: str) -> str:
    if not value:
        raise UserError(f"{key} of the submission must not be empty.")
    found = [character for character in _FORBIDDEN if character in value]
    if found:
        raise UserError(
            f"{key} must do without {' '.join(_FORBIDDEN)}, which the automation of "
            f"pull requests garbles, got {value!r}."
        )
    return value
