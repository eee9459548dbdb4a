"""The rule check: reads all files of a submission, then tries it out."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from unscheduled.benchmark.errors import UserError, first_line
from unscheduled.benchmark.read import expand
from unscheduled.benchmark.rulesets import SPELLINGS
from unscheduled.benchmark.text import printable
from unscheduled.check.dry_run import process as dry_run
from unscheduled.check.findings import SEVERITIES, Finding, finding, shown
from unscheduled.check.folder import SEARCH_SPACE, check_folder, check_headers, says
from unscheduled.check.interface import check_interface
from unscheduled.check.outside import check_outside
from unscheduled.check.sources import SourceError, sources, submission_file
from unscheduled.check.workload import check_workload

FORMATS = ("text", "json")
_NO_DRY_RUN = {"E101", "E102", "E505"}  # what it could not run with


def check_files(
    submission: Path, ruleset: str | None = None, search_space: Path | None = None
) -> list[Finding]:
    """Checks the files without running them; findings are sorted by file and line.

    The ruleset, "external" or "self-tuning", is by default what submission_info.yml
    says, or else the official folder (external_tuning, self_tuning).
    """
    folder = submission.resolve().parent
    ruleset = ruleset or _ruleset(folder)
    found = _found(submission, lambda: check_folder(folder, ruleset, search_space))
    try:
        codes = list(sources(submission).values())
    except SourceError as error:
        problem = f"{error.problem}: nothing of it can be run or checked"
        return sorted([*found, finding(error.path, error.line, "E101", problem)])
    found += _found(submission, lambda: check_interface(codes, ruleset))
    for check in (check_workload, check_outside, check_headers):
        found += _found(submission, lambda check=check: check(codes))
    return sorted(set(found))


def _found(submission: Path, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """A rule's findings; if the rule itself fails, that is one."""
    try:
        return list(check())
    except Exception as error:  # RecursionError, for expressions nested too deeply
        kind = type(error).__name__
        problem = f"can't be checked in full ({kind}: {first_line(error)})"
        return [finding(submission.resolve(), 1, "E101", problem)]


def _ruleset(folder: Path) -> str:
    other = "external" if folder.parent.name == "external_tuning" else "self"
    return SPELLINGS[says(folder, "ruleset") or other]


def framework_of(submission: Path) -> str:
    """The framework of a submission, from submission_info.yml or from its imports."""
    if said := says(submission.resolve().parent, "framework"):
        return said
    codes = sources(submission).values()
    imported = {n.split(".")[0] for code in codes for n in code.imports.values()}
    found = [f for f, top in (("jax", "jax"), ("pytorch", "torch")) if top in imported]
    if len(found) != 1:
        raise UserError(
            f"the framework of {submission} can't be told from its imports: give "
            "--framework=jax or --framework=pytorch."
        )
    return found[0]


def run(flags: Any, submission: str) -> int:
    """Does what the flags ask for; the exit status is 1 for errors and mistakes."""
    try:
        findings = _check(flags, submission_file(submission))
    except (UserError, OSError) as error:
        print(f"Error: {printable(error)}", file=sys.stderr)
        return 1
    severities = Counter(finding.severity for finding in findings)
    counts = {f"{name}s": severities[name] for name in SEVERITIES.values()}
    if flags.format == "json":
        rows = [finding.as_json() for finding in findings]
        report = {"submission": submission, "findings": rows, **counts}
        print(json.dumps(report, indent=2))
    else:
        print(*findings, _summary(submission, findings, severities), sep="\n")
    return 1 if counts["errors"] else 0


def _check(flags: Any, submission: Path) -> list[Finding]:
    folder = submission.resolve().parent
    ruleset = SPELLINGS.get(flags.tuning_ruleset) or _ruleset(folder)
    given = flags.tuning_search_space and expand(flags.tuning_search_space)
    findings = check_files(submission, ruleset, given)
    if flags.dry_run and _NO_DRY_RUN.isdisjoint(finding.code for finding in findings):
        space = (given or folder / SEARCH_SPACE).resolve()
        findings += dry_run.run(
            submission,
            flags.framework or framework_of(submission),
            flags.data_dir,
            space if ruleset == "external" else None,
        )
    return findings


def _summary(submission: str, findings: list[Finding], counts: Counter[str]) -> str:
    parts = [
        f"{counts[name]} {name}{'' if counts[name] == 1 else 's'}"
        for name in ("error", "warning")
    ]
    untried = any(finding.code == "N601" for finding in findings)
    more = "; the dry run did not take place" if untried else ""
    return f"{shown(submission)}: {', '.join(parts)}{more}."
