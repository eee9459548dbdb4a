"""Rows of a log: damaged, out of order, written twice, or by two runs at once."""

import time
from pathlib import Path

import numpy as np
import pytest

from unscheduled.benchmark.errors import LogError
from unscheduled.scoring.measurements import parse

HEADER = "score,global_step,preemption_count,validation/wer"


def read(*rows, header=HEADER):
    """(score, step, wer) of the rows read, and the warnings."""
    text = "".join(f"{line}\n" for line in (header, *rows))
    log, notes = parse(text.encode("utf-8"), Path("log.csv"))
    columns = (log.score, log.global_step, log.validation["wer"])
    return [tuple(row) for row in np.array(columns).T.tolist()], notes


def rules(notes):
    return [(note.rule, note.line, note.count) for note in notes]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("2,2,0,0.52,2,2,0,0.5", "8 cells where the header has 4"),
        ("2,x,0,0.5", "global_step is 'x', not a number"),
        ("nan,2,0,0.5", "score is 'nan', not a number"),
        ("inf,2,0,0.5", "score is 'inf', not a number"),
        ("1e999,2,0,0.5", "score is '1e999', not a number from 0 on"),
        ("-1,2,0,0.5", "score is '-1', not a number from 0 on"),
        ("2,,0,0.5", "global_step is '', not a whole number from 0 on"),
        ("2,2,,0.5", "preemption_count is '', not a whole number from 0 on"),
        ("2,1.5,0,0.5", "global_step is '1.5', not a whole number from 0 on"),
        ("2,2,0,oops", "validation/wer is 'oops', not a number"),
        ("2,2,0,0.5 ", "validation/wer is '0.5 ', not a number"),
        ("2,2,0,0x1", "validation/wer is '0x1', not a number"),
        ("2,2,0,.", "validation/wer is '.', not a number"),
        ('2,2,0,"1,5"', "validation/wer is '1,5', not a number"),
        ("2,2,0,0.5\r", "a control byte, or another line end"),
        ("2,2,0,0.5\x7f", "a control byte, or another line end"),
        ("2,2,0,\N{LATIN SMALL LETTER DOTLESS I}nf", "validation/wer is "),
        ("1_0,2,0,0.5", "score is '1_0', not a number"),
        (" 2,2,0,0.5", "score is ' 2', not a number"),
        ("2.,2,0,0.5", "score is '2.', not a number"),
        ("02,2,0,0.5", "score is '02', not a number"),
        ("\N{ARABIC-INDIC DIGIT TWO},2,0,0.5", "score is "),
        ("9" * 65 + ",2,0,0.5", "score is '9999"),
        ("1" + 400 * "0" + ",2,0,0.5", "score is '1000"),
        ("\xff\xfe,,,", r"score is '\xff\xfe', not a number"),
        (HEADER, "score is 'score', not a number"),
    ],
)
def test_corrupt_row(row, what):
    """A corrupt row would stop the scoring, hit, or take the rows around it along."""
    rows, (note,) = read("1,1,0,0.9", row, "3,3,0,0.7")
    assert rows == [(1, 1, 0.9), (3, 3, 0.7)]
    assert (note.rule, note.line) == ("corrupt_row", 3)
    assert note.what.startswith(what)


@pytest.mark.parametrize("end", ["0.5\n1", "0.5\n,", "0.5\n\0", "\n0.5"])
def test_a_line_end_within_a_row(end):
    """A line end in the last number would make it a smaller one, and a miss a hit."""
    rows, notes = read("1,1,0,0.9", f"2,2,0,{end}", "3,3,0,0.7", "4,4,0,0.6")
    assert rows == [(1, 1, 0.9), (4, 4, 0.6)]
    assert rules(notes) == [("corrupt_row", 3, 3)]


def test_corrupt_rows_are_counted():
    """A binary file of a million lines would give as many notes, or name only one."""
    _, (note,) = read("1,1,0,0.9", *["?,?,?,?"] * 1000, "3,3,0,0.7")
    assert str(note).startswith(
        "log.csv, line 3: score is '?', not a number, and 999 more like it ("
    )


def test_zeros_join_two_rows():
    """Half a row and half of another would be one, that reaches its target at 2 s."""
    header = f"{HEADER},train/loss"
    lost = "2.0,2,0,0.1," + 30 * "\0" + "5"  # of the rows at 2, 6 and 10 seconds
    rows, (note,) = read("1.0,1,0,0.9,7.5", lost, "11.0,11,0,0.1,4", header=header)
    assert [row[0] for row in rows] == [1.0, 11.0]
    assert (note.rule, note.line) == ("corrupt_row", 3)


@pytest.mark.parametrize(
    "name", ["train/loss", "test/wer", "total_duration", "accumulated_eval_time"]
)
@pytest.mark.parametrize("cell", ["oops", "0.5\0", "1_0", "1 5", "0.5\x1b[31m"])
def test_damage_in_any_column(name, cell):
    """A row would count that is damaged in a column that no score is read from."""
    header = f"{HEADER},{name},note"
    row = "2,2,0,0.1,{},a"
    rows, (note,) = read(row.format(cell), "3,3,0,0.7,1,a", header=header)
    assert [row[0] for row in rows] == [3]
    assert note.rule == "corrupt_row"
    assert str(note).isprintable()
    rows, notes = read(row.format("0.5"), "3,3,0,0.7,,a", header=header)
    assert [row[0] for row in rows] == [2, 3]
    assert notes == []


@pytest.mark.parametrize("end", ["", "\r"])
def test_quoted_cells(end):
    """A log that another program wrote, with quotes, would count as none."""
    header = '"score",global_step,"preemption_count",validation/wer,"a ""note"", two"'
    lines = ['"1.5","10",0,"0.25","x, y"', '2.5,20,"0",0.125,"say ""hi"""']
    rows, notes = read(*(line + end for line in lines), header=header + end)
    assert rows == [(1.5, 10, 0.25), (2.5, 20, 0.125)]
    assert notes == []


def test_a_line_end_in_quotes():
    """A cell of text over two lines would bring a row of its own."""
    header = f"{HEADER},note"
    forged = '2,2,0,0.9,"hello', '3,3,0,0.1,x"'
    rows, notes = read("1,1,0,0.9,a", *forged, "4,4,0,0.8,b", header=header)
    assert rows == [(4, 4, 0.8)]
    assert rules(notes) == [("corrupt_row", 2, 3)]


@pytest.mark.parametrize("cells", ["a", "named"])
def test_very_wide(cells):
    """The time to read a header would grow with the square of its length."""
    n = 200_000
    names = n * ["a"] if cells == "a" else [f"train/{i}" for i in range(n)]
    header = ",".join([HEADER, *names])
    rows = [f"{i},{i},0,0.5" + n * ",1" for i in range(1, 4)]
    data = "".join(f"{line}\n" for line in (header, *rows)).encode()
    began = time.process_time()
    if cells == "a":
        with pytest.raises(LogError, match="two columns 'a'"):
            parse(data, Path("log.csv"))
    else:
        log, notes = parse(data, Path("log.csv"))
        assert len(log.score) == 3
        assert notes == []
    assert time.process_time() - began < 10  # 0.3 s; the square takes minutes


@pytest.mark.parametrize(
    ("metric", "good", "bad"),
    [
        ("accuracy", ["0", "1", "1.000001"], ["73.5", "-0.1", "1.001"]),
        ("wer", ["0.0", "4.44"], ["-0.01"]),
        ("bleu", ["31.2"], ["101"]),
        ("loss", ["-7", "1e30"], []),
    ],
)
def test_impossible_metrics(metric, good, bad):
    """A percentage would reach a target that is a fraction, a lost point any."""
    for cell in good + bad:
        text = f"score,global_step,validation/{metric}\n1,1,{cell}\n"
        log, notes = parse(text.encode(), Path("log.csv"))
        (value,) = log.validation[metric]
        assert np.isnan(value) == (cell in bad)
        assert [n.rule for n in notes] == ["out_of_range"] * (cell in bad)


@pytest.mark.parametrize("cell", ["-1e999", "1e999", "inf", "-INF", "nan", "-nan", ""])
def test_infinite_metrics(cell):
    """A loss of minus infinity would reach every target."""
    text = f"score,global_step,validation/loss\n1,1,{cell}\n"
    log, notes = parse(text.encode(), Path("log.csv"))
    assert np.isnan(log.validation["loss"]).all()
    assert notes == []


def test_two_clocks():
    """A damaged time would pass, though the row has it twice."""
    header = f"{HEADER},accumulated_submission_time"
    rows, (note,) = read("1,1,0,0.9,1", "2,2,0,0.8,20", "3,3,0,0.7,3.0", header=header)
    assert [row[0] for row in rows] == [1, 3]
    assert note.rule == "corrupt_row"
    assert note.what == "score is 2, but accumulated_submission_time 20"


def test_preempted_run():
    """Steps repeated after a preemption would be irregular, or replace the first."""
    expected = [(1, 10, 0.9), (2, 20, 0.8), (1.5, 15, 0.85), (2.2, 20, 0.7)]
    rows, notes = read("1,10,0,0.9", "2,20,0,0.8", "1.5,15,1,0.85", "2.2,20,1,0.7")
    assert rows == expected
    assert notes == []


def test_reordered():
    """The order of lines would decide which evaluation is the first to hit."""
    rows, notes = read("2,20,0,0.8", "2.2,20,1,0.7", "1,10,0,0.9", "3,30,0,0.6")
    assert rows == [(1, 10, 0.9), (2, 20, 0.8), (3, 30, 0.6), (2.2, 20, 0.7)]
    assert [note.rule for note in notes] == ["reordered"]


def test_repeated_row():
    """A row written twice would count as an evaluation more."""
    rows, notes = read("1,10,0,0.9", "2,20,0,0.8", "2,20,0,0.8", "2,20,0,0.8")
    assert rows == [(1, 10, 0.9), (2, 20, 0.8)]
    assert rules(notes) == [("repeated_row", 4, 2)]


def test_contradiction():
    """Of two runs in one file, the better evaluations would make up a third run."""
    rows, notes = read("1,10,0,0.9", "2,20,0,0.8", "1,10,0,0.9", "2.1,20,0,0.1")
    assert rows == [(1, 10, 0.9)]
    assert {note.rule for note in notes} == {"repeated_row", "contradiction"}


def test_time_goes_back():
    """A hit would be counted at a time that another row says is past."""
    rows, notes = read("1,10,0,0.9", "5,20,0,0.8", "3,30,0,0.1", "6,40,0,0.1")
    assert rows == [(1, 10, 0.9)]  # which of the two is wrong, nobody knows
    assert rules(notes) == [("time_back", 4, 1)]


@pytest.mark.parametrize(
    ("second", "steps", "rule"),
    [
        (HEADER, [1, 2], "corrupt_row"),
        ("global_step,score,preemption_count,validation/wer", [1], "second_header"),
        (f"{HEADER},validation/loss", [1], "second_header"),
    ],
)
def test_second_header(second, steps, rule):
    """Below a header of other columns, times would be read from the steps."""
    rows, notes = read("1,1,0,0.9", second, "2,2,0,0.1")
    assert [row[1] for row in rows] == steps
    assert rules(notes) == [(rule, 3, 1)]


@pytest.mark.parametrize("name", ["validation/wer", "preemption_count", "score"])
def test_column_named_twice(name):
    """Which of two columns counts would be up to chance."""
    text = f"{HEADER},train/loss,{name}\n1,1,0,0.1,5,6\n"
    with pytest.raises(LogError, match=f"two columns {name!r}"):
        parse(text.encode(), Path("log.csv"))


def test_mixed_line_ends():
    """A byte that became a line end's would cut a number short without a word."""
    rows, notes = read("1,1,0,0.9\r", "2,2,0,0.1", "3,3,0,0.7\r", header=f"{HEADER}\r")
    assert [row[1] for row in rows] == [1]  # the next line is a part of it
    assert rules(notes) == [("corrupt_row", 3, 1)]


def test_names_of_columns():
    """A metric's name in another script would stop the reading."""
    data = b"score,global_step,validation/\xce\xb1\n1,1,0.5\n"
    log, notes = parse(data, Path("log.csv"))
    assert log.validation["\N{GREEK SMALL LETTER ALPHA}"].tolist() == [0.5]
    assert notes == []
    with pytest.raises(LogError, match="does not print"):
        parse(data.replace(b"\xb1", b"\xff"), Path("log.csv"))
