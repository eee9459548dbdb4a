"""Schedule-Free over Muon's step for matrices, and over AdamW's for the rest."""

from collections.abc import Iterable
from typing import Any

import torch

from .arithmetic import FOREACH, Scalar, Tensors, lerp_
from .averaging import ScheduleFreeOptimizer, start_sequences
from .base import parts

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_EPS = 1e-7  # added to the norm
_SIZE = 0.2  # times the root of the longer side, for entries as large as AdamW's steps


class MuonScheduleFree(ScheduleFreeOptimizer):
    r"""Muon without a learning-rate schedule, for matrices; AdamW for the rest.

    `AdamWScheduleFree`, but that for matrices (of two axes) d is about the
    nearest orthogonal matrix to a moving average of the gradient, so that all singular
    values are about one, and a step of AdamW's size:

        m <- μ m + (1 - μ) g
        X  = m / (|m| + 1e-7), five times X <- 3.4445 X + (-4.775 A + 2.0315 A²) X
             with A = X Xᵀ
        d  = 0.2 sqrt(max(rows, columns)) X + λ y

    In the state m is in the place of v: memory is AdamW's.

    Args:
      muon_momentum: μ in [0, 1).
      use_muon: False for AdamW's step for matrices too, in groups with embeddings and
        output layers.
      others: as `AdamWScheduleFree` has them.

    Raises:
      ValueError: for a value outside its range, or a matrix that is sharded (DTensor).
      RuntimeError: if `step` is called in evaluation mode, or on a sparse gradient.

    Example:
      >>> import torch
      >>> model = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Linear(8, 1))
      >>> head = {"params": model[1].parameters(), "use_muon": False}
      >>> optimizer = MuonScheduleFree([{"params": model[0].parameters()}, head])
      >>> model(torch.ones(4, 2)).sum().backward()
      >>> optimizer.step()
      >>> optimizer.eval()  # the model now holds x: evaluate, save
      >>> optimizer.train()  # back to y

    Source: Jordan et al., "Muon", 2024, https://kellerjordan.github.io/posts/muon; its
    size: Liu et al., arXiv 2502.16982; Defazio et al., arXiv 2405.15682, Algorithm 1.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.0025,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        muon_momentum: float = 0.9,
        use_muon: bool = True,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        decoupling_c: float | None = None,
        foreach: bool | None = None,
        maximize: bool = False,
    ):
        super().__init__(params, locals(), train_mode=True)

    def _check_group(self, group: dict[str, Any]) -> None:
        super()._check_group(group)
        matrices = [p for p in group["params"] if p.dim() == 2 and group["use_muon"]]
        if any(hasattr(p, "to_local") for p in matrices):
            raise ValueError("Muon needs whole matrices, got a sharded one (DTensor).")

    def _initialize(self, p: torch.Tensor, group: dict[str, Any]) -> dict[str, Any]:
        if p.dim() != 2 or not group["use_muon"]:
            return super()._initialize(p, group)
        state = start_sequences(p, group["betas"][0])
        return {**state, "momentum_buffer": torch.zeros_like(state["z"])}

    def _state_names(self, group: dict[str, Any], state: dict[str, Any]) -> set[str]:
        names = super()._state_names(group, state)
        if "momentum_buffer" in state:
            return names - {"exp_avg_sq"} | {"momentum_buffer"}
        return names

    def _directions(
        self, group: dict[str, Any], params: Tensors, grads: Tensors, taken: Scalar
    ) -> Tensors:
        if "momentum_buffer" not in self.state[params[0]]:
            return grads
        averages = parts([self.state[p]["momentum_buffer"] for p in params])
        weight = (1 - group["muon_momentum"]) * taken
        lerp_(FOREACH, averages, FOREACH.like(grads, averages), weight)
        return orthogonalized(averages)


def orthogonalized(matrices: Tensors) -> Tensors:
    """What d is made of, for each matrix; those of one shape together."""
    result: dict[int, torch.Tensor] = {}
    for shape in {m.shape for m in matrices}:
        places = [i for i, m in enumerate(matrices) if m.shape == shape]
        x = torch.stack([matrices[i] for i in places])
        is_complex = x.dim() == 4  # real and imaginary parts last
        x = _orthogonalized(x.movedim(-1, 1) if is_complex else x)
        x = x.movedim(1, -1) if is_complex else x
        result.update(zip(places, x.unbind(), strict=True))
    return [result[i] for i in range(len(matrices))]


def _orthogonalized(x: torch.Tensor) -> torch.Tensor:
    """Of matrices in one tensor (n, rows, columns), or (n, 2, rows, columns)."""
    rows, columns = x.shape[-2:]
    size = _SIZE * max(rows, columns) ** 0.5
    is_tall = rows > columns
    x = x.mT if is_tall else x  # so that X Xᵀ is the smaller product
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + _EPS)
    a, b, c = _NEWTON_SCHULZ
    for _ in range(_ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return size * (x.mT if is_tall else x)
