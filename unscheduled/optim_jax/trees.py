"""What the transformations share: checks, precision, leaf-wise maths."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from .. import ranges

_NAMES = {"interpolation": "b1", "slow_momentum": "momentum"}


def check(**hyperparameters: Any) -> None:
    """`ranges.check` of each, but for schedules, and arrays, which may be traced."""
    for kind, value in hyperparameters.items():
        name = _NAMES.get(kind, kind)
        if kind == "learning_rate" and callable(value):
            continue
        if not isinstance(value, jax.Array):
            ranges.check(kind, value, name)
        elif value.ndim or value.dtype == bool or jnp.iscomplexobj(value):
            got = f"an array of shape {value.shape} and {value.dtype}"
            raise ValueError(f"{name} must be a number, got {got}.")


def transformation(base: Any) -> optax.GradientTransformationExtraArgs:
    """The base of a wrapper, which takes extra arguments; a ValueError for others."""
    if not (hasattr(base, "init") and hasattr(base, "update")):
        raise ValueError(f"base must be a gradient transformation, got {base!r}.")
    return optax.with_extra_args_support(base)


def as_params(params: optax.Params, name: str) -> optax.Params:
    """The parameters as arrays, or abstract as they are; integers are an error."""

    def as_array(path, leaf):
        leaf = leaf if isinstance(leaf, jax.ShapeDtypeStruct) else jnp.asarray(leaf)
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            raise ValueError(
                f"{name} needs parameters that are floating point or complex, got "
                f"{leaf.dtype}{_at(path)}; optax.masked leaves some out."
            )
        return leaf

    return jax.tree_util.tree_map_with_path(as_array, params)


def as_inputs(
    params: optax.Params | None, grads: optax.Updates, like: optax.Params, name: str
) -> tuple[optax.Params, optax.Updates]:
    """(parameters, gradients) of an update, which must match `like`, of the state.

    The check is made when a step is traced and costs the compiled step nothing.
    """
    if params is None:
        raise ValueError(f"{name} needs params in update(), got None.")
    params = as_params(params, name)
    _require_match(_by_path(like), _by_path(params), f"{name} got a state")
    return params, as_params_are(grads, params, f"{name} got gradients")


def as_params_are(
    tree: optax.Updates, params: optax.Params, what: str
) -> optax.Updates:
    """A tree of arrays in the structure of the parameters, which it must match."""
    leaves, in_order = _by_path(tree), _by_path(params)
    _require_match(leaves, in_order, what)
    arrays = [jnp.asarray(leaves[path]) for path in in_order]
    return jax.tree.unflatten(jax.tree.structure(params), arrays)


def replace(
    params: optax.Params,
    state: optax.OptState,
    kind: Any,
    name: str,
    f: Callable[[Any, list[jax.Array]], list[Any]],
) -> optax.Params:
    """The parameters, with those that states cover replaced by what f gives for them.

    States inside another one of ours do not count: the parameters mean something else
    to them. `kind.like_params` names the field that is like the parameters that a state
    covers; `f` maps a state and the list of these to what replaces them.
    """
    nodes = jax.tree.leaves(state, is_leaf=_is_state)
    found = [node for node in nodes if isinstance(node, kind)]
    if not found:
        others = [f", but a {type(n).__name__}" for n in nodes if _is_state(n)]
        where = f"in a {type(state).__name__}{''.join(others[:1])}"
        raise ValueError(f"{name} found no {kind.__name__} {where}.")
    leaves = _by_path(params)
    hint = "; flax.nnx's opt_state goes with nnx.state(model, nnx.Param)"
    for node in found:
        like = _by_path(getattr(node, kind.like_params))
        part = {path: leaves[path] for path in like if path in leaves}
        _require_match(like, part, f"{name} got a state", hint)
        old = [jnp.asarray(leaf) for leaf in part.values()]
        # Copies, which share no buffer with the state: that may be donated.
        new = (jnp.array(a, b.dtype) for a, b in zip(f(node, old), old, strict=True))
        leaves |= zip(part, new, strict=True)
    return jax.tree.unflatten(jax.tree.structure(params), leaves.values())


def scalar_dtype() -> Any:
    """The dtype of rates and weights: float32, or float64 where x64 is enabled."""
    return jnp.zeros(()).dtype


def rate_at(learning_rate: optax.ScalarOrSchedule, count: jax.Array) -> jax.Array:
    """The learning rate after `count` steps: constant or a function of the count."""
    value = learning_rate(count) if callable(learning_rate) else learning_rate
    check(learning_rate=value)
    return jnp.asarray(value, scalar_dtype())


def accumulator_dtype(leaf: Any) -> Any:
    """float32 for arrays of low precision (bfloat16, float16), else their own."""
    is_inexact = jnp.issubdtype(leaf.dtype, jnp.inexact)
    is_low = is_inexact and jnp.finfo(leaf.dtype).bits < 32
    return jnp.float32 if is_low else leaf.dtype


def accumulators(params: optax.Params) -> optax.Params:
    """A copy of the parameters, those of low precision in float32.

    It shares no buffer with them: both may be donated. Abstract ones stay abstract.
    """

    def copy(p):
        dtype = accumulator_dtype(p)
        if isinstance(p, jax.ShapeDtypeStruct):
            return jax.ShapeDtypeStruct(p.shape, dtype, sharding=p.sharding)
        return jnp.array(p, dtype)

    return jax.tree.map(copy, params)


def zeros(params: optax.Params) -> optax.Params:
    """Zeros like `accumulators(params)`, in their shardings."""
    return jax.tree.map(lambda p: jnp.zeros_like(p, accumulator_dtype(p)), params)


def leafwise(f: Callable[..., jax.Array], *trees: Any, **scalars: Any) -> Any:
    """f on the leaves of trees and on scalars, in the precision of the first tree.

    A complex leaf is the pair of its real and imaginary parts, as in torch.optim: f
    sees one, then the other, so that squares, roots and quotients act on parts.

    Example:
      >>> leafwise(lambda a, power: a**power, jnp.asarray(2 + 3j), power=2)
      Array(4.+9.j, dtype=complex64)
    """

    def on_leaf(*leaves):
        leaves = [jnp.asarray(leaf, leaves[0].dtype) for leaf in leaves]
        numbers = {k: jnp.asarray(v, leaves[0].real.dtype) for k, v in scalars.items()}
        if not jnp.iscomplexobj(leaves[0]):
            return f(*leaves, **numbers)
        real = f(*[leaf.real for leaf in leaves], **numbers)
        return jax.lax.complex(real, f(*[leaf.imag for leaf in leaves], **numbers))

    return jax.tree.map(on_leaf, *trees)


def interpolate(start: Any, end: Any, weight: Any) -> Any:
    """start + weight (end - start)."""
    return leafwise(lambda a, b, w: a + w * (b - a), start, end, w=weight)


def cast_like(tree: Any, like: Any) -> Any:
    """A tree in the dtypes of another."""
    return jax.tree.map(lambda a, b: jnp.asarray(a, b.dtype), tree, like)


def _is_state(node):
    return hasattr(node, "like_params")


def _by_path(tree):
    return dict(jax.tree_util.tree_flatten_with_path(tree)[0])


def _at(path):
    return f" at {jax.tree_util.keystr(path)}" if path else ""


def _require_match(ours, theirs, what, hint=""):
    """Raises where leaves by path (a list will do for a tuple) don't fit parameters."""
    for path in (*ours, *theirs):
        if path not in theirs:
            different = "one is only there"
        elif path not in ours:
            different = "one is only in the parameters"
        elif (shape := jnp.shape(ours[path])) != jnp.shape(theirs[path]):
            different = f"shape {shape} in place of {jnp.shape(theirs[path])}"
        elif jnp.iscomplexobj(ours[path]) and not jnp.iscomplexobj(theirs[path]):
            different = "complex in place of real"
        else:
            continue
        raise ValueError(f"{what} of other parameters: {different}{_at(path)}{hint}.")
