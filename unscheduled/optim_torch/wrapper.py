"""An optimizer around another one."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch

from .. import ranges
from .base import CheckedOptimizer


class OptimizerWrapper(CheckedOptimizer):
    """Shares the groups, the state and the defaults of the optimizer inside.

    They are the same objects: a scheduler or a GradScaler that is given the wrapper
    reaches the optimizer inside, and what saves the one saves both. The wrapper's
    hyperparameters have a prefix in the groups. It adds to the state of a parameter
    only after a step of the optimizer inside, which begins where there is no state yet.
    """

    optimizer: torch.optim.Optimizer
    # Its hyperparameters, and the kinds of range that they have.
    _kinds: ClassVar[dict[str, str]]

    def __init__(
        self, optimizer: torch.optim.Optimizer, given: dict[str, Any], **mode: bool
    ):
        """Takes the optimizer, and the constructor's `locals()`."""
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(
                f"optimizer must be a torch.optim.Optimizer, got {optimizer!r:.100}."
            )
        inside = optimizer.defaults.get("optimizer", type(optimizer).__name__)
        name = f"{type(self).__name__}({inside})"
        own = {self._prefix + option: given[option] for option in self._kinds}
        groups = [{**own, **mode, **group} for group in optimizer.param_groups]
        for group in (own, *groups):
            self._check_group(group)
        for ours, group in zip(groups, optimizer.param_groups, strict=True):
            if group.keys() & mode.keys():
                raise ValueError(
                    f"{name}: the optimizer inside switches modes as this one does "
                    f"({', '.join(mode)}); take what is inside it."
                )
            group.update(ours, optimizer=name)
        optimizer.defaults.update({**own, **mode, "optimizer": name})
        self.__setstate__({"optimizer": optimizer})

    def __getstate__(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Takes the optimizer inside, or a state that torch has loaded for it."""
        if "optimizer" not in state:
            self.optimizer.__setstate__(state)
            state = self.__getstate__()
        super().__setstate__(state)

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        return self.optimizer.param_groups

    @property
    def state(self) -> Any:  # type: ignore[override]
        return self.optimizer.state

    @property
    def defaults(self) -> dict[str, Any]:  # type: ignore[override]
        return self.optimizer.defaults

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        if isinstance(param_group, dict):  # else torch says what it is not
            self._check_group({**self.defaults, **param_group})
        self.optimizer.add_param_group(param_group)

    def _check_group(self, group: dict[str, Any]) -> None:
        """Checks the wrapper's own; the optimizer inside checks what it has."""
        for name, value in self._options(group).items():
            ranges.check(self._kinds[name], value, name)

    def _options(self, group: dict[str, Any]) -> dict[str, Any]:
        """The wrapper's hyperparameters in a group, by the constructor's names."""
        return {name: group[self._prefix + name] for name in self._kinds}

    def _state_names(self, group: dict[str, Any], state: dict[str, Any]) -> set[str]:
        if isinstance(self.optimizer, CheckedOptimizer):
            return self.optimizer._state_names(group, state)
        return set()

    def _saved(self, name: str, value: Any) -> Any:
        if isinstance(self.optimizer, CheckedOptimizer):
            value = self.optimizer._saved(name, value)
        return super()._saved(name, value)

    def _inside_step(self, closure: Callable[[], Any] | None) -> Any:
        # Some don't take an argument.
        return self.optimizer.step(*([] if closure is None else [closure]))
