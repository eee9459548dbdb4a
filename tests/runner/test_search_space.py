"""Tuning search spaces: read, checked, and turned into points."""

import json
import math
import os
import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from unscheduled.benchmark.errors import UserError
from unscheduled.runner.search_space import _scale, read_search_space, trial_points

RANGES = {
    "learning_rate": {"min": 1e-4, "max": 1e-1, "scaling": "log"},
    "one_minus_beta1": {"min": 0.0, "max": 0.5, "scaling": "linear"},
    "warmup_factor": {"feasible_points": [0.02, 0.05]},
}


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    path = tmp_path_factory.mktemp("spaces") / "space.json"

    def write_and_read(value):
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
    momenta = sorted(p.one_minus_beta1 for p in points)
    assert math.isclose(momenta[100], 0.25, rel_tol=0.1)  # the linear middle
    assert {p.warmup_factor for p in points} == {0.02, 0.05}
    assert all(0 <= p.one_minus_beta1 <= 0.5 for p in points)


def test_a_list_gives_its_points_in_order(read):
    """Listed points that are shuffled, repeated or made up."""
    space = read([{"learning_rate": 0.1}, {"learning_rate": 0.2}])
    assert [p.learning_rate for p in trial_points(space, 2)] == [0.1, 0.2]
    with pytest.raises(UserError, match=r"num_tuning_trials=3, but .* lists 2 points"):
        trial_points(space, 3)


def test_ranges_between_integers_give_floats(read):
    """Whole numbers only, or other points than between the same floats."""
    whole = read({"lr": {"min": 1, "max": 3, "scaling": "linear"}})
    points = trial_points(whole, 5)
    assert all(type(p.lr) is float for p in points)
    assert len({p.lr for p in points}) == 5
    assert points == trial_points(
        {"lr": {**RANGES["one_minus_beta1"], **whole["lr"]}}, 5
    )
    assert trial_points(read({"lr": {"min": 2, "max": 2, "scaling": "log"}}), 1)[0] == (
        2.0,
    )


def log(low, high):
    return {"lr": {"min": low, "max": high, "scaling": "log"}}


def linear(low, high):
    return {"lr": {"min": low, "max": high, "scaling": "linear"}}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", "is not a JSON file"),
        (3, "must hold a list of points or an object"),
        ({}, "must hold a list of points or an object"),
        ([], "must hold a list of points or an object"),
        ([{}, {}], "must all be objects with the same names"),
        ([{"a": 1}, {"b": 1}], "must all be objects with the same names"),
        ([1, 2], "must all be objects with the same names"),
        ([{"a": 1}, {"a": math.nan}], "a of point 2 must be finite, got nan"),
        ([{"a": 1}, {"a": 10**400}], "a of point 2 must be finite, got 1000"),
        ([{"a": 10**4000}], "a of point 1 must be finite, got 1000"),
        ('[{"a": 1%s}]' % ("0" * 5000), "is not a JSON file"),
        ("[" * 100_000, "is nested too deeply"),
        (f'[{{"a": {"[" * 300}1{"]" * 300}}}]', "a of point 1 must be finite"),
        (f'{{"a": {{"feasible_points": {"[" * 300}{"]" * 300}}}}}', "a must have"),
        ([{"a\x1b\n": 1}], r"names must be valid identifiers: 'a\x1b\n'"),
        ([{"\ufb01": 1}], "unexpected keyword argument '\ufb01'"),
        ([{"a b": 1}], "names must be valid identifiers: 'a b'"),
        ('[{"lr": 1, "lr": 2}]', "'lr' is there twice"),
        ('{"lr": {"min": 0, "min": 1}}', "'min' is there twice"),
        ('{"lr": {"feasible_points": [1]}, "lr": 3}', "'lr' is there twice"),
        ({"lambda": {"feasible_points": [1]}}, "names cannot be a keyword: 'lambda'"),
        ({"_lr": {"feasible_points": [1]}}, "cannot start with an underscore: '_lr'"),
        *(
            (value, "lr must have a finite min <= max and a scaling of linear or log")
            for value in (
                {"lr": 3},
                {"lr": {"min": 1, "mux": 2}},
                {"lr": {**linear(1, 2)["lr"], "feasible_points": [1]}},
                {"lr": {"min": 1, "scaling": "log"}},
                {"lr": {"min": 1, "max": 2}},
                linear(2, 1),
                linear("a", 1),
                linear(True, 2),
                linear(None, 2),
                linear(0, math.inf),
                linear(0, 10**400),
                {"lr": {"feasible_points": [1, 10**400]}},
                '{"lr": {"min": 0, "max": 1e999, "scaling": "log"}}',
                linear(-1e308, 1e308),
                log(1e-300, 1e300),
                log(0, 1),
                {"lr": {"min": 0, "max": 1, "scaling": "cube"}},
                {"lr": {"min": 0, "max": 1, "scaling": []}},
                {"lr": {"feasible_points": []}},
                {"lr": {"feasible_points": 3}},
                {"lr": {"feasible_points": [1, math.inf]}},
            )
        ),
    ],
)
def test_each_mistake_has_a_sentence_that_names_it(read, value, message):
    """A mistake in a search space that is passed over, or is a traceback."""
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        read(value)
    assert "space.json" in str(caught.value)
    assert len(str(caught.value)) < 400


def test_what_is_no_text_file_has_a_sentence(tmp_path):
    """A pipe that is waited for, a file that is no text, or a home that there is not,
    as a traceback."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "latin").write_bytes(b'[{"\xe4": 1}]')
    for path, message in (
        (tmp_path / "pipe", "is not a regular file"),
        (tmp_path / "latin", "is not UTF-8"),
        ("~no_such_user/x", "~no_such_user/x: "),
    ):
        with pytest.raises(UserError, match=message):
            read_search_space(str(path))


def test_a_repeated_hyperparameter_is_named_after_its_file(read):
    """A name given twice, of which one range would silently count."""
    with pytest.raises(UserError, match=r"space\.json .*'lr' is there twice in one"):
        read('{"lr": {"feasible_points": [1]}, "lr": {"feasible_points": [2]}}')


finite = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(min_value=1e-300, max_value=1e300)
trials = st.integers(1, 20)


@settings(deadline=None)  # the first draw imports scipy
@given(ends=st.lists(finite | st.integers(-(10**9), 10**9), min_size=2), num=trials)
def test_linear_points_lie_in_their_range(read, ends, num):
    """Rounding, or an end of another kind of number, that carries a point outside."""
    low, high = min(ends), max(ends)
    assume(math.isfinite(high - low))
    for point in trial_points(read(linear(low, high)), num):
        assert low <= point.lr <= high


@settings(deadline=None)  # the first draw imports scipy
@given(ends=st.lists(positive | st.integers(1, 10**9), min_size=2), num=trials)
def test_log_points_lie_in_their_range(read, ends, num):
    """Rounding of the exponential that carries a point past an end."""
    low, high = min(ends), max(ends)
    assume(math.isfinite(high / low))
    for point in trial_points(read(log(low, high)), num):
        assert low <= point.lr <= high


def test_rounding_does_not_carry_a_point_past_its_range():
    """A rate above max, where u is almost 1 and the exponential rounds up."""
    space = log(0.42270457977378123, 0.49145113127167334)["lr"]
    assert _scale(space, 1 - 2**-53) == space["max"]


@settings(deadline=None)  # the first draw imports scipy
@given(
    choices=st.lists(st.floats(-5, 5) | st.booleans() | st.text(), min_size=1),
    num=trials,
)
def test_choices_are_taken_from_the_list(read, choices, num):
    """A choice that the file does not have, or that is turned into something else."""
    space = read({"lr": {"feasible_points": choices}})
    for point in trial_points(space, num):
        assert any(point.lr is choice for choice in space["lr"]["feasible_points"])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["min", "max", "scaling", "feasible_points", "lr", "a b"]),
            inner | st.sampled_from(["log", "linear"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None)  # the first draw imports scipy
@given(value=json_values)
def test_any_file_gives_points_or_a_sentence(read, value):
    """JSON of some form that nobody thought of and that is a traceback."""
    try:
        made = trial_points(read(value), 1)
    except UserError as error:
        made = [str(error)]
    assert len(made) == 1
    assert isinstance(made[0], tuple) or "space.json" in made[0]
