"""How a submission looks, everywhere: a colour, a dash and a symbol of its own."""

from collections.abc import Sequence
from typing import NamedTuple


class Symbol(NamedTuple):
    """The same mark for plotly, as text and for matplotlib."""

    name: str
    glyph: str
    marker: str


class Style(NamedTuple):
    color: str
    dash: str
    symbol: Symbol


# At least 3:1 against white and against the dark page (WCAG 1.4.11), and told apart
# by readers with any of the usual colour vision deficiencies; the simulation is
# Machado et al. 2009. Blue, vermilion and green are Okabe and Ito's.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#5B5BD6", "#BC4040")
BASELINE_COLOR = "#6B7A8F"
DASHES = ("solid", "dash", "dot", "dashdot")  # as plotly names them
SYMBOLS = (  # 7 of them: with 6 colours no pair comes twice in 42
    Symbol("circle", "●", "o"),
    Symbol("square", "■", "s"),
    Symbol("diamond", "◆", "D"),
    Symbol("triangle-up", "▲", "^"),
    Symbol("triangle-down", "▼", "v"),
    Symbol("pentagon", "⬟", "p"),
    Symbol("star", "★", "*"),
)
BASELINE = Style(BASELINE_COLOR, "solid", Symbol("hexagon", "⬢", "h"))


def make_styles(submissions: Sequence[str], baseline: str | None) -> dict[str, Style]:
    """A look for each submission: the baseline is grey, the others take turns.

    >>> make_styles(["a", "b"], "b")["b"].color == BASELINE_COLOR
    True
    """
    styles = {} if baseline is None else {baseline: BASELINE}
    others = [name for name in submissions if name != baseline]
    for i, name in enumerate(others):
        dash = DASHES[i // len(COLORS) % len(DASHES)]
        symbol = SYMBOLS[i % len(SYMBOLS)]
        styles[name] = Style(COLORS[i % len(COLORS)], dash, symbol)
    return styles
