"""The references themselves, where they are more than their formula."""

import itertools

import numpy as np
import pytest

from tests.workloads.references import ctc_loss


@pytest.mark.parametrize("labels", [(), (1,), (1, 1), (1, 2), (2, 1, 2), (1, 1, 1)])
def test_ctc_is_the_sum_over_all_paths(labels):
    """The forward algorithm would leave out paths, or count some twice."""
    probs = np.random.default_rng(0).dirichlet(np.ones(3), size=4)
    total = 0.0
    for path in itertools.product(range(3), repeat=4):
        read = tuple(token for token, _ in itertools.groupby(path) if token)
        total += (read == labels) * np.prod(probs[np.arange(4), path])
    with np.errstate(divide="ignore"):
        expected = -np.log(total)  # infinite for three of a kind in four frames
    found = ctc_loss(np.array(labels, int), np.log(probs))
    assert found == pytest.approx(expected)
