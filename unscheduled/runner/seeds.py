"""Seeds, keys and generators: all that is random in a run."""

import os
import random
from typing import Any

import numpy as np


class NumpyRandom:
    """PyTorch's keys: two integers below 2**31, by NumPy's SeedSequence."""

    def key(self, seed: int) -> np.ndarray:
        return self._generate([seed], 1)[0]

    def split(self, key: np.ndarray, num: int) -> np.ndarray:
        return self._generate([*key.tolist(), num, 0], num)

    def fold_in(self, key: np.ndarray, data: int) -> np.ndarray:
        return self._generate([*key.tolist(), data, 1], 1)[0]

    def _generate(self, entropy: list[int], num: int) -> np.ndarray:
        words = np.random.SeedSequence(entropy).generate_state(2 * num, np.uint32)
        return (words >> 1).astype(np.int64).reshape(num, 2)


def trial_seed(rng_seed: int | None, trial_index: int) -> int:
    """The seed of one trial, below 2**31, by the run's or else the hardware's."""
    if rng_seed is None:
        rng_seed = int.from_bytes(os.urandom(4), "little") >> 1
    words = np.random.SeedSequence([rng_seed, trial_index]).generate_state(1)
    return int(words[0]) >> 1


def seed_global_generators(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)


def global_generator_states() -> dict[str, Any]:
    """What `restore_global_generators` takes, as JSON values."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, [int(k) for k in keys], position, has_gauss, cached],
    }


def restore_global_generators(states: dict[str, Any]) -> None:
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), position, has_gauss, cached))
