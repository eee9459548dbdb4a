"""The program as a user meets it: tables in a pipe, and errors in one sentence."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from unscheduled.benchmark.rulesets import ruleset
from unscheduled.benchmark.targets import choose_benchmark
from unscheduled.scoring.logs import read_logs
from unscheduled.scoring.scored import score_group
from unscheduled.scoring.tables import summary
from workloads_ext.registry import ALL, WORKLOADS

from .trees import DIGITS, LM_HEADER, write_log, write_text

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "score.py"
N_WORKLOADS = len(WORKLOADS)  # of benchmark ext
ONE = [f"{1 / N_WORKLOADS:.4f}", f"1/{N_WORKLOADS}"]  # the score of the one that is hit
BUDGET_SEC = 1.5 * DIGITS.max_allowed_runtime_sec  # of self-tuning
LONG_NAME = "a_submission_with_a_name_[bold]_" + 3 * "that_goes_on_and_on_"


def score(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Three submissions: one hits, one hits in one study of three, one ran little."""
    root = tmp_path_factory.mktemp("logs")
    for study in ("study_0", "study_1", "study_2"):
        write_log(root, "9.25,1,0.1", "12.25,700,1", submission="good", study=study)
        hit = 1 if study == "study_1" else 0.5
        write_log(root, f"3,1,{hit}", submission=LONG_NAME, study=study)
    text = f"{LM_HEADER}\n5,10,0.5\n6,20,0."
    write_text(root, text, submission="other", workload="stdlib_lm_pytorch")
    return root


def cells(output, first):
    """The cells of every table row whose first cell is `first`."""
    rows = [line.split() for line in output.splitlines()]
    return [row[1:] for row in rows if row and row[0] == first]


def by_workload(output, first):
    """The rows of the two workloads that have logs, and that of all workloads.

    Where others have none, one more table is of the two.
    """
    rows = cells(output, first)
    assert len(rows) == 3 + (N_WORKLOADS > 2)
    return rows[:2], rows[2]


def test_tables(logs):
    """Misses, missing workloads or scores would be shown as something else."""
    done = score(logs, "--benchmark=ext", "--baseline=good")
    assert (done.returncode, done.stderr) == (0, "")
    workloads, final = by_workload(done.stdout, "good")
    assert workloads == [["12.25", "700", "3/3"], ["-", "-", "-"]]
    assert final == [*ONE, "1.0000", "1.0000", "(1)"]
    workloads, final = by_workload(done.stdout, LONG_NAME)
    short, used = 1 - 0.5 / DIGITS.value, 3 / BUDGET_SEC
    closest = ["accuracy", "0.5,", f"{short:.1%}", "below", f"{DIGITS.value:g}"]
    why = f"ended at {used:.0%} of the budget, {short:.0%} short".split()
    assert workloads == [["missed", "missed", "1/3", *closest, *why], ["-", "-", "-"]]
    ratio = f"{(BUDGET_SEC + 1) / 12.25:.4f}"
    assert final == ["0.0000", f"0/{N_WORKLOADS}", ratio, "n/a", "(0)"]
    workloads, final = by_workload(done.stdout, "other")
    assert workloads == [["-", "-", "-"], ["5.00", "10", "1/1"]]
    assert final == [*ONE, "n/a", "n/a", "(0)"]
    assert f"2 of {N_WORKLOADS} base workloads have logs." in done.stdout
    assert "line 3: cut off (" in done.stdout
    assert "\x1b" not in done.stdout


def test_one_submission(logs):
    """A submission alone would need its siblings; missing workloads would be free."""
    done = score(logs / "good")
    assert done.returncode == 0
    *_, all_workloads, those_run = cells(done.stdout, "good")
    assert all_workloads == ONE
    assert those_run == ["1.0000", "1/1"]
    assert f"1 of {N_WORKLOADS} base workloads have logs." in done.stdout


def test_rule(tmp_path):
    """The choice between the two rules would have no effect."""
    write_log(tmp_path, "30,1,1", trial=1)
    write_log(tmp_path, "10,1,0", "20,2,1", trial=2)
    for rule, seconds in (("documented", "20.00"), ("official", "30.00")):
        output = score(tmp_path, f"--rule={rule}").stdout
        assert cells(output, "sub")[0][0] == seconds


@pytest.mark.parametrize(("ruleset", "factor"), [("self", 1.5), ("external", 1.0)])
def test_what_a_miss_counts_as(logs, ruleset, factor):
    """A miss would count as another ruleset's budget, or nobody would be told."""
    arguments = [logs, "--benchmark=ext", "--baseline=good", f"--ruleset={ruleset}"]
    found = json.loads(score(*arguments, "--format=json").stdout)
    target = found["benchmark"]["targets"]["digits_resnet"]
    missed_sec = factor * target["max_allowed_runtime_sec"] + 1
    assert target["miss_counts_as_sec"] == missed_sec
    (sentence,) = (line for line in found["comparison"] if "a miss counts as" in line)
    assert f"digits_resnet {missed_sec:.0f} s" in sentence
    row = next(r for r in found["leaderboard"] if r["submission"] == LONG_NAME)
    # Neither has logs of the other workload, so this one alone is compared.
    assert row["time_ratio"] == pytest.approx(missed_sec / 12.25)
    assert (row["both_ratio"], row["n_both"]) == (None, 0)


def test_workloads_outside_the_benchmark(tmp_path):
    """Logs that do not count would be dropped without a word."""
    header = "score,global_step,validation/ssim"
    write_log(tmp_path, "5,1,0.9", workload="fastmri_jax", header=header)
    write_log(tmp_path, "5,1,0.9", workload="mnist_jax")
    done = score(tmp_path, "--benchmark=0.6")
    assert "Not in this benchmark, and left out: mnist." in done.stdout
    assert "1 of 8 base workloads have logs." in done.stdout
    assert ["0.1250", "1/8"] in cells(done.stdout, "sub")


def test_a_workload_without_a_target(tmp_path):
    """A run of the official mnist would be refused, instead of its time told."""
    write_log(tmp_path, "1.5,10,0.5", "3.25,20,0.9", workload="mnist_jax")
    done = score(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    row = ["study_0", "mnist_jax", "trial_1", "3.25", "20", "2"]
    assert cells(done.stdout, "sub") == [row]
    assert (
        "Not in this benchmark, and left out: mnist. Benchmark ext has no"
        in done.stdout
    )
    (run,) = json.loads(score(tmp_path, "--format=json").stdout)["unscored"]
    assert (run["workload"], run["time_sec"], run["steps"]) == ("mnist", 3.25, 20)
    write_log(tmp_path, "5,1,0.99")
    done = score(tmp_path)
    assert cells(done.stdout, "sub")[1:3] == [row, ONE]


def test_held_out_without_logs(tmp_path):
    """Nobody would know that a version's filters were not applied."""
    header = "score,global_step,validation/ssim"
    write_log(tmp_path, "5,1,0.9", workload="fastmri_jax", header=header)
    done = score(tmp_path, "--benchmark=0.5")
    assert "0 of 6 held-out workloads have logs; the others disq" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "No logs found in no folder at all"),
        (["nowhere"], "No such folder: nowhere."),
        (["empty"], "No logs found in empty"),
        (["good", "--benchmark=0.7"], "Unknown benchmark '0.7'"),
        (["good", "--benchmark=empty"], "Unknown benchmark 'empty'"),
        (["good", "--benchmark=bad.json"], "bad.json is not a JSON"),
        (["good", "--benchmark=a\nb\x1b[2J"], r"a\nb\x1b[2J is not a JSON"),
        (["good", "--benchmark=0.6"], "Benchmark 0.6 scores none of the workloads"),
        (["good", "--baseline=better"], "Unknown baseline 'better': choose from good."),
        (["good", "--why=better"], "--why=better: choose from all, good."),
        (["good", "--why=good", "--format=csv"], "--why goes with table, not with csv"),
        (["good", "--what_if=good"], "good can't be read: Is a directory."),
        (["good", "--against=published:0.7"], "choose from published:0.5, published"),
        (["good", "--against=published:0.5/adam"], "choose from adamg, baseline"),
        (["good", "--against=published:0.6"], "Benchmark 0.6 scores none of the work"),
        (["--against=published:0.5", "--benchmark=0.6"], "leave --benchmark out"),
        (["--against=published:0.5", "--baseline=adam"], "Unknown baseline 'adam'"),
        (["--watch"], "--watch needs LOGS to watch."),
        (["good", "--watch=1", "--format=csv"], "--watch goes without --format"),
        (["good", "--watch=1", "--strict"], "goes without --format, --strict"),
        (["good", "--intervals", "--format=csv"], "goes with table and json, not with"),
        (["both"], "both ran digits_resnet in both frameworks"),
    ],
)
def test_errors(tmp_path, arguments, message):
    """A user's slip would end in a traceback, a success, or a page of text."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "a\nb\x1b[2J").write_text("{")
    write_log(tmp_path, "1,1,1", submission="good")
    write_log(tmp_path, "1,1,1", submission="unknown", workload="mnistt_jax")
    for framework in ("jax", "pytorch"):
        folder = f"digits_resnet_{framework}"
        write_log(tmp_path, "1,1,1", submission="both", workload=folder)
    done = score(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("score.py: ")
    assert message in done.stderr
    assert done.stderr.removesuffix("\n").isprintable()
    assert "Traceback" not in done.stderr


def test_unknown_rule(logs):
    """A misspelt rule would be scored by another."""
    done = score(logs, "--rule=fastest")
    assert done.returncode != 0
    assert "<documented|official>" in done.stderr
    assert "Traceback" not in done.stderr


SSIM = "score,global_step,validation/ssim"


@pytest.fixture
def fastmri(tmp_path):
    """One trial of one workload, on one H200, by a submission of a published name."""
    path = write_log(
        tmp_path,
        "660.5,1800,0.73",
        submission="baseline",
        workload="fastmri_jax",
        header=SSIM,
    )
    meta = {"gpu_model_name": "NVIDIA H200", "gpu_count": 1}
    (path.parent / "meta_data_0.json").write_text(json.dumps(meta))
    return tmp_path


def test_published_alone():
    """The published leaderboard would take more than one command."""
    done = score("--against=published:0.5")
    assert done.returncode == 0
    published, *row = cells(done.stdout, "schedule_free_adamw")[-1]
    assert (published, row[0]) == ("published", "0.8542")
    assert cells(done.stdout, "baseline")[-1][1] == "0.8194"
    rows = json.loads(score("--against=published:0.5", "--format=json").stdout)
    best = rows["leaderboard"][0]
    assert (best["submission"], best["score"]) == (
        "schedule_free_adamw",
        pytest.approx(0.8541666666666666, abs=1e-12),
    )
    assert rows["read"] is None


def test_against_published(fastmri):
    """One trial of mine would need the published logs, or be taken for all of mine."""
    arguments = [fastmri, "--against=published:0.6", "--ruleset=external"]
    done = score(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    mine = [
        line.split()[2:]
        for line in done.stdout.splitlines()
        if line.split()[:2] == ["baseline", "(mine)"]
    ]
    assert mine[:3] == [["-"] * 3, ["660.50", "1800", "1/1"], ["-"] * 3]
    whole, part = mine[-2:]
    assert whole[0] == part[0] == "logs"
    assert whole[2] == "1/8"
    # 660.5 s after shampoo's 640.8 s: two of the 33 steps of the grid per unit.
    assert float(part[1]) == pytest.approx((99 - 2 + 0.5) / 99, abs=1e-4)
    assert float(whole[1]) == pytest.approx((99 - 2 + 0.5) / 99 / 8, abs=1e-4)
    assert "On the workloads with logs alone: fastmri" in done.stdout
    assert "is called baseline (mine), as baseline is a published" in done.stdout
    assert "8 x Tesla V100-SXM2-16GB" in done.stdout
    assert (
        "1 of 1 trials in the logs ran on other hardware (1 x NVIDIA H200)"
        in done.stdout
    )
    assert "1 of 3 studies of fastmri have logs" in done.stdout
    assert "no criteo1tb (it counts as missed)" in done.stdout


def test_against_some(fastmri):
    """Names after the version would be ignored."""
    arguments = [fastmri, "--against=published:0.6/shampoo", "--ruleset=external"]
    found = json.loads(score(*arguments, "--format=json").stdout)
    submissions = {row["submission"] for row in found["leaderboard"]}
    assert submissions == {"baseline", "shampoo"}  # no clash: mine keeps its name
    sources = {row["submission"]: row["source"] for row in found["leaderboard"]}
    assert sources == {"baseline": "logs", "shampoo": "published"}
    assert found["baseline"] is None
    assert found["part"]["base"] == ["fastmri"]


def test_unknown_hardware(fastmri):
    """Logs without meta data would pass for runs on the published hardware."""
    (meta,) = fastmri.rglob("meta_data_0.json")
    arguments = [fastmri, "--against=published:0.6", "--ruleset=external"]
    meta.unlink()
    assert "(GPUs not recorded)" in score(*arguments).stdout
    same = {"gpu_model_name": "Tesla V100-SXM2-16GB", "gpu_count": 8}
    meta.write_text(json.dumps(same))
    output = score(*arguments).stdout
    assert "Warning" not in output
    assert "The trials in the logs ran on the same." in output


def test_strict(logs, tmp_path):
    """Irregular logs would pass for whole ones where the user asked for whole ones."""
    done = score(logs, "--benchmark=ext", "--strict")
    assert (done.returncode, done.stdout) == (2, "")
    assert "line 3: cut off (" in done.stderr
    write_log(tmp_path, "1,1,1")
    assert score(tmp_path, "--strict").returncode == 0


def test_intervals():
    """The intervals would be another submission's, or leave out the score itself."""
    arguments = ["--against=published:0.5", "--intervals"]
    output = score(*arguments).stdout
    found = strict_json(score(*arguments, "--format=json").stdout)
    rows = found["intervals"]["scores"]
    assert len(rows) == 6
    for row in rows:
        low, high = row["interval"]["low"], row["interval"]["high"]
        assert low <= row["score"] <= high
        shown = [f"{row['score']:.4f}", f"{low:.4f}", "to", f"{high:.4f}"]
        assert [*shown, f"{row['p_best']:.1%}"] in cells(output, row["submission"])
    assert sum(row["p_best"] for row in rows) == pytest.approx(1)


def strict_json(text):
    """Parse JSON that has no Infinity and no NaN."""

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_json(logs):
    """A program would meet numbers that JSON has not, or miss what the table says."""
    done = score(logs, "--benchmark=ext", "--baseline=good", "--format=json")
    assert (done.returncode, done.stderr) == (0, "")
    found = strict_json(done.stdout)
    assert {"nulls", "rule", "ruleset", "part", "notes", "coverage"} <= set(found)
    assert (found["format"], found["benchmark"]["version"]) == (1, "ext")
    status = {(c["submission"], c["workload"]): c for c in found["cells"]}
    assert len(status) == 3 * len(ALL)
    hit = status["good", "digits_resnet"]
    assert (hit["status"], hit["time_sec"], hit["steps"]) == ("hit", 12.25, 700)
    assert (hit["n_hit"], hit["n_studies"], hit["ratio_to_best"]) == (3, 3, 1.0)
    missed = status[LONG_NAME, "digits_resnet"]
    assert (missed["status"], missed["time_sec"]) == ("missed", None)
    assert status["good", "stdlib_lm"]["status"] == "not_run"
    assert len(found["studies"]) == 3 + 3 + 1
    assert len(found["profiles"]["tau"]) == 100
    assert found["profiles"]["share"]["good"] == [1 / N_WORKLOADS] * 100
    (cut_off,) = (i for i in found["irregularities"] if i["rule"] == "cut_off")
    assert (cut_off["line"], cut_off["text"].endswith(".")) == (3, True)
    assert found["read"]["n_trials"] == 7


def test_csv(logs):
    """A spreadsheet would be given other columns, or inf for a number."""
    done = score(logs, "--benchmark=ext", "--baseline=good", "--format=csv")
    assert done.returncode == 0
    header, *lines = done.stdout.splitlines()
    assert header == (
        "benchmark,ruleset,rule,submission,source,score,n_hit_base,time_ratio,"
        "both_ratio,n_both,workload,role,status,time_sec,steps,n_hit,n_studies,"
        "ratio_to_best,budget_share,closest_miss,time_low_sec,time_high_sec,time_level,"
        "verdict,why,best,budget_used,run_steps,steps_needed,step_sec,step_ratio"
    )
    rows = list(csv.DictReader([header, *lines]))
    assert len(rows) == 3 * len(ALL)
    hits = {r["submission"]: r for r in rows if r["status"] == "hit"}
    row = hits["other"]
    assert float(row["score"]) == pytest.approx(1 / N_WORKLOADS)
    assert (row["workload"], row["time_sec"]) == ("stdlib_lm", "5.0")
    assert row["time_ratio"] == row["both_ratio"] == ""
    good = hits["good"]
    assert float(good["budget_share"]) == pytest.approx(12.25 / BUDGET_SEC)
    assert (good["time_low_sec"], good["time_level"]) == ("12.25", "0.75")
    assert "cut off (" in done.stderr
    assert "a miss counts as" in done.stderr
    assert "inf" not in done.stdout
    assert "nan" not in done.stdout


def test_markdown(logs):
    """A name would break the table, or be read as a link."""
    done = score(logs, "--benchmark=ext", "--baseline=good", "--format=markdown")
    assert done.returncode == 0
    assert f"| good | logs | {' | '.join(ONE)} | 1.0000 | 1.0000 (1) |" in done.stdout
    assert r"name\_with\_" not in done.stdout
    assert r"with\_a\_name\_\[bold\]\_that" in done.stdout
    tables = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert {line.count(" | ") for line in tables} == {5, 3}


def test_rules_differ(tmp_path):
    """Nobody would learn that a time depends on which rule is right."""
    write_log(tmp_path, "30,1,1", trial=1)
    write_log(tmp_path, "10,1,0", "20,2,1", trial=2)
    for rule in ("documented", "official"):
        output = score(tmp_path, f"--rule={rule}").stdout
        expected = (
            "sub, digits_resnet: the rules differ, 20.00 s by the documented one and "
            "30.00 s by the official code."
        )
        assert expected in output


def test_closed_pipe():
    """`| head` would end in a traceback."""
    command = f"{sys.executable} -W error {SCRIPT} --against=published:0.5 | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f'{command}; echo "${{PIPESTATUS[0]}}"'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "0"


def test_narrow_terminal(logs):
    """On a terminal of 60 columns the ends of lines would be cut off."""
    scored = score_group(
        read_logs([logs]),
        choose_benchmark("ext", ["digits_resnet"]),
        ruleset("self", "ext"),
        baseline="good",
    )
    file = io.StringIO()
    Console(file=file, width=60, highlight=False).print(*summary(scored), sep="\n")
    text = file.getvalue()
    assert max(map(len, text.splitlines())) <= 60
    joined = "".join(text.split())
    assert f"good{''.join(ONE)}1.00001.0000" in joined
    assert "…" not in text


def test_help_names_exit_codes():
    """The exit codes would have to be found out by trying."""
    assert "with 2 where --strict" in score("--help").stdout


def test_imports_are_light():
    """The scorer would need a framework, or seconds to start."""
    code = (
        "import sys, unscheduled.commands.score\n"
        "heavy = {'torch', 'jax', 'tensorflow', 'pandas', 'scipy', 'workloads_ext'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == ""


def test_nothing_but_an_empty_log(tmp_path):
    """A run that has just begun would end in a traceback."""
    write_text(tmp_path, "")
    done = score(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    row = ["missed", "missed", "0/1", "never", "ran"]
    assert row in cells(done.stdout, "sub")
