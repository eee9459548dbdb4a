"""What the transformations share: precision, leaf-wise maths, states in states."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from unscheduled import ranges

FieldsOf = Callable[[Any], tuple[str, ...]]

_NAMES = {"interpolation": "b1", "slow_momentum": "momentum"}
_REAL = (jnp.floating, jnp.integer)


def check(**hyperparameters: Any) -> None:
    """`ranges.check` of each, but for schedules, and arrays, which may be traced."""
    for kind, value in hyperparameters.items():
        name = _NAMES.get(kind, kind)
        if kind == "learning_rate" and callable(value):
            continue
        if not isinstance(value, jax.Array):
            ranges.check(kind, value, name)
        elif value.ndim or not any(jnp.issubdtype(value.dtype, t) for t in _REAL):
            got = f"an array of shape {value.shape} and {value.dtype}"
            raise ValueError(f"{name} must be a number, got {got}.")


def transformation(base: Any) -> optax.GradientTransformationExtraArgs:
    """The base of a wrapper, which takes extra arguments; a ValueError for others."""
    if not (hasattr(base, "init") and hasattr(base, "update")):
        raise ValueError(f"base must be a gradient transformation, got {base!r}.")
    return optax.with_extra_args_support(base)


def as_params(params: Any, name: str) -> Any:
    """The parameters as arrays, abstract ones as they are.

    Raises:
      ValueError: where one has no gradient, as integers have none.
    """

    def as_array(path, leaf):
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            leaf = jnp.asarray(leaf)
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            raise ValueError(
                f"{name} needs parameters that are floating point or complex, got "
                f"{leaf.dtype}{_at(path)}; optax.masked leaves some out."
            )
        return leaf

    return jax.tree_util.tree_map_with_path(as_array, params)


def as_inputs(params: Any, grads: Any, state: Any, name: str) -> tuple[Any, Any]:
    """(parameters, gradients) of an update, as arrays in the same structure.

    What is checked is known when the step is traced: it costs a compiled step nothing.

    Args:
      params, grads: as given to the update.
      state: a tree of the state that is like the parameters.
      name: what errors call the transformation.

    Raises:
      ValueError: where there are no parameters or the trees are not all of the same
        parameters: another structure or shape, or a complex gradient of a real one.
    """
    if params is None:
        raise ValueError(f"{name} needs params in update(), got None.")
    params = as_params(params, name)
    matched(state, params, f"{name} got a state")
    grads = matched(grads, params, f"{name} got gradients")
    return params, jax.tree.map(jnp.asarray, grads)


def matched(tree: Any, params: Any, what: str) -> Any:
    """A tree in the structure of the parameters, leaf by leaf as their paths say.

    Raises:
      ValueError: for other leaves, shapes, or complex ones where parameters are real.
    """
    ours, theirs = _by_path(tree), _by_path(params)
    for path in (*ours, *theirs):
        if path not in ours or path not in theirs:
            where = "only there" if path in ours else "only in the parameters"
            raise ValueError(f"{what} of other parameters: one is {where}{_at(path)}.")
    for path, p in theirs.items():
        leaf = ours[path]
        if jnp.shape(leaf) != jnp.shape(p):
            different = f"shape {jnp.shape(leaf)} in place of {jnp.shape(p)}"
        elif jnp.iscomplexobj(leaf) and not jnp.iscomplexobj(p):
            different = "complex in place of real"
        else:
            continue
        raise ValueError(f"{what} of other parameters: {different}{_at(path)}.")
    return jax.tree.unflatten(jax.tree.structure(params), [ours[p] for p in theirs])


def scalar_dtype() -> Any:
    """The dtype of rates and weights: float32, or float64 where x64 is enabled."""
    return jnp.zeros(()).dtype


def rate_at(learning_rate: Any, count: jax.Array) -> jax.Array:
    """The learning rate after `count` steps: constant or a function of the count."""
    value = learning_rate(count) if callable(learning_rate) else learning_rate
    check(learning_rate=value)
    return jnp.asarray(value, scalar_dtype())


def is_low_precision(leaf: Any) -> bool:
    """Whether an array is inexact with fewer than 32 bits: bfloat16, float16."""
    return jnp.issubdtype(leaf.dtype, jnp.inexact) and jnp.finfo(leaf.dtype).bits < 32


def accumulators(params: Any) -> Any:
    """A copy of the parameters, those of low precision in float32.

    The copies share no buffer with the parameters: both may be donated. A copy of a
    parameter that is abstract is abstract too.
    """

    def copy(p):
        dtype = _accumulator_dtype(p)
        if isinstance(p, jax.ShapeDtypeStruct):
            return jax.ShapeDtypeStruct(p.shape, dtype, sharding=p.sharding)
        return jnp.array(p, dtype)

    return jax.tree.map(copy, params)


def zeros(params: Any) -> Any:
    """Zeros like `accumulators(params)`, in their shardings."""
    return jax.tree.map(lambda p: jnp.zeros_like(p, _accumulator_dtype(p)), params)


def leafwise(
    f: Callable[..., jax.Array], first: Any, *rest: Any, **scalars: Any
) -> Any:
    """f on the leaves of trees, in the precision of the first of them.

    A complex leaf is the pair of its real and imaginary parts, as in torch.optim: f
    sees one, then the other, so that squares, roots and quotients act on parts.

    Args:
      f: (real arrays, one a tree; the scalars by name) to a real array.
      first: the tree whose dtypes the others are cast to.
      *rest: trees of the same structure.
      **scalars: numbers, cast to the dtype of the parts.

    Returns:
      A tree like `first` of what f gave.

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

    return jax.tree.map(on_leaf, first, *rest)


def total(f: Callable[..., jax.Array], first: Any, *rest: Any) -> jax.Array:
    """The sum over all elements of f, which is applied as by `leafwise`."""
    sums = leafwise(lambda *parts: jnp.sum(f(*parts)), first, *rest)
    parts = [leaf.real + leaf.imag for leaf in jax.tree.leaves(sums)]
    return sum(parts, jnp.zeros((), scalar_dtype())).astype(scalar_dtype())


def interpolate(start: Any, end: Any, weight: Any) -> Any:
    """start + weight (end - start), in the dtypes of `start`."""
    return leafwise(lambda a, b, w: a + w * (b - a), start, end, w=weight)


def cast_like(tree: Any, like: Any) -> Any:
    """A tree in the dtypes of another."""
    return jax.tree.map(lambda a, b: jnp.asarray(a, jnp.asarray(b).dtype), tree, like)


def copy_like(tree: Any, like: Any) -> Any:
    """A copy of a tree in the dtypes of another, which shares no buffer with it."""
    return jax.tree.map(lambda a, b: jnp.array(a, jnp.asarray(b).dtype), tree, like)


def take(params: Any, like: Any, name: str) -> list[jax.Array]:
    """The parameters at the paths of a state's tree, which may be a part of them.

    Raises:
      ValueError: where the parameters are not those of the state.
    """
    leaves, found = _by_path(params), _by_path(like)
    for path in found:
        if path not in leaves:
            raise ValueError(
                f"{name} got a state of other parameters: one is only there"
                f"{_at(path)}. A flax.nnx optimizer's opt_state goes with "
                "nnx.state(model, nnx.Param), or both go through nnx.as_pure."
            )
        if jnp.shape(leaves[path]) != jnp.shape(found[path]):
            raise ValueError(
                f"{name} got a state of other parameters: shape "
                f"{jnp.shape(found[path])} in place of {jnp.shape(leaves[path])}"
                f"{_at(path)}."
            )
    return [leaves[path] for path in found]


def put(params: Any, like: Any, leaves: Iterable[Any]) -> Any:
    """The parameters with the leaves that `take` took replaced."""
    all_leaves = {**_by_path(params), **dict(zip(_by_path(like), leaves, strict=True))}
    return jax.tree.unflatten(jax.tree.structure(params), all_leaves.values())


def nodes_of(state: Any, kind: type) -> list[Any]:
    """All states of a kind within a state, however nested."""
    nodes = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, kind))
    return [node for node in nodes if isinstance(node, kind)]


def find(state: Any, kind: type, needed_by: str) -> list[Any]:
    """`nodes_of` a kind, of which there must be one; else a ValueError."""
    found = nodes_of(state, kind)
    if not found:
        raise ValueError(
            f"{needed_by} found no {kind.__name__} in a {type(state).__name__}."
        )
    return found


def read_fields(
    state: Any, fields_of: FieldsOf, skip: tuple[type, ...] = ()
) -> tuple[dict[str, Any], ...]:
    """The fields that `fields_of` names of each node within a state.

    Args:
      state: an optimizer's state.
      fields_of: from a node to names of its fields, none where it is not wanted.
      skip: types of nodes that are not looked into.

    Returns:
      A dict a wanted node, in the order of the tree.
    """
    nodes = jax.tree.leaves(state, is_leaf=_stops_at(fields_of, skip))
    wanted = [node for node in nodes if fields_of(node) and not isinstance(node, skip)]
    return tuple(
        {name: getattr(node, name) for name in fields_of(node)} for node in wanted
    )


def write_fields(
    state: Any,
    fields_of: FieldsOf,
    values: Iterable[dict[str, Any]],
    skip: tuple[type, ...] = (),
) -> Any:
    """The state with the fields that `read_fields` read replaced, in its order."""
    remaining = iter(values)

    def write(node):
        if isinstance(node, skip) or not fields_of(node):
            return node
        return node._replace(**next(remaining))

    return jax.tree.map(write, state, is_leaf=_stops_at(fields_of, skip))


def fields_of_named_tuple(node: Any) -> tuple[str, ...]:
    """The names of a NamedTuple's fields; none for any other node."""
    return type(node)._fields if _is_named_tuple(node) else ()


def named_tuple_types(tree: Any) -> tuple[type, ...]:
    """The NamedTuple classes that a tree is made of."""
    types = set()

    def visit(node):
        if _is_named_tuple(node):
            types.add(type(node))
        return False

    jax.tree.leaves(tree, is_leaf=visit)
    return tuple(types)


def _accumulator_dtype(leaf):
    return jnp.float32 if is_low_precision(leaf) else leaf.dtype


def _by_path(tree):
    return dict(jax.tree_util.tree_flatten_with_path(tree)[0])


def _at(path):
    return f" at {jax.tree_util.keystr(path)}" if path else ""


def _is_named_tuple(node):
    return isinstance(node, tuple) and hasattr(node, "_fields")


def _stops_at(fields_of, skip):
    return lambda node: isinstance(node, skip) or bool(fields_of(node))
