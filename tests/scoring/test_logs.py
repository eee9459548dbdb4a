"""Reading logs: the layout, and files that are not as they should be."""

import re
import shutil

import numpy as np
import pytest

from unscheduled.scoring.errors import LogError, ScoringError
from unscheduled.scoring.logs import read_logs

from .trees import HEADER, write_log, write_text


def names(trials):
    return [trial.key for trial in trials]


def read(root):
    """Trials, and what was irregular, as sentences."""
    reading = read_logs([root])
    return reading.trials, [*map(str, reading.irregularities)]


def test_reads_columns(tmp_path):
    """A metric, a time or a step read from the wrong column would move every score."""
    write_log(
        tmp_path,
        "9,1.5,3,0.25,7",
        header="train/loss,score,global_step,validation/loss,test/loss",
        workload="stdlib_lm_pytorch",
        trial=12,
    )
    (trial,), notes = read(tmp_path)
    assert trial.key == ("sub", "stdlib_lm", "pytorch", "study_0", 12)
    assert trial.score.tolist() == [1.5]
    assert trial.global_step.tolist() == [3]
    assert {k: v.tolist() for k, v in trial.validation.items()} == {"loss": [0.25]}
    assert notes == []


@pytest.mark.parametrize("inner", ["", "a", "a/study_0", "a/study_0/digits_resnet_jax"])
def test_names_do_not_depend_on_the_root(tmp_path, monkeypatch, inner):
    """One submission's folder given alone would be read as a root of submissions."""
    write_log(tmp_path, "1,1,0.5", submission="a")
    expected = [("a", "digits_resnet", "jax", "study_0", 1)]
    assert names(read_logs([tmp_path / inner]).trials) == expected
    monkeypatch.chdir(tmp_path / inner)
    assert names(read_logs(["."]).trials) == expected


def test_several_roots(tmp_path):
    """A folder named twice, or with one inside it, would count a trial twice."""
    write_log(tmp_path / "x", "1,1,0.5", submission="a")
    write_log(tmp_path / "y", "1,1,0.5", submission="b")
    roots = [tmp_path / "y", tmp_path / "x" / "a", tmp_path / "x"]
    assert [trial.submission for trial in read_logs(roots).trials] == ["a", "b"]


def test_trials_sorted_by_number(tmp_path):
    """Ties between trials would go to trial 10 before trial 2, or by listing order."""
    for number in (10, 2, 1):
        write_log(tmp_path, "1,1,0.5", trial=number)
    assert [trial.number for trial in read_logs([tmp_path]).trials] == [1, 2, 10]


def test_same_trial_twice(tmp_path):
    """Two copies of a run would silently be one study."""
    for root in ("x", "y"):
        write_log(tmp_path / root, "1,1,0.5")
    with pytest.raises(LogError, match="claim to be the same trial"):
        read_logs([tmp_path / "x", tmp_path / "y"])


def test_too_deep(tmp_path):
    """Submissions of two rulesets would be scored as one group."""
    write_log(tmp_path / "self_tuning", "1,1,0.5")
    with pytest.raises(ScoringError, match=f"such as {tmp_path}/self_tuning"):
        read_logs([tmp_path])


def test_link_to_itself(tmp_path):
    """A link that leads back up would send the search round for ever."""
    write_log(tmp_path, "1,1,0.5")
    (tmp_path / "sub" / "study_0" / "again").symlink_to(tmp_path)
    assert len(read_logs([tmp_path]).trials) == 1


def test_other_files_are_passed_over(tmp_path):
    """Checkpoints and notes beside the logs would be taken for logs."""
    path = write_log(tmp_path, "1,1,0.5")
    write_log(path.parent, "1,1,0.9", submission="checkpoint_1")
    (tmp_path / "README.md").write_text("trial_1")
    shutil.copytree(path.parent, path.parents[1] / "trial_1_copy")
    trials, notes = read(tmp_path)
    assert len(trials) == 1
    assert notes == []


@pytest.mark.parametrize("stray", ["sub/study_0/trial_1", "sub/study_0/mnist/trial_1"])
def test_strays_are_noted(tmp_path, stray):
    """A trial without its workload's folder would stop the scoring of all others."""
    path = write_log(tmp_path, "1,1,0.5")
    shutil.copytree(path.parent, tmp_path / stray)
    trials, (note,) = read(tmp_path)
    assert len(trials) == 1
    assert f"{tmp_path / stray}: no <submission>" in note


def test_trial_without_log_is_noted(tmp_path):
    """A run that died before its first evaluation would vanish without a word."""
    path = write_log(tmp_path, "1,1,0.5")
    (path.parents[1] / "trial_2").mkdir()
    trials, (note,) = read(tmp_path)
    assert len(trials) == 1
    assert "trial_2" in note


@pytest.mark.parametrize("text", ["", "\n", HEADER, HEADER + "\n"])
def test_no_evaluations(tmp_path, text):
    """A run that was never evaluated would fail the scoring, not miss its target."""
    write_text(tmp_path, text)
    (trial,), notes = read(tmp_path)
    assert trial.score.shape == trial.global_step.shape == (0,)
    assert notes == []


@pytest.mark.parametrize(
    "tail", ["2,2", "2,2\n", "2,2,", "2,2,0.9", "2,2,0.", "2,2,0.9e-", "\0\0\0\0", "2"]
)
def test_cut_off_last_line(tmp_path, tail):
    """A run killed while writing would fail, or hit with half a number (wer 0.0)."""
    path = write_text(tmp_path, f"{HEADER}\n1,1,0.5\n{tail}")
    (trial,), (note,) = read(tmp_path)
    assert trial.score.tolist() == [1]
    assert note.startswith(f"{path}, line 3: cut off (")


def test_harmless_differences(tmp_path):
    """Line ends, blank lines, a byte order mark or NaN would count as corruption."""
    text = (
        f"\ufeff{HEADER}\r\n\r\n1,1,nan\r\n2,2,\r\n3,3,NaN\r\n4,4,inf\r\n5,5,1\r\n\r\n "
    )
    write_text(tmp_path, text)
    (trial,), notes = read(tmp_path)
    assert trial.score.tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(
        trial.validation["accuracy"], [np.nan, np.nan, np.nan, np.inf, 1]
    )
    assert notes == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "line 1: no column score or global_step."),
        ("score,validation/accuracy\n1,0.5\n", "line 1: no column global_step."),
        (f"\n{HEADER},score\n1,1,1,1\n", "line 2: a column is named twice."),
        (f"{HEADER}\n1,1\n2,2,0.5\n", "line 2: 2 cells where the header has 3."),
        (f"{HEADER}\n1,1,0.52,2,0.5\n", "line 2: 5 cells where the header has 3."),
        (f"{HEADER}\n1,x,0.5\n2,2,1\n", "line 2: global_step is 'x', not a number."),
        (f"{HEADER}\n1,1,oops\n", "line 2: validation/accuracy is 'oops', not a nu"),
        (
            f"{HEADER}\n1,1,\0\n",
            r"line 2: validation/accuracy is '\x00', not a number.",
        ),
        (f"{HEADER}\nnan,1,0.5\n", "line 2: score is nan, not finite."),
        (f"{HEADER}\n1,,0.5\n", "line 2: global_step is nan, not finite."),
        (f"{HEADER}\n1,1,0.5\n".encode() + b"\xff\xfe\n", "line 3: not text"),
        (b"\x1f\x8b\x08\x00", "line 1: not text"),
    ],
)
def test_corrupt_log(tmp_path, text, message):
    """A corrupt log would be scored, or fail without saying where."""
    path = write_text(tmp_path, text)
    with pytest.raises(LogError, match=re.escape(f"{path}, {message}")):
        read_logs([tmp_path])


@pytest.mark.parametrize("roots", [[], ["empty"]])
def test_no_logs(tmp_path, monkeypatch, roots):
    """An empty folder would give an empty table in place of an explanation."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ScoringError, match=r"^No logs found in .*should lie at"):
        read_logs(roots)


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_root_is_no_folder(tmp_path, kind):
    """A misspelt folder would look like one without logs."""
    root = tmp_path / "logs"
    if kind == "file":
        root.write_text("")
    with pytest.raises(ScoringError, match=f"No such folder: {root}"):
        read_logs([root])
