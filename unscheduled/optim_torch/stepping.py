"""The step that the optimizers here share, over the update that each has of its own."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch

from . import arithmetic, fused
from .arithmetic import FOREACH, Scalar, Tensors
from .base import (
    CheckedOptimizer,
    gradient_parts,
    parts,
    require_dense,
    run_closure,
    untraced,
)

# Elements of a part of the parameters that a CPU steps at a time, or another device.
_CHUNK = 2**18
_DEVICE_CHUNK = 2**26


class SteppingOptimizer(CheckedOptimizer):
    """Steps parameters that are at the same place of their sequences together.

    A parameter counts the steps in which it has a gradient, as if it were alone. Where
    `found_inf` is set, as torch's fused optimizers have it (0 or 1, on the device), a
    step is taken only if it is 0, and nothing waits for the device to say so: counters
    and scalars are tensors then, and it all comes to nothing for 1.
    """

    found_inf: torch.Tensor | None = None
    can_skip = True
    # An update of `arithmetic`, and what it takes of the state; some may be missing.
    _update: Callable[..., None]
    _tensors: ClassVar[tuple[str, ...]]
    # What else the place of a parameter in its sequences depends on.
    _fixed: ClassVar[tuple[str, ...]] = ()

    def _initialize(self, p: torch.Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """The state of a parameter before its first step."""
        raise NotImplementedError

    def _scalars(
        self, group: dict[str, Any], state: dict[str, Any], taken: Scalar
    ) -> tuple[dict[str, Scalar], Any]:
        """The counters after a step, and what the update takes.

        The state is that before the step, with the learning rate; `taken` is 1, or 0
        for a step that must change nothing.
        """
        raise NotImplementedError

    def _directions(
        self, group: dict[str, Any], params: Tensors, grads: Tensors, taken: Scalar
    ) -> Tensors:
        """What the update takes for gradients; `taken` as for `_scalars`."""
        return grads

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One step from the gradients in `p.grad`, which stay as they are.

        Args:
          closure: recomputes the loss and its gradients, and returns the loss.

        Raises:
          RuntimeError: on a sparse gradient.
        """
        loss = run_closure(closure)
        for arguments in self._advance(torch.compiler.is_compiling()):
            arithmetic.each(*arguments)
        return loss

    @untraced
    def _advance(self, traced: bool) -> list[tuple]:
        """Takes the step, or returns what is left of it for torch.compile to trace."""
        left = []
        taken = None if self.found_inf is None else 1 - self.found_inf.double()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            require_dense(params, type(self).__name__)
            for p in params:
                if self._tensors[0] not in self.state[p]:
                    self.state[p].update(self._initialize(p, group))
            for bucket in self._buckets(params, taken):
                left += self._step_bucket(group, bucket, taken, traced)
        return left

    def _buckets(self, params: Tensors, taken: Scalar | None) -> list[Tensors]:
        found: dict[tuple, Tensors] = {}
        # Where none is read: those that are together share their counters.
        identify = torch.Tensor.item if taken is None else id
        for p in params:
            state = self.state[p]
            place = [state[name] for name in (*self._counters, *self._fixed)]
            place = [identify(c) if torch.is_tensor(c) else c for c in place]
            has = [name in state for name in self._tensors]
            found.setdefault((*place, *has, p.dtype, p.device), []).append(p)
        return list(found.values())

    def _step_bucket(
        self,
        group: dict[str, Any],
        params: Tensors,
        taken: torch.Tensor | None,
        traced: bool,
    ) -> list[tuple]:
        first = self.state[params[0]]
        before = {**first, "lr": group["lr"]}
        for name in (*self._counters, "lr"):  # numbers, or tensors on the device
            before[name] = _placed(before[name], taken)
        share = 1 if taken is None else taken
        counters, scalars = self._scalars(group, before, share)
        for p in params:
            self.state[p].update(counters)
        state_like = first[self._tensors[0]]
        if traced and taken is None:
            missing = [None] * len(params)
            lists = self._lists(params)
            lists[1] = self._directions(group, params, lists[1], share)
            columns = [column or missing for column in lists]
            rows = list(zip(*columns, strict=True))
            packed = arithmetic.pack(scalars, state_like)
            return [(type(self)._update, type(scalars), rows, packed)]
        if taken is not None:
            scalars = arithmetic.on_device(scalars, state_like.dtype.to_real())
        elif group.get("fused") and scalars.divide is True and params[0].is_cpu:
            params = fused.step(self, params, scalars)
        for chunk in _chunks(params, group["foreach"]):
            lists = self._lists(chunk)
            if taken is not None:
                lists[1] = arithmetic.without_broken(lists[1], taken)
            lists[1] = self._directions(group, chunk, lists[1], share)
            type(self)._update(FOREACH, *lists, scalars)
        return []

    def _lists(self, params: Tensors) -> list[Any]:
        """What an update takes: parameters, gradients and state; None where missing."""
        lists: list[Any] = [parts(params), gradient_parts(params)]
        states = [self.state[p] for p in params]
        for name in self._tensors:
            lists.append(
                parts([s[name] for s in states]) if name in states[0] else None
            )
        return lists


def _placed(value: Scalar, taken: torch.Tensor | None) -> Scalar:
    if taken is None:
        return value.item() if torch.is_tensor(value) else value
    return value if torch.is_tensor(value) else taken.new_full((), value)


def _chunks(params: Tensors, foreach: bool | None) -> Iterator[Tensors]:
    """Parts of a list that stay in a CPU's cache from operation to operation.

    They keep the temporaries small too. On a GPU every call has its price: most models
    are one part there. Without foreach, each parameter alone.
    """
    chunk: Tensors = []
    size = 0
    for p in params:
        limit = _CHUNK if p.device.type == "cpu" else _DEVICE_CHUNK
        if chunk and (size + p.numel() > limit or foreach is False):
            yield chunk
            chunk, size = [], 0
        chunk.append(p)
        size += p.numel()
    if chunk:
        yield chunk
