"""What the evidence scripts share: the seeds they split, their figures and pages.

A page is prose, written by hand, and blocks between `<!-- begin NAME -->` and
`<!-- end NAME -->`, which its script fills.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from absl import flags
from matplotlib.figure import Figure

flags.DEFINE_string("data_dir", "data", "Where data sets are, or are made.")

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "evidence"
# Okabe and Ito's palette, which colour-blind readers can tell apart.
BLACK, ORANGE, SKY = "#000000", "#E69F00", "#56B4E9"
GREEN, BLUE, RED = "#009E73", "#0072B2", "#D55E00"


def halves(values: np.ndarray) -> list[np.ndarray]:
    """The seeds (last axis) that choose learning rates, and those that are shown."""
    return np.split(values, 2, axis=-1)


def quartiles(values: np.ndarray) -> np.ndarray:
    """Lower quartile, median and upper quartile over the last axis."""
    return np.quantile(values, [0.25, 0.5, 0.75], axis=-1)


def spread(values: np.ndarray) -> str:
    """'median (lower quartile to upper quartile)', in three significant digits."""
    low, middle, high = (f"{q:#.3g}".rstrip(".") for q in quartiles(values))
    return f"{middle} ({low} to {high})"


def new_figure(rows: int, columns: int, size: tuple[float, float]):
    """A figure that pyplot doesn't know, and its axes (rows, columns)."""
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False)
    for panel in axes.flat:
        panel.grid(True, color="0.9", linewidth=0.6)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def draw_band(panel, x, values: np.ndarray, color: str, label: str, **style) -> None:
    """A line through the medians over the last axis, in a band between quartiles."""
    low, middle, high = quartiles(values)
    panel.plot(x, middle, color=color, label=label, **style)
    panel.fill_between(x, low, high, color=color, alpha=0.15, lw=0)


def draw_bars(panel, x, ends: np.ndarray, color: str, fmt: str, **style) -> None:
    """Points with error bars; ends: (3, points), the lower ends, points, upper ends."""
    low, middle, high = ends
    bars = [middle - low, high - middle]
    panel.errorbar(x, middle, bars, fmt=fmt, color=color, **style)


def publish(
    name: str, blocks: Mapping[str, str], folder: Path | None = None, **figures: Figure
) -> None:
    """Writes the page `name`, which must have exactly these blocks, and its figures."""
    folder = folder or PAGES
    page = folder / f"{name}.md"
    text = page.read_text()
    found = re.findall(r"<!-- begin (\S+) -->\n(.*?)<!-- end \1 -->", text, re.DOTALL)
    names = [block for block, _ in found]
    if sorted(names) != sorted(blocks):
        raise ValueError(f"{name}.md must have the blocks {[*blocks]}, has {names}.")
    for block, old in found:
        begin, end = f"<!-- begin {block} -->\n", f"<!-- end {block} -->"
        new = f"{blocks[block]}\n"
        if new != old:
            print(f"{name}.md: {block} has changed; check the text around it.")
        text = text.replace(f"{begin}{old}{end}", f"{begin}{new}{end}")
    page.write_text(text)
    for figure_name, figure in figures.items():
        # The bytes depend only on what is drawn.
        with matplotlib.rc_context({"svg.hashsalt": figure_name}):
            figure.savefig(folder / f"{figure_name}.svg", metadata={"Date": None})
    print(f"{page} written.")
