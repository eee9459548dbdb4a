"""The updates of the optimizers, one body each for all the ways to run it.

A body takes lists of tensors, with `FOREACH`, or single tensors, with `SINGLE`, which
torch.compile is given: of lists it makes wrong steps on CUDA (torch 2.11). Its scalars
are Python numbers or, where a step must not wait for the device, tensors there: foreach
operations take a tensor as a factor only, which costs more passes over the memory.
"""

from types import SimpleNamespace
from typing import Any, NamedTuple

import torch

Tensors = list[torch.Tensor]
Scalar = float | torch.Tensor

_NAMES = ("mul", "mul_", "add_", "addcmul_", "addcdiv_", "div", "sqrt")
_NAMES += ("lerp", "lerp_", "copy_")
FOREACH: Any = SimpleNamespace(
    **{name: getattr(torch, f"_foreach_{name}") for name in _NAMES},
    like=lambda tensors, others: [
        t if t.dtype == other.dtype else t.to(other.dtype)
        for t, other in zip(tensors, others, strict=True)
    ],
)
SINGLE: Any = SimpleNamespace(
    **{name: getattr(torch.Tensor, name) for name in _NAMES},
    like=lambda tensor, other: tensor.to(other.dtype),
)


class ScheduleFreeScalars(NamedTuple):
    """Of v <- β2 v + (1 - β2) g², d = g / (sqrt(v) + ε) and

        z <- z + z_decay y + z_d d
        y <- y_y y + a z + y_d d, or
        x <- lerp(x, z, a), y <- lerp(x, z, to_z) where there is an x

    `divide` says whether d has its divisor: a bool, or 0 or 1, and then ε is 1 for 0.
    """

    beta2: Scalar
    one_minus_beta2: Scalar
    divide: Scalar
    eps: Scalar
    z_decay: Scalar
    z_d: Scalar
    y_y: Scalar
    a: Scalar
    y_d: Scalar
    to_z: Scalar


def schedule_free(op, ys, grads, zs, vs, xs, s: ScheduleFreeScalars) -> None:
    """The step of the Schedule-Free optimizers; SGD's has no vs."""
    grads, y_old = op.like(grads, zs), op.like(ys, zs)
    divisors = None
    if vs is not None:
        divisors = _second_moment(op, vs, grads, s)
    if divisors is not None and torch.is_tensor(s.z_d):
        grads, divisors = op.div(grads, divisors), None
    if not _is_zero(s.z_decay):
        _add(op, zs, y_old, s.z_decay)
    _add_quotient(op, zs, grads, divisors, s.z_d)
    if xs is not None:
        lerp_(op, xs, zs, s.a)
        # Not z + β1 (x - z), which for β1 = 1 is x to rounding only.
        op.copy_(ys, op.lerp(xs, zs, s.to_z))
        return
    if _is_zero(s.z_decay):
        lerp_(op, ys, zs, s.a)
    else:
        op.mul_(ys, s.y_y)
        _add(op, ys, zs, s.a)
    _add_quotient(op, ys, grads, divisors, s.y_d)


class MomentumScalars(NamedTuple):
    """Of m <- β1 m + (1 - β1) g, v as above and

    θ <- decay θ + (scale m + gradient_scale g) / (sqrt(v) + ε)
    """

    beta1: Scalar
    one_minus_beta1: Scalar
    beta2: Scalar
    one_minus_beta2: Scalar
    divide: Scalar
    eps: Scalar
    decay: Scalar
    scale: Scalar
    gradient_scale: Scalar = 0.0


def momentum(op, params, grads, ms, vs, s: MomentumScalars) -> None:
    """The step of RAdam and NAdamW."""
    grads = op.like(grads, ms)
    op.mul_(ms, s.beta1)
    _add(op, ms, grads, s.one_minus_beta1)
    divisors = _second_moment(op, vs, grads, s)
    if torch.is_tensor(s.decay) or s.decay != 1:
        op.mul_(params, s.decay)
    for tensors, scale in ((ms, s.scale), (grads, s.gradient_scale)):
        if not _is_zero(scale):
            _add_quotient(op, params, tensors, divisors, scale)


def _second_moment(op, vs, grads, s) -> Any:
    """Moves v; what a step divides by, or None."""
    op.mul_(vs, s.beta2)
    if torch.is_tensor(s.one_minus_beta2):
        _add(op, vs, op.mul(grads, grads), s.one_minus_beta2)
    else:
        op.addcmul_(vs, grads, grads, value=s.one_minus_beta2)
    if s.divide is False:
        return None
    divisors = op.sqrt(vs)
    if s.divide is not True:
        op.mul_(divisors, s.divide)
    if torch.is_tensor(s.eps):
        op.add_(divisors, other=s.eps)  # by its name: else it would be read
    else:
        op.add_(divisors, s.eps)
    return divisors


def _is_zero(scale: Scalar) -> bool:
    return not torch.is_tensor(scale) and scale == 0


def _add(op, targets, others, scale: Scalar) -> None:
    """target <- target + scale other."""
    if torch.is_tensor(scale):
        op.add_(targets, op.mul(others, scale))
    else:
        op.add_(targets, others, alpha=scale)


def _add_quotient(op, targets, numerators, divisors, scale: Scalar) -> None:
    """target <- target + scale numerator / divisor."""
    if divisors is None:
        _add(op, targets, numerators, scale)
    elif torch.is_tensor(scale):
        _add(op, targets, op.div(numerators, divisors), scale)
    else:
        op.addcdiv_(targets, numerators, divisors, value=scale)


def lerp_(op, targets, ends, weight: Scalar) -> None:
    """target <- (1 - weight) target + weight end."""
    if torch.is_tensor(weight):
        op.mul_(targets, 1 - weight)
        _add(op, targets, ends, weight)
    else:
        op.lerp_(targets, ends, weight)


def where(condition: Any, this: Scalar, that: Scalar) -> Any:
    """`this` or `that`, of Python numbers or of tensors."""
    if not torch.is_tensor(condition):
        return this if condition else that
    # A number is filled in: torch.where would copy it to the device, and wait.
    both = (x if torch.is_tensor(x) else _filled(x, condition) for x in (this, that))
    return torch.where(condition, *both)


def _filled(number: float, like: torch.Tensor) -> torch.Tensor:
    return torch.full((), number, dtype=torch.float64, device=like.device)


def normalization(beta2: float, eps: float, t: Any, divide: Any) -> tuple:
    """How to divide by sqrt(v̂) + ε, for a direction g: (whether to, ε', a factor).

    g / (sqrt(v / (1 - β2^t)) + ε) is root g / (sqrt(v) + ε root) with
    root = sqrt(1 - β2^t), which saves a pass over the memory.
    """
    root = (1 - beta2**t) ** 0.5
    return divide, where(divide, eps * root, 1.0), where(divide, root, 1.0)


def on_device(scalars: Any, dtype: torch.dtype) -> Any:
    """Those of the scalars that are tensors in this dtype, the others as they are."""
    tensors = [s.double() for s in scalars if torch.is_tensor(s)]
    converted = iter(torch.stack(tensors).to(dtype).unbind())
    return scalars._make(next(converted) if torch.is_tensor(s) else s for s in scalars)


def pack(scalars: Any, like: torch.Tensor) -> torch.Tensor:
    """Python numbers in one tensor, where and of the kind that another is.

    A GPU is not waited for: it copies them from pinned memory when it comes to it.
    """
    values, dtype = [float(s) for s in scalars], like.dtype.to_real()
    packed = torch.tensor(values, dtype=dtype, pin_memory=like.is_cuda)
    return packed.to(like.device, non_blocking=True)


def each(update: Any, kind: Any, rows: list[tuple], packed: torch.Tensor) -> None:
    """An update of the tensors in each row, with scalars that were packed.

    Nothing of it changes from step to step but numbers in tensors, so that
    torch.compile traces it once for all.
    """
    scalars = kind(*packed.unbind())
    for row in rows:
        update(SINGLE, *row, scalars)


def without_broken(grads: Tensors, taken: torch.Tensor) -> Tensors:
    """The gradients, or zeros where a step is not taken (0) because of NaN in them.

    NaN times zero is NaN, but its bits times zero are zero.
    """
    result: dict[int, torch.Tensor] = {}
    for dtype in {g.dtype for g in grads}:
        bits = getattr(torch, f"int{8 * dtype.itemsize}")
        places = [i for i, g in enumerate(grads) if g.dtype == dtype]
        viewed = [grads[i].view(bits) for i in places]
        kept = torch._foreach_mul(viewed, taken.to(bits))
        result.update(zip(places, (k.view(dtype) for k in kept), strict=True))
    return [result[i] for i in range(len(grads))]
