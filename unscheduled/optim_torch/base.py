"""What the optimizers here share: checks, precision of the state, which gradients."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch

from .. import ranges
from .arithmetic import Tensors

LOW_PRECISION = (torch.bfloat16, torch.float16)
# The names of hyperparameters here, and the kinds of range that they have.
_KINDS = {"momentum": "interpolation"}


class CheckedOptimizer(torch.optim.Optimizer):
    """An optimizer that checks its groups and the state that it is given.

    All that it has is in `state`, as tensors and numbers under names, and in
    `param_groups`, with every hyperparameter: tools that save these two, such as
    torch.distributed.checkpoint, save it whole. The groups also have the optimizer's
    name, by which it knows the state of another.
    """

    # The range that betas[0] has.
    _beta1_kind = "b1"
    # Of the names that the constructor's hyperparameters have in the groups.
    _prefix = ""
    # What of the state counts steps: numbers, or tensors where only the device knows.
    _counters: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: Iterable[Any], given: dict[str, Any], **modes: bool):
        """Takes the parameters, and the constructor's `locals()`."""
        names = inspect.signature(type(self).__init__).parameters.keys()
        options = {n: given[n] for n in names if n not in ("self", "params")}
        options.update(modes, optimizer=type(self).__name__)
        super().__init__(params, options)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Takes a state that may be older than some of the hyperparameters."""
        super().__setstate__(state)
        for group in self.param_groups:
            group.update(self._completed(group))

    def _completed(self, group: dict[str, Any]) -> dict[str, Any]:
        ours = {n: v for n, v in self.defaults.items() if n != "differentiable"}
        return {**ours, **group}  # torch adds that to any optimizer's at a load

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        try:
            self._check_group(self.param_groups[-1])
        except ValueError:
            self.param_groups.pop()
            raise

    def _check_group(self, group: dict[str, Any]) -> None:
        """Raises a ValueError that names the first value outside its range."""
        for name, value in group.items():
            kind = _KINDS.get(name, name)
            if name == "betas":
                self._check_betas(value)
            elif ranges.has(kind):
                ranges.check(kind, _number(value, name), name)
        if group.get("fused") and group["foreach"] is not None:
            raise ValueError(
                f"fused=True goes without foreach, got foreach={group['foreach']}."
            )
        for p in group["params"]:
            if not (p.is_floating_point() or p.is_complex()):
                raise ValueError(
                    f"parameters must be floating point or complex, got {p.dtype}."
                )

    def _check_betas(self, betas: Any) -> None:
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ValueError(f"betas must be a pair of numbers, got {betas!r:.100}.")
        for index, kind in enumerate((self._beta1_kind, "b2")):
            name = f"betas[{index}]"
            ranges.check(kind, _number(betas[index], name), name)

    def state_dict(self) -> dict[str, Any]:
        """Like torch's, with counters as numbers, wherever they are."""
        saved = super().state_dict()
        states = {
            key: {n: self._saved(n, value) for n, value in state.items()}
            for key, state in saved["state"].items()
        }
        return {**saved, "state": states}

    def _saved(self, name: str, value: Any) -> Any:
        if name not in self._counters or not torch.is_tensor(value):
            return value
        return int(value) if name.endswith("step") else float(value)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Like torch's, but a state of float32 beside bfloat16 stays float32.

        A ValueError for the state of another optimizer, or if some of it is missing.
        """
        # A parameter without state comes from a flattened checkpoint as empty dicts.
        states = {
            key: {n: v for n, v in state.items() if not isinstance(v, dict) or v}
            for key, state in state_dict["state"].items()
        }
        groups = state_dict["param_groups"]
        for group in groups:
            ours, theirs = self.defaults["optimizer"], group.get("optimizer")
            if theirs != ours:
                theirs = theirs or "another optimizer"
                raise ValueError(f"the state must be of {ours}, got that of {theirs}.")
            for key in group["params"]:
                self._check_state(self._completed(group), states.get(key), key)
        super().load_state_dict({**state_dict, "state": states})
        saved, params = (
            [p for group in of_one for p in group["params"]]
            for of_one in (groups, self.param_groups)
        )
        for key, p in zip(saved, params, strict=True):
            for name, value in states.get(key, {}).items():
                if torch.is_tensor(value) and value.dtype != self.state[p][name].dtype:
                    self.state[p][name] = value.to(p.device, copy=True)

    def _check_state(self, group: dict[str, Any], state: Any, key: Any) -> None:
        """Raises a ValueError if a parameter's state lacks what a step will need."""
        missing = self._state_names(group, state) - state.keys() if state else None
        if missing:
            raise ValueError(
                f"the state of parameter {key!r} has no {sorted(missing)}: it is of "
                f"another optimizer or of one with other hyperparameters than "
                f"{self.defaults['optimizer']} has here."
            )

    def _state_names(self, group: dict[str, Any], state: dict[str, Any]) -> set[str]:
        """What the state of a parameter must have, with these hyperparameters."""
        raise NotImplementedError


def _number(value: Any, name: str) -> Any:
    """The value, or the rate in a tensor of one element, as schedulers may have it."""
    if not torch.is_tensor(value):
        return value
    if name == "lr" and value.numel() == 1:
        return value.item()
    raise ValueError(
        f"{name} must be a number (lr also a tensor of one element), got a tensor of "
        f"shape {tuple(value.shape)}."
    )


def can_skip(optimizer: Any) -> bool:
    """Whether it heeds `found_inf`: most of ours do, and torch's with fused=True."""
    of_torch = getattr(optimizer, "_step_supports_amp_scaling", False)
    return getattr(optimizer, "can_skip", of_torch)


# Runs as it is where torch.compile traces what calls it: for what changes from step to
# step, and would have torch compile anew.
untraced: Any = torch.compiler.disable


def run_closure(closure: Callable[[], Any] | None) -> Any:
    """The loss, with gradients, or None where there is no closure."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def require_dense(params: Tensors, optimizer: str) -> None:
    """Raises a RuntimeError where a gradient is sparse."""
    if any(p.grad.layout != torch.strided for p in params):  # type: ignore[union-attr]
        raise RuntimeError(
            f"{optimizer} does not take sparse gradients; use dense ones "
            "(torch.nn.Embedding(..., sparse=False)) or torch.optim.SparseAdam."
        )


def state_like(p: torch.Tensor) -> torch.Tensor:
    """A copy of p to accumulate in: float32 where p is bfloat16 or float16."""
    dtype = torch.float32 if p.dtype in LOW_PRECISION else p.dtype
    # A clone even where the dtype stays, in the layout that p has.
    return p.detach().to(dtype, memory_format=torch.preserve_format, copy=True)


def parts(tensors: Tensors) -> Tensors:
    """What elementwise operations need to see of tensors, which share their memory.

    Of a sharded tensor (DTensor) the part that this process has; a complex tensor is
    the pair of its real and imaginary parts.
    """
    return [_part(t) for t in tensors]


def gradient_parts(params: Tensors) -> Tensors:
    """The parts of the gradients that belong to the parts of the parameters."""
    return parts([_placed_like(p.grad, p) for p in params])


def _part(tensor: Any) -> torch.Tensor:
    if hasattr(tensor, "to_local"):
        tensor = tensor.to_local()
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def _placed_like(grad: Any, p: Any) -> Any:
    """A sharded gradient that is cut as its parameter is."""
    if hasattr(p, "placements") and grad.placements != p.placements:
        return grad.redistribute(placements=p.placements)
    return grad
