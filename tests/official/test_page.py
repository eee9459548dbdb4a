"""The grid's bookkeeping and its tables; nothing here needs algoperf."""

import json

import pytest
from absl import flags
from absl.testing import flagsaver

pytest.importorskip("matplotlib")

from scripts.evidence.official import grid


def line(algorithm="radam", workload="ogbg", framework="jax", jax="0.7.0", **values):
    """A line of the results."""
    return {
        "workload": workload,
        "framework": framework,
        "algorithm": algorithm,
        "code": "c0de",
        "environment": {"jax": jax, "torch": "2.13.0"},
        "older": False,
        "status": "ok",
        "seconds": 11.5,
        **values,
    }


def failed(error: str, **values):
    """A line of an entry that failed."""
    return {**line(**values), "status": "failed", "error": error}


def test_the_table_shows_what_passed_what_failed_and_what_is_missing(monkeypatch):
    """A red cell that looks green, or a cell that nobody ran."""
    cells = {
        (x["workload"], x["framework"], x["algorithm"]): x
        for x in (line(), failed("ValueError: no", workload="wmt"), line("upstream"))
    }
    monkeypatch.setattr(grid, "WORKLOADS", ["ogbg", "wmt"])
    rows = [(name, "jax") for name in ("upstream", "radam", "adamw")]
    monkeypatch.setattr(grid, "ROWS", [*rows, ("radam", "pytorch")])
    text = grid.table(cells)
    assert "| *upstream's nadamw, jax* | ok, 11.5 s | not run |" in text
    assert "| radam_jax | ok, 11.5 s | failed (1) |" in text
    assert "| adamw_jax | not run | not run |" in text
    assert "radam_pytorch" not in text
    assert text.endswith("\n\n(1) wmt, jax, radam: ValueError: no")
    assert grid.table({}) == "Not run yet."


def test_the_page_is_written_from_lines_of_the_code_as_it_is(tmp_path, monkeypatch):
    """Results of code that is gone, unmarked; versions under the wrong heading."""
    monkeypatch.setattr("scripts.evidence.pages.PAGES", tmp_path)
    blocks = ("versions", "pinned", "newest")
    (tmp_path / "official_harness.md").write_text(
        "".join(f"<!-- begin {b} -->\n<!-- end {b} -->\n" for b in blocks)
    )
    lines = [
        failed("ValueError: repaired"),
        line(),
        line(code="01d"),
        line("adamw", jax="0.10.2"),
        failed("ValueError: gone", algorithm="adamw", code="01d"),
        line("nadamw", code="01d"),
    ]
    rows = [("radam", "jax"), ("adamw", "jax"), ("nadamw", "jax")]
    monkeypatch.setattr(grid, "ROWS", rows)
    monkeypatch.setattr(grid, "WORKLOADS", ["ogbg"])
    monkeypatch.setattr(grid, "code_hash", lambda *row: "c0de")
    grid.write(lines)
    text = (tmp_path / "official_harness.md").read_text()
    assert "| pinned | 0.7.0 | 2.13.0 |\n| newest | 0.10.2 | 2.13.0 |" in text
    first, second = text.split("<!-- begin newest -->")
    assert "| radam_jax | ok, 11.5 s |\n| adamw_jax | not run |" in first
    assert "| nadamw_jax | ok†, 11.5 s |" in first
    assert "| radam_jax | not run |\n| adamw_jax | ok, 11.5 s |" in second
    assert "gone" not in text
    assert "repaired" not in text


def test_what_failed_or_changed_is_run_again(tmp_path):
    """A grid that never gets done, or one that trusts what code did that is gone."""
    results = tmp_path / "results.jsonl"

    def job(algorithm, code="c0de"):
        names = ("workload", "framework", "algorithm", "code", "environment")
        found = line(algorithm, code=code)
        return {"key": {name: found[name] for name in names}}

    assert grid.missing([job("radam")], results) == [job("radam")]
    lines = [line(), failed("ValueError: no", algorithm="adamw"), line("nadamw")]
    results.write_text("".join(json.dumps(x) + "\n" for x in lines))
    jobs = [job("radam"), job("adamw"), job("nadamw", code="0ther")]
    assert grid.missing(jobs, results) == jobs[1:]


def test_an_entry_depends_on_its_own_framework(monkeypatch, tmp_path):
    """A hash that misses the optimizer, or changes with the other twin or a comment."""
    files = {
        "submissions/radam_jax/submission.py": "lr = 1",
        "submissions/radam_pytorch/submission.py": "lr = 1",
        "unscheduled/entries/data.py": "b = 1",
        "unscheduled/entries/jax/training.py": "j = 1",
        "unscheduled/entries/pytorch/training.py": "t = 1",
        "unscheduled/optim_jax/radam.py": "r = 1",
        "unscheduled/optim_torch/radam.py": "r = 1",
        "unscheduled/runner/loop.py": "n = 1",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(grid, "ROOT", tmp_path)
    before = grid.code_hash("radam", "jax")
    changed = {}
    for name, text in files.items():
        (tmp_path / name).write_text(text.replace("1", "2"))
        changed[name] = grid.code_hash("radam", "jax") != before
        (tmp_path / name).write_text(text.replace("1", "(1)  # as it was"))
        assert grid.code_hash("radam", "jax") == before
    assert [name for name, different in changed.items() if different] == [
        "submissions/radam_jax/submission.py",
        "unscheduled/entries/data.py",
        "unscheduled/entries/jax/training.py",
        "unscheduled/optim_jax/radam.py",
    ]


def test_an_unknown_name_is_refused_with_the_choices():
    """A misspelt workload that is left out without a word."""
    refused = pytest.raises(flags.IllegalFlagValueError, match="from pytorch, jax")
    with flagsaver.flagsaver(), refused:
        flags.FLAGS.frameworks = ["torch"]
