"""Tables of text: what rich prints of them, and Markdown."""

import io

from rich.console import Console

from unscheduled.benchmark.tables import Table, markdown_table


def test_alignment_and_short_rows():
    """Numbers would not stand below one another, or a short row stop the printing."""
    rows = [["aa", "1", "x"], ["b", "22"], ["c", "3", "yy"]]
    file = io.StringIO()
    shown = Table("Title", ("name", "number", "words"), rows, "lrl")
    Console(file=file, width=80).print(shown)
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    assert lines[0] == "Title"
    assert [
        line for line in lines if line.startswith("  ") and line[2:3].isalpha()
    ] == [
        "  name   number   words",
        "  aa          1   x",
        "  b          22",
        "  c           3   yy",
    ]


def test_the_last_alignment_is_that_of_all_that_follow():
    """A column more than there are letters would have no side."""
    file = io.StringIO()
    Console(file=file, width=80).print(Table("", "abc", [["x", "10", "100"]] * 2))
    assert "  x   10   100" in file.getvalue()
    assert "  a    b     c" in file.getvalue()


def test_markdown_of_no_rows():
    """A table without rows would be no table."""
    assert markdown_table(["a", "b"], []) == "| a | b |\n| --- | --: |"
