"""Tables of text: on a terminal by rich, or as Markdown.

Markdown is written by hand: tabulate and rich would pad the cells, so that one longer
number changes every line of a page.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich import table as rich_table


@dataclass(frozen=True)
class Table:
    """Rows of text under headings; a row may have fewer cells."""

    title: str
    headings: Sequence[str]
    rows: Iterable[Sequence[str]]
    align: str = "lr"  # left or right, a column each, the last one for all that follow

    def __rich__(self) -> rich_table.Table:
        shown = rich_table.Table(
            title=self.title, title_justify="left", box=box.SIMPLE_HEAD
        )
        for i, heading in enumerate(self.headings):
            side = self.align[min(i, len(self.align) - 1)]
            justify = "left" if side == "l" else "right"
            shown.add_column(heading, justify=justify, overflow="fold")
        for row in self.rows:
            shown.add_row(*row)
        return shown

    def markdown(self) -> str:
        cells = ([markdown_text(cell) for cell in row] for row in self.rows)
        table = markdown_table([*map(markdown_text, self.headings)], cells)
        return f"### {markdown_text(self.title)}\n\n{table}"


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, the first column to the left, numbers to the right.

    >>> print(markdown_table(["workload", "s"], [["wmt", "1.5"]]))
    | workload | s |
    | --- | --: |
    | wmt | 1.5 |
    """
    lines = [headings, ["---"] + ["--:"] * (len(headings) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def markdown_text(text: str) -> str:
    r"""`text` on one line, with what Markdown would read as markup escaped.

    >>> print(markdown_text("a|b_[c]"))
    a\|b\_\[c\]
    """
    text = " ".join(text.split())
    return "".join(f"\\{c}" if c in r"\`*_[]<>|" else c for c in text)


def number(
    value: float | None,
    form: str = ".2f",
    unknown: str = "-",
    unit: str = "",
    inf: str = "missed",
) -> str:
    """A number as a cell says it; inf is a target that was missed.

    >>> number(1.5, unit=" s"), number(math.inf), number(math.nan, unknown="n/a")
    ('1.50 s', 'missed', 'n/a')
    """
    if value is None or math.isnan(value):
        return unknown
    return inf if math.isinf(value) else f"{value:{form}}{unit}"
