"""What the evidence scripts share: flags, pages, tables and figures.

A page is prose, written by hand, and blocks between `<!-- begin NAME -->` and
`<!-- end NAME -->`, written by its script.
"""

import re
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from absl import flags
from matplotlib.figure import Figure

flags.DEFINE_string("out_dir", "docs/evidence", "Where page and figures are written.")
flags.DEFINE_bool("quick", False, "A much smaller run, to try the script.")

PAGES = Path(__file__).resolve().parents[2] / "docs" / "evidence"
# Okabe and Ito's palette, which colour-blind readers can tell apart.
BLACK, ORANGE, SKY = "#000000", "#E69F00", "#56B4E9"
GREEN, BLUE, RED = "#009E73", "#0072B2", "#D55E00"


def from_flags(full: Any, quick: Any) -> tuple[Any, Path]:
    """The settings that the flags ask for, and the folder to write to."""
    out_dir = Path(flags.FLAGS.out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    return (quick if flags.FLAGS.quick else full), out_dir


def tuning(values: np.ndarray) -> np.ndarray:
    """The first half of the seeds (last axis), which chooses rates."""
    return np.split(values, 2, axis=-1)[0]


def reported(values: np.ndarray) -> np.ndarray:
    """The other half, which is shown."""
    return np.split(values, 2, axis=-1)[1]


def new_figure(rows: int, columns: int, size: tuple[float, float]):
    """A figure of its own, without pyplot's global state, and its axes, 2-D."""
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False)
    for panel in axes.flat:
        panel.grid(True, color="0.9", linewidth=0.6)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def draw_band(panel, x, values: np.ndarray, color: str, label: str, **style) -> None:
    """A line through the medians over the last axis, in a band between quartiles."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], axis=-1)
    panel.plot(x, middle, color=color, label=label, **style)
    panel.fill_between(x, low, high, color=color, alpha=0.15, lw=0)


def draw_bars(panel, x, ends: np.ndarray, color: str, fmt: str, **style) -> None:
    """Points with bars; ends: (3, points), the lower ends, the points, the upper."""
    low, middle, high = ends
    bars = [middle - low, high - middle]
    panel.errorbar(x, middle, bars, fmt=fmt, color=color, **style)


def save_figures(figures: dict[str, Figure], out_dir: Path) -> None:
    """SVGs by name, whose bytes depend on what is drawn alone."""
    for name, figure in figures.items():
        with matplotlib.rc_context({"svg.hashsalt": name}):
            path = out_dir / f"{name}.svg"
            figure.savefig(path, format="svg", metadata={"Date": None})


def spread(values: np.ndarray, digits: int = 3) -> str:
    """'median (lower quartile to upper quartile)'."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return (
        f"{_number(middle, digits)} ({_number(low, digits)} to {_number(high, digits)})"
    )


def _number(value: float, digits: int) -> str:
    """Significant digits, zeros at the end included: 1.00, not 1."""
    return f"{value:#.{digits}g}".rstrip(".")


def fill_page(name: str, blocks: dict[str, str], out_dir: Path) -> Path:
    """Writes the page `name` with new blocks to `out_dir`, and says what changed.

    Raises:
      ValueError: if the page has not just these blocks, each once.
    """
    text = (PAGES / f"{name}.md").read_text()
    found = re.findall(r"<!-- begin (\S+) -->", text)
    if sorted(found) != sorted(blocks):
        raise ValueError(f"{name}.md must have the blocks {[*blocks]}, has {found}.")
    for block, content in blocks.items():
        pattern = rf"(<!-- begin {block} -->\n)(.*?)(<!-- end {block} -->)"
        match = re.search(pattern, text, flags=re.DOTALL)
        if match is None:
            raise ValueError(f"{name}.md has no end of the block {block!r}.")
        if match[2] != f"{content}\n":
            print(f"{name}.md: {block} has changed; read the prose around it again.")
        text = f"{text[: match.end(1)]}{content}\n{text[match.start(3) :]}"
    path = out_dir / f"{name}.md"
    path.write_text(text)
    return path
