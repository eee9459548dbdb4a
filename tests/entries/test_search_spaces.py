"""The tuning search spaces, as the trials of external tuning get them."""

import pytest

from tests.entries.submissions import ALGORITHMS, FRAMEWORKS, ROOT, load
from unscheduled.entries import api as hps
from unscheduled.runner.search_space import read_search_space, trial_points

FOLDER = ROOT / "tuning_search_spaces"
TRIALS = 5  # of an external tuning study


def test_every_algorithm_has_a_search_space():
    """An algorithm without one, or a space that no algorithm reads."""
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == ALGORITHMS


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_submission_takes_all_five_points(algorithm, framework):
    """A name that the submission does not have, or fewer points than trials."""
    space = read_search_space(str(FOLDER / f"{algorithm}.json"))
    defaults = load(algorithm, framework).Hyperparameters
    points = trial_points(space, TRIALS)
    assert len({tuple(point) for point in points}) == TRIALS
    for point in points:
        assert hps.resolve(defaults, point)._asdict().items() >= point._asdict().items()
