"""Folders whose names differ by the time that --append_timestamp adds."""

from unscheduled.scoring.logs import read_logs

from .trees import write_log

NOON, LATER = "-2026-01-31-12-00-00", "-2026-01-31-12-30-00"


def studies(root):
    trials = read_logs([root]).trials
    return [(trial.submission, trial.study, float(trial.score[0])) for trial in trials]


def test_one_submission(tmp_path):
    """Two runs of one submission would be two submissions, with a study each."""
    write_log(tmp_path, "1,1,1", submission="sub")
    write_log(tmp_path, "2,1,1", submission=f"sub{NOON}")
    write_log(tmp_path, "3,1,1", submission=f"sub{NOON}", trial=2)
    write_log(tmp_path, "4,1,1", submission=f"sub{LATER}", study="study_1")
    assert studies(tmp_path) == [
        ("sub", "study_0", 1),
        ("sub", f"study_0{NOON}", 2),
        ("sub", f"study_0{NOON}", 3),
        ("sub", f"study_1{LATER}", 4),
    ]
    told = [str(one) for one in read_logs([tmp_path]).warnings]
    assert len(told) == 2
    assert "sub with a time after it (it is read as studies of the" in told[0]


def test_times_alone(tmp_path):
    """It would take a run without a time for those with one to be one submission."""
    for i, time in enumerate((NOON, LATER)):
        write_log(tmp_path, "1,1,1", submission=f"sub{time}", study=f"study_{i}")
    expected = [("sub", f"study_0{NOON}", 1), ("sub", f"study_1{LATER}", 1)]
    assert studies(tmp_path) == expected


def test_other_names(tmp_path):
    """A name that ends in a date of its own would lose it, or join another's."""
    names = ["other", "sub", "sub_2026", "sub_2026-01-31"]
    for name in names:
        write_log(tmp_path, "1,1,1", submission=name)
    assert [name for name, _, _ in studies(tmp_path)] == names
    assert read_logs([tmp_path]).warnings == []
