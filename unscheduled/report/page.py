"""The page: one HTML file with everything in it, plotly.js included.

Names in logs are anybody's: page.html escapes every value, and its content security
policy lets it load nothing and run no other script.
"""

import base64
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs, get_plotlyjs_version

from unscheduled.benchmark.tables import number
from unscheduled.report import figures, words
from unscheduled.report.model import Report, Run
from unscheduled.scoring import profiles, verdicts
from unscheduled.scoring.comparison import PARTS_NOTE
from unscheduled.scoring.tables import comparison, coverage
from unscheduled.scoring.warnings import RULES_OF_READING

_HERE = Path(__file__).parent
_TAUS = (1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 4.0)  # of the table of profiles


def render(report: Report, read: Sequence[str], out: Path) -> str:
    """The whole file, to lie at `out`, with sentences that count what was `read`."""
    scored = report.scored
    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(_HERE),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["breakable"] = _breakable
    environment.globals |= {"number": number, "words": words}
    plotly_js, page_js = get_plotlyjs(), (_HERE / "page.js").read_text("utf-8")
    columns = np.searchsorted(profiles.TAU, _TAUS, "right") - 1
    return environment.get_template("page.html").render(
        report=report,
        entries={entry.submission: entry for entry in report.entries},
        coverage=coverage(scored),
        comparison=comparison(scored),
        parts_note=PARTS_NOTE,
        taus=dict(zip(_TAUS, columns.tolist(), strict=True)),
        faint=[run for w in report.workloads for run in w.curves if not run.stands],
        why=verdicts,
        files=_files,
        address=lambda path: address(path, out),
        read=read,
        rules=RULES_OF_READING,
        policy=_policy(plotly_js, page_js),
        page_css=(_HERE / "page.css").read_text("utf-8"),
        # In a script element: JSON that ends it would be HTML.
        charts=figures.to_json(report).replace("<", "\\u003c"),
        plotly_js=plotly_js,
        plotly_version=get_plotlyjs_version(),
        page_js=page_js,
    )


def address(path: Path, out: Path) -> str:
    """Of a file of a run, relative to the report's folder."""
    relative = os.path.relpath(path, os.path.abspath(out.parent))
    # "./" because a first folder named "a:b" would be read as a scheme.
    return f"./{quote(os.fsencode(relative.replace(os.sep, '/')))}"


def _policy(*scripts: str) -> str:
    """A content security policy under which these scripts run, and nothing else."""
    digests = (base64.b64encode(hashlib.sha256(s.encode()).digest()) for s in scripts)
    hashes = " ".join(f"'sha256-{digest.decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _breakable(name: str) -> Markup:
    """A name with places to break a line, which only a narrow page uses."""
    return escape(name).replace("_", Markup("_<wbr>"))


def _files(run: Run) -> list[Path]:
    kinds = (".csv", ".csv.gz", ".json")
    return sorted(p for p in run.trial.path.parent.iterdir() if p.name.endswith(kinds))
