"""What a submission says about itself: `submission_info.yml`."""

import json
import re
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from unscheduled.benchmark.errors import UserError

FILE_NAME = "submission_info.yml"
FRAMEWORKS = ("PyTorch", "JAX")
# By the runner's name of a ruleset: upstream's folder, and its spelling in the file.
FOLDERS = {"self": "self_tuning", "external": "external_tuning"}
_SPELLINGS = {"self": "self-tuning", "external": "external"}
# Upstream cuts each line at "#", and hands the values to a shell.
_FORBIDDEN = "#$`\\"


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


def read_info(path: Path) -> SubmissionInfo:
    """Reads a `submission_info.yml`.

    Raises:
      UserError: where there is none, or it is not of the format.
    """
    keys = [field.name for field in fields(SubmissionInfo)]
    if not path.is_file():
        raise UserError(f"{path} is missing; it needs {', '.join(keys)}.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is not a YAML file: {reason}.") from error
    if not isinstance(values, dict) or set(values) != set(keys):
        raise UserError(f"{path} must have the keys {', '.join(keys)}, and no other.")
    info = SubmissionInfo(**{key: _text(values[key]) for key in keys})
    if info.framework not in FRAMEWORKS:
        raise UserError(
            f"{path}: framework must be {' or '.join(FRAMEWORKS)}, "
            f"got {info.framework!r}."
        )
    return info


def sent_in(
    info: SubmissionInfo, *, ruleset: str, folder: str, authors: str, affiliations: str
) -> SubmissionInfo:
    """The info of an entry as these people send it in.

    Args:
      ruleset: one of `FOLDERS`.
      folder: the name of the submission's folder.
      authors, affiliations: separated by commas.

    Raises:
      UserError: for a ruleset that there is not, or a folder's name that Python can't
        import.
    """
    if ruleset not in FOLDERS:
        raise UserError(f"--ruleset must be {' or '.join(FOLDERS)}, got {ruleset!r}.")
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
        ruleset=_SPELLINGS[ruleset],
    )


def _text(value: Any) -> str:
    """One line of text."""
    return "" if value is None else " ".join(str(value).split())


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
