"""Tuning search spaces: read, checked, and turned into points."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unscheduled.runner.errors import UserError
from unscheduled.runner.search_space import read_search_space, trial_points

RANGES = {
    "learning_rate": {"min": 1e-4, "max": 1e-1, "scaling": "log"},
    "one_minus_beta1": {"min": 0.0, "max": 0.5},
    "warmup_factor": {"feasible_points": [0.02, 0.05]},
}


@pytest.fixture
def read(tmp_path):
    def write_and_read(value):
        path = tmp_path / "space.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return read_search_space(str(path))

    return write_and_read


def test_ranges_and_choices_give_points_inside_them(read):
    """Points outside their range, on the wrong scale, or different in each run."""
    space = read(RANGES)
    points = trial_points(space, 200)
    assert points == trial_points(space, 200)
    assert points[:5] == trial_points(space, 5)
    rates = sorted(p.learning_rate for p in points)
    assert 1e-4 <= rates[0] <= rates[-1] <= 1e-1
    assert math.isclose(rates[100], math.sqrt(1e-5), rel_tol=0.1)  # the log middle
    assert {p.warmup_factor for p in points} == {0.02, 0.05}
    assert all(0 <= p.one_minus_beta1 <= 0.5 for p in points)


def test_a_list_gives_its_points_in_order(read):
    """Listed points that are shuffled, repeated or made up."""
    space = read([{"learning_rate": 0.1}, {"learning_rate": 0.2}])
    assert [p.learning_rate for p in trial_points(space, 2)] == [0.1, 0.2]
    with pytest.raises(UserError, match=r"num_tuning_trials=3, but .* lists 2 points"):
        trial_points(space, 3)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", "is not a JSON file"),
        (3, "must hold a list of points or an object"),
        ({}, "must hold a list of points or an object"),
        ([], "must all have the same names"),
        ([{"a": 1}, {"b": 1}], "must all have the same names"),
        ([1, 2], "must all have the same names"),
        ({"lr": 3}, "lr must be an object, got 3"),
        ({"lr": {"min": 1, "mux": 2}}, "lr has the unknown key 'mux'; a dimension has"),
        ({"lr": {"min": 1}}, "lr lacks max"),
        ({"lr": {"min": 2, "max": 1}}, "min <= max, got 2 and 1"),
        ({"lr": {"min": "a", "max": 1}}, "finite numbers with min <= max, got 'a'"),
        ({"lr": {"min": 0, "max": 1, "scaling": "log"}}, "needs a positive min"),
        ({"lr": {"min": 0, "max": 1, "scaling": "cube"}}, "linear or log, got 'cube'"),
        ({"lr": {"feasible_points": []}}, "needs a list of feasible_points, got"),
    ],
)
def test_each_mistake_has_a_sentence_that_names_it(read, value, message):
    """A mistake in a search space that is passed over, or is a traceback."""
    with pytest.raises(UserError, match=message.replace("[", r"\[")):
        read(value)


@given(low=st.floats(1e-8, 1e8), factor=st.floats(1, 1e6), num=st.integers(1, 20))
def test_log_ranges_never_leave_their_bounds(low, factor, num):
    """Rounding that carries a point past min or max by more than an ulp or two."""
    space = {"lr": {"min": low, "max": low * factor, "scaling": "log"}}
    for point in trial_points(space, num):
        assert low * (1 - 1e-12) <= point.lr <= low * factor * (1 + 1e-12)
