"""The rule check: reads all files of a submission, then tries it out."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import expand
from unscheduled.benchmark.rulesets import SPELLINGS
from unscheduled.benchmark.text import printable
from unscheduled.check import package
from unscheduled.check.code import Code, depth
from unscheduled.check.dry_run import process as dry_run
from unscheduled.check.findings import SEVERITIES, Finding, shown
from unscheduled.check.info import CHOICES
from unscheduled.check.interface import check_interface, check_self_tuning
from unscheduled.check.internals import check_internals
from unscheduled.check.requirements import check_requirements
from unscheduled.check.sources import SourceError, sources, submission_file
from unscheduled.check.uses import check_uses
from unscheduled.check.workload import check_workload

FORMATS = ("text", "json")
_CHECKS = (check_interface, check_workload, check_uses, check_internals)


def check_files(
    submission: Path, ruleset: str | None = None, search_space: Path | None = None
) -> list[Finding]:
    """Checks the files, running none of them.

    Args:
      submission: the Python file that has the functions of the API.
      ruleset: "external" or "self-tuning"; None for what submission_info.yml says, or
        else the official folder (external_tuning, self_tuning).
      search_space: the tuning search space, where it is not in the same folder.

    Returns:
      What was found, by file and line.
    """
    folder = submission.resolve().parent
    ruleset = ruleset or _ruleset(folder)
    found = [
        *check_requirements(folder),
        *package.check_info(folder),
        *package.check_search_space(folder, ruleset, search_space),
    ]
    try:
        codes = [Code(name, path) for name, path in sources(submission).items()]
    except SourceError as error:
        message = f"{error.problem}: nothing of it can be run or checked."
        return sorted([*found, Finding(str(error.path), error.line, "E101", message)])
    found += package.check_licence(folder, codes)
    try:
        for check in _CHECKS:
            found += check(codes)
        if ruleset == "self-tuning":
            found += check_self_tuning(codes)
    except RecursionError:
        deepest = max(codes, key=lambda code: depth(code.tree))
        message = "is nested too deeply to be checked: write it in smaller steps."
        found.append(deepest.finding(deepest.tree, "E101", message))
    return sorted(set(found))


def _ruleset(folder: Path) -> str:
    """What submission_info.yml says, or else the official folder; or self-tuning."""
    said = package.says(folder, "ruleset")
    if said in CHOICES["ruleset"]:
        return said
    return "external" if folder.parent.name == "external_tuning" else "self-tuning"


def framework_of(submission: Path) -> str:
    """The framework of a submission, from submission_info.yml or from its imports.

    Raises:
      UserError: where neither tells.
    """
    said = package.says(submission.resolve().parent, "framework")
    if said in CHOICES["framework"]:
        return CHOICES["framework"][said]
    imported = {
        name.split(".")[0]
        for module, path in sources(submission).items()
        for name in Code(module, path).imports.values()
    }
    found = [f for f, top in (("jax", "jax"), ("pytorch", "torch")) if top in imported]
    if len(found) != 1:
        raise UserError(
            f"the framework of {submission} can't be told from its imports: give "
            "--framework=jax or --framework=pytorch."
        )
    return found[0]


def run(flags: Any, submission: str) -> int:
    """Does what the flags of `scripts/check.py` ask for; returns the exit status.

    1 where there are errors, or where the user made a mistake, which is one sentence
    on standard error.
    """
    try:
        findings = _check(flags, submission_file(submission))
    except (UserError, OSError) as error:
        print(f"Error: {printable(error)}", file=sys.stderr)
        return 1
    counts = Counter(finding.severity for finding in findings)
    if flags.format == "json":
        print(json.dumps(_as_json(submission, findings, counts), indent=2))
    else:
        for finding in findings:
            print(finding)
        print(_summary(submission, findings))
    return 1 if counts["error"] else 0


def _check(flags: Any, submission: Path) -> list[Finding]:
    folder = submission.resolve().parent
    ruleset = SPELLINGS.get(flags.tuning_ruleset) or _ruleset(folder)
    given = flags.tuning_search_space and expand(flags.tuning_search_space)
    findings = check_files(submission, ruleset, given)
    codes = {finding.code for finding in findings}
    if flags.dry_run and not codes & {"E101", "E102", "E505"}:
        space = (given or folder / package.SEARCH_SPACE).resolve()
        findings += dry_run.run(
            submission,
            flags.framework or framework_of(submission),
            flags.data_dir,
            space if ruleset == "external" else None,
        )
    return findings


def _as_json(
    submission: str, findings: list[Finding], counts: Counter[str]
) -> dict[str, Any]:
    return {
        "submission": submission,
        "findings": [finding.as_json() for finding in findings],
        **{f"{name}s": counts[name] for name in SEVERITIES.values()},
    }


def _summary(submission: str, findings: list[Finding]) -> str:
    counts = Counter(finding.severity for finding in findings)
    parts = [
        f"{counts[name]} {name}{'' if counts[name] == 1 else 's'}"
        for name in ("error", "warning")
    ]
    untried = any(finding.code == "N601" for finding in findings)
    more = "; the dry run did not take place" if untried else ""
    return f"{shown(submission)}: {', '.join(parts)}{more}."
