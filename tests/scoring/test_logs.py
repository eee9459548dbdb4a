"""Reading logs: the layout, and files that are not as they should be."""

import errno
import gzip
import math
import os
import re
import shutil

import numpy as np
import pytest

from unscheduled.benchmark.errors import LogError, UserError
from unscheduled.benchmark.read import MAX_BYTES
from unscheduled.benchmark.run_files import EVAL_MEASUREMENTS
from unscheduled.scoring import logs
from unscheduled.scoring.logs import missing, read_logs, without_metric
from unscheduled.scoring.measurements import MAX_ROWS
from unscheduled.scoring.warnings import RULES_OF_READING

from .trees import HEADER, write_log, write_text


def names(trials):
    return [trial.key for trial in trials]


def read(root):
    """Trials, and what was irregular, as sentences."""
    reading = read_logs([root])
    return reading.trials, [*map(str, reading.warnings)]


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


def rules(notes):
    """The rules by which warnings were handled, in order."""
    return [note.rule for note in notes]


def read_one(root):
    """The one trial below `root`, and warnings as values."""
    reading = read_logs([root])
    (trial,) = reading.trials
    return trial, reading.warnings


def accuracy(trial):
    return trial.validation["accuracy"].tolist()


def test_too_deep(tmp_path):
    """Submissions of two rulesets would be scored as one group."""
    write_log(tmp_path / "self_tuning", "1,1,0.5")
    with pytest.raises(UserError, match=r"^No logs .*self_tuning: trials below it"):
        read_logs([tmp_path])
    write_log(tmp_path, "1,1,0.5", submission="another")
    write_log(tmp_path / "self_tuning", "1,1,0.5", trial=2)
    trial, (note,) = read_one(tmp_path)
    assert trial.submission == "another"
    assert (note.rule, note.path.name) == ("misplaced", "self_tuning")


@pytest.mark.parametrize("place", [".", "sub", "sub/study_0"])
def test_link_to_a_folder_above(tmp_path, place):
    """A link that leads back up would send the search round, or double the runs."""
    write_log(tmp_path, "1,1,0.5")
    (tmp_path / place / "again").symlink_to(tmp_path)
    (tmp_path / place / "here").symlink_to(".")
    _, notes = read_one(tmp_path)
    assert rules(notes) == ["not_searched", "not_searched"]
    assert str(notes[0]).startswith(f"{tmp_path / place / 'again'}: a link up to ")


def test_link_out_of_the_tree(tmp_path, monkeypatch):
    """A link out of the tree, to a whole disk, would be searched for hours."""
    root = tmp_path / "logs"
    write_log(root, "1,1,0.5")
    (root / "sub/up").symlink_to(tmp_path)
    (root / "sub/top").symlink_to("/")
    _, notes = read_one(root)
    assert rules(notes) == ["not_searched", "not_searched"]
    monkeypatch.setattr(logs, "MAX_ENTRIES", 99)
    (tmp_path / "disk").mkdir()
    for i in range(99):
        (tmp_path / "disk" / str(i)).touch()
    (root / "sub/disk").symlink_to(tmp_path / "disk")
    with pytest.raises(UserError, match="Over 99 files and folders"):
        read_logs([root])


def test_many_links(tmp_path, monkeypatch):
    """The time for links in links would grow with the power of their depth."""
    monkeypatch.setattr(logs, "MAX_ENTRIES", 5_000)
    for i in range(6):
        (tmp_path / f"folder_{i}").mkdir()
        for j in range(20):
            (tmp_path / f"folder_{i}" / str(j)).symlink_to(tmp_path / f"folder_{i + 1}")
    with pytest.raises(UserError, match="Over 5,000 files and folders"):
        read_logs([tmp_path])


@pytest.mark.parametrize("goal", ["/dev/zero", "/dev/tty", "/proc/self/mem"])
def test_link_to_a_device(tmp_path, goal):
    """A device in the place of a log would be read without end."""
    path = write_log(tmp_path, "1,1,0.5")
    path.unlink()
    path.symlink_to(goal)
    trial, (note,) = read_one(tmp_path)
    assert len(trial.score) == 0
    assert note.rule == "unreadable"


def test_links_round(tmp_path):
    """Two links into one another would be followed to the search's end."""
    for this, that in ("ab", "ba"):
        write_log(tmp_path, "1,1,0.5", submission=this)
        (tmp_path / this / "other").symlink_to(tmp_path / that)
    reading = read_logs([tmp_path])
    assert [trial.submission for trial in reading.trials] == ["a", "b"]
    assert set(rules(reading.warnings)) == {"misplaced", "not_searched"}


def test_link_to_itself(tmp_path):
    """A link to nowhere, or to itself, would be an error of the operating system."""
    write_log(tmp_path, "1,1,0.5")
    for name, goal in (("self", "self"), ("gone", "nothing")):
        (tmp_path / name).symlink_to(tmp_path / goal)
    assert len(read_logs([tmp_path]).trials) == 1


def test_linked_study(tmp_path):
    """One run would count as several studies, and outvote the misses."""
    path = write_log(tmp_path, "1,1,0.5", study="study_1")
    (path.parents[3] / "study_0").symlink_to(path.parents[2])
    trial, (note,) = read_one(tmp_path)
    assert trial.study == "study_0"
    assert note.rule == "linked"
    assert str(note.path).endswith("sub/study_1/digits_resnet_jax/trial_1")


def test_linked_root(tmp_path):
    """The same folder by two names would end as two trials of one name."""
    write_log(tmp_path / "logs", "1,1,0.5")
    (tmp_path / "link").symlink_to(tmp_path / "logs")
    reading = read_logs([tmp_path / "link", tmp_path / "logs"])
    assert len(reading.trials) == 1
    assert reading.warnings == []


def test_linked_submission(tmp_path):
    """A submission could not stand in a group under a second name, as a baseline."""
    write_log(tmp_path, "1,1,0.5")
    (tmp_path / "baseline").symlink_to(tmp_path / "sub")
    reading = read_logs([tmp_path])
    assert [trial.submission for trial in reading.trials] == ["baseline", "sub"]
    assert reading.warnings == []


def test_copied_log(tmp_path):
    """A run that was copied as another study would pass unseen."""
    rows = ["1,1,0.1", "2,2,0.2", "3,3,0.5"]
    for study in ("s0", "s1"):
        write_log(tmp_path, *rows, study=study)
        write_log(tmp_path, *rows[:2], study=study, workload="short_jax")
    write_log(tmp_path, *rows, submission="another")
    write_log(tmp_path, *rows[:2], "3,3,0.50", study="s2")  # a run as good as they
    reading = read_logs([tmp_path])
    assert len(reading.trials) == 6
    (note,) = reading.warnings
    assert note.rule == "copy"
    assert "/s1/" in str(note.path)
    assert "/s0/" in note.what


def test_other_files_are_passed_over(tmp_path):
    """Checkpoints and notes beside the logs would be logs, or be irregular."""
    path = write_log(tmp_path, "1,1,0.5")
    write_log(path.parent, "1,1,0.9", submission="checkpoint_1")
    (tmp_path / "README.md").write_text("trial_1")
    (path.parents[1] / "trial_2").write_text("")
    reading = read_logs([tmp_path])
    assert len(reading.trials) == 1
    assert reading.warnings == []


@pytest.mark.parametrize(
    "stray",
    [
        "sub/study_0/trial_1",
        "sub/study_0/mnist/trial_1",
        "sub/study_0/digits_resnet_jax/trial_1_copy",
        "sub/study_0/digits_resnet_jax/trial_\N{ARABIC-INDIC DIGIT ONE}",
        "sub",
    ],
)
def test_strays_are_noted(tmp_path, stray):
    """A log in the wrong place would be scored, or skipped without a word."""
    path = write_log(tmp_path, "1,1,0.5")
    (tmp_path / stray).mkdir(exist_ok=True, parents=True)
    shutil.copy(path, tmp_path / stray)
    _, (note,) = read_one(tmp_path)
    assert (note.rule, note.path) == ("misplaced", tmp_path / stray)


def test_folders_too_deep_to_search(tmp_path):
    """A log far down would be skipped without a word."""
    write_log(tmp_path, "1,1,0.5")
    deep = tmp_path / "sub/a/b/c/d/e"
    write_log(deep, "1,1,0.5")
    _, (note,) = read_one(tmp_path)
    assert (note.rule, note.path) == ("not_searched", deep)


def test_trial_without_log_is_noted(tmp_path):
    """A run that died before its first evaluation would vanish without a word."""
    path = write_log(tmp_path, "1,1,0.5")
    (path.parents[1] / "trial_2").mkdir()
    _, (note,) = read_one(tmp_path)
    assert (note.rule, note.path.name) == ("no_log", "trial_2")


@pytest.mark.parametrize(
    "submission",
    ["a\nb", "a\x1b[31mb", "a\u202eb", "a\x7fb", os.fsdecode(b"a\xffb"), "a\u2028b"],
)
def test_odd_names(tmp_path, submission):
    """A name would break a table's lines, colour a terminal, or fail to print."""
    path = write_log(tmp_path, "x,1,0.5", submission=submission)
    trial, notes = read_one(tmp_path)
    assert re.fullmatch(r"a\\\w.*b", trial.submission)
    assert trial.path == path
    assert rules(notes) == ["corrupt_row", "no_evaluations"]
    for text in [trial.submission, *map(str, notes)]:
        assert text.isprintable()
        text.encode()
    write_log(tmp_path / "twin", "1,1,0.5", submission=submission)
    with pytest.raises(LogError) as error:
        read_logs([tmp_path / "twin", tmp_path])
    assert str(error.value).isprintable()


def test_names_in_the_wild(tmp_path):
    """Letters of other scripts, spaces or signs would be rejected or rewritten."""
    for submission in ("Ελένη", "a b", "ä,b", "=1+1", "[bold]", "-x", "%s"):
        write_log(tmp_path, "1,1,0.5", submission=submission)
    reading = read_logs([tmp_path])
    assert len({trial.submission for trial in reading.trials}) == 7
    assert "Ελένη" in {trial.submission for trial in reading.trials}
    assert reading.warnings == []


@pytest.mark.parametrize("text", ["", "\n", HEADER, HEADER + "\n", "\r\n \r\n"])
def test_no_evaluations(tmp_path, text):
    """A run that was never evaluated would be left out, where it missed its target."""
    write_text(tmp_path, text)
    trial, notes = read_one(tmp_path)
    assert trial.score.shape == trial.global_step.shape == (0,)
    assert rules(notes) == ["no_evaluations"]


@pytest.mark.parametrize(
    "tail", ["2,2", "2,2,", "2,2,0.9", "2,2,0.", "2,2,0.9e-", "\0\0\0\0", "2"]
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
        f"\ufeff{HEADER}\r\n\r\n1,1,nan\r\n2,2,\r\n3,3,NaN\r\n4,4.0,inf\r\n"
        "5,5,-Infinity\r\n6,6,1e-3\r\n\r\n "
    )
    write_text(tmp_path, text)
    reading = read_logs([tmp_path])
    (trial,) = reading.trials
    assert trial.score.tolist() == trial.global_step.tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(
        trial.validation["accuracy"], [*5 * [math.nan], 0.001]
    )
    assert reading.warnings == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("hello", "no column score or global_step"),
        ("score,validation/accuracy\n1,0.5\n", "no column global_step"),
        (b"\x1f\x8b\x08\x00", "no column score or global_step"),
        (f"{HEADER}\n1,1,0.5\n".encode("utf-16"), "no column"),
        ("score;global_step\n1;1\n", "no column"),
        (f'score,global_step,"{"a" * 200_000}"\n1,1,1\n', "no column"),
        (f"{HEADER},a\0b\n1,1,0.5,1\n", "a header that does not print"),
        (f"{HEADER}\n" * (MAX_ROWS + 1), "too large: over 100,000 lines"),
    ],
)
def test_no_table(tmp_path, text, what):
    """A log that can't be used would stop the scoring, or leave its miss out."""
    write_text(tmp_path, text)
    trial, (note,) = read_one(tmp_path)
    assert len(trial.score) == 0
    assert note.rule == "unreadable"
    assert note.what.startswith(what)


def test_a_corrupt_row_stops_nothing(tmp_path):
    """One bad byte would cost the other trials their scores."""
    write_log(tmp_path, "1,1,0.5")
    path = write_log(tmp_path, "1,x,0.5", "2,2,0.5", trial=2)
    first, second = read_logs([tmp_path]).trials
    assert (accuracy(first), accuracy(second)) == ([0.5], [0.5])
    (note,) = read_logs([tmp_path]).warnings
    assert str(note) == (
        f"{path}, line 2: global_step is 'x', not a number "
        "(a row that is not whole is left out)."
    )


def zip_log(path, damage=lambda data: data):
    """Put gzip in the place of a log."""
    zipped = path.with_name(path.name + ".gz")
    zipped.write_bytes(damage(gzip.compress(path.read_bytes(), mtime=0)))
    path.unlink()
    return zipped


def test_gzip(tmp_path):
    """A log that was packed to save space would not be found."""
    zipped = zip_log(write_log(tmp_path, "1,1,0.5", "2,2,0.75"))
    trial, notes = read_one(tmp_path)
    assert trial.path == zipped
    assert accuracy(trial) == [0.5, 0.75]
    assert notes == []


def test_gzip_beside_a_csv(tmp_path):
    """A trial would be read twice, or from whichever file comes first."""
    path = write_log(tmp_path, "1,1,0.5")
    zip_log(path)
    write_log(tmp_path, "1,1,0.75")
    trial, (note,) = read_one(tmp_path)
    assert accuracy(trial) == [0.75]
    assert (note.rule, note.path) == ("two_logs", path.parent)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:5],
        lambda data: data[:-9],
        lambda data: data[:-3],
        lambda data: data + b"tail",
        lambda data: b"score,global_step\n1,1\n",
        lambda data: data[:20] + bytes([data[20] ^ 64]) + data[21:],
        lambda data: data[:-6] + bytes([data[-6] ^ 1]) + data[-5:],
    ],
)
def test_damaged_gzip(tmp_path, damage):
    """Half a file, or one that fails its checksum, would be scored or stop it all."""
    zip_log(write_log(tmp_path, "1,1,0.5", "2,2,0.75"), damage)
    trial, notes = read_one(tmp_path)
    assert len(trial.score) == 0
    assert rules(notes) in (["unreadable"], ["no_evaluations"])


def test_absurd_sizes(tmp_path):
    """A file of all the memory there is, or a few bytes that unpack to it, is read."""
    write_log(tmp_path, "1,1,0.5")
    with open(write_log(tmp_path, trial=2), "wb") as file:
        file.truncate(1 << 40)  # a hole
    with gzip.open(f"{write_log(tmp_path, trial=3)}.gz", "wb", 1) as file:
        file.write(bytes(MAX_BYTES + 1))
    (tmp_path / "sub/study_0/digits_resnet_jax/trial_3" / EVAL_MEASUREMENTS).unlink()
    reading = read_logs([tmp_path])
    assert [len(trial.score) for trial in reading.trials] == [1, 0, 0]
    assert rules(reading.warnings) == ["unreadable", "unreadable"]


@pytest.mark.parametrize(
    "make",
    [os.mkdir, os.mkfifo, lambda path: os.symlink("gone", path), lambda path: None],
    ids=["folder", "pipe", "dangling link", "removed"],
)
def test_no_file(tmp_path, monkeypatch, make):
    """What is no file would stop the scoring, or be waited for for ever."""
    write_log(tmp_path, "1,1,0.5")
    path = write_log(tmp_path, trial=2)
    original = logs.read_bytes

    def read_bytes(name):
        if name == path:  # found as a file, and then gone
            path.unlink()
            make(path)
        return original(name)

    monkeypatch.setattr(logs, "read_bytes", read_bytes)
    reading = read_logs([tmp_path])
    assert [len(trial.score) for trial in reading.trials] == [1, 0]
    (note,) = reading.warnings
    assert (note.rule, note.path) == ("unreadable", path)


@pytest.mark.parametrize(
    ("refused", "rule", "n_evaluations"),
    [("trial_2", "not_searched", [1]), ("study_1", "not_searched", [1])],
)
def test_folder_without_leave(tmp_path, monkeypatch, refused, rule, n_evaluations):
    """A folder without leave would stop the scoring, or be skipped without a word."""
    write_log(tmp_path, "1,1,0.5")
    study = "study_1" if refused == "study_1" else "study_0"
    write_log(tmp_path, "1,1,0.5", study=study, trial=2)

    def refuse(original):
        def look(path, *arguments):
            if refused in str(path):
                raise PermissionError(errno.EACCES, "Permission denied", path)
            return original(path, *arguments)

        return look

    for name in ("listdir", "open"):
        monkeypatch.setattr(os, name, refuse(getattr(os, name)))
    reading = read_logs([tmp_path])
    assert [len(trial.score) for trial in reading.trials] == n_evaluations
    (note,) = reading.warnings
    assert note.rule == rule
    assert "Permission denied" in str(note)


def test_without_metric(tmp_path):
    """A miss for want of a column would look like one for want of quality."""
    write_log(tmp_path, "1,1,0.5")
    path = write_log(tmp_path, "1,1", trial=2, header="score,global_step")
    write_log(tmp_path, trial=3)
    trials = read_logs([tmp_path]).trials
    (note,) = without_metric(trials, {"digits_resnet": "accuracy"})
    assert (note.rule, note.path) == ("no_metric", path)
    assert "no column validation/accuracy" in str(note)


def test_missing_and_extra(tmp_path):
    """Studies and trials that are missing would be skipped without a word."""
    for study, n_trials in (("s0", 2), ("s1", 1), ("s2", 3)):
        for trial in range(n_trials):
            write_log(tmp_path, "1,1,0.5", study=study, trial=trial)
    for study in "abcd":
        write_log(tmp_path, "1,1,1", study=study, workload="full_jax")
        write_log(tmp_path, "1,1,1", study=study, workload="full_jax", trial=2)
    trials = read_logs([tmp_path]).trials
    names = ["digits_resnet", "full", "mnist"]
    notes = [(n.rule, n.path, n.what) for n in missing(trials, 4, 2, names)]
    sub, inner = tmp_path / "sub", "digits_resnet_jax"
    assert notes == [
        ("missing_trial", sub / "s1" / inner, "1 of 2 trials have logs"),
        ("extra_trial", sub / "s2" / inner, "3 of 2 trials have logs"),
        ("missing_study", sub, "3 of 4 studies of digits_resnet have logs"),
        ("missing_workload", sub, "no mnist"),
    ]
    assert [
        n.what for n in missing(trials, 3, 2, names) if n.rule == "extra_study"
    ] == ["4 of 3 studies of full have logs"]


def test_summary(tmp_path):
    """What was read would be counted wrongly, or not said."""
    header = f"{HEADER},preemption_count"
    write_log(
        tmp_path, "1,1,,0", "2,2,nan,0", "1.5,1,0.5,1", header=header, submission="a"
    )
    write_log(tmp_path, "x,1,0.5", "y,2,0.5", "3,3,0.5")
    summary = read_logs([tmp_path]).summary()
    assert (summary.n_trials, summary.n_evaluations) == (2, 4)
    assert (summary.submissions, summary.workloads) == (
        ("a", "sub"),
        ("digits_resnet",),
    )
    assert summary.irregular == {"corrupt_row": 1}
    assert summary.lines() == [
        "Read 2 trials with 4 evaluations: 2 submissions, 1 workload.",
        f"1 x corrupt_row: {RULES_OF_READING['corrupt_row']}.",
    ]


@pytest.mark.parametrize("roots", [[], ["empty"]])
def test_no_logs(tmp_path, monkeypatch, roots):
    """An empty folder would give an empty table in place of an explanation."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^No logs found in .*should lie at"):
        read_logs(roots)


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_root_is_no_folder(tmp_path, kind):
    """A misspelt folder would look like one without logs."""
    root = tmp_path / "logs"
    if kind == "file":
        root.write_text("")
    with pytest.raises(UserError, match=f"No such folder: {root}"):
        read_logs([root])
