"""Rules on the folder: what is filed with a submission, and under which licence."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from unscheduled.benchmark.errors import UserError, first_line
from unscheduled.runner.search_space import read_search_space
from unscheduled.submit.info import FILE_NAME as INFO
from unscheduled.submit.rules.code import Code
from unscheduled.submit.rules.findings import Finding
from unscheduled.submit.rules.workload_names import names_in

SEARCH_SPACE = "tuning_search_space.json"
RULESETS = ("external", "self-tuning")
FRAMEWORKS = {"PyTorch": "pytorch", "JAX": "jax"}
POINTS = 5
_REQUIRED = ("submission_name", "submission_folder", "authors", "ruleset")
_WANTED = ("affiliations", "version", "framework", "description")
_HEADER_LINES = 40
_SPDX = re.compile(r"SPDX-License-Identifier:\s*(\S+)")
_OTHER_LICENCES = re.compile(
    r"(BSD|MIT|Mozilla Public|GNU [\w ]*General Public|Creative Commons)"
    r"[\w -]*licen[cs]e",
    re.IGNORECASE,
)


def read_info(folder: Path) -> dict[str, Any]:
    """What submission_info.yml says; empty where it is missing or not readable."""
    try:
        info = yaml.safe_load((folder / INFO).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return {}
    return info if isinstance(info, dict) else {}


def check_info(folder: Path) -> Iterator[Finding]:
    """Checks submission_info.yml."""
    path = folder / INFO
    if not path.is_file():
        message = f"{INFO} is missing: the pull request asks for what is in it."
        yield Finding(str(path), 1, "W502", message)
        return
    info = read_info(folder)
    if not info:
        message = "not readable as YAML: write `key: value` lines."
        yield Finding(str(path), 1, "E503", message)
        return
    for code, key, message in _faults(info):
        yield Finding(str(path), _line_of(path, f"{key}:"), code, message)


def _faults(info: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(code, key, message) of each fault."""
    for key in (*_REQUIRED, *_WANTED):
        if key not in info:
            code = "E503" if key in _REQUIRED else "W502"
            yield code, key, f"the key {key} is missing: add it."
        elif not str(info[key] or "").strip():
            empty = (
                "E503" if key in ("submission_name", "submission_folder") else "W502"
            )
            yield empty, key, f"{key} is empty: fill it in before the pull request."
    for key, choices in (("ruleset", RULESETS), ("framework", tuple(FRAMEWORKS))):
        if info.get(key) and info[key] not in choices:
            wanted = " or ".join(map(repr, choices))
            yield "E503", key, f"{key} must be {wanted}, got {info[key]!r}."


def _line_of(path: Path, text: str) -> int:
    """The first line that has the text, or 1."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((n for n, line in enumerate(lines, start=1) if text in line), 1)


def check_licence(folder: Path, codes: list[Code]) -> Iterator[Finding]:
    """Checks that everything is, or can be, under Apache-2.0."""
    for path in sorted(folder.glob("LICEN[CS]E*")):
        if "Apache License" not in path.read_text(encoding="utf-8"):
            message = "submissions must be licensed under Apache-2.0: use its text."
            yield Finding(str(path), 1, "E504", message)
    for code in codes:
        for number, line in enumerate(code.text.splitlines()[:_HEADER_LINES], start=1):
            identifier = _SPDX.search(line)
            if identifier and identifier[1] != "Apache-2.0":
                message = (
                    f"the file says {identifier[1]}: submissions must be licensed "
                    "under Apache-2.0."
                )
                yield Finding(str(code.path), number, "E504", message)
            elif _OTHER_LICENCES.search(line):
                message = (
                    "the header names a licence that is not Apache-2.0: make sure "
                    "that the code may be given under Apache-2.0 too."
                )
                yield Finding(str(code.path), number, "W503", message)


def check_search_space(
    folder: Path, ruleset: str, given: Path | None
) -> Iterator[Finding]:
    """Checks the tuning search space.

    Args:
      folder: of the submission; the official place is in it.
      ruleset: one of `RULESETS`.
      given: the file, where it is in another place.
    """
    path = given or folder / SEARCH_SPACE
    if not path.is_file():
        if ruleset == "external" or given:
            message = f"{path.name} is missing: external tuning needs a search space."
            yield Finding(str(path), 1, "E505", message)
        return
    if ruleset == "self-tuning" and not given:
        message = "self-tuning reads no search space: remove it, or say external."
        yield Finding(str(path), 1, "W504", message)
    try:
        space = read_search_space(str(path))
    except UserError as error:
        message = f"not a search space: {first_line(error)}"
        yield Finding(str(path), 1, "E505", message)
        return
    if isinstance(space, list) and len(space) != POINTS:
        message = f"lists {len(space)} points: the rules ask for {POINTS}, or ranges."
        yield Finding(str(path), 1, "E505", message)
    for name in names_in(json.dumps(space)):
        message = f"names a workload ({name}): the space must be the same for all."
        yield Finding(str(path), _line_of(path, name), "E506", message)
