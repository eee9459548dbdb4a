"""Endless, deterministic, seekable queues of batches, for either framework.

A batch is a dict of NumPy arrays until `place` moves it to the devices.
"""

import abc
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from unscheduled import spec

__all__ = ["Batch", "EvalQueue", "InputQueue", "TrainQueue", "pad", "seed_integers"]

Batch = dict[str, Any]
_ORDER, _AUGMENTATION = 0, 1  # two independent streams of one seed


def seed_integers(rng: spec.RandomState) -> tuple[int, ...]:
    """The integers in a random state: two NumPy integers, or a jax key of any kind."""
    if not isinstance(rng, np.ndarray | list | tuple):
        import jax  # only a jax key gets here

        if jax.numpy.issubdtype(rng.dtype, jax.dtypes.prng_key):
            rng = jax.random.key_data(rng)
    return tuple(int(value) for value in np.ravel(np.asarray(rng)))


def pad(batch: Batch, batch_size: int) -> Batch:
    """Pads with zeros to `batch_size`; 'weights', 1 where not given, are 0 there."""
    length = len(next(iter(batch.values())))
    batch = {"weights": np.ones(length, np.float32), **batch}
    return {
        name: np.pad(array, [(0, batch_size - length)] + [(0, 0)] * (array.ndim - 1))
        for name, array in batch.items()
    }


class InputQueue(Iterator[Batch]):
    """An endless iterator whose batch `i` can be had without those before it."""

    def __init__(self) -> None:
        self._position = 0

    @abc.abstractmethod
    def batch(self, i: int) -> Batch:
        """Batch number `i`, whatever the position; the same each time."""

    def __next__(self) -> Batch:
        batch = self.batch(self._position)
        self._position += 1
        return batch

    def skip(self, n: int) -> None:
        """Moves `n` batches on at no cost; raises ValueError if `n` is negative."""
        if n < 0:
            raise ValueError(f"n must be 0 or more, got {n!r}.")
        self._position += n


class TrainQueue(InputQueue):
    """Shuffled, augmented batches; batch `i` depends only on (`seed`, `i`).

    Each epoch is a permutation of its own, without the remainder.

    Args:
      num_examples: examples in the split.
      batch_size: examples in a batch.
      seed: from `seed_integers`.
      make_batch: (indices, random generator) -> batch of NumPy arrays.
      place: moves a batch to the devices.

    Raises:
      ValueError: if `batch_size` is not between 1 and `num_examples`.
    """

    def __init__(
        self,
        num_examples: int,
        batch_size: int,
        seed: tuple[int, ...],
        make_batch: Callable[[np.ndarray, np.random.Generator], Batch],
        place: Callable[[Batch], Batch],
    ) -> None:
        super().__init__()
        if not 1 <= batch_size <= num_examples:
            raise ValueError(
                f"The training batch size must be between 1 and {num_examples}, the "
                f"number of training examples, got {batch_size!r}."
            )
        self._num_examples = num_examples
        self._batch_size = batch_size
        self._seed = seed
        self._make_batch = make_batch
        self._place = place
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def batch(self, i: int) -> Batch:
        """Batch number `i` of the run."""
        augmentation = self._generator(_AUGMENTATION, i)
        return self._place(self._make_batch(self.indices(i), augmentation))

    def indices(self, i: int) -> np.ndarray:
        """Which examples batch `i` holds, int64 of shape (batch_size,)."""
        epoch, row = divmod(i, self._num_examples // self._batch_size)
        if epoch != self._epoch:
            order = self._generator(_ORDER, epoch).permutation(self._num_examples)
            self._epoch, self._order = epoch, order
        return self._order[row * self._batch_size : (row + 1) * self._batch_size]

    def _generator(self, stream: int, number: int) -> np.random.Generator:
        sequence = np.random.SeedSequence(self._seed, spawn_key=(stream, number))
        return np.random.default_rng(sequence)


class EvalQueue(InputQueue):
    """The same batches in the same order, over and over; the last one padded.

    Every batch has 'weights'. Batches stay on the devices once they are made.

    Args:
      indices: the examples to evaluate on.
      batch_size: examples in a batch.
      make_batch: indices -> batch of NumPy arrays.
      place: moves a batch to the devices.

    Raises:
      ValueError: if `batch_size` is not positive.
    """

    def __init__(
        self,
        indices: np.ndarray,
        batch_size: int,
        make_batch: Callable[[np.ndarray], Batch],
        place: Callable[[Batch], Batch],
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"The batch size must be 1 or more, got {batch_size!r}.")
        self._indices = indices
        self._batch_size = batch_size
        self._make_batch = make_batch
        self._place = place
        self._made: dict[int, Batch] = {}

    def __len__(self) -> int:
        """Batches in one pass over the split."""
        return math.ceil(len(self._indices) / self._batch_size)

    def batch(self, i: int) -> Batch:
        """Batch number `i` modulo the length of a pass."""
        i %= len(self)
        if i not in self._made:
            rows = self._indices[i * self._batch_size : (i + 1) * self._batch_size]
            padded = pad(self._make_batch(rows), self._batch_size)
            self._made[i] = self._place(padded)
        return dict(self._made[i])

    def one_pass(self, num_examples: int) -> Iterator[Batch]:
        """The batches of `num_examples` from the start, whatever the position."""
        return map(self.batch, range(math.ceil(num_examples / self._batch_size)))
