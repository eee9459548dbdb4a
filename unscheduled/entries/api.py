"""What the submissions share of the API's functions, whatever the framework."""

from typing import Any

from unscheduled import spec


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
    trainer = _trainer(optimizer_state)
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
    return _trainer(optimizer_state).prepare_for_eval(
        optimizer_state, current_param_container, model_state, rng
    )


def _trainer(optimizer_state: Any) -> Any:
    """Who steps: in JAX the state is (arrays, trainer), in PyTorch {"trainer": it}."""
    is_pytorch = isinstance(optimizer_state, dict)
    return optimizer_state["trainer"] if is_pytorch else optimizer_state[1]
