"""Text from outside reaches a terminal or a pull request as text, and no more."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unscheduled.benchmark.text import fenced, printable


@given(st.text(st.characters(), max_size=40), st.integers(2, 50))
def test_a_line_is_a_line(text, limit):
    """A name that clears the screen, writes a line of its own, or fills pages."""
    line = printable(text, limit)
    assert line.isprintable()
    assert line == printable(text[: limit - 1] + "…" if len(text) > limit else text)
    line.encode()  # surrogates can't be


@pytest.mark.parametrize("value", [1 << 20_000, [0x10**5000]], ids=["int", "list"])
def test_what_python_does_not_write_out(value):
    """An integer of more digits than Python writes would end in a traceback."""
    assert printable(value) == f"<{type(value).__name__}>"


@given(st.text("`~\n a", max_size=30))
def test_nothing_ends_a_block_but_its_end(text):
    """Backticks in a log would let the rest of it be markup."""
    first, *_, last = fenced(text).split("\n")
    assert first == f"{last}text"
    closing = [
        line
        for line in fenced(text).split("\n")[1:]
        if re.fullmatch(f" {{0,3}}`{{{len(last)},}} *", line)
    ]
    assert closing == [last]
