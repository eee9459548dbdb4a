"""Undersampled slices of a brain: data, sizes and model settings."""

import importlib.util
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy import ndimage

from unscheduled import spec
from workloads_ext.common.data import Batch
from workloads_ext.common.source import ArraysBuilder
from workloads_ext.common.workload import EmbeddedWorkload, Sums

SIDE = 48  # pixels of 4 mm
SIZES = {"train": 2048, "validation": 256, "test": 256}
_FILE = "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
_MILLIMETRES_A_PIXEL = 4
_HEIGHTS = range(20, 140)  # of axial slices that show enough of the brain
_BLOCK = 12  # slices; the last two of each block are in no split
_SPLITS = ("train", "train", "validation", "train", "train", "test")
_ACCELERATION, _CENTRE = 4, 4  # one column of k-space in four; the middle ones always
_WINDOW = 7  # pixels a side, of SSIM
_K1, _K2 = 0.01, 0.03


def split_of_height(height: int) -> str | None:
    """The split of an axial slice: blocks of ten, with two between them in none."""
    block, row = divmod(height - _HEIGHTS.start, _BLOCK)
    return None if row >= _BLOCK - 2 else _SPLITS[block % len(_SPLITS)]


def _volume() -> np.ndarray:
    """Intensities from 0 to 1, a voxel a cubic millimetre."""
    package: Any = importlib.util.find_spec("nilearn")
    import nibabel  # what nilearn reads images with

    image: Any = nibabel.load(Path(package.origin).parent / _FILE)
    volume = np.asarray(image.dataobj, np.float32)
    return volume / volume.max()


def _seen(plane: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """A slice turned, scaled, moved and maybe mirrored; float, SIDE by SIDE."""
    angle = np.deg2rad(rng.uniform(-20, 20))
    scale = _MILLIMETRES_A_PIXEL * rng.uniform(0.9, 1.1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = scale * turn * (1, rng.choice([-1, 1]))
    centre = np.array(plane.shape) / 2 + rng.uniform(-10, 10, 2)
    smooth = ndimage.gaussian_filter(plane, _MILLIMETRES_A_PIXEL / 3)
    offset = centre - matrix @ np.full(2, SIDE / 2)
    return ndimage.affine_transform(
        smooth, matrix, offset.tolist(), (SIDE, SIDE), order=1
    )


class BrainSlices(ArraysBuilder):
    """Axial slices as images (48, 48) of uint8, each turned and moved at random.

    Neighbouring slices look alike, so that blocks of them belong to one split, with
    slices between the blocks that belong to none.
    """

    shapes: ClassVar = {"image": ((SIDE, SIDE), np.uint8)}

    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        volume, rng = _volume(), np.random.RandomState(0)
        arrays = {}
        for split, size in SIZES.items():
            heights = [h for h in _HEIGHTS if split_of_height(h) == split]
            seen = [
                _seen(volume[:, :, heights[i % len(heights)]], rng) for i in range(size)
            ]
            images = np.clip(np.round(255 * np.stack(seen)), 0, 255).astype(np.uint8)
            arrays[split] = {"image": images}
        return arrays


def undersampled(images: np.ndarray, rngs: list[np.random.Generator]) -> np.ndarray:
    """What images (n, h, w) look like from some random columns of their k-space."""
    width = images.shape[2]
    share = (width / _ACCELERATION - _CENTRE) / (width - _CENTRE)
    columns = np.stack([rng.uniform(size=width) < share for rng in rngs])
    first = (width - _CENTRE + 1) // 2
    columns[:, first : first + _CENTRE] = True
    k_space = np.fft.fft2(images) * np.fft.ifftshift(columns, axes=1)[:, None]
    return np.abs(np.fft.ifft2(k_space)).astype(np.float32)


def ssim(xp: Any, images: Any, targets: Any, data_range: Any) -> Any:
    """The mean structural similarity of images (n, h, w) with their targets, (n,).

    Over windows of 7x7 pixels and with sample covariances, as officially, whose
    defaults are those of Zbontar et al. (arXiv 1811.08839).
    """
    count = _WINDOW**2
    mean_x, mean_y = _window_means(images), _window_means(targets)
    norm = count / (count - 1)
    var_x = norm * (_window_means(images * images) - mean_x * mean_x)
    var_y = norm * (_window_means(targets * targets) - mean_y * mean_y)
    cov = norm * (_window_means(images * targets) - mean_x * mean_y)
    c1 = ((_K1 * data_range) ** 2)[:, None, None]
    c2 = ((_K2 * data_range) ** 2)[:, None, None]
    likeness = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    likeness = likeness / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return xp.clip(likeness.mean((1, 2)), -1, 1)


def _window_means(x: Any) -> Any:
    """Means over all windows of (n, h, w) that lie within."""
    height, width = x.shape[1] - _WINDOW + 1, x.shape[2] - _WINDOW + 1
    rows: Any = sum(x[:, i : i + height] for i in range(_WINDOW))
    return sum(rows[:, :, i : i + width] for i in range(_WINDOW)) / _WINDOW**2


class BaseBrainUnetWorkload(EmbeddedWorkload):
    """Mirrors fastmri: images from a quarter of their k-space.

    Inputs and targets are float32 (batch, 48, 48), in the mean and standard deviation
    of the input, which batches carry with the volume's maximum, as officially. Columns
    are drawn anew for each training batch, and once for each other image.
    """

    name = "brain_unet"
    mirrors = "fastmri"
    dataset = BrainSlices
    sizes = SIZES

    loss_type = spec.LossType.MEAN_ABSOLUTE_ERROR
    metrics = ("ssim", "loss")
    output_layer = "head"
    default_dropout_rate = 0.0
    widths = ("width",)
    model_options: ClassVar = {"width": 8, "num_pools": 3}

    def _make_batch(
        self, examples: dict[str, np.ndarray], rng: np.random.Generator | None
    ) -> Batch:
        images = examples["image"].astype(np.float32) / 255
        rngs = [
            np.random.default_rng(zlib.crc32(image)) if rng is None else rng
            for image in examples["image"]
        ]
        seen = undersampled(images, rngs)
        mean = seen.mean(axis=(1, 2), dtype=np.float32)
        std = seen.std(axis=(1, 2), dtype=np.float32) + np.float32(1e-6)
        scaled = [
            np.clip((x - mean[:, None, None]) / std[:, None, None], -6, 6)
            for x in (seen, images)
        ]
        return {
            "inputs": scaled[0],
            "targets": scaled[1],
            "mean": mean,
            "std": std,
            "volume_max": np.ones(len(images), np.float32),
        }

    def _losses(self, labels, outputs, label_smoothing):
        del label_smoothing
        return self._xp.abs(outputs - labels).mean((1, 2))

    def _metric_sums(self, outputs: Any, batch: Batch) -> Sums:
        sums = super()._metric_sums(outputs, batch)
        mean, std = batch["mean"][:, None, None], batch["std"][:, None, None]
        images, targets = outputs * std + mean, batch["targets"] * std + mean
        is_padding = batch["volume_max"] == 0
        data_range = self._xp.where(is_padding, 1.0, batch["volume_max"])
        values = ssim(self._xp, images, targets, data_range)
        sums["ssim"] = (values * batch["weights"]).sum(), batch["weights"].sum()
        return sums


class BaseBrainUnetModelSizeWorkload(BaseBrainUnetWorkload):
    """With half the channels again, as fastmri_model_size has more than fastmri."""

    name = "brain_unet_model_size"
    mirrors = "fastmri_model_size"
    model_options: ClassVar = {**BaseBrainUnetWorkload.model_options, "width": 12}


EXAMPLE_SHAPE = (1, SIDE, SIDE)
