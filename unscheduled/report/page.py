"""The page: one HTML file with everything in it, plotly.js included.

Names in logs are anybody's: page.html escapes every value, and the content security
policy lets run the two scripts whose hashes it names, and load nothing.
"""

import base64
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs, get_plotlyjs_version

from unscheduled.benchmark.text import printable
from unscheduled.report import figures, words
from unscheduled.report.model import Entry, Report, Run
from unscheduled.scoring import profiles, why
from unscheduled.scoring.comparison import PARTS_NOTE
from unscheduled.scoring.irregularities import RULES_OF_READING
from unscheduled.scoring.tables import comparison, coverage
from unscheduled.scoring.verdicts import verdicts

_HERE = Path(__file__).parent
_TAUS = (1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 4.0)  # of the table of profiles
_MAX_OPEN_RUNS = 60  # up to which the tables of runs are open at first
_MAX_OPEN_PAGES = 3  # of one's own submissions, up to which theirs are open at first
_MAX_LINKED_RUNS = 1000  # up to which all files of a run are linked


def render(report: Report, read: Sequence[str], out: Path) -> str:
    """The whole file.

    Args:
      read: sentences that count what was read, see `Reading.summary`.
      out: where the file will lie; links to logs are relative to its folder.
    """
    scored, plotly_js, page_js = report.scored, get_plotlyjs(), _text("page.js")
    all_files = len(report.runs) <= _MAX_LINKED_RUNS
    curves = [curve for workload in report.workloads for curve in workload.curves]
    few = 0 < len(scored.own) <= _MAX_OPEN_PAGES
    return _template().render(
        report=report,
        entries={entry.submission: entry for entry in report.entries},
        coverage=coverage(scored),
        comparison=comparison(scored),
        parts_note=PARTS_NOTE,
        profile_header=["submission", *(f"{tau:g}x" for tau in _TAUS)],
        profile_shares=_profile_shares,
        all_stand=all(curve.stands for curve in curves),
        why=why,
        verdicts=verdicts(scored),
        opened=scored.own if few else (report.entries[0].submission,),
        max_open=_MAX_OPEN_RUNS,
        max_linked=_MAX_LINKED_RUNS,
        files=lambda run: _files(run, all_files),
        address=lambda path: address(path, out),
        read=read,
        rules=RULES_OF_READING,
        policy=_policy(plotly_js, page_js),
        page_css=_text("page.css"),
        charts=in_script(figures.to_json(report)),
        plotly_js=plotly_js,
        plotly_version=get_plotlyjs_version(),
        page_js=page_js,
    )


def in_script(json_text: str) -> str:
    r"""JSON that neither ends the script element that it is in nor opens another.

    >>> in_script('"</script>"')
    '"\\u003c/script>"'
    """
    return json_text.replace("<", "\\u003c")


def address(path: Path, out: Path) -> str:
    """Of a file of a run, relative to the report's folder."""
    relative = os.path.relpath(path, os.path.abspath(out.parent))
    # "./" because a first folder named "a:b" would be read as a scheme.
    return f"./{quote(os.fsencode(relative.replace(os.sep, '/')))}"


def _template() -> Template:
    environment = Environment(
        autoescape=True,
        finalize=_visible,
        loader=FileSystemLoader(_HERE),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["breakable"] = _breakable
    environment.globals["words"] = words
    return environment.get_template("page.html")


def _visible(value: Any) -> Any:
    """Text in which what does not print is made visible; HTML as it is."""
    return value if isinstance(value, Markup) else printable(value)


def _breakable(name: str) -> Markup:
    """A name with places to break a line, which only a narrow page uses."""
    return escape(printable(name)).replace("_", Markup("_<wbr>"))


def _text(name: str) -> str:
    return (_HERE / name).read_text("utf-8")


def _policy(*scripts: str) -> str:
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'"
        for s in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _profile_shares(entry: Entry) -> list[str]:
    columns = np.searchsorted(profiles.TAU, _TAUS, "right") - 1
    return [words.percent(entry.row.profile[column]) for column in columns]


def _files(run: Run, all_files: bool) -> list[Path]:
    if not all_files:
        return [run.trial.path]
    kinds = (".csv", ".csv.gz", ".json")
    return sorted(p for p in run.trial.path.parent.iterdir() if p.name.endswith(kinds))
