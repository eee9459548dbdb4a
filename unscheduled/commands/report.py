"""Write a report on the logs of AlgoPerf runs: one HTML file that works offline.

    unscheduled report LOGS... --out=report.html [--baseline=NAME]
    unscheduled report LOGS... --against=published:0.5 --figures=figures

LOGS and the flags that score.py has too mean what they mean there. The file holds
tables, charts and plotly.js, which draws them. --figures writes each chart as SVG and
PNG for a paper.

Ends with 0, with 1 where arguments or logs can't be scored, and with 2 where --strict
is given and something is irregular.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from unscheduled.benchmark.errors import UserError
from unscheduled.report.model import make_report
from unscheduled.scoring.flags import define_flags, read_and_score, run_program

define_flags()
_OUT = flags.DEFINE_string("out", "report.html", "The file to write.")
_FIGURES = flags.DEFINE_string(
    "figures", None, "A folder to write each chart to, as SVG and PNG (by matplotlib)."
)


def write_report(roots: Sequence[str]) -> None:
    reading, scored = read_and_score("report.py", roots)
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


def main(argv: Sequence[str]) -> int:
    return run_program("report.py", lambda: write_report(argv[1:]))
