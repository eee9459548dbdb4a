"""One pass over the memory a step: the updates compiled by torch.compile.

An update reads and writes seven numbers a parameter (28 bytes in float32). Done by
foreach operations it moves three times as many, each operation a pass of its own;
compiled, it is one loop. On a CPU it is compiled once, for a few vectors of any length,
and called for so many parameters at a time: fewer calls cost less, but more vectors
take longer to compile. On a GPU, where a call costs more than most tensors do, one
call takes all parameters of a group, and is compiled anew for other shapes.
"""

import warnings
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch

from .base import (
    LOW_PRECISION,
    Moments,
    Tensors,
    gradient_parts,
    is_plain,
    parts,
    require_fusible,
)

# Parameters that a call takes on a CPU.
BATCH = 8

# What was made of a parameter: its address, its state, and both as vectors.
Cache = dict[torch.Tensor, tuple[int, Tensors, list[torch.Tensor | None]]]
# Of (parameters, state, state, gradients, scalars).
Kernel = Callable[..., None]
# By kernel, device and dtype; None where compiling failed.
_compiled: dict[tuple[str, torch.device, torch.dtype], Kernel | None] = {}


class MomentumStep(NamedTuple):
    """The scalars of an RAdam step: θ <- decay θ + scale m / (...)."""

    beta1: float
    decay: float
    scale: float
    sign: float


def schedule_free(
    params: Tensors, state: Any, step: Any, moments: Moments, cache: Cache
) -> Tensors:
    """The Schedule-Free AdamW step; gives back the parameters it left alone."""
    scalars = schedule_free_scalars(step, moments, adaptive=True, has_x=False)
    kernel = schedule_free_kernel
    return _run(kernel, params, state, ("z", "exp_avg_sq"), scalars, cache)


def schedule_free_scalars(
    step: Any, moments: Moments | None, adaptive: bool, has_x: bool
) -> list[float]:
    """What `schedule_free_kernel` takes."""
    scale, *normalization = _normalization(moments, adaptive)
    a, k = (step.c, 1 - step.next_beta1) if has_x else step.to_y()
    scale *= step.sign
    return [*normalization, scale, step.weight_decay, step.rate, a, 1 - a, k]


def radam(
    params: Tensors, state: Any, step: MomentumStep, moments: Moments, cache: Cache
) -> Tensors:
    """The rectified RAdam step; gives back the parameters it left alone."""
    scalars = radam_scalars(step, moments, adaptive=True)
    return _run(radam_kernel, params, state, ("exp_avg", "exp_avg_sq"), scalars, cache)


def radam_scalars(step: MomentumStep, moments: Moments, adaptive: bool) -> list[float]:
    """What `radam_kernel` takes."""
    scale, *normalization = _normalization(moments, adaptive)
    momentum = [step.beta1, step.sign * (1 - step.beta1)]
    return [*normalization, *momentum, step.decay, step.scale * scale]


def _normalization(moments: Moments | None, adaptive: bool) -> list[float]:
    """The factor, β2, 1 - β2, s and ε of v <- β2 v + (1 - β2) g², 1 / (s sqrt(v) + ε).

    Where a step is not adaptive, s = 0 and ε = 1, so that one kernel does for both.
    """
    if moments is None:
        return [1.0] * 5
    beta2, eps, root = moments
    rest = [root, beta2, 1 - beta2, 1.0, eps * root]
    return rest if adaptive else [1.0, beta2, 1 - beta2, 0.0, 1.0]


def schedule_free_kernel(ys, zs, vs, grads, scalars, xs=()):
    """The step of `AdamWScheduleFree`; of SGD without vs; of y from x where there is x.

    Its operations are on lists and its scalars in a tensor, so that torch.compile
    traces it once for all steps.
    """
    b2, one_minus_b2, s, eps, scale, decay, rate, a, one_minus_a, k = _repeat(
        scalars, ys
    )
    grads, y_old = _like(grads, zs), _like(ys, zs)
    d = _mul(scale, grads)
    v_new = []
    if vs:
        squares = _mul(one_minus_b2, _mul(grads, grads))
        v_new = _add(_mul(b2, vs), squares)
        d = _div(d, _add(_mul(s, torch._foreach_sqrt(v_new)), eps))
    d = _add(d, _mul(decay, y_old))
    z_new = torch._foreach_sub(zs, _mul(rate, d))
    if xs:
        x_new = _add(_mul(one_minus_a, xs), _mul(a, z_new))
        y_new = _add(x_new, _mul(k, torch._foreach_sub(z_new, x_new)))
        torch._foreach_copy_(xs, x_new)
    else:
        y_new = _add(_add(_mul(one_minus_a, y_old), _mul(a, z_new)), _mul(k, d))
    if vs:
        torch._foreach_copy_(vs, v_new)
    torch._foreach_copy_(zs, z_new)
    torch._foreach_copy_(ys, y_new)


def radam_kernel(params, ms, vs, grads, scalars):
    """The step of `RAdam`, traced as `schedule_free_kernel` is."""
    b2, one_minus_b2, s, eps, b1, signed_one_minus_b1, decay, scale = _repeat(
        scalars, params
    )
    grads, p_old = _like(grads, ms), _like(params, ms)
    m_new = _add(_mul(b1, ms), _mul(signed_one_minus_b1, grads))
    squares = _mul(one_minus_b2, _mul(grads, grads))
    v_new = _add(_mul(b2, vs), squares)
    divisors = _add(_mul(s, torch._foreach_sqrt(v_new)), eps)
    p_new = _add(_mul(decay, p_old), _div(_mul(scale, m_new), divisors))
    torch._foreach_copy_(ms, m_new)
    torch._foreach_copy_(vs, v_new)
    torch._foreach_copy_(params, p_new)


def pack(scalars: list[float], like: torch.Tensor) -> torch.Tensor:
    """The scalars of a kernel, where and of the kind that a tensor is."""
    return torch.tensor(scalars, dtype=like.dtype.to_real(), device=like.device)


def _like(tensors: Tensors, others: Tensors) -> Tensors:
    """In the precision of others."""
    return [t.to(other.dtype) for t, other in zip(tensors, others, strict=True)]


# Operations on lists, which a compiler for GPUs fuses across the tensors.
_mul, _add, _div = torch._foreach_mul, torch._foreach_add, torch._foreach_div


def _repeat(scalars: torch.Tensor, tensors: Tensors) -> list[Tensors]:
    """Each scalar as a list of as many as there are tensors."""
    return [[scalar] * len(tensors) for scalar in scalars.unbind()]


def _run(
    kernel: Kernel,
    params: Tensors,
    state: Any,
    names: tuple[str, str],
    scalars: list[float],
    cache: Cache,
) -> Tensors:
    """Steps the parameters that a compiled kernel takes; gives back the others."""
    if params[0].dtype in LOW_PRECISION:  # their state is of another dtype
        return params
    packed = pack(scalars, params[0])
    device, dtype = packed.device, packed.dtype
    require_fusible(device)  # the parameters may have moved
    compiled = _compile(kernel, packed)
    if compiled is None:
        return params
    rest, taken = [], []
    for p, grad in zip(params, gradient_parts(params), strict=True):
        vectors = _vectors(cache, p, [state[p][name] for name in names], grad)
        if vectors is None:
            rest.append(p)
        else:
            taken.append(vectors)
    for batch in _batches(taken, device, dtype):
        compiled(*map(list, zip(*batch, strict=True)), packed)
    return rest


def _batches(
    taken: list[Tensors], device: torch.device, dtype: torch.dtype
) -> Iterable[list[Tensors]]:
    """What each call takes; on a CPU the last batch is filled up with idle vectors."""
    if device.type != "cpu":
        return [taken] if taken else []
    batches = [taken[i : i + BATCH] for i in range(0, len(taken), BATCH)]
    if batches and len(batches[-1]) < BATCH:
        batches[-1] = batches[-1] + _idle(64, device, dtype)[len(batches[-1]) :]
    return batches


def _idle(length: int, device: torch.device, dtype: torch.dtype) -> list[Tensors]:
    """A batch of ones to no purpose. Lengths differ: equal ones would be taken by the
    compiler for equal always.
    """
    lengths = range(length, length + BATCH)
    return [
        [torch.ones(n, dtype=dtype, device=device) for _ in range(4)] for n in lengths
    ]


def _vectors(
    cache: Cache, p: torch.Tensor, state: Tensors, grad: torch.Tensor
) -> Tensors | None:
    """Parameter, state and gradient as vectors; None where that is impossible.

    All but the gradient are found again where they are the same as before.
    """
    part = p if is_plain(p) else parts([p])[0]
    address = part.data_ptr()
    held = cache.get(p)
    if held is None or held[0] != address or not _same(held[1], state):
        held = (address, state, [_flat(t, part) for t in (part, *parts(state))])
        cache[p] = held
    y, first, second = held[2]
    flat_grad = _flat(grad, part)
    if y is None or first is None or second is None or flat_grad is None:
        return None
    return [y, first, second, flat_grad]


def _same(ours: Tensors, theirs: Tensors) -> bool:
    """Whether two pairs are of the same tensors."""
    return ours[0] is theirs[0] and ours[1] is theirs[1]


def _flat(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor | None:
    """A vector on the same memory; None where it is not laid out as `like` is."""
    if tensor.dtype != like.dtype or tensor.stride() != like.stride():
        return None
    # A compiler takes a length of 0 or 1 for a case of its own.
    if tensor.numel() < 2:
        return None
    # detach(), because the compiler would look at the shapes of what is viewed.
    if tensor.is_contiguous():
        return tensor.view(-1).detach()
    span = 1 + sum(
        (n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True)
    )
    return tensor.as_strided((span,), (1,)).detach() if span == tensor.numel() else None


def _compile(kernel: Kernel, scalars: torch.Tensor) -> Kernel | None:
    """The compiled kernel, tried out; None, after a warning, where that fails."""
    device, dtype = scalars.device, scalars.dtype
    key = (kernel.__name__, device, dtype)
    if key not in _compiled:
        # Sizes were asserted before: they are what `_flat` made them.
        compiled = torch.compile(
            kernel, dynamic=device.type == "cpu", options={"size_asserts": False}
        )
        try:
            batch = _idle(2**14, device, dtype)
            compiled(*map(list, zip(*batch, strict=True)), scalars)
        except Exception as error:  # whatever compilers and their absence raise
            warnings.warn(
                f"fused=True needs a working torch.compile, which failed here with "
                f"{type(error).__name__}: {str(error).splitlines()[0]}; using foreach.",
                RuntimeWarning,
                stacklevel=2,
            )
            compiled = None
        _compiled[key] = compiled
    return _compiled[key]
