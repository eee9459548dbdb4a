"""What the submissions share of the API's functions, whatever the framework."""

import math
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

from .. import spec


def resolve(defaults: Any, given: Any) -> Any:
    """The defaults with the given values in place.

    Args:
      defaults: a NamedTuple class whose every field has a default.
      given: None (self-tuning), a mapping, or an object with `_asdict` (the trial's
        point of the tuning search space); other names keep their default.

    Returns:
      An instance of `defaults`.

    Raises:
      ValueError: for a name that `defaults` does not have, or a value that is not a
        finite number (or None, where the field's type allows it).

    Example:
      >>> from typing import NamedTuple
      >>> class Hyperparameters(NamedTuple):
      ...     learning_rate: float = 0.1
      >>> resolve(Hyperparameters, {"learning_rate": 0.2})
      Hyperparameters(learning_rate=0.2)
    """
    given = {} if given is None else given
    values = given if isinstance(given, Mapping) else given._asdict()
    types = get_type_hints(defaults)
    for name, value in values.items():
        if name not in defaults._fields:
            raise ValueError(
                f"unknown hyperparameter {name!r}; "
                f"this submission has {', '.join(defaults._fields)}."
            )
        optional = type(None) in get_args(types[name])
        if not (_is_number(value) or (optional and value is None)):
            raise ValueError(f"{name} must be a finite number, got {value!r}.")
    return defaults(**values)


def update_params(
    workload: spec.Workload,
    current_param_container: spec.ParameterContainer,
    current_params_types: spec.ParameterTypeTree,
    model_state: spec.ModelAuxiliaryState,
    hyperparameters: spec.Hyperparameters,
    batch: dict[str, spec.Tensor],
    loss_type: spec.LossType,
    optimizer_state: spec.OptimizerState,
    eval_results: list[tuple[int, float]],
    global_step: int,
    rng: spec.RandomState,
    train_state: dict[str, Any] | None = None,
) -> spec.UpdateReturn:
    """One step: (optimizer state, parameters, model state)."""
    del workload, current_params_types, hyperparameters, loss_type, train_state
    trainer = trainer_of(optimizer_state)
    state = (optimizer_state, current_param_container, model_state)
    state = trainer.judge(*state, eval_results, global_step)
    return trainer.step(*state, batch, rng, global_step)


def prepare_for_eval(
    workload: spec.Workload,
    current_param_container: spec.ParameterContainer,
    current_params_types: spec.ParameterTypeTree,
    model_state: spec.ModelAuxiliaryState,
    hyperparameters: spec.Hyperparameters,
    loss_type: spec.LossType,
    optimizer_state: spec.OptimizerState,
    eval_results: list[tuple[int, float]],
    global_step: int,
    rng: spec.RandomState,
) -> spec.UpdateReturn:
    """All where it is evaluated: (optimizer state, parameters, model state)."""
    del workload, current_params_types, hyperparameters, loss_type, eval_results
    del global_step
    return trainer_of(optimizer_state).prepare_for_eval(
        optimizer_state, current_param_container, model_state, rng
    )


def trainer_of(optimizer_state: Any) -> Any:
    """Who steps: in JAX the state is (arrays, trainer), in PyTorch {"trainer": it}."""
    is_pytorch = isinstance(optimizer_state, dict)
    return optimizer_state["trainer"] if is_pytorch else optimizer_state[1]


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )
