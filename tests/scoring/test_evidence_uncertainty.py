"""The script behind docs/evidence/uncertainty.md, much reduced."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from scripts.evidence import uncertainty as evidence


@pytest.mark.parametrize("p_miss", [0.0, 0.2, 0.6])
def test_true_median(p_miss):
    """Coverage would be counted of a median that the simulated times have not."""
    population = evidence.Population(3.0, 0.5, p_miss)
    times_sec = population.draw(100_000, np.random.default_rng(0))
    # 1% is six standard errors of the median of so many.
    assert np.median(times_sec) == pytest.approx(population.true_median(), rel=0.01)


def test_blocks(monkeypatch):
    """A block would be empty, hold what is no number, or not the published scores."""
    for name, value in {"SIMULATED": 100, "GROUPS": 10, "RESAMPLES": 50}.items():
        monkeypatch.setattr(evidence, name, value)
    monkeypatch.setattr(evidence, "N_STUDIES", (3, 5))
    for block in (evidence.medians, evidence.ratios, evidence.scores):
        text = block()
        assert text.count("\n") > 2
        assert "nan" not in text
    assert "| `schedule_free_adamw` | 0.8542 |" in text
