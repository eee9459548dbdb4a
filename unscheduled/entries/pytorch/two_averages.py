"""Schedule-Free AdamW that is evaluated at a short and at a long average in turns."""

from typing import Any

import torch

from ...optim_torch import arithmetic
from ...optim_torch.averaging import WEIGHT_SUM
from ...optim_torch.schedule_free import AdamWScheduleFree


class TwoAverages(AdamWScheduleFree):
    """AdamWScheduleFree, whose every second evaluation is at the average of all z.

    x, whose window `decoupling_c` shortens, follows the training sooner; the average of
    all z, which is x where nothing shortens it, has less noise. Which is nearer to the
    target depends on the workload, and training is the same for both:

        average <- (1 - c) average + c z   with c = w_t / Σ w_s

    While the model is at the average, the state keeps x in its place.
    """

    def _state_names(self, group: dict[str, Any], state: dict[str, Any]) -> set[str]:
        return super()._state_names(group, state) | {"average"}

    def _initialize(self, p: torch.Tensor, group: dict[str, Any]) -> dict[str, Any]:
        state = super()._initialize(p, group)
        return {**state, "average": state["z"].clone()}

    @torch.no_grad()
    def step(self, closure=None):
        before = {p: state[WEIGHT_SUM] for p, state in self.state.items()}
        loss = super().step(closure)
        steps: dict[Any, list[torch.Tensor]] = {}
        for p, state in self.state.items():
            # Those that step together share what they count.
            counted = before.get(p, 0.0), state[WEIGHT_SUM]
            steps.setdefault(tuple(map(_identity, counted)), []).append(p)
        for params in steps.values():
            old = before.get(params[0], 0.0)
            new = self.state[params[0]][WEIGHT_SUM]
            if torch.is_tensor(new) or new > old:
                averages = [self.state[p]["average"] for p in params]
                zs = [self.state[p]["z"] for p in params]
                weight = (new - old) / new
                if torch.is_tensor(weight):  # 0 / 0 while nothing was counted
                    weight = weight.nan_to_num().to(zs[0].dtype)
                arithmetic.lerp_(arithmetic.FOREACH, averages, zs, weight)
        return loss

    def eval(self) -> None:
        """Sets the parameters to x or to the average, in turns; once, until `train`."""
        is_new = any(group["train_mode"] for group in self.param_groups)
        super().eval()
        if not is_new:
            return
        for group in self.param_groups:
            group["evaluations"] = group.get("evaluations", 0) + 1
            if group["evaluations"] % 2 == 0:
                self._swap(group)

    def train(self) -> None:
        """Sets the parameters to y. Does nothing in training mode."""
        for group in self.param_groups:
            if not group["train_mode"] and group.get("evaluations", 0) % 2 == 0:
                self._swap(group)
        super().train()

    @torch.no_grad()
    def _swap(self, group: dict[str, Any]) -> None:
        for p in group["params"]:
            if "average" in self.state.get(p, {}):
                kept, average = p.clone(), self.state[p]["average"]
                p.copy_(average)
                average.copy_(kept)


def _identity(count: Any) -> Any:
    return id(count) if torch.is_tensor(count) else count
