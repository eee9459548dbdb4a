"""Slices of a brain: how they are undersampled, and their similarity."""

import numpy as np
import pytest

import workloads_ext
from tests.workloads.helpers import load, map_arrays, to_framework, to_numpy
from workloads_ext.brain_unet.workload import SIDE, ssim, undersampled


def direct_ssim(x, y, data_range):
    """The mean over windows of 7x7, as scikit-image's `structural_similarity`."""
    values = []
    for i in range(len(x) - 6):
        for j in range(len(x) - 6):
            a, b = (image[i : i + 7, j : j + 7].ravel() for image in (x, y))
            (var_a, cov), (_, var_b) = np.cov(a, b)
            c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
            means = (2 * a.mean() * b.mean() + c1) / (
                a.mean() ** 2 + b.mean() ** 2 + c1
            )
            values.append(means * (2 * cov + c2) / (var_a + var_b + c2))
    return np.mean(values)


@pytest.mark.parametrize("framework", workloads_ext.FRAMEWORKS)
def test_ssim_is_that_of_its_definition(framework):
    """The metric would not be what its name says."""
    workload = load("brain_unet", framework).workload
    rng = np.random.default_rng(0)
    targets = rng.uniform(size=(3, 20, 20))
    images = targets + rng.normal(size=targets.shape) * [[[0]], [[0.1]], [[0.5]]]
    ranges = np.array([1.0, 1.0, 2.0])
    arrays = (a.astype(np.float32) for a in (images, targets, ranges))
    place = [to_framework(array, framework) for array in arrays]
    found = to_numpy(ssim(workload._xp, *place))
    expected = [*map(direct_ssim, images, targets, ranges)]
    # Variances are differences of float32 means.
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert found[0] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("framework", workloads_ext.FRAMEWORKS)
def test_ssim_is_of_images_in_their_own_units(framework, data_dir):
    """The metric would be of normalised images, or NaN where there is padding."""
    loaded = load("brain_unet", framework)
    batch = next(loaded.queue("validation", data_dir, 4))

    def pad(arrays):
        for array in arrays.values():
            array[3:] = 0

    batch = loaded.edited(batch, pad)
    total, count = loaded.workload._metric_sums(batch["inputs"], batch)["ssim"]
    arrays = map_arrays(to_numpy, batch)
    mean, std = (arrays[name][:, None, None] for name in ("mean", "std"))
    seen, truth = (arrays[name] * std + mean for name in ("inputs", "targets"))
    assert truth[:3].min() > -1e-5
    assert truth[:3].max() < 1 + 1e-5
    expected = sum(map(direct_ssim, seen[:3], truth[:3], np.ones(3)))
    assert float(total) == pytest.approx(expected, abs=1e-3)
    assert float(count) == 3


def test_undersampling_keeps_columns_of_k_space():
    """Images would miss other frequencies than those that were not measured."""
    rng = np.random.default_rng(0)
    images = rng.uniform(0.5, 1, (200, SIDE, SIDE))
    chosen = []

    class Columns:
        """A generator that shows what it drew."""

        def uniform(self, size):
            chosen.append(rng.uniform(size=size))
            return chosen[-1]

    seen = undersampled(images, [Columns() for _ in images])
    share = (SIDE / 4 - 4) / (SIDE - 4)
    kept = np.stack(chosen) < share
    kept[:, SIDE // 2 - 2 : SIDE // 2 + 2] = True
    # By the definition of the transform, frequencies from -SIDE / 2 on.
    frequencies = np.arange(SIDE) - SIDE // 2
    wave = np.exp(-2j * np.pi * np.outer(np.arange(SIDE), frequencies) / SIDE)
    k_space = (images @ wave) * kept[:, None]
    expected = np.abs(k_space @ wave.conj().T) / SIDE
    np.testing.assert_allclose(seen, expected, atol=1e-5)
    assert kept.mean() == pytest.approx(1 / 4, abs=0.02)


def test_columns_are_drawn_anew_in_training_only(data_dir):
    """Evaluation would depend on chance, or training see each image in one way."""
    pytest.importorskip("torch")
    workload = load("brain_unet", "pytorch").workload
    examples = {"image": np.tile(np.arange(SIDE, dtype=np.uint8), (2, SIDE, 1))}
    first, again = (workload._make_batch(examples, None)["inputs"] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[0], first[1])
    drawn = workload._make_batch(examples, np.random.default_rng(0))["inputs"]
    assert (drawn[0] != drawn[1]).any()
