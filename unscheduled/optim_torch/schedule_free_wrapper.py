"""Schedule-Free around any optimizer of PyTorch's."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch

from .averaging import (
    BETA1,
    advance,
    require_training,
    require_x,
    sequence_names,
    set_from_x,
    start_sequences,
    switch_groups,
)
from .base import run_closure, untraced
from .wrapper import OptimizerWrapper


class ScheduleFreeWrapper(OptimizerWrapper):
    r"""Any optimizer without a schedule: it steps z, from the gradient at y.

    In training mode the parameters hold y, in evaluation mode x; the state holds z
    beside the state of the optimizer inside. With γ_t its present rate, which a
    scheduler may warm up, w_t = t^r (max γ_s)^p and c = w_t / Σ w_s, a step is

        z <- base(z - γ_t λ y, g)
        x <- (1 - c) x + c z
        y <- (1 - β) z + β x

    Args:
      optimizer: the base step, preferably without momentum (averaging takes its
        place): any torch.optim.Optimizer that can step without a closure.
      momentum: β in [0, 1], the interpolation between z (0, Polyak-Ruppert averaging)
        and x (1, primal averaging).
      weight_decay_at_y: λ, at least 0; the optimizer's own decay is taken at z.
      r, weight_lr_power, decoupling_c: as `AdamWScheduleFree` has them.

    In the groups these are `schedule_free_momentum` and so on; β must not become 0.

    Raises:
      TypeError: if `optimizer` is not an optimizer.
      ValueError: for a value outside its range.
      RuntimeError: if `step` is called in evaluation mode.

    Example:
      >>> model = torch.nn.Linear(2, 1)
      >>> base = torch.optim.RMSprop(model.parameters(), lr=0.001)
      >>> optimizer = ScheduleFreeWrapper(base, momentum=0.9)
      >>> model(torch.ones(4, 2)).sum().backward()
      >>> optimizer.step()
      >>> optimizer.eval()  # the model now holds x: evaluate, save
      >>> optimizer.train()  # back to y

    Source: Defazio et al., arXiv 2405.15682, equations (3) to (5); C: Song et al.,
    arXiv 2507.09846.
    """

    _prefix = "schedule_free_"
    _kinds: ClassVar = {
        "momentum": "interpolation",
        "weight_decay_at_y": "weight_decay",
        "r": "r",
        "weight_lr_power": "weight_lr_power",
        "decoupling_c": "decoupling_c",
    }

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        momentum: float = 0.9,
        weight_decay_at_y: float = 0.0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        decoupling_c: float | None = None,
    ):
        if isinstance(optimizer, torch.optim.LBFGS):
            raise ValueError("LBFGS can't step without a closure, as it would at z.")
        super().__init__(optimizer, locals(), train_mode=True)

    def train(self) -> None:
        """Sets the parameters to y, for training. Does nothing in training mode."""
        switch_groups(self, train_mode=True)

    def eval(self) -> None:
        """Sets the parameters to x, to evaluate or save. Does nothing at x."""
        switch_groups(self, train_mode=False)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One step from the gradients in `p.grad`, taken at y.

        Args:
          closure: recomputes the loss and its gradients at y, and returns the loss.

        Raises:
          RuntimeError: in evaluation mode.
        """
        require_training(self)
        loss = run_closure(closure)
        moved = self._set_to_z()
        self._inside_step(None)
        self._set_to_y(moved)
        return loss

    @untraced
    @torch.no_grad()
    def _set_to_z(self) -> list[tuple]:
        """Parameters: y to z, decayed. Where the state keeps no x, its z is now x.

        Returns each, with its sequences, its rate and the wrapper's hyperparameters.
        """
        moved = []
        for group in self.param_groups:
            options, rate = self._options(group), float(group["lr"])
            decay = rate * options["weight_decay_at_y"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state.get(p, {})
                if "z" not in state:
                    # Not yet to be seen by the optimizer inside.
                    state = start_sequences(p, options["momentum"])
                require_x(state, options["momentum"])
                _to_z(p, state, decay)
                moved.append((p, state, rate, options))
        return moved

    @untraced
    @torch.no_grad()
    def _set_to_y(self, moved: list[tuple]) -> None:
        """Parameters: the new z to the new y."""
        for p, state, rate, options in moved:
            _to_y(p, state, rate, options)
            self.state[p].update(state)

    def _state_names(self, group: dict[str, Any], state: dict[str, Any]) -> set[str]:
        names = sequence_names(self._options(group)["momentum"])
        return names | super()._state_names(group, state)


def _to_z(p: torch.Tensor, state: dict[str, Any], decay: float) -> None:
    z = state["z"]
    z.sub_(p, alpha=decay)
    if "x" in state:
        p.copy_(z)
        return
    # x = y + (1 - 1 / β) (z - y), with the z that there was before the decay.
    y = p.clone(memory_format=torch.preserve_format)
    p.copy_(z)
    z.add_(y, alpha=decay)
    torch.lerp(y, z, 1 - 1 / state[BETA1], out=z)


def _to_y(
    p: torch.Tensor, state: dict[str, Any], rate: float, options: dict[str, Any]
) -> None:
    beta1 = options["momentum"]
    counters, c = advance(state, rate, beta1, options)
    state.update(counters)
    if "x" in state:
        # What the step changed, so that z keeps the precision it has over p.
        z = state["z"]
        z.add_(p.to(z.dtype) - z.to(p.dtype).to(z.dtype))
        state["x"].lerp_(z, c)
        set_from_x(p, state, beta1)
        return
    # state["z"] is x, and p is z: x moves, then they change places.
    x = state["z"].lerp_(p, c)
    y = torch.lerp(p, x, beta1)
    x.copy_(p)
    p.copy_(y)
