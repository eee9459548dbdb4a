"""The tables of the official workloads; nothing here needs algoperf."""

import pytest

pytest.importorskip("matplotlib")

from scripts.evidence import official


def line(algorithm="radam", workload="ogbg", framework="jax", jax="0.7.0", **values):
    """A line of the results."""
    return {
        "workload": workload,
        "framework": framework,
        "algorithm": algorithm,
        "environment": {"jax": jax, "torch": "2.13.0"},
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
    monkeypatch.setattr(official, "WORKLOADS", ["ogbg", "wmt"])
    monkeypatch.setattr(official, "submissions", lambda name: ["radam", "adamw"])
    text = official.table(cells)
    assert "| *upstream's nadamw, jax* | ok, 11.5 s | not run |" in text
    assert "| radam_jax | ok, 11.5 s | failed (1) |" in text
    assert "| adamw_jax | not run | not run |" in text
    assert "radam_pytorch" not in text
    assert text.endswith("\n\n(1) wmt, jax, radam: ValueError: no")
    assert official.table({}) == "Not run yet."


def test_the_page_is_written_from_the_newest_line_of_each_cell(tmp_path, monkeypatch):
    """Results that are out of date; versions under the wrong heading."""
    monkeypatch.setattr("scripts.evidence.pages.PAGES", tmp_path)
    blocks = ("versions", "pinned", "newest")
    (tmp_path / "official_harness.md").write_text(
        "".join(f"<!-- begin {b} -->\n<!-- end {b} -->\n" for b in blocks)
    )
    lines = [
        failed("ValueError: repaired"),
        line(),
        failed("ValueError: gone", algorithm="adamw", jax="0.10.2"),
        line("adamw", jax="0.10.2"),
    ]
    monkeypatch.setattr(official, "submissions", lambda name: ["radam", "adamw"])
    monkeypatch.setattr(official, "WORKLOADS", ["ogbg"])
    official.write(lines)
    text = (tmp_path / "official_harness.md").read_text()
    assert "| pinned | 0.7.0 | 2.13.0 |\n| newest | 0.10.2 | 2.13.0 |" in text
    first, second = text.split("<!-- begin newest -->")
    assert "| radam_jax | ok, 11.5 s |\n| adamw_jax | not run |" in first
    assert "| radam_jax | not run |\n| adamw_jax | ok, 11.5 s |" in second
    assert "gone" not in text
    assert "repaired" not in text
