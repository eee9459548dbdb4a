"""Rows of a log: damaged, out of order, written twice, or by two runs at once."""

from pathlib import Path

import numpy as np
import pytest

from unscheduled.scoring.measurements import parse

HEADER = "score,global_step,preemption_count,validation/wer"


def read(*rows, header=HEADER):
    """(score, step, wer) of the rows read, and the irregularities."""
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
        ("1e999,2,0,0.5", "score is 1e999, not a number of seconds or steps"),
        ("-1,2,0,0.5", "score is -1, not a number of seconds or steps"),
        ("2,,0,0.5", "global_step is '', not a number"),
        ("2,2,,0.5", "preemption_count is '', not a number"),
        ("2,1.5,0,0.5", "global_step is 1.5, not a whole number"),
        ("1_0,2,0,0.5", "score is '1_0', not a number"),
        (" 2,2,0,0.5", "score is ' 2', not a number"),
        ("2.,2,0,0.5", "score is '2.', not a number"),
        ("02,2,0,0.5", "score is '02', not a number"),
        ("\N{ARABIC-INDIC DIGIT TWO},2,0,0.5", "score is "),
        ("9" * 65 + ",2,0,0.5", "score is '9999"),
        ("\xff\xfe,,,", r"score is '\xc3\xbf\xc3\xbe', not a number"),
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
    assert rules(notes) == [("piece", 3, 2), ("corrupt_row", 4, 1)]


def test_corrupt_rows_are_counted():
    """A binary file of a million lines would give as many notes, or name only one."""
    _, (note,) = read("1,1,0,0.9", *["?,?,?,?"] * 1000, "3,3,0,0.7")
    assert str(note).startswith(
        "log.csv, line 3: score is '?', not a number, and 999 more like it ("
    )


@pytest.mark.parametrize("cell", ["oops", "0.5\0", "0.5 ", "0.5\r", "0_5", "0x1", "."])
def test_corrupt_metric(cell):
    """A damaged metric would hit, or take its row's time out of the run's length."""
    rows, notes = read("1,1,0,0.9", f"2,2,0,{cell}", "3,3,0,0.7")
    assert [row[:2] for row in rows] == [(1, 1), (2, 2), (3, 3)]
    assert np.isnan(rows[1][2])
    assert rules(notes) == [("corrupt_cell", 3, 1)]


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
    assert {note.rule for note in notes} == {
        "repeated_row",
        "contradiction",
        "reordered",
    }


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


@pytest.mark.parametrize("name", ["validation/wer", "preemption_count", "train/loss"])
def test_column_named_twice(name):
    """Which of two columns counts would be up to chance."""
    text = f"{HEADER},train/loss,{name}\n1,1,0,0.1,5,6\n"
    log, notes = parse(text.encode(), Path("log.csv"))
    assert log.score.tolist() == [1]
    assert ("wer" in log.validation) == (name != "validation/wer")
    assert rules(notes) == [("named_twice", 1, 1)]
    text = "score,global_step,score\n1,1,2\n"
    log, notes = parse(text.encode(), Path("log.csv"))
    assert len(log.score) == 0
    assert [note.rule for note in notes] == ["named_twice", "not_a_log"]


def test_mixed_line_ends():
    """A byte that became a line end's would cut a number short without a word."""
    rows, notes = read("1,1,0,0.9\r", "2,2,0,0.1", "3,3,0,0.7\r", header=f"{HEADER}\r")
    assert [row[1] for row in rows] == [1, 3]
    assert rules(notes) == [("corrupt_row", 3, 1)]


def test_names_of_columns():
    """A metric's name in another script, or in no encoding, would stop the reading."""
    data = b"score,global_step,validation/\xce\xb1,validation/\xff\n1,1,0.5,0.25\n"
    log, notes = parse(data, Path("log.csv"))
    assert {k: v.tolist() for k, v in log.validation.items()} == {
        "\N{GREEK SMALL LETTER ALPHA}": [0.5],
        "\\xff": [0.25],
    }
    assert notes == []
