"""Write a report on the logs of AlgoPerf runs: one HTML file that works offline.

    unscheduled report LOGS... --out=report.html [--baseline=NAME]
    unscheduled report LOGS... --against=published:0.5 --figures=figures

LOGS and the flags that score.py has too mean what they mean there. The file holds
tables, charts and the library that draws them (plotly.js, 4.8 MB), and asks nothing of
the network. --figures writes each chart as SVG and PNG for a paper.

Ends with 0, with 1 where arguments or logs can't be scored, and with 2 where --strict
is given and something is irregular.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.text import printable
from unscheduled.report.model import make_report
from unscheduled.scoring.flags import define_flags, score_by_flags
from unscheduled.scoring.logs import read_logs
from unscheduled.scoring.scored import NOTHING_READ

ERROR, IRREGULAR = 1, 2  # exit codes

define_flags()
_OUT = flags.DEFINE_string("out", "report.html", "The file to write.")
_FIGURES = flags.DEFINE_string(
    "figures", None, "A folder to write each chart to, as SVG and PNG (by matplotlib)."
)


def write_report(roots: Sequence[str]) -> int:
    """Read the logs below `roots`, write the report, and return the exit code."""
    alone = not roots and flags.FLAGS.against is not None
    reading = NOTHING_READ if alone else read_logs(roots)
    scored = score_by_flags(reading)
    if flags.FLAGS.strict and scored.irregularities:
        for irregularity in scored.irregularities:
            print(f"report.py: {irregularity}", file=sys.stderr)
        return IRREGULAR
    report, out = make_report(scored, reading.trials), Path(_OUT.value)
    try:
        from unscheduled.report.page import render

        if _FIGURES.value is not None:
            from unscheduled.report.papers import save_figures

            save_figures(report, Path(_FIGURES.value))
    except ModuleNotFoundError as error:
        library = str(error.name).partition(".")[0]
        raise UserError(f"A report needs {library}: pip install {library}.") from None
    out.parent.mkdir(parents=True, exist_ok=True)
    text = render(report, reading.summary().lines(), out)
    out.write_text(text, encoding="utf-8", errors="backslashreplace")
    print(f"Report: {out}")
    return 0


def main(argv: Sequence[str]) -> int:
    try:
        return write_report(argv[1:])
    except (UserError, OSError) as error:
        print(f"report.py: {printable(error)}", file=sys.stderr)
        return ERROR
