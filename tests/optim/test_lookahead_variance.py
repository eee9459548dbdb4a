"""The specification of Lookahead on noisy quadratics, against the paper's formula.

Zhang et al., https://arxiv.org/abs/1907.08610, Proposition 2; see
docs/evidence/lookahead.md.
"""

import numpy as np
import pytest

from unscheduled.optim_numpy.lookahead import Fast, lookahead_init, lookahead_step

S = np.array([0.1, 1.0])  # the learning rate times the curvature


def sgd_variance(s):
    """V_SGD = s² / (1 - (1 - s)²)."""
    return s**2 / (1 - (1 - s) ** 2)


def formula(s, k, alpha):
    """V_LA, of the slow weights."""
    noise = alpha**2 * (1 - (1 - s) ** (2 * k))
    pull = 2 * alpha * (1 - alpha) * (1 - (1 - s) ** k)
    return noise / (noise + pull) * sgd_variance(s)


def simulated(k, alpha):
    """Over 1000 samples and 100 synchronizations, gradient A (x - c), c ~ N(0, 1)."""
    rng = np.random.default_rng(0)
    shape = (1000, len(S))
    fast = Fast([np.sqrt(sgd_variance(S)) * rng.standard_normal(shape)], [], [])
    state = lookahead_init(fast)
    variances = []
    for step in range(1, 701):
        (x,) = fast.weights
        grads = [S * (x - rng.standard_normal(shape))]
        fast = Fast([x - grads[0]], [], [])
        state, fast = lookahead_step(state, fast, grads, k=k, alpha=alpha)
        if step % k == 0 and step > 200:
            variances.append(np.mean(state.slow[0] ** 2, axis=0))
    return np.mean(variances, axis=0)


@pytest.mark.parametrize("alpha", [0.25, 0.5, 0.8])
def test_lookahead_has_the_variance_of_its_formula(alpha):
    """Slow weights that are interpolated wrongly, or at the wrong step."""
    expected = formula(S, 5, alpha)
    assert np.all(expected < sgd_variance(S))
    # 100 synchronizations of 1000 samples, which follow each other slowly.
    np.testing.assert_allclose(simulated(5, alpha), expected, rtol=0.05)
