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


def test_examples_in_the_place_of_steps():
    """The conclusion about examples would rest on the batch size of the other one."""
    found = (evidence.compare_published("self", examples=e) for e in (False, True))
    for steps, examples in zip(*(c.workloads for c in found), strict=True):
        ours, baseline = evidence.BATCH_SIZES[steps.workload]
        for part, factor in (
            ("time", 1),
            ("steps", ours / baseline),
            ("step_sec", baseline / ours),
        ):
            expected = factor * getattr(steps.parts, part).value
            value = getattr(examples.parts, part).value
            assert value == pytest.approx(expected, nan_ok=True)


def test_page(tmp_path):
    """A block would be empty, or hold what is no number."""
    blocks = {n: block(evidence.QUICK) for n, block in evidence.BLOCKS.items()}
    text = evidence.fill_page("uncertainty", blocks, tmp_path).read_text()
    assert " -->\n<!-- end" not in text
    assert "nan" not in text
    assert "none" not in blocks["published"]
    assert "| `schedule_free_adamw` | 0.8542 |" in blocks["published"]
