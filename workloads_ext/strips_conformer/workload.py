"""Strips of digits read by a Conformer: data, sizes and model settings."""

from typing import Any, ClassVar

import numpy as np

from unscheduled import spec
from workloads_ext.common.data import Batch
from workloads_ext.common.source import ArraysBuilder
from workloads_ext.common.workload import EmbeddedWorkload, Rows, Sums
from workloads_ext.digits_resnet.workload import originals

SIZES = {"train": 8192, "validation": 512, "test": 512}
BINS = 16  # twice the height of a digit
MAX_FRAMES, MAX_LABELS = 160, 12
SPACE, VOCABULARY = 11, 12  # labels: 0 is CTC's blank, 1 to 10 are the digits 0 to 9
_NOISE = 0.25  # standard deviation, of a digit's darkest pixel
_MEAN, _STDDEV = 96.0, 48.0  # of pixels, roughly


def _trimmed(image: np.ndarray) -> np.ndarray:
    """A digit from 0 to 1 without its empty columns, twice as large."""
    columns = np.flatnonzero(image.any(axis=0))
    digit = image[:, columns[0] : columns[-1] + 1] / 16
    return digit.repeat(2, axis=0).repeat(2, axis=1)


def _words(rng: np.random.RandomState) -> list[int]:
    """How many digits each of two to four words has, one to three."""
    return rng.randint(1, 4, size=rng.randint(2, 5)).tolist()


def _strip(
    images: np.ndarray, digits: np.ndarray, rng: np.random.RandomState
) -> tuple[np.ndarray, list[int]] | None:
    """A strip (frames, BINS), without noise, and its labels; None if it is too long."""
    parts, labels = [], []
    for length in _words(rng):
        if labels:
            parts.append(np.zeros((BINS, rng.randint(12, 20))))
            labels.append(SPACE)
        for i in rng.randint(len(images), size=length):
            shifted = np.roll(_trimmed(images[i]), rng.randint(-2, 3), axis=0)
            parts += [
                rng.uniform(0.6, 1) * shifted,
                np.zeros((BINS, rng.randint(0, 4))),
            ]
            labels.append(int(digits[i]) + 1)
    strip = np.concatenate(parts, axis=1).T
    too_long = len(strip) > MAX_FRAMES or len(labels) > MAX_LABELS
    return None if too_long else (strip, labels)


def _example(
    images: np.ndarray, digits: np.ndarray, rng: np.random.RandomState
) -> dict[str, np.ndarray]:
    while (found := _strip(images, digits, rng)) is None:
        pass
    strip, labels = found
    noisy = strip + _NOISE * rng.standard_normal(strip.shape)
    frames = np.zeros((MAX_FRAMES, BINS), np.uint8)
    frames[: len(strip)] = np.clip(np.round(64 + 128 * noisy), 0, 255)
    padded = np.zeros(MAX_LABELS, np.int32)
    padded[: len(labels)] = labels
    return {
        "frames": frames,
        "n_frames": np.array(len(strip), np.int32),
        "labels": padded,
        "n_labels": np.array(len(labels), np.int32),
    }


class Strips(ArraysBuilder):
    """Two to four words of one to three digits, with noise.

    Features: frames of uint8, 64 and 192 without noise; how many there are; labels 1
    to 10 for the digits 0 to 9 and 11 between words; how many there are. The images of
    a split are in no other.
    """

    shapes: ClassVar = {
        "frames": ((MAX_FRAMES, BINS), np.uint8),
        "n_frames": ((), np.int32),
        "labels": ((MAX_LABELS,), np.int32),
        "n_labels": ((), np.int32),
    }

    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        rng, arrays = np.random.RandomState(0), {}
        for split, (images, digits) in originals().items():
            examples = [_example(images, digits, rng) for _ in range(SIZES[split])]
            arrays[split] = {
                name: np.stack([example[name] for example in examples])
                for name in self.shapes
            }
        return arrays


_FRAMES_HIDDEN, _BINS_HIDDEN = 12, 4  # at most, of each mask in training
_MASKS = 2  # of each kind


def words(labels: list[int]) -> list[tuple[int, ...]]:
    """Labels as words, which SPACE parts."""
    found: list[list[int]] = [[]]
    for label in labels:
        if label == SPACE:
            found.append([])
        else:
            found[-1].append(label)
    return [tuple(word) for word in found if word]


def edit_distance(found: list, truth: list) -> int:
    """Fewest insertions, deletions and replacements between two lists."""
    row = [*range(len(truth) + 1)]
    for i, item in enumerate(found, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(truth, 1):
            best = min(row[j] + 1, row[j - 1] + 1, diagonal + (item != other))
            diagonal, row[j] = row[j], best
    return row[-1]


def greedy(tokens: np.ndarray) -> list[int]:
    """Labels of the most probable token of each frame: repeats merged, no blanks."""
    changes = np.flatnonzero(np.diff(tokens, prepend=-1))
    return [int(token) for token in tokens[changes] if token]


def hidden(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Frames (n, frames, bins) with blocks of time and bins set to 0 (SpecAugment)."""
    kept = np.ones(frames.shape, bool)
    for axis, most in ((1, _FRAMES_HIDDEN), (2, _BINS_HIDDEN)):
        length = frames.shape[axis]
        numbers = np.arange(length)
        for _ in range(_MASKS):
            start = rng.integers(length, size=(len(frames), 1))
            size = rng.integers(most + 1, size=(len(frames), 1))
            shown = (numbers < start) | (numbers >= start + size)
            kept &= shown[:, :, None] if axis == 1 else shown[:, None]
    return frames * kept


class BaseStripsWorkload(EmbeddedWorkload):
    """What both readers of strips share: CTC's loss, and the word error rate.

    Inputs are 'frames', float32 (batch, 160, 16), and 'n_frames'; targets 'labels'
    (batch, 12) and 'n_labels'. The loss is a mean over labels, as officially.
    """

    dataset = Strips
    sizes = SIZES

    loss_type = spec.LossType.CTC_LOSS
    metrics = ("wer", "ctc_loss")
    output_layer = "head"
    default_dropout_rate = 0.1
    has_batch_norm = True

    def _make_batch(
        self, examples: dict[str, np.ndarray], rng: np.random.Generator | None
    ) -> Batch:
        frames = (examples["frames"] - _MEAN) / _STDDEV
        there = np.arange(MAX_FRAMES) < examples["n_frames"][:, None]
        frames = (frames * there[..., None]).astype(np.float32)
        return {
            "inputs": {
                "frames": frames if rng is None else hidden(frames, rng),
                "n_frames": examples["n_frames"],
            },
            "targets": {name: examples[name] for name in ("labels", "n_labels")},
        }

    def loss_fn(
        self,
        label_batch: Any,
        logits_batch: Any,
        mask_batch: spec.Tensor | None = None,
        label_smoothing: float = 0.0,
    ) -> dict[str, spec.Tensor]:
        """As in `EmbeddedWorkload`, but 'n_valid_examples' counts labels."""
        loss = super().loss_fn(label_batch, logits_batch, mask_batch, label_smoothing)
        counts = label_batch["n_labels"]
        counts = counts if mask_batch is None else counts * mask_batch
        return {**loss, "n_valid_examples": 1.0 * counts.sum()}

    def _metric_sums(self, outputs: Any, batch: Batch) -> Sums:
        loss = self.loss_fn(batch["targets"], outputs, batch["weights"])
        return {"ctc_loss": (loss["summed"], loss["n_valid_examples"])}

    def _metric_rows(self, outputs: Any, batch: Batch) -> Rows:
        return {
            "tokens": outputs["logits"].argmax(-1),
            "n_frames": outputs["n_frames"],
            **batch["targets"],
        }

    def _metrics(
        self, means: dict[str, float], rows: dict[str, np.ndarray]
    ) -> dict[str, float]:
        errors = count = 0
        for tokens, n_frames, labels, n_labels in zip(
            *(rows[name] for name in ("tokens", "n_frames", "labels", "n_labels")),
            strict=True,
        ):
            truth = words(labels[:n_labels].tolist())
            if truth:  # else padding
                errors += edit_distance(words(greedy(tokens[:n_frames])), truth)
                count += len(truth)
        return {**means, "wer": errors / count}


class BaseStripsConformerWorkload(BaseStripsWorkload):
    """Mirrors librispeech_conformer."""

    name = "strips_conformer"
    mirrors = "librispeech_conformer"
    widths = ("width", "mlp")
    model_options: ClassVar = {
        "bins": BINS,
        "vocabulary": VOCABULARY,
        "width": 48,
        "num_layers": 2,
        "num_heads": 4,
        "mlp": 96,
        "kernel": 5,
    }


def example_inputs() -> dict[str, np.ndarray]:
    """Inputs of a batch of one, whatever their values."""
    return {
        "frames": np.zeros((1, MAX_FRAMES, BINS), np.float32),
        "n_frames": np.ones(1, np.int32),
    }
