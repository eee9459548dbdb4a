"""The JAX optimizers on a GPU."""

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from tests import cases  # noqa: E402

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(
    "algorithm", [a for a in cases.OWN if a.jax], ids=lambda a: a.name
)
def test_follows_the_specification(algorithm, request):
    """Another optimizer on a GPU than on a CPU."""
    wanted = request.config.getoption("--device")
    if wanted == "cuda" and jax.default_backend() != "gpu":
        pytest.skip("JAX has no GPU")
    settings = algorithm.settings[-1]
    expected, found = (
        run(settings, 60) for run in (algorithm.run_numpy, algorithm.run_jax)
    )
    for at in ("x", "y"):
        pairs = zip(getattr(found, at)[-1], getattr(expected, at)[-1], strict=True)
        for ours, theirs in pairs:
            np.testing.assert_allclose(ours, theirs, atol=1e-10)
