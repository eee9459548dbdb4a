"""Endless, deterministic, seekable queues of batches, for either framework.

A batch is a dict of NumPy arrays until `place` moves it to the devices.
"""

import abc
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from unscheduled import spec

Batch = dict[str, Any]
_ORDER, _AUGMENTATION = 0, 1  # two independent streams of one seed


def seed_integers(rng: spec.RandomState) -> tuple[int, ...]:
    """The integers in a random state: NumPy's integers, or a jax key of any kind."""
    if not isinstance(rng, np.ndarray | list | tuple):
        import jax  # only a jax key gets here

        if jax.numpy.issubdtype(rng.dtype, jax.dtypes.prng_key):
            rng = jax.random.key_data(rng)
    return tuple(int(value) for value in np.ravel(np.asarray(rng)))


def map_arrays(f: Callable[[np.ndarray], Any], tree: Any) -> Any:
    """f of each array in dicts and tuples."""
    if isinstance(tree, dict):
        return {name: map_arrays(f, value) for name, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple(map_arrays(f, value) for value in tree)
    return f(tree)


def pad(batch: Batch, length: int, batch_size: int) -> Batch:
    """Pads `length` examples with zeros; 'weights', 1 where not given, are 0 there."""
    batch = {"weights": np.ones(length, np.float32), **batch}
    rows = (0, batch_size - length)
    return map_arrays(lambda a: np.pad(a, [rows] + [(0, 0)] * (a.ndim - 1)), batch)


class InputQueue(Iterator[Batch]):
    """An endless iterator whose batch `i` can be had without those before it."""

    _position = 0

    @abc.abstractmethod
    def batch(self, i: int) -> Batch:
        """Batch number `i`, whatever the position; the same each time."""

    def __next__(self) -> Batch:
        batch = self.batch(self._position)
        self._position += 1
        return batch

    def skip(self, n: int) -> None:
        """Moves `n` batches on at no cost."""
        self._position += n


@dataclasses.dataclass(eq=False)
class TrainQueue(InputQueue):
    """Shuffled, augmented batches; batch `i` depends only on (`seed`, `i`).

    Each epoch is a permutation of its own, without the remainder.
    """

    num_examples: int
    batch_size: int
    seed: tuple[int, ...]
    make_batch: Callable[[np.ndarray, np.random.Generator], Batch]
    place: Callable[[Batch], Batch]
    _epoch = -1
    _order = np.empty(0, np.int64)

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= self.num_examples:
            raise ValueError(
                f"The training batch size must be between 1 and {self.num_examples}, "
                f"the number of training examples, got {self.batch_size!r}."
            )

    def batch(self, i: int) -> Batch:
        augmentation = self._generator(_AUGMENTATION, i)
        return self.place(self.make_batch(self.indices(i), augmentation))

    def indices(self, i: int) -> np.ndarray:
        """Which examples batch `i` holds, int64 of shape (batch_size,)."""
        epoch, row = divmod(i, self.num_examples // self.batch_size)
        if epoch != self._epoch:
            order = self._generator(_ORDER, epoch).permutation(self.num_examples)
            self._epoch, self._order = epoch, order
        return self._order[row * self.batch_size : (row + 1) * self.batch_size]

    def _generator(self, stream: int, number: int) -> np.random.Generator:
        sequence = np.random.SeedSequence(self.seed, spawn_key=(stream, number))
        return np.random.default_rng(sequence)


@dataclasses.dataclass(eq=False)
class EvalQueue(InputQueue):
    """The same batches in the same order, over and over; the last one padded.

    Every batch has 'weights'. Batches stay on the devices once they are made.
    """

    indices: np.ndarray
    batch_size: int
    make_batch: Callable[[np.ndarray], Batch]
    place: Callable[[Batch], Batch]
    _made: dict[int, Batch] = dataclasses.field(default_factory=dict)

    def batch(self, i: int) -> Batch:
        i %= math.ceil(len(self.indices) / self.batch_size)
        if i not in self._made:
            rows = self.indices[i * self.batch_size : (i + 1) * self.batch_size]
            padded = pad(self.make_batch(rows), len(rows), self.batch_size)
            self._made[i] = self.place(padded)
        return dict(self._made[i])

    def one_pass(self, num_examples: int) -> Iterator[Batch]:
        """The batches of `num_examples` from the start, whatever the position."""
        return map(self.batch, range(math.ceil(num_examples / self.batch_size)))
