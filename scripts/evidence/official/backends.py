"""What the check of one step does in each framework's own way."""

import importlib
import os
from copy import deepcopy
from typing import Any


class Jax:
    """Trees of jax arrays; compilations are shared through a cache in `folder`.

    Args:
      folder: of the cache.
      optimize: whether XLA optimizes; without, it compiles sooner to what runs slower.
    """

    def __init__(self, folder: str, optimize: bool):
        self._jax = importlib.import_module("jax")
        if not optimize:
            os.environ["XLA_FLAGS"] += " --xla_backend_optimization_level=0"
        # The official decoder is jitted anew for each split; this finds it again.
        self._jax.config.update("jax_compilation_cache_dir", f"{folder}/compiled")

    def copy(self, tree: Any) -> Any:
        """The same values in buffers of their own, which may be donated."""
        return self._jax.tree.map(lambda x: x.copy(), tree)

    def wait(self, params: Any) -> None:
        """Until the values are there."""
        self._jax.block_until_ready(params)

    def count_moved(self, before: Any, after: Any) -> tuple[int, int]:
        """(tensors that changed, all tensors)."""
        pairs = zip(
            self._jax.tree.leaves(before), self._jax.tree.leaves(after), strict=True
        )
        moved = [bool((a != b).any()) for a, b in pairs]
        return sum(moved), len(moved)

    def not_finite(self, trees: Any) -> list[str]:
        """Names of the tensors that hold a NaN or an infinity."""
        finite = self._jax.numpy.isfinite
        found = self._jax.tree_util.tree_leaves_with_path(trees)
        keystr = self._jax.tree_util.keystr
        return [keystr(name) for name, x in found if not bool(finite(x).all())]


class Torch:
    """Modules of torch, whose parameters are changed in place."""

    def __init__(self):
        self._torch = importlib.import_module("torch")

    def copy(self, tree: Any) -> Any:
        """A model of its own, and torch's random numbers from the start."""
        self._torch.manual_seed(0)
        return deepcopy(tree)

    def wait(self, params: Any) -> None:
        """Nothing: torch computes on the CPU as it is called."""

    def count_moved(self, before: Any, after: Any) -> tuple[int, int]:
        """(tensors that changed, all tensors)."""
        pairs = zip(before.parameters(), after.parameters(), strict=True)
        moved = [not self._torch.equal(a, b) for a, b in pairs]
        return sum(moved), len(moved)

    def not_finite(self, trees: Any) -> list[str]:
        """Names of the tensors that hold a NaN or an infinity."""
        found = trees[0].state_dict().items()
        return [name for name, x in found if not bool(self._torch.isfinite(x).all())]
