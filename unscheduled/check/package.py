"""Rules on the folder: what is filed with a submission, and under which licence."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import read_text
from unscheduled.benchmark.text import printable
from unscheduled.check.code import Code
from unscheduled.check.findings import Finding, unreadable
from unscheduled.check.info import CHOICES, read_values, wrong_choice
from unscheduled.check.info import FILE_NAME as INFO
from unscheduled.check.sources import own_file
from unscheduled.check.workload_names import names_in
from unscheduled.runner.search_space import read_search_space

SEARCH_SPACE = "tuning_search_space.json"
NUM_TRIALS = 5  # of external tuning, by its rules
_REQUIRED = ("submission_name", "submission_folder", "authors", "ruleset")
_WANTED = ("affiliations", "version", "framework", "description")
_HEADER_LINES, _HEADER_COLUMNS = 40, 400
_SPDX = re.compile(r"SPDX-License-Identifier:\s*(\S+)")
_OTHER_LICENCES = re.compile(
    r"(BSD|MIT|Mozilla Public|GNU [\w ]*General Public|Creative Commons)"
    r"[\w -]*licen[cs]e",
    re.IGNORECASE,
)


def says(folder: Path, key: str) -> str | None:
    """What submission_info.yml says of a key; None where that can't be told."""
    try:
        value = (read_values(folder) or {}).get(key)
    except UserError:  # a finding of `check_info`
        return None
    return value if isinstance(value, str) else None


def check_info(folder: Path) -> Iterator[Finding]:
    """Checks submission_info.yml."""
    path = folder / INFO
    try:
        info = read_values(folder)
    except UserError as error:
        yield unreadable(path, "E503", error)
        return
    if info is None:
        message = f"{INFO} is missing: the pull request asks for what is in it."
        yield Finding(str(path), 1, "W502", message)
        return
    for code, key, message in _faults(info):
        yield Finding(str(path), _line_of(path, f"{key}:"), code, message)


def _faults(info: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(code, key, message) of each fault."""
    for key in (*_REQUIRED, *_WANTED):
        if key not in info:
            code = "E503" if key in _REQUIRED else "W502"
            yield code, key, f"the key {key} is missing: add it."
        elif info[key] is None or not printable(info[key]).strip():
            empty = (
                "E503" if key in ("submission_name", "submission_folder") else "W502"
            )
            yield empty, key, f"{key} is empty: fill it in before the pull request."
    for key in CHOICES:
        if info.get(key) and (problem := wrong_choice(info, key)):
            yield "E503", key, problem


def _line_of(path: Path, text: str) -> int:
    """The first line that has the text, or 1."""
    lines = read_text(path).splitlines()
    return next((n for n, line in enumerate(lines, start=1) if text in line), 1)


def check_licence(folder: Path, codes: list[Code]) -> Iterator[Finding]:
    """Checks that everything is, or can be, under Apache-2.0."""
    for path in sorted(p for p in folder.glob("LICEN[CS]E*") if not p.is_dir()):
        try:
            own_file(folder, path.name)
            text = read_text(path)
        except UserError as error:
            yield unreadable(path, "E504", error)
            continue
        if "Apache License" not in text:
            message = "submissions must be licensed under Apache-2.0: use its text."
            yield Finding(str(path), 1, "E504", message)
    for code in codes:
        header = code.text.split("\n", _HEADER_LINES)[:_HEADER_LINES]
        for number, whole_line in enumerate(header, start=1):
            line = whole_line[:_HEADER_COLUMNS]
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
      ruleset: external or self-tuning.
      given: the file, where it is in another place.
    """
    path = given or folder / SEARCH_SPACE
    if not os.path.lexists(path):
        if ruleset == "external" or given:
            message = f"{path.name} is missing: external tuning needs a search space."
            yield Finding(str(path), 1, "E505", message)
        return
    if ruleset == "self-tuning" and not given:
        message = "self-tuning reads no search space: remove it, or say external."
        yield Finding(str(path), 1, "W504", message)
    try:
        if not given:
            own_file(folder, SEARCH_SPACE)
        space = read_search_space(str(path))
        check_points(path, space)
    except UserError as error:
        yield unreadable(path, "E505", error)
        return
    for name in names_in(json.dumps(space)):
        message = f"names a workload ({name}): the space must be the same for all."
        yield Finding(str(path), _line_of(path, name), "E506", message)


def check_points(path: Path, space: list[Any] | dict[str, Any]) -> None:
    """Checks that a search space has a point a trial, or ranges.

    Raises:
      UserError: where it lists more or fewer points.
    """
    if isinstance(space, list) and len(space) != NUM_TRIALS:
        raise UserError(
            f"{path} lists {len(space)} points: the rules ask for {NUM_TRIALS}, or "
            "ranges."
        )
