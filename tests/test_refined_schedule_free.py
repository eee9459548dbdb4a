"""The flagship's comparison and projection, on made-up runs."""

import json

import numpy as np
import pytest

from scripts.evidence import projection
from scripts.evidence import refined_schedule_free as flagship
from tests.test_set_targets import made_up


def row(text, name):
    """The cells of a table's row."""
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {name} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def runs_at(steps, seeds=range(2), framework="pytorch"):
    """Steps to the target by entry, at one workload, for each seed."""
    return [
        (run, steps_of)
        for name, each in steps.items()
        for run, steps_of in zip(
            flagship.runs_of("atlas_gnn", name, framework, seeds), each, strict=True
        )
    ]


def test_ratios_are_geometric_means_of_pairs():
    """Runs of other seeds compared, or a miss that is left out."""
    runs = runs_at(
        {flagship.FLAGSHIP: (100, 400), "NadamW": (200, 200), "SF v2": (100, None)}
    )
    table = made_up(runs)
    budget = runs[0][0].steps
    groups = {"one": ["atlas_gnn"]}
    text = flagship.comparison(table, "pytorch", range(2), groups)
    _, mine, nadamw, published, of_nadamw, of_published = row(text, "atlas_gnn")
    assert (mine, nadamw) == ("250 (100 to 400)", "200 (200 to 200)")
    assert published == "missed (100 to missed)"
    assert of_nadamw == "1.00"
    assert of_published == f"{np.sqrt(400 / (2 * budget)):.2f}"
    *_, mean, _ = row(text, "geometric mean, one")
    assert mean == "1.00 (0.50 to 2.00)"


def test_nothing_is_said_of_what_was_not_run():
    """A mean over the workloads that are there already."""
    table = made_up(runs_at({flagship.FLAGSHIP: (100, 100), "SF v2": (50, 50)}))
    text = flagship.comparison(
        table, "pytorch", range(2), {"two": ["atlas_gnn", "brain_unet"]}
    )
    assert row(text, "geometric mean, two")[-2:] == ["not run", "not run"]
    assert row(text, "atlas_gnn")[-2:] == ["not run", "2.00"]


def test_a_projection_changes_what_it_assumes():
    """A ratio of 1 that changes the score, or steps of another entry."""
    lines = projection.assumptions({"ogbg": 0.5, "fastmri": 0.5}, "jax")
    assert lines == [
        "schedule_free_adamw_jax_v2/ogbg=steps*0.535",  # and 1.07 for Muon
        "schedule_free_adamw_jax_v2/fastmri=steps*0.500",
    ]
    same = projection.project(
        projection.assumptions({"fastmri": 1.0, "criteo1tb": 1.0}, "pytorch"), "pytorch"
    )
    assert same["score"] == pytest.approx(same["before"], abs=1e-12)
    half = projection.project(["schedule_free_adamw_v2/ogbg=steps*0.5"], "pytorch")
    (time,) = half["times"]
    assert time["after"] == pytest.approx(time["before"] / 2)


def test_the_language_model_is_reached_without_smoothing():
    """A cell of the entry with smoothing, which never gets there."""
    lines = projection.assumptions({"finewebedu_lm": 0.5}, "pytorch")
    assert lines == ["schedule_free_adamw_v2/finewebedu_lm=31065steps"]
    assert projection.project(lines, "pytorch")["score"] > 0.6


def test_the_entry_has_the_setting_that_was_chosen():
    """A comparison of another entry than the race's."""
    from scripts.evidence import time_to_target
    from submissions.refined_schedule_free_pytorch import submission

    hp = submission.Hyperparameters()._asdict()
    chosen = dict(time_to_target.CHOSEN)
    assert (chosen.pop("muon"), chosen.pop("linear_muon")) == (1.0, 1)  # its program
    assert {name: hp[name] for name in chosen} == chosen
    assert json.dumps(hp, sort_keys=True) == json.dumps(
        _jax_hyperparameters(), sort_keys=True
    )


def _jax_hyperparameters():
    from submissions.refined_schedule_free_jax import submission

    return submission.Hyperparameters()._asdict()
