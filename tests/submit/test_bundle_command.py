"""`scripts/bundle.py` as a user meets it: what it writes, and what it refuses."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.scoring.trees import write_log
from tests.submit.entries import PROJECT, write_space
from unscheduled.bundle import command
from unscheduled.bundle.command import write_whole
from unscheduled.check.folder import KEYS

SCRIPT = PROJECT / "scripts" / "bundle.py"
REQUEST = "PULL_REQUEST_self_tuning_nadamw_jax.md"
ENTRY = PROJECT / "submissions" / "nadamw_jax"
PEOPLE = {"authors": "Ada Lovelace, Zoë O'Neil", "affiliations": "Analytical Engines"}


class Flags(dict):
    """Flags as absl hands them over, with the script's defaults."""

    def __init__(self, **given):
        defaults = dict.fromkeys(["name", "tuning_search_space", "evidence"])
        defaults |= {"ruleset": "self", "benchmark": "auto", "overwrite": False}
        super().__init__(
            (name, Flag(value)) for name, value in {**defaults, **given}.items()
        )

    def __getattr__(self, name):
        return self[name].value


class Flag:
    def __init__(self, value):
        self.value = value


def run(out, *submissions, **flags):
    return command.run(
        Flags(out=str(out), **{**PEOPLE, **flags}),
        [str(s) for s in submissions or [ENTRY]],
    )


def texts(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def script(*arguments, seed="0", cwd=None):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONHASHSEED": seed},
    )


def test_the_script_makes_the_same_bytes_each_time(tmp_path):
    """A pull request that changes with the order of a set, or with the folder."""
    made = []
    for seed in ("1", "2"):
        out = tmp_path / seed / "deep"
        flags = [f"--{name}={value}" for name, value in PEOPLE.items()]
        done = script(ENTRY, "--ruleset=self", f"--out={out}", *flags, seed=seed)
        assert (done.returncode, done.stderr) == (0, "")
        assert "mlcommons/submissions_algorithms" in done.stdout
        made.append(texts(out))
    assert made[0] == made[1]
    assert {
        REQUEST,
        "self_tuning/nadamw_jax/submission.py",
    } <= set(made[0])


def test_the_script_says_what_is_missing(tmp_path):
    """A traceback, or a success, where authors or a flag are missing."""
    done = script(ENTRY, "--ruleset=self", f"--out={tmp_path / 'out'}")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "bundle.py: --authors and --affiliations must say who"
    )
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
    done = script(ENTRY, f"--out={tmp_path}", "--ruleset=both")
    assert done.returncode != 0
    assert "<self|external>" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("ruleset", "folder", "spelling"),
    [
        ("self", "self_tuning", "self-tuning"),
        ("external", "external_tuning", "external"),
    ],
)
def test_info_and_pull_request_say_the_same(tmp_path, ruleset, folder, spelling):
    """Keys missing or misspelt; upstream writes the file anew from the pull request.

    It cuts each line at '#' and at its ends before it reads them.
    """
    space = write_space(tmp_path, "learning_rate") if ruleset == "external" else None
    out = tmp_path / "out"
    assert run(out, ruleset=ruleset, tuning_search_space=space, name="mine_2") == 0
    info = yaml.safe_load((out / folder / "mine_2/submission_info.yml").read_text())
    ours = yaml.safe_load((ENTRY / "submission_info.yml").read_text())
    assert info == {
        **ours,
        **PEOPLE,
        "submission_folder": "mine_2",
        "ruleset": spelling,
        "framework": "JAX",
    }
    text = (out / f"PULL_REQUEST_{folder}_mine_2.md").read_text()
    assert PEOPLE["authors"] in text  # and not in escapes
    block = text.split("```yaml\n")[1].split("\n```")[0]
    lines = [line.split("#")[0].strip() for line in block.split("\n")]
    assert yaml.safe_load("\n".join(lines)) == info
    assert "None is given: no runs of this submission were named." in text
    assert f"submissions/{folder}/mine_2/submission.py" in text
    assert ("tuning_search_space.json" in text) == (ruleset == "external")


def test_requirements_are_said_in_the_pull_request(tmp_path):
    """A reviewer who is told that nothing is needed where something is."""
    entry = tmp_path / "nadamw_jax"
    shutil.copytree(ENTRY, entry)
    (entry / "requirements.txt").write_text("pandas\n")
    assert run(tmp_path / "out", entry) == 0
    text = (tmp_path / "out" / REQUEST).read_text()
    assert "It needs what `requirements.txt` lists." in text


@pytest.fixture
def runs(tmp_path):
    """Logs of our entry, on a clock that counts steps, and of another."""
    root = tmp_path / "runs"
    log = write_log(root, "9.25,1,0.1", "12.25,700,1", submission="nadamw_jax")
    meta = {"cpu_model_name": "Abacus", "cpu_count": 2, "python_version": "3.11.7"}
    meta["git_commit_hash"] = "0123456789"
    (log.parent / "meta_data_0.json").write_text('{"python_version": "2.7"}')
    (log.parent / "meta_data_1.json").write_text(json.dumps(meta))
    (log.parent / "flags_0.json").write_text(
        '{"clock": "steps:0.0500001", "tuning_ruleset": "self"}'
    )
    write_log(root, "5,1,0.5", "6,2,0.", "7,2", submission="other")
    return root


def test_evidence_is_the_scores_and_what_they_were_run_on(tmp_path, runs):
    """Scores left out, or counted seconds passed off as measured ones."""
    assert run(tmp_path / "out", evidence=str(runs)) == 0
    text = (tmp_path / "out" / REQUEST).read_text()
    rows = [line.split() for line in text.splitlines()]
    assert ["nadamw_jax", "12.25", "700", "1/1"] in rows
    assert ["other", "missed", "missed", "0/1"] in [row[:4] for row in rows]
    assert (
        "- digits_resnet: CPUs: 2, Abacus, Python 3.11.7, commit 0123456; tuning "
        "ruleset: self; seconds are not measured: a clock that counts 0.05 s a step."
        in text
    )
    assert "2.7" not in text
    assert str(tmp_path) not in text  # the cut-off line's note names its log
    assert "other/study_0/digits_resnet_jax/trial_1/eval_measurements.csv" in text
    assert "None is given" not in text


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"evidence": "nowhere"}, "--evidence=nowhere: No such folder: nowhere."),
        ({"evidence": "runs/other"}, "has no runs of nadamw_jax, only of other; name"),
        ({"evidence": "runs", "benchmark": "0.6"}, "scores none of the workloads"),
        ({"authors": ""}, "--authors must say who sends the submission in"),
        ({"authors": "  "}, "authors of the submission must not be empty"),
        ({"authors": "A #1"}, "authors must do without # $ ` \\, which"),
        ({"affiliations": "$HOME"}, "affiliations must do without"),
        ({"name": "My-Entry"}, "lower-case letters, digits and underscores, a letter"),
        ({"tuning_search_space": "x.json"}, "is for --ruleset=external only."),
        (
            {"ruleset": "external", "tuning_search_space": "x"},
            "and x is missing; --tun",
        ),
        ({"out": "runs/a_file/x"}, "Not a directory"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(
    tmp_path, runs, monkeypatch, capsys, flags, message
):
    """Half a folder, or a wrong one, where the user was told of a mistake."""
    monkeypatch.chdir(tmp_path)
    (runs / "a_file").touch()
    flags = {"out": "out", **flags}
    assert run(**flags) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("bundle.py: ")
    assert error.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["runs"]


@pytest.mark.parametrize(
    ("submissions", "message"),
    [
        (["nowhere"], "SUBMISSION must be a folder with a submission.py, or such a f"),
        (["a", "b"], "name one submission, such as submissions/nadamw_jax, got a b."),
        (["mine"], "submission_info.yml is missing; it needs submission_name, subm"),
        (["bad"], "submission_info.yml is not a YAML file: "),
        (["few"], "submission_info.yml must have the keys submission_name, subm"),
        (["odd"], "framework must be JAX or PyTorch, got 'Theano'."),
    ],
)
def test_what_is_no_submission_is_one_sentence(
    tmp_path, monkeypatch, capsys, submissions, message
):
    """A traceback about a file that the user never heard of."""
    monkeypatch.chdir(tmp_path)
    for name, info in {
        "mine": None,
        "bad": "a: [",
        "few": "authors: me",
        "odd": yaml.safe_dump({**dict.fromkeys(KEYS, "x"), "framework": "Theano"}),
    }.items():
        Path(name).mkdir()
        Path(name, "submission.py").touch()
        if info is not None:
            Path(name, "submission_info.yml").write_text(info)
    assert run(tmp_path / "out", *submissions) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_two_bundles_go_to_one_folder(tmp_path):
    """The second bundle refused, or the text of the first one lost."""
    entry = tmp_path / "other" / "radam_jax"
    shutil.copytree(PROJECT / "submissions" / "radam_jax", entry)
    out = tmp_path / "out"
    assert run(out) == 0
    before = texts(out)
    assert run(out, entry) == 0
    assert run(out, ruleset="external") == 0
    assert before.items() < texts(out).items()
    places = ["external_tuning_nadamw_jax", "self_tuning_nadamw_jax"]
    names = [f"PULL_REQUEST_{place}.md" for place in [*places, "self_tuning_radam_jax"]]
    assert sorted(path.name for path in out.glob("*.md")) == names
    for name, place in zip(names, [*places, "self_tuning_radam_jax"], strict=True):
        assert place.replace("tuning_", "tuning/") in (out / name).read_text()


ODD = "A100\n```\n# Approved\x1b[2J\u202e<img src=x> @team `*"


@pytest.mark.parametrize("kind", ["meta_data", "flags"])
@pytest.mark.parametrize(
    "value", [ODD, ["A"], {"a": 1}, 1.5, True, 10**400, "1" * 5000, "steps:x"]
)
def test_odd_meta_data_is_text_or_a_sentence(tmp_path, runs, capsys, kind, value):
    """Markup or escapes of a log in our pull request; a traceback for an odd type."""
    names = "gpu_model_name gpu_count cpu_count python_version git_commit_hash clock"
    facts = dict.fromkeys([*names.split(), "tuning_ruleset"], value)
    (log,) = runs.glob("nadamw_jax/*/*/*/eval_measurements.csv")
    (log.parent / f"{kind}_2.json").write_text(json.dumps(facts))
    status = run(tmp_path / "out", evidence=str(runs))
    shown = capsys.readouterr().err
    if status == 0:
        shown = (tmp_path / "out" / REQUEST).read_text()
        _, rest = shown.split("Performance\n\n", 1)
        fence = re.search("^(`+)text$", rest, re.MULTILINE)[1]
        block = rest.split(f"{fence}text\n")[1].split(f"\n{fence}\n")[0]
        assert "Comments" not in block
        assert "A100" not in shown.replace(block, "")
        assert "\n# Approved" not in shown
        assert all(len(line) < 800 for line in block.splitlines())
    else:
        assert shown.count("\n") == 1
    assert shown.replace("\n", "").isprintable()


def test_a_folder_is_replaced_only_where_asked(tmp_path, capsys):
    """Work of the user's overwritten, or files of an old version left behind."""
    assert run(tmp_path) == 0
    first = texts(tmp_path)
    (tmp_path / "self_tuning" / "nadamw_jax" / "old.py").touch()
    (tmp_path / "self_tuning" / "other").mkdir()
    (tmp_path / "self_tuning" / "other" / "submission.py").touch()
    assert run(tmp_path) == 1
    assert "self_tuning/nadamw_jax is there already: --over" in capsys.readouterr().err
    assert run(tmp_path, overwrite=True) == 0
    assert texts(tmp_path) == {**first, "self_tuning/other/submission.py": b""}
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        REQUEST,
        "self_tuning",
    ]


@pytest.mark.parametrize("fails_at", range(1, 4))
def test_what_cannot_be_written_whole_leaves_what_was_there(
    tmp_path, monkeypatch, fails_at
):
    """A disk that fills up half-way would leave the old folder beside a new text."""
    new = {"a/b": {"f": "new", "g/h": "new"}, "text": "new"}
    write_whole(tmp_path, {"a/b": {"f": "old"}, "text": "old"})
    before = texts(tmp_path)
    write_text, calls = Path.write_text, []

    def fail(self, text, **options):
        calls.append(self)
        if len(calls) == fails_at:
            raise OSError("no space left")
        return write_text(self, text, **options)

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(OSError, match="no space left"):
        write_whole(tmp_path, new, overwrite=True)
    assert texts(tmp_path) == before
    write_whole(tmp_path, new, overwrite=True)
    assert texts(tmp_path) == {"a/b/f": b"new", "a/b/g/h": b"new", "text": b"new"}


def test_an_empty_folder_is_no_obstacle(tmp_path):
    """A user who made the folder first would have to pass --overwrite."""
    (tmp_path / "a").mkdir()
    write_whole(tmp_path, {"a": {"f": "x"}})
    assert texts(tmp_path) == {"a/f": b"x"}
