"""One pass over the memory a step: the updates compiled by torch.compile.

An update reads and writes seven numbers a parameter (28 bytes in float32). Done by
foreach operations it moves three times as many, each operation a pass of its own;
compiled, it is one loop. It is compiled once, for a few vectors of any length, and
called for so many parameters at a time: fewer calls cost less, but more vectors take
longer to compile. It is for CPUs: on an H100 it was right, and 37 times slower than
foreach operations (ResNet-50's parameters, torch 2.11).
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch

from . import arithmetic
from .arithmetic import Tensors
from .base import LOW_PRECISION, gradient_parts, parts

# Parameters that a call takes.
BATCH = 8

# Of (parameters, gradients, state, state, scalars).
Kernel = Callable[..., None]
# By update, device and dtype; None where compiling failed.
_compiled: dict[tuple[str, torch.device, torch.dtype], Kernel | None] = {}


def step(optimizer: Any, params: Tensors, scalars: Any) -> Tensors:
    """Steps the parameters that a compiled update takes; gives back the others."""
    states = [optimizer.state[p] for p in params]
    names = [name for name in optimizer._tensors if name in states[0]]
    # The state of low precision is of another dtype, and beside x there are three.
    if params[0].dtype in LOW_PRECISION or len(names) != 2:
        return params
    packed = arithmetic.pack(scalars, params[0])
    compiled = _compile(optimizer, type(scalars), packed)
    if compiled is None:
        return params
    tensors = [params, *([state[name] for state in states] for name in names)]
    ps, firsts, seconds = map(parts, tensors)
    rest, taken = [], []
    rows = zip(params, ps, gradient_parts(params), firsts, seconds, strict=True)
    for parameter, p, *others in rows:
        vectors = [_flat(tensor, p) for tensor in (p, *others)]
        if any(vector is None for vector in vectors):
            rest.append(parameter)
        else:
            taken.append(vectors)
    for start in range(0, len(taken), BATCH):
        batch = taken[start : start + BATCH]
        if len(batch) < BATCH:  # filled up with idle vectors
            batch += _idle(64, packed)[len(batch) :]
        compiled(*map(list, zip(*batch, strict=True)), packed)
    return rest


def _idle(length: int, like: torch.Tensor) -> list[Tensors]:
    """A batch of ones to no purpose. Lengths differ: equal ones would be taken by the
    compiler for equal always.
    """
    return [[like.new_ones(n) for _ in range(4)] for n in range(length, length + BATCH)]


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


def _compile(optimizer: Any, kind: Any, packed: torch.Tensor) -> Kernel | None:
    """The compiled update, tried out; None, after a warning, where that fails."""
    update = type(optimizer)._update
    missing = (None,) * (len(optimizer._tensors) - 2)
    key = (update.__name__, packed.device, packed.dtype)

    def kernel(ys, grads, firsts, seconds, packed):
        rows = zip(ys, grads, firsts, seconds, strict=True)
        arithmetic.each(update, kind, [(*row, *missing) for row in rows], packed)

    if key not in _compiled:
        # Sizes were asserted before: they are what `_flat` made them.
        compiled: Any = torch.compile(
            kernel, dynamic=True, options={"size_asserts": False}
        )
        try:
            compiled(*map(list, zip(*_idle(2**14, packed), strict=True)), packed)
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
