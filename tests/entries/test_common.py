"""What the entries share, whatever the framework."""

import importlib
import inspect
import math
from typing import NamedTuple

import pytest
import torch
import yaml

from tests.entries.submissions import ALGORITHMS, FRAMEWORKS, ROOT, load
from unscheduled.entries import api, data
from unscheduled.entries.pytorch import schedules
from unscheduled.runner.submission import REQUIRED


class Defaults(NamedTuple):
    learning_rate: float = 0.1
    grad_clip: float | None = None


class Point(NamedTuple):
    learning_rate: float


@pytest.mark.parametrize("given", [None, {}])
def test_nothing_given_means_the_defaults(given):
    """Self-tuning (None) or the reference test ({}) that crashes or changes values."""
    assert api.resolve(Defaults, given) == Defaults()


@pytest.mark.parametrize("given", [{"learning_rate": 0.2}, Point(0.2)])
def test_given_values_override_by_name(given):
    """External tuning whose values are lost, in either form they come in."""
    resolved = api.resolve(Defaults, given)
    assert resolved == Defaults(learning_rate=0.2)


def test_an_unknown_name_is_an_error_that_lists_the_known():
    """A misspelt hyperparameter that is silently the default."""
    with pytest.raises(ValueError, match=r"'learning_rat'; .* has learning_rate, grad"):
        api.resolve(Defaults, {"learning_rat": 0.2})


@pytest.mark.parametrize("value", ["0.1", None, math.nan, math.inf, True])
def test_a_value_that_is_no_number_is_an_error(value):
    """A string or NaN that trains for a day before anyone sees."""
    with pytest.raises(ValueError, match="learning_rate must be a finite number, got"):
        api.resolve(Defaults, {"learning_rate": value})
    assert api.resolve(Defaults, {"grad_clip": None}) == Defaults()


def test_batch_sizes_are_those_of_the_published_entries():
    """A batch size that makes times incomparable, or a guess for an unknown name."""
    assert data.get_batch_size("imagenet_resnet") == 1024
    assert data.get_batch_size("criteo1tb") == 262_144
    with pytest.raises(ValueError, match="no batch size for workload 'imagenet_x'"):
        data.get_batch_size("imagenet_x")


def test_the_schedule_warms_up_linearly_and_decays_by_a_cosine():
    """A schedule with a jump at the end of warmup, or that rises again at the end."""
    steps = torch.arange(130, dtype=torch.float64)
    factors = schedules.WarmupCosine(10, 110)(steps).tolist()
    assert factors[0] == 0
    assert factors[5] == 0.5
    assert factors[10] == 1
    assert factors[60] == pytest.approx(0.5)
    assert factors[110:] == [0] * 20
    assert schedules.WarmupCosine(0, 10)(steps[0]) == 1


def test_the_linear_schedule_ends_at_its_factor():
    """A decay that starts before the peak, or goes on below the end."""
    steps = torch.arange(130, dtype=torch.float64)
    factors = schedules.WarmupLinear(10, 100, 0.1)(steps).tolist()
    assert factors[5] == 0.5
    assert factors[10] == 1
    assert factors[60] == pytest.approx(0.55)
    assert factors[110:] == pytest.approx([0.1] * 20)
    assert schedules.WarmupLinear(0, 10, 0.0)(steps[0]) == 1


def test_the_table_has_every_submission():
    """An algorithm that no test here sees, or that is in one framework only."""
    folders = {path.parent.name for path in ROOT.glob("submissions/*/submission.py")}
    assert folders == {f"{a}_{f}" for a in ALGORITHMS for f in FRAMEWORKS}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_twins_have_the_same_hyperparameters(algorithm):
    """A default that was changed in one framework only."""
    torch_twin, jax_twin = (load(algorithm, f) for f in FRAMEWORKS)
    assert (
        torch_twin.Hyperparameters()._asdict() == jax_twin.Hyperparameters()._asdict()
    )


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_entry_has_the_functions_of_the_api(algorithm, framework):
    """A missing function, or one that refuses what the official runner passes."""
    module = load(algorithm, framework)
    for name in (*REQUIRED, "prepare_for_eval"):
        assert callable(getattr(module, name))
    parameters = inspect.signature(module.update_params).parameters
    assert parameters["train_state"].default is None


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_submission_info_has_the_required_keys(algorithm, framework):
    """An entry that the pull request's checks would refuse."""
    module = load(algorithm, framework)
    folder = importlib.resources.files(module.__package__)
    info = yaml.safe_load((folder / "submission_info.yml").read_text())
    assert set(info) == {
        "submission_name",
        "submission_folder",
        "authors",
        "affiliations",
        "version",
        "ruleset",
        "framework",
        "description",
    }
    assert info["framework"].lower() == framework
