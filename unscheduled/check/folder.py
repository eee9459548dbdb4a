"""Rules on what is filed with a submission: its info, licence and requirements."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from unscheduled.benchmark import frameworks, rulesets
from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import read_text, read_yaml
from unscheduled.benchmark.text import printable
from unscheduled.check.findings import ALGOPERF, Finding, finding
from unscheduled.check.sources import Code, leads_out
from unscheduled.check.workload import workload_names
from unscheduled.runner.search_space import read_search_space

INFO = "submission_info.yml"
KEYS = tuple(ALGOPERF["info"]["keys"].split())
# What a key may say, by upstream's spelling: our name for it.
CHOICES = {
    "ruleset": {said: name for name, said in rulesets.SPELLINGS.items()},
    "framework": {said: name for name, said in frameworks.SPELLINGS.items()},
}
REQUIREMENTS = "requirements.txt"
SEARCH_SPACE = "tuning_search_space.json"
NUM_TRIALS = 5  # of external tuning, by its rules
_FILLED = ("submission_name", "submission_folder")
_REQUIRED = (*_FILLED, "authors", "ruleset")  # which may be empty before
_HEADER_LINES, _HEADER_COLUMNS = 40, 400
_SPDX = re.compile(r"SPDX-License-Identifier:\s*(\S+)")
_OTHER_LICENCES = re.compile(
    r"(BSD|MIT|Mozilla Public|GNU [\w ]*General Public|Creative Commons)"
    r"[\w -]*licen[cs]e",
    re.IGNORECASE,
)
_INSTALLED = {
    requirement.name: requirement
    for requirement in map(Requirement, ALGOPERF["packages"]["installed"].split())
}


def check_folder(folder: Path, ruleset: str, given: Path | None) -> Iterator[Finding]:
    """Checks what is no code; `given` is a search space in another place."""
    for name, code, check in (
        (INFO, "E503", _check_info),
        (REQUIREMENTS, "E502", _check_requirements),
        ("LICENSE", "E504", _check_licences),
    ):
        yield from _read(folder / name, code, check(folder))
    space = given or folder / SEARCH_SPACE
    found = _check_search_space(space, ruleset, is_given=given is not None)
    yield from _read(space, "E505", found)


def _read(path: Path, code: str, found: Iterator[Finding]) -> Iterator[Finding]:
    """The findings; the last one says why, if the file can't be read."""
    try:
        if problem := leads_out(path, path.parent):
            raise UserError(f"{path} {problem}.")
        yield from found
    except UserError as error:
        problem = str(error).removeprefix(f"{path} ").removesuffix(".")
        yield finding(path, 1, code, problem)


def read_info(folder: Path) -> dict[str, Any] | None:
    """What submission_info.yml says, key by key; None where there is no such file."""
    path = folder / INFO
    if not path.exists():
        return None
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise UserError(f"{path} must have lines of the form `key: value`.")
    return values


def says(folder: Path, key: str) -> str | None:
    """Our name for what submission_info.yml chooses; None where that can't be told."""
    try:
        return CHOICES[key].get(printable((read_info(folder) or {}).get(key)))
    except UserError:  # a finding of `check_folder`
        return None


def wrong_choice(values: dict[str, Any], key: str) -> str | None:
    choices = [*CHOICES[key]]
    if values[key] in choices:
        return None
    return f"{key} must be {' or '.join(choices)}, got {printable(values[key], 80)!r}"


def _check_info(folder: Path) -> Iterator[Finding]:
    path, values = folder / INFO, read_info(folder)
    if values is None:
        yield finding(path, 1, "W502", f"{INFO} is missing: write one")
        return
    for key in KEYS:
        line = _line_of(path, f"{key}:")
        if values.get(key) is None or not printable(values[key]).strip():
            is_error = key in (_FILLED if key in values else _REQUIRED)
            what = "is empty: fill it in" if key in values else "is missing: add it"
            yield finding(path, line, "E503" if is_error else "W502", f"{key} {what}")
        elif key in CHOICES and (problem := wrong_choice(values, key)):
            yield finding(path, line, "E503", problem)


def _line_of(path: Path, text: str) -> int:
    lines = read_text(path).splitlines()
    return next((n for n, line in enumerate(lines, start=1) if text in line), 1)


def _check_licences(folder: Path) -> Iterator[Finding]:
    for path in sorted(folder.glob("LICEN[CS]E*")):
        if path.is_file() and "Apache License" not in read_text(path):
            yield finding(path, 1, "E504", "the text is not that of the Apache License")


def check_headers(codes: list[Code]) -> Iterator[Finding]:
    for code in codes:
        header = code.text.split("\n", _HEADER_LINES)[:_HEADER_LINES]
        for number, line in enumerate(header, start=1):
            identifier = _SPDX.search(line)
            if identifier and identifier[1] != "Apache-2.0":
                yield finding(code.path, number, "E504", f"it says {identifier[1]}")
            elif _OTHER_LICENCES.search(line, 0, _HEADER_COLUMNS):
                yield finding(code.path, number, "W503")


def _check_search_space(path: Path, ruleset: str, is_given: bool) -> Iterator[Finding]:
    if not path.exists():
        if ruleset == "external" or is_given:
            raise UserError(f"{path.name} is missing: external tuning needs it.")
        return
    if ruleset == "self-tuning" and not is_given:
        yield finding(path, 1, "W504")
    space = read_search_space(str(path))
    check_points(path, space)
    named = {m[1].lower() for m in workload_names().finditer(json.dumps(space))}
    for name in sorted(named):
        yield finding(path, _line_of(path, name), "E506", name)


def check_points(path: Path, space: list[Any] | dict[str, Any]) -> None:
    """Raises a `UserError` where a search space lists more or fewer points."""
    if isinstance(space, list) and len(space) != NUM_TRIALS:
        raise UserError(
            f"{path} lists {len(space)} points: the rules ask for {NUM_TRIALS}, or "
            "ranges."
        )


def _check_requirements(folder: Path) -> Iterator[Finding]:
    """Additions with a reason, never another version."""
    path = folder / REQUIREMENTS
    lines = read_text(path).splitlines() if path.exists() else []
    for number, line in enumerate(lines, start=1):
        text, _, comment = line.partition(" #")
        text = text.strip()
        if not text or text.startswith("#"):
            continue
        before = lines[number - 2].strip() if number > 1 else ""
        has_reason = bool(comment.strip()) or before.startswith("#")
        for code, *facts in _faults(text, has_reason):
            yield finding(path, number, code, *facts)


def _faults(text: str, has_reason: bool) -> Iterator[tuple[str, ...]]:
    """(code, facts) of what is wrong with a requirement."""
    name = text
    if not text.startswith("-") and "://" not in text.partition("@")[0]:
        try:
            requirement = Requirement(text)
        except (InvalidRequirement, RecursionError):
            yield "E502", f"pip can't read {printable(text, 100)!r}"
            return
        name = canonicalize_name(requirement.name)
        if installed := _INSTALLED.get(name):
            if not _allows(requirement.specifier, installed.specifier):
                yield "E501", text, str(installed)
            return
    if not has_reason:
        yield "W501", name


def _allows(wanted: SpecifierSet, installed: SpecifierSet) -> bool:
    named = [s.version.removesuffix(".*") for s in (*wanted, *installed)]
    return any(
        wanted.contains(version, prereleases=True)
        and installed.contains(version, prereleases=True)
        for version in [*named, "9999"]
    )
